"""Whether a step's last result still is its result, and if not, why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from odibi.observe import Observed
from odibi.plan.fingerprint import what_changed
from odibi.plan.model import Action, Decision, PlannedStep

__all__ = ["decide", "seen_by_readers", "without_idle"]


def decide(
    observed: Observed,
    key: str | None,
    parts: Mapping[str, Any],
    versions: Mapping[str, str | None],
    day: date,
    *,
    volatile: bool,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Decision:
    """What is to be done with a step that is wanted.

    Args:
        observed: the step and its last commits.
        key: identifies its result now, None where an input's version is not known yet.
        parts: what the key is made of.
        versions: data version of each input.
        day: the logical date.
        volatile: whether equal inputs may give another result.
        columns: of the inputs whose version is of some columns only, which.
    """
    if not observed.targets:
        return Decision(Action.RUN, "its result is not kept")
    if any(target.format != "delta" for group in observed.targets.values() for target in group):
        return Decision(Action.RUN, "plain files do not tell what they hold")
    commits = [observed.commits.get(dataset) for dataset in observed.targets]
    known = [commit for commit in commits if commit is not None]
    if len(known) < len(commits):
        dated = any(group[0].mode != "overwrite" for group in observed.targets.values())
        return Decision(Action.RUN, f"nothing written{f' for {day}' if dated else ''} yet")
    if volatile:
        outside = observed.function is not None
        reason = (
            "it has no inputs, so only running it tells"
            if outside
            else "its answer depends on the clock or on chance"
        )
        return Decision(Action.RUN, reason)
    if key is None:
        unknown = sorted(name for name, version in versions.items() if version is None)
        return Decision(Action.RUN, f"{', '.join(unknown)} may change")
    other = next((commit.note for commit in known if commit.note.get("key") != key), None)
    if other is None:
        made = ", ".join(str(commit.version) for commit in known)
        return Decision(Action.REUSE, f"nothing changed since version {made}")
    if "key" not in other:
        return Decision(Action.RUN, "its table was changed by somebody else")
    return Decision(Action.RUN, what_changed(other.get("parts", {}), parts, columns))


def seen_by_readers(
    observed: Observed, dataset: str, decision: Decision, key: str | None, *, volatile: bool
) -> str | None:
    """The data version a reader of the dataset will see, None where only the run will tell."""
    if not observed.targets:
        return f"key:{key}" if key and not volatile else None
    standing = observed.standing.get(dataset)
    return standing.version if standing is not None and decision.action is not Action.RUN else None


def without_idle(planned: Sequence[PlannedStep]) -> list[PlannedStep]:
    """The steps with the number of their readers; those that would hand a result to nobody are skipped.

    Only steps whose readers were asked for can be idle: a result that nobody reads is an end in itself.
    """
    asked = {d for step in planned if step.decision.action is not Action.SKIP for d in step.inputs.values()}
    readers: dict[str, int] = {}
    out: list[PlannedStep] = []
    for each in reversed(planned):
        step = replace(each, readers=sum(readers.get(dataset, 0) for dataset in each.step.outputs.values()))
        read = not asked.isdisjoint(step.step.outputs.values())
        if step.decision.action is Action.RUN and not step.targets and read and not step.readers:
            step = replace(step, decision=Decision(Action.SKIP, "no step that runs needs it"))
        if step.decision.action is Action.RUN:
            for dataset in set(step.inputs.values()):
                readers[dataset] = readers.get(dataset, 0) + 1
        out.append(step)
    return out[::-1]
