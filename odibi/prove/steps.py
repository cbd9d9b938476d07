"""The steps of a pipeline, one after the other: what each computes as a question, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from odibi.datasets.files import SourceFile
from odibi.datasets.source import Seen, Source, read
from odibi.errors import OdibiError
from odibi.home import typed
from odibi.operations.answer import Call
from odibi.operations.invoke import call
from odibi.operations.python import Context, Function
from odibi.plan.compile import compile_step
from odibi.prove.ask import Bench, Question, TooMany, first_line
from odibi.prove.model import Answer, Difference, StepProof, Table, Verdict
from odibi.prove.pools import Hints, hints
from odibi.prove.portable import Objection, objections, placed, sql_file, unportable_step
from odibi.prove.query import prove_compiled
from odibi.prove.question import prove_question
from odibi.prove.samples import Samples
from odibi.relational.bind import Binder
from odibi.relational.compile import Compiled
from odibi.relational.rules import closing_cast
from odibi.relational.schema import Schema
from odibi.relational.spark import NotPortable
from odibi.run.declared import as_declared

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.engines.base import Engine, Frame
    from odibi.plan.model import Plan, PlannedStep

__all__ = ["StepProver"]

FILES_UP_TO = 4_000_000
"""Bytes of files that are read on every engine, the smallest files first; one is read whatever its size."""


@dataclass(frozen=True, slots=True)
class StepProver:
    """Proves steps in the order of the plan."""

    loaded: Loaded
    plan: Plan
    bench: Bench
    binder: Binder
    samples: Samples
    seed: int

    def prove(self, planned: PlannedStep) -> StepProof:
        """What is found of one step. Its problems are in the result, not raised."""
        proof = self._proved(planned)
        return replace(proof, name=planned.name, operation=planned.operation, where=self._where(planned))

    def _where(self, planned: PlannedStep) -> str:
        """Where it stands what the step computes: in a file of its own, else in the config."""
        if planned.function is not None:
            return typed(planned.function.place)
        if file := sql_file(self.loaded, planned.step):
            return f"{file}:1"
        file, line, _ = self.loaded.where(("steps", planned.index))
        return f"{file}:{line}"

    def _proved(self, planned: PlannedStep) -> StepProof:
        import duckdb

        if why := _left_out(planned):
            return StepProof(Verdict.LEFT_OUT, reason=why)
        names = [engine.name for engine in self.bench.others]
        problems = [p for p in unportable_step(self.loaded, self.plan, planned, names) if p.level == "error"]
        if problems:
            return StepProof(Verdict.REFUSED, problems=tuple(problems))
        try:
            if planned.step.ingests:
                return self._read(planned)
            if planned.function is not None:
                return self._function(planned, planned.function)
            return self._queries(planned)
        except NotPortable as error:
            problem = placed(self.loaded, planned, Objection(error.message, error.hint, where=error.where))
            return StepProof(Verdict.REFUSED, problems=(problem,))
        except TooMany:
            return StepProof(Verdict.LEFT_OUT, reason="its answer is too long to be compared")
        except (OdibiError, duckdb.Error) as error:  # also of files that are sampled, and cannot be read
            return StepProof(Verdict.FAILED, reason=first_line(error))

    # --- relational --------------------------------------------------------------------------

    def _queries(self, planned: PlannedStep) -> StepProof:
        tables = self.samples.of(planned.inputs, _hints(planned))
        if tables is None:
            return _no_rows()
        by_dataset = {planned.inputs[alias]: table for alias, table in tables.items()}
        schemas = {dataset: table.schema for dataset, table in by_dataset.items()}
        compiled = planned.compiled if planned.assumed == schemas else None
        if compiled is None:
            day = self.loaded.logical_date
            compiled = compile_step(planned.step, planned.script, planned.inputs, schemas, self.binder, day)
        found = []
        for dataset, query in compiled.items():
            if planned.compiled is None:
                self._refuse(query, by_dataset)
            proof, answer = prove_compiled(query, by_dataset, self.bench, seed=f"{self.seed}/{dataset}")
            self._keep(dataset, answer)
            found.append(proof)
        return _together(found)

    def _refuse(self, query: Compiled, tables: Mapping[str, Table]) -> None:
        """Raise NotPortable for a query that could not be looked at before its inputs' columns were known."""
        schemas = {dataset: table.schema for dataset, table in tables.items()}
        for objection in objections(query, schemas, [engine.name for engine in self.bench.others]):
            raise NotPortable(objection.message, where=objection.where, hint=objection.hint)

    def _keep(self, dataset: str, answer: Answer) -> None:
        if isinstance(answer, Table):
            self.samples.made[dataset] = answer

    # --- functions ---------------------------------------------------------------------------

    def _function(self, planned: PlannedStep, function: Function) -> StepProof:
        tables = self.samples.of(planned.inputs, Hints())
        if tables is None:
            return _no_rows()
        step, loaded, database = planned.step, self.loaded, self.bench.database
        context = Context(loaded.run_id, loaded.logical_date.isoformat(), step.name, loaded.params)

        def question(engine: Engine, frames: Mapping[str, Frame]) -> Frame:
            given = {name: (frame, tables[name].schema) for name, frame in frames.items()}
            folder = database.scratch / database.new_name()
            returned, _ = call(engine, Call(function, step.params, context, as_declared), given, folder)
            if isinstance(returned, tuple):
                frame, schema = returned
            else:
                frame, schema = engine.from_arrow(returned), database.columns(returned.schema)
            if function.schema is not None:
                frame, schema = as_declared(engine, function, frame, schema)
            return _stored(engine, frame, schema)

        proof, answer = prove_question(self.bench, question, tables, Hints(), seed=f"{self.seed}/{step.name}")
        self._keep(next(iter(step.outputs.values())), answer)
        return proof

    # --- reads -------------------------------------------------------------------------------

    def _read(self, planned: PlannedStep) -> StepProof:
        source, seen = planned.source, planned.seen
        if source is not None and source.remote is not None:
            return StepProof(Verdict.LEFT_OUT, reason="only a run asks its server")
        if source is None or seen is None:
            return StepProof(Verdict.LEFT_OUT, reason="there is nothing to read")
        if source.format == "table":
            return self._named(planned, source, seen)
        some = _some_files(seen)
        proof, answer = prove_question(self.bench, _reading(source, some), {}, Hints())
        if isinstance(answer, Table):
            self._keep(next(iter(planned.step.outputs.values())), answer)
            proof = replace(proof, rows=len(answer))
        if proof.differences and len(some.files) > 1:
            alone = (self._alone(source, replace(some, files=(file,))) for file in some.files)
            differences = next((found for found in alone if found), proof.differences)
            proof = replace(proof, differences=differences)
        return proof

    def _named(self, planned: PlannedStep, source: Source, seen: Seen) -> StepProof:
        """A table that only Spark knows: nobody to compare with, but the steps that read it want rows."""

        def question(engine: Engine, _: Mapping[str, Frame]) -> Frame:
            frame, schema = read(engine, source, seen)
            first = exp.select("*").from_("named").limit(self.samples.rows)
            return engine.query(first, {"named": frame}, schema)

        for engine in self.bench.others:
            if engine.name == "spark":
                self._keep(next(iter(planned.step.outputs.values())), self.bench.ask(engine, question, {}))
        return StepProof(Verdict.LEFT_OUT, reason="only Spark reads tables by name")

    def _alone(self, source: Source, seen: Seen) -> tuple[Difference, ...]:
        """The differences of one file, with its name."""
        found = prove_question(self.bench, _reading(source, seen), {}, Hints())[0].differences
        return tuple(replace(one, said=f"{one.said}, in {typed(seen.files[0].path)}") for one in found)


def _left_out(planned: PlannedStep) -> str:
    """Why there is nothing to prove of a step; empty if there is."""
    if planned.step.stores:
        return "it only writes what another step makes"
    if planned.command is not None:
        return "it runs a command, which is the same whatever the engine"
    if planned.function is not None and not planned.function.inputs:
        return "it has no inputs: what it returns is up to the world outside"
    return "its result depends on the clock or on chance" if planned.volatile else ""


def _hints(planned: PlannedStep) -> Hints:
    trees = [query.meaning for query in (planned.compiled or {}).values()]
    found = [hints(tree) for tree in trees]
    return Hints(
        tuple(literal for one in found for literal in one.literals),
        frozenset(pair for one in found for pair in one.equal),
    )


def _no_rows() -> StepProof:
    return StepProof(Verdict.LEFT_OUT, reason="the rows of its inputs are nowhere to be had yet")


def _stored(engine: Engine, frame: Frame, schema: Schema) -> Frame:
    """The frame with its columns cast to types that can be stored."""
    columns = [exp.column(column.name, quoted=True) for column in schema]
    closed, stored = closing_cast(exp.select(*columns).from_("result"), schema)
    return frame if stored == schema else engine.query(closed, {"result": frame}, stored)


def _reading(source: Source, seen: Seen) -> Question:
    return lambda engine, _: read(engine, source, seen)[0]


def _some_files(seen: Seen) -> Seen:
    """The source with as many of its files as are soon read."""
    left = FILES_UP_TO
    kept: list[SourceFile] = []
    for file in sorted(seen.files, key=lambda file: file.size):
        if kept and file.size > left:
            break
        kept.append(file)
        left -= file.size
    return replace(seen, files=tuple(kept))


_WORST = (Verdict.DIFFERENT, Verdict.REFUSED, Verdict.FAILED, Verdict.LEFT_OUT, Verdict.PROVED)


def _together(proofs: Sequence[StepProof]) -> StepProof:
    """What is known of a step that makes several datasets."""
    worst = min(proofs, key=lambda proof: _WORST.index(proof.verdict))
    return replace(
        worst,
        rows=sum(proof.rows for proof in proofs),
        edges=sum(proof.edges for proof in proofs),
        dropped=sum(proof.dropped for proof in proofs),
        trials=sum(proof.trials for proof in proofs),
        differences=tuple(difference for proof in proofs for difference in proof.differences),
    )
