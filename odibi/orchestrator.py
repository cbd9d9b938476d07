"""The main sequence: config, observe, plan, run, record, story. The CLI and Python call this.

Each verb is a function over what the one before it gave; nothing else ties the packages together.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.audience import Audience, all_of
from odibi.boundaries import cross
from odibi.config.check import check
from odibi.config.load import from_steps, load
from odibi.config.loaded import Loaded
from odibi.config.models import Step
from odibi.config.secrets import Redactor
from odibi.datasets.shelf import put
from odibi.datasets.staging import Intents, sweep
from odibi.engines import ENGINES
from odibi.engines.database import Database
from odibi.engines.session import session_folder
from odibi.errors import ConfigError, Permanent, Problem, nearest
from odibi.home import Home
from odibi.observe import observe
from odibi.plan import Action, Plan, build
from odibi.plan.runtime import HERE
from odibi.quality.quarantine import quarantine_of
from odibi.record.model import ProofRecord, RunRecord, RunStatus, StepStatus
from odibi.relational.bind import Binder
from odibi.run.context import RunContext
from odibi.run.earlier import going_on, keeping_of, noted, resuming, saver_of, tidy
from odibi.run.final import final_result
from odibi.run.left import clearing
from odibi.run.recording import Hide, Recorder, begun, broken, ended, hiding
from odibi.run.remote import RUNTIMES
from odibi.run.saving import Saver
from odibi.run.signals import Signals, signals
from odibi.run.turn import CANCEL, NEWS, fence_of, free_epoch, lock_name, locked
from odibi.run.walk import Listener, Walk, walk
from odibi.unchanged import Request

if TYPE_CHECKING:
    from odibi.datasets.delta import Fence
    from odibi.metrics import MetricsManager
    from odibi.notify.bus import EventBus
    from odibi.record.checkpoints import Checkpoint
    from odibi.record.store import RunStore

__all__ = ["CANCEL", "Orchestrator", "Result", "plan", "run", "validate"]


def validate(
    loaded: Loaded, *, strict: bool = False, portable: bool = False
) -> tuple[tuple[Problem, ...], Plan | None]:
    """Everything wrong with a pipeline, and its plan if nothing is. Changes nothing.

    ``strict`` turns warnings into errors; ``portable`` asks that every engine could run every step.
    """
    problems = check(loaded, strict=strict)
    if any(problem.level == "error" for problem in problems):
        return tuple(sorted(problems)), None
    try:
        the_plan = plan(loaded)
    except ConfigError as error:
        return tuple(sorted({*problems, *error.problems})), None
    problems += (*_runs_each_time(loaded, the_plan, "error" if strict else "warning"), *_unready(loaded))
    if portable:
        from odibi.prove.portable import unportable

        problems += unportable(loaded, the_plan, strict=strict)
    return tuple(sorted(problems)), the_plan


def _runs_each_time(loaded: Loaded, the_plan: Plan, level: str) -> Iterator[Problem]:
    """Steps whose query gives another answer each time, although nobody said that this is meant."""
    for step in the_plan.steps:
        if step.volatile and step.step.cache and step.function is None:
            message = (
                f"step {step.name!r}: it runs each time, because its answer depends on the clock or on chance"
            )
            hint = "take the date from {{ date }}, or say that it is meant: cache: false"
            yield loaded.problem(("steps", step.index), message, hint, level)


def _unready(loaded: Loaded) -> tuple[Problem, ...]:
    """What a run would say of its hooks before anything runs."""
    if not loaded.pipeline.hooks:
        return ()
    from odibi.notify.hooks import channels_of

    try:
        channels_of(loaded, Redactor())
    except ConfigError as error:
        return error.problems
    return ()


def plan(
    loaded: Loaded,
    *,
    chosen: Sequence[str] = (),
    excluded: Sequence[str] = (),
    full_refresh: bool = False,
    no_cache: bool = False,
    resume: bool | str = False,
    home: Home | None = None,
) -> Plan:
    """What a run would do and why. Changes nothing; the arguments are those of :func:`run`.

    Raises:
        ConfigError: with all problems.
        Permanent: there is no checkpoint to resume from.
    """
    _refuse(loaded)
    home = home or Home.find()
    asked = _Asked(tuple(chosen), tuple(excluded), full_refresh, no_cache).after(
        going_on(loaded, home, resume)
    )
    with Database(home.scratch(loaded.run_id), threads=1) as db:
        return _planned(loaded, db, home, asked)[0]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What of the pipeline is to be done, and the checkpoint it goes on from."""

    chosen: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    full_refresh: bool = False
    no_cache: bool = False
    again: tuple[str, ...] = ()
    before: Checkpoint | None = None

    def after(self, before: Checkpoint | None) -> _Asked:
        """The same, from a checkpoint: what it left undone is to be done as it was to be."""
        if before is None:
            return self
        return replace(self, before=before, full_refresh=before.full_refresh, no_cache=before.no_cache)

    def told(self) -> dict[str, Any]:
        """What a checkpoint says of it."""
        return {
            "chosen": self.chosen,
            "excluded": self.excluded,
            "full_refresh": self.full_refresh,
            "no_cache": self.no_cache,
            "resumed_from": self.before.run_id if self.before is not None else "",
        }


def _planned(
    loaded: Loaded,
    db: Database,
    home: Home,
    asked: _Asked,
    binder: Binder | None = None,
) -> tuple[Plan, Redactor]:
    """The plan, and the secrets it used; what a selection gets wrong is a problem like any other."""
    try:
        earlier = noted(loaded, home, asked.before, asked.again)
        seen = observe(loaded, db, earlier, anew=asked.full_refresh)
        every = [step.name for step in loaded.pipeline.steps]
        the_plan = build(
            loaded, seen, chosen=asked.chosen, excluded=asked.excluded, binder=binder,
            full_refresh=asked.full_refresh, fresh=frozenset(every if asked.no_cache else asked.again),
        )  # fmt: skip
    except ConfigError:
        raise
    except Permanent as error:
        raise ConfigError([Problem(loaded.file, 0, 0, error.message, error.hint)]) from error
    return the_plan, seen.redactor


def _tables(the_plan: Plan) -> Iterator[str]:
    """The Delta tables that a run may write, opened as their connections say."""
    for step in the_plan.steps:
        for group in step.targets.values():
            if group[0].format == "delta":
                yield group[0].url
                yield quarantine_of(group[0]).url


def _refuse(loaded: Loaded) -> None:
    problems = [problem for problem in check(loaded) if problem.level == "error"]
    if problems:
        raise ConfigError(problems)


@dataclass
class Result:
    """How a run ended. ``result["success"]`` and ``result.success`` are the same."""

    run: RunRecord
    story: Path | None = None
    stuck: bool = False  # a step did not end in time after a stop; its thread still runs
    stopped: str = ""  # what ended the run early: a signal such as SIGTERM, CANCEL, the loss of its lock
    resume: str = ""  # the command that goes on from the last checkpoint of a run that did not succeed
    _final: Callable[[], Any] = field(default=lambda: None, repr=False)

    @property
    def success(self) -> bool:
        """Whether every step that was to run did."""
        return self.run.status is RunStatus.SUCCEEDED

    @property
    def nodes_executed(self) -> int:
        """Steps that were really computed: not reused, not skipped."""
        return self.run.count(StepStatus.COMPLETED) + self.run.count(StepStatus.FAILED)

    @property
    def failed_nodes(self) -> list[str]:
        """Names of the steps that failed."""
        return [step.name for step in self.run.steps if step.status is StepStatus.FAILED]

    @property
    def cached(self) -> int:
        """Steps whose last result was still right."""
        return self.run.count(StepStatus.REUSED)

    @property
    def skipped(self) -> int:
        """Steps nobody asked for or needed."""
        return self.run.count(StepStatus.SKIPPED)

    @property
    def error(self) -> str:
        """Why the run failed; empty if it did not."""
        return self.run.error

    @property
    def tracker(self) -> RunRecord:
        """The record of the run: every step, attempt, row count and schema."""
        return self.run

    @property
    def final_result(self) -> Any:
        """The output of the last step as an Arrow table; of several last steps, by step name."""
        return self._final()

    def __getitem__(self, name: str) -> Any:
        names = ("success", "nodes_executed", "failed_nodes", "cached", "skipped", "error", "tracker", "final_result", "run", "story")  # fmt: skip
        if name not in names:
            raise KeyError(f"a result has no {name!r}; {nearest(name, names)}")
        return getattr(self, name)


def run(
    loaded: Loaded,
    *,
    chosen: Sequence[str] = (),
    excluded: Sequence[str] = (),
    workers: int | None = None,
    fail_fast: bool | None = None,
    full_refresh: bool = False,
    no_cache: bool = False,
    resume: bool | str = False,
    again: Sequence[str] = (),
    home: Home | None = None,
    request: Request | None = None,
    planned: Callable[[Plan], None] | None = None,
    listener: Listener | None = None,
    bus: EventBus | None = None,
    log_format: str | None = None,
    keep_final: bool = False,
    fence: Fence | None = None,
) -> Result:
    """Plan and run a pipeline, and record and tell what happened, on failure too.

    Args:
        loaded: the config.
        chosen: selectors of the steps to run.
        excluded: selectors of steps not to run.
        workers: steps at a time; the pipeline's own setting if None.
        fail_fast: stop at the first failure; the pipeline's own setting if None.
        full_refresh: run the chosen steps whatever they have, and let their tables keep no rows.
        no_cache: run the chosen steps whatever they have; their tables are written as in any run.
        resume: go on from the last checkpoint for this date and target, or from that of the run of this id.
        again: steps that are to run whatever they have.
        home: where odibi keeps its own files.
        request: what was asked for, if the next run is to know whether anything has changed since.
        planned: told of the plan before anything runs.
        listener: told of every change of a step.
        bus: has hooks that are told of events, beside those of the config.
        log_format: ``human`` or ``json``; what the environment or the pipeline says if None.
        keep_final: keep the result of the last steps that write nothing, for ``final_result``.
        fence: the lock that commits carry, where this is a part of a run that holds it.

    Raises:
        ConfigError: nothing was run and nothing changed.
        Permanent: there is no checkpoint to resume from.
    """
    _refuse(loaded)
    home = home or Home.find()
    pipeline = loaded.pipeline
    asked = _Asked(tuple(chosen), tuple(excluded), full_refresh, no_cache, tuple(again)).after(
        going_on(loaded, home, resume)
    )
    store_import = threading.Thread(target=_import_store)  # no daemon: it may not outlive the interpreter
    store_import.start()
    with (
        Database(home.scratch(loaded.run_id), pipeline.memory_limit) as db,
        closing(Binder(loaded.now)) as binder,
    ):
        before = 0
        if home.has_state:  # it is made only when nothing is wrong with the config
            store_import.join()
            before = free_epoch(home, loaded)
        the_plan, redactor = _planned(loaded, db, home, asked, binder)
        audience = Audience(loaded, redactor, bus, log_format)
        for engine in {step.engine for step in the_plan.steps if step.decision.action is Action.RUN}:
            ENGINES.get(engine)(db)  # before anything runs: its extra, or Java, may not be installed
        for runtime in {step.runtime for step in the_plan.steps if step.decision.action is Action.RUN} - {
            HERE
        }:
            RUNTIMES.get(runtime)  # the same
        _writable(home)
        store_import.join()
        from odibi import __version__
        from odibi.record.store import open_store

        with (
            open_store(home.state) as store,
            locked(store, loaded) as lock,
            Intents(home.intents, loaded.run_id) as intents,
            db,  # is closed here, while it is noted what it would leave behind
            signals() as heard,
        ):
            if lock.previous != before:
                # Another run has ended meanwhile: its tables are not those of the plan.
                the_plan, redactor = _planned(loaded, db, home, asked, binder)
                audience = Audience(loaded, redactor, bus, log_format)
            lock.told = lambda news: heard.stop.put(("stop", NEWS[news]))
            intents.temporary(db.scratch)
            intents.temporary(session_folder(db.scratch))
            sweep(home.intents, _tables(the_plan))
            hide = hiding(loaded, redactor)
            proof = _proof(home, loaded, the_plan)
            begins = {"proof": proof, "resumed_from": asked.told()["resumed_from"]}
            record = hide(begun(loaded, the_plan, __version__).model_copy(update=begins))
            store.start_run(record)
            keeping = keeping_of(loaded, home, the_plan, hide)
            context = RunContext(
                loaded,
                the_plan,
                db,
                intents,
                binder,
                fence or fence_of(store, loaded, lock),
                keeping,
                home.landing,
                redactor=redactor,
            )
            saver = saver_of(loaded, home, record, keeping, intents, asked.told())
            with audience, clearing(context, store):
                done, record = _walked(
                    context, store, record, saver, audience, listener, hide,
                    workers=workers, fail_fast=fail_fast, heard=heard, planned=planned, home=home,
                )  # fmt: skip
                tidy(loaded, home, record, saver)
                final = final_result(context, done.records, home) if keep_final else None
                if not done.stuck:
                    context.close()
                record, story = audience.over(record, store, home, intents)
            if request is not None and pipeline.metrics is None and pipeline.logging is None:
                _remember(request, loaded, the_plan, record, home, intents)
            # Again, for what outlived a run that was killed: its JVM goes on for a moment.
            sweep(home.intents, _tables(the_plan))
            if done.stuck:
                db.abandon()
    return Result(record, story, done.stuck, done.stopped, record.resume, final or (lambda: None))


def _walked(
    context: RunContext, store: RunStore, record: RunRecord, saver: Saver, audience: Audience,
    listener: Listener | None, hide: Hide, *,
    workers: int | None, fail_fast: bool | None, heard: Signals, planned: Callable[[Plan], None] | None, home: Home,
) -> tuple[Walk, RunRecord]:  # fmt: skip
    """Walk the plan; what happened is in the store, and told, when this returns and when it raises."""
    pipeline = context.loaded.pipeline
    saver.told = audience.saved
    lineage = context.lineage  # there once, before several threads ask for it
    told = audience.begin(record, heard.stop, lambda step: hide(lineage.told(step)))
    try:
        if planned is not None:
            planned(context.plan)
        with saver, Recorder(store, record.run_id, all_of(saver, told, listener), hide) as recorder:
            heard.saver = saver
            done = walk(
                context,
                workers=workers or (pipeline.distributed_max_workers if pipeline.distributed else 1),
                fail_fast=pipeline.fail_fast if fail_fast is None else fail_fast,
                listener=recorder,
                stop=heard.stop,
            )
    except BaseException as error:
        record = hide(broken(record, error))
        store.finish_run(record)
        context.close()
        audience.ended(store.run(record.run_id), store, context.intents)
        audience.hooks_over(record, store, home)
        raise
    record = ended(
        record,
        done,
        context.plan,
        lineage=lineage if pipeline.enable_tracker else None,
        success=pipeline.success,
    )
    kept = {"checkpoints": saver.taken, "resume": resuming(record, saver)}
    record = hide(record.model_copy(update=kept))
    store.finish_run(record)
    audience.ended(record, store, context.intents)
    return done, record


def _import_store() -> None:
    """Half a second of imports that can happen while the plan is made."""
    import_module("sqlalchemy")
    import_module("odibi.record.store")


def _proof(home: Home, loaded: Loaded, the_plan: Plan) -> ProofRecord | None:
    """What is proved of the pipeline; most have no certificate, and need not import what reads them."""
    if not home.certificates.is_dir():
        return None
    from odibi.prove.certificate import cited

    return cited(home, loaded, the_plan)


def _writable(home: Home) -> None:
    try:
        home.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home.path):  # it has no name that could stay
            cross("amid probe")
    except OSError as error:
        raise Permanent(
            f"odibi cannot write to {home.path}: {error.strerror}",
            hint="set ODIBI_HOME to a folder that can be written",
        ) from error


def _remember(
    request: Request, loaded: Loaded, the_plan: Plan, record: RunRecord, home: Home, intents: Intents
) -> None:
    """Keep what the run depended on, so that the next one sees in a moment whether any of it has changed."""
    from odibi.run.unchanged import facts_of
    from odibi.story.text import NONE, sentence

    def said(again: RunRecord) -> str:
        return sentence(again).replace(NONE, "{time}", 1)

    path = request.file(home.unchanged)
    try:
        facts = facts_of(loaded, the_plan, record, home, request, sentence=said, lock=lock_name(loaded))
        path.unlink(missing_ok=True) if facts is None else put(str(path), facts.as_json(), intents)
    except OSError:
        path.unlink(missing_ok=True)  # then the next run plans


class Orchestrator:
    """A pipeline built in Python or loaded from a file, ready to be executed.

    Args:
        pipeline: what :func:`odibi.load` gave, or a path to load; or give ``steps``.
        steps: the steps of a pipeline built here.
        engine_type: the engine of steps that name none.
        enable_tracker: whether a story and lineage are kept.
        distributed: whether independent steps run at the same time.
        distributed_max_workers: how many.
        event_bus: has hooks that are told of events, beside those of the config.
        resume_from_checkpoint: go on from the last checkpoint for the date and target, see :func:`run`.
        metrics_manager: is told of every run, and can be asked for its metrics.
        pipeline_fields: any other key of a pipeline, such as ``connections``.

    Raises:
        ConfigError: with all problems, also for parameters of later versions, by name.
    """

    def __init__(
        self,
        pipeline: Loaded | str | Path | None = None,
        *,
        steps: Sequence[Step] | None = None,
        engine_type: str | None = None,
        resume_from_checkpoint: bool = False,
        event_bus: EventBus | None = None,
        metrics_manager: MetricsManager | None = None,
        **pipeline_fields: Any,
    ) -> None:
        self.resume, self.bus, self.metrics_manager = resume_from_checkpoint, event_bus, metrics_manager
        if (pipeline is None) == (steps is None):
            raise Permanent(
                "give either a pipeline or steps", hint="Orchestrator(load('configs/daily.yaml'))"
            )
        if steps is not None:
            fields = {"pipeline": "python", **pipeline_fields}
            if engine_type is not None:
                fields["engine"] = engine_type
            self.loaded = from_steps(steps, **fields)
            return
        if pipeline_fields:
            raise Permanent(
                f"{', '.join(sorted(pipeline_fields))} belong into the pipeline's file",
                hint="give steps, or edit the file",
            )
        if isinstance(pipeline, Loaded) and engine_type is not None:
            raise Permanent("the pipeline is loaded already", hint=f"load(..., engine={engine_type!r})")
        self.loaded = pipeline if isinstance(pipeline, Loaded) else load(str(pipeline), engine=engine_type)

    def plan(self, select: Sequence[str] = (), exclude: Sequence[str] = ()) -> Plan:
        """What :meth:`execute` would do and why."""
        return plan(self.loaded, chosen=select, excluded=exclude, resume=self.resume)

    def execute(self, select: Sequence[str] = (), exclude: Sequence[str] = ()) -> Result:
        """Run the pipeline; a failed step is told by the result, not raised."""
        result = run(
            self.loaded, chosen=select, excluded=exclude, resume=self.resume, bus=self.bus, keep_final=True
        )
        if self.metrics_manager is not None:
            self.metrics_manager.observe(result.run)
        return result
