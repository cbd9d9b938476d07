"""Engines side by side: the same rows and the same question for each, and answers that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from odibi.engines.base import Engine, Frame
from odibi.engines.database import Database
from odibi.prove.model import Answer, Failure, Table
from odibi.relational.schema import Column, Schema, quote
from odibi.relational.spark import NotPortable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["REFERENCE", "Bench", "Question", "TooMany", "first_line"]

REFERENCE = "duckdb"
"""The engine whose answer is the right one."""

MOST = 100_000
"""Rows of an answer; more come only of small tables that multiply each other."""

Question = Callable[[Engine, Mapping[str, Frame]], Frame]
"""What a step computes, on whatever engine, of whatever frames its inputs are."""


class TooMany(Exception):
    """The answer has more rows than are worth comparing."""


class Bench:
    """Engines, the reference among them, and a DuckDB to look at rows with.

    Args:
        database: what the engines were made with.
        engines: by name; ``duckdb`` must be among them.
    """

    def __init__(self, database: Database, engines: Mapping[str, Engine]) -> None:
        self.database = database
        self.reference = engines[REFERENCE]
        self.others = tuple(engine for name, engine in engines.items() if name != REFERENCE)

    def ask(self, engine: Engine, question: Question, inputs: Mapping[str, Table]) -> Answer:
        """The engine's answer; what it raises, whatever that is, is an answer too.

        Raises:
            NotPortable: the engine refuses the question whatever the rows are.
            TooMany: the answer is too long to be compared.
        """
        try:
            frames = {name: engine.from_arrow(table.rows.to_reader()) for name, table in inputs.items()}
            return self.table(_few(engine.to_arrow(question(engine, frames))))
        except (NotPortable, TooMany):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - how an engine or a function fails is what is asked
            return Failure(type(error).__name__, first_line(error))

    def table(self, rows: pa.Table) -> Table:
        """The Arrow rows as DuckDB sees them, whoever made them: one spelling of every type."""
        cursor = self.database.cursor
        cursor.register("odibi_rows", rows)
        try:
            schema = tuple(
                Column(str(row[0]), str(row[1])) for row in self.database.rows("DESCRIBE FROM odibi_rows")
            )
            return Table(schema, cursor.sql("FROM odibi_rows").to_arrow_table())
        finally:
            cursor.unregister("odibi_rows")

    def made(self, schema: Schema, rows: Sequence[Sequence[Any]]) -> Table:
        """A table of values as Python has them, cast to the types of the schema."""
        import pyarrow as pa

        columns = ", ".join(f"CAST(? AS {c.type}) AS {quote(c.name)}" for c in schema)
        cursor = self.database.cursor
        found = [cursor.sql(f"SELECT {columns}", params=list(row)).to_arrow_table() for row in rows]
        return Table(schema, pa.concat_tables([self.empty(schema).rows, *found]))

    def empty(self, schema: Schema) -> Table:
        """No rows of these columns."""
        columns = ", ".join(f"CAST(NULL AS {c.type}) AS {quote(c.name)}" for c in schema)
        return Table(schema, self.database.cursor.sql(f"SELECT {columns} WHERE false").to_arrow_table())

    def arrays(self, kind: str, values: Sequence[str]) -> pa.ChunkedArray[Any]:
        """What the SQL expressions give as values of a type; those that have none are left out."""
        cursor = self.database.cursor
        texts = ", ".join(f"TRY_CAST({value} AS {kind})" for value in values)
        query = f"SELECT v FROM (SELECT unnest([{texts}]::{kind}[]) AS v) WHERE v IS NOT NULL"
        found: pa.ChunkedArray[Any] = cursor.sql(query).to_arrow_table().column(0)
        return found


def _few(batches: pa.RecordBatchReader) -> pa.Table:
    import pyarrow as pa

    found, rows = [], 0
    for batch in batches:
        found.append(batch)
        rows += batch.num_rows
        if rows > MOST:
            raise TooMany
    return pa.Table.from_batches(found, batches.schema)


def first_line(error: BaseException) -> str:
    """What the error says first."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
