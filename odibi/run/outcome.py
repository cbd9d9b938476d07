"""How an attempt ended: a value, never an exception (after kopf's ``Outcome``)."""

from __future__ import annotations

import builtins
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from odibi.datasets.files import explain
from odibi.errors import Elsewhere, OdibiError, ResourceExhausted, kinds_of
from odibi.home import typed
from odibi.record.model import (
    AttemptRecord,
    CheckRecord,
    DatasetRecord,
    ErrorRecord,
    OperationRecord,
    PodRecord,
    QualityRecord,
    SampleRecord,
    StepStatus,
    WriteRecord,
)
from odibi.relational.schema import Schema
from odibi.run.retry import Failure, Rule, should_retry_failure

__all__ = ["Outcome", "error_record", "failed", "failure_of"]

LONGEST_DETAIL = 4_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt at a step produced.

    Attributes:
        status: completed, reused, failed or cancelled; waiting where an attempt elsewhere did not come to the step.
        rows_in: rows of each input, where they are known.
        reads: what was read, at the version that was read.
        operations: those of a transform, with their rows.
        columns: the columns of the first output.
        peak_memory: of the step's own process, where it had one.
        synthetic: whether made-up rows stood in for a source.
        failure: what is to be known of an error to tell whether it may pass.
        attempts: those that were made elsewhere; then what could be tried again was.
        pods: where it was computed, if that was not here.
        left_out: whether its retry rules have left it out elsewhere; otherwise what is skipped there was not needed.
    """

    status: StepStatus
    reason: str = ""
    rows_in: Mapping[str, int | None] = field(default_factory=dict)
    rows_out: int | None = None
    reads: tuple[DatasetRecord, ...] = ()
    operations: tuple[OperationRecord, ...] = ()
    columns: Schema = ()
    writes: tuple[WriteRecord, ...] = ()
    sample: SampleRecord | None = None
    sql_run: str = ""
    key: str = ""
    digest: str = ""
    checks: tuple[CheckRecord, ...] = ()
    quality: QualityRecord | None = None
    warnings: tuple[str, ...] = ()
    peak_memory: int | None = None
    synthetic: bool = False
    error: ErrorRecord | None = None
    failure: Failure = field(default_factory=Failure)
    attempts: tuple[AttemptRecord, ...] = ()
    pods: tuple[PodRecord, ...] = ()
    left_out: bool = False


def failed(
    error: BaseException, files: tuple[str, ...] = (), rules: Sequence[Rule] = (), sql_run: str = "", source: str = ""
) -> Outcome:  # fmt: skip
    """The outcome of an attempt that ended in an exception; see :func:`error_record`."""
    record = error_record(error, files, rules, source)
    return Outcome(StepStatus.FAILED, sql_run=sql_run, error=record, failure=failure_of(error))


def failure_of(error: BaseException) -> Failure:
    """What is to be known of an exception; one that was raised far away is looked for in the text."""
    said = str(error)
    quoted = _quoted(error, said)
    if quoted is None:
        return Failure.of(error)
    kind, _, message = quoted.partition(": ")
    known = getattr(builtins, kind, None)
    base = kinds_of(known) if isinstance(known, type) and issubclass(known, BaseException) else (kind,)
    return Failure(base, message or kind)


def _quoted(error: BaseException, text: str) -> str | None:
    """``ValueError: what it said`` of a function that an engine called, None if it was not one."""
    if _is_duckdb(error):
        _, found, tail = text.partition("Python exception: Traceback")
        return tail.strip().splitlines()[-1] if found else None
    if type(error).__name__ == "PythonException" and _is_of(error, "pyspark"):
        kind, said, _ = _on_worker(text, (), "")
        return f"{kind}: {said}"
    return None


def error_record(
    error: BaseException, files: tuple[str, ...] = (), rules: Sequence[Rule] = (), source: str = ""
) -> ErrorRecord:
    """An exception as a record: where, what, what to do; bounded in length.

    Args:
        error: what was raised.
        files: paths of user functions; the innermost line in one of them is the place.
        rules: what failures mean, before odibi's own table.
        source: the files that were read, as DuckDB does not always name the one that is wrong.
    """
    failure, log = failure_of(error), Elsewhere.of(error).log
    permanent, exit_code = not should_retry_failure(failure, rules), failure.exit_code
    exhausted = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException"
    if _is_duckdb(error) and not exhausted:
        of_file = type(error).__name__ == "IOException" or "CSV Error" in str(error) or "JSON" in str(error)
        paths = (source,) if source else ()
        error = explain(Exception(str(error)), paths) if of_file or source else error
    if isinstance(error, OdibiError):
        return ErrorRecord(
            kind=error.type,
            message=error.message,
            where=typed(error.where),
            hint=error.hint,
            permanent=permanent,
            exit_code=exit_code,
            log=log,
        )
    detail = "".join(traceback.format_exception(error))
    lines = re.findall(r'File "(.+?)", line (\d+)', detail)  # DuckDB quotes the traceback of a stream as text
    place = next((f"{file}:{line}" for file, line in reversed(lines) if file in files), "")
    kind = type(error).__name__
    text = str(error) or kind
    if kind == "PythonException" and _is_of(error, "pyspark"):
        kind, text, place = _on_worker(text, files, place)
    if _is_duckdb(error):
        text = _quoted(error, text) or text.split("\n\n", 1)[0]
    if exhausted:
        kind, text = ResourceExhausted.type, f"out of memory: {text.removeprefix('Out of Memory Error: ')}"
    return ErrorRecord(
        kind=kind,
        message=text[:1_000],
        where=typed(place),
        hint="raise memory_limit, or the memory of the step's resources" if exhausted else "",
        permanent=permanent,
        detail=detail[-LONGEST_DETAIL:],
        exit_code=exit_code,
        log=log,
    )


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
