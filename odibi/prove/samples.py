"""Rows of a step's inputs as a run would see them: of files, of committed tables, of the steps before."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi.datasets.delta import open_table
from odibi.datasets.source import Source, frame_of, look, read
from odibi.engines.duckdb import DuckFrame
from odibi.errors import OdibiError
from odibi.prove.ask import Bench
from odibi.prove.model import Table
from odibi.prove.pools import Hints
from odibi.relational.schema import Column, Schema, quote

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.plan.model import Plan, PlannedStep

__all__ = ["LOOKED_AT", "Samples"]

LOOKED_AT = 1_000_000
"""Rows of a table that its sample is taken from."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Where samples come from; ``made`` has what the steps before gave when they were proved."""

    loaded: Loaded
    plan: Plan
    bench: Bench
    made: dict[str, Table]
    rows: int
    seed: int

    def of(self, inputs: Mapping[str, str], hints: Hints) -> dict[str, Table] | None:
        """A sample of each input by its alias; None where the rows of one are nowhere to be had.

        Rows whose keys are those of the samples before come first: what is joined shall match.
        """
        found: dict[str, Table] = {}
        for alias, dataset in inputs.items():
            rows = self._rows(dataset)
            if rows is None:
                return None
            found[alias] = self._sample(rows, found, hints)
        return found

    def standing(self, dataset: str) -> str | None:
        """A query for the rows of a dataset as it stands; None where it does not, or with other columns."""
        producer, expected = self._expected(dataset)
        try:
            found = self._external(dataset) if producer is None else self._committed(producer, dataset)
        except OdibiError:  # what cannot be read is as good as not there
            return None
        return found[0].sql if found is not None and expected in (None, found[1]) else None

    def _rows(self, dataset: str) -> str | None:
        """The same, else for what the step that makes it gave when it was proved."""
        if (standing := self.standing(dataset)) is not None or dataset not in self.made:
            return standing
        table, (_, expected) = self.made[dataset], self._expected(dataset)
        frame: DuckFrame = self.bench.reference.from_arrow(table.rows.to_reader())
        return frame.sql if expected is None else self._as_expected(frame.sql, table.schema, expected)

    def _expected(self, dataset: str) -> tuple[PlannedStep | None, Schema | None]:
        """The step that makes a dataset, and the columns it gives it, where these are known."""
        producer = next((s for s in self.plan.steps if dataset in s.step.outputs.values()), None)
        return producer, producer.schemas.get(dataset) if producer is not None else None

    def _external(self, dataset: str) -> tuple[DuckFrame, Schema]:
        return read(self.bench.reference, *self.plan.external[dataset])

    def _committed(self, producer: PlannedStep, dataset: str) -> tuple[DuckFrame, Schema] | None:
        """What the dataset's table holds now."""
        target = next(iter(producer.targets.get(dataset, ())), None)
        if target is None:
            return None
        if target.format == "delta":
            table = open_table(target.url)
            return None if table is None else (frame_of(self.bench.reference, table), table.schema)
        source = Source(target.url, target.format)
        seen = look(self.bench.database, source, producer.schemas.get(dataset))
        return None if seen is None else read(self.bench.reference, source, seen)

    def _as_expected(self, sql: str, have: Schema, expected: Schema) -> str:
        """The rows with the columns that their table would give them: the logical date, wider types."""
        names = {column.name for column in have}

        def value(column: Column) -> str:
            if column.name in names:
                return quote(column.name)
            return f"DATE '{self.loaded.logical_date}'" if column.type == "DATE" else "NULL"

        columns = ", ".join(f"CAST({value(c)} AS {c.type}) AS {quote(c.name)}" for c in expected)
        return f"SELECT {columns} FROM ({sql})"

    def _sample(self, rows: str, before: Mapping[str, Table], hints: Hints) -> Table:
        database, number = self.bench.database, self.rows
        schema = tuple(Column(str(row[0]), str(row[1])) for row in database.rows(f"DESCRIBE {rows}"))
        with ExitStack() as stack:
            matches = []
            for table in before.values():
                if keys := _keys(schema, table.schema, hints):
                    name = database.new_name()
                    database.cursor.register(name, table.rows)
                    stack.callback(database.cursor.unregister, name)
                    equal = " AND ".join(f"mine.{quote(own)} = its.{quote(other)}" for own, other in keys)
                    matches.append(f"EXISTS (FROM {name} AS its WHERE {equal})")
            match = " OR ".join(matches) or "false"
            base = f"FROM (FROM ({rows}) LIMIT {LOOKED_AT}) AS mine"
            alike = self._some(f"{base} WHERE {match}", number // 2)
            others = self._some(f"{base} WHERE ({match}) IS NOT TRUE", number)
            found = database.cursor.sql(f"FROM ({alike} UNION ALL {others}) LIMIT {number}")
            return Table(schema, found.to_arrow_table())

    def _some(self, rows: str, number: int) -> str:
        """Rows of a query by chance, always the same."""
        return f"(FROM ({rows}) USING SAMPLE reservoir({max(number, 1)} ROWS) REPEATABLE ({self.seed}))"


def _keys(mine: Schema, its: Schema, hints: Hints) -> list[tuple[str, str]]:
    """The columns of two inputs that the query holds to be equal."""
    return [
        (a.name, b.name)
        for a in mine
        for b in its
        if a.type == b.type and frozenset((a.name.lower(), b.name.lower())) in hints.equal
    ]
