"""The checks of a step: the functions, JSON schemas and datasets that they name, as they are now."""

from __future__ import annotations

from functools import partial
from typing import Any

from odibi.config.checks import Check, Function, JsonSchema, Query, checks_of, datasets_of
from odibi.config.models import Step
from odibi.errors import Permanent
from odibi.observe.notes import Notes, Place
from odibi.operations.python import Function as UserFunction
from odibi.operations.python import inspect
from odibi.quality.declared import Declared
from odibi.quality.records import read_schema, validator
from odibi.quality.rules import tables_of

__all__ = ["declared"]


def declared(at: Place, step: Step, notes: Notes) -> Declared:
    """The checks of a step; what is wrong with them goes to the notes."""
    checks = checks_of(notes.loaded.pipeline, step)
    functions: dict[str, UserFunction] = {}
    schemas: dict[str, dict[str, Any]] = {}
    datasets: dict[str, None] = {}
    own = {name.lower() for name in (*step.outputs.values(), *([step.name] if step.stores else []))}
    for number, check in enumerate(checks):
        place = (*at, "checks", number)
        look = partial(_looked, check, notes, functions, schemas)
        for dataset in notes.guarded(place, look) or ():
            if dataset.lower() not in own:
                datasets[dataset] = None
    if checks and len(step.outputs) > 1:
        names = ", ".join(step.outputs.values())
        message = f"step {step.name!r} makes {names}, and checks are about one dataset"
        notes.problem((*at, "checks"), message, "make it one step for each")
    return Declared(checks, functions, schemas, tuple(datasets))


def _looked(
    check: Check, notes: Notes, functions: dict[str, UserFunction], schemas: dict[str, dict[str, Any]]
) -> tuple[str, ...]:
    """The datasets that the check reads; its function or schema is added to what was found."""
    if isinstance(check, Function):
        functions[check.function] = _function(check, notes)
    elif isinstance(check, JsonSchema) and isinstance(check.schema_, str):
        path = notes.loaded.find(check.schema_)
        if path is None:
            raise Permanent(f"there is no file {check.schema_!r}")
        schemas[check.schema_] = read_schema(path)
        validator(schemas[check.schema_])
    elif isinstance(check, JsonSchema):
        validator(check.schema_ if isinstance(check.schema_, dict) else {})
    elif isinstance(check, Query):
        return tables_of(check)
    return datasets_of(check)


def _function(check: Function, notes: Notes) -> UserFunction:
    function = inspect(check.function.strip(), notes.loaded.roots)
    if len(function.inputs) != 1 or function.per is not None:
        message = f"{function.name}() takes {', '.join(function.inputs) or 'no rows'}"
        raise Permanent(
            message, where=function.place, hint="a check's function takes the rows, and nothing per batch"
        )
    unknown = [name for name in check.params if name not in function.params]
    missing = [name for name, needed in function.params.items() if needed and name not in check.params]
    if unknown or missing:
        said = f"has no parameter {unknown[0]!r}" if unknown else f"needs the parameter {missing[0]!r}"
        raise Permanent(
            f"{function.name}() {said}", where=function.place, hint="put it after a * and into params"
        )
    return function
