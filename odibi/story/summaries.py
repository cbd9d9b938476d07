"""What the steps of a stage did, as plain data for other programs: pure functions from a record.

A tag ``ingestion``, ``validation``, ``transformation`` or ``analytics`` says which stage a step is of. Without
one, what reads from outside ingests, what has checks validates, and what computes transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from odibi.record.model import CheckRecord, RunRecord, RunStatus, StepRecord, StepStatus

__all__ = ["ANALYTICS", "as_made", "summaries"]

ANALYTICS = "analytics"
"""The tag of steps whose files the report holds."""

_TAGS = frozenset({"ingestion", "validation", "transformation", ANALYTICS})
_DONE = (StepStatus.COMPLETED, StepStatus.REUSED)


def summaries(run: RunRecord, analytics: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """The summary of each stage by the name of its file, and the report of them all.

    Args:
        run: the record. A stage without steps has no summary.
        analytics: what the steps of the stage ``analytics`` wrote, by their names; each is a file too.
    """
    steps = [step for step in run.steps if step.status is not StepStatus.SKIPPED]
    stages = {stage: [step for step in steps if _is_of(step, stage)] for stage in _STAGES}
    found = {stage: _summary(run, stage, of) for stage, of in stages.items() if of}
    done = [step for step in steps if step.status in _DONE]
    succeeded = run.status is RunStatus.SUCCEEDED
    if succeeded:
        partial = any(summary["status"] != "completed" for summary in found.values())
        status = "partial" if partial else "completed"
    else:
        status = "partial" if done else "failed"
    report = {
        "pipeline": run.pipeline,
        "run_id": run.run_id,
        "logical_date": run.logical_date,
        "timestamp": _moment(run.ended_at),
        "status": status,
        "run_status": run.status.value,
        "stages": found,
        "file_counts": {
            f"{name}_files": sum(_places(step) for step in done if _is_of(step, stage))
            for name, stage in _COUNTED.items()
        },
        "analytics": dict(analytics or {}),
    }
    named = {f"{stage}-summary.json": summary for stage, summary in found.items()}
    named |= {f"{name}.json": said for name, said in (analytics or {}).items()}
    return {**named, "pipeline_summary_report.json": report}


def as_made(run: RunRecord, earlier: Iterable[RunRecord]) -> RunRecord:
    """The run with what is told of reused steps by the run that made them.

    Args:
        run: the record.
        earlier: the runs before it, latest first; asked only as long as something is missing.
    """
    found = {step.name: step for step in run.steps}
    missing = {
        name: step.key for name, step in found.items() if step.status is StepStatus.REUSED and step.key
    }
    runs = iter(earlier)
    while missing and (before := next(runs, None)) is not None:
        for step in before.steps:
            if step.status is StepStatus.COMPLETED and missing.get(step.name) == step.key:
                told = {
                    name: getattr(step, name)
                    for name in ("rows_in", "operations", "checks", "quality", "writes")
                }
                found[step.name] = found[step.name].model_copy(update=told)
                del missing[step.name]
    return run.model_copy(update={"steps": tuple(found.values())})


def _is_of(step: StepRecord, stage: str) -> bool:
    tagged = _TAGS & set(step.tags)
    if tagged:
        return stage in tagged
    found = {"ingestion": step.node == "Ingest", "transformation": step.node == "Transform"}
    return bool(step.checks) if stage == "validation" else found.get(stage, False)


def _summary(run: RunRecord, stage: str, steps: Sequence[StepRecord]) -> dict[str, Any]:
    total, successful, report = _STAGES[stage]
    done = sum(step.status in _DONE for step in steps)
    status = "completed" if done == len(steps) else "partial" if done else "failed"
    if stage == "ingestion" and run.stages and all(each.status == "completed" for each in run.stages):
        status = "completed"  # as many as had to succeed
    return {
        "timestamp": _moment(run.ended_at),
        total: len(steps),
        successful: done,
        "status": status,
        "reports": [report(step) for step in steps],
    }


def _ingested(step: StepRecord) -> dict[str, Any]:
    return {
        "file": step.name,
        "records": step.rows_out,
        "synthetic": step.synthetic,
        "status": step.status.value,
        "error": step.error.message if step.error is not None else "",
        "timestamp": _moment(step.ended_at),
    }


def _validated(step: StepRecord) -> dict[str, Any]:
    """What the checks of a step found. ``schema_valid`` is of the schema alone, None where it has none."""
    schema = [check for check in step.checks if check.rule == "json_schema"]
    others = [check for check in step.checks if check.rule != "json_schema" and check.status != "passed"]
    return {
        "file": step.name,
        "original_records": _received(step),
        "validated_records": step.rows_out,
        "quarantined_records": step.quality.quarantined if step.quality is not None else 0,
        "schema_valid": all(check.status == "passed" for check in schema) if schema else None,
        "schema_errors": [_broken(check) for check in schema if check.status != "passed"],
        "quality_errors": [_broken(check) for check in others],
        "cleaning_operations_applied": list(step.cleaning_operations_applied),
        "status": step.status.value,
        "error": step.error.message if step.error is not None else "",
        "timestamp": _moment(step.ended_at),
    }


def _received(step: StepRecord) -> int | None:
    """How many rows came in: as counted, or else as many as the rules about rows were asked about."""
    known = [step.operations[0].rows_in] if step.operations else []
    known += [*step.rows_in.values(), *(check.rows for check in step.checks)]
    return next((rows for rows in known if rows is not None), None)


def _broken(check: CheckRecord) -> dict[str, Any]:
    """A rule that is broken: how often, and some of the records."""
    examples = check.examples
    records = [dict(zip(examples.columns, row, strict=True)) for row in examples.rows] if examples else []
    return {
        "rule": check.name,
        "status": check.status,
        "message": check.message,
        "total": check.broken,
        "examples": records,
    }


def _transformed(step: StepRecord) -> dict[str, Any]:
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


_STAGES: Mapping[str, tuple[str, str, Callable[[StepRecord], dict[str, Any]]]] = {
    "ingestion": ("total_sources", "successful_sources", _ingested),
    "validation": ("total_files", "successful_validations", _validated),
    "transformation": ("total_files", "successful_transformations", _transformed),
}
"""What each stage counts, and what is told of a step of it."""

_COUNTED = {
    "raw": "ingestion",
    "validated": "validation",
    "transformed": "transformation",
    "analytics": ANALYTICS,
}
"""The stages by what their files are called."""


def _places(step: StepRecord) -> int:
    """How many tables and files a step has written; what a server sent has landed in one."""
    return len(step.writes) or int(step.node == "Ingest")


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
