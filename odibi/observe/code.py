"""What a step's SQL, function or operations say, and which datasets they read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from odibi.config.check import is_sql_file
from odibi.config.loaded import Template
from odibi.config.models import Step, StepType
from odibi.config.template import names, render_sql
from odibi.errors import Permanent, nearest
from odibi.home import typed
from odibi.observe.notes import Notes, Place, sql_problem
from odibi.operations import command
from odibi.operations.call import relations_in
from odibi.operations.python import Function, inspect
from odibi.relational.parse import Script, SqlError, parse

__all__ = ["Code", "CodeReader"]


@dataclass(frozen=True, slots=True)
class Code:
    """A step's code as found; ``inputs`` maps each table name it uses to a dataset."""

    inputs: dict[str, str] = field(default_factory=dict)
    script: Script | None = None
    sql_file: str = ""
    function: Function | None = None
    template: Template | None = None
    command: command.Command | None = None


class CodeReader:
    """Reads the code of a pipeline's steps; what is wrong goes to the notes."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.loaded = notes.loaded
        self.steps = {step.name: step for step in self.loaded.pipeline.steps}
        self.datasets = {name.lower(): name for s in self.steps.values() for name in s.outputs.values()}

    def read(self, at: Place, step: Step) -> Code:
        """The code of a step. Datasets of this pipeline come out spelled as their step spells them."""
        script = function = started = None
        template = self.loaded.templates.get(step.name)
        file = self._sql_file(step)
        inputs = dict(step.inputs)
        if step.type is StepType.SQL:
            script = self._script(at, step, file)
            template = self._with_file(template, file) if file and script is not None else template
            inputs = self._sql_inputs(inputs, script)
        elif step.type is StepType.FUNCTION:
            function = self.notes.guarded(
                (*at, "value"), partial(inspect, step.value.strip(), self.loaded.roots)
            )
            if function is not None:
                self._check_params(at, step, function)
                inputs = self._function_inputs(at, step, function)
        elif step.type is StepType.COMMAND:
            started = self.notes.guarded(
                (*at, "value"), partial(command.inspect, step.value, self.loaded.roots)
            )
            self._refuse_one_variable(at, inputs)
        elif "operations" in step.params:
            inputs = self._operation_inputs(at, step, inputs)
        spelled = {alias: self.datasets.get(name.lower(), name) for alias, name in inputs.items()}
        return Code(spelled, script, file, function, template, started)

    def _sql_file(self, step: Step) -> str:
        file = self.loaded.find(step.value.strip()) if is_sql_file(step) else None
        return typed(str(file.resolve())) if file is not None else ""

    def _script(self, at: Place, step: Step, file: str) -> Script | None:
        if is_sql_file(step) and not file:
            return None  # config.check has said that it does not exist
        # SQL in the config has been rendered with it.
        text = self.notes.guarded((*at, "value"), partial(self._rendered, file)) if file else step.value
        try:
            return parse(text) if text is not None else None
        except SqlError as error:
            self.notes.problems.append(sql_problem(self.loaded, at, error, file))
        return None

    def _rendered(self, file: str) -> str:
        """What the ``.sql`` file says for this run."""
        try:
            return render_sql(Path(file).read_text("utf-8"), self.loaded.context, file)
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            where = f"{file}:{line}"
            raise Permanent("the file is not UTF-8 text", where=where, hint="save it as UTF-8") from error

    def _with_file(self, template: Template | None, file: str) -> Template | None:
        """The template of the step with that of its ``.sql`` file."""
        text = Path(file).read_text("utf-8")
        used = names(text)
        if not used:
            return template
        step, others = template or ({}, frozenset())
        return Template({**step, "value": text}, others | used)

    @staticmethod
    def _sql_inputs(declared: dict[str, str], script: Script | None) -> dict[str, str]:
        """The declared inputs, and what else the script names: other tables are datasets."""
        aliases = {alias.lower() for alias in declared}
        found = script.inputs if script is not None else ()
        return {**declared, **{name: name for name in found if name.lower() not in aliases}}

    def _operation_inputs(self, at: Place, step: Step, inputs: dict[str, str]) -> dict[str, str]:
        for number, operation in enumerate(step.params["operations"]):
            ((name, value),) = operation.items()
            place = (*at, "params", "operations", number, name)
            for dataset in self.notes.guarded(place, partial(relations_in, name, value)) or ():
                inputs.setdefault(dataset.rsplit(".", 1)[-1], dataset)
        return inputs

    def _refuse_one_variable(self, at: Place, inputs: dict[str, str]) -> None:
        """Inputs whose places a command would find in the same variable."""
        names: dict[str, str] = {}
        for alias in inputs:
            other = names.setdefault(command.variable(alias), alias)
            if other != alias:
                message = f"inputs {other!r} and {alias!r} are both {command.variable(alias)} to the command"
                self.notes.problem((*at, "inputs", alias), message, "{from: dataset, as: another_name}")

    def _check_params(self, at: Place, step: Step, function: Function) -> None:
        for name in step.params:
            if name not in function.params:
                self.notes.problem(
                    (*at, "params", name),
                    f"function {function.name}() has no keyword-only parameter {name!r}",
                    nearest(name, function.params, "it has"),
                )
        for name, needed in function.params.items():
            if needed and name not in step.params:
                message = f"function {function.name}() needs the parameter {name!r}"
                self.notes.problem((*at, "value"), message, "give it in params")

    def _function_inputs(self, at: Place, step: Step, function: Function) -> dict[str, str]:
        if not step.inputs:
            return self._by_position(at, step, function) or self._by_name(at, function)
        for name in step.inputs:
            if name not in function.inputs:
                message = f"function {function.name}() has no input {name!r}"
                hint = nearest(name, function.inputs, "its inputs")
                self.notes.problem((*at, "inputs", name), message, hint)
        for name in function.inputs:
            if name not in step.inputs:
                message = f"function {function.name}() needs the input {name!r}"
                self.notes.problem((*at, "inputs"), message, "add it to inputs")
        return dict(step.inputs)

    def _by_name(self, at: Place, function: Function) -> dict[str, str]:
        """Each parameter is given the dataset of its name."""
        for name in function.inputs:
            if name.lower() not in self.datasets:
                hint = nearest(name, self.datasets.values(), "datasets")
                self.notes.problem(
                    (*at, "value"),
                    f"function {function.name}() wants the input {name!r}, which is no dataset",
                    f"{hint}; name it in inputs, or put a parameter that is no table after a *",
                )
        return {name: name for name in function.inputs if name.lower() in self.datasets}

    def _by_position(self, at: Place, step: Step, function: Function) -> dict[str, str]:
        """Parameters that are named like no dataset are given the results of ``depends_on``, in order."""
        named = any(name.lower() in self.datasets for name in function.inputs)
        if named or len(step.depends_on) != len(function.inputs):
            return {}
        found: dict[str, str] = {}
        for position, (name, before) in enumerate(zip(function.inputs, step.depends_on, strict=True)):
            made = tuple(self.steps[before].outputs.values()) if before in self.steps else ()
            if len(made) == 1:
                found[name] = made[0]
            else:
                message = f"step {before!r} makes {len(made)} datasets; which one is {name!r}?"
                self.notes.problem((*at, "depends_on", position), message, "name it in inputs")
        return found
