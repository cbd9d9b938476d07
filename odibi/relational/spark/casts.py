"""Casts: how DuckDB rounds, reads text and writes it."""

from __future__ import annotations

import re

from sqlglot import exp

from odibi.relational.spark.build import Rule, spark, spark_type
from odibi.relational.spark.kinds import (
    FLOATS,
    TIMES,
    UNKNOWN,
    WHOLE,
    decimal,
    element,
    fields,
    is_decimal,
    is_number,
    kind,
    marked,
)
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES", "converted", "whole"]

_BLANK = r"[ \t\n\x0B\f\r]*"
_NUMBER = rf"^{_BLANK}-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?{_BLANK}$"
_WHOLE = rf"^{_BLANK}-?[0-9]+{_BLANK}$"
_HEXADECIMAL = rf"^{_BLANK}0[xX][0-9a-fA-F]{{1,16}}{_BLANK}$"
_BINARY = rf"^{_BLANK}0[bB][01]{{1,63}}{_BLANK}$"
_NAMED = rf"(?i)^{_BLANK}-?(inf|infinity|nan){_BLANK}$"
_DATE = r"^\s*([0-9]{1,6})([-/ ])([0-9]{1,2})\2([0-9]{1,2})"
_ZONE = r"(?: ?(?:Z|[+-][0-9]{1,2}(?::?[0-9]{2}){0,2})| +[A-Za-z][A-Za-z0-9_/+-]*)?"
_TIME = rf"(?:[ T]\s*([0-9]{{1,2}}):([0-9]{{1,2}})(?::([0-9]{{1,2}})(?:\.([0-9]{{0,6}})[0-9]*)?)?{_ZONE})?"
_ELSEWHEN = r"(?i)^\s*(-[0-9]+([-/ ])[0-9]+\2[0-9]|-?infinity\s*$|epoch\s*$|.*\(bc\)\s*$)"
"""Times that Spark cannot hold, or has no text for: an error, even where NULL is asked for."""


def converted(node: exp.Expr, target: str, *, safe: bool = False) -> exp.Expr:
    """The value cast as DuckDB casts it; ``safe`` gives NULL where that fails.

    Raises:
        NotPortable: DuckDB's cast cannot be had on Spark.
    """
    source = kind(node)
    if source == target:
        return node
    found = _cast(node, source, target, safe)
    if found is None:
        refuse(
            f"a cast of {source} to {target}",
            "Spark writes or reads it otherwise",
            "take it apart first",
            node,
        )
    return marked(found, target)


def _cast(node: exp.Expr, source: str, target: str, safe: bool) -> exp.Expr | None:
    plain = _plain(node, target, safe)
    if source == UNKNOWN:
        return _plain(exp.null(), target, safe)
    if isinstance(node, exp.Literal) and _is_plain(str(node.this), target):
        return plain
    if element(source) is not None or fields(source) is not None or target[-1] in "])":
        return (
            _nested(node, source, target, safe) if not is_decimal(target) else _to_decimal(node, target, safe)
        )
    if target == "VARCHAR":
        return _to_text(node, source)
    if target == "BOOLEAN":
        return _boolean(node, safe) if source == "VARCHAR" else plain if is_number(source) else None
    if target in WHOLE:
        return _to_whole(node, source, target, safe)
    if target in FLOATS:
        if source == "VARCHAR":
            clean = _clean(node)
            good = spark(":x RLIKE :n OR :x RLIKE :named", x=clean, n=_NUMBER, named=_NAMED)
            sql = "CASE WHEN LOWER(:x) LIKE '%nan%' THEN DOUBLE('NaN') ELSE :value END"
            value = spark(sql, x=clean, value=_plain(clean, target, safe))
            return _where(good, value, node, target, safe)
        return plain if is_number(source) or source == "BOOLEAN" else None
    if target in TIMES:
        if source == "VARCHAR" and target != "TIMESTAMP WITH TIME ZONE":
            return _to_time(node, target, safe)
        return plain if source in TIMES else None
    return None


_CONSTANTS = {
    "DATE": r"\d{4}-\d\d-\d\d",
    "TIMESTAMP": r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?",
    "TIMESTAMP WITH TIME ZONE": r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d{1,6})?)?([+-]\d\d(:\d\d)?)?)?",
    "BOOLEAN": r"true|false",
    "DOUBLE": r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?|(?i:[+-]?inf|nan)",
    **dict.fromkeys(WHOLE, r"[+-]?\d+"),
}
"""Texts that both read alike."""


def _is_plain(text: str, target: str) -> bool:
    pattern = r"[+-]?\d+(\.\d+)?" if is_decimal(target) else _CONSTANTS.get(target)
    return pattern is not None and re.fullmatch(pattern, text) is not None


def _plain(node: exp.Expr, target: str, safe: bool) -> exp.Expr:
    to = spark_type(target).copy()
    return exp.TryCast(this=node.copy(), to=to, safe=True) if safe else exp.Cast(this=node.copy(), to=to)


def _where(test: exp.Expr, value: exp.Expr, node: exp.Expr, target: str, safe: bool) -> exp.Expr:
    """The value where the test holds; elsewhere NULL, or an error as DuckDB raises it."""
    if safe:
        return spark("CASE WHEN :test THEN :value END", test=test, value=value)
    return spark(
        "CASE WHEN :test OR :x IS NULL THEN :value ELSE :error END",
        test=test,
        x=node,
        value=value,
        error=_error(node, target),
    )


def _error(node: exp.Expr, target: str) -> exp.Expr:
    said = spark(
        "RAISE_ERROR(CONCAT(:said, :x, :to))",
        said="could not convert the text '",
        x=node,
        to=f"' to {target}",
    )
    return exp.Cast(this=said, to=spark_type(target).copy())


# --- numbers ---------------------------------------------------------------------------------------


def whole(node: exp.Expr) -> exp.Expr:
    """A number without decimals, in its own type: a double to the even one of two, a decimal away from zero."""
    if kind(node) in FLOATS:
        return spark("RINT(:x)", x=node)
    return spark("ROUND(:x, 0)", x=node) if is_decimal(kind(node)) else node


def _to_whole(node: exp.Expr, source: str, target: str, safe: bool) -> exp.Expr | None:
    """Spark truncates what DuckDB rounds, and reads fewer texts as numbers."""
    if source == "VARCHAR":
        return _read_whole(node, target, safe)
    if not is_number(source):
        return _plain(node, target, safe) if source == "BOOLEAN" else None
    made = _plain(whole(node), target, safe)
    if source in FLOATS and target in ("BIGINT", "HUGEINT"):  # Spark takes 2 ** 63 for the largest
        top = spark(
            "RINT(:x) < CAST(:top AS DOUBLE)", x=node, top=f"{2**63 if target == 'BIGINT' else 10**38}"
        )
        far = exp.null() if safe else _plain(spark("RAISE_ERROR('a double is out of range')"), target, False)
        return spark(
            "CASE WHEN :top OR :x IS NULL THEN :made ELSE :far END", top=top, x=node, made=made, far=far
        )
    return made


def _read_whole(node: exp.Expr, target: str, safe: bool) -> exp.Expr:
    """Text as a whole number: decimals are rounded, 0x1F and 0b11 are read."""
    clean = _clean(node)
    # Digits after the 17th decimal decide nothing but would be rounded twice.
    cut = spark(r"REGEXP_REPLACE(:x, '(\\.[0-9]{17})[0-9]+', '$1')", x=clean)
    rounded = spark("ROUND(:x, 0)", x=_plain(cut, "DECIMAL(38,18)", safe))
    digits = r"CONV(REGEXP_EXTRACT(:x, '0[xXbB]([0-9a-fA-F]+)', 1), CASE WHEN :x RLIKE :hex THEN 16 ELSE 2 END, 10)"
    based = spark(f"CAST({digits} AS DECIMAL(20, 0))", x=clean, hex=_HEXADECIMAL)
    value = spark(
        "CASE WHEN :x RLIKE :whole THEN :short WHEN :x RLIKE :number THEN :long ELSE :based END",
        x=clean,
        whole=_WHOLE,
        short=_plain(clean, target, safe),
        number=_NUMBER,
        long=_plain(rounded, target, safe),
        based=_plain(based, target, safe),
    )
    good = spark(
        ":x RLIKE :n OR :x RLIKE :hex OR :x RLIKE :bin", x=clean, n=_NUMBER, hex=_HEXADECIMAL, bin=_BINARY
    )
    return _where(good, value, node, target, safe)


def _clean(node: exp.Expr) -> exp.Expr:
    """DuckDB reads 1_000 and +1 as numbers."""
    if isinstance(node, exp.Literal):
        return node
    return spark(r"REGEXP_REPLACE(:x, :p, '')", x=node, p=rf"(?<=[0-9a-fA-F])_(?=[0-9a-fA-F])|^{_BLANK}\+")


def _to_decimal(node: exp.Expr, target: str, safe: bool) -> exp.Expr | None:
    """DuckDB rounds the double times a power of ten, Spark the shortest text of the double."""
    source = kind(node)
    if source == "VARCHAR":
        clean = _clean(node)
        return _where(
            spark(":x RLIKE :n", x=clean, n=_NUMBER), _plain(clean, target, safe), node, target, safe
        )
    if source not in FLOATS:
        return _plain(node, target, safe) if is_number(source) or source == "BOOLEAN" else None
    width, scale = decimal(target) or (0, 0)
    digits = min(width, 37 - scale)  # so that Spark's product keeps its scale
    scaled = spark("ROUND(CAST(:x AS DOUBLE) * :m, 0)", x=node, m=_power_of_ten(scale))
    unscaled = _plain(_every_digit(scaled, safe=safe), f"DECIMAL({digits},0)", safe)
    unit = exp.cast(exp.Literal.string(f"1e-{scale}"), f"DECIMAL({max(scale, 1)},{scale})", dialect="duckdb")
    return _plain(spark(":x * :unit", x=unscaled, unit=unit), target, safe)


def _every_digit(node: exp.Expr, *, safe: bool) -> exp.Expr:
    """A whole double as a decimal of all its digits, of which Spark keeps the 17 that its text has."""
    high = "CAST(CAST(FLOOR(:x / 4294967296) AS BIGINT) AS DECIMAL(19, 0))"
    low = "CAST(:x - FLOOR(:x / 4294967296) * CAST(4294967296 AS DOUBLE) AS BIGINT)"
    exact = f"{high} * CAST(4294967296 AS DECIMAL(10, 0)) + {low}"
    return spark(
        f"CASE WHEN ABS(:x) < 1e28 THEN {exact} ELSE :far END",
        x=node,
        far=_plain(node, "DECIMAL(38,0)", safe),
    )


def _power_of_ten(exponent: int) -> exp.Expr:
    return exp.cast(exp.Literal.string(f"1e{exponent}"), "DOUBLE")


# --- text ------------------------------------------------------------------------------------------


def _to_text(node: exp.Expr, source: str) -> exp.Expr | None:
    plain = _plain(node, "VARCHAR", False)
    if source in FLOATS:
        return _text_of_double(node, source)
    if is_decimal(source):
        width, scale = decimal(source) or (0, 0)
        return spark(r"REGEXP_REPLACE(:x, '^(-?)0\\.', '$1.')", x=plain) if width == scale else plain
    if source == "TIMESTAMP WITH TIME ZONE":
        return spark("CONCAT(:x, '+00')", x=plain)
    return plain if source in (*WHOLE, "BOOLEAN", "DATE", "TIMESTAMP") else None


def _text_of_double(node: exp.Expr, source: str) -> exp.Expr:
    """DuckDB writes the fewest digits that read back, as 1e-05 below 1e-4 and from 1e16 on; Java as 1.0E-5.

    Java's own text has sometimes a digit too many, so fewer are tried first.
    """
    few, all_digits = (6, 8) if source == "FLOAT" else (14, 16)
    tries = [f"FORMAT_STRING('%.{digits}e', :x)" for digits in range(few, all_digits + 1)]
    kept = " ".join(f"WHEN CAST({each} AS {source}) = :x THEN {each}" for each in tries[:-1])
    shortest = spark(f"CASE {kept} ELSE {tries[-1]} END", x=node)
    mantissa = r"REGEXP_REPLACE(REGEXP_EXTRACT(:s, '^([^e]+)e', 1), '\\.?0+$', '')"
    plain = r"REGEXP_REPLACE(CAST(CAST(:s AS DECIMAL(38, 21)) AS STRING), '(\\.[0-9]+?)0*$', '$1')"
    return spark(
        "CASE WHEN :x IS NULL THEN NULL WHEN ISNAN(:x) THEN 'nan' WHEN :x = DOUBLE('Infinity') THEN 'inf' "
        "WHEN :x = DOUBLE('-Infinity') THEN '-inf' WHEN :x = 0 THEN CAST(:x AS STRING) "
        f"WHEN ABS(:x) >= 1e-4 AND ABS(:x) < 1e16 THEN {plain} "
        f"ELSE CONCAT({mantissa}, REGEXP_EXTRACT(:s, '(e.+)$', 1)) END",
        x=node,
        s=shortest,
    )


def _boolean(node: exp.Expr, safe: bool) -> exp.Expr:
    """DuckDB reads no blanks around true and false, Spark does."""
    false = "LOWER(:x) IN ('false', 'f', 'no', 'n', '0')"
    good = spark(f"LOWER(:x) IN ('true', 't', 'yes', 'y', '1') OR {false}", x=node)
    return _where(good, spark(f"NOT ({false})", x=node), node, "BOOLEAN", safe)


def _to_time(node: exp.Expr, target: str, safe: bool) -> exp.Expr:
    """Text as a date or time: both read 2024-01-05 10:00:00, DuckDB alone 2024/1/5, 24:00:00 and a zone it ignores."""
    pattern = f"{_DATE}{_TIME}\\s*$"
    year, month, day, hour, minute, second, fraction = (
        spark("REGEXP_EXTRACT(:x, :p, :n)", x=node, p=pattern, n=group) for group in (1, 3, 4, 5, 6, 7, 8)
    )
    rest = spark(
        "CONCAT(IF(:m = '', '0', :m), ':', IF(:s = '', '0', :s), '.', IF(:f = '', '0', :f))",
        m=minute,
        s=second,
        f=fraction,
    )
    midnight = spark(":h = '24' AND :rest RLIKE '^[0:.]+$'", h=hour, rest=rest)
    written = spark(
        "CONCAT(LPAD(:y, GREATEST(4, LENGTH(:y)), '0'), '-', :m, '-', :d, ' ', "
        "CASE WHEN :h = '' OR :midnight THEN '0' ELSE :h END, ':', :rest)",
        y=year, m=month, d=day, h=hour, midnight=midnight, rest=rest,
    )  # fmt: skip
    read = _plain(written, "TIMESTAMP", safe)
    value = spark(
        "CASE WHEN :midnight THEN :t + MAKE_INTERVAL(0, 0, 0, 1) ELSE :t END", midnight=midnight, t=read
    )
    if target == "DATE":
        value = exp.Cast(this=value, to=spark_type("DATE").copy())
    other = spark(":x RLIKE :p", x=node, p=_ELSEWHEN)
    value = spark(
        "CASE WHEN :other THEN :error ELSE :value END", other=other, error=_error(node, target), value=value
    )
    return _where(spark(":x RLIKE :p OR :other", x=node, p=pattern, other=other), value, node, target, safe)


# --- nested ----------------------------------------------------------------------------------------


def _nested(node: exp.Expr, source: str, target: str, safe: bool) -> exp.Expr | None:
    """Element by element and field by field; Spark would cast by its own rules, and fields by position."""
    old, new = element(source), element(target)
    if old is not None and new is not None:
        inner = converted(marked(exp.to_identifier("e"), old), new, safe=safe)
        return spark("TRANSFORM(:x, e -> :made)", x=node, made=inner)
    before, after = fields(source), fields(target)
    if before is None or after is None or [n.lower() for n in before] != [n.lower() for n in after]:
        return None
    made = [
        exp.PropertyEQ(
            this=exp.to_identifier(name, quoted=True),
            expression=converted(
                marked(
                    exp.Dot(this=node.copy(), expression=exp.to_identifier(name, quoted=True)), before_kind
                ),
                after_kind,
                safe=safe,
            ),
        )
        for name, (before_kind, after_kind) in zip(
            after, zip(before.values(), after.values(), strict=True), strict=True
        )
    ]
    return spark("CASE WHEN NOT :x IS NULL THEN :made END", x=node, made=exp.Struct(expressions=made))


# --- the rules -------------------------------------------------------------------------------------


def _explicit(node: exp.Expr) -> exp.Expr:
    """DuckDB's cast, which rounds where Spark truncates and writes doubles otherwise."""
    return converted(node.this, kind(node), safe=isinstance(node, exp.TryCast))


RULES: tuple[Rule, ...] = (
    Rule(exp.Cast, _explicit, "to"),
    Rule(exp.TryCast, _explicit, "to"),
)
