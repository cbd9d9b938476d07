"""Values that engines are known to disagree about, by type, as SQL expressions DuckDB can cast to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from odibi.relational.types import nested, spelled

__all__ = ["edges"]

_INTEGERS = {"TINYINT": 7, "SMALLINT": 15, "INTEGER": 31, "BIGINT": 63}

# Halves for rounding, in every place a scale of a few digits has; the magnitudes are positive, so that sums
# of them do not depend on their order.
_NUMBERS = (
    *(
        "0",
        "1",
        "-1",
        "2",
        "3",
        "7",
        "10",
        "-10",
        "100",
        "0.5",
        "-0.5",
        "1.5",
        "-1.5",
        "2.5",
        "-2.5",
        "3.7",
        "-3.7",
    ),
    *("0.1", "0.05", "0.15", "0.125", "-0.125", "1.005", "2.675", "0.0001", "12345.6789"),
)
# No magnitudes whose squares overflow: what is infinite on one engine is undefined on another, and in nobody's data.
_DOUBLES = ("nan", "inf", "-inf", "-0.0", "1e-7", "1e-150", "1e15", "9007199254740993", "1e22", "1e150")

_TEXTS = (
    "",
    " ",
    " padded ",
    "trailing  ",
    "\t",
    "line\nbreak",
    *(
        "a",
        "A",
        "b",
        "ab",
        "aB",
        "Ab c",
        "abc",
        "ABC",
        "a.c",
        "a,b",
        "a|b",
        "a-b-c",
        "a%",
        "a_b",
        "it's",
        "\\",
        "(a)",
    ),
    *(
        "\u00e9",
        "\u00c9",
        "e\u0301",
        "\u00df",
        "stra\u00dfe",
        "STRASSE",
        "\u0130",
        "\u0131",
        "\u00c6r\u00f8",
        "\u00a0nbsp\u00a0",
    ),
    *("\U0001f600", "a\U0001f600b", "\u65e5\u672c", "\u017e", "z", "Z", "zzz"),
    *(
        "0",
        "1",
        "-1",
        "+1",
        "007",
        "1.5",
        "2.5",
        "-0",
        " 42 ",
        "1e3",
        "1_000",
        "0x1f",
        "99999999999999999999",
        "1.",
        ".5",
    ),
    *("true", "false", "t", "no", "null", "NULL", "nan", "NaN", "inf", "Infinity"),
    *(
        "2024-02-29",
        "2024-2-9",
        "2023-02-29",
        "29.02.2024",
        "2024-02-29 23:59:59.999999",
        "2024-02-29T12:00:00Z",
    ),
)

_DAYS = (
    *(
        "1970-01-01",
        "1969-12-31",
        "2024-02-29",
        "2024-02-28",
        "2023-03-31",
        "2024-01-31",
        "2000-02-29",
        "1900-03-01",
    ),
    *(
        "2023-12-31",
        "2024-01-01",
        "2024-12-30",
        "2021-01-03",
        "2020-12-31",
        "2024-06-30",
        "2024-03-10",
        "2024-10-27",
    ),
    *("1582-10-04", "1582-10-15", "0001-01-01", "9999-12-31"),
)
_TIMES = (
    *(
        "2024-02-29 23:59:59.999999",
        "2024-02-29 00:00:00.000001",
        "1969-12-31 23:59:59.5",
        "2024-06-15 12:34:56.789012",
    ),
    *("2024-03-31 02:30:00", "2024-10-27 02:30:00", "1582-10-10 12:00:00", "9999-12-31 23:59:59.999999"),
    *("2024-01-01 12:00:00", "2024-01-01 11:59:59.9995", "2024-06-30 23:59:59"),
)


def edges(kind: str, literals: Sequence[str] = ()) -> list[str]:
    """Expressions for the edges of a type, in DuckDB's spelling; NULL, which every type has, is not among them.

    Args:
        kind: the type.
        literals: constants of the query, whose neighbours are edges too.
    """
    found = nested(kind)
    if found is None:
        near = [text for literal in literals for text in _around(literal)]
        return [_text(value) for value in dict.fromkeys((*_leaf(kind.upper()), *near))]
    parts = [edges(inner, literals) for _, inner in found.parts]
    if found.kind == "LIST":
        return _lists(parts[0][:12])
    if found.kind == "MAP":
        (keys, values) = parts
        pairs = list(zip(keys[:4], values[:4], strict=False))
        return ["MAP {}", *(f"MAP {{{key}: {value}}}" for key, value in pairs), f"MAP {{{keys[0]}: NULL}}"]
    return _structs([name for name, _ in found.parts], parts)


def _lists(elements: Sequence[str]) -> list[str]:
    few = [f"[{element}]" for element in elements[:4]]
    return [
        *("[]", "[NULL]", *few, f"[{', '.join(elements)}]"),
        f"[{elements[-1]}, NULL, {elements[0]}]",
        f"[{elements[0]}, {elements[0]}]",
    ]


def _structs(names: Sequence[str], parts: Sequence[Sequence[str]]) -> list[str]:
    def made(number: int) -> str:
        fields = (
            f"{spelled(name)} := {part[number % len(part)]}" for name, part in zip(names, parts, strict=True)
        )
        return f"struct_pack({', '.join(fields)})"

    nothing = ", ".join(f"{spelled(name)} := NULL" for name in names)
    return [f"struct_pack({nothing})", *(made(number) for number in range(6))]


def _leaf(kind: str) -> Sequence[str]:
    if kind in _INTEGERS:
        bits = _INTEGERS[kind]
        return (str(2**bits - 1), str(-(2**bits)), *(n for n in _NUMBERS if "." not in n), "31", "-7", "2024")
    if kind in ("DOUBLE", "FLOAT"):
        return (*_DOUBLES, *_NUMBERS)
    if decimal := re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", kind):
        return _decimals(int(decimal[1]), int(decimal[2]))
    if kind == "DATE":
        return _DAYS
    if kind.startswith("TIMESTAMP"):
        return (*(f"{day} 00:00:00" for day in _DAYS), *_TIMES)
    return {"BOOLEAN": ("true", "false"), "BLOB": ("", "abc", r"\x00\xFF")}.get(kind, _TEXTS)


def _decimals(precision: int, scale: int) -> Sequence[str]:
    whole = "9" * (precision - scale) or "0"
    most = f"{whole}.{'9' * scale}" if scale else whole
    least = f"0.{'0' * (scale - 1)}1" if scale else "1"
    return (most, f"-{most}", least, f"-{least}", *_NUMBERS)


def _around(literal: str) -> list[str]:
    """A constant of the query, and what is just beside it."""
    try:
        number = int(literal)
    except ValueError:
        return [literal, literal.lower(), literal.upper()]
    return [literal, str(number - 1), str(number + 1)]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
