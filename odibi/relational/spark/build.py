"""Spark trees from templates in Spark's own spelling."""

from __future__ import annotations

from functools import cache

import sqlglot
from sqlglot import exp

from odibi.relational.spark.kinds import kind, known, marked

__all__ = ["as_type", "over_each", "spark", "spark_type", "text"]


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
        if isinstance(made, exp.Binary | exp.Connector | exp.Not | exp.Neg | exp.Case | exp.Between | exp.In | exp.Is):
            made = exp.Paren(this=made)
        if hole is tree:
            return made
        hole.replace(made)
    return tree


@cache
def spark_type(kind: str) -> exp.DataType:
    """The type in which Spark holds values of a DuckDB type."""
    stored = "DECIMAL(38,0)" if kind == "HUGEINT" else "INTEGER" if kind == '"NULL"' else kind
    return exp.DataType.build(stored, dialect="duckdb")


def as_type(node: exp.Expr, target: str) -> exp.Expr:
    """The value as Spark casts it: only where that is what DuckDB does."""
    return marked(exp.Cast(this=node.copy(), to=spark_type(target).copy()), target)


def text(value: str) -> exp.Expr:
    """A text constant."""
    return marked(exp.Literal.string(value), "VARCHAR")
