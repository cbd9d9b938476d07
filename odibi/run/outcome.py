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
    kind = type(error).__name__
    text = str(error) or kind
    if kind == "PythonException" and _is_of(error, "pyspark"):
        kind, text, place = _on_worker(text, files, place)
    if _is_duckdb(error):
        _, quoted, tail = text.partition("Python exception: Traceback")
        text = tail.strip().splitlines()[-1] if quoted else text.split("\n\n", 1)[0]
    return ErrorRecord(kind=kind, message=text[:1_000], where=typed(place), detail=detail[-LONGEST_DETAIL:])


def _on_worker(text: str, files: tuple[str, ...], place: str) -> tuple[str, str, str]:
    """Kind, message and place of what a function raised on a Spark worker, out of the traceback sent as text."""
    lines = text.rstrip().splitlines()
    last = max((number for number, line in enumerate(lines) if line.startswith("  ")), default=-1)
    kind, _, said = "\n".join(lines[last + 1 :]).partition(": ")
    named = re.match(r"(.+?:\d+): ", said)  # odibi's own errors begin with their place
    if named and named.group(1).rpartition(":")[0] in files:
        place, said = named.group(1), said[named.end() :]
    return kind.rpartition(".")[2], said or kind, place


def _is_duckdb(error: BaseException) -> bool:
    return _is_of(error, "duckdb")


def _is_of(error: BaseException, package: str) -> bool:
    return package in type(error).__module__
