"""Types between DuckDB's spelling and Delta's, and which of them widen without loss."""

from __future__ import annotations

import json
import re
from typing import Any

from odibi.errors import SchemaMismatch
from odibi.relational.schema import Column, Schema, quote

__all__ = ["delta_json", "from_delta", "same_type", "to_delta", "widens"]

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


def _split(text: str) -> list[str]:
    """The parts of a comma-separated list, commas inside brackets and quotes left alone."""
    parts, depth, quoted, start = [], 0, False, 0
    for index, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "([":
            depth += 1
        elif not quoted and char in ")]":
            depth -= 1
        elif not quoted and char == "," and depth == 0:
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


def delta_json(kind: str) -> Any:
    """A DuckDB type as Delta's JSON type. Raises SchemaMismatch where Delta has none."""
    text = kind.strip()
    upper = re.sub(r"\s+", " ", text.upper())
    upper = _SPELLINGS.get(upper, upper)
    if upper in _TO_DELTA:
        return _TO_DELTA[upper]
    if upper.startswith(("DECIMAL(", "NUMERIC(")):
        precision, scale = (int(x) for x in upper[upper.index("(") + 1 : -1].split(","))
        return f"decimal({precision},{scale})"
    if text.endswith("]"):
        return {"type": "array", "elementType": delta_json(text[: text.rindex("[")]), "containsNull": True}
    if upper.startswith("STRUCT("):
        fields = [_field(part) for part in _split(text[text.index("(") + 1 : -1])]
        return {"type": "struct", "fields": [_delta_field(name, kind) for name, kind in fields]}
    if upper.startswith("MAP("):
        key, value = _split(text[text.index("(") + 1 : -1])
        return {
            "type": "map",
            "keyType": delta_json(key),
            "valueType": delta_json(value),
            "valueContainsNull": True,
        }
    raise SchemaMismatch(f"a Delta table cannot hold type {kind}", hint="cast it in the step")


def _delta_field(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": delta_json(kind), "nullable": True, "metadata": {}}


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
    return json.dumps({"type": "struct", "fields": [_delta_field(c.name, c.type) for c in schema]})


def from_delta(text: str) -> Schema:
    """Delta's JSON schema as columns in DuckDB's spelling."""
    return tuple(Column(field["name"], _duck(field["type"])) for field in json.loads(text)["fields"])


def _duck(kind: Any) -> str:
    if isinstance(kind, str):
        return _FROM_DELTA.get(kind) or kind.upper().replace(" ", "")
    if kind["type"] == "array":
        return _duck(kind["elementType"]) + "[]"
    if kind["type"] == "map":
        return f"MAP({_duck(kind['keyType'])}, {_duck(kind['valueType'])})"
    fields = ", ".join(f"{_field_name(field['name'])} {_duck(field['type'])}" for field in kind["fields"])
    return f"STRUCT({fields})"


def _field_name(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else quote(name)


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
