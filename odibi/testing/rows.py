"""Rows as people write them, as tables with types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.config.loaded import Loaded
from odibi.config.steptests import Rows
from odibi.datasets.files import format_of
from odibi.datasets.source import Source, look, read
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB
from odibi.errors import Permanent, nearest
from odibi.prove.model import Table
from odibi.relational.schema import Column, Schema, quote

if TYPE_CHECKING:
    import duckdb

__all__ = ["RowError", "columns_of", "rows_of", "table_of"]


class RowError(Permanent):
    """Rows that mean nothing; ``path`` leads to the place below them: the row, and its column."""

    def __init__(self, message: str, path: tuple[Any, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


def rows_of(rows: Rows, loaded: Loaded, db: Database, known: Schema | None) -> tuple[dict[str, Any], ...]:
    """The rows themselves; those of a file are read, text that nothing gives a type with the type it shows.

    Raises:
        RowError: there is no such file, or it holds no rows.
    """
    if not isinstance(rows, str):
        return tuple(rows)
    path = loaded.find(rows)
    if path is None:
        folder = (loaded.roots[0] / rows).parent
        names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        raise RowError(f"there is no file {rows!r}", hint=nearest(rows.rsplit("/", 1)[-1], names))
    kind = format_of(rows)
    if kind == "csv":
        return _from_csv(db, path, known)
    if kind not in ("json", "ndjson"):
        raise RowError(f"{rows!r} is no file of rows", hint="give a .csv, .json or .ndjson file")
    try:
        text = path.read_text("utf-8")
        found = (
            json.loads(text) if text.lstrip().startswith("[") else list(map(json.loads, text.splitlines()))
        )
    except (ValueError, OSError) as error:
        raise RowError(f"{rows}: it is no JSON: {error}") from error
    if not all(isinstance(row, dict) for row in found):
        raise RowError(f"{rows}: expected a list of rows, each an object")
    return tuple(found)


def _from_csv(db: Database, path: Path, known: Schema | None) -> tuple[dict[str, Any], ...]:
    seen = look(db, Source(str(path), "csv"))
    if seen is None or seen.problem is not None or seen.schema is None:
        raise RowError(f"{path.name} cannot be read: {seen.problem if seen else 'it is gone'}")
    schema = seen.schema
    if known is not None:  # as text: 007 may be meant as it stands
        schema = tuple(Column(column.name, "VARCHAR") for column in schema)
    source = Source(str(path), "csv", schema)
    again = look(db, source)
    if again is None:
        raise RowError(f"{path.name} is gone")
    frame, _ = read(DuckDB(db), source, again)
    values = db.rows(frame.sql)
    return tuple(dict(zip((c.name for c in schema), row, strict=True)) for row in values)


def columns_of(
    rows: Sequence[Mapping[str, Any]],
    known: Schema | None,
    types: Mapping[str, str],
    db: Database,
    folder: Path,
) -> Schema:
    """The columns of rows: those that are known, with the types that the test gives; else what the rows show.

    Raises:
        RowError: a row has a column that nobody knows, or nothing tells the columns.
    """
    known_names = [column.name for column in known or ()]
    if known is not None:
        for at, row in enumerate(rows):
            for name in row:
                if name not in known_names and name not in types:
                    raise RowError(f"there is no column {name!r}", (at, name), nearest(name, known_names))
        named = {column.name: column.type for column in known} | dict(types)
    else:
        shown = _shown({name: None for row in rows for name in row if name not in types}, rows, db, folder)
        named = {
            name: types.get(name) or shown[name]
            for name in dict.fromkeys([n for r in rows for n in r] + [*types])
        }
    if not named:
        raise RowError("nothing tells its columns", hint="give a row, or types: {dataset: {column: TYPE}}")
    return tuple(Column(name, _canonical(db, name, kind)) for name, kind in named.items())


def _canonical(db: Database, name: str, kind: str) -> str:
    import duckdb

    try:
        return str(db.rows(f"SELECT typeof(CAST(NULL AS {kind}))")[0][0])
    except duckdb.Error as error:
        hint = "such as BIGINT, VARCHAR or DECIMAL(18,2)"
        raise RowError(f"types: {name} has type {kind!r}, which DuckDB does not know", hint=hint) from error


def _shown(
    names: Mapping[str, None], rows: Sequence[Mapping[str, Any]], db: Database, folder: Path
) -> dict[str, str]:
    """The types that the values show, as a JSON file of them would."""
    if not names:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.ndjson"
    lines = [json.dumps({name: row.get(name) for name in names}, default=str) for row in rows]
    path.write_text("\n".join(lines), "utf-8")
    seen = look(db, Source(str(path), "ndjson"))
    if seen is None or seen.schema is None:
        raise RowError("their types cannot be told", hint="give types: {dataset: {column: TYPE}}")
    return {column.name: column.type for column in seen.schema}


def table_of(rows: Sequence[Mapping[str, Any]], schema: Schema, db: Database) -> Table:
    """The rows as a table; what they leave out is NULL.

    Raises:
        RowError: a value does not fit its type.
    """
    import duckdb

    cursor, name = db.computing(), db.new_name()
    columns = ", ".join(f"{quote(column.name)} {column.type}" for column in schema)
    cursor.execute(f"CREATE TABLE {name} ({columns})")
    places = ", ".join(f"CAST(? AS {column.type})" for column in schema)
    for at, row in enumerate(rows):
        for column in schema:
            _refuse_loss(at, column, row.get(column.name))
        try:
            cursor.execute(f"INSERT INTO {name} VALUES ({places})", [row.get(c.name) for c in schema])
        except duckdb.Error as error:
            raise _misfit(cursor, at, row, schema, error) from error
    return Table(schema, cursor.sql(f"FROM {name} ORDER BY rowid").to_arrow_table())


_WHOLE = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT")


def _refuse_loss(at: int, column: Column, value: Any) -> None:
    if column.type in _WHOLE and isinstance(value, float) and not value.is_integer():
        raise RowError(f"{column.name} is {column.type}, and {value} is no whole number", (at, column.name))


def _misfit(
    cursor: duckdb.DuckDBPyConnection, at: int, row: Mapping[str, Any], schema: Schema, error: Exception
) -> RowError:
    import duckdb

    for column in schema:
        value = row.get(column.name)
        try:
            cursor.execute(f"SELECT CAST(? AS {column.type})", [value])
        except duckdb.Error:
            return RowError(f"{column.name} is {column.type}, and {value!r} is none", (at, column.name))
    return RowError(f"the row does not fit: {str(error).splitlines()[0]}", (at,))
