"""Types between DuckDB's spelling and Delta's, and which of them widen without loss."""

from __future__ import annotations

import json
import re
from typing import Any

from odibi.errors import SchemaMismatch
from odibi.relational.schema import Column, Schema
from odibi.relational.types import nested, spelled

__all__ = ["STORABLE", "delta_json", "from_delta", "same_type", "to_delta", "widens"]

_TO_DELTA = {
    "BOOLEAN": "boolean",
    "TINYINT": "byte",
    "SMALLINT": "short",
    "INTEGER": "integer",
    "BIGINT": "long",
    "FLOAT": "float",
    "DOUBLE": "double",
    "VARCHAR": "string",
    "BLOB": "binary",
    "DATE": "date",
    "TIMESTAMP": "timestamp_ntz",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}
_FROM_DELTA = {delta: duck for duck, delta in _TO_DELTA.items()}
_SPELLINGS = {
    "INT": "INTEGER",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "LONG": "BIGINT",
    "INT2": "SMALLINT",
    "INT1": "TINYINT",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "BOOL": "BOOLEAN",
    "FLOAT4": "FLOAT",
    "REAL": "FLOAT",
    "FLOAT8": "DOUBLE",
    "NUMERIC": "DECIMAL(18,3)",
    "DECIMAL": "DECIMAL(18,3)",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
}


STORABLE = frozenset({*_TO_DELTA, *_SPELLINGS})
"""The names of types that Delta can hold, as people spell them."""


def delta_json(kind: str) -> Any:
    """A DuckDB type as Delta's JSON type. Raises SchemaMismatch where Delta has none."""
    upper = re.sub(r"\s+", " ", kind.strip().upper())
    upper = _SPELLINGS.get(upper, upper)
    if upper in _TO_DELTA:
        return _TO_DELTA[upper]
    decimal = re.fullmatch(r"(?:DECIMAL|NUMERIC) ?\( ?(\d+) ?(?:, ?(\d+) ?)?\)", upper)
    if decimal:
        return f"decimal({decimal.group(1)},{decimal.group(2) or 0})"
    found = nested(kind)
    if found is None:
        raise SchemaMismatch(f"a Delta table cannot hold type {kind}", hint="cast it in the step")
    parts = [(name, delta_json(inner)) for name, inner in found.parts]
    if found.kind == "LIST":
        return {"type": "array", "elementType": parts[0][1], "containsNull": True}
    if found.kind == "MAP":
        return {"type": "map", "keyType": parts[0][1], "valueType": parts[1][1], "valueContainsNull": True}
    return {"type": "struct", "fields": [_delta_field(name, inner) for name, inner in parts]}


def _delta_field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": True, "metadata": {}}


def to_delta(schema: Schema) -> str:
    """The schema as Delta's JSON text.

    Raises:
        SchemaMismatch: a type Delta has not, or a column name that other readers refuse.
    """
    for column in schema:
        if set(column.name) & set(",;{}()\n\t="):
            raise SchemaMismatch(
                f"column {column.name!r} cannot be stored in a Delta table under that name",
                hint="name it: ... AS total",
            )
    return json.dumps(
        {"type": "struct", "fields": [_delta_field(c.name, delta_json(c.type)) for c in schema]}
    )


def from_delta(text: str) -> Schema:
    """Delta's JSON schema as columns in DuckDB's spelling.

    Raises:
        SchemaMismatch: a column of a type that DuckDB has not.
    """
    found = []
    for field in json.loads(text)["fields"]:
        try:
            found.append(Column(field["name"], _duck(field["type"])))
        except KeyError as error:
            raise SchemaMismatch(
                f"column {field['name']!r} has Delta's type {error}, which cannot be read"
            ) from error
    return tuple(found)


def _duck(kind: Any) -> str:
    if isinstance(kind, str):
        if kind.startswith("decimal("):
            return kind.upper().replace(" ", "")
        return "INTEGER" if kind == "void" else _FROM_DELTA[kind]  # void has no value but NULL
    if kind["type"] == "array":
        return _duck(kind["elementType"]) + "[]"
    if kind["type"] == "map":
        return f"MAP({_duck(kind['keyType'])}, {_duck(kind['valueType'])})"
    fields = ", ".join(f"{spelled(field['name'])} {_duck(field['type'])}" for field in kind["fields"])
    return f"STRUCT({fields})"


def same_type(left: str, right: str) -> bool:
    """Whether two spellings mean one stored type."""
    return left == right or bool(delta_json(left) == delta_json(right))


_WIDER = {
    "byte": {"short", "integer", "long", "double"},
    "short": {"integer", "long", "double"},
    "integer": {"long", "double"},
    "float": {"double"},
    "date": {"timestamp_ntz"},
}


def widens(old: str, new: str) -> bool:
    """Whether every value of type ``old`` is kept exactly by type ``new``."""
    before, after = delta_json(old), delta_json(new)
    if before == after:
        return True
    if not isinstance(before, str) or not isinstance(after, str):
        return False
    if after.startswith("decimal("):
        digits = {"byte": (3, 0), "short": (5, 0), "integer": (10, 0), "long": (19, 0)}.get(before)
        if before.startswith("decimal("):
            digits = _digits(before)
        precision, scale = _digits(after)
        return digits is not None and scale >= digits[1] and precision - scale >= digits[0] - digits[1]
    return after in _WIDER.get(before, ())


def _digits(kind: str) -> tuple[int, int]:
    precision, scale = kind[8:-1].split(",")
    return int(precision), int(scale)
