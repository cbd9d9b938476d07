"""A pipeline proved: which steps, on which engines, with what result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from odibi.engines.database import Database
from odibi.home import Home
from odibi.prove.ask import REFERENCE
from odibi.prove.engines import bench_of, started, versions
from odibi.prove.model import Proof, StepProof, Table
from odibi.prove.samples import Samples
from odibi.prove.steps import StepProver
from odibi.relational.bind import Binder

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.plan.model import Plan, PlannedStep

__all__ = ["prove"]


def prove(
    loaded: Loaded,
    plan: Plan,
    *,
    engines: Sequence[str] = (),
    chosen: frozenset[str] = frozenset(),
    rows: int = 200,
    seed: int = 1,
    home: Home | None = None,
    begun: Callable[[Sequence[str], Mapping[str, str]], None] | None = None,
    told: Callable[[StepProof], None] | None = None,
) -> Proof:
    """Prove a pipeline's steps. Reads only.

    Args:
        loaded: the config.
        plan: what a run of it would do.
        engines: the engines to hold against DuckDB, all that are installed if empty.
        chosen: the names of the steps to prove, all if empty.
        rows: how many rows of each input are sampled; edge rows come on top.
        seed: equal seeds try equal rows.
        home: where what spills goes.
        begun: told of the engines, and why others are left out, before the first step.
        told: told of every step when it is done.

    Raises:
        MissingExtra: an engine is not installed.
        Permanent: an engine is unknown or cannot be started.
    """
    wanted = chosen or frozenset(step.name for step in plan.steps)
    scratch = (home or Home.find()).scratch(loaded.run_id)
    with (
        Database(scratch, threads=1) as database,
        bench_of(database, engines) as (bench, absent),
        closing(Binder()) as binder,
    ):
        names = (REFERENCE, *(engine.name for engine in bench.others))
        if begun is not None:
            begun(names, absent)
        made: dict[str, Table] = {}
        needed = _needed(plan, Samples(loaded, plan, bench, made, rows, seed), wanted)
        found = []
        for number, step in enumerate(plan.steps):
            if step.name not in wanted and step.name not in needed:
                continue
            # What nobody keeps must be computed for the steps that read it; that is no proof.
            asked = names if step.name in wanted else (REFERENCE,)
            # Thousands of small tables are made of a step: they go with its database.
            with Database(scratch / str(number), threads=1) as own, started(own, asked) as engines_of_step:
                samples = Samples(loaded, plan, engines_of_step, made, rows, seed)
                proof = StepProver(loaded, plan, engines_of_step, binder, samples, seed).prove(step)
            if step.name in wanted:
                found.append(proof)
                if told is not None:
                    told(proof)
    return Proof(names, absent, versions(names), seed, tuple(found))


def _needed(plan: Plan, samples: Samples, wanted: frozenset[str]) -> set[str]:
    """The steps whose result a wanted step reads, and that stands nowhere yet."""
    needed: set[str] = set()
    waiting = [step for step in plan.steps if step.name in wanted]
    while waiting:
        for maker in _makers(plan, waiting.pop(), samples):
            if maker.name not in needed:
                needed.add(maker.name)
                waiting.append(maker)
    return needed


def _makers(plan: Plan, step: PlannedStep, samples: Samples) -> Iterator[PlannedStep]:
    for maker in plan.steps:
        read = set(step.inputs.values()) & set(maker.step.outputs.values())
        if read and any(samples.standing(dataset) is None for dataset in read):
            yield maker
