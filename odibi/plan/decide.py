"""Whether a step's last result still is its result, and if not, why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from odibi.datasets.kept import Held, Kept
from odibi.datasets.target import Target
from odibi.observe import Observed
from odibi.plan.fingerprint import what_changed
from odibi.plan.model import Action, Decision, PlannedStep

__all__ = ["decide", "held_of", "seen_by_readers", "stands", "without_idle"]


def stands(kept: Sequence[Kept], key: str | None, *, volatile: bool) -> Kept | None:
    """The result of that key, if it may stand in for a computation; None if none may.

    Where equal inputs may give another result, only the one of the run that is resumed may.
    """
    return next((one for one in kept if one.key == key and (one.resumed or not volatile)), None)


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
    if (found := stands(observed.kept, key, volatile=volatile)) is not None:
        done = f"done by the run that is resumed, {found.run_id[:8]}"
        return Decision(
            Action.REUSE, done if found.resumed else f"nothing changed since run {found.run_id[:8]}"
        )
    beside = any(target.format != "delta" for group in observed.targets.values() for target in group)
    if beside or not observed.targets:
        steady = not volatile or any(one.resumed for one in observed.kept)
        reason = _not_kept(observed, key, parts, versions) if steady else _unsteady(observed)
        return Decision(Action.RUN, reason)
    commits = [observed.commits.get(dataset) for dataset in observed.targets]
    known = [commit for commit in commits if commit is not None]
    if len(known) < len(commits):
        dated = any(group[0].mode != "overwrite" for group in observed.targets.values())
        return Decision(Action.RUN, f"nothing written{f' for {day}' if dated else ''} yet")
    if volatile:
        return Decision(Action.RUN, _unsteady(observed))
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


def _unsteady(observed: Observed) -> str:
    if not observed.step.cache:
        return "cache: false"
    if observed.function is not None:
        return "it has no inputs, so only running it tells"
    return "its answer depends on the clock or on chance"


def _not_kept(
    observed: Observed, key: str | None, parts: Mapping[str, Any], versions: Mapping[str, str | None]
) -> str:
    """Why no result stands in for a step that does not write to Delta tables alone."""
    if any(target.format == "database" for group in observed.targets.values() for target in group):
        return "a database does not tell what its tables hold"
    if observed.kept and key is None:
        return (
            f"{', '.join(sorted(name for name, version in versions.items() if version is None))} may change"
        )
    if observed.kept:
        return what_changed(observed.kept[0].made_of, parts)
    if observed.lost:
        return "its result is not as it was left"
    return "plain files do not tell what they hold" if observed.targets else "its result is not kept"


def seen_by_readers(
    observed: Observed, dataset: str, decision: Decision, key: str | None, *, volatile: bool
) -> str | None:
    """The data version a reader of the dataset will see, None where only the run will tell."""
    if (
        held := held_of(observed.targets, observed.kept, dataset, decision, key)
    ) is not None and held.version:
        return held.version
    if not observed.targets:
        return f"key:{key}" if key and not volatile else None
    standing = observed.standing.get(dataset)
    return standing.version if standing is not None and decision.action is not Action.RUN else None


def held_of(
    targets: Mapping[str, tuple[Target, ...]],
    kept: Sequence[Kept],
    dataset: str,
    decision: Decision,
    key: str | None,
) -> Held | None:
    """What stands for a dataset that is not computed; None where its table, or only its place, tells."""
    group = targets.get(dataset, ())
    if decision.action is Action.RUN or (group and group[0].format == "delta"):
        return None
    named = not group or decision.action is Action.REUSE  # else: files that stand, whatever made them
    those = [one for one in kept if one.key == key] if named else kept
    return next((one.datasets[dataset] for one in those if dataset in one.datasets), None)


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
