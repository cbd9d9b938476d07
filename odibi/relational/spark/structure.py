"""The frame of a query: what SELECT, FROM, GROUP BY, ORDER BY and UNION are on Spark."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from odibi.relational.spark.build import as_type, spark_type
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import UNKNOWN, kind, known, marked
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES"]


def kept(node: exp.Expr) -> exp.Expr:
    """The same on both."""
    return node


def column(node: exp.Expr) -> exp.Expr:
    """A column; a whole row is none that Spark has."""
    if known(node) is None:
        refuse(f"`{node.sql('duckdb')}`", "it is no column that can be placed", "name its table, and its columns", node)
    return node


def select(node: exp.Expr) -> exp.Expr:
    """No samples, no hints."""
    for part in ("sample", "hint", "connect", "match", "into", "locks", "kind"):
        if node.args.get(part):
            refuse(f"SELECT with {part}", "Spark does it otherwise", "leave it out", node)
    return node


def table(node: exp.Expr) -> exp.Expr:
    """An input, a CTE, or numbers from range()."""
    if isinstance(node.this, exp.Func) and not isinstance(node.this, exp.GenerateSeries | exp.Anonymous):
        refuse(f"`{node.sql('duckdb')}`", "Spark has no such table function", "make it an input", node)
    for part in ("pivots", "sample", "version", "when", "ordinality", "joins"):
        if node.args.get(part):
            refuse(f"{part} of a table", "Spark does it otherwise", "write it as a SELECT", node)
    return node


def join(node: exp.Expr) -> exp.Expr:
    """All joins but those by position or by the nearest value."""
    method = str(node.args.get("method") or "").upper()
    if method in ("ASOF", "POSITIONAL", "NATURAL") or str(node.args.get("kind") or "").upper() in ("ASOF", "POSITIONAL"):
        refuse(f"{method or node.args['kind']} JOIN", "Spark has none", "join on a condition", node)
    condition = node.args.get("on")
    if condition is not None and not isinstance(condition, exp.Boolean | exp.Null):
        node.set("on", converted(condition, "BOOLEAN"))
    return node


def values(node: exp.Expr) -> exp.Expr:
    """Each column in one type."""
    kinds = node.meta.get("kinds") or ()
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
    made = [exp.Tuple(expressions=[converted(cell, k) for cell, k in zip(row, kinds, strict=True)]) for row in rows]
    node.set("expressions", made)
    return node


def union(node: exp.Expr) -> exp.Expr:
    """Both halves in the types in which they meet."""
    columns: list[tuple[str, str]] = node.meta["columns"]
    for side in ("this", "expression"):
        half = node.args[side]
        node.set(side, _cast_columns(half, [found for _, found in columns]))
    return node


def _cast_columns(query: exp.Expr, kinds: list[str]) -> exp.Expr:
    if isinstance(query, exp.Select):
        for made, found in zip(list(query.expressions), kinds, strict=True):
            value = made.unalias()
            if known(value) != found:
                new = converted(value, found)
                made.replace(exp.alias_(new, made.alias_or_name, quoted=True))
        return query
    inner = query.this if isinstance(query, exp.Subquery) else query
    own = [found for _, found in inner.meta.get("columns", ())] if isinstance(inner, exp.SetOperation) else None
    if own is None and isinstance(inner, exp.Select):
        query.set("this", _cast_columns(inner, kinds))
        return query
    if own == kinds or own is None:
        return query
    names = [f"c{at}" for at, _ in enumerate(kinds)]
    alias = exp.TableAlias(this=exp.to_identifier("half"), columns=[exp.to_identifier(name) for name in names])
    cells = [
        converted(marked(exp.column(name, "half"), old), new).as_(name)
        for name, old, new in zip(names, own, kinds, strict=True)
    ]
    return exp.select(*cells).from_(exp.Subquery(this=inner, alias=alias))


def group(node: exp.Expr) -> exp.Expr:
    """A number in GROUP BY is a value here, and a place on Spark."""
    node.set("expressions", [_no_place(each) for each in node.expressions])
    return node


def ordered(node: exp.Expr) -> exp.Expr:
    """NULLs stated; a number is a value, nested values are not ordered alike."""
    found = known(node.this)
    if found is not None and (found[-1] in "])" and not found.startswith("DECIMAL")):
        refuse(f"ORDER BY {found}", "Spark orders nested values otherwise", "order by what is in it", node)
    return exp.Ordered(
        this=_no_place(node.this), desc=bool(node.args.get("desc")), nulls_first=bool(node.args.get("nulls_first"))
    )


def _no_place(node: exp.Expr) -> exp.Expr:
    return as_type(node, kind(node)) if isinstance(node, exp.Literal) and node.is_number else node


def limit(node: exp.Expr) -> exp.Expr:
    """A number of rows, no share of them."""
    if not isinstance(node.expression, exp.Literal):
        refuse("LIMIT of what is no number", "Spark takes a number", "write a number", node)
    return node


def alias(node: exp.Expr) -> exp.Expr:
    """A bare NULL is an INTEGER, a decimal number has the width DuckDB gives it."""
    value = node.this
    if known(value) == UNKNOWN and isinstance(value, exp.Null):
        node.set("this", exp.Cast(this=value, to=spark_type(UNKNOWN).copy()))
    elif isinstance(value, exp.Literal) and value.is_number and "." in str(value.this):
        node.set("this", as_type(value, kind(value)))
    return node


def unnested(node: exp.Expr) -> exp.Expr:
    """EXPLODE; several lists side by side are not."""
    if len(node.expressions) != 1 or node.args.get("offset") or node.args.get("max_depth"):
        refuse("unnest() of several lists", "Spark repeats rows instead", "unnest one after the other", node)
    return node


RULES: tuple[tuple[type[exp.Expr] | str, Callable[[exp.Expr], exp.Expr]], ...] = (
    (exp.Select, select),
    (exp.Table, table),
    (exp.Join, join),
    (exp.Values, values),
    *((each, union) for each in (exp.Union, exp.Except, exp.Intersect)),
    (exp.Group, group),
    (exp.Ordered, ordered),
    (exp.Limit, limit),
    (exp.Alias, alias),
    (exp.Column, column),
    (exp.Unnest, unnested),
    *(
        (each, kept)
        for each in (
            exp.Subquery, exp.CTE, exp.With, exp.From, exp.Order, exp.Offset, exp.Distinct, exp.Paren, exp.Literal,
            exp.Null, exp.Boolean, exp.Identifier, exp.TableAlias, exp.Star, exp.Var, exp.DataType, exp.Exists, exp.Lambda,
            exp.PropertyEQ, exp.Slice, exp.Tuple, exp.WindowSpec, exp.Lateral, exp.Explode, exp.GenerateSeries,
            exp.Rollup, exp.Cube, exp.GroupingSets, exp.WeekStart, exp.DataTypeParam, exp.ColumnDef, exp.Placeholder,
        )
    ),
)  # fmt: skip
