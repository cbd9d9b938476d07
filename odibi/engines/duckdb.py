"""The default engine. A frame is a query text: nothing is computed until it is staged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.boundaries import cross
from odibi.engines.base import Location, Part, Staged
from odibi.engines.database import Database
from odibi.engines.exact import as_text, exactly
from odibi.relational.schema import Schema, quote

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from sqlglot import exp

__all__ = ["DEEPEST", "ROWS_PER_BATCH", "DuckDB", "DuckFrame", "copied", "fused", "literal", "scan"]

DEEPEST = 50
"""Longest chain of lazy frames: DuckDB's binder takes seconds for some hundred, then refuses."""

ROWS_PER_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class DuckFrame:
    """A query over files and tables of the run's database.

    ``depth`` counts the lazy steps below it; ``stored`` says that reading it again is cheap, ``here``
    that it reads a table of this very database, not only files.
    """

    sql: str
    depth: int = 0
    stored: bool = False
    here: bool = False


class DuckDB:
    """Engine protocol on DuckDB; the database belongs to whoever opened it."""

    name = "duckdb"
    dialect = "duckdb"
    formats = frozenset({"csv", "json", "ndjson", "parquet"})
    stores: frozenset[str] = frozenset()

    def __init__(self, database: Database) -> None:
        self._db = database

    def read(self, location: Location) -> DuckFrame:
        """The rows at a location, lazily."""
        self._db.reach(*location.files)
        return DuckFrame(scan(location), stored=True)

    def query(self, select: exp.Query, inputs: Mapping[str, DuckFrame], schema: Schema) -> DuckFrame:
        """The query over its inputs, lazily; a chain that grows too deep is cut by a table."""
        del schema  # the binder is DuckDB's own
        frame = fused(select, inputs)
        return self._table(f"AS {frame.sql}") if frame.depth >= DEEPEST else frame

    def stage(
        self, frame: DuckFrame, schema: Schema, folder: str, partition_by: Sequence[str] = ()
    ) -> Staged:
        """Compute the frame into Parquet parts below ``folder``."""
        return copied(self._db.computing(), frame.sql, schema, folder, partition_by)

    def to_arrow(self, frame: DuckFrame) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches."""
        batches: pa.RecordBatchReader = self._db.new_cursor().sql(frame.sql).to_arrow_reader(ROWS_PER_BATCH)
        return batches

    def from_arrow(self, batches: pa.RecordBatchReader) -> DuckFrame:
        """The rows of a stream, kept in a table of the run's database."""
        cursor = self._db.cursor
        cursor.register("odibi_stream", batches)
        try:
            return self._table("AS SELECT * FROM odibi_stream")
        finally:
            cursor.unregister("odibi_stream")

    def native(self, frame: DuckFrame) -> duckdb.DuckDBPyRelation:
        """A DuckDB relation, on a cursor of its own."""
        return self._db.new_cursor().sql(frame.sql)

    def wrap(self, native: Any) -> None:
        """Nothing: a relation is taken as batches, because it lives on the cursor it was given on."""
        del native

    def interrupt(self, thread: int | None = None) -> None:
        """Stop the queries that run for a thread, or all."""
        self._db.interrupt(thread)

    def close(self) -> None:
        """Nothing: the database is its owner's to close."""

    def _table(self, definition: str) -> DuckFrame:
        name = quote(self._db.new_name())
        self._db.computing().execute(f"CREATE TABLE main.{name} {definition}")
        return DuckFrame(f"SELECT * FROM main.{name}", stored=True, here=True)


def fused(select: exp.Query, inputs: Mapping[str, DuckFrame]) -> DuckFrame:
    """The query over its inputs as one frame, computed when its rows are asked for."""
    if not inputs:
        return DuckFrame(select.sql("duckdb", comments=False))
    select, names = _apart(select, inputs)
    sql = select.sql("duckdb", comments=False)
    prefix = ", ".join(
        f"{quote(names[name])} AS {'NOT MATERIALIZED ' if frame.stored else ''}({frame.sql})"
        for name, frame in inputs.items()
    )
    start = next((s for s in ("WITH RECURSIVE ", "WITH ") if sql.startswith(s)), "")
    sql = f"{start or 'WITH '}{prefix}{', ' if start else ' '}{sql.removeprefix(start)}"
    here = any(frame.here for frame in inputs.values())
    return DuckFrame(sql, depth=1 + max(frame.depth for frame in inputs.values()), here=here)


def copied(
    cursor: duckdb.DuckDBPyConnection, sql: str, schema: Schema, folder: str, partition_by: Sequence[str]
) -> Staged:
    """Compute a query on the cursor into Parquet parts below ``folder``, which does not exist yet."""
    Path(folder).mkdir(parents=True)
    # A bloom filter costs a tenth of the write and no reader of Delta tables asks for it.
    options = "FORMAT parquet, WRITE_BLOOM_FILTER false, RETURN_STATS"
    target = folder
    if partition_by:
        columns = ", ".join(quote(column) for column in partition_by)
        options += f", PARTITION_BY ({columns}), FILENAME_PATTERN 'part-{{i}}', OVERWRITE_OR_IGNORE"
    else:
        target = f"{folder}/part-0.parquet"
    copy = f"COPY ({sql}) TO {literal(target)} ({options})"
    cross("amid staging")
    parts = tuple(_part(row) for row in cursor.execute(copy).fetchall())
    return Staged(folder, parts, schema, tuple(partition_by))


def _apart(select: exp.Query, inputs: Mapping[str, DuckFrame]) -> tuple[exp.Query, dict[str, str]]:
    """The query with its inputs under names that none of its own CTEs has, and those names."""
    from sqlglot import exp

    from odibi.relational.parse import tables_in

    taken = {cte.alias.lower() for cte in select.find_all(exp.CTE)}
    names = {name: f"{name} (input)" if name.lower() in taken else name for name in inputs}
    renamed = {name.lower(): new for name, new in names.items() if new != name}
    if isinstance(select, exp.Subquery):  # with CTEs before the brackets, DuckDB loses those inside
        select = exp.select("*").from_(select)
    if renamed:
        select = select.copy()
        for table in list(tables_in(select)):
            if not table.db and table.name.lower() in renamed:
                if not table.alias:
                    table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
                table.set("this", exp.to_identifier(renamed[table.name.lower()], quoted=True))
    return select, names


def literal(value: Any) -> str:
    """The value as a DuckDB literal: text, number, boolean, list or struct."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not isfinite(value):
        return f"CAST('{value}' AS DOUBLE)"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(str(k))}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return "'" + str(value).replace("'", "''") + "'"


READERS = {"csv": "read_csv", "json": "read_json", "ndjson": "read_json", "parquet": "read_parquet"}


def scan(location: Location) -> str:
    """The query that reads a location.

    Files of a table with a known schema are read through a typed empty relation, so that columns
    added later, widened types, empty tables and partition columns all come out as declared.
    Staged parts are just what their schema says and need no such relation, which costs a
    trivial step as much as its query: that is what ``exact`` is for.
    """
    source = f"SELECT * FROM {_reader(location)}" if location.files else ""
    if location.schema is None:
        return source
    if location.exact and source:  # by name: DuckDB puts partition columns last
        names = [column.name for column in location.schema]
        names += ["file_row_number"] if "file_row_number" in location.options else []
        return f"SELECT {', '.join(map(quote, names))} FROM {_reader(location)}"
    if source and location.format != "parquet":
        return f"SELECT {', '.join(_cast(location))} FROM {_reader(location)}"
    empty = ", ".join(f"CAST(NULL AS {c.type}) AS {quote(c.name)}" for c in location.schema)
    typed = f"SELECT {empty} WHERE false"
    if source:
        typed += f" UNION ALL BY NAME {source}"
    columns = ", ".join(f"CAST({quote(c.name)} AS {c.type}) AS {quote(c.name)}" for c in location.schema)
    return f"SELECT {columns} FROM ({typed})"


def _beside(location: Location) -> set[Any]:
    """The columns of text files that do not stand in them."""
    return {*location.partitions, location.options.get("filename")}


def _cast(location: Location) -> Iterator[str]:
    """Each column of text files in its type."""
    inside = [c.name for c in location.schema or () if c.name not in _beside(location)]
    for column in location.schema or ():
        if column.name in inside and as_text(column, location.format, location.options):
            yield exactly(column, inside.index(column.name), location.format, location.options)
        else:
            yield f"CAST({quote(column.name)} AS {column.type}) AS {quote(column.name)}"


def _reader(location: Location) -> str:
    """The table function call that reads the files."""
    options = dict(location.options)
    options["hive_partitioning"] = bool(location.partitions)
    if location.partitions and location.exact:
        types = {column.name: column.type for column in location.schema or ()}
        options["hive_types"] = {name: types[name] for name in location.partitions}
    elif location.partitions:
        options["hive_types_autocast"] = location.schema is None
    if location.format == "parquet":
        options["union_by_name"] = len(location.files) > 1
    elif location.schema is not None:
        options["columns"] = {
            c.name: "VARCHAR" if as_text(c, location.format, location.options) else c.type
            for c in location.schema
            if c.name not in _beside(location)
        }
    given = "".join(f", {name}={literal(value)}" for name, value in sorted(options.items()))
    files = [
        re.sub(r"[*?\[]", r"[\g<0>]", file) for file in location.files
    ]  # DuckDB takes each for a pattern
    return f"{READERS[location.format]}({literal(files)}{given})"


def _part(row: tuple[Any, ...]) -> Part:
    """A row of ``COPY ... RETURN_STATS`` as a part."""
    path, rows, size, _footer, columns, partition = row[:6]
    statistics = {}
    for quoted, found in (columns or {}).items():
        if not (quoted.startswith('"') and quoted.endswith('"')) or '"."' in quoted:
            continue  # a field of a nested column
        kept = {"null_count": found["null_count"]} if "null_count" in found else {}
        # Readers skip files by these: a bound that leaves NaN out or is cut would lose rows.
        exact = found.get("min_is_exact") == "true" and found.get("max_is_exact") == "true"
        if exact and found.get("has_nan") != "true" and "min" in found and "max" in found:
            kept |= {"min": found["min"], "max": found["max"]}
        statistics[quoted[1:-1].replace('""', '"')] = kept
    values = {name: None if value is None else str(value) for name, value in (partition or {}).items()}
    return Part(str(path), int(rows), int(size), statistics, values)
