"""strftime and strptime: C's letters, written for Java or read with a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from sqlglot import exp

from odibi.relational.spark.build import spark
from odibi.relational.spark.casts import converted
from odibi.relational.spark.kinds import TIMES, kind
from odibi.relational.spark.refusal import refuse

__all__ = ["parsed_time", "written_time"]

_JAVA = {
    "Y": "yyyy", "y": "yy", "-y": "yy", "m": "MM", "-m": "M", "d": "dd", "-d": "d", "H": "HH", "-H": "H", "I": "hh",
    "-I": "h", "M": "mm", "-M": "m", "S": "ss", "-S": "s", "f": "SSSSSS", "p": "a", "a": "EEE", "A": "EEEE", "b": "MMM",
    "B": "MMMM", "j": "DDD", "-j": "D",
}  # fmt: skip
"""What DATE_FORMAT calls the letter; others it has not, or means otherwise."""

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"


def _short(names: str) -> str:
    return "|".join(name[:3] for name in names.split("|"))


_DIGITS = "([0-9]{1,2}+)"
_READ = {
    "Y": "([0-9]{1,4}+)", "y": _DIGITS, "m": _DIGITS, "d": _DIGITS, "H": _DIGITS, "M": _DIGITS, "S": _DIGITS,
    "I": "(1[0-2]|0?[1-9])", "f": "([0-9]{1,6}+)", "p": "(am|pm)", "b": f"({_short(_MONTHS)})", "B": f"({_MONTHS})",
    "a": f"(?:{_short(_DAYS)})", "A": f"(?:{_DAYS})",
}  # fmt: skip
"""What strptime reads for the letter: digits as far as they go, names in any case."""


def _pieces(node: exp.Expr) -> Iterator[tuple[str, str]]:
    """The format in order: ``("letter", "-d")`` or ``("text", "/")``."""
    format_ = node.args["format"]
    if not isinstance(format_, exp.Literal) or not format_.is_string:
        refuse(
            "a format that is no constant",
            "it has to be written for Java before the run",
            "write it as text",
            node,
        )
    for letter, text in re.findall(r"%(-?.)|([^%]+)", str(format_.this), re.DOTALL):
        yield ("letter", letter) if letter and letter != "%" else ("text", text or "%")


def _unknown(node: exp.Expr, letter: str) -> None:
    refuse(f"%{letter} in a format", "Spark has no such letter", "use %Y %m %d %H %M %S and their like", node)


def written_time(node: exp.Expr) -> exp.Expr:
    """DATE_FORMAT with Java's letters."""
    parts: list[tuple[str, str]] = []
    for what, piece in _pieces(node):
        if what == "letter" and piece not in _JAVA:
            _unknown(node, piece)
        parts.append((what, _JAVA[piece] if what == "letter" else piece))
    runs: list[str] = [""]
    for (_, before), (what, piece) in pairwise([("text", ""), *parts]):
        if what == "letter" and before[-1:] == piece[0]:
            runs.append("")  # MM beside M would be read as MMM
        runs[-1] += piece if what == "letter" else "'" + piece.replace("'", "''") + "'"
    value = node.this if kind(node.this) in TIMES else converted(node.this, "TIMESTAMP")
    made = [spark("DATE_FORMAT(:x, :f)", x=value, f=run) for run in runs]
    return made[0] if len(made) == 1 else exp.Concat(expressions=made)


def parsed_time(node: exp.Expr) -> exp.Expr:
    """Read with a pattern, because Spark wants as many digits as the format has letters."""
    pattern, groups = "", dict[str, int]()
    for what, piece in _pieces(node):
        letter = piece.lstrip("-") if what == "letter" else ""
        if what == "text":
            pattern += re.sub(r"\\? +", " +", re.escape(piece))
            continue
        if letter not in _READ or letter in groups:
            _unknown(node, piece)
        pattern += _READ[letter]
        if letter not in "aA":
            groups[letter] = len(groups) + 1
    pattern = f"(?i)^\\s*{pattern}\\s*$"
    x = converted(node.this, "VARCHAR")

    def found(letter: str, default: int) -> exp.Expr:
        if letter not in groups:
            return exp.Literal.number(default)
        return spark("CAST(REGEXP_EXTRACT(:x, :p, :n) AS INT)", x=x, p=pattern, n=groups[letter])

    def name(letter: str) -> exp.Expr:
        short = spark("LOWER(LEFT(REGEXP_EXTRACT(:x, :p, :n), 3))", x=x, p=pattern, n=groups[letter])
        return spark("(LOCATE(:m, :all) + 2) DIV 3", m=short, all=_short(_MONTHS).replace("|", "").lower())

    year = found("Y", 1900)
    if "y" in groups and "Y" not in groups:
        year = spark("CASE WHEN :y < 69 THEN 2000 + :y ELSE 1900 + :y END", y=found("y", 0))
    month = next((name(letter) for letter in "bB" if letter in groups), found("m", 1))
    hour = found("H", 0)
    if "I" in groups:
        half = (
            spark("REGEXP_EXTRACT(:x, :p, :n)", x=x, p=pattern, n=groups["p"])
            if "p" in groups
            else exp.Literal.string("am")
        )
        hour = spark("CASE WHEN LOWER(:p) = 'pm' THEN :h % 12 + 12 ELSE :h % 12 END", p=half, h=found("I", 0))
    seconds = found("S", 0)
    if "f" in groups:
        fraction = spark("RPAD(REGEXP_EXTRACT(:x, :p, :n), 6, '0')", x=x, p=pattern, n=groups["f"])
        seconds = spark("CAST(CONCAT(:s, '.', :f) AS DECIMAL(8, 6))", s=seconds, f=fraction)
    made = spark(
        "MAKE_TIMESTAMP_NTZ(:year, :month, :day, :hour, :minute, :second)",
        year=year, month=month, day=found("d", 1), hour=hour, minute=found("M", 0), second=seconds,
    )  # fmt: skip
    return spark(
        "CASE WHEN :x RLIKE :p THEN :made WHEN NOT :x IS NULL THEN "
        "CAST(RAISE_ERROR(CONCAT('Could not parse ', :x, ' according to ', :f)) AS TIMESTAMP_NTZ) END",
        x=x,
        p=pattern,
        made=made,
        f=node.args["format"],
    )
