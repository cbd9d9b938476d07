"""Columns and types as DuckDB spells them: what every package means by a schema."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["Column", "Relation", "Schema", "masked", "quote", "schema_of"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name and its type in DuckDB's spelling (``DECIMAL(18,2)``, ``INTEGER[]``)."""

    name: str
    type: str


Schema = tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table an operation reads: the name it has in a query, and its columns in order."""

    name: str
    columns: Schema

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(column.name for column in self.columns)


def masked(schema: Schema, patterns: Sequence[str]) -> tuple[str, ...]:
    """The columns that hold, or have a field that holds, what the patterns name; case does not count."""

    def hides(name: str) -> bool:
        return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)

    def names(column: Column) -> list[str]:
        inside = column.type if "STRUCT(" in column.type else ""
        return [column.name, *re.findall(r"\w+", inside), *re.findall(r'"([^"]+)"', inside)]

    return tuple(column.name for column in schema if any(hides(name) for name in names(column)))


def quote(identifier: str) -> str:
    """The identifier in double quotes, safe inside a query."""
    return '"' + identifier.replace('"', '""') + '"'


def schema_of(columns: Mapping[str, str] | Iterable[tuple[str, str]]) -> Schema:
    """A schema from ``{name: type}`` or pairs."""
    pairs = columns.items() if isinstance(columns, Mapping) else columns
    return tuple(Column(str(name), str(kind)) for name, kind in pairs)
