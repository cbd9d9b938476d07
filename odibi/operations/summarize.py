"""Operations on groups of rows: one row for each, wider, or longer."""

from __future__ import annotations

from typing import Annotated, Literal

from sqlglot import exp

from odibi.operations.columns import (
    Names,
    Value,
    family,
    find,
    find_all,
    identifier,
    literal,
    query,
    refuse_twins,
)
from odibi.operations.columns import column as ref
from odibi.operations.errors import OperationError
from odibi.operations.expressions import Expression, Named, aggregates, expression, named, see_only
from odibi.relational.schema import Relation

__all__ = ["aggregate", "pivot", "unpivot"]


Summary = Literal["sum", "mean", "count", "count_distinct", "min", "max", "median", "std"]

_SUMMARIES: dict[Summary, type[exp.AggFunc]] = {
    "sum": exp.Sum,
    "mean": exp.Avg,
    "count": exp.Count,
    "min": exp.Min,
    "max": exp.Max,
    "median": exp.Median,
    "std": exp.StddevSamp,
}


def aggregate(
    table: Relation,
    *,
    values: dict[str, Expression] | None = None,
    by: Named | None = None,
    aggregations: Annotated[dict[str, list[Summary]], "a mapping of columns to functions"] | None = None,
    group_by: Named | None = None,
) -> exp.Query:
    """Make one row of each group. NULL is a group like any other.

    Args:
        table: the table to transform.
        values: ``{name: expression}`` with aggregate functions.
        by: what makes a group: columns, ``expression AS name`` or ``{name: expression}``. Without it
            the whole table is one group, and gives one row even when it is empty.
        aggregations: ``{column: [functions]}`` for columns called ``column_function``, such as
            ``price_sum``. Functions: ``sum``, ``mean``, ``count``, ``count_distinct``, ``min``, ``max``,
            ``median``, ``std``; NULL is left out by each.
        group_by: the same as ``by``.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - aggregate:
              by: [status, month: month(ordered_at)]
              values: {orders: count(*), revenue: sum(price * quantity)}
              aggregations: {price: [mean, max]}
        ```
    """
    if by is not None and group_by is not None:
        raise OperationError("by and group_by mean the same", ("group_by",), hint="give one of them")
    key = "by" if group_by is None else "group_by"
    chosen = by if group_by is None else group_by
    if chosen is not None and not chosen:
        raise OperationError(
            "no group is named", (key,), hint=f"leave {key} out for one row over the whole table"
        )
    groups = {} if chosen is None else named(chosen, table, (key,))
    made = {name: expression(text, table, ("values", name)) for name, text in (values or {}).items()}
    for name, functions in (aggregations or {}).items():
        of = find(table, name, ("aggregations", name))
        found = {f"{of.name}_{function}": _summary(function, of.name) for function in functions}
        refuse_twins([*made, *found], ("aggregations", name))
        made |= found
    if not made:
        raise OperationError("nothing is computed", ("values",), hint="such as {rows: count(*)}")
    refuse_twins([*groups, *made], ("values",))
    see_only(table, groups, (key,), beside=made)
    see_only(table, made, ("values",), beside=groups)
    return _grouped(query(table, [*groups.items(), *made.items()]), len(groups))


def _summary(function: Summary, name: str) -> exp.Expr:
    if function == "count_distinct":
        return exp.Count(this=exp.Distinct(expressions=[ref(name)]))
    return _SUMMARIES[function](this=ref(name))


def pivot(
    table: Relation,
    *,
    index: Names,
    column: str,
    values: list[Value | None] | dict[str, Value | None],
    aggregate: str,
) -> exp.Query:
    """Make a column of each value of a column, and one row of each group.

    The values are declared, so the columns are known before any row is read. Rows with another value
    are left out; a group without rows for a value has what the aggregate gives for no rows.

    Args:
        table: the table to transform.
        index: the columns that make a group.
        column: the column whose values become columns.
        values: the values, which name the columns, or ``{name: value}``.
        aggregate: an expression with aggregate functions, computed over the rows of each value.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - pivot: {index: customer_id, column: status, values: [paid, open], aggregate: sum(quantity)}
        ```
    """
    groups = [found.name for found in find_all(table, index, ("index",))]
    of = find(table, column, ("column",))
    pairs = list(values.items()) if isinstance(values, dict) else [(_text(value), value) for value in values]
    if not pairs:
        raise OperationError("no value is declared", ("values",), hint="such as values: [paid, open]")
    refuse_twins([*groups, *(name for name, _ in pairs)], ("values",), hint="name it: {name: value}")
    tree = expression(aggregate, table, ("aggregate",))
    aggregates(tree, ("aggregate",))
    columns: list[tuple[str, exp.Expr]] = [(name, ref(name)) for name in groups]
    for position, (name, value) in enumerate(pairs):
        path = ("values", name) if isinstance(values, dict) else ("values", position)
        if value is None:
            same: exp.Expr = exp.Is(this=ref(of.name), expression=exp.null())
        else:
            same = exp.EQ(this=ref(of.name), expression=literal(value, of, path))
        columns.append((name, _only(tree.copy(), same)))
    return _grouped(query(table, columns), len(groups))


def unpivot(table: Relation, *, columns: list[str], name: str = "name", value: str = "value") -> exp.Query:
    """Make a row of each of these columns: one column with its name, one with its value.

    The other columns are repeated. NULL values are kept. The columns must hold the same kind of thing:
    numbers, text, dates.

    Args:
        table: the table to transform.
        columns: the columns that become rows.
        name: what the column with the names is called.
        value: what the column with the values is called.

    Example:
        ```yaml
        inputs: [sales]
        transform:
          - unpivot: {columns: [q1, q2], name: quarter, value: revenue}
        ```
    """
    melted = find_all(table, columns, ("columns",))
    for position, of in enumerate(melted):
        if family(of.type) != family(melted[0].type):
            raise OperationError(
                f"column {of.name!r} is {of.type} and {melted[0].name!r} is {melted[0].type}",
                ("columns", position),
                hint="cast one of them before",
            )
    gone = {of.name for of in melted}
    kept: list[tuple[str, exp.Expr]] = [(k, ref(k, table.name)) for k in table.names if k not in gone]
    refuse_twins([*(k for k, _ in kept), name, value], (), hint="give name and value other names")
    # A join with the names reads the input once; a UNION ALL would compute it once for each column.
    names = f"{table.name} names"
    rows = exp.values([(of.name,) for of in melted], alias=names)
    rows.set("alias", exp.TableAlias(this=identifier(names), columns=[identifier("name")]))
    chosen = exp.Case(
        ifs=[
            exp.If(
                this=exp.EQ(this=ref("name", names), expression=exp.Literal.string(of.name)),
                true=ref(of.name, table.name),
            )
            for of in melted
        ]
    )
    out = query(table, [*kept, (name, ref("name", names)), (value, chosen)], table.name)
    return out.join(rows, join_type="cross", copy=False)


def _text(value: Value | None) -> str:
    """How a value names its column: as YAML writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _grouped(select: exp.Select, count: int) -> exp.Select:
    """Grouped by its first columns, which may be expressions: positions repeat none of them."""
    positions = [exp.Literal.number(position) for position in range(1, count + 1)]
    return select.group_by(*positions, copy=False) if count else select


def _only(tree: exp.Expr, condition: exp.Expr) -> exp.Expr:
    """The expression with its aggregates computed only over rows for which the condition is true."""
    for call in aggregates(tree, ("aggregate",)):
        where = condition.copy()
        if isinstance(call, exp.Filter):
            where = exp.and_(call.expression.this.copy(), where)
        inner = call.this if isinstance(call, exp.Filter) else call
        only = exp.Filter(this=inner.copy(), expression=exp.Where(this=where))
        tree = only if call is tree else call.replace(only).root()
    return tree
