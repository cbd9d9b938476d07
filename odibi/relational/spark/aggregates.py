"""Aggregates: sums that do not overflow early, means and medians in DuckDB's type, NULLs left out."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from odibi.relational.spark.build import Rule, as_type, over_each, spark
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import FLOATS, decimal, element, fields, is_decimal, is_number, kind
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES"]


def _argument(node: exp.Expr) -> tuple[exp.Expr, bool]:
    """What is aggregated, and whether equal values count once."""
    inner = node.this
    if isinstance(inner, exp.Order):
        refuse(
            f"ORDER BY in {node.key}()", "Spark has none there", "leave it out: the answer is the same", node
        )
    if isinstance(inner, exp.Distinct):
        if len(inner.expressions) != 1:
            refuse("DISTINCT over several values", "NULL counts otherwise on Spark", "use one value", node)
        return inner.expressions[0], True
    return inner, False


def _over(
    sql: str, node: exp.Expr, convert: Callable[[exp.Expr], exp.Expr] = lambda value: value
) -> exp.Expr:
    value, distinct = _argument(node)
    value = convert(value)
    return spark(sql, x=exp.Distinct(expressions=[value]) if distinct else value)


def total(node: exp.Expr) -> exp.Expr:
    """Whole numbers are summed beyond BIGINT, as DuckDB does."""
    value, distinct = _argument(node)
    result, of = kind(node), kind(value)
    if of in FLOATS:
        return _over("SUM(:x)", node, lambda x: converted(x, "DOUBLE"))
    if is_decimal(of) or of == "HUGEINT":
        return as_type(_over("SUM(:x)", node), result)
    if of == "BOOLEAN":
        return as_type(_over("SUM(:x)", node, lambda x: converted(x, "INTEGER")), result)
    if not is_number(of):
        refuse(f"sum() of {of}", "Spark sums numbers", "cast it", node)
    return as_type(_wide_total(value, distinct), result)


def _wide_total(value: exp.Expr, distinct: bool) -> exp.Expr:
    """The sum of whole numbers; BIGINTs in two halves, which is exact and much faster than decimals."""
    if kind(value) != "BIGINT":
        return spark("SUM(:x)", x=exp.Distinct(expressions=[value]) if distinct else value)
    if distinct:
        return spark("SUM(:x)", x=exp.Distinct(expressions=[as_type(value, "DECIMAL(19,0)")]))
    return spark(
        "CAST(SUM(SHIFTRIGHT(:x, 32)) AS DECIMAL(19, 0)) * CAST(4294967296 AS DECIMAL(10, 0)) + SUM(:x & 4294967295)",
        x=value,
    )


def mean(node: exp.Expr) -> exp.Expr:
    """A double, of the exact sum where there is one."""
    node = exp.Avg(this=node.expressions[0]) if isinstance(node, exp.Anonymous) else node
    value, distinct = _argument(node)
    of = kind(value)
    if not is_number(of):
        refuse(f"avg() of {of}", "Spark's mean is of numbers", "use epoch() and back", node)
    if of in FLOATS or of in ("TINYINT", "SMALLINT", "INTEGER"):
        return _over("AVG(:x)", node, lambda x: converted(x, "DOUBLE"))
    sum_ = _over("SUM(:x)", node) if of != "BIGINT" else _wide_total(value, distinct)
    count = _over("NULLIF(COUNT(:x), 0)", node)
    return spark("CAST(:s AS DOUBLE) / :n", s=sum_, n=count)


def count(node: exp.Expr) -> exp.Expr:
    """Rows, values, or different values."""
    if node.this is None or isinstance(node.this, exp.Star):
        return spark("COUNT(*)")
    if node.expressions:
        refuse("count() of several values", "NULL counts otherwise on Spark", "count one", node)
    return _over("COUNT(:x)", node)


def count_if(node: exp.Expr) -> exp.Expr:
    """A sum of ones and zeros to DuckDB: of nothing it is NULL."""
    value, distinct = _argument(node)
    if distinct:
        refuse("count_if(DISTINCT ...)", "it counts one at most", "use bool_or", node)
    return as_type(spark("SUM(CAST(:x AS INT))", x=converted(value, "BOOLEAN")), kind(node))


def extreme(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for min and max of plain values."""

    def rule(node: exp.Expr) -> exp.Expr:
        if node.expressions or node.expression is not None:
            refuse(f"{name.lower()}() of several", "Spark has none", "use list_sort or a window", node)
        _plain(_argument(node)[0], node)
        return _over(f"{name}(:x)", node)

    return rule


def _plain(value: exp.Expr, node: exp.Expr) -> None:
    if element(kind(value)) or fields(kind(value)) or kind(value).startswith("MAP("):
        refuse(
            f"{node.key}() over {kind(value)}", "Spark orders nested values otherwise", "take a field", node
        )


def all_or_any(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for bool_and and bool_or."""

    def rule(node: exp.Expr) -> exp.Expr:
        return _over(f"{name}(:x)", node, lambda x: converted(x, "BOOLEAN"))

    return rule


def at_extreme(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for arg_max and arg_min: a row whose value is NULL does not count on DuckDB."""

    def rule(node: exp.Expr) -> exp.Expr:
        _plain(node.expression, node)
        sql = f"{name}(:x, CASE WHEN NOT :x IS NULL THEN :y END)"
        return spark(sql, x=node.this, y=node.expression)

    return rule


def moment(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for variance and standard deviation, in doubles; that of one value is 0 even if it is infinite."""

    def rule(node: exp.Expr) -> exp.Expr:
        sql = (
            f"CASE WHEN COUNT(:x) = 1 THEN CAST(0 AS DOUBLE) ELSE {name}(:x) END"
            if name.endswith("POP")
            else f"{name}(:x)"
        )
        return _over(sql, node, lambda x: converted(x, "DOUBLE"))

    return rule


_X = "(CASE WHEN NOT :y IS NULL THEN :x END)"
_Y = "(CASE WHEN NOT :x IS NULL THEN :y END)"
_NONE = f"WHEN COUNT({_X}) = 0 THEN NULL"
_CORR = (
    f"CASE {_NONE} WHEN STDDEV_POP({_X}) = 0 OR STDDEV_POP({_Y}) = 0 THEN DOUBLE('NaN') "
    f"ELSE COVAR_POP(:y, :x) / NULLIF(STDDEV_POP({_X}) * STDDEV_POP({_Y}), 0) END"
)
"""Where a column is constant it is NaN; Spark divides by zero."""
_SLOPE = f"CASE {_NONE} WHEN VAR_POP({_X}) = 0 THEN DOUBLE('NaN') ELSE COVAR_POP(:y, :x) / NULLIF(VAR_POP({_X}), 0) END"
"""Where x is constant it is NaN, on Spark NULL."""


def paired(sql: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for aggregates of pairs ``:y``, ``:x``, of which a pair with a NULL does not count."""

    def rule(node: exp.Expr) -> exp.Expr:
        if isinstance(node.this, exp.Distinct):
            refuse(f"{node.key}(DISTINCT ...)", "Spark has none of pairs", "take the pairs apart first", node)
        return spark(sql, y=converted(node.this, "DOUBLE"), x=converted(node.expression, "DOUBLE"))

    return rule


def median(node: exp.Expr) -> exp.Expr:
    """The quantile at a half."""
    return _quantile(node, exp.Literal.number("0.5"))


def quantile(node: exp.Expr) -> exp.Expr:
    """Interpolated between the two nearest values."""
    fraction = node.expression
    if not isinstance(fraction, exp.Literal) or fraction.is_string:
        refuse("quantile_cont() at a fraction that is no constant", "Spark takes one", "write a number", node)
    return _quantile(node, fraction)


def _quantile(node: exp.Expr, fraction: exp.Expr) -> exp.Expr:
    """Doubles as both have them; a decimal is cut, not rounded, to its own digits."""
    value, distinct = _argument(node)
    if kind(node) != "DOUBLE" and not is_decimal(kind(node)):
        refuse(f"{node.key}() of {kind(value)}", "Spark has it of numbers only", "cast it to a number", node)
    x = converted(value, "DOUBLE")
    made = spark("PERCENTILE(:x, :f)", x=exp.Distinct(expressions=[x]) if distinct else x, f=fraction)
    if kind(node) == "DOUBLE":
        return made
    _, scale = decimal(kind(node)) or (18, 0)
    wide = f"CAST(:p AS DECIMAL(38, {min(scale + 6, 37)}))"
    cut = f"CASE WHEN :p < 0 THEN CEIL({wide}, {scale}) ELSE FLOOR({wide}, {scale}) END"
    far = "RAISE_ERROR('a median of decimals of more than 15 digits needs a cast to DOUBLE')"
    return as_type(
        spark(f"CASE WHEN ABS(:p) >= 1e{15 - scale} THEN {far} ELSE {cut} END", p=made), kind(node)
    )


def text_of(node: exp.Expr) -> exp.Expr:
    """LISTAGG, its order stated: without one the answer differs from run to run."""
    value, by = node.this, node.args.get("separator")
    if not isinstance(value, exp.Order):
        refuse(
            "string_agg() without ORDER BY",
            "the order of rows is none",
            "write string_agg(text, ',' ORDER BY ...)",
            node,
        )
    order, value = value.expressions, value.this
    distinct = isinstance(value, exp.Distinct)
    if isinstance(value, exp.Distinct):
        value = value.expressions[0]
    if by is not None and not isinstance(by, exp.Literal):
        refuse(
            "string_agg() with a separator that is no constant",
            "Spark takes a constant",
            "write it as text",
            node,
        )
    value = converted(value, "VARCHAR")
    call = exp.Anonymous(
        this="LISTAGG",
        expressions=[exp.Distinct(expressions=[value]) if distinct else value, by or exp.Literal.string(",")],
    )
    made = exp.WithinGroup(this=call, expression=exp.Order(expressions=order))
    made.meta["aggregate"] = True
    return made


def filtered(node: exp.Expr) -> exp.Expr:
    """FILTER belongs to every aggregate that a rule has made of one."""

    def only(call: exp.Expr) -> exp.Expr:
        made = exp.Filter(this=call, expression=node.expression.copy())
        made.meta["aggregate"] = call.meta.pop("aggregate")
        return made

    return over_each(node.this, only)


RULES: tuple[Rule, ...] = (
    Rule(exp.Sum, total),
    Rule(exp.Avg, mean),
    Rule("mean", mean),
    Rule(exp.Count, count),
    Rule(exp.CountIf, count_if),
    Rule(exp.Min, extreme("MIN")),
    Rule(exp.Max, extreme("MAX")),
    Rule(exp.LogicalAnd, all_or_any("BOOL_AND")),
    Rule(exp.LogicalOr, all_or_any("BOOL_OR")),
    Rule(exp.ArgMax, at_extreme("MAX_BY")),
    Rule(exp.ArgMin, at_extreme("MIN_BY")),
    Rule(exp.Stddev, moment("STDDEV_SAMP")),
    Rule(exp.StddevSamp, moment("STDDEV_SAMP")),
    Rule(exp.StddevPop, moment("STDDEV_POP")),
    Rule(exp.Variance, moment("VAR_SAMP")),
    Rule(exp.VariancePop, moment("VAR_POP")),
    Rule(exp.CovarPop, paired("COVAR_POP(:y, :x)")),
    Rule(exp.CovarSamp, paired("COVAR_SAMP(:y, :x)")),
    Rule(exp.Corr, paired(_CORR)),
    Rule(exp.RegrSlope, paired(_SLOPE)),
    Rule(
        exp.RegrIntercept,
        paired("CASE WHEN NOT ISNAN(REGR_INTERCEPT(:y, :x)) THEN REGR_INTERCEPT(:y, :x) END"),
    ),
    Rule(exp.RegrR2, paired("REGR_R2(:y, :x)")),
    Rule(exp.Median, median),
    Rule(exp.PercentileCont, quantile),
    Rule(exp.GroupConcat, text_of, "separator"),
    Rule(exp.Filter, filtered),
)
