"""One document becomes one :class:`Loaded`: target, variables, date, templates, models, checks.

Every part goes on after a problem with what is known, so that all of them are found in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from pydantic import ValidationError

from odibi.config import template
from odibi.config.check import check, is_sql_file
from odibi.config.dates import logical_date, zone
from odibi.config.digest import config_hash
from odibi.config.loaded import Loaded, Template, written
from odibi.config.models import Pipeline, Step
from odibi.config.problems import Finding, explain, known_keys, shown
from odibi.config.rendering import Rendering
from odibi.config.secrets import malformed, places
from odibi.config.short import expand_step
from odibi.config.yaml import Document, Path
from odibi.errors import ConfigError, Problem, nearest

__all__ = ["AS_WRITTEN", "BUILT_IN", "Builder", "PipelineCycle", "Request"]

BUILT_IN = frozenset({"date", "pipeline_id", "timestamp", "pipeline", "engine", "target"})
"""What templates may name beside the variables."""

AS_WRITTEN = frozenset(
    {"pipeline", "name", "engine", "engine_type", "date", "timezone", "variables", "targets"}
)
"""What templates are made from, and is therefore no template itself."""


class PipelineCycle(Exception):
    """A pipeline reads from one that is being loaded because that one reads from it."""


@dataclass(frozen=True)
class Request:
    """What is asked for beside the file; None where nothing was said."""

    date: str | None
    target: str
    params: Mapping[str, Any]
    engine: str | None
    run_id: str
    environ: Mapping[str, str]
    now: datetime
    frozen: bool = False  # the clock stands at ``now``


class Builder:
    """Builds one document and collects what is wrong with it.

    ``other`` gives the pipeline that an input such as ``name.orders`` refers to, None if there is
    none. It raises ConfigError if that one cannot be loaded and PipelineCycle if it is being loaded.
    """

    def __init__(self, document: Document, request: Request, other: Callable[[str], Loaded | None]) -> None:
        self.document = document
        self.request = request
        self.other = other
        self.problems: list[Problem] = []
        self.failed: set[Path] = set()  # values whose template failed: nothing more is said of them
        self.assume: set[str] = set()  # names that broken steps would have declared
        self.used: set[str] = set()  # names that variables declare or templates use
        self.templates: dict[str, Template] = {}  # steps with templates, by name

    def build(self) -> Loaded:
        """The pipeline of the document. Raises ConfigError with everything that is wrong."""
        data = dict(self.document.data)
        given = data.pop("steps", None)
        data = self.known(data, ())
        misspelt = data.pop("steps", None) is not None
        day = self.logical_date(data)
        variables = self.variables(data, self.request.target)
        context = self.context(data, variables, day)
        data = self.header(data, variables, context)
        steps = self.steps(given, context)
        if misspelt or isinstance(given, list | tuple):
            data["steps"] = [step for _, step in steps]
        elif "steps" in self.document.data:
            data["steps"] = given
        pipeline = self.pipeline(data, some=bool(given) or misspelt)
        if pipeline is None:
            raise ConfigError(self.problems)
        loaded = Loaded(
            pipeline=pipeline,
            file=self.document.file,
            logical_date=day,
            target=self.request.target,
            run_id=self.request.run_id,
            params=self.request.params,
            context=context,
            templates=self.templates,
            others={},
            config_hash=config_hash(self.document.data),
            environ=self.request.environ,
            document=self.document,
            positions=tuple(position for position, _ in steps),
            now=self.request.now if self.request.frozen else None,
        )
        loaded = replace(loaded, others=self.others(loaded))
        self.references(loaded)
        self.sql_templates(loaded)
        self.problems += (found for found in check(loaded, assume=self.assume) if found.level == "error")
        if self.problems:
            raise ConfigError(self.problems)
        return loaded

    def add(self, finding: Finding, label: str = "") -> None:
        """Place a finding in the document."""
        path = finding.path if finding.key else written(finding.path, self.document, self.request.target)
        if path not in self.failed:
            text = label + finding.message
            self.problems.append(self.document.problem(path, text, finding.hint, key=finding.key))

    def known(self, data: Mapping[str, Any], path: Path, label: str = "") -> dict[str, Any]:
        """``data`` without its unknown keys, which become problems."""
        findings: list[Finding] = []
        clean = known_keys(data, path, findings)
        for finding in findings:
            self.add(finding, label)
        return dict(clean)

    def logical_date(self, data: Mapping[str, Any]) -> date:
        """The day the run is about: as asked for, else as declared, else yesterday."""
        timezone: tzinfo = UTC
        if isinstance(name := data.get("timezone"), str):
            try:
                timezone = zone(name)
            except ValueError as error:
                self.add(Finding(("timezone",), error.args[0], error.args[1]))
        day, hint = self.request.now.date(), "such as 2024-01-15, today or yesterday"
        for text, asked in ((data.get("date", "yesterday"), False), (self.request.date, True)):
            if text is None:
                continue
            try:
                day = logical_date(str(text), self.request.now, timezone)
            except ValueError:
                message = f"date: {str(text)!r} is not a date"
                if asked:
                    self.problems.append(Problem(self.document.file, 0, 0, f"--{message}", hint))
                elif isinstance(text, str):  # of other types the model speaks
                    self.add(Finding(("date",), message, hint))
        return day

    def variables(self, data: Mapping[str, Any], target: str) -> dict[str, Any]:
        """The pipeline's variables, over them those of a target, over them the params."""
        own, laid_over = _mapping(data, "variables"), _mapping(data, "targets", target, "variables")
        self.used |= {*own, *laid_over}
        return {**own, **laid_over, **self.request.params}

    def context(self, data: Mapping[str, Any], variables: Mapping[str, Any], day: date) -> dict[str, Any]:
        """What templates may name."""
        for name in sorted(BUILT_IN & variables.keys()):
            message, hint = f"the name {name!r} belongs to odibi", "choose another name for the variable"
            if name in self.request.params:
                hint = "give --date" if name == "date" else hint
                self.problems.append(Problem(self.document.file, 0, 0, f"--param {name}: {message}", hint))
            else:
                self.add(Finding(("variables", name), message, hint))
        return {
            **variables,
            "date": day.isoformat(),
            "pipeline_id": self.request.run_id,
            "timestamp": int(self.request.now.timestamp()),
            "pipeline": data.get("pipeline", data.get("name", "")),
            "engine": self.request.engine or data.get("engine", data.get("engine_type", "duckdb")),
            "target": self.request.target,
        }

    def rendered(
        self, value: Any, path: Path, context: Mapping[str, Any], step: Mapping[str, Any] | None = None
    ) -> Any:
        """``value`` with its templates rendered; those that fail become problems."""
        rendering = Rendering(context)
        out = rendering.of(value, path, step)
        self.used |= rendering.used
        if rendering.used and step is not None:
            with suppress(ValueError):  # a short form that is none: the step is refused anyway
                self.templates[str(step.get("name"))] = Template(expand_step(step), frozenset(rendering.used))
        for at, error in rendering.failed.items():
            place = at if step is not None else written(at, self.document, self.request.target)
            self.failed.add(place)
            problem = self.document.problem(place, error.message, error.hint)
            if error.line > 1:
                line, column = self.document.inside(place, error.line, 1)
                problem = replace(problem, line=line, column=column)
            self.problems.append(problem)
        return out

    def header(
        self, data: Mapping[str, Any], variables: Mapping[str, Any], context: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Everything but the steps: of the chosen target, rendered."""
        out, target, targets = dict(data), self.request.target, _mapping(data, "targets")
        if target != "dev" and target not in targets:
            hint = nearest(target, {"dev", *targets}, "targets")
            self.add(Finding(("targets",), f"unknown target {target!r}", hint))
        if isinstance(data.get("connections", {}), Mapping):
            laid_over = _mapping(targets, target, "connections")
            out["connections"] = {**_mapping(data, "connections"), **laid_over}
        if "secrets" in _mapping(targets, target):
            out["secrets"] = _mapping(targets, target)["secrets"]
        for key, value in out.items():
            if key not in AS_WRITTEN:
                out[key] = self.rendered(value, (key,), context)
        if targets:
            out["targets"] = {name: self.target(name, given, context) for name, given in targets.items()}
        if isinstance(data.get("variables", {}), Mapping):
            out["variables"] = variables
        if self.request.engine is not None:
            out.pop("engine_type", None)
            out["engine"] = self.request.engine
        return out

    def target(self, name: str, given: Any, context: Mapping[str, Any]) -> Any:
        """A target as the pipeline keeps it: the chosen one has given its connections away.

        Of others, connections that need a value only their own run gives are left out.
        """
        if not isinstance(given, Mapping) or not isinstance(given.get("connections"), Mapping):
            return given
        kept: dict[str, Any] = {}
        if name != self.request.target:
            context = {**context, **_mapping(given, "variables"), "target": name}
            for place, connection in given["connections"].items():
                rendering = Rendering(context)
                rendered = rendering.of(connection, ("targets", name, "connections", place))
                if not rendering.failed:
                    kept[place] = rendered
        return {**given, "connections": kept}

    def steps(self, given: Any, context: Mapping[str, Any]) -> list[tuple[int, Step]]:
        """The steps, each with its position in the file, without what is wrong in them."""
        found: list[tuple[int, Step]] = []
        for position, item in enumerate(given if isinstance(given, list | tuple) else ()):
            at, label = ("steps", position), f"step {position + 1}: "
            if not isinstance(item, Mapping):
                self.add(Finding(at, f"{label}expected a mapping, found {shown(item)}"))
                continue
            if isinstance(item.get("name"), str):
                label = f"step {item['name']!r}: "
            step = self.known(item, at, label)
            tests = {key: step.pop(key) for key in ("tests",) if key in step}  # are no templates
            step = {**self.rendered(step, at, context, step), **tests}
            try:
                found.append((position, Step.model_validate(step)))
            except ValidationError as error:
                self.assume |= _declared(step)
                wrong: set[Any] = set()
                for finding in explain(error, step):
                    wrong.update(finding.path[:1])
                    self.add(replace(finding, path=(*at, *finding.path)), label)
                rest = {key: value for key, value in step.items() if key not in wrong}
                with suppress(ValidationError):  # then the rest of it means nothing
                    found.append((position, Step.model_validate({"layer": "silver", **rest})))
        return found

    def pipeline(self, data: Mapping[str, Any], *, some: bool) -> Pipeline | None:
        """The pipeline, without what is wrong in it if the rest can be checked; ``some`` steps were given."""
        try:
            return Pipeline.model_validate(data)
        except ValidationError as error:
            wrong = set()
            for finding in explain(error, data):
                wrong.add(finding.path[:1])
                if finding.path != ("steps",) or not some or not isinstance(data["steps"], list):
                    self.add(finding)
        if wrong & {("connections",), ("targets",), ("steps",)}:
            return None
        rest = {key: value for key, value in data.items() if (key,) not in wrong}
        try:
            return Pipeline.model_validate(
                {**rest, "pipeline": rest.get("pipeline", rest.pop("name", "unnamed"))}
            )
        except ValidationError:
            return None

    def others(self, loaded: Loaded) -> dict[str, Loaded]:
        """The pipelines whose tables are inputs here."""
        found: dict[str, Loaded] = {}
        for index, step in enumerate(loaded.pipeline.steps):
            for alias, dataset in step.inputs.items():
                name = dataset.rpartition(".")[0]
                if not name or name in found:
                    continue
                try:
                    other = self.other(name)
                except PipelineCycle as cycle:
                    self.assume.add(dataset)
                    message = f"step {step.name!r}: the pipelines wait for each other: {cycle}"
                    self.problems.append(loaded.problem(("steps", index, "inputs", alias), message))
                except ConfigError as error:
                    self.assume.add(dataset)
                    self.problems += error.problems
                else:
                    found |= {name: other} if other is not None else {}
        return found

    def references(self, loaded: Loaded) -> None:
        """Say which ``${...}`` are none."""
        for path, text in places(loaded.pipeline):
            for found in malformed(text):
                hint = "write ${env:NAME}, ${env:NAME:-default} or ${secret:name}; $${ stands for ${ itself"
                self.problems.append(loaded.problem(path, f"{found!r} is not a reference", hint))

    def sql_templates(self, loaded: Loaded) -> None:
        """Note the names that ``.sql`` files use, where a param may be meant for them."""
        for step in loaded.pipeline.steps if self.request.params.keys() - self.used else ():
            file = loaded.find(step.value.strip()) if is_sql_file(step) else None
            if file is not None:
                try:
                    self.used |= template.names(file.read_text("utf-8"))
                except (template.TemplateError, UnicodeDecodeError):
                    continue  # said when the file is compiled


def _mapping(data: Any, *path: str) -> Mapping[str, Any]:
    """The mapping at ``path``, an empty one where there is none."""
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _declared(step: Mapping[str, Any]) -> set[str]:
    """The names a broken step would have given to itself and to its datasets."""
    outputs = step.get("outputs")
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    names = [step.get("name"), *(outputs if isinstance(outputs, list) else [outputs])]
    return {name for name in names if isinstance(name, str)}
