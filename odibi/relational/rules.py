"""The house's meaning where DuckDB disagrees with itself or with what can be stored.

A rule is a function from a node to the node that takes its place; ``RULES`` is the main sequence.
Each exception to "DuckDB's answer is the right one" is one of these, with its reason, and a line
in ``docs/parity.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from odibi.relational.bind import BindError
from odibi.relational.schema import Column, Schema
from odibi.relational.types import rebuilt

__all__ = ["RULES", "apply_rules", "closing_cast"]


def division_by_zero_is_null(node: exp.Expr) -> exp.Expr:
    """``x / 0``, ``x // 0`` and ``x % 0`` are NULL, also as ``divide``, ``fdiv``, ``mod`` and ``fmod``.

    DuckDB 1.5 answers inf, NULL and NULL, 2.0 an error for some of them, Spark an error for all.
    """
    if isinstance(node, exp.Div | exp.IntDiv | exp.Mod):
        if not _is_not_zero(node.expression):
            node.set("expression", _null_for_zero(node.expression))
    elif isinstance(node, exp.Anonymous) and node.name.lower() in _DIVISIONS and len(node.expressions) == 2:
        dividend, divisor = node.expressions
        if not _is_not_zero(divisor):
            node.set("expressions", [dividend, _null_for_zero(divisor)])
    return node


_DIVISIONS = frozenset({"divide", "fdiv", "fmod", "mod"})


def _is_not_zero(divisor: exp.Expr) -> bool:
    """Whether the text itself says so; texts such as ``'2'`` are numbers to DuckDB only as they stand."""
    if isinstance(divisor, exp.Literal):
        try:
            return float(divisor.this) != 0
        except ValueError:
            return True  # no number: the binder will say so
    if isinstance(divisor, exp.Nullif):
        return divisor.expression.is_number and float(divisor.expression.to_py()) == 0
    return isinstance(divisor, exp.Paren | exp.Neg) and _is_not_zero(divisor.this)


def _null_for_zero(divisor: exp.Expr) -> exp.Expr:
    if isinstance(divisor, exp.Literal):
        return exp.null()
    return exp.Nullif(this=divisor, expression=exp.Literal.number(0))


def _where(test: exp.Expr, node: exp.Expr) -> exp.Expr:
    """``node`` where the test holds, else NULL."""
    return exp.Case(ifs=[exp.If(this=test, true=node.copy())])


def _compared(condition: type[exp.Binary], argument: exp.Expr, number: int = 0) -> exp.Expr:
    return condition(this=argument.copy(), expression=exp.Literal.number(number))


def logarithm_outside_its_domain_is_null(node: exp.Expr) -> exp.Expr:
    """``ln``, ``log``, ``log2``, ``log10`` of zero or less are NULL, and so are they to no valid base.

    ``ln(0)`` is an error in DuckDB 1.5, -inf in 2.0, NULL in Spark.
    """
    if isinstance(node, exp.Ln) or (isinstance(node, exp.Log) and node.expression is None):
        return _where(_compared(exp.GT, node.this), node)
    if isinstance(node, exp.Log):
        test = _compared(exp.GT, node.expression)
        if not (isinstance(node.this, exp.Literal) and node.this.this in ("2", "10")):
            test = exp.and_(test, _compared(exp.GT, node.this), _compared(exp.NEQ, node.this, 1))
        return _where(test, node)
    return node


def root_outside_its_domain_is_null(node: exp.Expr) -> exp.Expr:
    """``sqrt`` of less than zero is NULL: an error in DuckDB 1.5, NaN in 2.0 and Spark."""
    if isinstance(node, exp.Sqrt):
        return _where(_compared(exp.GTE, node.this), node)
    return node


RULES: tuple[Callable[[exp.Expr], exp.Expr], ...] = (
    division_by_zero_is_null,
    logarithm_outside_its_domain_is_null,
    root_outside_its_domain_is_null,
)

_TOUCHED = (exp.Div, exp.IntDiv, exp.Mod, exp.Ln, exp.Log, exp.Sqrt, exp.Anonymous)


def apply_rules(query: exp.Query) -> exp.Query:
    """A copy of the query with every rule applied to every node, inner nodes first; itself if none applies."""
    if query.find(*_TOUCHED) is None:
        return query
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
    "TIMESTAMPTZ_NS": "TIMESTAMP WITH TIME ZONE",
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

REFUSED = frozenset(
    {
        "TIME",
        "TIME_NS",
        "TIME WITH TIME ZONE",
        "INTERVAL",
        "UNION",
        "VARIANT",
        "GEOMETRY",
        "TYPE",
        "TUPLE",
        "STRUCT",
    }
)
"""Types that have no honest place in a Delta table; of structs, those without field names."""


def closing_cast(
    query: exp.Query, schema: Schema, names: Sequence[str] | None = None
) -> tuple[exp.Query, Schema]:
    """The query with every column cast to a type that all engines can store, and its schema.

    Args:
        query: gives the columns of ``schema``.
        schema: its columns as the binder types them.
        names: what the columns shall be called, their own names if None.

    Raises:
        BindError: a column has a type that cannot be stored; the message says what to cast it to.
    """
    names = names or [column.name for column in schema]
    stored = tuple(Column(name, _storable(column)) for name, column in zip(names, schema, strict=True))
    if stored == schema:
        return query, schema
    columns: list[exp.Expr] = []
    for old, new in zip(schema, stored, strict=True):
        value: exp.Expr = exp.column(old.name, quoted=True)
        if new.type != old.type:
            value = exp.cast(value, new.type, dialect="duckdb")
        columns.append(value if new == old else value.as_(new.name, quoted=True))
    return exp.select(*columns).from_(query.subquery("result")), stored


def _storable(column: Column) -> str:
    """The type the column is stored as, the very same text where that is the one it has."""

    def leaf(kind: str) -> str:
        base = kind.split("(", 1)[0].strip().upper()
        if base in REFUSED:
            raise BindError(
                f"column {column.name!r} has type {column.type}, which a Delta table cannot hold",
                name=column.name,
                hint=f"cast it, for example CAST({column.name} AS VARCHAR)",
            )
        return "VARCHAR" if base == "ENUM" else STORED_AS.get(kind.upper(), kind)

    return rebuilt(column.type, leaf)
