"""The metrics of one run as plain data: a pure function of its record."""

from __future__ import annotations

from typing import Any

from odibi.record.model import RunRecord, StepRecord, StepStatus

__all__ = ["summary"]

_DONE = (StepStatus.COMPLETED, StepStatus.REUSED)


def summary(run: RunRecord) -> dict[str, Any]:
    """What the run took and gave, in all and by node. Numbers that nobody knows are None.

    Durations are wall times in milliseconds, ``throughput`` is rows per second, ``memory_mb`` the peak
    resident memory of the process that computed the node; times of ``pods`` are in seconds.
    """
    nodes = [_node(step) for step in run.steps]
    tried = run.cache_hits + run.cache_misses
    return {
        "pipeline": run.pipeline,
        "run_id": run.run_id,
        "status": run.status.value,
        "logical_date": run.logical_date,
        "engine": run.engine,
        "started_at": run.started_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at is not None else None,
        "total_duration_ms": _milliseconds(run.seconds),
        "total_nodes": len(nodes),
        "completed_nodes": sum(step.status in _DONE for step in run.steps),
        "failed_nodes": run.count(StepStatus.FAILED),
        "rows": sum(node["rows"] or 0 for node in nodes if node["status"] == StepStatus.COMPLETED),
        "bytes": sum(node["bytes"] for node in nodes),
        "retries": sum(node["retries"] for node in nodes),
        "cache_hits": run.cache_hits,
        "cache_misses": run.cache_misses,
        "cache_hit_rate": round(run.cache_hits / tried, 4) if tried else None,
        "quarantined_rows": sum(node["quarantined_rows"] for node in nodes),
        "check_failures": sum(node["check_failures"] for node in nodes),
        "errors": [{"node": node["node"], "error": node["error"]} for node in nodes if node["error"]],
        "nodes": nodes,
    }


def _node(step: StepRecord) -> dict[str, Any]:
    seconds, rows = step.seconds, step.rows_out
    computed = step.status is StepStatus.COMPLETED
    return {
        "node": step.name,
        "layer": step.layer,
        "engine": step.engine,
        "status": step.status.value,
        "duration_ms": _milliseconds(seconds),
        "rows_in": sum(number or 0 for number in step.rows_in.values()) if step.rows_in else None,
        "rows": rows,
        "throughput": round(rows / seconds, 3) if computed and seconds and rows is not None else None,
        "bytes": sum(write.bytes or 0 for write in step.writes),
        "memory_mb": round(step.peak_memory / 1e6, 1) if step.peak_memory is not None else None,
        "retries": step.retry_count,
        "quarantined_rows": step.quality.quarantined if step.quality is not None else 0,
        "check_failures": sum(check.status != "passed" for check in step.checks),
        "error": step.error.message if step.error is not None else "",
        "pods": [pod.model_dump(mode="json", exclude={"log"}) for pod in step.pods],
    }


def _milliseconds(seconds: float | None) -> float | None:
    return round(seconds * 1000, 3) if seconds is not None else None
