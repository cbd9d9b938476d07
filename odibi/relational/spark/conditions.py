"""Comparisons and choices: every value brought to the type in which DuckDB compares or returns it."""

from __future__ import annotations

from sqlglot import exp

from odibi.relational.spark.build import Rule, spark
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import UNKNOWN, decimal, element, fields, kind, known, marked
from odibi.relational.spark.refusal import refuse
from odibi.relational.spark.structure import cast_columns

__all__ = ["RULES"]


def _sides(node: exp.Expr) -> str:
    """The type in which the operands meet."""
    met: str | None = node.meta.get("common")
    if met is None:
        refuse(
            f"`{node.sql('duckdb')}`", "the types it compares cannot be found out", "cast both sides", node
        )
    if met == "INTERVAL":
        refuse("a comparison of intervals", "Spark has other intervals", "compare date_diff or epoch", node)
    return met


def _wide(node: exp.Expr, met: str) -> exp.Expr:
    """An operand in the type they meet in; decimals and whole numbers compare exactly as they are."""
    if known(node) == UNKNOWN and isinstance(node, exp.Null):
        return node
    width = decimal(met)
    if width and width[0] < 38 and decimal(kind(node)):
        return node
    return converted(node, met)


def compared(node: exp.Expr) -> exp.Expr:
    """Text beside a number or a date is read as one; nested values are compared for equality only."""
    met = _sides(node)
    ordered = isinstance(node, exp.GT | exp.GTE | exp.LT | exp.LTE)
    if met.startswith("MAP(") or (ordered and (element(met) or fields(met))):
        refuse(f"a comparison of {met}", "Spark puts NULL elsewhere in it", "compare what is in it", node)
    if isinstance(node.expression, exp.Any | exp.All):
        refuse("ANY and ALL", "Spark has none", "use IN or max()", node)
    return type(node)(this=_wide(node.this, met), expression=_wide(node.expression, met))


def between(node: exp.Expr) -> exp.Expr:
    """As two comparisons."""
    met = _sides(node)
    if element(met) or fields(met):
        refuse("this BETWEEN", "Spark compares otherwise", "write two comparisons", node)
    low, high = (_wide(node.args[side], met) for side in ("low", "high"))
    return exp.Between(this=_wide(node.this, met), low=low, high=high)


def among(node: exp.Expr) -> exp.Expr:
    """IN a list of values; IN a subquery stays."""
    query = node.args.get("query")
    if query is not None:
        return among_rows(node, query)
    met = _sides(node)
    if element(met) or fields(met):
        refuse(f"IN over {met}", "Spark compares nested values otherwise", "compare what is in it", node)
    return exp.In(this=_wide(node.this, met), expressions=[_wide(each, met) for each in node.expressions])


def among_rows(node: exp.Expr, query: exp.Expr) -> exp.Expr:
    """IN (SELECT ...): value and column in the type in which they meet."""
    met = _sides(node)
    if element(met) or fields(met):
        refuse(f"IN over {met}", "Spark compares nested values otherwise", "compare what is in it", node)
    rows = cast_columns(query, [met]) if known(query) != met else query
    return exp.In(this=_wide(node.this, met) if known(query) != known(node.this) else node.this, query=rows)


def chosen(node: exp.Expr) -> exp.Expr:
    """Branches in the type of the whole; an operand in the type it is compared in."""
    result, operand = kind(node), node.this
    if operand is not None:
        met = _sides(node)
        operand = _wide(operand, met)
        for branch in node.args["ifs"]:
            branch.set("this", _wide(branch.this, met))
    for branch in node.args["ifs"]:
        branch.set("true", converted(branch.args["true"], result))
    default = node.args.get("default")
    made = exp.Case(
        this=operand, ifs=node.args["ifs"], default=None if default is None else converted(default, result)
    )
    for branch in made.args["ifs"]:
        if operand is None:
            branch.set("this", _truth(branch.this))
    return made


def _truth(node: exp.Expr) -> exp.Expr:
    """A condition: numbers are true unless zero."""
    return converted(node, "BOOLEAN")


def if_(node: exp.Expr) -> exp.Expr:
    """As a CASE; inside a CASE it is a branch."""
    if isinstance(node.parent, exp.Case):
        return node
    result, default = kind(node), node.args.get("false")
    branch = exp.If(this=_truth(node.this), true=converted(node.args["true"], result))
    return exp.Case(ifs=[branch], default=None if default is None else converted(default, result))


def first_known(node: exp.Expr) -> exp.Expr:
    """coalesce() in the type of the whole."""
    values = [converted(each, kind(node)) for each in (node.this, *node.expressions)]
    return exp.Coalesce(this=values[0], expressions=values[1:])


def extreme(node: exp.Expr) -> exp.Expr:
    """greatest() and least() in the type of the whole; Spark wants two values."""
    result = kind(node)
    if element(result) or fields(result):
        refuse(f"`{node.key}` of {result}", "Spark puts NULL elsewhere in it", "compare what is in it", node)
    values = [converted(each, result) for each in (node.this, *node.expressions)]
    return type(node)(this=values[0], expressions=values[1:] or [values[0].copy()])


def null_if(node: exp.Expr) -> exp.Expr:
    """The value in its own type, compared in another."""
    met, value = _sides(node), converted(node.this, kind(node))
    if met == kind(node) == known(node.expression):
        return exp.Nullif(this=value, expression=node.expression)
    sql = "CASE WHEN :a = :b THEN NULL ELSE :value END"
    return spark(sql, a=_wide(node.this, met), b=_wide(node.expression, met), value=value)


def connected(node: exp.Expr) -> exp.Expr:
    """AND, OR: numbers are true unless zero."""
    return type(node)(this=_truth(node.this), expression=_truth(node.expression))


def denied(node: exp.Expr) -> exp.Expr:
    """NOT: numbers are true unless zero."""
    return exp.Not(this=_truth(node.this))


def filtered(node: exp.Expr) -> exp.Expr:
    """WHERE and its like: numbers are true unless zero."""
    return type(node)(this=_truth(node.this))


def is_(node: exp.Expr) -> exp.Expr:
    """IS NULL, IS TRUE, IS FALSE."""
    if isinstance(node.expression, exp.Boolean):
        return exp.Is(this=marked(exp.Paren(this=_truth(node.this)), "BOOLEAN"), expression=node.expression)
    return node


RULES: tuple[Rule, ...] = (
    *(Rule(each, compared) for each in (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)),
    Rule(exp.NullSafeEQ, compared),
    Rule(exp.NullSafeNEQ, compared),
    Rule(exp.Between, between, "low high"),
    Rule(exp.In, among, "query"),
    Rule(exp.Case, chosen, "ifs default"),
    Rule(exp.If, if_, "true false"),
    Rule(exp.Coalesce, first_known),
    Rule(exp.Greatest, extreme),
    Rule(exp.Least, extreme),
    Rule(exp.Nullif, null_if),
    Rule(exp.And, connected),
    Rule(exp.Or, connected),
    Rule(exp.Not, denied),
    Rule(exp.Where, filtered),
    Rule(exp.Having, filtered),
    Rule(exp.Qualify, filtered),
    Rule(exp.Is, is_),
)
