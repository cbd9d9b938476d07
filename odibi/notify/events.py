"""From changes of step records to events: what happened, told as a payload of JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from odibi.config.hooks import Severity
from odibi.record.model import CheckRecord, ErrorRecord, RunRecord, RunStatus, StepRecord, StepStatus

__all__ = ["Events", "severity_of"]

_GOOD = (StepStatus.COMPLETED, StepStatus.REUSED, StepStatus.SKIPPED)
_LEFT = (StepStatus.SKIPPED, StepStatus.NOT_RUN, StepStatus.CANCELLED)
_SEVERITY = {
    "pipeline_error": Severity.CRITICAL,
    "node_error": Severity.CRITICAL,
    "node_retry": Severity.WARNING,
    "check_failed": Severity.WARNING,
}

Tell = Callable[[str, Mapping[str, Any]], None]


def severity_of(payload: Mapping[str, Any]) -> Severity:
    """How urgent an event is."""
    return Severity(payload["severity"])


class Events:
    """The events of one run, from its record and the changes of its steps.

    Args:
        run: the record before its first step.
        wants: whether anybody is to be told of an event; what nobody wants is not made.
        tell: told of each event, on the thread of who tells of the change.
    """

    def __init__(self, run: RunRecord, wants: Callable[[str], bool], tell: Tell) -> None:
        self._run, self._wants, self._tell = run, wants, tell
        self._before = {step.name: step for step in run.steps}
        self._open: dict[str, set[str]] = {}
        for step in run.steps:
            self._open.setdefault(step.layer, set()).add(step.name)

    def begun(self) -> None:
        """The run begins."""
        self._of_run("pipeline_start", f"{self._run.pipeline} has started", steps=len(self._run.steps))

    def changed(self, record: StepRecord) -> None:
        """A step has changed."""
        before, self._before[record.name] = self._before[record.name], record
        if before.status.ended:
            return
        if record.status is StepStatus.RUNNING:
            if before.status is not StepStatus.RUNNING:
                self._of_step("node_start", record, "has started")
            elif len(record.attempts) > len(before.attempts):
                self._retried(record)
        elif record.status.ended:
            self._ended(record)

    def saved(self, reason: str, number: int) -> None:
        """A checkpoint was saved; ``reason`` is the layer or step that ended, or what asked for it."""
        summary = f"{self._run.pipeline}: checkpoint {number} was saved ({reason})"
        self._of_run("checkpoint_saved", summary, checkpoint=number, reason=reason)

    def over(self, run: RunRecord, sentence: str, story: str) -> None:
        """The run has ended; ``sentence`` says how."""
        good = run.status is RunStatus.SUCCEEDED
        failed = [step.name for step in run.steps if step.status is StepStatus.FAILED]
        self._of_run(
            "pipeline_complete" if good else "pipeline_error",
            sentence,
            status=str(run.status),
            duration_ms=_ms(run.seconds),
            row_count=sum(step.rows_out or 0 for step in run.steps if step.writes),
            steps={str(status): run.count(status) for status in StepStatus if run.count(status)},
            failed_steps=failed,
            step_name=failed[0] if failed else None,
            error_message=run.error or None,
            story=story or None,
        )

    def _retried(self, record: StepRecord) -> None:
        last = record.attempts[-1]
        said = f"failed, attempt {last.which}: {last.error.message if last.error else ''}"
        self._of_step("node_retry", record, said, **_error(last.error))

    def _ended(self, record: StepRecord) -> None:
        open_ = self._open[record.layer]
        open_.discard(record.name)
        last = not open_
        if record.status is StepStatus.REUSED:
            self._of_step("cache_hit", record, "is reused")
        elif record.status in (StepStatus.COMPLETED, StepStatus.FAILED):
            self._of_step("cache_miss", record, "had to be computed")
        if self._wants("check_failed"):
            for check in _broken(record):
                self._broke(record, check)
        if record.status is StepStatus.FAILED:
            error = _error(record.error)
            self._of_step(
                "node_error", record, f"failed: {error['error_message']}", layer_complete=last, **error
            )
        elif record.status in _LEFT:
            said = f"{str(record.status).replace('_', ' ')}: {record.reason}"
            self._of_step("node_skipped", record, said, layer_complete=last)
        else:
            self._of_step("node_complete", record, "is done", layer_complete=last)
        if last:
            self._layer(record.layer)

    def _broke(self, record: StepRecord, check: CheckRecord) -> None:
        severity = Severity.CRITICAL if check.status == "failed" else Severity.WARNING
        self._of_step(
            "check_failed",
            record,
            f"broke {check.name}: {check.message or check.rule}",
            severity=str(severity),
            check=check.name,
            rule=check.rule,
            on_fail=check.on_fail,
            check_status=check.status,
            rows=check.rows,
            broken=check.broken,
            error_message=check.message or None,
        )

    def _layer(self, layer: str) -> None:
        if not self._wants("layer_complete"):
            return
        steps = [step for step in self._before.values() if step.layer == layer]
        counts: dict[str, int] = {}
        for step in steps:
            counts[str(step.status)] = counts.get(str(step.status), 0) + 1
        good = all(step.status in _GOOD for step in steps)
        self._of_run(
            "layer_complete",
            f"{self._run.pipeline}: layer {layer} is {'complete' if good else 'over, with steps that failed'}",
            layer=layer,
            status="completed" if good else "failed",
            steps=counts,
        )

    def _of_step(self, event: str, record: StepRecord, said: str, **more: Any) -> None:
        if not self._wants(event):
            return
        last = record.attempts[-1] if record.attempts else None
        payload = {
            "step_name": record.name,
            "layer": record.layer,
            "node": record.node,
            "engine": record.engine,
            "status": str(record.status),
            "reason": record.reason,
            "attempt": last.number if last is not None else None,
            "duration_ms": _ms(record.seconds),
            "row_count": record.rows_out,
        }
        self._of_run(event, f"{self._run.pipeline}: step {record.name} {said}", **{**payload, **more})

    def _of_run(self, event: str, summary: str, **more: Any) -> None:
        if not self._wants(event):
            return
        run = self._run
        payload = {
            "event_type": event,
            "severity": str(_SEVERITY.get(event, Severity.INFO)),
            "timestamp": datetime.now(UTC).isoformat(),
            "summary": summary,
            "pipeline": run.pipeline,
            "run_id": run.run_id,
            "logical_date": run.logical_date,
            "target": run.target,
            "owner": run.owner or None,
            "runbook": run.runbook or None,
        }
        self._tell(event, {**payload, **more})


def _broken(record: StepRecord) -> Iterator[CheckRecord]:
    return (check for check in record.checks if check.status != "passed")


def _error(error: ErrorRecord | None) -> dict[str, Any]:
    if error is None:
        return {"error_message": None}
    return {
        "error_message": error.message,
        "error_type": error.kind,
        "error_where": error.where or None,
        "error_hint": error.hint or None,
    }


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
