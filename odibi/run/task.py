"""One attempt at a step: read what it needs, compute, stage, check, commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.config.models import StepType
from odibi.datasets.consumed import CONSUMED
from odibi.datasets.delta import Commit, Table, open_table
from odibi.datasets.digest import Digest, Sample, measure, narrowed
from odibi.datasets.kept import intact
from odibi.datasets.landing import land
from odibi.datasets.source import Source, look, read
from odibi.datasets.target import QUARANTINE, Job, Target, Written, in_scratch, ledger, write
from odibi.datasets.upkeep import tend
from odibi.engines.base import Engine, Frame, Staged
from odibi.errors import Elsewhere, OdibiError, Permanent, SchemaMismatch, Timeout, elsewhere
from odibi.observe.snapshot import app_id
from odibi.operations import command
from odibi.operations.answer import Call
from odibi.operations.bounded import ENGINES, bounded, movable
from odibi.operations.invoke import call
from odibi.operations.python import Context, secrets_in
from odibi.plan.columns import origins_of, uses
from odibi.plan.compile import compile_step
from odibi.plan.decide import stands
from odibi.plan.fingerprint import key_of, parts_of, volatile
from odibi.plan.model import PlannedStep
from odibi.plan.writes import write_objections
from odibi.record.model import (
    CheckRecord,
    DatasetRecord,
    OperationRecord,
    PodRecord,
    QualityRecord,
    SampleRecord,
    StepStatus,
    WriteRecord,
)
from odibi.relational.compile import Compiled
from odibi.relational.rules import closing_cast
from odibi.relational.schema import Schema, masked, schema_of
from odibi.run.checked import check_records, judge_of, quality_of
from odibi.run.context import Dataset, Permit, RunContext, Stopped, kept, standing
from odibi.run.counting import Counts, count, reported
from odibi.run.declared import as_declared
from odibi.run.increments import Reading
from odibi.run.keeping import Result
from odibi.run.lineage import landed, source_record
from odibi.run.outcome import Outcome, failed
from odibi.run.postgres import answered, database_of
from odibi.run.retry import policy_of

if TYPE_CHECKING:
    from odibi.quality.judge import Judge

__all__ = ["attempt", "attempt_elsewhere", "timed_out", "undone"]


@dataclass(frozen=True, slots=True)
class _Computed:
    """A result before it is kept; ``rounded`` says that doubles in it are sums."""

    frame: Frame
    schema: Schema
    rounded: bool = False


@dataclass(frozen=True, slots=True)
class _Made:
    """A result as its readers see it, and what the record says of it."""

    dataset: Dataset
    schema: Schema
    rows: int | None = None
    sample: SampleRecord | None = None
    writes: tuple[WriteRecord, ...] = ()
    written: Written | None = None
    staged: Staged | None = None

    def result(self) -> Result:
        """What may be kept of it."""
        return Result(self.dataset.version, self.schema, self.rows, self.written, self.staged)


def attempt(context: RunContext, planned: PlannedStep, permit: Permit) -> Outcome:
    """Try the step once. Whatever is raised, by users' code too, becomes an outcome.

    What fails after the permit was withdrawn has failed for that.
    """
    tried: _Attempt | None = None
    try:
        tried = _Attempt(context, planned, permit)
        return tried.outcome()
    except BaseException as error:  # noqa: BLE001 - the one place where errors become values, sys.exit() too
        interrupted = isinstance(error, Stopped) or type(error).__name__ == "InterruptException"
        if interrupted and context.stopped.is_set():
            return Outcome(StepStatus.CANCELLED)
        if permit.withdrawn.is_set():
            return timed_out(planned, Elsewhere.of(error).log)
        modules = planned.function.modules.values() if planned.function else ()
        files = tuple(file for file, _ in modules)
        sql_run = tried.sql_run if tried is not None else ""
        rules = policy_of(context.loaded.pipeline, planned.step).rules
        read_from = tried.source.url if tried is not None and tried.source is not None else ""
        outcome = failed(error, files, rules, sql_run, read_from)
        return replace(outcome, checks=tried.checks, quality=tried.quality) if tried is not None else outcome


def attempt_elsewhere(context: RunContext, steps: Sequence[PlannedStep]) -> Mapping[str, Outcome]:
    """Have the steps computed on their runtime; what became of each that was come to.

    What they have committed there is what readers here see.
    """
    try:
        outcomes = context.remote(steps[0].runtime).attempt(steps, context.stopped.is_set)
        for planned in steps:
            found = outcomes.get(planned.name)
            if found is not None and found.status in (StepStatus.COMPLETED, StepStatus.REUSED):
                context.pin(_commits(context, planned))
    except BaseException as error:  # noqa: BLE001 - as in an attempt here
        if isinstance(error, Stopped) or context.stopped.is_set():
            return {planned.name: Outcome(StepStatus.CANCELLED) for planned in steps}
        return undone(context, steps, error)
    if not any(outcome.status.ended for outcome in outcomes.values()):  # they would be given there for ever
        silent = Permanent(f"{steps[0].runtime} does not say what became of {steps[0].name!r}")
        return undone(context, steps, silent)
    return outcomes


def undone(
    context: RunContext, steps: Sequence[PlannedStep], error: BaseException, pods: tuple[PodRecord, ...] = ()
) -> dict[str, Outcome]:
    """The outcomes of an attempt elsewhere that ended without saying what became of its steps.

    The first that has committed nothing in this run has failed, and the others have not been come to.
    """
    blamed = steps[0]
    with suppress(Exception):  # it is told why the attempt failed, whatever the tables say
        blamed = next((planned for planned in steps if not _has_committed(context, planned)), steps[-1])
    rules = policy_of(context.loaded.pipeline, blamed.step).rules
    return {
        planned.name: replace(
            failed(error, rules=rules) if planned is blamed else Outcome(StepStatus.WAITING), pods=pods
        )
        for planned in steps
    }


def _commits(context: RunContext, planned: PlannedStep) -> dict[str, Commit]:
    """The last commits of the step in its tables."""
    mine = app_id(context.loaded, planned.step)
    tables = {d: group[0] for d, group in planned.targets.items() if group[0].format == "delta"}
    found = {dataset: ledger(target, mine) for dataset, target in tables.items()}
    return {dataset: commit for dataset, commit in found.items() if commit is not None}


def _has_committed(context: RunContext, planned: PlannedStep) -> bool:
    """Whether all that the step makes is there, and this run has made it."""
    found, run = _commits(context, planned), context.loaded.run_id
    every = len(found) == len(planned.targets) > 0
    return every and all(commit.note.get("run") == run for commit in found.values())


def timed_out(planned: PlannedStep, log: tuple[str, ...] = ()) -> Outcome:
    """The outcome of an attempt at a step that took longer than it may; ``log`` is what it printed."""
    return failed(elsewhere(Timeout("the attempt", planned.step.timeout or 0), log=log))


class _Attempt:
    def __init__(self, context: RunContext, planned: PlannedStep, permit: Permit) -> None:
        self.context = context
        self.planned = planned
        self.permit = permit
        self.engine: Engine = context.engine(planned.engine)
        self.queries: Mapping[str, Compiled] | None = None
        self.version = ""
        self.sql_run = ""
        self.aside = context.aside(planned)
        self.warnings: tuple[str, ...] = ()
        self.counts = Counts()
        self.judge: Judge | None = None
        self.source, self.seen = planned.source, planned.seen
        self.synthetic = False
        self.landing: Path | None = None
        self.reads: tuple[DatasetRecord, ...] = ()

    def outcome(self) -> Outcome:
        """What the attempt produced."""
        found = self._outcome()
        return replace(
            found, synthetic=self.synthetic, reads=self.reads, warnings=found.warnings or self.warnings
        )

    def _outcome(self) -> Outcome:
        planned = self.planned
        # A target's handle is opened before anything is read: a commit that sees the table moved
        # on since then is refused, instead of overwriting what it never saw.
        handles = {
            dataset: open_table(group[0].url)
            for dataset, group in planned.targets.items()
            if group[0].format == "delta"
        }
        self.reading = Reading(self.context, planned, self.engine, handles)
        seen = {alias: self.context.dataset(name, self.engine) for alias, name in planned.tables.items()}
        inputs = {alias: self._movable(dataset) for alias, dataset in self.reading.inputs(seen).items()}
        looked_up = {
            alias: self.context.dataset(dataset, self.context.engine("duckdb"))
            for alias, dataset in planned.inputs.items()
            if alias not in inputs
        }
        versions = self._versions(inputs) | {alias: d.version for alias, d in looked_up.items()}
        parts = parts_of(planned.code, planned.engine, {**versions, **planned.own, **self._landed()})
        key = key_of(parts)
        self.reads = tuple(self._reads(inputs))
        rows_in = {alias: dataset.rows for alias, dataset in inputs.items()}
        if (
            planned.key is None
            and not planned.rebuild
            and not planned.fresh
            and (reused := self._unchanged(key, inputs)) is not None
        ):
            return reused
        job = Job(
            app_id(self.context.loaded, planned.step),
            self.context.loaded.logical_date.isoformat(),
            key,
            parts,
            self.context.loaded.run_id,
            sample=self.context.loaded.pipeline.samples,
            rebuild=planned.rebuild,
            fence=self.context.fence,
            go_on=partial(self.context.go_on, self.permit),
        )
        # What is not kept is told apart by what it was made of, unless that does not tell.
        unsteady = self._volatile(inputs)
        self.version = f"run:{job.run_id}" if unsteady else f"key:{key}"
        made = {
            name: self._made(
                self._bounded(result),
                planned.targets.get(name, ()),
                handles.get(name),
                replace(job, sets=planned.sets.get(name, ()), judge=self._judge(name, result, looked_up)),
            )
            for name, result in self._computed(inputs).items()
        }
        self.context.publish(
            {name: m.dataset for name, m in made.items() if name in planned.step.outputs.values()}
        )
        results = {name: m.result() for name, m in made.items()}
        keep = self.context.keeping.keep
        self.warnings += keep(planned, job, results, self.context.intents, volatile=unsteady)
        self.warnings += self.reading.warnings
        first = next(iter(made.values()))
        return Outcome(
            StepStatus.COMPLETED,
            rows_in=rows_in,
            rows_out=first.rows,
            # Rows that went to quarantine came out of the operations too.
            operations=self._reported(inputs, None if self._quarantined() else first.rows),
            columns=first.schema,
            writes=tuple(record for m in made.values() for record in m.writes),
            sample=first.sample,
            sql_run=self.sql_run,
            key=key,
            digest=first.dataset.version,
            checks=self.checks,
            quality=self.quality,
            warnings=self.warnings,
            peak_memory=self.aside.peak if self.aside is not None else None,
        )

    def _made(self, result: _Computed, targets: tuple[Target, ...], handle: Table | None, job: Job) -> _Made:
        """A computed result kept in its targets, or handed over where it has none."""
        hidden = masked(result.schema, self.context.loaded.pipeline.sensitive)
        job = replace(job, rounded=result.rounded, masked=hidden)
        job.go_on()
        if not targets:
            return self._handed_over(result, job)
        context = self.context
        for _, message, hint in write_objections(targets[0], result.schema, context.binder):
            raise SchemaMismatch(message, hint=hint)
        job = replace(job, consumed=self.reading.note(result.schema), replaces=self.reading.replaces)
        result = self._again(result, targets[0], handle)
        try:
            written = write(
                context.db, self.engine, context.intents, result.frame, result.schema, targets, handle, job
            )
        except BaseException:
            self.reading.discard()
            raise
        if written.note:  # it was there already, and nothing was committed
            self.reading.discard()
        written = replace(written, note=", ".join(filter(None, (written.note, self._tended(targets[0])))))
        return _Made(
            self._as_read(written),
            written.schema,
            written.rows,
            _shown(written.staged, written.sample, hidden),
            tuple(_records(written)),
            written,
        )

    def _tended(self, target: Target) -> str:
        """What was done for the table after it was written; its rows are safe whatever comes of that."""
        asked = target.write.optimize
        if asked is None or target.format != "delta":
            return ""
        try:
            return tend(target.url, asked.max_files, asked.vacuum_hours, self.context.intents.noted())
        except OdibiError as error:
            self.warnings += (f"{target.url} could not be optimized: {error.message}",)
            return ""

    def _reads(self, inputs: Mapping[str, Dataset]) -> Iterator[DatasetRecord]:
        """What is read, at the version that is read."""
        if self.source is not None:
            found = source_record(self.planned, self.source, self.seen)
            yield found if self.landing is None else landed(found, self.landing, synthetic=self.synthetic)
        for alias, dataset in inputs.items():
            version = str(dataset.table.version) if dataset.table is not None else None
            yield self.context.lineage.input(self.planned.inputs[alias], version)

    def _landed(self) -> dict[str, str]:
        """The data version of what the step reads from a server, once that has landed; none for all others."""
        source, context = self.source, self.context
        if source is None or source.remote is None:
            return {}
        loaded, step = context.loaded, self.planned.step
        place = context.landing / loaded.pipeline.pipeline / step.name / loaded.logical_date.isoformat()
        found = land(
            context.db,
            source,
            source.remote,
            place,
            context.intents,
            partial(context.go_on, self.permit),
            last=self.permit.number > policy_of(loaded.pipeline, step).max_retries,
        )
        self.source, self.seen, self.landing = found.source, found.seen, found.folder
        if found.synthetic:
            self.synthetic, self.warnings = True, (f"synthetic: {found.synthetic}",)
        return {"files": found.seen.version} if found.seen is not None else {}

    def _unchanged(self, key: str, inputs: Mapping[str, Dataset]) -> Outcome | None:
        """The outcome where the inputs came out equal to those of the last result."""
        if (still := self._still_kept(key, inputs)) is not None:
            return still
        targets = self.planned.targets
        if not targets or any(target.format != "delta" for group in targets.values() for target in group):
            return None
        commits = _commits(self.context, self.planned)
        if len(commits) < len(targets) or any(commit.note.get("key") != key for commit in commits.values()):
            return None
        if self._volatile(inputs):
            return None
        self.context.pin(commits)  # another run may have made them after this one was planned
        held = next(iter(commits.values())).note
        return Outcome(
            StepStatus.REUSED,
            reason="its inputs came out as they were",
            rows_in={alias: dataset.rows for alias, dataset in inputs.items()},
            rows_out=held.get("rows"),
            columns=schema_of(held.get("schema", ())),
            key=key,
            digest=str(held.get("digest", "")),
        )

    def _versions(self, inputs: Mapping[str, Dataset]) -> dict[str, str]:
        """The data version of each input, of the columns that are used where that is known."""
        planned = self.planned
        queries = self._compiled(inputs) if planned.relational else {}
        schemas = {planned.inputs[alias]: dataset.schema for alias, dataset in inputs.items()}
        used = dict(
            planned.uses
            if queries is planned.compiled
            else uses(queries, schemas, origins_of(queries, schemas))
        )
        for dataset in planned.declared.datasets:  # a check may look at any column of them
            used.pop(dataset, None)
        return {
            alias: narrowed(d.version, d.sets, d.schema, used.get(planned.inputs[alias]))
            for alias, d in inputs.items()
        }

    def _still_kept(self, key: str, inputs: Mapping[str, Dataset]) -> Outcome | None:
        """The outcome where a result of this key is in the cache, or was made by the run that is resumed."""
        planned = self.planned
        if not planned.kept:
            return None
        found = stands(planned.kept, key, volatile=self._volatile(inputs))
        mine = app_id(self.context.loaded, planned.step)
        commits = {dataset: ledger(group[0], mine) for dataset, group in planned.targets.items()}
        if found is None or not intact(found, planned.targets, commits):
            return None
        self.context.stand_in(found)
        held = next(iter(found.datasets.values()))
        return Outcome(
            StepStatus.REUSED,
            reason="its inputs came out as they were",
            rows_in={alias: dataset.rows for alias, dataset in inputs.items()},
            rows_out=held.rows,
            columns=held.schema_,
            key=key,
            digest=held.version,
        )

    def _volatile(self, inputs: Mapping[str, Dataset]) -> bool:
        """Whether equal inputs may give another result; of operations only their queries tell."""
        if not self.planned.step.cache or self.planned.declared.clocked:
            return True
        waited = self.planned.compiled is None and "operations" in self.planned.step.params
        return volatile(None, None, self._compiled(inputs)) if waited else self.planned.volatile

    # --- held against its checks --------------------------------------------------------------

    def _judge(self, dataset: str, result: _Computed, looked_up: Mapping[str, Dataset]) -> Judge | None:
        """Who holds the result against the step's checks, None where it has none."""
        planned, context = self.planned, self.context
        if not planned.declared.checks:
            return None
        self.judge = judge_of(
            context.loaded, planned.declared, planned.name,
            next(iter(planned.tables.values())) if planned.step.stores else dataset,
            result.schema, {alias: (d.schema, d.frame.sql) for alias, d in looked_up.items()},
            context.db, context.binder, context.secrets,
            keep=self._quarantine, seen=self.seen,
            source=self.source.url if self.source is not None else ", ".join(planned.tables.values()),
        )  # fmt: skip
        return self.judge

    def _quarantine(self, job: Job, rows: Staged | None) -> int | None:
        from odibi.quality.quarantine import keep, quarantine_of

        (target, *_), *_ = self.planned.targets.values()
        place = quarantine_of(target, whole=self.reading.on)
        return keep(self.context.db, self.context.intents, place, job, rows)

    def _again(self, result: _Computed, target: Target, handle: Table | None) -> _Computed:
        """The result with the rows that are in quarantine, where they are not read a second time."""
        planned = self.planned
        if handle is None or planned.rebuild or not (self.reading.on and planned.declared.quarantines):
            return result
        from sqlglot import exp

        from odibi.quality.quarantine import again

        commit = handle.transaction(CONSUMED)
        version = commit.note.get(QUARANTINE) if commit is not None else None
        found = again(self.engine, target, version, result.schema) if version is not None else None
        if found is None:
            return result
        kept, rows = found
        self.warnings += (f"{rows} rows that were in quarantine are judged again",)
        names = [exp.column(column.name, quoted=True) for column in result.schema]
        both = exp.union(exp.select(*names).from_("new"), exp.select(*names).from_("kept"), distinct=False)
        frame = self.engine.query(both, {"new": result.frame, "kept": kept}, result.schema)
        return replace(result, frame=frame)

    @property
    def checks(self) -> tuple[CheckRecord, ...]:
        """What came of the checks, as far as they were asked."""
        return check_records(self.judge) if self.judge is not None else ()

    @property
    def quality(self) -> QualityRecord | None:
        """How good the rows were, None where nothing was asked."""
        return quality_of(self.judge, self.planned.targets) if self.judge is not None else None

    # --- in the memory it may have ------------------------------------------------------------

    def _movable(self, dataset: Dataset) -> Dataset:
        """The dataset as a process of the step's own can read it, where it has one for its queries."""
        if not self._is_bounded():
            return dataset
        frame = movable(self.engine, self.context.db, dataset.frame, dataset.schema)
        return replace(dataset, frame=frame)

    def _bounded(self, result: _Computed) -> _Computed:
        """The result computed in such a process; that of a function was."""
        memory = self.planned.step.memory
        if self.aside is None or memory is None or not self._is_bounded():
            return result
        db = self.context.db
        frame = movable(self.engine, db, result.frame, result.schema)
        frame = bounded(self.engine, db, frame, result.schema, memory, self.aside)
        return replace(result, frame=frame)

    def _is_bounded(self) -> bool:
        step = self.planned.step
        return (
            step.memory is not None
            and self.engine.name in ENGINES
            and step.type not in (StepType.FUNCTION, StepType.COMMAND)
        )

    # --- computing ---------------------------------------------------------------------------

    def _computed(self, inputs: Mapping[str, Dataset]) -> dict[str, _Computed]:
        """Each dataset the step makes."""
        planned, step = self.planned, self.planned.step
        if step.ingests:
            if self.source is None or self.seen is None:
                raise Permanent("there is nothing to read")
            source, seen = self.reading.source(self.source, self.seen)
            frame, schema = read(self.engine, source, seen)
            frame = self.reading.rows(source, frame, schema)
            return {next(iter(step.outputs.values())): _Computed(*self._closed(frame, schema))}
        if step.type is StepType.FUNCTION:
            return {next(iter(step.outputs.values())): _Computed(*self._called(inputs))}
        if step.type is StepType.COMMAND:
            return {next(iter(step.outputs.values())): _Computed(*self._commanded(inputs))}
        if step.stores:
            dataset = next(iter(inputs.values()))
            return {step.name: _Computed(dataset.frame, dataset.schema, dataset.rounded)}
        frames = {planned.inputs[alias]: dataset.frame for alias, dataset in inputs.items()}
        compiled = self._compiled(inputs)
        rounded = any(dataset.rounded for dataset in inputs.values())
        self.sql_run = ";\n\n".join(query.sql for query in compiled.values())
        self._count(compiled, frames)
        schemas = {planned.inputs[alias]: dataset.schema for alias, dataset in inputs.items()}
        return {
            name: _Computed(self._answered(query, frames, schemas), query.schema, rounded or _sums(query))
            for name, query in compiled.items()
        }

    def _answered(self, query: Compiled, frames: Mapping[str, Frame], schemas: Mapping[str, Schema]) -> Frame:
        """The rows of a query, by the engine or by what the step names instead."""
        if self.planned.step.operation is None:
            return self.engine.query(query.query, {d: frames[d] for d in query.inputs}, query.schema)
        given = {dataset: (frames[dataset], schemas[dataset]) for dataset in query.inputs}
        url = database_of(self.context.loaded.environ)
        return answered(url, self.engine, query, given, self.context.binder.now)

    def _count(self, compiled: Mapping[str, Compiled], frames: Mapping[str, Frame]) -> None:
        """Count rows before anything is published, so that what fails here fails the attempt."""
        operations = self.planned.step.params.get("operations", ())
        for query in compiled.values() if operations else ():
            by_chance = self.planned.step.count_rows and volatile(None, None, compiled)
            rows = self.planned.step.count_rows and not by_chance
            self.counts = count(self.engine, operations, query, frames, rows=rows)
            self.warnings += self.counts.warnings
            if by_chance:
                self.warnings += ("its rows are not counted: asked again the query gives others",)

    def _quarantined(self) -> bool:
        return self.quality is not None and self.quality.quarantined > 0

    def _reported(self, inputs: Mapping[str, Dataset], last: int | None) -> tuple[OperationRecord, ...]:
        operations = self.planned.step.params.get("operations", ())
        if not operations or not self.queries:
            return ()
        first = next(iter(inputs.values())).rows
        return reported(operations, next(iter(self.queries.values())), self.counts, first, last)

    def _compiled(self, inputs: Mapping[str, Dataset]) -> Mapping[str, Compiled]:
        """The plan's queries where the inputs are as it assumed, else compiled for what they are."""
        planned = self.planned
        actual = {planned.inputs[alias]: dataset.schema for alias, dataset in inputs.items()}
        if self.queries is None and planned.assumed == actual:
            self.queries = planned.compiled
        if self.queries is None:
            binder, day = self.context.binder, self.context.loaded.logical_date
            self.queries = compile_step(planned.step, planned.script, planned.tables, actual, binder, day)
            self.context.lineage.note(planned.name, self.queries, actual)
        return self.queries

    def _called(self, inputs: Mapping[str, Dataset]) -> tuple[Frame, Schema]:
        function, step, loaded = self.planned.function, self.planned.step, self.context.loaded
        if function is None:
            raise Permanent(f"there is no function {step.value!r}")
        secrets = self.context.secrets
        for name in secrets_in(function):
            secrets(name)  # here, where what it gives is masked, also where the function is called elsewhere
        context = Context.of(loaded, step.name, secrets)
        asked = Call(function, step.params, context, as_declared)
        tables = {alias: (dataset.frame, dataset.schema) for alias, dataset in inputs.items()}
        db = self.context.db
        returned, told = call(self.engine, asked, tables, db.scratch / db.new_name(), self.aside)
        self.warnings = tuple(told)
        if isinstance(returned, tuple):
            frame, schema = returned
        else:
            schema = db.columns(returned.schema)
            frame = self.engine.from_arrow(returned)
        if function.schema is not None:
            frame, schema = as_declared(self.engine, function, frame, schema)
        try:
            return self._closed(frame, schema)
        except Permanent as error:
            error.where = f"{function.file}:{function.line}"
            raise

    def _commanded(self, inputs: Mapping[str, Dataset]) -> tuple[Frame, Schema]:
        """What a command makes of the inputs: read like any file, which stays until the run ends."""
        step, loaded, db = self.planned.step, self.context.loaded, self.context.db
        if self.planned.command is None or self.aside is None:
            raise Permanent(f"there is no command {step.value!r}")
        context = Context(loaded.run_id, loaded.logical_date.isoformat(), step.name, loaded.params)
        tables = {alias: self.engine.to_arrow(dataset.frame) for alias, dataset in inputs.items()}
        folder = db.scratch / db.new_name()
        file = command.run(self.planned.command, step.params, context, tables, folder, self.aside)
        source = Source(str(file), "parquet")
        seen = look(db, source)
        if seen is None:
            raise Permanent(f"there is no file {file}")
        return self._closed(*read(self.engine, source, seen))

    def _closed(self, frame: Frame, schema: Schema) -> tuple[Frame, Schema]:
        """The frame with its columns cast to types that can be stored."""
        from sqlglot import exp

        columns = [exp.column(column.name, quoted=True) for column in schema]
        closed, stored = closing_cast(exp.select(*columns).from_("result"), schema)
        return (
            (frame, schema)
            if stored == schema
            else (self.engine.query(closed, {"result": frame}, stored), stored)
        )

    # --- what readers see --------------------------------------------------------------------

    def _as_read(self, written: Written) -> Dataset:
        target = written.targets[0]
        if written.table is not None:
            rows = Digest.parse(written.digest).rows if written.digest.count(":") == 2 else None
            dataset = kept(self.engine, written.table, written.digest, rows)
            return replace(dataset, sets=written.sets)
        if target.mode == "append":
            return self.context.read_files(target, written.schema, self.engine)
        location = replace(written.staged.location, exact=written.staged.schema == written.schema)
        location = replace(location, schema=written.schema)
        dataset = standing(self.engine, location, written.digest, written.staged.rows)
        return replace(dataset, sets=written.sets)

    def _handed_over(self, result: _Computed, job: Job) -> _Made:
        """A result nobody keeps: lazy for one reader, computed once for several, or to show it."""
        lazy = self.planned.readers == 1 and job.judge is None
        if lazy and self.planned.name not in self.context.keeping.spilled:
            dataset = Dataset(
                result.frame, result.schema, self.version, rounded=result.rounded, engine=self.engine.name
            )
            return _Made(dataset, result.schema)
        db = self.context.db
        staged = in_scratch(db, self.engine, result.frame, result.schema, job)
        _, rows = measure(db, staged.location, sample=job.sample, masked=job.masked)
        dataset = standing(self.engine, staged.location, self.version, staged.rows)
        return _Made(dataset, result.schema, staged.rows, _shown(staged, rows, job.masked), staged=staged)


def _shown(staged: Staged, rows: Sample, masked: tuple[str, ...]) -> SampleRecord | None:
    if not rows:
        return None
    return SampleRecord(columns=tuple(column.name for column in staged.schema), rows=rows, masked=masked)


def _records(written: Written) -> list[WriteRecord]:
    staged = written.staged
    return [
        WriteRecord(
            uri=target.url,
            format=target.format,
            mode=str(target.mode),
            rows=written.rows,
            files=len(staged.parts) if target.format == "delta" else None,
            bytes=staged.bytes if target.format == "delta" else None,
            version=written.version if target.format == "delta" else None,
            note=written.note,
        )
        for target in written.targets
    ]


def _sums(query: Compiled) -> bool:
    """Whether doubles of the result may come out of an aggregate."""
    from sqlglot import exp

    return query.query.find(exp.AggFunc) is not None
