"""Rows with an id each, and where they stand: of table versions, of files, of what a step makes of others."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from odibi.datasets.delta import Table
from odibi.datasets.files import CSV_DEFAULTS
from odibi.datasets.headers import rows_of
from odibi.datasets.source import Seen, Source, frame_of, read
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, literal, scan
from odibi.errors import OdibiError
from odibi.home import typed
from odibi.relational.schema import Column, Schema, masked, quote
from odibi.why.model import Place
from odibi.why.rewrite import ID

__all__ = ["FILE", "NUMBER", "Base", "Bench", "without_values"]

FILE, NUMBER = "odibi_file", "odibi_number"
"""The columns that tell where a row stands."""

APART = 1 << 40
"""Ids of one base: more than any table has rows."""

MOST_NUMBERS = 1_000
"""Rows of one file that are told by number."""


@dataclass(frozen=True, slots=True)
class Base:
    """Rows in a table of the scratch database: the columns of ``schema``, an id, and where each row stands.

    ``whole`` is the table these rows were picked from; ``csv`` are the options of CSV files, whose rows are
    told by line.
    """

    name: str
    schema: Schema
    placed: bool = True
    whole: str = ""
    csv: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Bench:
    """A scratch database, and the tables made in it."""

    db: Database
    sensitive: Sequence[str] = ()
    _made: int = field(default=0)

    def keep(self, sql: str, schema: Schema, *, placed: bool = False) -> Base:
        """The rows of a query as a base."""
        name = self.db.new_name()
        self._made += 1
        where = "" if placed else f", NULL::VARCHAR AS {FILE}, NULL::BIGINT AS {NUMBER}"
        self.db.computing().execute(
            f"CREATE TABLE {quote(name)} AS SELECT *{where}, {self._made * APART} + row_number() OVER () AS {ID} FROM ({sql})"
        )
        return Base(name, schema, placed, name)

    def committed(self, table: Table, files: Sequence[str] | None = None) -> Base:
        """The rows of a table's version, or of some of its files."""
        if table.needs_own_reader:
            return self.keep(frame_of(DuckDB(self.db), table).sql, table.schema)
        where = (Column(FILE, "VARCHAR"), Column("file_row_number", "BIGINT"))
        location = table.location()
        location = replace(
            location,
            files=location.files if files is None else tuple(files),
            schema=(*table.schema, *where),
            options={**location.options, "filename": FILE, "file_row_number": True},
        )
        sql = f"SELECT * EXCLUDE (file_row_number), file_row_number + 1 AS {NUMBER} FROM ({scan(location)})"
        return self.keep(sql, table.schema, placed=True)

    def files(self, source: Source, seen: Seen) -> Base:
        """The rows of source files, each file by itself so that its rows can be counted."""
        engine, parts, schema = DuckDB(self.db), [], seen.schema or ()
        for file in seen.files:
            frame, schema = read(engine, source, replace(seen, files=(file,)))
            parts.append(
                f"SELECT *, {literal(file.path)} AS {FILE}, row_number() OVER () AS {NUMBER} FROM ({frame.sql})"
            )
        if not parts:
            frame, schema = read(engine, source, seen)
            return self.keep(frame.sql, schema)
        base = self.keep(" UNION ALL ".join(parts), schema, placed=True)
        return replace(base, csv={**CSV_DEFAULTS, **source.options} if source.format == "csv" else None)

    def pick(self, base: Base, where: str) -> Base:
        """Those rows of a base that fulfil a condition, with the ids they have."""
        name = self.db.new_name()
        self.db.computing().execute(
            f"CREATE TABLE {quote(name)} AS SELECT * FROM {quote(base.name)} AS base WHERE {where}"
        )
        return replace(base, name=name)

    def ids(self, base: Base) -> str:
        """The name of a view of the base with its own columns and the ids, as a rewritten query reads it."""
        name = self.db.new_name()
        columns = ", ".join(quote(column.name) for column in base.schema)
        self.db.cursor.execute(f"CREATE VIEW {quote(name)} AS SELECT {columns}, {ID} FROM {quote(base.name)}")
        return name

    def plain(self, base: Base) -> str:
        """The name of a view of the base with just its own columns."""
        name = self.db.new_name()
        columns = ", ".join(quote(column.name) for column in base.schema)
        self.db.cursor.execute(f"CREATE VIEW {quote(name)} AS SELECT {columns} FROM {quote(base.name)}")
        return name

    def schema(self, sql: str) -> Schema:
        """The columns that a query gives."""
        return tuple(Column(str(row[0]), str(row[1])) for row in self.db.rows(f"DESCRIBE {sql}"))

    def identity(self, base: Base) -> str:
        """What tells some rows of a base from others of it."""
        return str(self.db.rows(f"SELECT count(*), sum(hash({ID}))::VARCHAR FROM {quote(base.name)}")[0])

    def count(self, base: Base) -> int:
        """How many rows it has."""
        return int(self.db.rows(f"SELECT count(*) FROM {quote(base.name)}")[0][0])

    def shown(self, base: Base, rows: int) -> tuple[tuple[str | None, ...], ...]:
        """Some of its rows as text, those of sensitive columns as asterisks."""
        hidden = masked(base.schema, self.sensitive)
        columns = ", ".join(
            f"CASE WHEN {quote(c.name)} IS NOT NULL THEN '***' END"
            if c.name in hidden
            else f"CAST({quote(c.name)} AS VARCHAR)"
            for c in base.schema
        )
        return tuple(self.db.rows(f"SELECT {columns} FROM {quote(base.name)} ORDER BY {ID} LIMIT {rows}"))

    def places(self, base: Base) -> tuple[Place, ...]:
        """Where its rows stand, by file."""
        if not base.placed:
            return ()
        found = self.db.rows(
            f"SELECT {FILE}, count(*), list_slice(list({NUMBER} ORDER BY {NUMBER}), 1, {MOST_NUMBERS}) "
            f"FROM {quote(base.name)} WHERE {FILE} IS NOT NULL GROUP BY ALL ORDER BY 1"
        )
        return tuple(self._place(base, str(file), int(count), numbers) for file, count, numbers in found)

    def _place(self, base: Base, file: str, count: int, numbers: Sequence[int]) -> Place:
        if base.csv is not None:
            asked = f"SELECT count(*) FROM {quote(base.whole)} WHERE {FILE} = {literal(file)}"
            lines = _lines(file, base.csv, self.db.rows(asked)[0][0])
            if lines is not None:
                return Place(typed(file), tuple(lines[number - 1] for number in numbers), True, count)
        return Place(typed(file), tuple(numbers), False, count)


def without_values(error: Exception) -> str:
    """What may be told of DuckDB's error: its first line if the query cannot be bound, else only its kind.

    The text of one that comes while rows are computed has their values in it.
    """
    import duckdb

    if isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException):
        return str(error).splitlines()[0]
    return f"it fails on some row ({type(error).__name__.removesuffix('Exception')})"


def _lines(path: str, options: Mapping[str, Any], rows: int) -> list[int] | None:
    """The line on which each row of a CSV file begins; None where Python's reader counts other rows than DuckDB."""
    first, width = 1, 0
    found: list[int] = []
    try:
        for last, row in rows_of(path, {**options, "skip": int(options.get("skip") or 0)}):
            if any(cell.strip() for cell in row) or (width == 1 and found):
                width = width or len(row)
                found.append(first)
            first = last + 1
    except (TypeError, csv.Error, OdibiError, OSError):
        return None
    if options.get("header"):
        found = found[1:]
    return found if len(found) == rows else None
