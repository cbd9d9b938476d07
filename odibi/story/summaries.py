"""What the steps of a stage did, as plain data for other programs: pure functions from a record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from odibi.record.model import RunRecord, StepRecord, StepStatus

__all__ = ["summaries"]

_DONE = (StepStatus.COMPLETED, StepStatus.REUSED)


def summaries(run: RunRecord) -> dict[str, dict[str, Any]]:
    """The summary of each stage by the name of its file; a stage without steps has none."""
    transforms = [
        step for step in run.steps if step.node == "Transform" and step.status is not StepStatus.SKIPPED
    ]
    if not transforms:
        return {}
    done = sum(step.status in _DONE for step in transforms)
    status = "completed" if done == len(transforms) else "partial" if done else "failed"
    return {
        "transformation-summary.json": {
            "timestamp": _moment(run.ended_at),
            "total_files": len(transforms),
            "successful_transformations": done,
            "status": status,
            "reports": [_report(step) for step in transforms],
        }
    }


def _report(step: StepRecord) -> dict[str, Any]:
    """What one step did. Its input is the first: of a transform the one that is transformed."""
    names = [each.name for each in step.operations] or step.operation.split(", ")
    return {
        "file": step.name,
        "input_records": next(iter(step.rows_in.values()), None),
        "output_records": step.rows_out,
        "transformations_applied": len(names),
        "operations": [each.model_dump(mode="json") for each in step.operations]
        or [{"name": name, "rows_in": None, "rows_out": None} for name in names],
        "cleaning_operations_applied": list(step.cleaning_operations_applied),
        "status": step.status.value,
        "timestamp": _moment(step.ended_at),
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
