"""Pieces of a rewritten query: lists of ids, set operations over both sides, tables with and without their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp, parse_one

from odibi.relational.functions import is_aggregate

__all__ = [
    "EXCEPT",
    "EXCEPT_ALL",
    "ID",
    "INTERSECT",
    "INTERSECT_ALL",
    "TAIL",
    "WHY",
    "aggregates",
    "alias_of",
    "all_of",
    "alone",
    "bare",
    "by_output",
    "conditions",
    "equal",
    "exclude",
    "flat",
    "gathered",
    "is_window",
    "named",
    "negated",
    "no_ids",
    "once",
    "operand",
    "plain",
    "sub",
    "tail",
    "template",
]

WHY = "odibi_why"
"""The column of a rewritten query that holds the ids."""

ID = "odibi_id"
"""The column of an input that holds its rows' ids."""


TAIL = ("order", "limit", "offset")
"""What stands behind a query and says which of its rows, in which order."""

EXCEPT = (
    "SELECT * EXCLUDE (odibi_why, odibi_side), list_distinct(flatten(list(odibi_why) FILTER (odibi_side = 1))) AS odibi_why "
    "FROM both_sides GROUP BY ALL HAVING count(*) FILTER (odibi_side = 2) = 0"
)
INTERSECT = (
    "SELECT * EXCLUDE (odibi_why, odibi_side), list_distinct(flatten(list(odibi_why))) AS odibi_why FROM both_sides "
    "GROUP BY ALL HAVING count(*) FILTER (odibi_side = 1) > 0 AND count(*) FILTER (odibi_side = 2) > 0"
)
_COPIES = (
    "SELECT odibi_rows.* EXCLUDE (odibi_copies) FROM (SELECT * EXCLUDE (odibi_why, odibi_side), {copies} AS odibi_copies, "
    "list_distinct(flatten(list(odibi_why){those})) AS odibi_why FROM both_sides GROUP BY ALL) AS odibi_rows, "
    "unnest(range(odibi_rows.odibi_copies)) AS odibi_each(odibi_copy)"
)
_SIDES = ("count(*) FILTER (odibi_side = 1)", "count(*) FILTER (odibi_side = 2)")
EXCEPT_ALL = _COPIES.format(copies=" - ".join(_SIDES), those=" FILTER (odibi_side = 1)")
INTERSECT_ALL = _COPIES.format(copies=f"least({', '.join(_SIDES)})", those="")
"""What is made of both sides of a set operation, told apart by ``odibi_side``."""


def template(text: str, both: exp.Query) -> exp.Query:
    """One of the queries above over both sides."""
    tree = parse_one(text, dialect="duckdb", into=exp.Select)
    table = next(t for t in tree.find_all(exp.Table) if t.name == "both_sides")
    table.replace(sub(both, "both_sides"))
    return tree


def once(query: exp.Query) -> exp.Query:
    """The rows of a query once each, with the ids of all that are equal."""
    star = exp.Star(except_=[exp.to_identifier(WHY)])
    made = exp.select(star, named(gathered(exp.column(WHY)), WHY)).from_(sub(query))
    made.set("group", exp.Group(all=True))
    return made


def tail(made: exp.Query, node: exp.Expr) -> exp.Query:
    """The rows in the order and number that the node asks for."""
    asked = {part: node.args[part] for part in TAIL if node.args.get(part) is not None}
    if not asked:
        return made
    made = all_of(made)
    for part, value in asked.items():
        made.set(part, value.copy())
    return made


def by_output(node: exp.Select) -> exp.Select:
    """The SELECT DISTINCT with an ORDER BY that names its output, not its tables."""
    node = node.copy()
    order: exp.Expr | None = node.args.get("order")
    if order is None:
        return node
    for item in node.expressions:
        for found in [each for each in order.walk() if each == item.unalias() and item.alias_or_name]:
            found.replace(exp.column(item.alias_or_name, quoted=True))
    for column in order.find_all(exp.Column):
        column.set("table", None)
    return node


def sub(query: exp.Query, name: str = "odibi_rows") -> exp.Subquery:
    """The query as a relation."""
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(name)))


def all_of(query: exp.Query) -> exp.Select:
    """``SELECT *`` from the query."""
    return exp.select("*").from_(sub(query))


def operand(query: exp.Query) -> exp.Query:
    """The query as one side of a set operation."""
    plain = isinstance(query, exp.Select) and not any(query.args.get(part) for part in ("with_", *TAIL))
    return query if plain else all_of(query)


def named(value: exp.Expr, name: str) -> exp.Expr:
    """The value as a column."""
    return exp.alias_(value, name, quoted=True)


def no_ids() -> exp.Expr:
    """An empty list of ids."""
    return exp.cast(exp.Array(expressions=[]), "BIGINT[]", dialect="duckdb")


def flat(lists: Sequence[exp.Expr]) -> exp.Expr:
    """The lists as one; those that are NULL, as of an outer join, are empty."""
    if not lists:
        return no_ids()
    return (
        lists[0]
        if len(lists) == 1
        else exp.Anonymous(this="flatten", expressions=[exp.Array(expressions=list(lists))])
    )


def gathered(ids: exp.Expr) -> exp.Expr:
    """The lists of all rows of a group as one, each id once."""
    gathered = exp.Anonymous(this="flatten", expressions=[exp.Anonymous(this="list", expressions=[ids])])
    return exp.Anonymous(this="list_distinct", expressions=[gathered])


def alias_of(node: exp.Expr) -> exp.Identifier:
    """The name a relation is seen under."""
    return exp.to_identifier(node.alias_or_name, quoted=True)


def bare(table: exp.Table) -> exp.Table:
    """The table that holds the rows, or the CTE, under the name it has in the query."""
    name = table.meta.get("input") or table.name
    alias = table.args.get("alias")
    alias = (
        alias.copy() if alias is not None else exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
    )
    return exp.Table(this=exp.to_identifier(name, quoted=True), alias=alias)


def alone(query: exp.Expr) -> exp.Expr:
    """A copy of a subquery without the brackets' alias."""
    copy = query.copy()
    return (
        copy.this
        if isinstance(copy, exp.Subquery) and not any(copy.args.get(p) for p in ("with_", *TAIL))
        else copy
    )


def plain(query: exp.Expr) -> None:
    """Let a subquery that stays read its tables without their ids."""
    own = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
    for table in list(query.find_all(exp.Table)):
        made_of_ids = ID if table.meta.get("input") else WHY
        if not table.meta.get("input") and (not table.meta.get("cte") or table.name.lower() in own):
            continue
        joins = table.args.get("joins")
        table.set("joins", None)
        inner = exp.select(exp.Star(except_=[exp.to_identifier(made_of_ids)])).from_(bare(table))
        table.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=alias_of(table)), joins=joins))


def negated(node: exp.Expr, root: exp.Expr) -> bool:
    """Whether the condition holds because something is not there."""
    negated, at = False, node
    while at is not root and at.parent is not None:
        at = at.parent
        negated ^= isinstance(at, exp.Not)
    return negated


def equal(value: exp.Expr, traced: exp.Subquery, compare: type[exp.Expr]) -> exp.Expr:
    """The condition that a row of the subquery is the one that was looked for."""
    values = value.expressions if isinstance(value, exp.Tuple) else [value]
    names = [f"odibi_value_{number}" for number in range(len(values))]
    traced.args["alias"].set("columns", [exp.to_identifier(name) for name in names])
    return exp.and_(
        *(compare(this=v.copy(), expression=exp.column(name)) for v, name in zip(values, names, strict=True))
    )


def conditions(node: exp.Select) -> Iterator[exp.Expr | None]:
    """What joins match by, but for those that only look for rows."""
    for join in node.args.get("joins", ()):
        if join.kind not in ("SEMI", "ANTI"):
            yield join.args.get("on")


def exclude(star: exp.Star, names: Sequence[str]) -> None:
    """Leave columns out of a ``*``."""
    if names:
        listed = list(star.args.get("except_") or ())
        star.set("except_", [*listed, *map(exp.to_identifier, names)])


def aggregates(expression: exp.Expr) -> bool:
    """Whether rows are gathered to compute the expression: an aggregate that is no window."""
    return any(
        is_aggregate(node) and not is_window(node)
        for node in expression.walk(bfs=False, prune=lambda n: isinstance(n, exp.Query))
    )


def is_window(node: exp.Expr) -> bool:
    """Whether an aggregate is the function of a window."""
    while isinstance(node.parent, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
        node = node.parent
    return isinstance(node.parent, exp.Window) and node.parent.this is node
