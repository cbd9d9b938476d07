"""The walk: every node of a typed query given to the rule for its kind, inner nodes first.

The world is closed: a node that no rule is about is refused. A rule gets a node whose children are
translated, and returns what takes its place; each value has in Spark just the type it has in DuckDB.
"""

from __future__ import annotations

from typing import NoReturn

from sqlglot import exp

from odibi.relational.spark import (
    aggregates,
    casts,
    conditions,
    dates,
    lists,
    numbers,
    structure,
    text,
    windows,
)
from odibi.relational.spark.build import Rule
from odibi.relational.spark.kinds import known, marked
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES", "translated"]

RULES: tuple[Rule, ...] = (
    *structure.RULES,
    *conditions.RULES,
    *casts.RULES,
    *numbers.RULES,
    *dates.RULES,
    *text.RULES,
    *lists.RULES,
    *aggregates.RULES,
    *windows.RULES,
)
"""What becomes of each kind of node."""

_BY_NODE = {rule.on: rule for rule in RULES}
_OPERANDS = frozenset({"this", "expression", "expressions"})
_SPELLING = frozenset(
    {
        "big_int", "coalesce", "date_part_boundary", "ignore_nulls", "is_string", "null_if_pos_overflow", "null_propagation", "safe",
        "single_replace", "typed", "value_constructor", "is_length", "operation_modifiers",
    }
)  # fmt: skip
"""Marks by which sqlglot remembers how DuckDB means the node."""

_UNLIKE = frozenset(
    {
        "TIME", "TIME_NS", "TIME WITH TIME ZONE", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "UUID",
        "BIT", "BIGNUM", "VARIANT", "JSON", "GEOMETRY", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ_NS",
    }
)  # fmt: skip
"""Types that a step may compute with on DuckDB and that Spark has not."""
_LOOSE = (exp.Binary, exp.Not, exp.Neg, exp.Between, exp.In)
_TIGHT = (exp.Binary, exp.Neg, exp.BitwiseNot, exp.Not, exp.Between, exp.In)
"""An operator in the place of a function needs brackets inside another operator."""
_WITH_INTERVAL = (exp.Interval, exp.Add, exp.Sub, exp.Paren, exp.TimeToUnix)


def translated(node: exp.Expr) -> exp.Expr:
    """The node as Spark means it.

    Raises:
        NotPortable: it, or something in it, that Spark cannot be made to answer alike.
    """
    for key, value in list(node.args.items()):
        if isinstance(value, exp.DataType):
            continue
        if isinstance(value, exp.Expr):
            node.set(key, translated(value))
        elif isinstance(value, list):
            node.set(key, [translated(each) if isinstance(each, exp.Expr) else each for each in value])
    rule = _BY_NODE.get(node.name.lower() if isinstance(node, exp.Anonymous) else type(node))
    if rule is None:
        _refuse_unknown(node)
    found = known(node)
    _check(node, rule, found)
    made = rule.rewrite(node)
    loose = isinstance(made, _LOOSE) and (type(made) is not type(node) or isinstance(made, exp.RegexpLike))
    if loose and isinstance(node.parent, _TIGHT):
        made = exp.Paren(this=made)
    return made if found is None else marked(made, found)


def _refuse_unknown(node: exp.Expr) -> NoReturn:
    shown = node.name if isinstance(node, exp.Anonymous) else type(node).__name__
    refuse(
        f"{shown} (`{node.sql('duckdb')[:60]}`)",
        "no rule makes it equal there",
        "write it in plainer SQL",
        node,
    )


def _check(node: exp.Expr, rule: Rule, found: str | None) -> None:
    """Refuses parts of a node that its rule does not heed, and types that Spark has not."""
    shown = f"`{node.sql('duckdb')[:60]}`"
    more = {key for key, value in node.args.items() if value} - _OPERANDS - _SPELLING - set(rule.args.split())
    if more:
        refuse(
            f"{shown} with {', '.join(sorted(more))}", "no rule makes it equal there", "leave it out", node
        )
    if found is None:
        return
    if found in _UNLIKE or found.startswith(("ENUM(", "UNION(")):
        refuse(f"{shown}, which is {found},", "Spark has no such type", "cast it to a stored type", node)
    if found == "INTERVAL" and not isinstance(node, _WITH_INTERVAL):
        refuse(shown, "Spark has other intervals", "use date_diff or epoch", node)
