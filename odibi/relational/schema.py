"""Columns and types as DuckDB spells them: what every package means by a schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Column", "Relation", "Schema", "quote", "schema_of"]


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


def quote(identifier: str) -> str:
    """The identifier in double quotes, safe inside a query."""
    return '"' + identifier.replace('"', '""') + '"'


def schema_of(columns: Mapping[str, str] | Iterable[tuple[str, str]]) -> Schema:
    """A schema from ``{name: type}`` or pairs."""
    pairs = columns.items() if isinstance(columns, Mapping) else columns
    return tuple(Column(str(name), str(kind)) for name, kind in pairs)
