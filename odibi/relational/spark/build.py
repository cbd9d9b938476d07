"""Spark trees from templates in Spark's own spelling."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import sqlglot
from sqlglot import exp

from odibi.relational.spark.kinds import marked
from odibi.relational.types import rebuilt

__all__ = ["Rule", "aggregates", "as_type", "over_each", "spark", "spark_type"]


class Rule(NamedTuple):
    """What a kind of node becomes.

    ``on`` is a class of sqlglot, or the name of a function that it has no class for. ``rewrite`` gets the
    node, whose children are Spark's already, and returns what takes its place. ``args`` are the parts of
    the node that it heeds beside its operands: a node with others is refused.
    """

    on: type[exp.Expr] | str
    rewrite: Callable[[exp.Expr], exp.Expr]
    args: str = ""


@cache
def _template(sql: str) -> exp.Expr:
    tree = sqlglot.parse_one(sql, dialect="spark")
    for call in tree.find_all(exp.AggFunc, exp.WithinGroup):
        if not isinstance(call.parent, exp.WithinGroup):
            call.meta["aggregate"] = True
    return tree


def spark(sql: str, **parts: exp.Expr | int | str) -> exp.Expr:
    """The tree of a Spark expression, each ``:name`` in it replaced by a part: a tree, a number or a text."""
    tree = _template(sql).copy()
    for hole in list(tree.find_all(exp.Placeholder)):
        part = parts[hole.name]
        made = part.copy() if isinstance(part, exp.Expr) else exp.convert(part)
        if isinstance(
            made, exp.Binary | exp.Connector | exp.Not | exp.Neg | exp.Case | exp.Between | exp.In | exp.Is
        ):
            made = exp.Paren(this=made)
        if hole is tree:
            return made
        hole.replace(made)
    return tree


_STORED = {"HUGEINT": "DECIMAL(38,0)", '"NULL"': "INTEGER"}


@cache
def spark_type(kind: str) -> exp.DataType:
    """The type in which Spark holds values of a DuckDB type."""
    made = exp.DataType.build(rebuilt(kind, lambda leaf: _STORED.get(leaf, leaf)), dialect="duckdb")
    for zoned in made.find_all(exp.DataType):
        if zoned.is_type(exp.DataType.Type.TIMESTAMPTZ):  # TIMESTAMP has no zone in a pinned session
            zoned.set("this", exp.DataType.Type.TIMESTAMPLTZ)
    return made


def as_type(node: exp.Expr, target: str) -> exp.Expr:
    """The value as Spark casts it: only where that is what DuckDB does."""
    return marked(exp.Cast(this=node.copy(), to=spark_type(target).copy()), target)


def aggregates(tree: exp.Expr) -> list[exp.Expr]:
    """The aggregates that rules have put into a tree, not those inside another."""
    found = tree.walk(prune=lambda node: bool(node.meta.get("aggregate")))
    return [node for node in found if node.meta.get("aggregate")]


def over_each(tree: exp.Expr, wrap: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """The tree with each of its aggregates wrapped: ``FILTER`` and ``OVER`` belong to all that a rule has made of one."""
    for call in aggregates(tree):
        made = wrap(call.copy())
        if call is tree:
            return made
        call.replace(made)
    return tree
