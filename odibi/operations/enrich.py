"""The operation that adds columns from a description of each instead of an expression."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Annotated, Any

from sqlglot import exp

from odibi.errors import nearest
from odibi.operations.columns import (
    Value,
    column,
    constant,
    family,
    find,
    find_all,
    refuse_twins,
    with_columns,
)
from odibi.operations.errors import OperationError, Path
from odibi.relational.schema import Relation

__all__ = ["divisors", "enrich", "stamped"]

Calculated = Annotated[dict[str, Value | list[str]], "a description"]


def enrich(table: Relation, *, columns: dict[str, Calculated], logical_date: date) -> exp.Query:
    """Add columns that are described instead of written as expressions, or replace columns in their place.

    ``timestamp`` is the logical date of the run, at midnight UTC: all rows of a run have the same, and a
    run that is repeated or resumed gives the rows it gave before. A division by zero gives NULL, and the
    step warns how many there were.

    Args:
        table: the table to transform.
        columns: ``{name: description}``, one of ``{type: concatenate, fields: [a, b], separator: " "}``
            (NULL counts as empty), ``{type: arithmetic, field1: a, field2: b, operation: add}`` (or
            ``subtract``, ``multiply``, ``divide``), ``{type: timestamp}`` and ``{type: constant, value: x}``.
        logical_date: the run's.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - select: [order_id, status, price, quantity]
          - enrich:
              label: {type: concatenate, fields: [order_id, status], separator: "-"}
              each: {type: arithmetic, field1: price, field2: quantity, operation: divide}
              processed_at: {type: timestamp}
              source: {type: constant, value: shop}
        ```
    """
    made: dict[str, exp.Expr] = {}
    for name, given in columns.items():
        path: Path = ("columns", name)
        kind = given.get("type")
        if str(kind) not in _KINDS:
            hint = nearest(kind, _KINDS, "types") if kind else f"type: {', '.join(_KINDS)}"
            raise OperationError(f"unknown type {kind!r}" if kind else "it has no type", path, hint=hint)
        keys, make = _KINDS[str(kind)]
        for key in given:
            if key not in ("type", *keys):
                raise OperationError(
                    f"{kind} has no {key!r}", (*path, key), hint=nearest(key, keys, "it has")
                )
        for key, needed in keys.items():
            if needed and key not in given:
                raise OperationError(f"{kind} needs {key!r}", path, hint=_EXAMPLES[str(kind)])
        made[name] = make(given, table, path) if make is not None else _midnight(logical_date)
    refuse_twins(list(made), ("columns",))
    return with_columns(table, made, ("columns",))


def stamped(value: Any) -> bool:
    """Whether an ``enrich`` of that YAML value depends on the logical date."""
    fields = value.values() if isinstance(value, Mapping) else ()
    return any(isinstance(each, Mapping) and each.get("type") == "timestamp" for each in fields)


def divisors(value: Any) -> Iterator[tuple[str, str]]:
    """The columns that an ``enrich`` of that YAML value makes by division, each with its divisor."""
    for name, each in value.items() if isinstance(value, Mapping) else ():
        if isinstance(each, Mapping) and each.get("operation") == "divide":
            yield str(name), str(each.get("field2"))


def _concatenate(given: Mapping[str, Any], table: Relation, path: Path) -> exp.Expr:
    fields, separator = given["fields"], given.get("separator", " ")
    if not isinstance(separator, str):
        raise OperationError(f"the separator is text, found {separator!r}", (*path, "separator"))
    if not isinstance(fields, list):
        raise OperationError(f"fields is a list of columns, found {fields!r}", (*path, "fields"))
    parts: list[exp.Expr] = []
    for field in find_all(table, fields, (*path, "fields")):
        text: exp.Expr = column(field.name)
        if family(field.type) != "text":
            text = exp.cast(text, "VARCHAR", dialect="duckdb")
        between = [exp.Literal.string(separator)] if parts and separator else []
        parts += [*between, exp.func("COALESCE", text, exp.Literal.string(""))]
    return exp.Concat(expressions=parts, safe=True, coalesce=True) if len(parts) > 1 else parts[0]


def _arithmetic(given: Mapping[str, Any], table: Relation, path: Path) -> exp.Expr:
    operation = given["operation"]
    if str(operation) not in _ARITHMETIC:
        hint = nearest(operation, _ARITHMETIC, "operations")
        raise OperationError(f"unknown operation {operation!r}", (*path, "operation"), hint=hint)
    sides: list[exp.Expr] = []
    for key in ("field1", "field2"):
        of = find(table, str(given[key]), (*path, key))
        if family(of.type) != "number":
            message = f"column {of.name!r} is {of.type}, and {operation} needs numbers"
            raise OperationError(message, (*path, key), hint="cast it before")
        sides.append(column(of.name))
    left, right = sides
    if operation == "divide":
        return exp.Div(this=left, expression=right, typed=False, safe=True)
    return _ARITHMETIC[str(operation)](this=left, expression=right)


def _midnight(day: date) -> exp.Expr:
    return exp.cast(exp.Literal.string(f"{day.isoformat()} 00:00:00"), "TIMESTAMP", dialect="duckdb")


def _constant(given: Mapping[str, Any], _table: Relation, path: Path) -> exp.Expr:
    if isinstance(given["value"], list):
        raise OperationError("a constant is one value", (*path, "value"))
    return constant(given["value"])


_ARITHMETIC: Mapping[str, type[exp.Binary]] = {
    "add": exp.Add, "subtract": exp.Sub, "multiply": exp.Mul, "divide": exp.Div,
}  # fmt: skip

Make = Callable[[Mapping[str, Any], Relation, Path], exp.Expr]

_KINDS: Mapping[str, tuple[Mapping[str, bool], Make | None]] = {
    "concatenate": ({"fields": True, "separator": False}, _concatenate),
    "arithmetic": ({"field1": True, "field2": True, "operation": True}, _arithmetic),
    "timestamp": ({}, None),
    "constant": ({"value": True}, _constant),
}
"""The keys of each description, whether they must be given, and what it becomes."""

_EXAMPLES = {
    "concatenate": "{type: concatenate, fields: [first_name, last_name]}",
    "arithmetic": "{type: arithmetic, field1: amount, field2: quantity, operation: divide}",
    "timestamp": "{type: timestamp}",
    "constant": "{type: constant, value: shop}",
}
