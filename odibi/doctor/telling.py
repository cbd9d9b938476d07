"""Questions about what a run tells, and whom."""

from __future__ import annotations

from collections.abc import Iterator

from odibi.doctor.model import Case, Fault

__all__ = [
    "dashboard_has_metrics",
    "errors_have_hooks",
    "failures_alert",
    "metrics_are_exported",
    "people_are_reached",
    "runs_are_tracked",
    "stories_show_rows",
]

_ERRORS = {"node_error", "pipeline_error", "*"}
_PEOPLE = ("slack", "email", "pagerduty")
_FAILED = ("Failure", "HighFailureRate")


def errors_have_hooks(case: Case) -> Iterator[Fault]:
    """A hook is told when a step or a run fails."""
    if not any(_ERRORS & set(hook.on) for hook in case.pipeline.hooks):
        yield Fault("no hook is told of node_error or pipeline_error", ("hooks",))


def people_are_reached(case: Case) -> Iterator[Fault]:
    """Some hook goes where people look."""
    if not any(hook.type in _PEOPLE for hook in case.pipeline.hooks):
        yield Fault("no hook is of type slack, email or pagerduty", ("hooks",))


def failures_alert(case: Case) -> Iterator[Fault]:
    """A rule calls somebody when runs fail, and says when it is over."""
    if not any(rule.condition.kind in _FAILED for rule in case.pipeline.alerts.rules):
        yield Fault("no alert has the condition Failure or HighFailureRate", ("alerts",))


def runs_are_tracked(case: Case) -> Iterator[Fault]:
    """Samples, lineage and a story of every run."""
    if not case.pipeline.enable_tracker:
        yield Fault("enable_tracker is false: runs have no lineage and no story", ("enable_tracker",))


def stories_show_rows(case: Case) -> Iterator[Fault]:
    """A story shows a few rows of every table, not only how many there are."""
    if not case.pipeline.samples:
        yield Fault("samples is 0: no story shows a row", ("samples",))


def metrics_are_exported(case: Case) -> Iterator[Fault]:
    """Every run leaves its metrics somewhere."""
    if case.pipeline.metrics is None:
        yield Fault("no metrics: says where they go", ("metrics",))


def dashboard_has_metrics(case: Case) -> Iterator[Fault]:
    """Metrics go where Prometheus, and with it a dashboard, finds them."""
    metrics = case.pipeline.metrics
    if metrics is not None and metrics.prometheus is None and metrics.push is None:
        yield Fault("metrics are written as JSON only", ("metrics",))
