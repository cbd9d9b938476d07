"""Windows: an order where the answer depends on one, frames that both have."""

from __future__ import annotations

from sqlglot import exp

from odibi.relational.spark.build import Rule, aggregates, as_type, over_each
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import TIMES, WHOLE, kind, marked
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES"]

_RANKS = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist)
_PLACES = (exp.RowNumber, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)
_WITHOUT_FRAME = (*_RANKS, exp.RowNumber, exp.Ntile, exp.Lag, exp.Lead)


def window(node: exp.Expr) -> exp.Expr:
    """OVER belongs to every aggregate that a rule has made of one."""
    function = node.this.this if isinstance(node.this, exp.IgnoreNulls) else node.this
    order = node.args.get("order")
    if order is None and isinstance(function, _PLACES):
        refuse(
            f"{function.key}() without ORDER BY",
            "rows have no order of their own",
            "say ORDER BY in OVER",
            node,
        )
    if order is None and isinstance(function, _RANKS):
        order = exp.Order(expressions=[exp.Ordered(this=exp.Literal.string(""))])  # all rows tie
    spec = None if isinstance(function, _WITHOUT_FRAME) else node.args.get("spec")
    if spec is not None:
        _check(spec, node)
    calls = [] if isinstance(function, (*_RANKS, *_PLACES)) else aggregates(node.this)
    for call in calls:
        if call.find(exp.WithinGroup, exp.Quantile, exp.Distinct):
            refuse("this aggregate in a window", "Spark has it over groups only", "aggregate and join", node)

    def over(call: exp.Expr) -> exp.Expr:
        call.meta.pop("aggregate", None)
        return exp.Window(
            this=call,
            partition_by=[each.copy() for each in node.args.get("partition_by") or ()],
            order=order.copy() if order is not None else None,
            spec=spec.copy() if spec is not None else None,
            over="OVER",
        )

    made = over_each(node.this, over) if calls else over(node.this)
    return as_type(made, kind(node)) if isinstance(function, (*_RANKS, exp.RowNumber, exp.Ntile)) else made


def _check(spec: exp.Expr, node: exp.Expr) -> None:
    kind_ = str(spec.args.get("kind") or "").upper()
    bounds = [spec.args.get("start"), spec.args.get("end")]
    far = [bound for bound in bounds if bound not in ("UNBOUNDED", "CURRENT ROW", None)]
    if kind_ == "GROUPS" or spec.args.get("exclude"):
        refuse(f"a frame of {kind_ or 'EXCLUDE'}", "Spark has ROWS and RANGE only", "use ROWS BETWEEN", node)
    if kind_ == "RANGE" and far:
        _check_distances(far, node)


def _check_distances(bounds: list[exp.Expr], node: exp.Expr) -> None:
    """A distance is a whole number over whole numbers, or an interval of days or less over dates and times."""
    terms = node.args["order"].expressions if node.args.get("order") else []
    of = kind(terms[0].this) if len(terms) == 1 else ""
    for bound in bounds:
        whole = isinstance(bound, exp.Literal) and str(bound.this).isdigit() and of in WHOLE[:-1]
        unit = bound.args.get("unit") if isinstance(bound, exp.Interval) else None
        short = (
            unit is not None
            and isinstance(bound.this, exp.Literal)
            and unit.name.upper().rstrip("S") in _SHORT
        )
        if not whole and not (short and of in TIMES):
            refuse(
                "this RANGE of a distance",
                "Spark wants other types for it",
                "use ROWS BETWEEN or a join",
                node,
            )


_SHORT = ("DAY", "HOUR", "MINUTE", "SECOND")


def neighbour(node: exp.Expr) -> exp.Expr:
    """Lag and lead: the distance is a constant on Spark."""
    offset, default = node.args.get("offset"), node.args.get("default")
    if offset is not None and not isinstance(offset.unnest(), exp.Literal | exp.Neg):
        refuse(
            f"{node.key}() by a number of rows that is no constant",
            "Spark takes a constant",
            "write a number",
            node,
        )
    made = type(node)(this=converted(node.this, kind(node)), offset=offset)
    if default is not None:
        if not isinstance(default, exp.Literal | exp.Null | exp.Column | exp.Neg):
            refuse(f"{node.key}() with a computed default", "Spark takes a constant", "use coalesce", node)
        made.set("offset", offset or exp.Literal.number(1))
        made.set("default", converted(default, kind(node)))
    return made


def nth(node: exp.Expr) -> exp.Expr:
    """The place is a constant on Spark."""
    offset = node.args.get("offset")
    if not isinstance(offset, exp.Literal) or int(offset.this) < 1:
        refuse("nth_value() of a place that is no constant", "Spark takes a constant", "write a number", node)
    return exp.NthValue(this=node.this, offset=offset)


def bucket(node: exp.Expr) -> exp.Expr:
    """The number of buckets is a constant on Spark."""
    if not isinstance(node.this, exp.Literal):
        refuse("ntile() of a number that is no constant", "Spark takes a constant", "write a number", node)
    return node


def kept(node: exp.Expr) -> exp.Expr:
    """The same on both."""
    return node


def with_nulls(node: exp.Expr) -> exp.Expr:
    """IGNORE NULLS belongs to the function."""
    return marked(node, kind(node))


RULES: tuple[Rule, ...] = (
    Rule(exp.Window, window, "partition_by order spec over"),
    Rule(exp.Lag, neighbour, "offset default"),
    Rule(exp.Lead, neighbour, "offset default"),
    Rule(exp.NthValue, nth, "offset"),
    Rule(exp.Ntile, bucket),
    *(Rule(each, kept) for each in (*_RANKS, exp.RowNumber, exp.FirstValue, exp.LastValue)),
    Rule(exp.IgnoreNulls, with_nulls),
)
