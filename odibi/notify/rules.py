"""Which alerts fire and which are over: a pure function of what is known of runs, the machine and the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from statistics import median

from odibi.config.alerts import (
    AlertRule,
    Failure,
    HighFailureRate,
    PipelineStuckFor,
    ResourceExhaustion,
    UnusualDuration,
)
from odibi.errors import OdibiError
from odibi.record.model import RunRecord, RunStatus
from odibi.record.notices import AlertState, States

__all__ = ["Alert", "Found", "Known", "evaluate"]

_BAD = (RunStatus.FAILED, RunStatus.TIMEOUT)
_DECIDED = (RunStatus.SUCCEEDED, *_BAD)


@dataclass(frozen=True, slots=True)
class Known:
    """What rules are held against.

    Attributes:
        pipeline: the one whose config has the rules.
        runs: of each pipeline its runs in one target, the newest first; without their steps.
        computed: the runs in which a step was computed: those that reused everything are no measure.
        shares: the share in use of a resource, on the disk of a path.
    """

    pipeline: str
    runs: Mapping[str, tuple[RunRecord, ...]]
    computed: frozenset[str]
    shares: Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class Found:
    """A condition that holds: for a pipeline, about a run if ``subject`` names one, and what was measured."""

    pipeline: str
    subject: str
    value: float
    said: str


@dataclass(frozen=True, slots=True)
class Alert:
    """What is to be told: that a rule fires, or (``found`` None) that it does no more."""

    rule: AlertRule
    state: AlertState
    found: Found | None


def evaluate(
    rules: Iterable[AlertRule], known: Known, states: States, target: str, now: datetime,
    warn: Callable[[str], object] = lambda _: None,
) -> Iterator[Alert]:  # fmt: skip
    """The alerts to be told.

    A rule fires once for a run, and for what is no run again and again; never within its cooldown for the
    same pipeline. It is over when its condition holds no more for a pipeline for which it has fired. One that
    cannot be measured stays as it is, and ``warn`` is told.
    """
    for rule in rules:
        try:
            holding = {found.pipeline: found for found in _holding(rule, known, now)}
        except OdibiError as error:
            warn(f"alert {rule.name!r} could not be checked: {error.message}")
            continue
        for pipeline, found in holding.items():
            state = states.get((rule.name, pipeline))
            if _fires(rule, state, found, now):
                yield Alert(rule, AlertState(rule.name, pipeline, target, True, found.subject, now), found)
        for pipeline in _meant(rule, known):
            state = states.get((rule.name, pipeline))
            if state is not None and state.firing and pipeline not in holding:
                over = AlertState(rule.name, pipeline, target, False, state.subject, state.last_fired)
                yield Alert(rule, over, None)


def _fires(rule: AlertRule, state: AlertState | None, found: Found, now: datetime) -> bool:
    if state is None:
        last = rule.last_fired
    elif state.subject and state.subject == found.subject:
        return False
    else:
        last = state.last_fired
    return last is None or now - last >= timedelta(minutes=rule.cooldown_minutes)


def _meant(rule: AlertRule, known: Known) -> list[str]:
    """The pipelines that a rule is about."""
    pattern = getattr(rule.condition.one, "pipeline_pattern", "")
    return [name for name in known.runs if fnmatchcase(name, pattern)] if pattern else [known.pipeline]


def _holding(rule: AlertRule, known: Known, now: datetime) -> Iterator[Found]:
    condition = rule.condition.one
    if isinstance(condition, ResourceExhaustion):
        share = known.shares(condition.resource, condition.path)
        if share > condition.threshold:
            said = f"{share:.0%} of the {condition.resource} is in use"
            yield Found(known.pipeline, "", share, said)
        return
    for pipeline in _meant(rule, known):
        runs = known.runs.get(pipeline, ())
        if isinstance(condition, Failure):
            found = _failed(pipeline, runs)
        elif isinstance(condition, PipelineStuckFor):
            found = _stuck(pipeline, runs, condition, now)
        elif isinstance(condition, HighFailureRate):
            found = _failing(pipeline, runs, condition, now)
        else:
            found = _slow(pipeline, runs, condition, known.computed, now)
        if found is not None:
            yield found


def _failed(pipeline: str, runs: Iterable[RunRecord]) -> Found | None:
    last = next((run for run in runs if run.status in _DECIDED), None)
    if last is None or last.status not in _BAD:
        return None
    return Found(pipeline, last.run_id, 1.0, f"run {last.run_id[:8]} failed: {last.error}")


def _stuck(
    pipeline: str, runs: Iterable[RunRecord], condition: PipelineStuckFor, now: datetime
) -> Found | None:
    going = [run for run in runs if run.status is RunStatus.RUNNING]
    if not going:
        return None
    oldest = min(going, key=lambda run: run.started_at)
    minutes = (now - oldest.started_at).total_seconds() / 60
    if minutes <= condition.minutes:
        return None
    return Found(
        pipeline, oldest.run_id, minutes, f"run {oldest.run_id[:8]} has been going on for {minutes:.0f} min"
    )


def _failing(
    pipeline: str, runs: Iterable[RunRecord], condition: HighFailureRate, now: datetime
) -> Found | None:
    since = now - timedelta(minutes=condition.window_minutes)
    ended = [run for run in runs if run.status in _DECIDED and (run.ended_at or run.started_at) >= since]
    bad = sum(run.status in _BAD for run in ended)
    if not ended or bad / len(ended) <= condition.threshold:
        return None
    return Found(
        pipeline,
        "",
        bad / len(ended),
        f"{bad} of {len(ended)} runs failed in the last {condition.window_minutes:g} min",
    )


def _slow(
    pipeline: str, runs: tuple[RunRecord, ...], condition: UnusualDuration, computed: frozenset[str], now: datetime
) -> Found | None:  # fmt: skip
    # Of a run that was killed nobody knows how long it took.
    kept = [
        run
        for run in runs
        if run.status is RunStatus.RUNNING or (run.run_id in computed and run.ended_at is not None)
    ]
    if not kept:
        return None
    newest, *earlier = kept
    usual = [run.seconds for run in earlier if run.status is RunStatus.SUCCEEDED and run.seconds is not None]
    seconds = newest.seconds if newest.ended_at else (now - newest.started_at).total_seconds()
    if not usual or seconds is None or seconds <= condition.multiplier * median(usual):
        return None
    said = (
        f"run {newest.run_id[:8]} takes {seconds:.0f} s"
        if not newest.ended_at
        else f"run {newest.run_id[:8]} took {seconds:.0f} s"
    )
    return Found(pipeline, newest.run_id, seconds, f"{said}, usual are {median(usual):.0f} s")
