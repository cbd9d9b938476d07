"""DuckDB's types on every expression of a query: asked of its binder, never guessed.

The type of ``f(a, b)`` is what DuckDB says of ``f`` over columns of the types of ``a`` and ``b``; literals
stand as they are, because they adapt to what is beside them. Answers are kept, so a query costs
one question for each kind of expression never seen before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from sqlglot import exp

from odibi.relational.bind import Binder, BindError
from odibi.relational.schema import Schema
from odibi.relational.spark.refusal import refuse
from odibi.relational.types import nested

__all__ = [
    "FLOATS",
    "TIMES",
    "UNKNOWN",
    "WHOLE",
    "Question",
    "columns_of",
    "common",
    "decimal",
    "element",
    "fields",
    "is_decimal",
    "is_literal",
    "is_number",
    "kind",
    "kind_over",
    "known",
    "marked",
    "meeting",
    "together",
]  # fmt: skip

WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
"""Whole numbers, from narrow to wide."""
FLOATS = ("FLOAT", "DOUBLE")
UNKNOWN = '"NULL"'
"""The type of a bare NULL."""
TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 38}


def marked(node: exp.Expr, kind: str) -> exp.Expr:
    """The node, said to have that DuckDB type."""
    node.meta["kind"] = kind
    return node


def known(node: exp.Expr) -> str | None:
    """The DuckDB type of an expression, None where it has none or none was found."""
    found: str | None = node.meta.get("kind")
    return found


def kind(node: exp.Expr) -> str:
    """The DuckDB type of an expression, such as ``DECIMAL(18,3)``.

    Raises:
        NotPortable: it is not known.
    """
    found = known(node)
    if found is None:
        refuse(f"`{node.sql('duckdb')}`", "its type cannot be found out", "write it in plainer SQL", node)
    return found


def is_literal(node: exp.Expr) -> bool:
    """Whether DuckDB lets the constant adapt to the type of what it is compared or combined with."""
    if isinstance(node, exp.Neg | exp.Paren):
        return is_literal(node.this)
    return isinstance(node, exp.Literal | exp.Null)


def decimal(kind: str) -> tuple[int, int] | None:
    """Width and scale of a decimal or whole number, None for other types."""
    found = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    if found:
        return int(found[1]), int(found[2])
    return (_DIGITS[kind], 0) if kind in _DIGITS else None


def is_decimal(kind: str) -> bool:
    """Whether it is a DECIMAL."""
    return kind not in _DIGITS and decimal(kind) is not None


def is_number(kind: str) -> bool:
    """Whether it is a number of any type."""
    return kind in FLOATS or decimal(kind) is not None


def element(kind: str) -> str | None:
    """The type of a list's elements, None for what is no list."""
    found = nested(kind)
    return found.parts[0][1] if found is not None and found.kind == "LIST" else None


def fields(kind: str) -> Mapping[str, str] | None:
    """The fields of a struct in order, None for what is none."""
    found = nested(kind)
    return dict(found.parts) if found is not None and found.kind == "STRUCT" else None


@cache
def _binder() -> Binder:
    return Binder()


@lru_cache(maxsize=20_000)
def kind_over(sql: str, kinds: tuple[str, ...] = ()) -> str | None:
    """The type of an expression in DuckDB's spelling, None where DuckDB refuses it.

    ``x0``, ``x1`` ... in it are columns of these types: DuckDB takes a constant for more than its type.
    """
    columns = ", ".join(f"CAST(NULL AS {kind}) AS x{at}" for at, kind in enumerate(kinds))
    try:
        return _binder().describe(f"SELECT {sql} AS x FROM (SELECT {columns or 1})", {})[0].type
    except BindError:
        return None


class Question:
    """An expression being taken apart: typed values in it become columns."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def stand_in(self, node: exp.Expr) -> exp.Expr:
        """What stands for the value: a column of its type, or the constant itself."""
        return node.copy() if is_literal(node) else self.column(kind(node))

    def column(self, kind: str) -> exp.Expr:
        """A column of that type."""
        self.kinds.append(kind)
        return exp.column(f"x{len(self.kinds) - 1}")

    def ask(self, tree: exp.Expr, after: str = "") -> str | None:
        """The type of the tree, made of stand-ins, with some more text behind it."""
        return kind_over(tree.sql("duckdb") + after, tuple(self.kinds))


def common(nodes: Sequence[exp.Expr]) -> str:
    """The type to which DuckDB brings values that it compares: text beside another type is read as that."""
    return together([node for node in nodes if known(node) not in ("VARCHAR", UNKNOWN)] or nodes)


def together(nodes: Sequence[exp.Expr]) -> str:
    """The type in which values meet, as the elements of a list do."""
    question = Question()
    found = question.ask(exp.Array(expressions=[question.stand_in(node) for node in nodes]))
    inside = element(found or "")
    if inside is None:
        shown = " and ".join(sorted({kind(node) for node in nodes}))
        refuse(f"`{nodes[0].sql('duckdb')}`", f"{shown} do not meet in one type", "cast them", nodes[0])
    return inside


def meeting(kinds: Sequence[str]) -> str:
    """The type in which columns of these types meet."""
    question = Question()
    values = exp.Array(expressions=[question.column(kind) for kind in dict.fromkeys(kinds)])
    found = element(question.ask(values) or "")
    if found is None:
        refuse("a UNION", f"{' and '.join(kinds)} do not meet in one type", "cast the columns")
    return found


def columns_of(sql: str, tables: Mapping[str, Schema]) -> Schema:
    """The columns of a query, as DuckDB's binder names and types them. Raises BindError."""
    return _binder().describe(sql, tables)
