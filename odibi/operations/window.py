"""The operation that computes a value of a row from the rows around it."""

from __future__ import annotations

from sqlglot import exp

from odibi.operations.columns import Names, column, find_all, with_columns
from odibi.operations.errors import OperationError
from odibi.operations.expressions import Expression, aggregates, expression, ordering, see_only, ties
from odibi.operations.syntax import parsed
from odibi.relational.schema import Relation

__all__ = ["window"]


def window(
    table: Relation,
    *,
    columns: dict[str, Expression],
    partition_by: Names | None = None,
    order_by: Names | None = None,
    frame: str | None = None,
) -> exp.Query:
    """Add columns computed over the rows of the same partition, or replace columns in their place.

    Where ``order_by`` ties and the answer depends on it (``row_number``, ``lag``, a frame of ROWS),
    the remaining columns decide, so it is the same on every engine and in every run. ``rank`` and its
    like give ties the same rank, and ``sum`` and its like the same running total.

    Args:
        table: the table to transform.
        columns: ``{name: expression}`` with aggregate or window functions, without OVER.
        partition_by: the columns whose equal values make a partition; without them it is the table.
        order_by: the order inside a partition, as in ``sort``. With it, aggregates run up to the row.
        frame: which rows around it count, such as ``rows between 6 preceding and current row``.

    Example:
        ```yaml
        inputs: [orders]
        transform:
          - select: [order_id, customer_id, price]
          - window:
              partition_by: customer_id
              order_by: price
              columns: {place: row_number(), so_far: sum(price), step: price - lag(price)}
        ```
    """
    partition = (
        [] if partition_by is None else [c.name for c in find_all(table, partition_by, ("partition_by",))]
    )
    order = [] if order_by is None else ordering(order_by, table, ("order_by",))
    spec = None if frame is None else _frame(frame)
    made: dict[str, exp.Expr] = {}
    for name, text in columns.items():
        tree = expression(text, table, ("columns", name))
        for call in aggregates(tree, ("columns", name)):
            function = call.find(*_PEERS, *_IN_ORDER, exp.AggFunc) or call
            if isinstance(function, _PEERS) and not order:
                raise OperationError(
                    f"{function.sql('duckdb')} needs an order", ("columns", name), hint="give order_by"
                )
            by_row = spec is not None and str(spec.args["kind"]).upper() == "ROWS"
            terms = ties(table, order, partition) if by_row or isinstance(function, _IN_ORDER) else order
            over = exp.Window(
                this=call.copy(),
                partition_by=[column(key) for key in partition],
                order=exp.Order(expressions=[term.copy() for term in terms]) if terms else None,
                spec=None if spec is None or isinstance(function, _WITHOUT_FRAME) else spec.copy(),
            )
            tree = over if call is tree else call.replace(over).root()
        made[name] = tree
    see_only(table, made, ("columns",))
    return with_columns(table, made, ("columns",))


_PEERS = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist)
"""Rows that tie get the same answer, so ties are left as they are."""

_IN_ORDER = (
    exp.RowNumber, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue, exp.First,
    exp.Last, exp.AnyValue, exp.GroupConcat, exp.ArrayAgg, exp.ArgMax, exp.ArgMin,
)  # fmt: skip
"""Rows that tie get different answers, so nothing may tie."""

_WITHOUT_FRAME = (*_PEERS, exp.RowNumber, exp.Ntile, exp.Lag, exp.Lead)
"""A frame means nothing to these, and Spark refuses it."""


def _frame(text: str) -> exp.WindowSpec:
    tree = parsed(exp.Condition, text, ("frame",), before="COUNT(*) OVER (ORDER BY x ", after=")")
    spec = tree.args.get("spec") if isinstance(tree, exp.Window) else None
    if not isinstance(spec, exp.WindowSpec):
        raise OperationError(
            f"{text!r} is not a frame", ("frame",), hint="such as rows between 6 preceding and current row"
        )
    return spec
