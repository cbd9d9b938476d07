"""A record as a row of a table and back, exactly.

What is asked for in queries has a column of its own; every other field is in ``detail``, a JSON
text. So a new field of a record needs no migration until somebody wants to query it. Parameters of
a run are JSON values: dates come back as text, and infinity, which JSON does not have, as None.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from odibi.config.base import Frozen
from odibi.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ATTEMPT", "PROCESS", "RUN", "STEP", "from_row", "moment", "reason", "storable", "to_row"]

# The columns that hold a field of the same name.
RUN = (
    *("run_id", "pipeline", "config", "config_hash", "logical_date", "target", "engine", "status"),
    *("started_at", "ended_at", "owner", "command", "error"),
)
STEP = (
    *("name", "layer", "node", "operation", "engine", "decision", "reason", "status"),
    *("started_at", "ended_at", "rows_out", "peak_memory", "key", "digest"),
)
ATTEMPT = ("number", "status", "started_at", "ended_at")
PROCESS = ("host", "pid", "process_start")  # who writes the run; no fields of the record

_ELSEWHERE = {"steps", "attempts"}  # fields that have a table of their own

Record = TypeVar("Record", bound=Frozen)


def to_row(record: Frozen, columns: tuple[str, ...]) -> dict[str, Any]:
    """The values of ``columns``, and of ``detail`` for all other fields."""
    values = {name: getattr(record, name) for name in columns}
    # PostgreSQL has no NUL in text. The column then holds the readable rest, detail the exact value.
    own = {name for name, value in values.items() if not (isinstance(value, str) and "\0" in value)}
    return {
        **{name: _plain(value) for name, value in values.items()},
        "detail": record.model_dump_json(exclude=own | _ELSEWHERE),
    }


def from_row(model: type[Record], row: Mapping[str, Any], columns: tuple[str, ...], **more: Any) -> Record:
    """The record of a row; ``more`` gives the fields from other tables.

    Without ``detail`` in the row, the fields that have no column keep their defaults.

    Raises:
        Permanent: the row was written by an odibi whose records look different.
    """
    try:
        detail = json.loads(row["detail"]) if "detail" in row else {}
        return model.model_validate({name: row[name] for name in columns} | detail | more)
    except ValueError as error:  # what json and pydantic raise
        raise Permanent(
            f"the run store holds a record this odibi cannot read: {model.__name__}: {reason(error)}",
            hint="it was written by another version of odibi (pip install -U odibi), or it is damaged",
        ) from error


def reason(error: ValueError) -> str:
    """Why a text is no record, in one line: where, and what is wrong."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def storable(value: str) -> str:
    """The value as a text column holds it."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def moment(value: datetime) -> str:
    """An aware datetime as UTC text of fixed width, so that the order of texts is the order of times."""
    if value.tzinfo is None:
        raise ValueError(f"a time without zone cannot be recorded: {value.isoformat()}")
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Enum):
        return value.value
    return storable(value) if isinstance(value, str) else value
