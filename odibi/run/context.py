"""What the tasks of a run share: engines, and the datasets that are ready to be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.config.secrets import Redactor, Secrets
from odibi.datasets.delta import Commit, Fence, Table, last_commit, open_table
from odibi.datasets.fetching import is_served
from odibi.datasets.kept import Held, Kept
from odibi.datasets.source import Source, frame_of, look, read
from odibi.datasets.staging import Intents
from odibi.datasets.target import Target
from odibi.engines import ENGINES
from odibi.engines.base import Engine, Frame, Location
from odibi.engines.database import Database
from odibi.errors import NotFound
from odibi.observe.places import version_of
from odibi.operations.memory import size_of
from odibi.operations.placing import can_move
from odibi.plan.decide import held_of
from odibi.plan.model import Plan, PlannedStep
from odibi.relational.bind import Binder
from odibi.relational.schema import Schema
from odibi.run.keeping import Keeping
from odibi.run.lineage import Lineage
from odibi.run.remote import RUNTIMES, Remote

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.operations.process import Aside, Workers

__all__ = ["Dataset", "Permit", "RunContext", "Stopped", "kept", "standing"]


class Stopped(Exception):
    """The run was asked to end, or the attempt was: whatever it has computed is not written any more."""


@dataclass
class Permit:
    """What lets one attempt publish, until it is withdrawn because the attempt takes too long."""

    thread: int = 0  # that works on the attempt, as soon as one does
    withdrawn: threading.Event = field(default_factory=threading.Event)
    number: int = 1  # of the attempt at its step


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a reader sees: a frame, its columns, its data version, its rows where they are known.

    ``sets`` are digests of some of its columns each. ``engine`` is whose frame it is. ``reopen`` gives the same rows on any engine, None where they
    stand nowhere yet. ``rounded`` says that doubles in a result not yet computed are sums. ``table`` is
    the version of the Delta table that it is, where it is one that keeps its rows.
    """

    frame: Frame
    schema: Schema
    version: str
    rows: int | None = None
    rounded: bool = False
    engine: str = "duckdb"
    reopen: Callable[[Engine], Frame] | None = None
    sets: tuple[str, ...] = ()
    table: Table | None = None


@dataclass
class RunContext:
    """The one mutable thing of a run; its methods may be called from any thread."""

    loaded: Loaded
    plan: Plan
    db: Database
    intents: Intents
    binder: Binder
    fence: Fence | None = None
    keeping: Keeping = field(default_factory=Keeping)
    landing: Path = Path("landing")
    stopped: threading.Event = field(default_factory=threading.Event)
    redactor: Redactor = field(default_factory=Redactor)
    _engines: dict[str, Engine] = field(default_factory=dict)
    _commits: dict[str, Commit] = field(default_factory=dict)
    _held: dict[str, Held] = field(default_factory=dict)
    _ready: dict[str, Dataset] = field(default_factory=dict)
    _crossed: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _workers: Workers | None = None
    _remotes: dict[str, Remote] = field(default_factory=dict)

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets of the run, for its functions."""
        return Secrets(self.loaded.pipeline.secrets, self.loaded.environ, self.redactor)

    @cached_property
    def lineage(self) -> Lineage:
        """Where the datasets of the run come from."""
        return Lineage(self.plan)

    def aside(self, planned: PlannedStep) -> Aside | None:
        """Where an attempt at the step computes its function or command, and all else if its memory is limited.

        None is in this process: no thread can be ended, so what has a timeout is computed elsewhere.
        """
        step = planned.step
        wanted = self.loaded.pipeline.backend == "processes" or step.timeout or step.memory
        if planned.command is None and not (wanted and can_move(planned.function, planned.engine)):
            return None
        from odibi.operations.process import Aside, Workers

        with self._lock:
            self._workers = self._workers or Workers(self.redactor.mask)
        return Aside(self._workers, int(size_of(step.memory)) if step.memory else None)

    def engine(self, name: str) -> Engine:
        """The engine of that name, started when first asked for."""
        with self._lock:
            if name not in self._engines:
                self._engines[name] = ENGINES.get(name)(self.db)
            return self._engines[name]

    def remote(self, name: str) -> Remote:
        """The runtime of that name, which is not this process."""
        with self._lock:
            if name not in self._remotes:
                self._remotes[name] = RUNTIMES.get(name)(self)
            return self._remotes[name]

    def go_on(self, permit: Permit) -> None:
        """Raises Stopped once the run was asked to end, or the attempt was."""
        if self.stopped.is_set() or permit.withdrawn.is_set():
            raise Stopped("the run or the attempt was stopped")

    def publish(self, datasets: Mapping[str, Dataset]) -> None:
        """Make datasets readable for the steps after."""
        with self._lock:
            self._ready.update(datasets)

    def pin(self, commits: Mapping[str, Commit]) -> None:
        """Let readers see these commits of tables, not the ones the plan knew."""
        with self._lock:
            self._commits.update(commits)

    def stand_in(self, kept: Kept) -> None:
        """Let readers see this result of a step that is not computed after all."""
        with self._lock:
            self._held.update(kept.datasets)
            if kept.resumed:
                self.keeping.noted[kept.step] = kept

    def dataset(self, name: str, engine: Engine) -> Dataset:
        """A dataset as its readers must see it: handed over, or its committed table opened now."""
        with self._lock:
            if name not in self._ready:
                self._ready[name] = self._opened(name, engine)
            found = self._ready[name]
            if found.engine == engine.name:
                return found
            key = (name, engine.name)
            if key not in self._crossed:
                self._crossed[key] = self._across(found, engine)
            return self._crossed[key]

    def _across(self, dataset: Dataset, engine: Engine) -> Dataset:
        """The dataset on another engine: read from where it stands, else by way of Parquet parts."""
        if dataset.reopen is not None:
            return replace(dataset, frame=dataset.reopen(engine), engine=engine.name)
        maker = self.engine(dataset.engine)
        staged = maker.stage(dataset.frame, dataset.schema, str(self.db.scratch / self.db.new_name()), ())
        frame = engine.read(staged.location)
        return replace(dataset, frame=frame, engine=engine.name, rows=staged.rows, rounded=False)

    def _opened(self, name: str, engine: Engine) -> Dataset:
        if name in self.plan.external:
            source, seen = self.plan.external[name]
            frame, schema = read(engine, source, seen)
            reopen = lambda other: read(other, source, seen)[0]  # noqa: E731 - one line says it
            table = open_table(source.url, seen.table_version) if seen.table_version is not None else None
            return Dataset(frame, schema, seen.version, engine=engine.name, reopen=reopen, table=table)
        producer = next(step for step in self.plan.steps if name in step.step.outputs.values())
        group, decision = producer.targets.get(name, ()), producer.decision
        held = self._held.get(name) or held_of(producer.targets, producer.kept, name, decision, producer.key)
        if held is not None and held.parts is not None:
            return standing(engine, held.location, held.version, held.rows)
        target = group[0]
        if target.format != "delta":
            found = self.read_files(target, producer.schemas.get(name), engine)
            return replace(found, version=held.version) if held is not None and held.version else found
        commit = self._commits.get(name) or producer.commits.get(name)
        if target.mode != "overwrite":  # the table may hold more than what its own commit wrote
            commit = last_commit(target.url)
        table = open_table(target.url, commit.version) if commit is not None else None
        if commit is None or table is None:
            raise NotFound(f"{target.url} has not been written yet", hint=f"select +{producer.name} as well")
        found = kept(engine, table, version_of(target.url, commit), commit.note.get("rows"))
        return replace(found, sets=tuple(commit.note.get("sets", ())))

    def read_files(self, target: Target, schema: Schema | None, engine: Engine) -> Dataset:
        """The plain files a step has written, read back with the columns it gave them."""
        if is_served(target.url):
            raise NotFound(
                f"what was sent to {target.url} cannot be read back", hint="select its step as well"
            )
        source = Source(target.url, target.format)
        seen = look(self.db, source, schema)
        if seen is None:
            raise NotFound(f"{target.url} has not been written yet")
        frame, schema = read(engine, source, seen)
        reopen = lambda other: read(other, source, seen)[0]  # noqa: E731 - one line says it
        return Dataset(frame, schema, seen.version, engine=engine.name, reopen=reopen)

    def close(self) -> None:
        """Let go of what the engines started, and of the workers."""
        if self._workers is not None:
            self._workers.close()
        for remote in self._remotes.values():
            remote.close()
        for engine in self._engines.values():
            engine.close()

    def interrupt(self, thread: int | None = None) -> None:
        """Stop what a thread waits for, or all: queries on every engine, and processes of functions.

        Threads other than that one go on; without one, nothing more can be computed.
        """
        engines = list(self._engines.values())  # without the lock: whoever has it may be what hangs
        if self._workers is not None:
            self._workers.interrupt(thread)
        for engine in engines:
            engine.interrupt(thread)
        self.db.interrupt(thread)


def standing(engine: Engine, location: Location, version: str, rows: int | None) -> Dataset:
    """Rows that stand in files with a known schema."""
    schema = location.schema or ()

    def reopen(other: Engine) -> Frame:
        return other.read(location)

    return Dataset(reopen(engine), schema, version, rows, engine=engine.name, reopen=reopen)


def kept(engine: Engine, table: Table, version: str, rows: int | None) -> Dataset:
    """A version of a Delta table as its readers see it."""
    reopen = partial(_frame_of, table)
    return Dataset(
        reopen(engine), table.schema, version, rows, engine=engine.name, reopen=reopen, table=table
    )


def _frame_of(table: Table, engine: Engine) -> Frame:
    return frame_of(engine, table)
