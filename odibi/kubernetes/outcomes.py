"""From what a worker left to what the run takes it for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from odibi.errors import Permanent
from odibi.kubernetes.result import WorkerResult
from odibi.plan.model import Action, PlannedStep
from odibi.record.model import ErrorRecord, PodRecord, StepRecord, StepStatus
from odibi.relational.schema import Column
from odibi.run.outcome import Outcome, error_record
from odibi.run.retry import Failure

__all__ = ["outcomes"]


def outcomes(
    steps: Sequence[PlannedStep], result: WorkerResult, pods: tuple[PodRecord, ...], hindrance: str = ""
) -> dict[str, Outcome]:
    """What became of each step that the worker came to; ``hindrance`` is what its executors lacked or died of."""
    records = {record.name: record for record in result.steps}
    came = (StepStatus.COMPLETED, StepStatus.REUSED, StepStatus.FAILED, StepStatus.SKIPPED)
    return {
        planned.name: _outcome(records[planned.name], pods, hindrance if planned.engine == "spark" else "")
        for planned in steps
        if planned.name in records and records[planned.name].status in came
    }


def _outcome(record: StepRecord, pods: tuple[PodRecord, ...], hindrance: str) -> Outcome:
    error = record.error
    if record.status is StepStatus.FAILED and error is None:
        error = error_record(Permanent("the worker does not say why"))
    if error is not None and hindrance:
        error = error.model_copy(update={"message": f"{error.message}: {hindrance}"})
    return Outcome(
        record.status,
        reason=record.reason if record.status in (StepStatus.REUSED, StepStatus.SKIPPED) else "",
        rows_in=record.rows_in,
        rows_out=record.rows_out,
        reads=record.reads,
        operations=record.operations,
        columns=tuple(Column(column.name, column.type) for column in record.columns),
        writes=record.writes,
        sample=record.sample,
        sql_run=record.sql_run,
        key=record.key,
        digest=record.digest,
        checks=record.checks,
        quality=record.quality,
        warnings=record.warnings,
        peak_memory=record.peak_memory,
        synthetic=record.synthetic,
        error=error,
        failure=_failure(error),
        attempts=record.attempts,
        pods=pods,
        left_out=record.status is StepStatus.SKIPPED and record.decision == str(Action.RUN),
    )


def _failure(error: ErrorRecord | None) -> Failure:
    return Failure() if error is None else Failure((error.kind,), error.message)
