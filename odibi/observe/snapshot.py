"""One look at everything a plan depends on: source files, SQL and Python code, last commits.

After this nothing is read until the run; the plan is a function of the snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from odibi.config.checks import CHECKED, without_checked
from odibi.config.loaded import Template
from odibi.config.models import Node, Step, StepType, WriteMode
from odibi.config.secrets import Redactor
from odibi.datasets.arrivals import REFRESH
from odibi.datasets.consumed import SOURCE
from odibi.datasets.delta import Commit
from odibi.datasets.kept import Kept, intact
from odibi.datasets.source import Seen, Source
from odibi.datasets.target import Target
from odibi.datasets.watermark import type_of
from odibi.engines.database import Database
from odibi.errors import Problem
from odibi.observe.checks import declared
from odibi.observe.code import CodeReader
from odibi.observe.increments import Arrived, arrived, objection, reads_new, said_of_source, state_of
from odibi.observe.notes import Notes, Place
from odibi.observe.places import Places, Standing
from odibi.operations.command import Command
from odibi.operations.python import Function, secrets_in
from odibi.quality.declared import Declared
from odibi.relational.parse import Script

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["Observation", "Observed", "app_id", "observe"]


@dataclass(frozen=True, slots=True)
class Observed:
    """A step and what was found for it.

    Attributes:
        inputs: table name in the step to dataset, and those that checks look things up in.
        sql_file: the file the script was read from, as a person would type it.
        missing: the problem if the step is to run and there is nothing to read.
        targets: what it writes, by dataset.
        standing: what each target holds now.
        commits: the ledger's entry of each Delta target for this logical date, None before the first.
        template: the step before rendering, with the text of its SQL file if that is a template.
        kept: its results that still stand, the newest first; of tables their ledger tells more.
        lost: whether results were noted that do not stand any more.
        declared: its checks.
        arrived: what would be read of those inputs, and of its source, of which only what is new is.
    """

    step: Step
    inputs: Mapping[str, str] = field(default_factory=dict)
    script: Script | None = None
    sql_file: str = ""
    function: Function | None = None
    source: Source | None = None
    seen: Seen | None = None
    missing: Problem | None = None
    targets: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    standing: Mapping[str, Standing] = field(default_factory=dict)
    commits: Mapping[str, Commit | None] = field(default_factory=dict)
    template: Template | None = None
    kept: tuple[Kept, ...] = ()
    lost: bool = False
    command: Command | None = None
    declared: Declared = field(default_factory=Declared)
    arrived: Mapping[str, Arrived] = field(default_factory=dict)

    @property
    def tables(self) -> Mapping[str, str]:
        """Its inputs without those that only its checks read."""
        return without_checked(self.inputs)


@dataclass(frozen=True, slots=True)
class Observation:
    """All steps as found, tables of other pipelines, what is wrong, and the secrets that were used.

    ``absent`` has a problem for each table of another pipeline that is not there, for whoever reads it.
    """

    steps: tuple[Observed, ...]
    external: Mapping[str, tuple[Source, Seen]]
    problems: tuple[Problem, ...]
    absent: Mapping[str, Problem] = field(default_factory=dict)
    redactor: Redactor = field(default_factory=Redactor)


def observe(
    loaded: Loaded,
    db: Database,
    kept: Mapping[str, Sequence[Kept]] = MappingProxyType({}),
    *,
    anew: bool = False,
) -> Observation:
    """Look at everything the pipeline names. Problems are collected, not raised.

    ``kept`` are the results that checkpoints and the cache have noted, by step, the newest first. With
    ``anew`` nothing counts as read before by steps that read only what is new.
    """
    notes = Notes(loaded)
    code, places = CodeReader(notes), Places(notes, db, anew=anew)
    steps = tuple(
        _observed(("steps", index), step, notes, code, places, kept.get(step.name, ()))
        for index, step in enumerate(loaded.pipeline.steps)
    )
    external: dict[str, tuple[Source, Seen]] = {}
    absent: dict[str, Problem] = {}
    for index, observed in enumerate(steps):
        for dataset in observed.inputs.values():
            if dataset.lower() in code.datasets or dataset in external or dataset in absent:
                continue
            found = places.external(("steps", index, "inputs"), dataset)
            if isinstance(found, Problem):
                absent[dataset] = found
            elif found is not None:
                external[dataset] = found
    steps = tuple(
        _with_arrived(("steps", index), each, steps, external, notes, anew=anew)
        if reads_new(each.step)
        else each
        for index, each in enumerate(steps)
    )
    return Observation(steps, external, tuple(notes.problems), absent, notes.redactor)


def _with_arrived(
    at: Place, observed: Observed, steps: Sequence[Observed], external: Mapping[str, tuple[Source, Seen]],
    notes: Notes, *, anew: bool,
) -> Observed:  # fmt: skip
    """The step with what it would read now, where it reads only what is new."""
    step = observed.step
    if (why := objection(step, observed.targets)) is not None:
        if observed.targets or step.write is None:  # else its write is wrong, which has been said
            notes.problem((*at, "write"), f"step {step.name!r}: {why.message}", why.hint)
        return observed
    target = next(iter(observed.targets.values()))[0]
    data = Notes(notes.loaded)  # what stands in the way of a run of this step, and of no other
    state = data.guarded((*at, "write"), lambda: {} if anew else state_of(notes.loaded, step, target))
    if state == {} and observed.standing and not anew and target.mode is WriteMode.APPEND:
        message = (
            f"step {step.name!r}: {target.url} has rows, and does not say which of them were read as new"
        )
        data.problem((*at, "write"), message, REFRESH)
    found: dict[str, Arrived] = {}
    makers = {
        dataset: (each.step, each.targets.get(dataset, ()))
        for each in steps
        for dataset in each.step.outputs.values()
    }
    for alias in step.incremental:
        dataset = observed.inputs.get(alias, alias)
        beside = makers.get(dataset), external.get(dataset)
        if (new := arrived(notes, data, at, step, target, alias, state or {}, *beside)) is not None:
            found[alias] = new
    source = observed.source
    if source is not None and source.watermark is not None and observed.seen is not None:
        by, schema = source.watermark, observed.seen.schema or ()
        notes.guarded((*at, "params", "incremental"), lambda: type_of(by, schema, source.url))
    if source is not None and (said := said_of_source(source, observed.seen, state or {})):
        found[SOURCE] = Arrived(None, said)
    return replace(observed, arrived=found, missing=next(iter(data.problems), observed.missing))


def app_id(loaded: Loaded, step: Step) -> str:
    """The identity of a logical write: who writes for which date."""
    return f"{loaded.pipeline.pipeline}/{step.name}/{loaded.logical_date.isoformat()}"


def _observed(
    at: Place, step: Step, notes: Notes, code: CodeReader, places: Places, noted: Sequence[Kept]
) -> Observed:
    _refuse_shape(at, step, notes)
    said = code.read(at, step)
    targets = places.targets(at, step)
    standing: dict[str, Standing] = {}
    commits: dict[str, Commit | None] = {}
    for name, group in targets.items():
        now, commits[name] = places.standing(at, group[0], app_id(notes.loaded, step))
        if now is not None:
            standing[name] = now
    for name in secrets_in(said.function) if said.function is not None else ():
        notes.guarded((*at, "value"), partial(notes.secrets, name))
    source = seen = missing = None
    if step.ingests:
        first = next(iter(targets), "")
        target = targets[first][0] if first else None
        source, seen, missing = places.source(at, step, target, standing.get(first))
    kept = tuple(one for one in noted if intact(one, targets, commits))
    checks = declared(at, step, notes)
    looked_up = {f"{CHECKED}{name}": code.datasets.get(name.lower(), name) for name in checks.datasets}
    return Observed(
        step, {**said.inputs, **looked_up}, said.script, said.sql_file, said.function, source, seen, missing,
        targets, standing, commits, said.template, kept, len(kept) < len(noted), said.command, checks,
    )  # fmt: skip


def _refuse_shape(at: Place, step: Step, notes: Notes) -> None:
    """Shapes that have no meaning."""
    if step.ingests and step.node is Node.PUBLISH:
        notes.problem(at, f"step {step.name!r} has nothing to publish", "give it inputs")
    if step.stores and len(step.inputs) > 1:
        notes.problem(
            (*at, "inputs"),
            f"step {step.name!r} stores one dataset, and has the inputs {', '.join(step.inputs)}",
            "make it one step for each",
        )
    if len(step.outputs) > 1 and step.type is not StepType.SQL:
        names = ", ".join(step.outputs.values())
        notes.problem((*at, "outputs"), f"step {step.name!r} makes one dataset, and outputs names {names}")
    if not step.outputs and not step.stores:
        notes.problem((*at, "outputs"), f"step {step.name!r} makes no dataset", "leave outputs out")
