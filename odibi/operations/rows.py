"""Operations on rows: which are kept, and in what order."""

from __future__ import annotations

from typing import Annotated, Literal

from sqlglot import exp

from odibi.operations.columns import Names, column, find_all, query
from odibi.operations.conditions import Condition, all_of
from odibi.operations.errors import OperationError
from odibi.operations.expressions import Expression, expression, ordering, ties
from odibi.relational.schema import Relation

__all__ = ["deduplicate", "filter", "limit", "sort"]


Where = Annotated[Expression | list[Condition], "an expression or a list of conditions"]


def filter(table: Relation, *, where: Where, on_missing: Literal["error", "skip"] = "error") -> exp.Query:
    """Keep the rows for which the condition is true; where it is false or NULL they go.

    Args:
        table: the table to transform.
        where: a condition over the table's columns, or a list of ``{field: column, operator: name,
            value: value}`` that must all hold. Operators: ``equals``, ``not_equals``, ``greater_than``,
            ``less_than``, ``contains`` (the text as it stands; a pattern with ``regex: true``), ``in``
            (a list of values) and ``not_null`` (no value). Values are held against the column's type.
        on_missing: what a condition of a list means whose column the table does not have: an
            ``error``, or ``skip`` to leave it out.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - filter: quantity > 0
          - filter:
              - {field: status, operator: in, value: [paid, open]}
              - {field: ordered_at, operator: less_than, value: "2024-02-01"}
        ```
    """
    if isinstance(where, list):
        test = all_of(where, table, ("where",), skip=on_missing == "skip")
        return _all(table) if test is None else _all(table).where(test, copy=False)
    if on_missing == "skip":
        message = "on_missing: skip belongs to a list of conditions"
        raise OperationError(
            message, ("on_missing",), hint="where: [{field: status, operator: equals, value: paid}]"
        )
    return _all(table).where(expression(where, table, ("where",)), copy=False)


def sort(table: Relation, *, by: Names) -> exp.Query:
    """Put the rows in order. NULLs come last unless the term says ``nulls first``.

    Rows that tie are ordered by the remaining columns, so the order is the same on every engine and in
    every run.

    Args:
        table: the table to transform.
        by: terms such as ``price desc``, ``name``, ``lower(name) nulls first``.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - sort: [status, price desc]
        ```
    """
    return _all(table).order_by(*ties(table, ordering(by, table, ("by",))), copy=False)


def limit(table: Relation, *, rows: int, order_by: Names | None = None) -> exp.Query:
    """Keep the first rows.

    Args:
        table: the table to transform.
        rows: how many.
        order_by: what comes first, as in ``sort``. Without it, the order the rows come in: what a
            ``sort`` just before made of it, otherwise any.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - limit: {rows: 2, order_by: price desc}
        ```
    """
    if rows < 0:
        raise OperationError(f"there are no {rows} rows", ("rows",), hint="give 0 or more")
    kept = _all(table)
    if order_by is not None:
        kept = kept.order_by(*ties(table, ordering(order_by, table, ("order_by",))), copy=False)
    return kept.limit(rows, copy=False)


def deduplicate(table: Relation, *, keys: Names, order_by: Names | None = None) -> exp.Query:
    """Keep the first row of each key. NULL is a key like any other.

    The remaining columns decide where ``order_by`` ties, and all of them where there is none, so the
    same row is kept on every engine and in every run.

    Args:
        table: the table to transform.
        keys: the columns that together tell rows apart.
        order_by: what comes first within a key, as in ``sort``: ``updated_at desc`` keeps the latest.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - deduplicate: {keys: [order_id], order_by: [ordered_at desc]}
        ```
    """
    chosen = [found.name for found in find_all(table, keys, ("keys",))]
    terms = [] if order_by is None else ordering(order_by, table, ("order_by",))
    total = ties(table, terms, constant=chosen) or ties(table, ())
    first = exp.Window(
        this=exp.RowNumber(),
        partition_by=[column(name) for name in chosen],
        order=exp.Order(expressions=total),
    )
    kept = _all(table)
    kept.set("qualify", exp.Qualify(this=exp.EQ(this=first, expression=exp.Literal.number(1))))
    return kept


def _all(table: Relation) -> exp.Select:
    return query(table, [(name, column(name)) for name in table.names])
