"""What a step's checks cannot be asked: said by the plan where they stand, and by the run before they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from odibi.config.checks import CHECKED, Freshness, Query
from odibi.config.models import WriteMode
from odibi.observe import Observed
from odibi.observe.increments import reads_new
from odibi.quality.rules import CheckError, rules_of, tables_of
from odibi.quality.rules import bound as bound_to
from odibi.relational.bind import Binder, BindError
from odibi.relational.schema import Schema

__all__ = ["check_objections"]

Objection = tuple[tuple[Any, ...], str, str]
"""Where below the step, what is wrong there, and what to do."""


def _late(observed: Observed) -> Iterator[Objection]:
    """Rows that come back from quarantine later than others of their key, which nobody could tell from newer ones."""
    if not (observed.declared.quarantines and observed.targets and reads_new(observed.step)):
        return
    write = next(iter(observed.targets.values()))[0].write
    if write.mode in (WriteMode.MERGE, WriteMode.SCD2) and write.sequence_by is None:
        message = (
            f"the step reads only what is new, so rows come back from quarantine later than others of their key, "
            f"and mode {write.mode} cannot tell which is newer"
        )
        yield ("write",), message, "give the write a sequence_by"


def check_objections(
    observed: Observed, dataset: str, schema: Schema | None, lookups: Mapping[str, Schema], binder: Binder
) -> Iterator[Objection]:
    """Everything that speaks against the checks of rows of ``schema``; of None what is wrong for any rows."""
    checks = observed.declared.checks
    for number, check in enumerate(checks):
        if check.on_fail == "quarantine" and not observed.targets:
            message = "quarantine stands beside the table that a step writes, and this one writes none"
            yield ("checks", number), message, "give the step a write, or on_fail: warn"
            break
    yield from _late(observed)
    for number, check in enumerate(checks):
        if isinstance(check, Freshness) and check.column is None and not observed.step.ingests:
            message = "freshness needs a column here: only of a step that reads files do these tell an age"
            yield ("checks", number), message, "such as freshness: {column: updated_at, within: 6h}"
    if schema is None:
        return
    for rule in rules_of(checks):
        try:
            bound_to((rule,), schema, lookups, binder)
        except CheckError as error:
            yield error.path, error.message, error.hint
        if isinstance(rule.check, Query):
            tables = {dataset.lower(): (dataset, schema)} | {
                alias.removeprefix(CHECKED).lower(): (alias.removeprefix(CHECKED), columns)
                for alias, columns in lookups.items()
            }
            if not {name.lower() for name in tables_of(rule.check)} <= tables.keys():
                continue
            try:
                binder.describe(rule.check.query.strip().rstrip(";"), dict(tables.values()))
            except BindError as error:
                yield ("checks", rule.number, "sql", "query"), f"{rule.name}: {error.message}", error.hint
