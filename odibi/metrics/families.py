"""The metrics odibi has, and what one run adds to them: a pure function of its record."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from odibi.record.model import PodRecord, RunRecord, RunStatus, StepRecord, StepStatus

__all__ = [
    "ACTIVE",
    "BUCKETS",
    "FAMILIES",
    "RUNNING",
    "Amounts",
    "Family",
    "Labels",
    "added",
    "amounts_of",
    "of_pipeline",
]

BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800)
"""Upper bounds of the durations that the histogram tells apart, in seconds."""

ACTIVE = "active_pipelines"
RUNNING = "pipeline_running_seconds"

_TENANT = "default"


class Labels(NamedTuple):
    """What tells series apart. Those of a whole pipeline have no step and no layer."""

    pipeline: str
    step: str
    layer: str
    engine: str
    tenant: str


Amounts = Mapping[str, float]
"""Numbers by the name of their sample; of a bucket with its bound, as in ``x_bucket:60``."""


@dataclass(frozen=True)
class Family:
    """A metric: its type and meaning, whether it is of each step, and how a run changes what it was."""

    name: str
    type: str
    help: str
    of_step: bool = True
    change: Callable[[float, float], float] = operator.add

    @cached_property
    def samples(self) -> tuple[str, ...]:
        """The names of its samples, in order."""
        if self.type not in ("histogram", "summary"):
            return (self.name,)
        bounds = BUCKETS if self.type == "histogram" else ()
        return (
            *(f"{self.name}_bucket:{bound}" for bound in bounds),
            f"{self.name}_count",
            f"{self.name}_sum",
        )


def _latest(_: float, now: float) -> float:
    return now


FAMILIES = (
    Family("pipeline_starts_total", "counter", "Total number of pipelines started", of_step=False),
    Family("pipeline_failures_total", "counter", "Runs that failed or ran out of time", of_step=False),
    Family("pipeline_duration_seconds", "histogram", "Wall time of finished runs", of_step=False),
    Family(
        "pipeline_last_success_timestamp_seconds", "gauge", "When a run last succeeded", of_step=False, change=max
    ),
    Family(ACTIVE, "gauge", "Runs under way", of_step=False),
    Family(RUNNING, "gauge", "How long the oldest run under way has been going on", of_step=False),
    Family("pipeline_step_failures_total", "counter", "Steps that failed, after all their attempts"),
    Family("pipeline_step_retries_total", "counter", "Attempts after the first"),
    Family("pipeline_step_duration_seconds", "summary", "Wall time of steps that were computed"),
    Family("pipeline_step_rows_total", "counter", "Rows that steps gave"),
    Family("pipeline_step_bytes_total", "counter", "Bytes that steps wrote"),
    Family("pipeline_step_cache_hits_total", "counter", "Steps whose earlier result stood for them"),
    Family("pipeline_step_cache_misses_total", "counter", "Steps that had to be computed"),
    Family("pipeline_step_quarantined_rows_total", "counter", "Rows that went to quarantine"),
    Family("pipeline_step_check_failures_total", "counter", "Rules that were broken"),
    Family(
        "pipeline_step_peak_memory_bytes", "gauge", "Peak resident memory of the last attempt's process",
        change=_latest,
    ),
    Family("pipeline_step_pods_total", "counter", "Pods that worked on steps"),
    Family("pipeline_step_pod_failures_total", "counter", "Pods that failed or were deleted"),
    Family("pipeline_step_pod_waiting_seconds_total", "counter", "Time that pods waited for a node and an image"),
    Family("pipeline_step_pod_starting_seconds_total", "counter", "Time that pods took to start"),
    Family("pipeline_step_pod_working_seconds_total", "counter", "Time that pods worked"),
    Family("pipeline_step_executors_total", "counter", "Executors of Spark beside pods"),
)  # fmt: skip
"""All metrics, in the order they are exported."""

_CHANGES = {sample: family.change for family in FAMILIES for sample in family.samples}


def of_pipeline(run: RunRecord) -> Labels:
    """The labels of a run's pipeline."""
    return Labels(run.pipeline, "", "", run.engine, _TENANT)


def amounts_of(run: RunRecord) -> dict[Labels, dict[str, float]]:
    """What the run, as far as it has come, adds to every metric; of gauges, what they are after it."""
    found = {of_pipeline(run): {name: _number(amount) for name, amount in _of_run(run)}}
    counted: set[str] = set()
    for step in run.steps:
        labels = Labels(run.pipeline, step.name, step.layer, step.engine, _TENANT)
        # A pod that several steps share is counted at the first of them, so that sums are right.
        pods = [pod for pod in step.pods if pod.name not in counted]
        counted.update(pod.name for pod in pods)
        amounts = (*_of_step(step), *_of_pods(pods))
        found[labels] = {f"pipeline_step_{name}": _number(amount) for name, amount in amounts}
    return found


def added(before: Amounts, more: Amounts) -> dict[str, float]:
    """The amounts after a run that gives ``more``."""
    known = (name for name in more if name in _CHANGES)  # another version of odibi may count more
    return {
        **before,
        **{
            name: _CHANGES[name](before[name], more[name]) if name in before else more[name] for name in known
        },
    }


def _number(amount: float) -> float:
    return amount if isinstance(amount, float) else int(amount)  # a truth value is 0 or 1


def _of_run(run: RunRecord) -> Iterator[tuple[str, float]]:
    yield "pipeline_starts_total", 1
    yield "pipeline_failures_total", run.status in (RunStatus.FAILED, RunStatus.TIMEOUT)
    seconds = run.seconds
    for bound in BUCKETS:
        yield f"pipeline_duration_seconds_bucket:{bound}", seconds is not None and seconds <= bound
    yield "pipeline_duration_seconds_sum", seconds or 0
    yield "pipeline_duration_seconds_count", seconds is not None
    if run.status is RunStatus.SUCCEEDED and run.ended_at is not None:
        yield "pipeline_last_success_timestamp_seconds", run.ended_at.timestamp()


def _of_step(step: StepRecord) -> Iterator[tuple[str, float]]:
    seconds = step.seconds
    computed = step.status is StepStatus.COMPLETED
    yield "failures_total", step.status is StepStatus.FAILED
    yield "retries_total", step.retry_count
    yield "duration_seconds_sum", seconds or 0
    yield "duration_seconds_count", seconds is not None
    yield "rows_total", (step.rows_out or 0) if computed else 0
    yield "bytes_total", sum(write.bytes or 0 for write in step.writes)
    yield "cache_hits_total", step.status is StepStatus.REUSED
    yield "cache_misses_total", step.status in (StepStatus.COMPLETED, StepStatus.FAILED)
    yield "quarantined_rows_total", step.quality.quarantined if step.quality is not None else 0
    yield "check_failures_total", sum(check.status != "passed" for check in step.checks)
    if step.peak_memory is not None:
        yield "peak_memory_bytes", step.peak_memory


def _of_pods(pods: Sequence[PodRecord]) -> Iterator[tuple[str, float]]:
    """What steps that run here have no series of."""
    if pods:
        yield "pods_total", len(pods)
        yield "pod_failures_total", sum(pod.status in ("Failed", "Deleted") for pod in pods)
        yield "pod_waiting_seconds_total", sum(pod.waited or 0.0 for pod in pods)
        yield "pod_starting_seconds_total", sum(pod.starting or 0.0 for pod in pods)
        yield "pod_working_seconds_total", sum(pod.worked or 0.0 for pod in pods)
        yield "executors_total", sum(pod.executors or 0 for pod in pods)
