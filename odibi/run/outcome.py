"""How an attempt ended: a value, never an exception (after kopf's ``Outcome``)."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from odibi.datasets.files import explain
from odibi.errors import OdibiError, Transient
from odibi.home import typed
from odibi.record.model import ErrorRecord, SampleRecord, StepStatus, WriteRecord
from odibi.relational.schema import Schema

__all__ = ["Outcome", "error_record"]

LONGEST_DETAIL = 4_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt at a step produced.

    Attributes:
        status: completed, reused, failed or cancelled.
        rows_in: rows of each input, where they are known.
        columns: the columns of the first output.
    """

    status: StepStatus
    reason: str = ""
    rows_in: Mapping[str, int | None] = field(default_factory=dict)
    rows_out: int | None = None
    columns: Schema = ()
    writes: tuple[WriteRecord, ...] = ()
    sample: SampleRecord | None = None
    sql_run: str = ""
    key: str = ""
    digest: str = ""
    warnings: tuple[str, ...] = ()
    error: ErrorRecord | None = None


def error_record(error: BaseException, files: tuple[str, ...] = ()) -> ErrorRecord:
    """An exception as a record: where, what, what to do; bounded in length.

    Args:
        error: what was raised.
        files: paths of user functions; the innermost line in one of them is the place.
    """
    if _is_duckdb(error):
        of_file = type(error).__name__ == "IOException" or "CSV Error" in str(error) or "JSON" in str(error)
        error = explain(Exception(str(error))) if of_file else error
    if isinstance(error, OdibiError):
        return ErrorRecord(
            kind=type(error).__name__,
            message=error.message,
            where=typed(error.where),
            hint=error.hint,
            permanent=not isinstance(error, Transient),
        )
    detail = "".join(traceback.format_exception(error))
    lines = re.findall(r'File "(.+?)", line (\d+)', detail)  # DuckDB quotes the traceback of a stream as text
    place = next((f"{file}:{line}" for file, line in reversed(lines) if file in files), "")
    text = str(error) or type(error).__name__
    if _is_duckdb(error):
        _, quoted, tail = text.partition("Python exception: Traceback")
        text = tail.strip().splitlines()[-1] if quoted else text.split("\n\n", 1)[0]
    return ErrorRecord(
        kind=type(error).__name__, message=text[:1_000], where=typed(place), detail=detail[-LONGEST_DETAIL:]
    )


def _is_duckdb(error: BaseException) -> bool:
    return "duckdb" in type(error).__module__
