"""What an operation takes, read from its signature once."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter

from odibi.operations import Operation
from odibi.relational.schema import Relation

__all__ = ["Parameter", "asks_date", "expected", "parameters_of"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A keyword-only parameter: its name in Python, its key in YAML, and what it takes."""

    name: str
    key: str
    annotation: Any
    default: Any
    adapter: TypeAdapter[Any]

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty

    @property
    def tables(self) -> bool:
        """Whether it names datasets."""
        return self.annotation is Relation or self.annotation == list[Relation]


@cache
def parameters_of(operation: Operation) -> tuple[Parameter, ...]:
    """What YAML gives, in order: the keyword-only parameters, but for a date, which the run gives.

    A trailing underscore is not part of a key.
    """
    hints = get_type_hints(operation, include_extras=True)
    return tuple(
        Parameter(
            each.name,
            each.name.rstrip("_"),
            hints[each.name],
            each.default,
            TypeAdapter(_in_yaml(hints[each.name]), config=ConfigDict(strict=True)),
        )
        for each in inspect.signature(operation).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY and hints[each.name] is not date
    )


@cache
def asks_date(operation: Operation) -> bool:
    """Whether the operation is given the logical date of the run, as its parameter ``logical_date``."""
    return get_type_hints(operation).get("logical_date") is date


def _in_yaml(annotation: Any) -> Any:
    """The type of the YAML value: tables are given by name."""
    if annotation is Relation:
        return str
    return str | list[str] if annotation == list[Relation] else annotation


def expected(annotation: Any) -> str:
    """What a parameter takes, in words; a type that is ``Annotated`` with text brings its own."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return str(inner[1])
    if annotation == list[Relation]:
        return "a dataset or a list of datasets"
    if origin is Literal:
        return "one of " + ", ".join(str(each) for each in inner)
    if origin in (Union, UnionType):
        return " or ".join(expected(each) for each in inner if each is not NoneType)
    if origin is list:
        return f"a list of {expected(inner[0])}"
    if origin is dict:
        return f"a mapping of names to {expected(inner[1])}"
    return _WORDS.get(annotation, "a value")


_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Relation: "a dataset",
}
