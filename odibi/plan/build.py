"""From what was observed to what would be done and why. Pure: it reads and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from odibi.config.models import Node, StepType
from odibi.datasets.target import Target
from odibi.errors import ConfigError, Permanent, Problem, nearest
from odibi.observe import Observation, Observed
from odibi.observe.snapshot import sql_problem
from odibi.operations.call import OperationError
from odibi.plan.compile import StepError, compile_step
from odibi.plan.fingerprint import code_version, key_of, parts_of, what_changed
from odibi.plan.model import Action, Decision, Plan, PlannedStep
from odibi.plan.select import select
from odibi.relational.bind import Binder
from odibi.relational.compile import Compiled
from odibi.relational.functions import portable
from odibi.relational.parse import SqlError, volatile
from odibi.relational.schema import Column, Schema

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["build", "graph"]


def graph(observation: Observation) -> dict[str, tuple[str, ...]]:
    """Step name to the names of the steps that must end before it: from inputs and depends_on."""
    producer = {dataset: o.step.name for o in observation.steps for dataset in o.step.outputs.values()}
    names = {o.step.name for o in observation.steps}
    return {
        o.step.name: tuple(
            dict.fromkeys(
                name
                for name in (*(producer.get(d) for d in o.inputs.values()), *o.step.depends_on)
                if name in names and name != o.step.name
            )
        )
        for o in observation.steps
    }


def build(
    loaded: Loaded,
    observation: Observation,
    *,
    chosen: Sequence[str] = (),
    excluded: Sequence[str] = (),
    binder: Binder | None = None,
) -> Plan:
    """The plan.

    Args:
        loaded: the config.
        observation: what exists.
        chosen: selectors of the steps to run, all if empty.
        excluded: selectors of steps not to run.
        binder: types the queries; a new one if None.

    Raises:
        ConfigError: with every problem that was found; nothing may run.
    """
    own = binder or Binder()
    try:
        return _Builder(loaded, observation, own).plan(chosen, excluded)
    finally:
        if binder is None:
            own.close()


class _Builder:
    def __init__(self, loaded: Loaded, observation: Observation, binder: Binder) -> None:
        self.loaded = loaded
        self.seen = observation
        self.binder = binder
        self.problems: list[Problem] = list(observation.problems)
        self.schemas: dict[str, Schema | None] = {}
        self.versions: dict[str, str | None] = {}
        self.producers = {d: o for o in observation.steps for d in o.step.outputs.values()}
        self.datasets = {name.lower(): name for name in (*self.producers, *observation.external)}
        for dataset, (_, found) in observation.external.items():
            self.schemas[dataset], self.versions[dataset] = found.schema, found.version

    def plan(self, chosen: Sequence[str], excluded: Sequence[str]) -> Plan:
        before = graph(self.seen)
        order = self._order(before)
        steps = {o.step.name: (index, o) for index, o in enumerate(self.seen.steps)}
        wanted = select([o.step for o in self.seen.steps], before, chosen, excluded)
        needed = self._with_unkept(wanted)
        planned = [
            self.step(*steps[name], upstream=before[name], wanted=name in needed, asked=name in wanted)
            for name in order
        ]
        self._refuse_shared_targets(planned)
        self._refuse_missing_tables(planned, needed)
        if any(problem.level == "error" for problem in self.problems):
            raise ConfigError(problem for problem in self.problems if problem.level == "error")
        return Plan(tuple(_without_idle(_with_readers(planned))), self.seen.external)

    def _order(self, before: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        try:
            return tuple(TopologicalSorter(before).static_order())
        except CycleError as error:
            cycle = list(reversed(error.args[1]))
            index = next(i for i, o in enumerate(self.seen.steps) if o.step.name == cycle[0])
            problem = self.loaded.problem(
                ("steps", index),
                f"the steps form a cycle: {' -> '.join(cycle)}",
                "one of them must not read another",
            )
            raise ConfigError([*self.problems, problem]) from error

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
        engine = step.engine or self.loaded.pipeline.engine
        code = code_version(observed)
        inputs = {alias: self.versions.get(dataset) for alias, dataset in observed.inputs.items()}
        if observed.seen is not None:
            inputs["files"] = observed.seen.version
        known = {name: version for name, version in inputs.items() if version is not None}
        parts = parts_of(code, engine, known)
        key = key_of(parts) if len(known) == len(inputs) else None
        compiled, assumed = self._compiled(at, observed)
        schemas = self._schemas(observed, compiled)
        unsteady = observed.script is not None and volatile(observed.script)
        decision = self._decide(observed, key, parts, inputs, wanted=wanted, asked=asked, volatile=unsteady)
        for dataset in step.outputs.values():
            self.schemas[dataset] = schemas.get(dataset)
            self.versions[dataset] = self._version(observed, dataset, decision, key)
        waits = compiled is None and step.type is not StepType.FUNCTION and step.node is Node.TRANSFORM
        return PlannedStep(
            index=index,
            step=step,
            engine=engine,
            decision=decision,
            inputs=observed.inputs,
            upstream=upstream,
            readers=0,
            code=code,
            versions=inputs,
            key=key,
            schemas=schemas,
            compiled=compiled,
            assumed=assumed,
            script=observed.script,
            function=observed.function,
            source=observed.source,
            seen=observed.seen,
            targets=observed.targets,
            commits=observed.commits,
            volatile=unsteady,
            bound=tuple(
                sorted({name for query in (compiled or {}).values() for name in portable(query.meaning)})
            ),
            warnings=("its columns are bound in the run: an input's are not known before",) if waits else (),
        )

    def _refuse_unknown_inputs(self, at: tuple[Any, ...], observed: Observed) -> None:
        datasets = self.datasets
        for alias, dataset in list(observed.inputs.items()):
            if dataset.lower() in datasets:
                if dataset not in self.producers and dataset not in self.seen.external:
                    observed.inputs[alias] = datasets[dataset.lower()]  # type: ignore[index]
                continue
            problem = _unknown_input(self.loaded, at, observed, alias, dataset, datasets.values())
            if not any((p.file, p.message) == (problem.file, problem.message) for p in self.problems):
                self.problems.append(problem)

    def _compiled(
        self, at: tuple[Any, ...], observed: Observed
    ) -> tuple[Mapping[str, Compiled] | None, dict[str, Schema]]:
        """The step's queries where its inputs' columns are known, and those columns."""
        step = observed.step
        if step.type is StepType.FUNCTION or (observed.script is None and "operations" not in step.params):
            return None, {}
        found = {dataset: self.schemas.get(dataset) for dataset in observed.inputs.values()}
        assumed = {dataset: schema for dataset, schema in found.items() if schema is not None}
        if len(assumed) < len(found):
            return None, {}
        try:
            return compile_step(step, observed.script, observed.inputs, assumed, self.binder), assumed
        except SqlError as error:
            self.problems.append(sql_problem(self.loaded, at, error, observed.sql_file))
        except (StepError, OperationError) as error:
            path = (*at, *error.path)
            self.problems.append(self.loaded.problem(path, error.message, error.hint))
        except Permanent as error:
            self.problems.append(self.loaded.problem((*at, "value"), error.message, error.hint))
        return None, {}

    def _schemas(
        self, observed: Observed, compiled: Mapping[str, Compiled] | None
    ) -> dict[str, Schema | None]:
        """The columns a reader of each output will see: of the table where it is written."""
        made: dict[str, Schema | None] = dict.fromkeys(observed.step.outputs.values())
        for dataset in made:
            schema: Schema | None = None
            if compiled is not None:
                schema = compiled[dataset].schema if dataset in compiled else None
            elif observed.seen is not None:
                schema = observed.seen.schema
            elif observed.function is not None:
                schema = observed.function.schema or _committed(observed, dataset)
            made[dataset] = _as_written(schema, observed.targets.get(dataset, ()))
        return made

    def _decide(
        self, observed: Observed, key: str | None, parts: Mapping[str, Any], inputs: Mapping[str, str | None],
        *, wanted: bool, asked: bool, volatile: bool,
    ) -> Decision:  # fmt: skip
        if not wanted:
            return Decision(Action.SKIP, "not selected")
        if not asked:
            return Decision(Action.RUN, "a selected step needs it, and it is not kept")
        if not observed.targets:
            return Decision(Action.RUN, "its result is not kept")
        if volatile:
            return Decision(Action.RUN, "its answer depends on the clock or on chance")
        if any(target.format != "delta" for group in observed.targets.values() for target in group):
            return Decision(Action.RUN, "plain files do not tell what they hold")
        commits = [observed.commits.get(dataset) for dataset in observed.targets]
        if any(commit is None for commit in commits):
            first = next(d for d in observed.targets if observed.commits.get(d) is None)
            append = observed.targets[first][0].mode == "append"
            date = f" for {self.loaded.logical_date}" if append else ""
            return Decision(Action.RUN, f"nothing written{date} yet")
        notes = [commit.note for commit in commits if commit is not None]
        if key is None:
            unknown = sorted(name for name, version in inputs.items() if version is None)
            return Decision(Action.RUN, f"{', '.join(unknown)} may change")
        if all(note.get("key") == key for note in notes):
            versions = ", ".join(str(commit.version) for commit in commits if commit is not None)
            return Decision(Action.REUSE, f"nothing changed since version {versions}")
        if any("key" not in note for note in notes):
            return Decision(Action.RUN, "its table was changed by somebody else")
        return Decision(Action.RUN, what_changed(notes[0].get("parts", {}), parts))

    def _version(self, observed: Observed, dataset: str, decision: Decision, key: str | None) -> str | None:
        """The data version a reader of the dataset will see, None where only the run will tell."""
        if not observed.targets:
            return f"key:{key}" if key else None
        commit = observed.commits.get(dataset)
        if decision.action in (Action.REUSE, Action.SKIP) and commit is not None:
            digest = commit.note.get("digest")
            return str(digest) if digest else None
        return None

    def _refuse_shared_targets(self, planned: Iterable[PlannedStep]) -> None:
        owners: dict[str, PlannedStep] = {}
        for step in planned:
            for group in step.targets.values():
                for target in group:
                    other = owners.setdefault(target.url, step)
                    if other is not step:
                        self.problems.append(
                            self.loaded.problem(
                                ("steps", step.index, "write"),
                                f"steps {other.name!r} and {step.name!r} both write {target.url}",
                                "give one of them another path",
                            )
                        )

    def _refuse_missing_tables(self, planned: Iterable[PlannedStep], needed: frozenset[str]) -> None:
        by_name = {step.name: step for step in planned}
        for step in by_name.values():
            for dataset in step.inputs.values() if step.decision.action is Action.RUN else ():
                producer = (
                    by_name.get(self.producers[dataset].step.name) if dataset in self.producers else None
                )
                if producer is None or producer.name in needed or not producer.targets:
                    continue
                if producer.commits.get(dataset) is None:
                    self.problems.append(
                        self.loaded.problem(
                            ("steps", step.index),
                            f"step {step.name!r} reads {dataset!r}, which is not selected and not written yet",
                            f"select +{step.name} as well",
                        )
                    )


def _unknown_input(
    loaded: Loaded, at: tuple[Any, ...], observed: Observed, alias: str, dataset: str, known: Iterable[str]
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
    return loaded.problem((*at, "inputs"), message, hint)


def _committed(observed: Observed, dataset: str) -> Schema | None:
    """The columns the last run's function returned, if it has kept them."""
    commit = observed.commits.get(dataset)
    if commit is None or "schema" not in commit.note:
        return None
    return tuple(Column(name, kind) for name, kind in commit.note["schema"])


def _as_written(schema: Schema | None, targets: Sequence[Target]) -> Schema | None:
    if schema is None or not targets or targets[0].format != "delta":
        return schema
    date = targets[0].date_column
    if date is None or any(column.name == date for column in schema):
        return schema
    return (*schema, Column(date, "DATE"))


def _with_readers(planned: Sequence[PlannedStep]) -> list[PlannedStep]:
    """The steps with the number of steps that will read them."""
    readers: dict[str, int] = {}
    for step in planned:
        if step.decision.action is Action.RUN:
            for dataset in set(step.inputs.values()):
                readers[dataset] = readers.get(dataset, 0) + 1
    return [
        replace(step, readers=sum(readers.get(dataset, 0) for dataset in step.step.outputs.values()))
        for step in planned
    ]


def _without_idle(planned: Sequence[PlannedStep]) -> list[PlannedStep]:
    """The steps, those that only hand over a result nobody will read now skipped."""
    out = list(planned)
    has_readers = {dataset for step in planned for dataset in step.inputs.values()}
    for position in range(len(out) - 1, -1, -1):
        step = out[position]
        kept = bool(step.targets) or not has_readers.intersection(step.step.outputs.values())
        if step.decision.action is Action.RUN and not kept:
            used = any(
                other.decision.action is Action.RUN
                and set(other.inputs.values()) & set(step.step.outputs.values())
                for other in out[position + 1 :]
            )
            if not used:
                out[position] = replace(step, decision=Decision(Action.SKIP, "no step that runs needs it"))
    return out
