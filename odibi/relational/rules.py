"""The house's meaning where DuckDB disagrees with itself or with what can be stored.

A rule is a function from a node to the node that takes its place; ``RULES`` is the main sequence.
Each exception to "DuckDB's answer is the right one" is one of these, with its reason, and a line
in ``docs/parity.md``.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from odibi.errors import Permanent
from odibi.relational.schema import Column, Schema

__all__ = ["RULES", "apply_rules", "closing_cast"]


def division_by_zero_is_null(node: exp.Expression) -> exp.Expression:
    """``x / 0``, ``x // 0`` and ``x % 0`` are NULL.

    DuckDB 1.5 answers inf, NULL and NULL, 2.0 an error for some of them, Spark an error for all.
    """
    if isinstance(node, exp.Div | exp.IntDiv | exp.Mod):
        divisor = node.expression
        if isinstance(divisor, exp.Literal) and divisor.is_number and float(divisor.this) != 0:
            return node
        if isinstance(divisor, exp.Nullif):
            return node
        node.set("expression", exp.Nullif(this=divisor, expression=exp.Literal.number(0)))
    return node


def _where(condition: type[exp.Binary], argument: exp.Expression, node: exp.Expression) -> exp.Expression:
    """``node`` where ``argument`` compares so with zero, else NULL."""
    test = condition(this=argument.copy(), expression=exp.Literal.number(0))
    return exp.Case(ifs=[exp.If(this=test, true=node.copy())])


def logarithm_outside_its_domain_is_null(node: exp.Expression) -> exp.Expression:
    """``ln``, ``log``, ``log2``, ``log10`` of zero or less are NULL.

    ``ln(0)`` is an error in DuckDB 1.5, -inf in 2.0, NULL in Spark.
    """
    if isinstance(node, exp.Ln):
        return _where(exp.GT, node.this, node)
    if isinstance(node, exp.Log):
        return _where(exp.GT, node.expression or node.this, node)
    return node


def root_outside_its_domain_is_null(node: exp.Expression) -> exp.Expression:
    """``sqrt`` of less than zero is NULL: an error in DuckDB, NaN in Spark."""
    if isinstance(node, exp.Sqrt):
        return _where(exp.GTE, node.this, node)
    return node


RULES: tuple[Callable[[exp.Expression], exp.Expression], ...] = (
    division_by_zero_is_null,
    logarithm_outside_its_domain_is_null,
    root_outside_its_domain_is_null,
)

_TOUCHED = (exp.Div, exp.IntDiv, exp.Mod, exp.Ln, exp.Log, exp.Sqrt)


def apply_rules(query: exp.Query) -> exp.Query:
    """A copy of the query with every rule applied to every node, inner nodes first."""
    copy = query.copy()
    for node in reversed(list(copy.find_all(*_TOUCHED))):
        for rule in RULES:
            changed = rule(node)
            if changed is not node:
                node.replace(changed)
                break
    return copy


STORED_AS = {
    "HUGEINT": "BIGINT",  # SUM of integers: HUGEINT fits neither Delta nor Spark; overflow is an error
    "UHUGEINT": "DECIMAL(38,0)",
    "UBIGINT": "DECIMAL(20,0)",
    "UINTEGER": "BIGINT",
    "USMALLINT": "INTEGER",
    "UTINYINT": "SMALLINT",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "UUID": "VARCHAR",
    "JSON": "VARCHAR",
    "BIT": "VARCHAR",
    "BIGNUM": "VARCHAR",
    '"NULL"': "INTEGER",
    "NULL": "INTEGER",
}
"""What a type becomes when a step ends, because Delta and Spark cannot hold it."""

REFUSED = ("TIME", "INTERVAL", "UNION", "VARIANT", "GEOMETRY")
"""Types that have no honest place in a Delta table."""


def closing_cast(query: exp.Query, schema: Schema) -> tuple[exp.Query, Schema]:
    """The query with every column cast to a type that all engines can store, and its schema.

    Raises:
        Permanent: a column has a type that cannot be stored; the message says what to cast it to.
    """
    stored = tuple(Column(column.name, _storable(column)) for column in schema)
    if stored == schema:
        return query, schema
    columns = [
        exp.column(new.name, quoted=True)
        if new.type == old.type
        else exp.cast(exp.column(new.name, quoted=True), new.type, dialect="duckdb").as_(new.name, quoted=True)
        for old, new in zip(schema, stored, strict=True)
    ]
    return exp.select(*columns).from_(query.subquery("result")), stored


def _storable(column: Column) -> str:
    kind = column.type
    base = kind.split("(", 1)[0].strip().upper()
    if base in REFUSED or base.startswith("TIME "):
        raise Permanent(
            f"column {column.name!r} has type {kind}, which a Delta table cannot hold",
            hint=f"cast it, for example CAST({column.name} AS VARCHAR)",
        )
    if base == "ENUM":
        return "VARCHAR"
    if kind.endswith("[]"):
        return _storable(Column(column.name, kind[:-2])) + "[]"
    return STORED_AS.get(kind.upper(), kind)
