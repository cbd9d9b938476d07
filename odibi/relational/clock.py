"""A clock that stands still: what a query says of the present, in the words of one instant.

Tests run queries at an instant of their own. The tree is rewritten before it is bound, so that every engine
computes with the same constants.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar, cast

from sqlglot import exp, parse_one
from sqlglot.errors import ParseError, TokenError

__all__ = ["at_instant", "text_at_instant"]

E = TypeVar("E", bound=exp.Expr)

_KINDS = {
    "now": "TIMESTAMPTZ",
    "get_current_timestamp": "TIMESTAMPTZ",
    "transaction_timestamp": "TIMESTAMPTZ",
    "today": "DATE",
    "get_current_time": "TIMETZ",
    "current_localtime": "TIME",
    "current_localtimestamp": "TIMESTAMP",
}
_NODES: dict[type[exp.Expr], str] = {
    exp.CurrentTimestamp: "TIMESTAMPTZ",
    exp.CurrentDate: "DATE",
    exp.CurrentTime: "TIMETZ",
    exp.Localtime: "TIME",
    exp.Localtimestamp: "TIMESTAMP",
}


def at_instant(tree: E, now: datetime | None) -> E:
    """The tree with the clock's functions replaced by what they give at ``now``; itself where that is None."""
    if now is None:
        return tree
    instant = now.astimezone(UTC)

    def replaced(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Anonymous):
            name = str(node.this).lower()
            if name == "age" and len(node.expressions) == 1:  # until today
                today = _constant("TIMESTAMP", instant.replace(hour=0, minute=0, second=0, microsecond=0))
                node.set("expressions", [today, *node.expressions])
                return node
            kind = _KINDS.get(name) if not node.expressions else None
        else:
            kind = _NODES.get(type(node))
        return node if kind is None else _constant(kind, instant)

    return cast("E", tree.transform(replaced))


def text_at_instant(text: str, now: datetime | None) -> str:
    """The same for an expression as text, which stays as it is where it does not ask the clock."""
    if now is None:
        return text
    try:
        tree = parse_one(text, dialect="duckdb")
    except (ParseError, TokenError):
        return text  # said where it is compiled
    frozen = at_instant(tree, now)
    return text if frozen == tree else frozen.sql("duckdb")


def _constant(kind: str, instant: datetime) -> exp.Expr:
    date, time = f"{instant:%Y-%m-%d}", f"{instant:%H:%M:%S.%f}".removesuffix(".000000")
    written = {
        "DATE": date,
        "TIME": time,
        "TIMETZ": f"{time}+00",
        "TIMESTAMP": f"{date} {time}",
        "TIMESTAMPTZ": f"{date} {time}+00",
    }[kind]
    return exp.cast(exp.Literal.string(written), kind, dialect="duckdb")
