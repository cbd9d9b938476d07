"""From what was observed to what would be done and why. Pure: it reads and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.config.checks import CHECKED
from odibi.config.models import WriteMode
from odibi.datasets.digest import narrowed
from odibi.datasets.guard import guard
from odibi.datasets.source import declared
from odibi.datasets.target import Target
from odibi.errors import ConfigError, Permanent, Problem, SchemaMismatch, nearest
from odibi.observe import Observation, Observed
from odibi.observe.notes import sql_problem
from odibi.operations.call import OperationError
from odibi.operations.placing import cautions, objections
from odibi.plan.checks import check_objections
from odibi.plan.columns import origins_of, uses, with_sets
from odibi.plan.compile import StepError, compile_step
from odibi.plan.decide import decide, held_of, seen_by_readers, stands, without_idle
from odibi.plan.engines import Sizes, engine_of, too_large
from odibi.plan.fingerprint import code_version, key_of, own_versions, parts_of, volatile
from odibi.plan.graph import Cycle, graph, ordered
from odibi.plan.model import Action, Decision, Origins, Plan, PlannedStep
from odibi.plan.runtime import out_of_reach, runtime_of
from odibi.plan.select import select
from odibi.plan.writes import write_objections
from odibi.relational.bind import Binder
from odibi.relational.compile import Compiled
from odibi.relational.functions import portable
from odibi.relational.parse import SqlError
from odibi.relational.schema import Schema

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["build", "graph"]

Place = tuple[Any, ...]


def build(
    loaded: Loaded,
    observation: Observation,
    *,
    chosen: Sequence[str] = (),
    excluded: Sequence[str] = (),
    binder: Binder | None = None,
    full_refresh: bool = False,
    fresh: Container[str] = (),
) -> Plan:
    """The plan.

    Args:
        loaded: the config.
        observation: what exists.
        chosen: selectors of the steps to run, all if empty.
        excluded: selectors of steps not to run.
        binder: types the queries; a new one if None.
        full_refresh: run the chosen steps whatever they have, and let their tables keep no rows.
        fresh: names of the steps that no result of an earlier run may stand in for.

    Raises:
        ConfigError: with every problem that was found; nothing may run.
        Permanent: a selector means nothing.
    """
    own = binder or Binder(loaded.now)
    try:
        return _Builder(loaded, observation, own, full_refresh, fresh).plan(chosen, excluded)
    finally:
        if binder is None:
            own.close()


class _Builder:
    def __init__(
        self,
        loaded: Loaded,
        observation: Observation,
        binder: Binder,
        full_refresh: bool,
        fresh: Container[str],
    ) -> None:
        self.loaded = loaded
        self.seen = observation
        self.binder = binder
        self.full_refresh = full_refresh
        self.fresh = fresh
        self.problems: list[Problem] = list(observation.problems)
        self.producers = {d: o for o in observation.steps for d in o.step.outputs.values()}
        self.schemas: dict[str, Schema | None] = {}
        self.made: dict[str, Schema | None] = {}  # before the write adds or leaves out columns
        self.sizes = Sizes(observation)
        self.guesses: set[str] = set()  # datasets whose columns may come out otherwise
        self.versions: dict[str, str | None] = {}
        self.sets: dict[str, tuple[str, ...]] = {}
        for dataset, (_, found) in observation.external.items():
            self.schemas[dataset], self.versions[dataset] = found.schema, found.version

    def plan(self, chosen: Sequence[str], excluded: Sequence[str]) -> Plan:
        before = graph(self.seen)
        steps = {o.step.name: (index, o) for index, o in enumerate(self.seen.steps)}
        try:
            order = ordered(before)
        except Cycle as cycle:
            at = ("steps", steps[cycle.names[0]][0])
            message = f"the steps wait for each other: {cycle}"
            self.problems.append(self.loaded.problem(at, message, "remove one of these inputs"))
            raise self._refusal() from cycle
        wanted = select([o.step for o in self.seen.steps], before, chosen, excluded)
        needed = self._with_unkept(wanted)
        planned = [
            self.step(*steps[name], upstream=before[name], wanted=name in needed, asked=name in wanted)
            for name in order
        ]
        self._refuse_shared_targets()
        self._refuse_missing_tables(planned, needed)
        if not self.problems:  # places that could not be found out are told of first
            self.problems += out_of_reach(self.loaded, planned)
        if self.problems:
            raise self._refusal()
        return Plan(tuple(with_sets(without_idle(planned))), self.seen.external)

    def _refusal(self) -> ConfigError:
        """Every problem, without the secrets that the places in them hold."""
        mask = self.seen.redactor.mask
        return ConfigError(replace(p, message=mask(p.message), hint=mask(p.hint)) for p in self.problems)

    def _with_unkept(self, wanted: frozenset[str]) -> frozenset[str]:
        """The wanted steps and those whose result they need but nobody keeps."""
        needed = set(wanted)
        waiting = list(wanted)
        observed = {o.step.name: o for o in self.seen.steps}
        while waiting:
            for dataset in observed[waiting.pop()].inputs.values():
                producer = self.producers.get(dataset)
                if producer is not None and not producer.targets and producer.step.name not in needed:
                    needed.add(producer.step.name)
                    waiting.append(producer.step.name)
        return frozenset(needed)

    def step(
        self, index: int, observed: Observed, *, upstream: tuple[str, ...], wanted: bool, asked: bool
    ) -> PlannedStep:
        step = observed.step
        at = ("steps", index)
        self._refuse_unknown_inputs(at, observed)
        size = self.sizes.of(observed)
        engine, chosen = engine_of(self.loaded.pipeline, step, size)
        runtime, where = runtime_of(self.loaded.pipeline, step, size)
        code = code_version(observed)
        own = own_versions(observed, self.loaded)
        compiled, assumed, warnings = self._compiled(at, observed)
        used, origins = self._uses(observed, compiled)
        versions = {alias: self._version(d, used) for alias, d in observed.inputs.items()} | own
        versions |= self._new(observed)
        known = {name: version for name, version in versions.items() if version is not None}
        parts = parts_of(code, engine, known)
        key = key_of(parts) if len(known) == len(versions) else None
        if engine == "spark" and compiled is not None:
            self._refuse_unportable(at, observed, compiled)
        alone = observed.command is not None and not observed.tables
        unsteady = (
            not step.cache
            or observed.declared.clocked
            or volatile(observed.script, observed.function, compiled, alone=alone)
        )
        remote = observed.source.remote if observed.source is not None else None
        caution = (remote.caution if remote is not None else "", self.loaded.document.cautions.get(step.name))
        warnings = (*warnings, *filter(None, caution), *self._placed(at, observed, engine))
        found = stands(observed.kept, key, volatile=unsteady)
        done = found is not None and found.resumed
        if not wanted:
            decision = Decision(Action.SKIP, "not selected")
        elif step.name in self.fresh and not done:
            decision = Decision(Action.RUN, "no earlier result may stand in for it")
        else:
            day = self.loaded.logical_date
            columns = {
                alias: used[dataset]
                for alias, dataset in observed.inputs.items()
                if versions[alias] in self.sets.get(dataset, ())
            }
            decision = decide(observed, key, parts, versions, day, volatile=unsteady, columns=columns)
            if not asked and decision.action is Action.RUN:
                decision = Decision(Action.RUN, "a selected step needs it, and it is not kept")
        rebuild = False
        if asked and observed.targets and not done:
            decision, rebuild = self._code_change(at, observed, code, decision)
        if decision.action is Action.RUN:
            absent = (self.seen.absent.get(dataset) for dataset in observed.inputs.values())
            self.problems += [problem for problem in (observed.missing, *absent) if problem is not None]
            said = (decision.reason, _arriving(observed, versions), chosen, where)
            decision = Decision(decision.action, "; ".join(filter(None, said)))
        schemas = {
            dataset: self._schema(observed, dataset, compiled, decision, key)
            for dataset in step.outputs.values()
        }
        for dataset, schema in schemas.items():
            self.schemas[dataset] = schema
            self.versions[dataset] = seen_by_readers(observed, dataset, decision, key, volatile=unsteady)
            standing = observed.standing.get(dataset)
            self.sets[dataset] = standing.sets if standing is not None else ()
        if decision.action is Action.RUN:
            self._refuse_write(at, observed)
            self._refuse_checks(at, observed)
        return PlannedStep(
            index=index,
            step=step,
            engine=engine,
            decision=decision,
            inputs=observed.inputs,
            upstream=upstream,
            readers=0,
            code=code,
            own=own,
            versions=versions,
            key=key,
            schemas=schemas,
            compiled=compiled,
            assumed=assumed,
            origins=origins,
            uses=used,
            script=observed.script,
            function=observed.function,
            command=observed.command,
            source=observed.source,
            seen=observed.seen,
            targets=observed.targets,
            commits=observed.commits,
            volatile=unsteady,
            declared=observed.declared,
            rebuild=rebuild,
            fresh=step.name in self.fresh,
            kept=observed.kept,
            runtime=runtime,
            bound=tuple(
                sorted({name for query in (compiled or {}).values() for name in portable(query.meaning)})
            ),
            warnings=(*warnings, *too_large(self.loaded.pipeline, engine, size)),
            size=size or None,
        )

    def _uses(
        self, observed: Observed, compiled: Mapping[str, Compiled] | None
    ) -> tuple[dict[str, tuple[str, ...]], Origins]:
        """The columns the step depends on, of the inputs that are kept: only those are digested by columns."""
        producers = [self.producers.get(dataset) for dataset in observed.tables.values()]
        if compiled is None or not any(producer and producer.targets for producer in producers):
            return {}, {}
        known = {d: schema for d in observed.tables.values() if (schema := self.schemas.get(d)) is not None}
        checked = observed.declared.datasets  # a check may look at any column of them
        origins = origins_of(compiled, known)
        found = uses(compiled, known, origins)
        return {d: columns for d, columns in found.items() if d not in checked}, origins

    def _new(self, observed: Observed) -> dict[str, str | None]:
        """The data version of what is read anew, as far as it is known: new rows of inputs, files of a server."""
        found: dict[str, str | None] = {}
        if observed.source is not None and observed.source.remote is not None:
            found["files"] = None  # only the server could tell
        for alias, rows in observed.step.incremental.items():
            if rows.watermark is None and alias in observed.inputs:
                new = observed.arrived.get(alias)
                known = self.versions.get(observed.inputs[alias]) is not None and new is not None
                found[alias] = new.version if known and new is not None else None
        return found

    def _version(self, dataset: str, used: Mapping[str, tuple[str, ...]]) -> str | None:
        """The data version of a dataset for who uses these columns."""
        whole = self.versions.get(dataset)
        if whole is None:
            return None
        return narrowed(whole, self.sets.get(dataset, ()), self.schemas.get(dataset) or (), used.get(dataset))

    def _refuse_unportable(self, at: Place, observed: Observed, compiled: Mapping[str, Compiled]) -> None:
        """What the step asks for and Spark cannot answer as DuckDB does."""
        from odibi.relational.spark import NotPortable, to_spark

        for query in compiled.values():
            tables = {name: self.schemas.get(name) or () for name in query.inputs}
            try:
                to_spark(query.query, tables, query.schema)
            except NotPortable as error:
                if observed.sql_file:
                    told = SqlError(error.message, line=1, hint=error.hint)
                    self.problems.append(sql_problem(self.loaded, at, told, observed.sql_file))
                else:
                    place = (
                        (*at, "params", "operations")
                        if "operations" in observed.step.params
                        else (*at, "value")
                    )
                    self.problems.append(self.loaded.problem(place, error.message, error.hint))

    def _code_change(
        self, at: Place, observed: Observed, code: str, decision: Decision
    ) -> tuple[Decision, bool]:
        """What becomes of rows that other code made: the decision, and whether the table is built anew."""
        if self.full_refresh:
            return Decision(Action.RUN, "full refresh"), True
        before = {standing.code for standing in observed.standing.values()} - {"", code}
        write = next(iter(observed.targets.values()))[0].write
        keeps = write.mode is not WriteMode.OVERWRITE
        if decision.action is not Action.RUN or not before or not keeps:
            return decision, False
        if write.code_change == "refuse":
            message = f"step {observed.step.name!r}: its code changed, and {write.mode} keeps rows that the old code made"
            hint = "--full-refresh builds the table anew from what this run reads, write: {on_code_change: forward_only} goes on"
            self.problems.append(self.loaded.problem((*at, "write"), message, hint))
        elif write.code_change == "rebuild":
            return Decision(Action.RUN, "its code changed: the table is built anew"), True
        return decision, False

    def _placed(self, at: Place, observed: Observed, engine: str) -> tuple[str, ...]:
        """What to be wary of in calling the step's function on the engine; why it cannot be is a problem."""
        step = observed.step
        processes = self.loaded.pipeline.backend == "processes"
        if processes and engine == "spark":
            message = "backend: processes cannot be had with engine spark: a session cannot cross processes"
            self.problems.append(self.loaded.problem(("backend",), message, "remove backend"))
        spark: tuple[str, ...] = ()
        if step.memory is not None and engine == "spark":
            spark = ("its resources do not bound Spark: set spark.driver.memory and spark.executor.memory",)
        if observed.function is None:
            return spark
        processes = processes or (step.memory is not None and engine != "spark")
        known = {
            alias: None if dataset in self.guesses else self.schemas.get(dataset)
            for alias, dataset in observed.tables.items()
        }
        self.problems += [
            self.loaded.problem((*at, "value"), *why)
            for why in objections(observed.function, engine, known, processes=processes)
        ]
        return (*spark, *cautions(observed.function, engine, limited=step.timeout is not None))

    def _refuse_unknown_inputs(self, at: Place, observed: Observed) -> None:
        for alias, dataset in observed.inputs.items():
            if dataset in self.producers or dataset in self.seen.external or dataset in self.seen.absent:
                continue
            known = (*self.producers, *self.seen.external)
            problem = _unknown_input(self.loaded, at, observed, alias, dataset, known)
            if not any((p.file, p.message) == (problem.file, problem.message) for p in self.problems):
                self.problems.append(problem)

    def _compiled(
        self, at: Place, observed: Observed
    ) -> tuple[Mapping[str, Compiled] | None, dict[str, Schema], tuple[str, ...]]:
        """The step's queries where its inputs' columns are known, those columns, and what to be wary of."""
        step = observed.step
        if (observed.script is None and "operations" not in step.params) or not step.outputs:
            return None, {}, ()
        found = {dataset: self.schemas.get(dataset) for dataset in observed.tables.values()}
        assumed = {dataset: schema for dataset, schema in found.items() if schema is not None}
        unknown = sorted(found.keys() - assumed.keys())
        if unknown:
            which = ", ".join(unknown)
            return None, {}, (f"its columns are bound in the run: those of {which} are not known before",)
        try:
            day = self.loaded.logical_date
            return (
                compile_step(step, observed.script, observed.tables, assumed, self.binder, day),
                assumed,
                (),
            )
        except SqlError as error:
            problem = sql_problem(self.loaded, at, error, observed.sql_file)
        except (StepError, OperationError) as error:
            problem = self.loaded.problem((*at, *error.path), error.message, error.hint)
        except Permanent as error:
            problem = self.loaded.problem((*at, "value"), error.message, error.hint)
        guessed = sorted(self.guesses & found.keys())
        if not guessed:
            self.problems.append(problem)
            return None, {}, ()
        return None, {}, (f"{problem}, as {', '.join(guessed)} was in the last run",)

    def _schema(
        self, observed: Observed, dataset: str, compiled: Mapping[str, Compiled] | None, decision: Decision,
        key: str | None,
    ) -> Schema | None:  # fmt: skip
        """The columns a reader of the dataset will see: of the table where it is written."""
        if (held := held_of(observed.targets, observed.kept, dataset, decision, key)) is not None:
            return held.schema_
        standing = observed.standing.get(dataset)
        last = standing.schema if standing is not None else None
        if decision.action is not Action.RUN and last is not None:
            return last
        schema = None
        if compiled is not None:
            schema = compiled[dataset].schema if dataset in compiled else None
            guessed = not self.guesses.isdisjoint(observed.tables.values())
        elif observed.seen is not None:
            schema, guessed = observed.seen.schema, False
        elif observed.source is not None and (known := declared(observed.source)) is not None:
            schema, guessed = known, False
        elif observed.function is not None and observed.function.schema is not None:
            schema, guessed = observed.function.schema, False
        else:
            schema, guessed = last, True
        if guessed:
            self.guesses.add(dataset)
        self.made[dataset] = schema
        return _as_written(schema, last, observed.targets.get(dataset, ()))

    def _refuse_shared_targets(self) -> None:
        owners: dict[str, str] = {}
        files = {_place(o.source.url): o.step.name for o in self.seen.steps if o.source is not None}
        for index, observed in enumerate(self.seen.steps):
            name, at = observed.step.name, ("steps", index, "write")
            remote = observed.source.remote if observed.source is not None else None
            if remote is not None and remote.folder:
                other = owners.setdefault(_place(remote.folder), name)
                if other != name:
                    message = f"steps {other!r} and {name!r} both land in {remote.folder}"
                    there = ("steps", index, "params", "land")
                    self.problems.append(self.loaded.problem(there, message, "give one of them another path"))
            for target in (target for group in observed.targets.values() for target in group):
                place = _place(target.url)
                other = owners.setdefault(place, name)
                if other != name:
                    message = f"steps {other!r} and {name!r} both write {target.url}"
                    self.problems.append(self.loaded.problem(at, message, "give one of them another path"))
                if place in files and target.format != "delta":
                    message = f"step {name!r} writes {target.url}, the file that step {files[place]!r} reads"
                    self.problems.append(self.loaded.problem(at, message, "give it another path"))

    def _refuse_write(self, at: Place, observed: Observed) -> None:
        """What a write cannot be asked for, of columns as far as they are known."""
        place = (*at, "params" if observed.step.stores else "write")
        for dataset, (target, *_) in observed.targets.items():
            schema = None if dataset in self.guesses else self.made.get(dataset)
            for path, message, hint in write_objections(target, schema, self.binder):
                problem = self.loaded.problem((*place, *path), message, hint)
                self.problems += [] if problem in self.problems else [problem]
            for alias, rows in observed.step.incremental.items() if target.mode is WriteMode.APPEND else ():
                names = [column.name for column in schema or ()]
                if schema is not None and rows.watermark is not None and rows.watermark not in names:
                    message = f"rows are read by the watermark {rows.watermark!r} and appended, and the result has no such column"
                    hint = nearest(rows.watermark, names, "keep it, or write with mode merge; it has")
                    self.problems.append(self.loaded.problem((*at, "incremental", alias), message, hint))

    def _refuse_checks(self, at: Place, observed: Observed) -> None:
        """What the step's checks cannot be asked, of columns as far as they are known."""
        if not observed.declared.checks:
            return
        dataset = next(
            iter(observed.tables.values() if observed.step.stores else observed.step.outputs.values())
        )
        made = self.schemas if observed.step.stores else self.made
        schema = None if dataset in self.guesses else made.get(dataset)
        lookups = {
            alias: found
            for alias, name in observed.inputs.items()
            if alias.startswith(CHECKED) and (found := self.schemas.get(name)) is not None
        }
        for path, message, hint in check_objections(observed, dataset, schema, lookups, self.binder):
            self.problems.append(self.loaded.problem((*at, *path), message, hint))

    def _refuse_missing_tables(self, planned: Iterable[PlannedStep], needed: frozenset[str]) -> None:
        for step in planned:
            for dataset in step.inputs.values() if step.decision.action is Action.RUN else ():
                producer = self.producers.get(dataset)
                if producer is None or producer.step.name in needed or dataset in producer.standing:
                    continue
                message = f"step {step.name!r} reads {dataset!r}, which is not selected and not written yet"
                hint = f"select +{step.name} as well"
                self.problems.append(self.loaded.problem(("steps", step.index), message, hint))


def _unknown_input(
    loaded: Loaded, at: Place, observed: Observed, alias: str, dataset: str, known: Iterable[str]
) -> Problem:
    hint = nearest(dataset, known, "datasets")
    message = f"unknown input {dataset!r}"
    if observed.script is not None and alias not in observed.step.inputs:
        from odibi.relational.parse import place, table_name, tables_in

        for statement in observed.script.statements:
            for table in tables_in(statement):
                if table_name(table).lower() == alias.lower():
                    line, column = place(table)
                    error = SqlError(message, line=line, column=column, hint=hint)
                    return sql_problem(loaded, at, error, observed.sql_file)
    named = _path_to(dataset, observed.step.params.get("operations"))
    path = ("params", "operations", *named) if named else ("inputs",)
    return loaded.problem((*at, *path), message, hint)


def _path_to(wanted: str, value: Any) -> Place:
    """Where in a structure the text stands first; empty if nowhere."""
    if isinstance(value, Mapping):
        items: Iterable[tuple[Any, Any]] = value.items()
    else:
        items = enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        if item == wanted:
            return (key,)
        if path := _path_to(wanted, item):
            return (key, *path)
    return ()


def _arriving(observed: Observed, versions: Mapping[str, str | None]) -> str:
    """What would be read of inputs and of a source of which only what is new is."""
    return ", ".join(
        new.said + (" so far" if name in versions and versions[name] is None else "")
        for name, new in observed.arrived.items()
    )


def _as_written(schema: Schema | None, last: Schema | None, targets: Sequence[Target]) -> Schema | None:
    """The columns of the target once rows of ``schema`` are in it, where it had ``last`` before."""
    if schema is None or not targets or targets[0].format != "delta":
        return schema
    target = targets[0]
    if schema == last:  # what was guessed is the table's already
        return last
    schema = target.columns(schema)
    try:
        return guard(schema, last, target.policy, target.url).schema
    except SchemaMismatch:
        return schema  # the step will fail, and with it those who read it


def _place(url: str) -> str:
    """The URL so that two spellings of one place are equal."""
    return url if "://" in url else os.path.normpath(Path(url).absolute())
