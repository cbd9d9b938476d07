"""What Spark cannot be made to answer alike."""

from __future__ import annotations

from typing import NoReturn

from sqlglot import exp

from odibi.errors import Permanent
from odibi.relational.parse import place

__all__ = ["NotPortable", "refuse"]


class NotPortable(Permanent):
    """What the query asks for cannot be made equal on Spark; says what, why, and what to write instead."""


def refuse(what: str, why: str, hint: str, node: exp.Expr | None = None) -> NoReturn:
    """Raise NotPortable: ``what`` does not mean the same on Spark because of ``why``."""
    line, column = place(node) if node is not None else (0, 0)
    where = f"line {line}, column {column}" if line else ""
    raise NotPortable(f"{what} is not portable to Spark: {why}", where=where, hint=hint)
