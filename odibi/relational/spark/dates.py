"""Dates and times: boundaries counted, naive timestamps, intervals added month by month."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from zoneinfo import available_timezones

from sqlglot import exp

from odibi.relational.spark.build import Rule, spark, spark_type
from odibi.relational.spark.casts import converted
from odibi.relational.spark.formats import parsed_time, written_time
from odibi.relational.spark.kinds import TIMES, is_literal, kind
from odibi.relational.spark.numbers import arithmetic
from odibi.relational.spark.refusal import refuse

__all__ = ["RULES"]

_MONTHS = {"YEAR": 12, "QUARTER": 3, "MONTH": 1, "DECADE": 120, "CENTURY": 1200, "MILLENNIUM": 12000}
_DAYS = {"WEEK": 7, "DAY": 1}
_MICROS = {
    "HOUR": 3_600_000_000,
    "MINUTE": 60_000_000,
    "SECOND": 1_000_000,
    "MILLISECOND": 1000,
    "MICROSECOND": 1,
}

_PARTS = {
    "YEAR": "YEAR(:x)", "QUARTER": "QUARTER(:x)", "MONTH": "MONTH(:x)", "DAY": "DAY(:x)", "WEEK": "WEEKOFYEAR(:x)",
    "DAYOFYEAR": "DAYOFYEAR(:x)", "DAYOFWEEK": "DAYOFWEEK(:x) - 1", "ISODOW": "WEEKDAY(:x) + 1",
    "ISOYEAR": "EXTRACT(YEAROFWEEK FROM :x)", "HOUR": "HOUR(:x)", "MINUTE": "MINUTE(:x)", "SECOND": "SECOND(:x)",
    "MILLISECOND": "CAST(EXTRACT(SECOND FROM :x) * 1000 AS INT)",
    "MICROSECOND": "CAST(EXTRACT(SECOND FROM :x) * 1000000 AS INT)",
}  # fmt: skip
"""A part of a date or time on Spark; DuckDB's are BIGINT."""

_NAMES = {
    "YEARS": "YEAR", "Y": "YEAR", "YR": "YEAR", "YRS": "YEAR", "QUARTERS": "QUARTER", "MONTHS": "MONTH", "MON": "MONTH",
    "MONS": "MONTH", "D": "DAY", "DAYS": "DAY", "DAYOFMONTH": "DAY", "WEEKS": "WEEK", "W": "WEEK", "WEEKOFYEAR": "WEEK",
    "DOY": "DAYOFYEAR", "DOW": "DAYOFWEEK", "WEEKDAY": "DAYOFWEEK", "HOURS": "HOUR", "H": "HOUR", "HR": "HOUR",
    "HRS": "HOUR", "MINUTES": "MINUTE", "MIN": "MINUTE", "MINS": "MINUTE", "SECONDS": "SECOND", "SEC": "SECOND",
    "SECS": "SECOND", "S": "SECOND", "MILLISECONDS": "MILLISECOND", "MS": "MILLISECOND", "MSEC": "MILLISECOND",
    "MICROSECONDS": "MICROSECOND", "US": "MICROSECOND", "DECADES": "DECADE",
}  # fmt: skip


def _unit(node: exp.Expr, of: exp.Expr) -> str:
    """The name of a part, which has to be a constant."""
    if not isinstance(node, exp.Var | exp.Literal | exp.Identifier | exp.WeekStart):
        refuse(f"`{of.sql('duckdb')}`", "the part is no constant", "write it as text", of)
    name = str(node.name).upper()
    return _NAMES.get(name, name)


def _time(node: exp.Expr) -> exp.Expr:
    """The argument as a date or time; text is a timestamp."""
    if kind(node) in TIMES:
        return node
    if kind(node) == "INTERVAL":
        refuse("a part of an interval", "Spark has other intervals", "use date_diff", node)
    return converted(node, "TIMESTAMP")


def _naive(node: exp.Expr) -> exp.Expr:
    """As a timestamp without zone."""
    return converted(_time(node), "TIMESTAMP")


# --- parts -----------------------------------------------------------------------------------------


def _part(name: str, value: exp.Expr, node: exp.Expr) -> exp.Expr:
    if name == "EPOCH":
        return spark("UNIX_MICROS(CAST(:x AS TIMESTAMP_LTZ)) / CAST(1000000 AS DOUBLE)", x=_time(value))
    if name not in _PARTS:
        refuse(
            f"the part {name.lower()!r} of a time",
            "Spark has no such part",
            "compute it from the others",
            node,
        )
    return spark(
        f"CAST({_PARTS[name]} AS BIGINT)", x=_naive(value) if name.endswith("SECOND") else _time(value)
    )


def named_part(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for year(), hour() and their like."""

    def rule(node: exp.Expr) -> exp.Expr:
        return _part(name, node.expressions[0] if isinstance(node, exp.Anonymous) else node.this, node)

    return rule


def extracted(node: exp.Expr) -> exp.Expr:
    """extract(part FROM time)."""
    return _part(_unit(node.this, node), node.expression, node)


def date_part(node: exp.Expr) -> exp.Expr:
    """The part of a time that is named by a text."""
    return _part(_unit(node.expressions[0], node), node.expressions[1], node)


def day_name(pattern: str) -> Callable[[exp.Expr], exp.Expr]:
    """A rule for the English name of a day or month; Spark's own functions abbreviate it."""

    def rule(node: exp.Expr) -> exp.Expr:
        return spark(f"DATE_FORMAT(:x, '{pattern}')", x=_time(node.this))

    return rule


def last_day(node: exp.Expr) -> exp.Expr:
    """Of a timestamp too."""
    return spark("LAST_DAY(CAST(:x AS DATE))", x=_time(node.this))


# --- truncation and difference ---------------------------------------------------------------------


def truncated(node: exp.Expr) -> exp.Expr:
    """Of a date it is a timestamp; Spark's has a zone."""
    unit = _unit(node.args["unit"], node)
    if unit not in (
        "YEAR",
        "QUARTER",
        "MONTH",
        "WEEK",
        "DAY",
        "HOUR",
        "MINUTE",
        "SECOND",
        "MILLISECOND",
        "MICROSECOND",
    ):
        refuse(
            f"date_trunc({unit.lower()!r}, ...)", "Spark has no such part", "use year to microsecond", node
        )
    return converted_like(spark(f"DATE_TRUNC('{unit}', :x)", x=_time(node.this)), node)


def converted_like(made: exp.Expr, node: exp.Expr) -> exp.Expr:
    """Cast to what DuckDB says the node is: DATE_TRUNC of Spark keeps a zone where there is none."""
    return exp.Cast(this=made, to=spark_type(kind(node)).copy())


def difference(node: exp.Expr) -> exp.Expr:
    """How many boundaries lie between; Spark counts whole parts elapsed."""
    unit = _unit(node.args["unit"], node)
    start, end = _naive(node.expression), _naive(node.this)
    if unit in _MONTHS:
        months = "(YEAR(:b) * 12 + MONTH(:b) - 1) {op} {n} - (YEAR(:a) * 12 + MONTH(:a) - 1) {op} {n}"
        made = months.format(op="DIV", n=_MONTHS[unit])
    elif unit == "WEEK":  # whole weeks elapsed, the only part that DuckDB counts so
        made = "DATEDIFF(CAST(:b AS DATE), CAST(:a AS DATE)) DIV 7"
    elif unit == "DAY":
        made = "DATEDIFF(CAST(:b AS DATE), CAST(:a AS DATE))"
    elif unit in _MICROS:
        size = _MICROS[unit]
        micros = "FLOOR(UNIX_MICROS(CAST({x} AS TIMESTAMP_LTZ)) / CAST({n} AS DECIMAL(20, 0)))"
        made = f"{micros.format(x=':b', n=size)} - {micros.format(x=':a', n=size)}"
    else:
        refuse(f"date_diff({unit.lower()!r}, ...)", "Spark has no such part", "use year to microsecond", node)
    return spark(f"CAST({made} AS BIGINT)", a=start, b=end)


def seconds(node: exp.Expr) -> exp.Expr:
    """With the fraction, which Spark leaves out."""
    value = node.this.unnest()
    if kind(value) == "INTERVAL" and isinstance(value, exp.Sub):
        sql = "(UNIX_MICROS(CAST(:a AS TIMESTAMP_LTZ)) - UNIX_MICROS(CAST(:b AS TIMESTAMP_LTZ))) / CAST(1000000 AS DOUBLE)"
        return spark(sql, a=value.this, b=value.expression)
    return _part("EPOCH", value, node)


# --- making ----------------------------------------------------------------------------------------


def made_date(node: exp.Expr) -> exp.Expr:
    """An error where there is no such date, on both."""
    parts = {
        name: converted(node.args[name], "INTEGER")
        for name in ("year", "month", "day")
        if node.args.get(name)
    }
    if len(parts) != 3:
        refuse("make_date() of one value", "Spark takes three", "give year, month and day", node)
    return spark("MAKE_DATE(:year, :month, :day)", **parts)


def made_timestamp(node: exp.Expr) -> exp.Expr:
    """Seconds have six decimals."""
    names = ("year", "month", "day", "hour", "min", "sec")
    if any(node.args.get(name) is None for name in names):
        refuse("make_timestamp() of one value", "Spark takes six", "give year to seconds", node)
    parts = {name: converted(node.args[name], "INTEGER") for name in names[:-1]}
    whole = converted(node.args["sec"], "DOUBLE")
    return spark(
        "MAKE_TIMESTAMP_NTZ(:year, :month, :day, :hour, :min, CAST(ROUND(:sec * 1000000, 0) / 1000000 AS DECIMAL(16, 6)))",
        **parts,
        sec=whole,
    )


# --- arithmetic ------------------------------------------------------------------------------------


def added(node: exp.Expr) -> exp.Expr:
    """A date and days, a time and an interval; else numbers."""
    left, right = node.this, node.expression
    kinds = {kind(left), kind(right)}
    minus = isinstance(node, exp.Sub)
    if not kinds & {*TIMES, "INTERVAL"}:
        return arithmetic(node)
    if "INTERVAL" in kinds and kinds & set(TIMES):
        time, interval = (left, right) if kind(right) == "INTERVAL" else (right, left)
        return _shifted(time, interval, node, minus=minus)
    if kinds == {"DATE"} and minus:
        return spark("CAST(DATEDIFF(:a, :b) AS BIGINT)", a=left, b=right)
    if kind(node) == "DATE":
        date, days = (left, right) if kind(left) == "DATE" else (right, left)
        sql = "DATE_SUB(:d, :n)" if minus else "DATE_ADD(:d, :n)"
        return spark(sql, d=date, n=converted(days, "INTEGER"))
    if kind(node) == "INTERVAL" and minus and isinstance(node.parent, exp.TimeToUnix | exp.Paren):
        return exp.Sub(this=converted(left, "TIMESTAMP"), expression=converted(right, "TIMESTAMP"))
    refuse(
        f"`{node.sql('duckdb')}`",
        "it is an interval, which Spark keeps otherwise",
        "use date_diff or epoch",
        node,
    )
    return None


def _shifted(time: exp.Expr, interval: exp.Expr, node: exp.Expr, *, minus: bool) -> exp.Expr:
    """Months are added first, cut to the last day, then days, then the time of day."""
    interval = interval.unnest()
    if not isinstance(interval, exp.Interval):
        refuse(f"`{node.sql('duckdb')}`", "the interval is not written out", "write INTERVAL (n) DAY", node)
    made = converted(time, kind(node))
    amounts = _amounts(interval, node)
    for name, template in _STEPS:
        parts = [spark(":n * :size", n=number, size=size) for what, number, size in amounts if what == name]
        if parts:
            whole = reduce(lambda a, b: spark(":a + :b", a=a, b=b), parts)
            made = spark(f":x {'-' if minus else '+'} {template}", x=made, n=whole)
    return made


_STEPS = (
    ("months", "MAKE_INTERVAL(0, :n, 0, 0)"),
    ("days", "MAKE_INTERVAL(0, 0, 0, :n)"),
    ("micros", "MAKE_INTERVAL(0, 0, 0, 0, 0, 0, CAST(ROUND(:n, 0) / 1000000 AS DECIMAL(18, 6)))"),
)
"""What an interval adds, in order."""


def _amounts(interval: exp.Interval, node: exp.Expr) -> list[tuple[str, exp.Expr, int]]:
    """The parts of an interval: what they add to, how many, of which size."""
    number, unit = interval.this, interval.args.get("unit")
    written = str(number.this) if isinstance(number, exp.Literal) else ""
    if unit is not None:
        pairs = [(exp.Literal.number(written) if written else number, _unit(unit, node))]
    else:
        found = re.findall(r"([+-]?[\d.]+)\s*([A-Za-z]+)", written)
        if re.sub(r"([+-]?[\d.]+)\s*([A-Za-z]+)\s*,?", "", written).strip() or not found:
            refuse(f"INTERVAL {written!r}", "Spark reads other texts", "write INTERVAL '2 days'", node)
        pairs = [
            (
                exp.convert(int(count) if count.lstrip("+-").isdigit() else float(count)),
                _NAMES.get(name.upper(), name.upper()),
            )
            for count, name in found
        ]
    return [_amount(count, name, node) for count, name in pairs]


def _amount(number: exp.Expr, unit: str, node: exp.Expr) -> tuple[str, exp.Expr, int]:
    for what, sizes in (("months", _MONTHS), ("days", _DAYS), ("micros", _MICROS)):
        if unit in sizes:
            if what == "micros":
                return what, spark("CAST(:n AS DECIMAL(24, 6))", n=number), sizes[unit]
            whole = number if is_literal(number) else converted(number, "INTEGER")
            if "." in whole.sql() and is_literal(whole):
                break
            return what, whole, sizes[unit]
    refuse(
        f"an interval of {number.sql()} {unit.lower()}", "Spark has none", "use whole years to seconds", node
    )
    return None


def at_zone(node: exp.Expr) -> exp.Expr:
    """Where clocks are turned back, DuckDB means the later of two times, Spark the earlier."""
    zone = node.args["zone"]
    if not isinstance(zone, exp.Literal) or str(zone.this) not in available_timezones():
        refuse(
            f"the zone {zone.sql('duckdb')}",
            "it is no constant from the list of zones",
            "write 'Europe/Berlin'",
            node,
        )
    x = _time(node.this)
    if kind(x) == "TIMESTAMP WITH TIME ZONE":
        return spark("CAST(FROM_UTC_TIMESTAMP(:x, :z) AS TIMESTAMP_NTZ)", x=x, z=zone)
    first = spark("TO_UTC_TIMESTAMP(CAST(:x AS TIMESTAMP_LTZ), :z)", x=x, z=zone)
    later = "FROM_UTC_TIMESTAMP(:f + MAKE_INTERVAL(0, 0, 0, 0, 0, {m}), :z) = CAST(:x AS TIMESTAMP_LTZ)"
    shift = "MAKE_INTERVAL(0, 0, 0, 0, 0, CASE WHEN {hour} THEN 60 WHEN {half} THEN 30 ELSE 0 END)"
    return spark(
        f":f + {shift.format(hour=later.format(m=60), half=later.format(m=30))}", f=first, x=x, z=zone
    )


def interval(node: exp.Expr) -> exp.Expr:
    """Seen by what adds it."""
    return node


RULES: tuple[Rule, ...] = (
    Rule(exp.Add, added),
    Rule(exp.Sub, added),
    Rule(exp.Interval, interval, "unit"),
    Rule(exp.AtTimeZone, at_zone, "zone"),
    Rule(exp.Extract, extracted),
    Rule("date_part", date_part),
    Rule("datepart", date_part),
    Rule(exp.Year, named_part("YEAR")),
    Rule(exp.Quarter, named_part("QUARTER")),
    Rule(exp.Month, named_part("MONTH")),
    Rule(exp.Day, named_part("DAY")),
    Rule(exp.DayOfMonth, named_part("DAY")),
    Rule(exp.DayOfWeek, named_part("DAYOFWEEK")),
    Rule("weekday", named_part("DAYOFWEEK")),
    Rule(exp.DayOfWeekIso, named_part("ISODOW")),
    Rule(exp.DayOfYear, named_part("DAYOFYEAR")),
    Rule(exp.Week, named_part("WEEK")),
    Rule(exp.WeekOfYear, named_part("WEEK")),
    Rule(exp.Hour, named_part("HOUR")),
    Rule(exp.Minute, named_part("MINUTE")),
    Rule(exp.Second, named_part("SECOND")),
    Rule(exp.TimeToUnix, seconds),
    Rule(exp.Dayname, day_name("EEEE")),
    Rule(exp.Monthname, day_name("MMMM")),
    Rule(exp.LastDay, last_day),
    Rule(exp.TimestampTrunc, truncated, "unit"),
    Rule(exp.DateTrunc, truncated, "unit"),
    Rule(exp.DateDiff, difference, "unit"),
    Rule(exp.DateFromParts, made_date, "year month day"),
    Rule(exp.TimestampFromParts, made_timestamp, "year month day hour min sec"),
    Rule(exp.TimeToStr, written_time, "format"),
    Rule(exp.StrToTime, parsed_time, "format"),
)
