"""Where a step runs: here, or on a runtime elsewhere, alone or together with others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from odibi.config.models import Pipeline, Step
from odibi.operations.memory import size_of
from odibi.plan.engines import shown
from odibi.plan.model import Action, PlannedStep
from odibi.registry import Registry

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.errors import Problem

__all__ = ["HERE", "OBJECTIONS", "groups", "may_leave", "out_of_reach", "places", "runtime_of", "together"]

HERE = "local"

Objections = Callable[["Loaded", Sequence[PlannedStep], Mapping[str, PlannedStep]], Iterable["Problem"]]

OBJECTIONS: Registry[Objections] = Registry(
    "runtime", {"kubernetes": "odibi.kubernetes.objections:objections"}
)
"""What a runtime elsewhere has against the steps that are to run there; the last argument is who makes which dataset."""


def runtime_of(pipeline: Pipeline, step: Step, size: int) -> tuple[str, str]:
    """The runtime of a step that reads ``size`` bytes; why, where its size decided."""
    said = pipeline.runtime
    named: str = step.runtime or (said.get(step.layer, "local") if isinstance(said, Mapping) else said)
    if named != "auto":
        return named, ""
    cluster = pipeline.kubernetes
    if cluster is None:  # a check of the config asks for one
        return HERE, ""
    large = size > size_of(cluster.threshold)
    where, than = ("on kubernetes", "above") if large else ("here", "not above")
    return ("kubernetes" if large else HERE), f"{where}: it reads {shown(size)}, {than} {cluster.threshold}"


def may_leave(pipeline: Pipeline) -> bool:
    """Whether any step may run elsewhere."""
    said = pipeline.runtime.values() if isinstance(pipeline.runtime, Mapping) else (pipeline.runtime,)
    return any(each not in (None, HERE) for each in (*said, *(step.runtime for step in pipeline.steps)))


def groups(steps: Sequence[PlannedStep]) -> Iterator[tuple[PlannedStep, ...]]:
    """The steps that will run elsewhere, as they go there together if everything else ends in time."""
    plan = {planned.name: planned for planned in steps}
    done: set[str] = set()
    waiting = dict(plan)
    while waiting:
        ready = [name for name, planned in waiting.items() if done.issuperset(planned.upstream)]
        near = [
            name
            for name in ready
            if waiting[name].runtime == HERE or waiting[name].decision.action is not Action.RUN
        ]
        gone = near or [planned.name for planned in together(plan, ready[0], done, set())]
        if not near:
            yield tuple(plan[name] for name in gone)
        done.update(gone)
        waiting = {name: planned for name, planned in waiting.items() if name not in done}


def together(
    plan: Mapping[str, PlannedStep], first: str, done: AbstractSet[str], busy: AbstractSet[str]
) -> tuple[PlannedStep, ...]:
    """The steps that go to the runtime as one: the first, and those that need nothing but these and what is done.

    Steps that name their runtime themselves go alone, others with those of their layer; Spark has another image.

    Args:
        plan: all steps by name, in an order in which they can run.
        first: a step that can start.
        done: the steps that have ended.
        busy: those that are under way.
    """
    group, chosen = _group(plan[first]), {first}
    for name, planned in plan.items():
        waits = name not in done and name not in busy and planned.decision.action is Action.RUN
        if waits and _group(planned) == group and all(up in done or up in chosen for up in planned.upstream):
            chosen.add(name)
    return tuple(planned for name, planned in plan.items() if name in chosen)


def _group(planned: PlannedStep) -> tuple[str, str, bool]:
    step = planned.step
    alone = step.name if step.runtime is not None or step.resources is not None else ""
    return planned.runtime, alone or f"layer {step.layer}", planned.engine == "spark"


def out_of_reach(loaded: Loaded, steps: Sequence[PlannedStep]) -> Iterator[Problem]:
    """A problem for each step that could not run where it is to: it reads or writes what is not there."""
    makers = {dataset: planned for planned in steps for dataset in planned.step.outputs.values()}
    for planned in steps:
        for dataset in planned.inputs.values():
            maker = makers.get(dataset)
            if maker is not None and not maker.targets and maker.runtime != planned.runtime:
                yield loaded.problem(
                    ("steps", planned.index),
                    f"step {planned.name!r} runs on {planned.runtime} and reads {dataset!r}, which {maker.name!r} "
                    f"makes on {maker.runtime} and keeps nowhere",
                    f"give {maker.name!r} a write, or both the same runtime",
                )
    for name in sorted({planned.runtime for planned in steps} - {HERE}):
        far = [planned for planned in steps if planned.runtime == name]
        yield from OBJECTIONS.get(name)(loaded, far, makers)


def places(planned: PlannedStep, makers: Mapping[str, PlannedStep]) -> Iterator[str]:
    """The URLs of all that a step reads and writes; ``makers`` are the steps of a plan by dataset."""
    if planned.source is not None:
        yield planned.source.url
    read = [makers[dataset] for dataset in planned.inputs.values() if dataset in makers]
    for each in (planned, *read):
        for group in each.targets.values():
            yield from (target.url for target in group)
