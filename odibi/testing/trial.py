"""One test: its rows as tables in a scratch folder, its step run there by the orchestrator, its tables compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from time import monotonic
from typing import Any

from odibi.config.load import load
from odibi.config.loaded import Loaded
from odibi.config.models import Step
from odibi.config.steptests import ONLY, Rows, StepTest
from odibi.engines.database import Database
from odibi.errors import ConfigError, Problem
from odibi.plan.model import Plan
from odibi.prove.model import Table
from odibi.relational.schema import Schema
from odibi.testing.compare import compared
from odibi.testing.compute import Computed, bookkeeping, compute
from odibi.testing.model import CaseResult, Difference
from odibi.testing.rows import RowError, columns_of, rows_of, table_of
from odibi.testing.suite import Case

__all__ = ["DEFAULT_DATE", "Asked", "run_case"]

DEFAULT_DATE = date(2026, 1, 1)
"""The logical date of a test that names none: always the same, so that it cannot come out otherwise tomorrow."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which pipeline, and with what; ``engine`` is asked for steps that name another one too."""

    config: str
    target: str | None = None
    params: Mapping[str, Any] | None = None
    engine: str | None = None

    def at(self, test: StepTest) -> Loaded:
        """The pipeline on the day of the test, its clock standing."""
        day = date.fromisoformat(test.date) if test.date else DEFAULT_DATE
        now = datetime.fromisoformat(test.now) if test.now else datetime.combine(day, time.min)
        now = now if now.tzinfo else now.replace(tzinfo=UTC)
        return load(
            self.config,
            date=day.isoformat(),
            target=self.target,
            params=self.params,
            engine=self.engine,
            now=now,
        )


def run_case(asked: Asked, case: Case, plan: Plan) -> CaseResult:
    """Run a test. What goes wrong in its step is in the result, not raised.

    Args:
        asked: the pipeline.
        case: the test.
        plan: its steps as far as the config tells.

    Raises:
        ConfigError: rows that it gives do not fit their columns.
    """
    began = monotonic()
    loaded, test = asked.at(case.test), case.test
    with tempfile.TemporaryDirectory(prefix="odibi-test-") as name:
        folder = Path(name)
        with Database(folder / "rows", threads=1) as db:
            given = _given(case, plan, loaded, db, folder)
            differences: tuple[Difference, ...] = ()
            try:
                made = compute(
                    loaded, plan[case.step.name], given, folder, db, forced=asked.engine is not None
                )
            except RowError as refused:
                error = refused.message
            else:
                error = made.error
                if test.expect_error is not None:
                    error = _not_as_expected(test.expect_error, made.error)
                elif not made.error:
                    differences = tuple(_differences(case, made, loaded, db))
    placed = case.placed((), "", "")
    where = f"{placed.file}:{placed.line}"
    return CaseResult(case.step.name, test.name, where, differences, error, monotonic() - began)


def _not_as_expected(expected: str, said: str) -> str:
    if expected in said:
        return ""
    return f"it fails otherwise: {said}" if said else f"it does not fail, and was to say: {expected}"


# --- what is given ---------------------------------------------------------------------------------


def _given(case: Case, plan: Plan, loaded: Loaded, db: Database, folder: Path) -> Mapping[str, Table]:
    """The tables that the test gives, by dataset. Raises ConfigError for rows that mean nothing."""
    names = case.names(plan[case.step.name])
    types = {names[name]: given for name, given in case.test.types.items()}
    found: dict[str, Table] = {}
    problems: list[Problem] = []
    for name, rows in case.test.given.items():
        dataset = names[name]
        known = _known(plan, dataset)
        try:
            each = rows_of(rows, loaded, db, known)
            schema = columns_of(each, known, types.get(dataset, {}), db, folder / "shown")
            if dataset in case.step.outputs.values():
                schema = _without_own(schema, each, case.step)
            found[dataset] = table_of(each, schema, db)
        except RowError as error:
            path = ("given", name, *(error.path if not isinstance(rows, str) else ()))
            row = f"row {error.path[0] + 1}: " if error.path else ""
            problems.append(
                case.placed(path, f"test {case.name!r}: {dataset}: {row}{error.message}", error.hint)
            )
    if problems:
        raise ConfigError(problems)
    return found


def _known(plan: Plan, dataset: str) -> Schema | None:
    """The columns of a dataset as the config tells them."""
    if dataset in plan.external:
        return plan.external[dataset][1].schema
    return next((step.schemas[dataset] for step in plan.steps if dataset in step.schemas), None)


def _without_own(schema: Schema, rows: tuple[Mapping[str, Any], ...], step: Step) -> Schema:
    """The columns of a target without those that its write adds, where no row names one of them."""
    own = bookkeeping(step)
    if any(name in own for row in rows for name in row):
        return schema
    return tuple(column for column in schema if column.name not in own)


# --- what is expected ------------------------------------------------------------------------------


def _differences(case: Case, made: Computed, loaded: Loaded, db: Database) -> Iterator[Difference]:
    test = case.test
    only = next(iter(case.step.outputs.values()))
    wanted: dict[str, tuple[Rows, Table]] = {
        only if name == ONLY else name: (rows, made.tables[only if name == ONLY else name])
        for name, rows in (test.expect or {}).items()
    }
    if test.expect_quarantine is not None and made.quarantine is not None:
        wanted["quarantine"] = (test.expect_quarantine, made.quarantine)
    for name, (rows, found) in wanted.items():
        try:
            expected = rows_of(rows, loaded, db, found.schema)
        except RowError as error:
            yield Difference(name, said=error.message)
            continue
        keys = case.step.write.keys if case.step.write is not None and name != "quarantine" else ()
        difference = compared(
            name, expected, found, db, keys=keys, ordered=test.ordered, partial=test.partial
        )
        if difference is not None:
            yield difference
