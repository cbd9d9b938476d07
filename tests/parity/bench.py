"""Every engine behind one question: what are the columns and rows of this query?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlglot import exp

from odibi.engines import ENGINES
from odibi.engines.database import Database
from odibi.relational.bind import Binder
from odibi.relational.compile import Compiled, compile_query, compile_script
from odibi.relational.parse import parse
from odibi.relational.schema import Relation, Schema, quote, schema_of

__all__ = ["NAMES", "Answer", "Bench", "comparable", "opened"]

NAMES = ("duckdb", "pandas", pytest.param("spark", marks=pytest.mark.xdist_group("spark")))
"""The engines, as parameters of a fixture."""

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Answer:
    """What an engine gives: names and types of the columns, and the rows in order."""

    columns: list[tuple[str, str]]
    rows: Rows

    def equal_to(self, other: Answer, *, ordered: bool = False) -> bool:
        """Whether names, types and rows are the same: doubles at 12 significant digits, all else exactly."""
        mine, theirs = (comparable(answer.rows, ordered=ordered) for answer in (self, other))
        return self.columns == other.columns and mine == theirs


def comparable(rows: Rows, *, ordered: bool = False) -> list[str]:
    """Rows as text that is the same where the rows are; -0.0 is 0.0, as it is in SQL."""
    texts = [", ".join(map(_text, row)) for row in rows]
    return texts if ordered else sorted(texts)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value + 0.0:.12g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_text(inner)}" for name, inner in value.items()) + "}"
    return repr(value)


@dataclass
class Bench:
    """An engine with tables, and DuckDB itself beside it as the reference."""

    name: str
    engine: Any
    database: Database
    binder: Binder
    tables: dict[str, Relation] = field(default_factory=dict)
    frames: dict[str, Any] = field(default_factory=dict)

    def create(
        self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]] | str = ()
    ) -> Relation:
        """A table of those rows, given as values or as the text behind VALUES."""
        spec = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
        cursor = self.database.cursor
        cursor.execute(f"CREATE OR REPLACE TABLE {quote(name)} ({spec})")
        if isinstance(rows, str):
            cursor.execute(f"INSERT INTO {quote(name)} VALUES {rows}")
        elif rows:
            cursor.executemany(f"INSERT INTO {quote(name)} VALUES ({', '.join('?' * len(columns))})", rows)
        return self._known(name, schema_of(columns), self._stored(name).to_reader())

    def _stored(self, name: str) -> pa.Table:
        table: pa.Table = self.database.cursor.sql(f"SELECT * FROM {quote(name)}").to_arrow_table()
        return table

    def _known(self, name: str, schema: Schema, batches: pa.RecordBatchReader) -> Relation:
        self.tables[name] = Relation(name, schema)
        self.frames[name] = self.engine.from_arrow(batches)
        return self.tables[name]

    def compiled(self, sql: str) -> Compiled:
        """A user's SQL over the tables."""
        return compile_script(parse(sql), self.tables, self.binder)["data"]

    def ask(self, sql: str) -> Answer:
        """The engine's answer to a user's SQL."""
        return self.answer(self.compiled(sql))

    def answer(self, compiled: Compiled) -> Answer:
        """The engine's answer to a compiled query."""
        return self.read(self._frame(compiled))

    def _frame(self, compiled: Compiled) -> Any:
        frames = {name: self.frames[name] for name in compiled.inputs}
        return self.engine.query(compiled.query, frames, compiled.schema)

    def read(self, frame: Any) -> Answer:
        """The columns and rows of a frame, with DuckDB's types."""
        table = self.engine.to_arrow(frame).read_all()
        cursor = self.database.new_cursor()
        cursor.register("answer", table)
        try:
            columns = [(str(row[0]), str(row[1])) for row in cursor.execute("DESCRIBE answer").fetchall()]
            return Answer(columns, cursor.execute("SELECT * FROM answer").fetchall())
        finally:
            cursor.close()

    def apply(self, query: exp.Query, table: Relation) -> Relation:
        """What a query makes of a table, as the next table."""
        known = {each.name.lower(): each for each in (table, *self.tables.values())}
        compiled = compile_query(query, known, self.binder)
        made = Relation(f"result {len(self.frames)}", compiled.schema)
        self.frames[made.name] = self._frame(compiled)
        return made

    def clear(self) -> None:
        """Forget the tables."""
        self.tables.clear()
        self.frames.clear()

    def shell(self, compiled: Compiled) -> Answer:
        """What the query gives in DuckDB itself."""
        rows = self.database.cursor.execute(compiled.sql).fetchall()
        return Answer([(column.name, column.type) for column in compiled.schema], rows)


@contextmanager
def opened(name: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench on an engine; Spark's runs in the suite's session."""
    if name == "spark":
        request.getfixturevalue("spark_session")
    with Database(folder / "scratch") as database, closing(Binder()) as binder:
        engine = ENGINES.get(name)(database)
        try:
            yield Bench(name, engine, database, binder)
        finally:
            engine.close()
