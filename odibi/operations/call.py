"""Operations called from YAML: a value becomes arguments by the function's own signature.

An operation with one parameter takes its value directly. Otherwise a mapping holds the parameters,
and any other value is the first one. Parameters annotated ``Relation`` or ``list[Relation]`` are given
as names of datasets, which makes those datasets inputs of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from sqlglot import exp

from odibi.errors import nearest
from odibi.operations import OPERATIONS
from odibi.operations.describe import OperationDoc, describe, parameters_schema
from odibi.operations.errors import OperationError, Path
from odibi.operations.signature import Parameter, asks_date, expected, parameters_of
from odibi.relational.schema import Relation

__all__ = ["OperationDoc", "OperationError", "apply", "describe", "parameters_schema", "relations_in"]

Parameters = tuple[Parameter, ...]


def relations_in(name: str, value: Any) -> tuple[str, ...]:
    """The datasets an operation's value names, in order; what is no name is left for ``apply`` to refuse.

    Raises Permanent for an unknown operation.
    """
    parameters = parameters_of(OPERATIONS.get(name))
    given, _ = _given(parameters, _plain(value))
    found = [
        each for p in parameters if p.tables for each in _listed(given.get(p.key)) if isinstance(each, str)
    ]
    return tuple(dict.fromkeys(found))


def apply(
    name: str, value: Any, table: Relation, datasets: Mapping[str, Relation], logical_date: date = date.min
) -> exp.Query:
    """The query an operation with that YAML value makes of a table.

    ``datasets`` holds the tables the value may name, ``logical_date`` is the run's.

    Raises:
        Permanent: unknown operation.
        OperationError: a parameter that is unknown, missing or of the wrong type, or what the
            operation itself refuses; its ``path`` leads through the value as it was written.
    """
    operation = OPERATIONS.get(name)
    parameters = parameters_of(operation)
    given, direct = _given(parameters, _plain(value))
    if not parameters and value:
        raise OperationError(f"{name} takes no value, found {value!r}")
    try:
        _check_keys(name, parameters, given)
        arguments = {
            parameter.name: _argument(
                parameter, given[parameter.key], datasets, name if len(parameters) == 1 else ""
            )
            for parameter in parameters
            if parameter.key in given
        }
        if asks_date(operation):
            arguments["logical_date"] = logical_date
        return operation(table, **arguments)
    except OperationError as error:
        error.path = _written(error.path, parameters, given, direct=direct)
        raise


def _plain(value: Any) -> Any:
    """Tuples as lists and mappings as dicts, as YAML gives them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _given(parameters: Parameters, value: Any) -> tuple[dict[Any, Any], bool]:
    """The values by key, and whether the value itself is that of the first parameter."""
    if len(parameters) != 1 and isinstance(value, dict):
        return value, False
    if not parameters:
        return {}, False
    return {parameters[0].key: value}, True


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_keys(name: str, parameters: Parameters, given: Mapping[Any, Any]) -> None:
    keys = [parameter.key for parameter in parameters]
    for key in given:
        if key not in keys:
            hint = nearest(key, keys, "its parameters")
            raise OperationError(f"{name} has no parameter {key!r}", (key,), hint=hint)
    for parameter in parameters:
        if parameter.required and parameter.key not in given:
            hint = f"{parameter.key}: {expected(parameter.annotation)}"
            raise OperationError(f"{name} needs {parameter.key!r}", hint=hint)


def _argument(parameter: Parameter, value: Any, datasets: Mapping[str, Relation], label: str) -> Any:
    try:
        checked = parameter.adapter.validate_python(value)
    except ValidationError as error:
        raise _wrong_type(parameter, value, error, label or parameter.key) from error
    if not parameter.tables:
        return checked
    relations = []
    for index, name in enumerate(_listed(checked)):
        if name not in datasets:
            hint = nearest(name, datasets, "datasets")
            raise OperationError(f"unknown dataset {name!r}", (parameter.name, index), hint=hint)
        relations.append(datasets[name])
    return relations[0] if parameter.annotation is Relation else relations


def _wrong_type(parameter: Parameter, value: Any, error: ValidationError, label: str) -> OperationError:
    """What was expected and what was found, at the deepest place that any reading of the value reached."""
    if get_origin(parameter.annotation) is Literal:
        hint = nearest(value, get_args(parameter.annotation))
        return OperationError(f"{label} cannot be {value!r}", (parameter.name,), hint=hint)
    places = []
    for problem in error.errors(include_url=False, include_context=False):
        path, found = _place(value, problem["loc"])
        if problem["loc"][-1:] == ("[key]",):
            message, hint = f"{label}: the name {path[-1]!r} is not text", f"write '{path[-1]}'"
            return OperationError(message, (parameter.name, *path), hint=hint)
        places.append((path, found))
    path, found = max(places, key=lambda place: len(place[0]))
    shown = repr(found) if len(repr(found)) <= 60 else f"{repr(found)[:57]}..."
    message = f"{label} takes {expected(parameter.annotation)}, found {shown}"
    return OperationError(message, (parameter.name, *path))


def _place(value: Any, location: tuple[int | str, ...]) -> tuple[Path, Any]:
    """How far pydantic's location leads into the value; names of types in it lead nowhere."""
    path: Path = ()
    for part in location:
        inside = isinstance(value, dict) and part in value
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value, path = value[part], (*path, part)
    return path, value


def _written(path: Path, parameters: Parameters, given: Mapping[Any, Any], *, direct: bool) -> Path:
    """The path through the value as it was written: YAML's key, or none where there is none."""
    if not path:
        return path
    keys = {parameter.name: parameter.key for parameter in parameters}
    head, rest = keys.get(str(path[0]), path[0]), path[1:]
    if not isinstance(given.get(head), dict | list):
        rest = ()
    return rest if direct else (head, *rest)
