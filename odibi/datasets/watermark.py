"""A watermark: the largest value that was read of a column that grows, and which rows are new by it.

Rows at the watermark itself are read again, and so are those without a value: whoever came after the
last read with the very same value is not lost, and who reads them takes them in the place of what it
has of them, so none is doubled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from odibi.config.increment import Watermark
from odibi.engines.base import Engine, Frame
from odibi.engines.database import Database
from odibi.engines.duckdb import literal
from odibi.errors import Permanent, SchemaMismatch, nearest
from odibi.relational.schema import Column, Schema, quote

__all__ = ["moved", "since", "type_of"]

_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
_OTHERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "VARCHAR")


def type_of(given: Watermark, schema: Schema, where: str) -> str:
    """The type of the column among those of ``where``.

    Raises:
        SchemaMismatch: there is no such column, or it cannot be a watermark.
    """
    types = {column.name: column.type for column in schema}
    if given.column not in types:
        raise SchemaMismatch(
            f"the watermark {given.column!r} is no column of {where}", hint=nearest(given.column, types)
        )
    kind = types[given.column]
    if kind not in (*_TIMES, *_OTHERS) and not kind.startswith("DECIMAL"):
        raise SchemaMismatch(
            f"{given.column!r} of {where} is {kind}, which cannot be a watermark",
            hint="name a date, a timestamp or a whole number",
        )
    if given.lookback is not None and kind not in _TIMES:
        raise SchemaMismatch(
            f"{given.column!r} of {where} is {kind}, and {given.lookback} cannot be taken from it",
            hint="leave out how late a row may come, or name a date or a timestamp",
        )
    return kind


def since(db: Database, given: Watermark, state: Mapping[str, Any] | None, kind: str) -> str:
    """The condition that new rows fulfil, in DuckDB's SQL; empty where all rows are new.

    Raises:
        Permanent: the state is of another column.
    """
    if state is None or state.get("value") is None:
        return ""
    if state["column"] != given.column:
        raise Permanent(
            f"this step's watermark was {state['column']!r} and is now {given.column!r}",
            hint="--full-refresh builds its table anew by the new one",
        )
    floor = f"CAST({literal(state['value'])} AS {kind})"
    if given.lookback is not None:
        found = db.rows(
            f"SELECT CAST(CAST({floor} - INTERVAL {literal(given.lookback)} AS {kind}) AS VARCHAR)"
        )
        floor = f"CAST({literal(found[0][0])} AS {kind})"
    return f"{quote(given.column)} >= {floor} OR {quote(given.column)} IS NULL"


def moved(
    db: Database,
    engine: Engine,
    frame: Frame,
    given: Watermark,
    state: Mapping[str, Any] | None,
    kind: str,
) -> dict[str, Any]:
    """The state once the rows of the frame are consumed; a watermark never goes back."""
    largest = exp.Max(this=exp.column(given.column, quoted=True)).as_("largest")
    query = exp.select(largest).from_("incoming")
    found = engine.to_arrow(engine.query(query, {"incoming": frame}, (Column("largest", kind),))).read_all()
    values = [
        value for value in (found.column(0)[0].as_py(), (state or {}).get("value")) if value is not None
    ]
    if not values:
        return {"column": given.column, "value": None}
    each = ", ".join(f"CAST({literal(str(value))} AS {kind})" for value in values)
    return {
        "column": given.column,
        "value": str(db.rows(f"SELECT CAST(greatest({each}) AS VARCHAR)")[0][0]),
    }
