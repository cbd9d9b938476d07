"""Numbers: widths that do not overflow early, scales that are not lost, rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlglot import exp

from odibi.relational.spark.build import Rule, as_type, spark
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import FLOATS, WHOLE, decimal, is_decimal, is_number, kind
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES", "arithmetic"]

EXACT_DOUBLE = 9007199254740992
"""2 ** 53: from here on doubles are whole numbers."""


def with_scale(node: exp.Expr, width: int) -> exp.Expr:
    """A decimal or whole number as a decimal of its own scale and at most that width."""
    own, scale = decimal(kind(node)) or (38, 0)
    return as_type(node, f"DECIMAL({max(min(own, width), scale, 1)},{scale})")


def _sign(node: exp.Expr, signs: Mapping[type[exp.Expr], str]) -> str:
    return signs[type(node)]


def arithmetic(node: exp.Expr) -> exp.Expr:
    """``+ - *``: operands in the type DuckDB adds them in, decimals so that Spark keeps every digit."""
    left, right, result = node.this, node.expression, kind(node)
    sign = _sign(node, {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"})
    if result in FLOATS or result in WHOLE[:-1]:
        return spark(f":a {sign} :b", a=converted(left, result), b=converted(right, result))
    if decimal(result) is None:
        refuse(
            f"`{sign}` giving {result}", "Spark has no such operator", "use functions of lists or dates", node
        )
    left, right = (_exact(side) for side in (left, right))
    if sign == "*":
        widths = _factors(_digits(left), _digits(right))
    else:
        _, scale = decimal(result) or (38, 0)
        first, second = (37 - scale + (decimal(kind(side)) or (0, 0))[1] for side in (left, right))
        widths = first, second
    a, b = (with_scale(side, width) for side, width in zip((left, right), widths, strict=True))
    return as_type(spark(f":a {sign} :b", a=a, b=b), result)


def _exact(node: exp.Expr) -> exp.Expr:
    """A number that is no double: text and truth become one."""
    return (
        node if decimal(kind(node)) else converted(node, "INTEGER" if kind(node) != "VARCHAR" else "BIGINT")
    )


def _digits(node: exp.Expr) -> tuple[int, int]:
    """Width and scale; a constant is as wide as it is long."""
    width, scale = decimal(kind(node)) or (38, 0)
    if isinstance(node, exp.Literal):
        return max(len(str(node.this).replace(".", "")), scale, 1), scale
    return width, scale


def _factors(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """Widths for two factors whose product fits: Spark drops decimals of wider ones, this overflows early."""
    widths, over = [left[0], right[0]], left[0] + right[0] - 37
    while over > 0:
        roomiest = max((0, 1), key=lambda side: widths[side] - (left, right)[side][1])
        widths[roomiest] -= 1
        over -= 1
    return widths[0], widths[1]


def divided(node: exp.Expr) -> exp.Expr:
    """``/`` divides doubles, whatever it is given; so does ``//`` of numbers that are not whole."""
    result = kind(node)
    if result not in FLOATS:
        refuse(f"`/` giving {result}", "Spark has no such operator", "divide numbers", node)
    if result == "FLOAT":
        wide = (converted(converted(side, "FLOAT"), "DOUBLE") for side in (node.this, node.expression))
        a, b = wide
        return as_type(spark(":a / :b", a=a, b=b), "FLOAT")
    return spark(":a / :b", a=converted(node.this, "DOUBLE"), b=converted(node.expression, "DOUBLE"))


def divided_whole(node: exp.Expr) -> exp.Expr:
    """``//`` of whole numbers is BIGINT on Spark."""
    if kind(node) not in WHOLE:
        return divided(node)
    return as_type(spark(":a DIV :b", a=node.this, b=node.expression), kind(node))


def remainder(node: exp.Expr) -> exp.Expr:
    """``%`` in the type that DuckDB computes it in."""
    result = kind(node)
    a, b = node.this, node.expression
    if is_decimal(result):
        a, b = (with_scale(_exact(side), 38) for side in (a, b))
    else:
        a, b = converted(a, result), converted(b, result)
    return as_type(spark(":a % :b", a=a, b=b), result)


def negated(node: exp.Expr) -> exp.Expr:
    """A minus, in the type DuckDB gives it."""
    if isinstance(node.this, exp.Literal):
        return node
    if kind(node) == "INTERVAL":
        refuse("an interval with a minus", "Spark negates no such interval", "subtract it", node)
    return spark("- :x", x=converted(node.this, kind(node)))


def power(node: exp.Expr) -> exp.Expr:
    """C says 1 where one side is 1 or both sides are extreme, Java NaN."""
    return spark(
        "CASE WHEN :x = 1 AND NOT :y IS NULL THEN CAST(1 AS DOUBLE) "
        "WHEN :x = -1 AND ABS(:y) = DOUBLE('Infinity') THEN CAST(1 AS DOUBLE) ELSE POWER(:x, :y) END",
        x=converted(node.this, "DOUBLE"),
        y=converted(node.expression, "DOUBLE"),
    )


def bits(node: exp.Expr) -> exp.Expr:
    """``& |`` and xor() in DuckDB's type."""
    sign = _sign(node, {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "^"})
    result = kind(node)
    if result not in WHOLE[:-1]:
        refuse(f"`{sign}` of {result}", "Spark has none", "use whole numbers", node)
    return spark(f":a {sign} :b", a=converted(node.this, result), b=converted(node.expression, result))


def flipped(node: exp.Expr) -> exp.Expr:
    """``~`` of a whole number."""
    if kind(node) not in WHOLE[:-1]:
        refuse(f"`~` of {kind(node)}", "Spark has none", "use whole numbers", node)
    return spark("~ :x", x=converted(node.this, kind(node)))


def shifted(node: exp.Expr) -> exp.Expr:
    """Spark's shifts wrap around, DuckDB's overflow."""
    refuse("a shift of bits", "it wraps around on Spark and overflows on DuckDB", "multiply or use //", node)


def doubled(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for a function of doubles that both compute alike."""

    def rule(node: exp.Expr) -> exp.Expr:
        return spark(f"{name}(:x)", x=converted(node.this, "DOUBLE"))

    return rule


def angle(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for sine and its like: of infinity an error on DuckDB, NaN on Spark."""

    def rule(node: exp.Expr) -> exp.Expr:
        said = f"CAST(RAISE_ERROR('{name.lower()} of infinity') AS DOUBLE)"
        sql = f"CASE WHEN ABS(:x) = DOUBLE('Infinity') THEN {said} ELSE {name}(:x) END"
        return spark(sql, x=converted(node.this, "DOUBLE"))

    return rule


def logarithm(node: exp.Expr) -> exp.Expr:
    """One argument means base 10, on Spark base e; a quotient of logarithms misses the powers of ten."""
    base, x = (node.this, node.expression) if node.expression else (exp.Literal.number(10), node.this)
    if isinstance(base, exp.Literal) and base.this == "10":
        return exp.Anonymous(this="LOG10", expressions=[converted(x, "DOUBLE")])
    return spark("LOG(:b, :x)", b=converted(base, "DOUBLE"), x=converted(x, "DOUBLE"))


def angle_of_point(node: exp.Expr) -> exp.Expr:
    """The sign of a negative zero counts on DuckDB: below the x-axis, so the angle is -pi."""
    return spark(
        "CASE WHEN :y = 0 AND CAST(:y AS STRING) = '-0.0' AND (:x < 0 OR CAST(:x AS STRING) = '-0.0') THEN -PI() "
        "WHEN :y = 0 AND CAST(:x AS STRING) = '-0.0' THEN PI() ELSE ATAN2(:y, :x) END",
        y=converted(node.this, "DOUBLE"),
        x=converted(node.expression, "DOUBLE"),
    )


def absolute(node: exp.Expr) -> exp.Expr:
    """The type stays."""
    return spark("ABS(:x)", x=converted(node.this, kind(node)))


def stepped(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for CEIL and FLOOR, which are BIGINT on Spark: NaN is 0 there and infinity the largest."""

    def rule(node: exp.Expr) -> exp.Expr:
        result = kind(node)
        if result not in FLOATS:
            return as_type(spark(f"{name}(:x)", x=node.this), result)
        near = f"CAST({name}(:x) AS {result})"
        sql = f"CASE WHEN ABS(:x) < {EXACT_DOUBLE} THEN {near} ELSE :x END"
        return spark(sql, x=converted(node.this, result))

    return rule


def rounded(node: exp.Expr) -> exp.Expr:
    """DuckDB rounds the double times a power of ten, Spark the shortest text of the double."""
    result, digits = kind(node), node.args.get("decimals")
    places = 0 if digits is None else _constant(digits)
    if places is None:
        refuse(
            "round() to a number of digits that is no constant",
            "Spark needs a constant",
            "write a number",
            node,
        )
    if result not in FLOATS:
        return as_type(
            spark(
                "ROUND(:x, :n)",
                x=converted(node.this, result) if not is_number(kind(node.this)) else node.this,
                n=places,
            ),
            result,
        )
    value = converted(node.this, "DOUBLE")
    if places == 0:
        made = spark("ROUND(:x, 0)", x=value)
    else:
        m = exp.cast(exp.Literal.string(f"1e{abs(places)}"), "DOUBLE")
        once = "ROUND(:x * :m, 0) / :m" if places > 0 else "ROUND(:x / :m, 0) * :m"
        made = spark(
            f"CASE WHEN ABS(:x) < {EXACT_DOUBLE} THEN {once} ELSE :x END" if places > 0 else once,
            x=value,
            m=m,
        )
    return made if result == "DOUBLE" else as_type(made, result)


def _constant(node: exp.Expr) -> int | None:
    try:
        return int(node.to_py())
    except (ValueError, TypeError):
        return None


def truncated(node: exp.Expr) -> exp.Expr:
    """Spark's trunc() is of dates."""
    result = kind(node)
    if node.args.get("decimals") is not None:
        refuse("trunc() to a number of digits", "Spark has none", "divide, trunc and multiply", node)
    x = converted(node.this, result) if not is_decimal(result) else node.this
    if result in FLOATS:
        near = f"CAST(CAST(:x AS BIGINT) AS {result})"
        return spark(f"CASE WHEN ABS(:x) < {EXACT_DOUBLE} THEN {near} ELSE :x END", x=x)
    return (
        as_type(spark("CASE WHEN :x < 0 THEN CEIL(:x) ELSE FLOOR(:x) END", x=x), result)
        if is_decimal(result)
        else x
    )


def sign(node: exp.Expr) -> exp.Expr:
    """0 for NaN, as a TINYINT."""
    x = node.this if is_number(kind(node.this)) else converted(node.this, "DOUBLE")
    positive = ":x > 0 AND NOT ISNAN(:x)" if kind(x) in FLOATS else ":x > 0"
    sql = f"CAST(CASE WHEN :x IS NULL THEN NULL WHEN {positive} THEN 1 WHEN :x < 0 THEN -1 ELSE 0 END AS TINYINT)"
    return spark(sql, x=x)


def tested(sql: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for a question about a double; NULL has no answer."""

    def rule(node: exp.Expr) -> exp.Expr:
        value = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
        if not is_number(kind(value)):
            refuse(
                f"`{node.sql('duckdb')}` of {kind(value)}",
                "Spark holds no infinite date",
                "ask numbers only",
                node,
            )
        return spark(sql, x=converted(value, "DOUBLE"))

    return rule


def circle(_: exp.Expr) -> exp.Expr:
    """The same number."""
    return spark("PI()")


RULES: tuple[Rule, ...] = (
    Rule(exp.Mul, arithmetic),
    Rule(exp.Div, divided),
    Rule(exp.IntDiv, divided_whole),
    Rule(exp.Mod, remainder),
    Rule(exp.Neg, negated),
    Rule(exp.Pow, power),
    Rule(exp.BitwiseAnd, bits),
    Rule(exp.BitwiseOr, bits),
    Rule(exp.BitwiseXor, bits),
    Rule(exp.BitwiseNot, flipped),
    Rule(exp.BitwiseLeftShift, shifted),
    Rule(exp.BitwiseRightShift, shifted),
    Rule(exp.Abs, absolute),
    Rule(exp.Ceil, stepped("CEIL")),
    Rule(exp.Floor, stepped("FLOOR")),
    Rule(exp.Round, rounded, "decimals"),
    Rule(exp.Trunc, truncated),
    Rule(exp.Sign, sign),
    Rule(exp.Sqrt, doubled("SQRT")),
    Rule(exp.Cbrt, doubled("CBRT")),
    Rule(exp.Exp, doubled("EXP")),
    Rule(exp.Ln, doubled("LN")),
    Rule(exp.Log, logarithm),
    Rule(exp.Sin, angle("SIN")),
    Rule(exp.Cos, angle("COS")),
    Rule(exp.Tan, angle("TAN")),
    Rule(exp.Atan, doubled("ATAN")),
    Rule(exp.Atan2, angle_of_point),
    Rule(exp.Degrees, doubled("DEGREES")),
    Rule(exp.Radians, doubled("RADIANS")),
    Rule(exp.Pi, circle),
    Rule(exp.IsNan, tested("CASE WHEN NOT :x IS NULL THEN ISNAN(:x) END")),
    Rule(exp.IsInf, tested("ABS(:x) = DOUBLE('Infinity')")),
    Rule(
        "isfinite", tested("CASE WHEN NOT :x IS NULL THEN NOT ISNAN(:x) AND ABS(:x) < DOUBLE('Infinity') END")
    ),
)
