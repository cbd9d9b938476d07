"""What differs between two runs of one pipeline: rows, schema, checks, code, time, circumstances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff

from odibi.record.model import CheckRecord, ColumnRecord, RunRecord, StepRecord, StepStatus
from odibi.story.text import NONE, count, duration

__all__ = ["Changes", "CheckChange", "ColumnChange", "StepChange", "compare", "compare_columns"]

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
class CheckChange:
    """A rule whose outcome is another one, in words; empty on the side where it was not asked."""

    name: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step now and before, None on the side where the pipeline did not have it."""

    now: StepRecord | None
    before: StepRecord | None
    columns: tuple[ColumnChange, ...] = ()
    checks: tuple[CheckChange, ...] = ()

    @property
    def name(self) -> str:
        """The step's name."""
        return (self.now or self.before).name  # type: ignore[union-attr]

    @property
    def sql(self) -> tuple[str, ...]:
        """The lines of SQL that are not the same, as a unified diff without its header."""
        if self.now is None or self.before is None:
            return ()
        old, new = self.before.sql.splitlines(), self.now.sql.splitlines()
        return tuple(unified_diff(old, new, lineterm="", n=2))[2:]


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since ``previous``: facts of the run as (what, before, now), and steps.

    ``decisions`` are (before, now, names of steps) where it was decided otherwise what to do with a step.
    """

    previous: RunRecord
    facts: tuple[tuple[str, str, str], ...]
    steps: tuple[StepChange, ...]
    decisions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()


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
        checks = _checks(step, before) if before is not None else ()
        if before is None or changed or checks or _differs(step, before):
            steps.append(StepChange(step, before, changed, checks))
    steps += [StepChange(None, step) for step in old.values()]
    return Changes(previous, _facts(run, previous), tuple(steps), _decisions(run, previous))


def _decisions(run: RunRecord, previous: RunRecord) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    old = {step.name: step.decision for step in previous.steps}
    found: dict[tuple[str, str], list[str]] = {}
    for step in run.steps:
        if (was := old.get(step.name, step.decision)) != step.decision:
            found.setdefault((was, step.decision), []).append(step.name)
    return tuple((was, now, tuple(names)) for (was, now), names in found.items())


def _checks(now: StepRecord, before: StepRecord) -> tuple[CheckChange, ...]:
    """The rules with another outcome; none where a step was not computed, because nothing was asked then."""
    if now.status is not StepStatus.COMPLETED or before.status is not StepStatus.COMPLETED:
        return ()
    old = {check.name: _outcome(check) for check in before.checks}
    new = {check.name: _outcome(check) for check in now.checks}
    return tuple(
        CheckChange(name, old.get(name, ""), new.get(name, ""))
        for name in dict.fromkeys((*new, *old))
        if old.get(name) != new.get(name)
    )


def _outcome(check: CheckRecord) -> str:
    """``passed``, ``quarantined, 3 rows``."""
    return f"{check.status}, {count(check.broken, 'row')}" if check.broken else check.status


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
