"""Conditions as data, ``{field: status, operator: in, value: [paid, open]}``: all of a list must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from sqlglot import exp

from odibi.errors import nearest
from odibi.operations.columns import Value, column, constant, family, find, literal
from odibi.operations.errors import OperationError, Path
from odibi.relational.schema import Column, Relation

__all__ = ["Condition", "all_of"]

Condition = Annotated[dict[str, Value | list[Value] | None], "a condition"]
"""A condition in YAML: ``field``, ``operator``, and mostly ``value``."""


def all_of(
    conditions: Sequence[Mapping[str, Any]], table: Relation, path: Path, *, skip: bool
) -> exp.Expr | None:
    """All conditions together; None where there is none left.

    Args:
        conditions: what must hold.
        table: the table whose columns they name.
        path: where the list stands.
        skip: whether a condition on a column that the table does not have is left out.

    Raises:
        OperationError: an unknown column, key or operator, or a value that the column cannot be held against.
    """
    names = {name.lower() for name in table.names}
    tests = [
        _condition(each, table, (*path, number))
        for number, each in enumerate(conditions)
        if not (skip and isinstance(each.get("field"), str) and str(each["field"]).lower() not in names)
    ]
    return exp.and_(*tests, copy=False) if tests else None


def _condition(given: Mapping[str, Any], table: Relation, path: Path) -> exp.Expr:
    for key in given:
        if key not in _KEYS:
            raise OperationError(
                f"a condition has no {key!r}", (*path, key), hint=nearest(key, _KEYS, "it has")
            )
    for key in ("field", "operator"):
        if not isinstance(given.get(key), str):
            raise OperationError(
                f"the condition needs {key!r}", path, hint="{field: status, operator: equals, value: paid}"
            )
    operator = str(given["operator"])
    if operator not in _OPERATORS:
        hint = nearest(operator, _OPERATORS, "operators")
        raise OperationError(f"unknown operator {operator!r}", (*path, "operator"), hint=hint)
    if (given.get("value") is None) != (operator == "not_null"):
        message = "has no value" if operator == "not_null" else "needs a value that is not null"
        raise OperationError(f"{operator} {message}", path, hint="for what is not null: operator: not_null")
    if "regex" in given and (operator != "contains" or not isinstance(given["regex"], bool)):
        raise OperationError(
            "regex is true or false, and belongs to contains", (*path, "regex"), hint="remove it"
        )
    of = find(table, given["field"], (*path, "field"))
    return _OPERATORS[operator](of, given, (*path, "value"))


_KEYS = ("field", "operator", "value", "regex")


def _compared(kind: type[exp.Binary]) -> Callable[[Column, Mapping[str, Any], Path], exp.Expr]:
    def test(of: Column, given: Mapping[str, Any], path: Path) -> exp.Expr:
        return kind(this=column(of.name), expression=_value(given["value"], of, path))

    return test


def _value(value: Any, of: Column, path: Path) -> exp.Expr:
    """What a column is compared with: a value of its type; of an exact number any number."""
    if isinstance(value, list):
        raise OperationError(f"one value is needed, found {value!r}", path, hint="for several: operator: in")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and family(of.type) == "number" and of.type not in ("DOUBLE", "FLOAT"):
        return constant(value)
    return literal(value, of, path)


def _in(of: Column, given: Mapping[str, Any], path: Path) -> exp.Expr:
    values = given["value"]
    if not isinstance(values, list) or not values:
        raise OperationError(f"in needs a list of values, found {values!r}", path, hint="value: [paid, open]")
    found = [_value(value, of, (*path, number)) for number, value in enumerate(values)]
    return exp.In(this=column(of.name), expressions=found)


def _contains(of: Column, given: Mapping[str, Any], path: Path) -> exp.Expr:
    part = given["value"]
    if family(of.type) != "text" or not isinstance(part, str):
        message = f"contains looks for text in text; column {of.name!r} is {of.type}, the value {part!r}"
        raise OperationError(message, path, hint="cast the column before")
    kind = exp.RegexpLike if given.get("regex") else exp.Contains
    return kind(this=column(of.name), expression=exp.Literal.string(part))


_OPERATORS: Mapping[str, Callable[[Column, Mapping[str, Any], Path], exp.Expr]] = {
    "equals": _compared(exp.EQ),
    "not_equals": _compared(exp.NEQ),
    "greater_than": _compared(exp.GT),
    "less_than": _compared(exp.LT),
    "contains": _contains,
    "in": _in,
    "not_null": lambda of, *_: exp.Not(this=exp.Is(this=column(of.name), expression=exp.null())),
}
