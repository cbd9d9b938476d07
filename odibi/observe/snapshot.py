"""One look at everything a plan depends on: source files, SQL and Python code, last commits.

After this nothing is read until the run; the plan is a function of the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from odibi.config.models import Connection, Node, Step, StepType, Write, WriteMode
from odibi.config.secrets import resolve
from odibi.config.template import render_sql
from odibi.datasets.delta import Commit, last_commit
from odibi.datasets.source import ReadOptions, Seen, Source, look
from odibi.datasets.target import Target, ledger
from odibi.engines.database import Database
from odibi.errors import ConfigError, OdibiError, Problem, nearest
from odibi.operations.call import relations_in
from odibi.operations.python import Function, inspect
from odibi.relational.parse import Script, SqlError, parse
from odibi.relational.schema import Column, Schema

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["Observation", "Observed", "observe"]


@dataclass(frozen=True, slots=True)
class Observed:
    """A step and what was found for it.

    ``inputs`` maps each table name it uses to a dataset. ``targets`` and ``commits`` are per
    dataset it writes; a commit is the ledger's entry for this logical date, None before the first.
    """

    step: Step
    inputs: Mapping[str, str] = field(default_factory=dict)
    script: Script | None = None
    sql_file: str = ""  # the file the script was read from, as a person would type it
    function: Function | None = None
    source: Source | None = None
    seen: Seen | None = None
    targets: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    commits: Mapping[str, Commit | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """All steps as found, tables of other pipelines, and what is wrong."""

    steps: tuple[Observed, ...]
    external: Mapping[str, tuple[Source, Seen]]
    problems: tuple[Problem, ...]


def observe(loaded: Loaded, db: Database) -> Observation:
    """Look at everything the pipeline names. Problems are collected, not raised."""
    looker = _Looker(loaded, db)
    steps = tuple(looker.step(index, step) for index, step in enumerate(loaded.pipeline.steps))
    external = looker.external(steps)
    return Observation(steps, external, tuple(looker.problems))


class _Looker:
    def __init__(self, loaded: Loaded, db: Database) -> None:
        self.loaded = loaded
        self.db = db
        self.problems: list[Problem] = []

    def step(self, index: int, step: Step) -> Observed:
        at = ("steps", index)
        found: dict[str, Any] = {"step": step, "inputs": dict(step.inputs)}
        if step.type is StepType.SQL:
            found["sql_file"] = file = self.sql_file(step)
            found["script"] = script = self.sql(at, step, file)
            if script is not None:
                found["inputs"] = _sql_inputs(step, script)
        elif step.type is StepType.FUNCTION:
            found["function"] = function = self.function(at, step)
            if function is not None:
                found["inputs"] = self.function_inputs(at, step, function)
        elif "operations" in step.params:
            found["inputs"] = self.operation_inputs(at, step)
        found["targets"] = targets = self.targets(at, step)
        found["commits"] = {
            name: self.guarded((*at, "write"), partial(ledger, group[0], self.app_id(step)))
            for name, group in targets.items()
        }
        if step.node is Node.INGEST:
            found["source"], found["seen"] = self.source(at, step, targets)
        return Observed(**found)

    def app_id(self, step: Step) -> str:
        return app_id(self.loaded, step)

    def guarded(self, at: tuple[Any, ...], look_at: Any) -> Any:
        """What ``look_at()`` finds, None and a problem at the place if it cannot."""
        try:
            return look_at()
        except SqlError as error:
            self.problems.append(self.loaded.problem(at, error.message, error.hint))
        except OdibiError as error:
            place = f"{error.where}: " if error.where else ""
            self.problems.append(self.loaded.problem(at, place + error.message, error.hint))
        return None

    def sql_file(self, step: Step) -> str:
        if not step.value.strip().lower().endswith(".sql"):
            return ""
        file = self.loaded.find(step.value.strip())
        return _shown(file) if file is not None else ""

    def sql(self, at: tuple[Any, ...], step: Step, file: str) -> Script | None:
        text = step.value
        if file:
            text = Path(file).read_text("utf-8")
        elif text.strip().lower().endswith(".sql"):
            return None  # config.check has said that it does not exist
        try:
            return parse(render_sql(text, self.loaded.context, file or self.loaded.file))
        except SqlError as error:
            self.problems.append(sql_problem(self.loaded, at, error, file))
        except ConfigError as error:
            self.problems.extend(error.problems)
        return None

    def function(self, at: tuple[Any, ...], step: Step) -> Function | None:
        found: Function | None = self.guarded((*at, "value"), partial(inspect, step.value, self.loaded.roots))
        if found is None:
            return None
        for name in step.params:
            if name not in found.params:
                self.problem(
                    (*at, "params", name),
                    f"function {found.name}() has no keyword-only parameter {name!r}",
                    nearest(name, found.params, "it has"),
                )
        for name, needed in found.params.items():
            if needed and name not in step.params:
                self.problem(
                    (*at, "value"),
                    f"function {found.name}() needs the parameter {name!r}",
                    "give it in params",
                )
        return found

    def function_inputs(self, at: tuple[Any, ...], step: Step, function: Function) -> dict[str, str]:
        if not step.inputs:
            return {name: name for name in function.inputs}
        for name in step.inputs:
            if name not in function.inputs:
                self.problem(
                    (*at, "inputs"),
                    f"function {function.name}() has no input {name!r}",
                    nearest(name, function.inputs, "its inputs"),
                )
        for name in function.inputs:
            if name not in step.inputs:
                self.problem(
                    (*at, "inputs"),
                    f"function {function.name}() needs the input {name!r}",
                    "add it to inputs",
                )
        return dict(step.inputs)

    def operation_inputs(self, at: tuple[Any, ...], step: Step) -> dict[str, str]:
        inputs = dict(step.inputs)
        for number, operation in enumerate(step.params["operations"]):
            ((name, value),) = operation.items()
            place = (*at, "params", "operations", number, name)
            for dataset in self.guarded(place, partial(relations_in, name, value)) or ():
                inputs.setdefault(dataset.rsplit(".", 1)[-1], dataset)
        return inputs

    def connection(self, at: tuple[Any, ...], name: str | None) -> Connection | None:
        if name is None:
            return Connection(url="")
        connection = self.loaded.pipeline.connections.get(name)
        if connection is None:
            return None  # config.check has said so
        url: str | None = self.guarded(at, partial(resolve, connection.url, self.loaded.environ))
        return None if url is None else connection.model_copy(update={"url": url})

    def targets(self, at: tuple[Any, ...], step: Step) -> dict[str, tuple[Target, ...]]:
        if step.node is Node.STORE or (step.node is Node.PUBLISH and not step.outputs):
            write = self.store(at, step)
            names: tuple[str, ...] = (step.name,)
        else:
            write, names = step.write, tuple(step.outputs.values())
        if write is None:
            return {}
        connection = self.connection((*at, "write", "to"), write.to)
        if connection is None:
            return {}
        found = {}
        for name in names:
            path = write.path if len(names) == 1 or write.path is None else f"{write.path}/{name}"
            group = self.guarded(
                (*at, "write"),
                partial(
                    Target.all_of,
                    write.model_copy(update={"path": path}),
                    connection.url,
                    f"{step.layer}/{name}",
                    connection.format,
                    step.node is Node.INGEST,
                ),
            )
            if group:
                found[name] = group
        return found

    def store(self, at: tuple[Any, ...], step: Step) -> Write | None:
        """A store's value and params as the write they mean."""
        try:
            return Write(**{**step.params, "path": step.value})
        except ValidationError as error:
            for item in error.errors():
                name = str(item["loc"][0]) if item["loc"] else ""
                known = [*Write.model_fields, "format", "schema"]
                hint = nearest(name, known) if item["type"] == "extra_forbidden" else ""
                what = f"unknown key {name!r}" if hint else f"{name}: {item['msg']}"
                self.problem((*at, "params", name), what, hint)
        return None

    def source(
        self,
        at: tuple[Any, ...],
        step: Step,
        targets: Mapping[str, tuple[Target, ...]],
    ) -> tuple[Source | None, Seen | None]:
        try:
            options = ReadOptions(**step.params)
        except ValidationError as error:
            known = [field.alias or name for name, field in ReadOptions.model_fields.items()]
            for item in error.errors():
                name = str(item["loc"][0]) if item["loc"] else ""
                unknown = item["type"] == "extra_forbidden"
                self.problem(
                    (*at, "params", *item["loc"]),
                    f"unknown key {name!r}" if unknown else f"{name}: {item['msg']}, found {item['input']!r}",
                    nearest(name, known) if unknown else "",
                )
            return None, None
        connection = self.connection((*at, "params", "from"), options.from_)
        if connection is None:
            return None, None
        path = self.guarded((*at, "value"), partial(resolve, step.value, self.loaded.environ))
        if path is None:
            return None, None
        source = self.guarded(
            (*at, "value"), partial(Source.of, path, connection.url, options, connection.format)
        )
        if source is None:
            return None, None
        group = next(iter(targets.values()), ())
        expected = _earlier(group[0]) if group and group[0].policy in ("exact", "forbid") else None
        seen = self.guarded((*at, "value"), partial(look, self.db, source, expected))
        if seen is None:
            self.problem(
                (*at, "value"), f"there is nothing to read at {source.url!r}", _neighbours(source.url)
            )
        return source, seen

    def external(self, steps: tuple[Observed, ...]) -> dict[str, tuple[Source, Seen]]:
        """The tables of other pipelines that inputs name as ``pipeline.dataset``."""
        found: dict[str, tuple[Source, Seen]] = {}
        for index, observed in enumerate(steps):
            for dataset in observed.inputs.values():
                pipeline, _, name = dataset.rpartition(".")
                other = self.loaded.others.get(pipeline) if pipeline else None
                if other is None or dataset in found:
                    continue
                at = ("steps", index, "inputs")
                target = next(_published(other, name, self.db), None)
                if target is None:
                    self.problem(
                        at, f"{dataset!r} is not kept: its step in {other.file} has no write", "give it one"
                    )
                    continue
                source = Source(target.url, target.format)
                seen = self.guarded(at, partial(look, self.db, source))
                if seen is None:
                    self.problem(at, f"{dataset!r} has not been written yet", f"run {other.file} first")
                else:
                    found[dataset] = (source, seen)
        return found

    def problem(self, at: tuple[Any, ...], message: str, hint: str = "") -> None:
        self.problems.append(self.loaded.problem(at, message, hint))


def app_id(loaded: Loaded, step: Step) -> str:
    """The identity of a logical write: who writes for which date."""
    return f"{loaded.pipeline.pipeline}/{step.name}/{loaded.logical_date.isoformat()}"


def _published(other: Loaded, name: str, db: Database) -> Iterator[Target]:
    looker = _Looker(other, db)
    for index, step in enumerate(other.pipeline.steps):
        if name in step.outputs.values():
            yield from looker.targets(("steps", index), step).get(name, ())[:1]


def _sql_inputs(step: Step, script: Script) -> dict[str, str]:
    """Table names of the script and their datasets: by alias where the step gives one."""
    aliases = {alias.lower(): dataset for alias, dataset in step.inputs.items()}
    return {name: aliases.get(name.lower(), name) for name in script.inputs}


def _earlier(target: Target) -> Schema | None:
    """The columns an earlier run gave the target, without the one for the logical date."""
    commit = last_commit(target.url) if target.format == "delta" else None
    if commit is None or "schema" not in commit.note:
        return None
    columns = tuple(Column(name, kind) for name, kind in commit.note["schema"])
    if target.mode is WriteMode.APPEND:
        return tuple(column for column in columns if column.name != target.date_column)
    return columns


def _shown(file: Path) -> str:
    """The path as a person would type it from here."""
    try:
        return file.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(file)


def sql_problem(loaded: Loaded, at: tuple[Any, ...], error: SqlError, file: str) -> Problem:
    """A problem in SQL at its line: of the ``.sql`` file, or of the config where it stands there."""
    if file:
        return Problem(file, error.line, error.column, error.message, error.hint)
    place = loaded.inside((*at, "value"), max(error.line, 1), max(error.column, 1))
    return Problem(*place, error.message, error.hint)


def _neighbours(url: str) -> str:
    """The files beside a missing one, the nearest first."""
    path = Path(url)
    if "://" in url or not path.parent.is_dir():
        return f"the folder {path.parent} does not exist" if "://" not in url else ""
    return nearest(path.name, (p.name for p in path.parent.iterdir()), f"in {path.parent}")
