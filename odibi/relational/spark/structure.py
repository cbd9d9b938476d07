"""The frame of a query: what SELECT, FROM, GROUP BY, ORDER BY and UNION are on Spark."""

from __future__ import annotations

from sqlglot import exp

from odibi.relational.spark.build import Rule, as_type, spark_type
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import UNKNOWN, kind, known, marked
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES", "cast_columns"]


def kept(node: exp.Expr) -> exp.Expr:
    """The same on both."""
    return node


def column(node: exp.Expr) -> exp.Expr:
    """A column; a whole row is none that Spark has."""
    if known(node) is None:
        refuse(
            f"`{node.sql('duckdb')}`",
            "it is no column that can be placed",
            "name its table, and its columns",
            node,
        )
    return node


def select(node: exp.Expr) -> exp.Expr:
    """QUALIFY and DISTINCT ON become a condition on a column, ORDER BY and LIMIT come after it."""
    order, distinct = node.args.get("order"), node.args.get("distinct")
    if order is not None:
        order = exp.Order(expressions=_all_columns(order, node))
        node.set("order", order)
    keep = [node.args["qualify"].this] if node.args.get("qualify") else []
    on = distinct.args.get("on") if distinct is not None else None
    if on is not None:
        keep.append(_first_of(on, order, node))
        node.set("distinct", None)
    return _kept_rows(node, exp.and_(*keep)) if keep else node


def _all_columns(order: exp.Expr, select: exp.Expr) -> list[exp.Expr]:
    """What ORDER BY names; ALL is every column in turn."""
    terms: list[exp.Expr] = []
    for term in order.expressions:
        if isinstance(term.this, exp.Var) and term.this.name.upper() == "ALL":
            of = [exp.column(made.alias_or_name, quoted=True) for made in select.expressions]
            terms += [
                exp.Ordered(this=each, desc=term.args["desc"], nulls_first=term.args["nulls_first"])
                for each in of
            ]
        else:
            terms.append(term)
    return terms


def _made_by(term: exp.Expr, select: exp.Expr) -> exp.Expr:
    """The expression behind an alias of the SELECT list."""
    if isinstance(term, exp.Column) and not term.table:
        return next((m.unalias().copy() for m in select.expressions if m.alias_or_name == term.name), term)
    return term


def _first_of(on: exp.Expr, order: exp.Expr | None, select: exp.Expr) -> exp.Expr:
    """Whether a row is the first of its kind."""
    if order is None:
        refuse("DISTINCT ON without ORDER BY", "rows have no order of their own", "say ORDER BY", select)
    keys = on.expressions if isinstance(on, exp.Tuple) else [on]
    terms = [
        exp.Ordered(
            this=_made_by(each.this, select).copy(),
            desc=each.args["desc"],
            nulls_first=each.args["nulls_first"],
        )
        for each in order.expressions
    ]
    number = exp.Window(
        this=exp.RowNumber(),
        partition_by=[_made_by(key, select).copy() for key in keys],
        order=exp.Order(expressions=terms),
        over="OVER",
    )
    return exp.EQ(this=number, expression=exp.Literal.number(1))


def _kept_rows(inner: exp.Expr, keep: exp.Expr) -> exp.Expr:
    """The rows for which the condition, computed beside the columns, is true."""
    names = [made.alias_or_name for made in inner.expressions]
    outer = exp.select(*(exp.column(name, quoted=True).as_(name, quoted=True) for name in names))
    terms = []
    for at, term in enumerate(inner.args["order"].expressions if inner.args.get("order") else ()):
        by = term.this
        if not (isinstance(by, exp.Column) and not by.table):
            inner.append("expressions", exp.alias_(by.copy(), f"odibi order {at}", quoted=True))
            by = exp.column(f"odibi order {at}", quoted=True)
        terms.append(exp.Ordered(this=by, desc=term.args["desc"], nulls_first=term.args["nulls_first"]))
    for part in ("limit", "offset", "distinct", "with_"):
        outer.set(part, inner.args.get(part))
        inner.set(part, None)
    if terms:
        outer.set("order", exp.Order(expressions=terms))
    for part in ("order", "qualify"):
        inner.set(part, None)
    inner.append("expressions", exp.alias_(keep, "odibi keep", quoted=True))
    return outer.from_(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("kept")))).where(
        exp.column("odibi keep", quoted=True)
    )


def table(node: exp.Expr) -> exp.Expr:
    """An input, a CTE, or numbers from range()."""
    if isinstance(node.this, exp.Func) and not isinstance(node.this, exp.GenerateSeries | exp.Anonymous):
        refuse(f"`{node.sql('duckdb')}`", "Spark has no such table function", "make it an input", node)
    return node


def join(node: exp.Expr) -> exp.Expr:
    """All joins but those by position or by the nearest value."""
    if node.args.get("method"):
        refuse(f"{node.args['method']} JOIN", "Spark has none", "join on a condition", node)
    condition = node.args.get("on")
    if condition is not None and not isinstance(condition, exp.Boolean | exp.Null):
        node.set("on", converted(condition, "BOOLEAN"))
    return node


def values(node: exp.Expr) -> exp.Expr:
    """Each column in one type."""
    kinds = node.meta.get("kinds") or ()
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
    made = [
        exp.Tuple(expressions=[converted(cell, k) for cell, k in zip(row, kinds, strict=True)])
        for row in rows
    ]
    node.set("expressions", made)
    return node


def union(node: exp.Expr) -> exp.Expr:
    """Both halves in the types in which they meet."""
    columns: list[tuple[str, str]] = node.meta["columns"]
    for side in ("this", "expression"):
        half = node.args[side]
        node.set(side, cast_columns(half, [found for _, found in columns]))
    return node


def cast_columns(query: exp.Expr, kinds: list[str]) -> exp.Expr:
    """The query with its columns in these types."""
    if isinstance(query, exp.Select):
        for made, found in zip(list(query.expressions), kinds, strict=True):
            value = made.unalias()
            if known(value) != found:
                new = converted(value, found)
                made.replace(exp.alias_(new, made.alias_or_name, quoted=True))
        return query
    inner = query.this if isinstance(query, exp.Subquery) else query
    own = (
        [found for _, found in inner.meta.get("columns", ())] if isinstance(inner, exp.SetOperation) else None
    )
    if own is None and isinstance(inner, exp.Select):
        query.set("this", cast_columns(inner, kinds))
        return query
    if own == kinds or own is None:
        return query
    names = [f"c{at}" for at, _ in enumerate(kinds)]
    alias = exp.TableAlias(
        this=exp.to_identifier("half"), columns=[exp.to_identifier(name) for name in names]
    )
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
        this=_no_place(node.this),
        desc=bool(node.args.get("desc")),
        nulls_first=bool(node.args.get("nulls_first")),
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
        node.set("this", marked(exp.Cast(this=value, to=spark_type(UNKNOWN).copy()), UNKNOWN))
    elif isinstance(value, exp.Literal) and value.is_number and "." in str(value.this):
        node.set("this", as_type(value, kind(value)))
    return node


def unnested(node: exp.Expr) -> exp.Expr:
    """A list in FROM: a row for each element, none for an empty list."""
    if len(node.expressions) != 1 or kind(node.expressions[0])[-1:] != "]":
        refuse(
            "unnest() of several values",
            "Spark repeats rows instead",
            "unnest one list after the other",
            node,
        )
    join = node.find_ancestor(exp.Join)
    if join is not None and join.this is node:
        if join.side:
            refuse(
                f"{join.side} JOIN with unnest()",
                "Spark keeps no row for an empty list",
                "use an inner join",
                node,
            )
        join.set("kind", None)
    return node


def exploded(node: exp.Expr) -> exp.Expr:
    """A list in SELECT, once and as a column of its own."""
    select = node.find_ancestor(exp.Select)
    alone = isinstance(node.parent, exp.Alias) and node.parent.parent is select
    if select is None or not alone or len(list(select.find_all(exp.Explode))) > 1 or select.args.get("group"):
        refuse(
            f"`{node.sql('duckdb')}` here",
            "Spark unnests one column of a plain SELECT",
            "unnest it in a CTE",
            node,
        )
    if kind(node.this)[-1:] != "]":
        refuse(f"unnest() of {kind(node.this)}", "Spark unnests lists", "name the fields", node)
    return node


_ROWS = "with_ order limit offset"

RULES: tuple[Rule, ...] = (
    Rule(exp.Select, select, f"{_ROWS} distinct from_ joins laterals where group having qualify"),
    Rule(exp.Table, table, "alias"),
    Rule(exp.Join, join, "on side kind method"),
    Rule(exp.Values, values, "alias"),
    *(Rule(each, union, f"{_ROWS} distinct") for each in (exp.Union, exp.Except, exp.Intersect)),
    Rule(exp.Group, group, "all cube rollup grouping_sets"),
    Rule(exp.Ordered, ordered, "desc nulls_first"),
    Rule(exp.Limit, limit),
    Rule(exp.Alias, alias, "alias"),
    Rule(exp.Column, column, "table"),
    Rule(exp.Unnest, unnested, "alias"),
    Rule(exp.Explode, exploded),
    Rule(exp.Subquery, kept, f"{_ROWS} alias"),
    Rule(exp.CTE, kept, "alias"),
    Rule(exp.With, kept, "recursive"),
    Rule(exp.Distinct, kept, "on"),
    Rule(exp.Identifier, kept, "quoted"),
    Rule(exp.TableAlias, kept, "columns"),
    Rule(exp.WindowSpec, kept, "kind start start_side end end_side exclude"),
    Rule(exp.Lateral, kept, "alias"),
    Rule(exp.GenerateSeries, kept, "start end step is_end_exclusive"),
    *(
        Rule(each, kept)
        for each in (
            exp.From, exp.Order, exp.Offset, exp.Paren, exp.Literal, exp.Null, exp.Boolean, exp.Star, exp.Var,
            exp.Exists, exp.Lambda, exp.PropertyEQ, exp.Slice, exp.Tuple, exp.Rollup, exp.Cube, exp.GroupingSets,
        )
    ),
)  # fmt: skip
