"""DuckDB's spelling of types taken apart: lists, structs and maps, and what they are made of."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from odibi.relational.schema import quote

__all__ = ["Nested", "nested", "rebuilt", "spelled"]


@dataclass(frozen=True, slots=True)
class Nested:
    """A nested type: ``kind`` is ``LIST``, ``STRUCT`` or ``MAP``.

    ``parts`` are names and types: of a list its elements, of a map its keys and values, without names.
    """

    kind: str
    parts: tuple[tuple[str, str], ...]


def nested(text: str) -> Nested | None:
    """The type taken apart one level, None for others and structs without names. Arrays count as lists."""
    text = text.strip()
    if text.endswith("]"):
        return Nested("LIST", (("", text[: text.rindex("[")]),))
    kind, bracket, inside = text.partition("(")
    kind = kind.strip().upper()
    if not bracket or kind not in ("STRUCT", "MAP"):
        return None
    items = _split(inside.rstrip()[:-1])
    if kind == "MAP":
        return Nested(kind, tuple(("", item) for item in items))
    fields = tuple(_field(item) for item in items)
    return Nested(kind, fields) if all(kind for _, kind in fields) else None


def rebuilt(text: str, leaf: Callable[[str], str]) -> str:
    """The type with every type in it that is not nested replaced by what ``leaf`` makes of it."""
    found = nested(text)
    if found is None:
        return leaf(text.strip())
    parts = [(name, rebuilt(kind, leaf)) for name, kind in found.parts]
    if found.kind == "LIST":
        return f"{parts[0][1]}[]"
    return f"{found.kind}({', '.join(f'{spelled(name)} {kind}' if name else kind for name, kind in parts)})"


def spelled(name: str) -> str:
    """The field's name as DuckDB prints it, save that key words are quoted here too."""
    return (
        name
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _reserved()
        else quote(name)
    )


def _reserved() -> frozenset[str]:
    from sqlglot.dialects.duckdb import DuckDB

    return frozenset(DuckDB.Generator.RESERVED_KEYWORDS)


def _split(text: str) -> list[str]:
    """The parts of a comma-separated list, commas inside brackets and quotes left alone."""
    parts, depth, quoted, start = [], 0, "", 0
    for index, char in enumerate(text):
        if quoted or char in "\"'":
            quoted = "" if char == quoted else quoted or char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()]


def _field(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        end = text.index('"', 1)
        while text[end + 1 : end + 2] == '"':
            end = text.index('"', end + 2)
        return text[1:end].replace('""', '"'), text[end + 1 :].strip()
    name, _, kind = text.partition(" ")
    return name, kind.strip()
