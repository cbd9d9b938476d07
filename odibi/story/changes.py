"""What differs between two runs of one pipeline: rows, schema, time, circumstances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from odibi.record.model import ColumnRecord, RunRecord, StepRecord, StepStatus
from odibi.story.text import NONE, duration

__all__ = ["Changes", "ColumnChange", "StepChange", "compare", "compare_columns"]

_SLOWER, _NOTABLE_SECONDS = 1.5, 0.5


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column now and before: ``kind`` is same, added, removed or retyped."""

    name: str
    type: str
    kind: str = "same"
    before: str = ""

    @property
    def said(self) -> str:
        """The change in words, empty where there is none."""
        return {"added": "new", "removed": "gone", "retyped": f"was {self.before}"}.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step now and before, None on the side where the pipeline did not have it."""

    now: StepRecord | None
    before: StepRecord | None
    columns: tuple[ColumnChange, ...] = ()

    @property
    def name(self) -> str:
        """The step's name."""
        return (self.now or self.before).name  # type: ignore[union-attr]


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since ``previous``: facts of the run as (what, before, now), and steps."""

    previous: RunRecord
    facts: tuple[tuple[str, str, str], ...]
    steps: tuple[StepChange, ...]


def compare_columns(now: Sequence[ColumnRecord], before: Sequence[ColumnRecord]) -> tuple[ColumnChange, ...]:
    """Every column of ``now`` in order, then those gone; all the same if ``before`` is empty."""
    if not before:
        return tuple(ColumnChange(column.name, column.type) for column in now)
    old = {column.name: column.type for column in before}
    out = []
    for column in now:
        was = old.pop(column.name, None)
        kind = "added" if was is None else "same" if was == column.type else "retyped"
        out.append(ColumnChange(column.name, column.type, kind, was or ""))
    return (*out, *(ColumnChange(name, was, "removed", was) for name, was in old.items()))


def compare(run: RunRecord, previous: RunRecord) -> Changes:
    """What ``run`` did otherwise than ``previous``; steps that did the same are not listed."""
    old = {step.name: step for step in previous.steps}
    steps = []
    for step in run.steps:
        before = old.pop(step.name, None)
        columns = compare_columns(step.columns, before.columns if before else ())
        changed = tuple(column for column in columns if column.kind != "same") if step.columns else ()
        if before is None or changed or _differs(step, before):
            steps.append(StepChange(step, before, changed))
    steps += [StepChange(None, step) for step in old.values()]
    return Changes(previous, _facts(run, previous), tuple(steps))


_SAME_RESULT = frozenset({StepStatus.COMPLETED, StepStatus.REUSED})


def _differs(now: StepRecord, before: StepRecord) -> bool:
    if now.sql != before.sql:
        return True
    if now.status is not before.status and {now.status, before.status} != _SAME_RESULT:
        return True
    if now.rows_out != before.rows_out and now.rows_out is not None and before.rows_out is not None:
        return True
    if now.seconds is None or before.seconds is None:
        return False
    short, long = sorted((now.seconds, before.seconds))
    return long - short >= _NOTABLE_SECONDS and long >= short * _SLOWER


def _facts(run: RunRecord, previous: RunRecord) -> tuple[tuple[str, str, str], ...]:
    pairs = [
        ("status", previous.status.value, run.status.value),
        ("logical date", previous.logical_date, run.logical_date),
        ("target", previous.target, run.target),
        ("engine", previous.engine, run.engine),
        ("config hash", previous.config_hash[:12], run.config_hash[:12]),
    ]
    for title, now, before in (
        ("version of ", run.versions, previous.versions),
        ("parameter ", run.params, previous.params),
    ):
        names = sorted({*now, *before})
        pairs += [(title + name, str(before.get(name, NONE)), str(now.get(name, NONE))) for name in names]
    differing = tuple(pair for pair in pairs if pair[1] != pair[2])
    return (("duration", duration(previous.seconds), duration(run.seconds)), *differing)
