"""What is noted of a result once it is made, for the checkpoint of this run and for the cache of later ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from odibi.config.models import WriteMode
from odibi.datasets.files import join
from odibi.datasets.kept import Held, Kept, Spot, marked
from odibi.datasets.shelf import lay
from odibi.datasets.staging import Intents
from odibi.datasets.target import Job, Target, Written, part_of
from odibi.engines.base import Staged
from odibi.plan.decide import stands
from odibi.plan.model import Action, Plan, PlannedStep
from odibi.record.cache import Cache, with_parts
from odibi.relational.schema import Schema

__all__ = ["Keeping", "Result", "needed_later", "resumed"]


@dataclass(frozen=True, slots=True)
class Result:
    """A dataset that was made: ``written`` where it was, ``staged`` where nobody keeps it but it was computed."""

    version: str
    schema: Schema
    rows: int | None
    written: Written | None
    staged: Staged | None

    @property
    def parts(self) -> tuple[str, ...]:
        """The Parquet files of this run that hold it."""
        staged = self.staged if self.written is None else self.written.staged
        return tuple(part.path for part in staged.parts) if staged is not None else ()


@dataclass
class Keeping:
    """Where a run keeps results; its methods may be called from any thread.

    Attributes:
        cache: for later runs, None where that is off.
        data: the folder of this run's checkpoints for rows, empty where those are off.
        spilled: steps whose rows are put there: nobody else keeps them, and others will need them.
        noted: the results of this run so far, by step.
        hide: takes secrets out; a result whose places hold one is not noted.
    """

    cache: Cache | None = None
    data: str = ""
    spilled: frozenset[str] = frozenset()
    noted: dict[str, Kept] = field(default_factory=dict)
    hide: Callable[[Any], Any] = lambda value: value

    def keep(
        self,
        planned: PlannedStep,
        job: Job,
        results: Mapping[str, Result],
        intents: Intents,
        *,
        volatile: bool,
    ) -> tuple[str, ...]:
        """Note what a step has made. What could not be kept is told, and is no failure of the step."""
        formats = {target.format for group in planned.targets.values() for target in group}
        cache = self.cache if planned.step.cache and not volatile and formats != {"delta"} else None
        handed_over = any(result.written is None and result.staged is None for result in results.values())
        if handed_over or (cache is None and not self.data):
            return ()
        try:
            kept = Kept(
                step=planned.name,
                key=job.key,
                made_of=dict(job.parts),
                run_id=job.run_id,
                at=datetime.now(UTC),
                datasets={
                    name: _held(result, planned.targets.get(name, ()), job)
                    for name, result in results.items()
                },
            )
            if self.hide(kept) != kept:
                return ()
            # Readers of files are given the types and the order that were computed, not what a file says of them.
            beside = not formats or (planned.readers and "delta" not in formats)
            parts = {
                name: result.parts
                for name, result in results.items()
                if beside and kept.datasets[name].version
            }
            if cache is not None:
                kept = cache.save(kept, parts, intents)
            if planned.name in self.spilled:
                folder = f"{self.data}/{planned.name}"
                kept, files = with_parts(kept, parts, folder)
                lay(folder, files, {}, intents)
        except OSError as error:
            return (f"its result could not be kept: {error.strerror or error}",)
        if self.data and (planned.targets or all(held.parts is not None for held in kept.datasets.values())):
            self.noted[planned.name] = kept
        return ()


def _held(result: Result, targets: tuple[Target, ...], job: Job) -> Held:
    """What stands of a dataset, and where."""
    spots = []
    for target in targets:
        if target.format == "delta":
            version = result.written.version if result.written is not None else None
            spots.append(Spot(url=target.url, format="delta", version=version))
            continue
        if target.format == "database":
            spots.append(Spot(url=target.url, format=target.format))
            continue
        part = part_of(target, job)
        files = marked(join(target.url, f"{part}.{target.format}") if part else target.url)
        spots.append(Spot(url=target.url, format=target.format, files=files))
    grows = bool(targets) and targets[0].mode is WriteMode.APPEND  # readers see what others appended too
    columns = tuple((column.name, column.type) for column in result.schema)
    return Held(
        version="" if grows else result.version, columns=columns, rows=result.rows, spots=tuple(spots)
    )


def needed_later(plan: Plan, *, at_once: bool) -> frozenset[str]:
    """Steps that hand their result to another layer (``at_once``: to any step) and keep it nowhere.

    What only reads a source is left out: it can be read again.
    """
    makers = {dataset: step for step in plan.steps for dataset in step.step.outputs.values()}
    found = set()
    for reader in plan.steps:
        for dataset in reader.inputs.values() if reader.decision.action is Action.RUN else ():
            maker = makers.get(dataset)
            if (
                maker is None
                or maker.targets
                or maker.step.ingests
                or maker.decision.action is not Action.RUN
            ):
                continue
            if at_once or maker.step.layer is not reader.step.layer:
                found.add(maker.name)
    return frozenset(found)


def resumed(plan: Plan) -> dict[str, Kept]:
    """The results of the resumed run that the plan goes on from, by step."""
    found = {
        step.name: stands(step.kept, step.key, volatile=True)
        for step in plan.steps
        if step.decision.action is Action.REUSE
    }
    return {name: kept for name, kept in found.items() if kept is not None}
