"""The dated events of a run: pure functions of its record.

A run that goes on has the same entries as when it has ended, but for those that are still to come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from odibi.record.model import AttemptRecord, ErrorRecord, RunRecord, RunStatus, StepRecord, StepStatus
from odibi.story.text import count, duration, sentence

__all__ = ["Entry", "entries", "of_run_end", "of_run_start", "of_step"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, in words and as values; ``log`` are the last lines its process printed.

    ``reason`` is one word for what happened: Started, Retried, Completed, Failed ...
    """

    at: datetime
    level: str
    reason: str
    message: str
    status: str
    run_id: str
    pipeline: str
    step: str = ""
    layer: str = ""
    engine: str = ""
    attempt: int | None = None
    seconds: float | None = None
    rows: int | None = None
    error: str = ""
    log: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """The fields of a line of JSON; those of steps are None for what is of the whole run."""
        return {
            "time": self.at.isoformat(timespec="milliseconds"),
            "level": self.level,
            "message": self.message,
            "pipeline_id": self.run_id,
            "run_id": self.run_id,
            "job_name": self.pipeline,
            "step": self.step or None,
            "layer": self.layer or None,
            "engine": self.engine or None,
            "status": self.status,
            "duration_secs": self.seconds,
            "attempt": self.attempt,
            "rows": self.rows,
            "error": self.error or None,
            "log": list(self.log),
        }


_LEVELS = {
    StepStatus.FAILED: "ERROR",
    StepStatus.NOT_RUN: "WARNING",
    StepStatus.CANCELLED: "WARNING",
    StepStatus.PENDING: "DEBUG",
}
_OF_RUN = {
    RunStatus.SUCCEEDED: ("INFO", "Completed"),
    RunStatus.CANCELLED: ("WARNING", "Cancelled"),
    RunStatus.TIMEOUT: ("ERROR", "TimedOut"),
}


def entries(run: RunRecord) -> list[Entry]:
    """Everything that has happened in the run, in the order of time."""
    found = [of_run_start(run)]
    over: dict[str, datetime] = {}
    for step in run.steps:
        # Of what took no time it is not recorded when it was: as soon as all that it needs had ended.
        before = max((over[name] for name in step.upstream if name in over), default=run.started_at)
        over[step.name] = step.ended_at or before
        if step.status is not StepStatus.PENDING:
            found += of_step(run, step, over[step.name])
    found.sort(key=lambda entry: entry.at)
    if run.status not in (RunStatus.RUNNING, RunStatus.QUEUED):
        found.append(of_run_end(run, found[-1].at))
    return found


def of_run_start(run: RunRecord) -> Entry:
    """The beginning of a run."""
    message = f"{run.pipeline}: run {run.run_id[:8]} started for {run.logical_date}, target {run.target}"
    return _of_run(run, run.started_at, "INFO", "Started", message, RunStatus.RUNNING)


def of_run_end(run: RunRecord, last: datetime) -> Entry:
    """The end of a run; ``last`` is when something is known to have happened in it for the last time."""
    level, reason = _OF_RUN.get(run.status, ("ERROR", "Failed"))
    at = run.ended_at or last
    return _of_run(run, at, level, reason, sentence(run), run.status)


def of_step(run: RunRecord, step: StepRecord, at: datetime) -> Iterator[Entry]:
    """What has happened to a step; ``at`` is when, where the record does not say."""
    if step.started_at is not None:
        yield _of_step(run, step, step.started_at, "INFO", "Started", "started", StepStatus.RUNNING, 1)
    for attempt in step.attempts:
        if attempt.number > 1:
            waited = f" after {duration(attempt.delay)}" if attempt.delay else ""
            said = f"tried again{waited}, attempt {attempt.which}"
            yield _of_step(
                run, step, attempt.started_at, "INFO", "Retried", said, StepStatus.RUNNING, attempt.number
            )
        if attempt.error is not None and not (step.status.ended and attempt is step.attempts[-1]):
            yield _failed_attempt(run, step, attempt, at)
    if step.status.ended or step.status is StepStatus.PENDING:
        yield _end(run, step, step.ended_at or at)


def _failed_attempt(run: RunRecord, step: StepRecord, attempt: AttemptRecord, at: datetime) -> Entry:
    ended = attempt.ended_at or at
    seconds = (ended - attempt.started_at).total_seconds()
    said = f"attempt {attempt.which} failed after {duration(seconds)}: {_said(attempt.error)}"
    return _of_step(
        run, step, ended, "WARNING", "AttemptFailed", said, StepStatus.FAILED, attempt.number, seconds, attempt.error
    )  # fmt: skip


def _end(run: RunRecord, step: StepRecord, at: datetime) -> Entry:
    status, took = step.status, duration(step.seconds)
    tries = f" at attempt {len(step.attempts)}" if step.retry_count else ""
    match status:
        case StepStatus.COMPLETED:
            rows = f" with {count(step.rows_out, 'row')}" if step.rows_out is not None else ""
            said = f"completed in {took}{tries}{rows}"
        case StepStatus.FAILED:
            said = f"failed after {took}{tries}: {_said(step.error)}"
        case StepStatus.PENDING:
            said = "may start"
        case _:
            said = f"{status.value.replace('_', ' ')}: {step.reason}".rstrip(": ")
    reason = "".join(word.capitalize() for word in status.value.split("_"))
    number = len(step.attempts) or None
    error = step.error if status is StepStatus.FAILED else None
    return _of_step(
        run, step, at, _LEVELS.get(status, "INFO"), reason, said, status, number, step.seconds, error
    )


def _said(error: ErrorRecord | None) -> str:
    if error is None:
        return "no reason recorded"
    return f"{error.kind}: {f'{error.where}: ' if error.where else ''}{error.message}"


def _of_run(run: RunRecord, at: datetime, level: str, reason: str, message: str, status: RunStatus) -> Entry:
    ended = status is not RunStatus.RUNNING
    return Entry(
        at, level, reason, message, status.value, run.run_id, run.pipeline,
        engine=run.engine, seconds=run.seconds if ended else None, error=run.error if ended else "",
    )  # fmt: skip


def _of_step(
    run: RunRecord, step: StepRecord, at: datetime, level: str, reason: str, said: str, status: StepStatus,
    attempt: int | None, seconds: float | None = None, error: ErrorRecord | None = None,
) -> Entry:  # fmt: skip
    return Entry(
        at, level, reason, f"{run.pipeline}: step {step.name} {said}", status.value, run.run_id, run.pipeline,
        step.name, step.layer, step.engine, attempt, seconds, step.rows_out if status is StepStatus.COMPLETED else None,
        _said(error) if error is not None else "", error.log if error is not None else (),
    )  # fmt: skip
