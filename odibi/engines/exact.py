"""Values of text files that a cast would change: 12.5 as a whole number, a time as a day, an offset that is dropped.

DuckDB's readers round and cut without a word. Columns of such types are read as text and cast here, which costs
no more: a value that does not stay what it is ends the query with an error that names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from odibi.relational.schema import Column, quote

__all__ = ["MARK", "as_text", "exactly"]

MARK = "CSV Error, told by odibi: "
"""What the error begins with; a JSON object follows."""

_WHOLE = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
_FRACTION = (
    "(contains({c}, '.') OR contains({c}, 'e') OR contains({c}, 'E')) "
    "AND TRY_CAST({c} AS DOUBLE) IS DISTINCT FROM trunc(TRY_CAST({c} AS DOUBLE))"
)
_ENDLESS = "contains({c}, 'nf') OR contains({c}, 'NF')"  # infinity
_TIME = (
    f"{_ENDLESS} OR (length({{c}}) > 10 "
    "AND TRY_CAST({c} AS TIMESTAMP) IS DISTINCT FROM CAST(TRY_CAST({c} AS DATE) AS TIMESTAMP))"
)
_OFFSET = (
    f"{_ENDLESS} OR (length({{c}}) > 19 AND regexp_matches({{c}}, '[+-](\\d\\d:?\\d\\d|\\d\\d)\\s*$') "
    "AND NOT regexp_matches({c}, '[+-]00:?(00)?\\s*$'))"
)
_BOTH = {**dict.fromkeys(_WHOLE, _FRACTION), "DATE": _TIME, "TIMESTAMP": _OFFSET}
_LOSES: Mapping[str, Mapping[str, str]] = {
    "csv": _BOTH,
    "json": {
        **_BOTH,
        **dict.fromkeys(("BOOLEAN", "DOUBLE", "FLOAT"), "false"),
    },  # true is no number, 2 is not true
}
"""By format and type, when a text loses something by its cast."""

_FORMATS = {"DATE": "dateformat", "TIMESTAMP": "timestampformat"}
"""The option by which the reader takes other texts for such values, and only those."""


def as_text(column: Column, format: str, options: Mapping[str, Any]) -> bool:
    """Whether a column is to be read as text and cast by :func:`exactly`."""
    kind = column.type.upper()
    return kind in _LOSES.get(format.removeprefix("nd"), ()) and _FORMATS.get(kind) not in options


def exactly(column: Column, index: int, format: str, options: Mapping[str, Any]) -> str:
    """The cast of a column that was read as text; ``index`` is its place in a row of the file."""
    name, kind = quote(column.name), column.type
    layout = {key: options.get(key) for key in ("delim", "quote", "escape", "encoding", "skip", "header")}
    told = json.dumps({"column": column.name, "kind": kind, "index": index, "format": format, **layout})
    path = quote(str(options.get("filename") or "filename"))
    lost = _LOSES[format.removeprefix("nd")][kind.upper()].format(c=name)
    said = "'" + (MARK + told).replace("'", "''") + "'"
    message = f"error({said} || to_json([{name}, CAST({path} AS VARCHAR)]))"
    return (
        f"coalesce(TRY_CAST(CASE WHEN {lost} THEN NULL ELSE {name} END AS {kind}), "
        f"CASE WHEN {name} IS NOT NULL THEN CAST({message} AS {kind}) END) AS {name}"
    )
