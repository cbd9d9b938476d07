"""Staged parts as what Delta's log says of a file: its path, size, partition and typed statistics."""

from __future__ import annotations

import json
import math
import re
import time
from typing import Any

from odibi.engines.base import Part, Staged
from odibi.folders import at
from odibi.relational.schema import Schema
from odibi.relational.types import nested

__all__ = ["actions"]


def actions(url: str, staged: Staged) -> list[Any]:
    """Delta's add actions for parts below the table's folder, with typed statistics."""
    from deltalake.transaction import AddAction

    now = int(time.time() * 1000)
    folder = at(url)
    types = {column.name: column.type for column in staged.schema}
    return [
        AddAction(
            path=folder.name(part.path),
            size=part.bytes,
            partition_values={name: _partition(value, types[name]) for name, value in part.partition.items()},
            modification_time=now,
            data_change=True,
            stats=_statistics(part, staged.schema),
        )
        for part in staged.parts
    ]


def _partition(value: str | None, kind: str) -> str | None:
    """A partition value as the log wants it: instants in UTC, without saying so."""
    return value.removesuffix("+00") if value is not None and kind == "TIMESTAMP WITH TIME ZONE" else value


def _statistics(part: Part, schema: Schema) -> str:
    """Delta's statistics as JSON: bounds typed as their columns, none where a bound is not exact.

    See https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics.
    """
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for column in schema:
        found = part.statistics.get(column.name)
        if found is None or nested(column.type) is not None:
            continue  # nested columns want nested statistics, which nobody prunes by
        if "null_count" in found:
            nulls[column.name] = int(found["null_count"])
        bounds = [_bound(found[end], column.type) for end in ("min", "max") if end in found]
        if len(bounds) == 2 and None not in bounds:
            low[column.name], high[column.name] = bounds
    return json.dumps({"numRecords": part.rows, "minValues": low, "maxValues": high, "nullCount": nulls})


_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})
_DAY = r"\d{4}-\d\d-\d\d"


def _bound(text: str, kind: str) -> Any:
    """A bound as JSON wants it for the type, None for types and values readers do not prune by."""
    if kind in _INTEGERS:
        return int(text)
    if kind in ("FLOAT", "DOUBLE"):
        return float(text) if math.isfinite(float(text)) else None
    if kind == "VARCHAR":
        return text
    if kind == "DATE":  # others are before Christ, after the year 9999, or infinite
        return text if re.fullmatch(_DAY, text) else None
    if kind == "TIMESTAMP":
        return text.replace(" ", "T") if re.fullmatch(_DAY + r" [\d:.]+", text) else None
    return None
