"""PIVOT and UNPIVOT written as the SELECT that they are, with the names DuckDB gives."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from odibi.relational.schema import Schema, quote
from odibi.relational.spark.kinds import columns_of
from odibi.relational.spark.refusal import refuse

__all__ = ["ctes_in_sight", "without_pivots"]


def without_pivots(query: exp.Query, tables: Mapping[str, Schema]) -> None:
    """Replace every PIVOT and UNPIVOT in the query.

    Raises:
        NotPortable: one over several columns at once.
        BindError: what it is over needs columns from outside.
    """
    for pivot in reversed(list(query.find_all(exp.Pivot))):
        holder, over = pivot.parent, pivot.this
        if holder is None:  # never: a pivot stands in FROM
            continue
        if over is None:  # source PIVOT (...), not PIVOT source ...
            over = holder.copy()
            over.set("pivots", None)
        whole = holder.copy()
        if not isinstance(whole, exp.Subquery) or pivot.this is None:
            whole = exp.Subquery(this=exp.select("*").from_(holder.copy()))
        named = _described(exp.select("*").from_(whole), pivot, tables)
        source = _described(exp.select("*").from_(over.copy()), pivot, tables)
        make = _unpivot if pivot.args.get("unpivot") else _pivot
        made = make(pivot, over, [column.name for column in source], [column.name for column in named])
        alias = pivot.args.get("alias") or holder.args.get("alias")
        holder.replace(exp.Subquery(this=made, alias=alias.copy() if alias else None))


def _described(select: exp.Select, place: exp.Expr, tables: Mapping[str, Schema]) -> Schema:
    """The columns of a query that stands in that place."""
    for outer in ctes_in_sight(place):
        select.set("with_", exp.With(expressions=[*outer, *select.ctes]))
    return columns_of(select.sql("duckdb"), tables)


def ctes_in_sight(node: exp.Expr) -> list[list[exp.Expr]]:
    """The CTEs that a part of a query can name, those of inner queries first."""
    found, child, parent = [], node, node.parent
    while parent is not None:
        with_ = parent.args.get("with_")
        if isinstance(parent, exp.With):
            found.append([cte.copy() for cte in parent.expressions[: parent.expressions.index(child)]])
        elif with_ is not None and with_ is not child:
            found.append([cte.copy() for cte in with_.expressions])
        child, parent = parent, parent.parent
    return found


def _column(name: str) -> exp.Expr:
    return exp.column(name, quoted=True)


def _pivot(pivot: exp.Expr, over: exp.Expr, source: list[str], names: list[str]) -> exp.Select:
    """Each aggregate over the rows of each value."""
    on = pivot.args.get("fields") or pivot.expressions
    calls = pivot.args.get("using") or (pivot.expressions if pivot.args.get("fields") else [])
    calls = calls or [exp.Count(this=exp.Star())]
    if len(on) != 1:
        refuse("PIVOT on several columns", "nobody has made it equal there", "aggregate with FILTER", pivot)
    values = [value.this if isinstance(value, exp.PivotAlias) else value for value in on[0].expressions]
    group = pivot.args.get("group")
    used = {column.name.lower() for part in (on[0].this, *calls) for column in part.find_all(exp.Column)}
    groups = group.expressions if group else [_column(name) for name in source if name.lower() not in used]
    cells = [
        exp.Filter(
            this=call.unalias().copy(),
            expression=exp.Where(this=exp.NullSafeEQ(this=on[0].this.copy(), expression=value.copy())),
        )
        for value in values
        for call in calls
    ]
    columns = [*(each.copy() for each in groups), *cells]
    made = exp.select(
        *(exp.alias_(each, name, quoted=True) for each, name in zip(columns, names, strict=True))
    )
    places = [exp.Literal.number(place + 1) for place in range(len(groups))]
    return (made.group_by(*places) if places else made).from_(over.copy())


def _unpivot(pivot: exp.Expr, over: exp.Expr, source: list[str], names: list[str]) -> exp.Select:
    """A row for each column, beside a table of the columns' names; NULLs are left out unless told."""
    fields = pivot.args.get("fields")
    melted = fields[0].expressions if fields else pivot.expressions
    pairs = [
        (each.this, each.alias) if isinstance(each, exp.PivotAlias) else (each, each.name) for each in melted
    ]
    if any(not isinstance(column, exp.Column) for column, _ in pairs):
        refuse(
            "UNPIVOT into several columns", "nobody has made it equal there", "unpivot them one by one", pivot
        )
    gone = {column.name.lower() for column, _ in pairs}
    kept = [name for name in source if name.lower() not in gone]
    name, value = names[len(kept) :]
    labels = exp.values([(label,) for _, label in pairs], alias="labels", columns=["label"])
    label = exp.column("label", "labels")
    cell = exp.Case(
        ifs=[
            exp.If(this=exp.EQ(this=label.copy(), expression=exp.Literal.string(text)), true=column.copy())
            for column, text in pairs
        ]
    )
    rows = exp.select(*map(_column, kept), label.as_(name, quoted=True), cell.as_(value, quoted=True))
    rows = rows.from_(over.copy()).join(labels, join_type="cross")
    if pivot.args.get("include_nulls"):
        return rows
    return (
        exp.select("*").from_(rows.subquery("melted")).where(f"{quote(value)} IS NOT NULL", dialect="duckdb")
    )
