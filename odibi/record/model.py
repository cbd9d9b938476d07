"""What is remembered of a run: frozen values that the store keeps and the story tells.

Everything a story needs is here, so a story can be told again on another machine from the
record alone. Times are aware UTC datetimes, durations seconds, sizes bytes.
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import Any

from odibi.config.base import Frozen, Name, Names

__all__ = [
    "AttemptRecord",
    "CheckRecord",
    "CheckpointRecord",
    "ColumnLineage",
    "ColumnRecord",
    "DatasetRecord",
    "ErrorRecord",
    "OperationRecord",
    "ProofRecord",
    "QualityRecord",
    "RunRecord",
    "RunStatus",
    "SampleRecord",
    "StageRecord",
    "StepRecord",
    "StepStatus",
    "WriteRecord",
]


class RunStatus(StrEnum):
    """How a run stands. The words of the REST API."""

    QUEUED = "Queued"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMEOUT = "Timeout"
    CANCELLED = "Cancelled"


class StepStatus(StrEnum):
    """How a step of a run stands."""

    WAITING = "waiting"  # a step it needs has not ended
    PENDING = "pending"  # may start, no worker is free
    RUNNING = "running"
    COMPLETED = "completed"
    REUSED = "reused"  # its target already holds this very result
    SKIPPED = "skipped"
    FAILED = "failed"
    NOT_RUN = "not_run"  # a step it needs failed, or the run stopped first
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the step in this run."""
        return self not in (StepStatus.WAITING, StepStatus.PENDING, StepStatus.RUNNING)


class ColumnRecord(Frozen):
    """A column of an output: its name and its type in DuckDB's spelling."""

    name: Name
    type: Name


class ColumnLineage(Frozen):
    """Where an output column comes from: ``direct`` and ``indirect`` hold ``dataset.column``.

    ``dataset.*`` is any column of a dataset, where code made the column that cannot be looked into. ``kinds`` says
    of each how: identity, transformation, aggregation or function where it is direct, filter, join, group, sort,
    window or condition where it is indirect.
    """

    column: Name
    direct: tuple[str, ...] = ()
    indirect: tuple[str, ...] = ()
    kinds: dict[str, tuple[str, ...]] = {}


class DatasetRecord(Frozen):
    """A dataset that a step reads or makes: a reference to its rows, none of them.

    ``name`` is what lineage calls it. ``uri`` is the same wherever it is named, and empty for what is handed over
    and not kept. ``version`` tells its rows apart from others: the version of a Delta table, else a hash of what
    was read. ``files`` are the hashes of those files, where they are few, ``etag`` what a server called its answer.
    ``columns`` and ``lineage`` are there where no step of the run has them: of what comes from outside, and of the
    second and further datasets that a step makes.
    """

    name: str
    uri: str = ""
    format: Name = ""
    version: Name = ""
    etag: str = ""
    pipeline: Name = ""  # that makes it, if that is another one
    synthetic: bool = False
    files: dict[str, str] = {}
    columns: tuple[ColumnRecord, ...] = ()
    lineage: tuple[ColumnLineage, ...] = ()


class SampleRecord(Frozen):
    """A few output rows as text, NULL as None; columns in ``masked`` hold only asterisks."""

    columns: Names
    rows: tuple[tuple[str | None, ...], ...]
    masked: Names = ()


class ErrorRecord(Frozen):
    """Why an attempt failed.

    ``detail`` is a bounded traceback, for those who want more. Of an attempt in a process of its own,
    ``log`` holds the last lines it printed and ``exit_code`` how it ended, if it did.
    """

    kind: Name
    message: str
    where: str = ""
    hint: str = ""
    permanent: bool = True
    detail: str = ""
    exit_code: int | None = None
    log: tuple[str, ...] = ()


class WriteRecord(Frozen):
    """One thing that was written: a table version or a set of files."""

    uri: str
    format: Name
    mode: Name
    rows: int | None = None
    files: int | None = None
    bytes: int | None = None
    version: int | None = None
    note: str = ""


class OperationRecord(Frozen):
    """An operation of a transform, in order: its rows in and out, None where nobody knows them."""

    name: Name
    rows_in: int | None = None
    rows_out: int | None = None

    @property
    def removed(self) -> int | None:
        """Rows that went in and did not come out; None where that is not known, or there are more."""
        if self.rows_in is None or self.rows_out is None or self.rows_out > self.rows_in:
            return None
        return self.rows_in - self.rows_out


CLEANING = frozenset(
    {
        *("remove_nulls", "standardize_fields", "remove_duplicates"),
        *("handle_missing_values", "normalize_formats", "validate_constraints"),
    }
)
"""The operations that clean."""


class CheckRecord(Frozen):
    """What came of a rule: how many ``rows`` it was asked about, how many were ``broken``, how many of them ``left``.

    Of a rule about the table ``rows`` is None. ``examples`` are some of the broken rows.
    """

    name: str
    rule: Name
    on_fail: Name
    status: Name  # passed, warned, failed or quarantined
    rows: int | None = None
    broken: int = 0
    left: int = 0
    message: str = ""
    version: Name = ""
    examples: SampleRecord | None = None


class QualityRecord(Frozen):
    """The share of rules that hold, from 0 to 1, ``before`` rows went to quarantine and ``after``.

    ``quarantined`` rows are in the table ``quarantine``, empty where no rule sends rows there.
    """

    before: float
    after: float
    quarantined: int = 0
    quarantine: str = ""


class AttemptRecord(Frozen):
    """One try at a step: number ``number`` of as many as there may be, after a wait of ``delay`` seconds."""

    number: int
    of: int = 1
    status: StepStatus
    started_at: datetime
    ended_at: datetime | None = None
    delay: float = 0.0
    config_hash: Name = ""
    error: ErrorRecord | None = None

    @property
    def which(self) -> str:
        """``3 of 4``; just the number where lost races have made more of them."""
        return f"{self.number} of {self.of}" if self.number <= self.of else str(self.number)


class PodRecord(Frozen):
    """A pod that worked on a step: where, for how long, and how it ended.

    Seconds are those that it waited for a node and its image, that its worker took to start, and that it worked.
    Of one that failed ``log`` holds the last lines it printed and ``exit_code`` how it ended, if it did.
    """

    name: Name
    job: Name
    node: Name = ""
    image: str = ""
    status: Name = ""  # Succeeded, Failed, Running, or what the cluster says, such as OOMKilled
    reason: str = ""
    waited: float | None = None
    starting: float | None = None
    worked: float | None = None
    executors: int | None = None  # pods of Spark beside it
    exit_code: int | None = None
    log: tuple[str, ...] = ()


class StepRecord(Frozen):
    """A step of a run: what was decided and why, and what came of it."""

    name: Name
    layer: Name
    node: Name  # Connect, Ingest, Transform, Store or Publish
    operation: Name  # read, sql, function, or the operations of a transform: "filter, join"
    engine: Name
    upstream: Names = ()
    description: str = ""
    owner: str = ""
    tags: Names = ()
    decision: Name = "run"  # run, reuse or skip
    reason: str = ""
    status: StepStatus = StepStatus.WAITING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    rows_in: dict[str, int | None] = {}
    rows_out: int | None = None
    operations: tuple[OperationRecord, ...] = ()  # of a transform that was computed
    columns: tuple[ColumnRecord, ...] = ()
    lineage: tuple[ColumnLineage, ...] = ()
    reads: tuple[DatasetRecord, ...] = ()
    makes: tuple[DatasetRecord, ...] = ()  # the first is what ``columns`` and ``lineage`` are of
    code: str = ""  # the function by its real name, or the command
    params: dict[str, Any] = {}
    sql: str = ""  # as written by the user
    sql_run: str = ""  # as executed by the engine
    sample: SampleRecord | None = None
    writes: tuple[WriteRecord, ...] = ()
    key: Name = ""
    digest: Name = ""
    synthetic: bool = False  # its rows were made up, because its source was unavailable
    peak_memory: int | None = None  # peak resident memory of its process by the end of the step
    checks: tuple[CheckRecord, ...] = ()
    quality: QualityRecord | None = None
    warnings: tuple[str, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    pods: tuple[PodRecord, ...] = ()  # of all attempts, where it was computed elsewhere
    error: ErrorRecord | None = None

    @property
    def cleaning_operations_applied(self) -> tuple[str, ...]:
        """The operations that cleaned, in order."""
        return tuple(operation.name for operation in self.operations if operation.name in CLEANING)

    @property
    def logs(self) -> tuple[tuple[str, ...], ...]:
        """The last lines of each attempt that failed and has some."""
        return tuple(one.error.log for one in self.attempts if one.error is not None and one.error.log)

    @property
    def retry_count(self) -> int:
        """Attempts after the first."""
        return max(0, len(self.attempts) - 1)

    @property
    def seconds(self) -> float | None:
        """Wall time of the step, None where it did not run."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


class StageRecord(Frozen):
    """The sources of a layer, once all have ended: how many succeeded, and how many had to.

    ``status`` is ``completed`` or ``failed``; ``timestamp`` is when the last one ended.
    """

    layer: Name
    timestamp: datetime
    total_sources: int
    successful_sources: int
    needed: int
    status: Name


class ProofRecord(Frozen):
    """What was proved of the run's config, on these versions: ``steps`` of ``total`` equal on the engines."""

    engines: Names
    proved_at: datetime
    rows: int
    steps: int
    total: int


class CheckpointRecord(Frozen):
    """A checkpoint that a run saved: after which layer or step, when, and how many steps were completed in it."""

    reason: str
    at: datetime
    completed: int


class RunRecord(Frozen):
    """One walk of one plan."""

    run_id: Name
    pipeline: Name
    config: Name  # path of the config as the user gave it
    config_hash: Name
    logical_date: Name  # ISO date
    target: Name
    engine: Name
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None = None
    description: str = ""
    owner: str = ""
    runbook: str = ""
    command: str = ""
    resumed_from: Name = ""  # the run whose checkpoint this one went on from
    checkpoints: tuple[CheckpointRecord, ...] = ()
    resume: str = ""  # the command that goes on from the last checkpoint of a run that did not succeed
    params: dict[str, Any] = {}
    versions: dict[str, str] = {}
    proof: ProofRecord | None = None
    stages: tuple[StageRecord, ...] = ()  # the layers that have sources
    error: str = ""
    warnings: tuple[str, ...] = ()  # what went wrong beside the steps, such as hooks
    steps: tuple[StepRecord, ...] = ()  # in the order of the plan

    @property
    def seconds(self) -> float | None:
        """Wall time of the run, None while it goes on."""
        if self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def cache_hits(self) -> int:
        """Steps whose earlier result stood for them: in their table, their files, the cache or a checkpoint."""
        return self.count(StepStatus.REUSED)

    @property
    def cache_misses(self) -> int:
        """Steps that had to be computed."""
        return self.count(StepStatus.COMPLETED) + self.count(StepStatus.FAILED)

    def export_lineage(self, file: str | PathLike[str]) -> None:
        """Write what every step read, made and did to a file, as ``odibi lineage export`` does."""
        from odibi.record.lineage import document

        text = json.dumps(document(self), ensure_ascii=False, indent=2, default=str)
        Path(file).write_text(text + "\n", encoding="utf-8", newline="\n")

    def count(self, status: StepStatus) -> int:
        """How many steps stand at ``status``."""
        return sum(step.status is status for step in self.steps)
