"""What is wrong after a killed run and the one after it, as sentences; nothing if they are as one undisturbed run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from odibi.chaos.holdings import Holding, committed_by, holding, orphans, recorded
from odibi.chaos.place import home_in
from odibi.datasets.target import Target
from odibi.engines.database import Database
from odibi.plan.model import Plan
from odibi.quality.quarantine import quarantine_of
from odibi.record.cache import Cache
from odibi.record.model import RunRecord, RunStatus, StepStatus
from odibi.record.store import ABANDONED

__all__ = [
    "Undisturbed",
    "Wreck",
    "executed",
    "held",
    "left_over",
    "records",
    "redone",
    "rows",
    "targets",
    "wreck",
]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a run that nobody killed leaves, and what must be known to hold others against it.

    Attributes:
        held: what each target holds, by its place below the folder.
        executed: the steps that ran, rather than being reused.
        again: those that run in every run, whatever there is: plain files do not tell what they hold.
        unlike: targets that two undisturbed runs fill with different rows, which proves nothing.
    """

    held: Mapping[str, Holding | None]
    executed: frozenset[str]
    again: frozenset[str] = frozenset()
    unlike: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wreck:
    """What a killed run has left: the runs there were, and the steps whose results are durable.

    Of a step that writes files, the cache has to tell that it was done with them.
    """

    runs: tuple[str, ...]
    durable: frozenset[str]


def targets(plan: Plan) -> list[Target]:
    """Everything the pipeline writes, its quarantines too."""
    found = []
    for step in plan.steps:
        for group in step.targets.values():
            found += [*group, *([quarantine_of(group[0])] if step.declared.quarantines else [])]
    return found


def held(plan: Plan, folder: Path) -> dict[str, Holding | None]:
    """What each target holds."""
    with Database(folder / "compare", threads=1) as db:
        return {
            Path(target.url).relative_to(folder / "lake").as_posix(): holding(db, target)
            for target in targets(plan)
        }


def executed(run: RunRecord) -> frozenset[str]:
    """The steps that the run has computed."""
    return frozenset(step.name for step in run.steps if step.status is StepStatus.COMPLETED)


def wreck(plan: Plan, folder: Path, before: Collection[str]) -> Wreck:
    """What there is after one kill or two; ``before`` are the ids of the runs there were before."""
    runs = tuple(run.run_id for run in recorded(folder).runs)
    new = [run for run in runs if run not in before]
    noted = _noted(folder, new)
    durable = {
        step.name
        for step in plan.steps
        if step.targets
        and all(
            step.name in noted if target.format != "delta" else any(committed_by(target, run) for run in new)
            for group in step.targets.values()
            for target in group
        )
    }
    return Wreck(runs, frozenset(durable))


def _noted(folder: Path, runs: Collection[str]) -> set[str]:
    """The steps of which the cache has a result of one of the runs."""
    place = home_in(folder).cache
    caches = [Cache(each) for each in place.iterdir()] if place.is_dir() else []
    return {
        one.step for cache in caches for found in cache.kept().values() for one in found if one.run_id in runs
    }


def rows(expected: Undisturbed, found: Mapping[str, Holding | None]) -> list[str]:
    """Where targets do not hold what they should."""
    wrong = []
    for place, should in expected.held.items():
        has = found.get(place)
        if has == should:
            continue
        if has is None or should is None:
            wrong.append(f"{place} is {'missing' if has is None else 'there, and should not be'}")
            continue
        if place not in expected.unlike and has.rows != should.rows:
            wrong.append(
                f"{place} holds other rows ({_count(has.rows)}) than it should ({_count(should.rows)})"
            )
        if place not in expected.unlike and has.beside != should.beside:
            wrong.append(f"{place} remembers something else beside its rows than it should")
        if len(has.writes) != len(should.writes):
            wrong.append(f"{place} was written {len(has.writes)} times instead of {len(should.writes)}")
        elif place not in expected.unlike and has.writes != should.writes:
            wrong.append(f"{place} was written from other inputs than it should")
    return wrong


def _count(digest: str) -> str:
    return f"{digest.split(':')[-2]} rows"


def redone(expected: Undisturbed, plan: Plan, found: Wreck, last: RunRecord) -> list[str]:
    """Which steps ran again though their commits were durable, or for readers that did not run."""
    ran = executed(last)
    wrong = [
        f"step {name!r} ran again, though it was {'committed' if name in found.durable else 'up to date'} before"
        for name in sorted(ran - expected.again)
        if name in found.durable or name not in expected.executed
    ]
    for step in plan.steps:
        made = set(step.step.outputs.values())
        readers = [each.name for each in plan.steps if not made.isdisjoint(each.inputs.values())]
        idle = readers and ran.isdisjoint(readers)
        if step.name in ran - expected.again and not step.targets and idle:
            wrong.append(f"step {step.name!r} ran again, and none of its readers did")
    return wrong


def records(folder: Path, before: Collection[str], *, killed: bool) -> list[str]:
    """What the run store says of the killed run and the next, where it is not the truth."""
    found = recorded(folder)
    wrong = [f"the lock {name!r} is still held" for name in found.locks]
    new = [run for run in found.runs if run.run_id not in before]
    if not new:
        return [*wrong, "the next run is not recorded"]
    last, *others = new
    if last.status is not RunStatus.SUCCEEDED:
        wrong.append(f"the next run is recorded as {last.status}: {last.error}")
    open_steps = [step.name for step in last.steps if not step.status.ended]
    if open_steps:
        wrong.append(f"the next run is recorded with open steps: {', '.join(open_steps)}")
    for run in others:
        abandoned = run.status is RunStatus.FAILED and run.error == ABANDONED
        if not (run.status is RunStatus.SUCCEEDED or (killed and abandoned)):
            wrong.append(f"the killed run is recorded as {run.status}: {run.error}")
    return wrong


def left_over(plan: Plan, folder: Path) -> list[str]:
    """Files that nobody knows."""
    found = orphans(folder, targets(plan))
    return [f"left behind: {', '.join(found[:8])}{', ...' if len(found) > 8 else ''}"] if found else []
