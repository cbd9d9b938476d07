"""The walk: every node of a typed query given to the rule for its kind, inner nodes first.

The world is closed: a node that no rule is about is refused. A rule gets a node whose children are
translated, and returns what takes its place; each value has in Spark just the type it has in DuckDB.
"""

from __future__ import annotations

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
from odibi.relational.spark.kinds import known, marked
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES", "translated"]

RULES = (
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
"""What each kind of node becomes: a class of sqlglot, or the name of a function it has no class for."""

_BY_NODE = dict(RULES)

_UNLIKE = frozenset(
    {
        "TIME", "TIME_NS", "TIME WITH TIME ZONE", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "UUID",
        "BIT", "BIGNUM", "VARIANT", "JSON", "GEOMETRY", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ_NS",
    }
)  # fmt: skip
"""Types that a step may compute with on DuckDB and that Spark has not."""
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
    found = known(node)
    if rule is None:
        shown = node.name if isinstance(node, exp.Anonymous) else type(node).__name__
        refuse(f"{shown} (`{node.sql('duckdb')[:60]}`)", "nobody has made it equal there", "write it in plainer SQL", node)
    if found is not None:
        _check(found, node)
    made = rule(node)
    return made if found is None else marked(made, found)


def _check(found: str, node: exp.Expr) -> None:
    if found in _UNLIKE or found.startswith(("ENUM(", "UNION(")):
        refuse(f"`{node.sql('duckdb')[:60]}`, which is {found},", "Spark has no such type", "cast it to a stored type", node)
    if found == "INTERVAL" and not isinstance(node, _WITH_INTERVAL):
        refuse(f"`{node.sql('duckdb')[:60]}`", "Spark has other intervals", "use date_diff or epoch", node)
