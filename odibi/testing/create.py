"""A test of a step written from live data: a few rows of its inputs, and what it makes of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from odibi.config.loaded import Loaded
from odibi.datasets.source import read
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB
from odibi.errors import Permanent
from odibi.plan.model import Plan, PlannedStep
from odibi.prove.ask import REFERENCE, Bench
from odibi.prove.model import Table
from odibi.prove.samples import LOOKED_AT, Samples
from odibi.relational.schema import Column, masked, quote
from odibi.testing.compute import compute
from odibi.testing.suite import unfit

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["created"]

WIDER = 20
"""How many times more rows are taken of the inputs of a step that nobody keeps: it may keep few of them."""


def created(loaded: Loaded, plan: Plan, planned: PlannedStep, rows: int) -> dict[str, Any]:
    """The test as data of a ``tests:`` entry; sensitive columns are masked before the step sees them.

    Args:
        loaded: the config, on the day and with the clock of the test.
        plan: what a run of it would do.
        planned: the step.
        rows: how many rows of each input it gives.

    Raises:
        Permanent: the step cannot be tested, an input is nowhere to be had, or the step fails.
    """
    if why := unfit(planned.step):
        raise Permanent(f"step {planned.name!r}: {why}")
    with tempfile.TemporaryDirectory(prefix="odibi-test-") as name:
        folder = Path(name)
        with Database(folder / "rows", threads=1) as db:
            live = _Live(loaded, plan, db, folder)
            given = live.some(planned, rows)
            made = compute(loaded, planned, given, folder / "test", db, forced=False)
    test: dict[str, Any] = {"name": "as it is", "date": loaded.logical_date.isoformat()}
    test["given"] = {dataset: _plain(table) for dataset, table in given.items()}
    types = {dataset: _told_types(table) for dataset, table in given.items() if not _known(plan, dataset)}
    if types:
        test["types"] = types
    if made.error:
        test["expect_error"] = made.error
        return test
    test["expect"] = {dataset: _plain(table) for dataset, table in made.tables.items()}
    if made.quarantine is not None and len(made.quarantine):
        test["expect_quarantine"] = _plain(made.quarantine, without="_odibi_")
    return test


class _Live:
    """Where rows are taken from: tables, files, and steps that nobody keeps the result of."""

    def __init__(self, loaded: Loaded, plan: Plan, db: Database, folder: Path) -> None:
        self.loaded = loaded
        self.plan = plan
        self.db = db
        self.folder = folder
        bench = Bench(db, {REFERENCE: DuckDB(db)})
        self.labels: dict[str, dict[str, str]] = {}  # what stands for a value, by column
        self.samples = Samples(loaded, plan, bench, {}, 0, 0)

    def some(self, planned: PlannedStep, rows: int) -> dict[str, Table]:
        """A few rows of each input of a step, those first that share values with the inputs before."""
        found: dict[str, Table] = {}
        for dataset in dict.fromkeys(planned.inputs.values()):
            found[dataset] = self._hidden(self._taken(self._query(dataset, rows), found.values(), rows))
        return found

    def _query(self, dataset: str, rows: int) -> str:
        """A query for the rows of a dataset as it stands, else for what its step makes of a few."""
        if (standing := self.samples.standing(dataset)) is not None:
            return standing
        producer = next((step for step in self.plan.steps if dataset in step.step.outputs.values()), None)
        if producer is None or producer.targets:
            raise Permanent(f"{dataset!r} has not been written yet", hint="run the pipeline first")
        if producer.step.ingests:
            if producer.source is None or producer.seen is None:
                raise Permanent(f"there is nothing to read for {dataset!r}")
            frame, _ = read(DuckDB(self.db), producer.source, producer.seen)
            return str(frame.sql)
        if why := unfit(producer.step):
            raise Permanent(f"{dataset!r} is kept nowhere, and its step cannot be run for a test: {why}")
        given = self.some(producer, rows * WIDER)
        made = compute(self.loaded, producer, given, self.folder / producer.name, self.db, forced=False)
        if made.error:
            raise Permanent(f"step {producer.name!r}, which makes {dataset!r}, fails: {made.error}")
        name = self.db.new_name()
        cursor = self.db.computing()
        cursor.register("odibi_made", made.tables[dataset].rows)
        cursor.execute(f"CREATE TABLE {name} AS FROM odibi_made")
        cursor.unregister("odibi_made")
        return f"FROM {name}"

    def _taken(self, sql: str, before: Iterable[Table], rows: int) -> Table:
        columns = tuple(Column(str(row[0]), str(row[1])) for row in self.db.rows(f"DESCRIBE {sql}"))
        shared = " + ".join(_shares(columns, before))
        order = [f"{shared} DESC"] if shared else []
        order += [quote(column.name) for column in columns]
        query = f"SELECT * FROM (FROM ({sql}) LIMIT {LOOKED_AT}) ORDER BY {', '.join(order)} LIMIT {rows}"
        return Table(columns, self.db.cursor.sql(query).to_arrow_table())

    def _hidden(self, table: Table) -> Table:
        """The rows with other values in sensitive columns: equal ones stay equal, text text, all else NULL."""
        rows = table.rows
        for name in masked(table.schema, self.loaded.pipeline.sensitive):
            at = rows.schema.get_field_index(name)
            labels = self.labels.setdefault(name, {})
            values = [None if value is None else _label(name, value, labels) for value in _texts(rows, at)]
            rows = rows.set_column(at, rows.schema.field(at), _column(values, rows.schema.field(at).type))
        return Table(table.schema, rows)


def _label(name: str, value: str, labels: dict[str, str]) -> str:
    """What stands for a value; a label, of rows that were made of masked ones, stands for itself."""
    if value not in labels:
        label = f"{name} {len(labels) // 2 + 1}"
        labels[value] = labels[label] = label
    return labels[value]


def _texts(rows: pa.Table, at: int) -> list[str | None]:
    """The values of a column of text; of another one nothing."""
    values = rows.column(at).to_pylist()
    return [value if isinstance(value, str) else None for value in values]


def _column(values: list[str | None], kind: pa.DataType) -> pa.Array[Any]:
    import pyarrow as pa

    return pa.array(values, kind)


def _shares(columns: Sequence[Column], before: Iterable[Table]) -> Iterator[str]:
    """For each column, 1 where a row has a value that an input before has in its column of that name."""
    for table in before:
        types = {column.name: column.type for column in table.schema}
        for column in columns:
            if types.get(column.name) == column.type and column.type in (
                "VARCHAR",
                "BIGINT",
                "INTEGER",
                "DATE",
            ):
                values = {value for value in table.rows.column(column.name).to_pylist() if value is not None}
                if values:
                    listed = ", ".join(_literal(value) for value in sorted(values))
                    yield f"coalesce(CAST({quote(column.name)} IN ({listed}) AS INTEGER), 0)"


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _known(plan: Plan, dataset: str) -> bool:
    """Whether the config tells the columns of a dataset, so that a test need not."""
    producer = next((step for step in plan.steps if dataset in step.step.outputs.values()), None)
    if producer is None or not producer.step.ingests:
        return producer is not None and producer.compiled is not None
    return "schema" in producer.step.params


def _told_types(table: Table) -> dict[str, str]:
    return {column.name: column.type for column in table.schema}


def _plain(table: Table, without: str = "") -> list[dict[str, Any]]:
    """The rows as YAML can hold them; exact numbers, dates and times as text."""
    names = [column.name for column in table.schema if not without or not column.name.startswith(without)]
    return [{name: _cell(row[name]) for name in names} for row in table.rows.to_pylist()]


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, Decimal | date | time | timedelta | UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Mapping):
        return {str(key): _cell(item) for key, item in value.items()}
    return [_cell(item) for item in value] if isinstance(value, list | tuple) else value
