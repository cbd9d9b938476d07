"""``odibi status``: how the last run of every pipeline stands, or of one with its steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from odibi.cli.exits import Exit, NotFound
from odibi.cli.runs import pipeline_of, store_of
from odibi.cli.terminal import Cell, clean, is_live, paint, say, say_json, table
from odibi.cli.watching import again
from odibi.errors import nearest
from odibi.record.model import AttemptRecord, PodRecord, RunRecord, RunStatus, StepRecord, StepStatus

if TYPE_CHECKING:
    from odibi.record.store import RunStore

__all__ = ["COLOURS", "GOING_ON", "PHASES", "fields", "last_runs", "since", "status"]

PHASES = {
    RunStatus.QUEUED: "Pending",
    RunStatus.RUNNING: "Running",
    RunStatus.SUCCEEDED: "Completed",
    RunStatus.FAILED: "Failed",
    RunStatus.TIMEOUT: "Failed",
    RunStatus.CANCELLED: "Failed",
}
"""What operators call the state of a run."""

COLOURS = {"Completed": "green", "Failed": "red", "Running": "yellow"}
GOING_ON = (RunStatus.QUEUED, RunStatus.RUNNING)
WATCHED_EVERY = 5.0
CLEARED = "\x1b[2J\x1b[H"
"""What makes a terminal empty."""

_HEADERS = ("Pipeline", "Phase", "Steps", "Duration", "Started")
_COMPLETED = (StepStatus.COMPLETED, StepStatus.REUSED, StepStatus.SKIPPED)


def status(
    *, name: str | None, verbose: bool, output: str, watch: bool = False, interval: float = WATCHED_EVERY
) -> int:
    """Print the table of all pipelines, or the details of the one that is named (or whose config is).

    ``verbose`` adds the attempts at its steps. With ``watch`` it is printed again every ``interval``
    seconds, in place of what was there, until no run goes on or Ctrl-C is pressed.
    """
    if not watch:
        _show(name, verbose, output)
        return Exit.SUCCESS

    def look() -> bool:
        if is_live() and output != "json":
            say(CLEARED, end="")
        return _show(name, verbose, output)

    again(look, interval)
    return Exit.SUCCESS


def _show(name: str | None, verbose: bool, output: str) -> bool:
    """Print it once; whether a run goes on."""
    with store_of() as store:
        if name is None:
            runs = last_runs(store)
            _print_all(runs, output)
            return any(run.status in GOING_ON for run in runs)
        pipeline = pipeline_of(name)
        run = store.last_run(pipeline) if store is not None else None
        if run is None:
            known = store.pipelines() if store is not None else ()
            hint = nearest(pipeline, known, "pipelines that have run") or "no pipeline has run yet"
            raise NotFound(f"pipeline {pipeline!r} not found among the recorded runs", hint=hint)
    if output == "json":
        say_json(fields(run) | _details(run))
    else:
        _print_one(run, verbose=verbose)
    return run.status in GOING_ON


def since(seconds: float | None) -> str:
    """A duration for people: ``2h 15m``, ``45m``, ``3.2s``; ``Unknown`` if it is not known."""
    if seconds is None:
        return "Unknown"
    if round(seconds, 1) < 60:
        return f"{max(seconds, 0):.1f}s"
    minutes = int(round(seconds, 1) // 60)
    return f"{minutes // 60}h {minutes % 60}m" if minutes >= 60 else f"{minutes}m"


def last_runs(store: RunStore | None) -> list[RunRecord]:
    """The last run of each pipeline."""
    if store is None:
        return []
    return [run for name in store.pipelines() for run in store.runs(name, limit=1)]


def _print_all(runs: Sequence[RunRecord], output: str) -> None:
    if output == "json":
        say_json([fields(run) for run in runs])
    elif not runs:
        say("No pipelines found")
    else:
        rows: list[Sequence[Cell]] = []
        for run in runs:
            name, phase, *others = fields(run).values()
            rows.append((name, (phase, COLOURS.get(phase, "")), *others))
        say(table(_HEADERS, rows))


def fields(run: RunRecord) -> dict[str, str]:
    """The columns of the table."""
    started = run.started_at.astimezone(UTC)
    seconds = run.seconds
    if seconds is None and run.status is RunStatus.RUNNING:
        seconds = (datetime.now(UTC) - started).total_seconds()
    completed = sum(run.count(one) for one in _COMPLETED)
    return {
        "pipeline": run.pipeline,
        "phase": PHASES.get(run.status, "Unknown"),
        "steps": f"{completed}/{len(run.steps)}",
        "duration": since(seconds),
        "started": started.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _details(run: RunRecord) -> dict[str, Any]:
    steps = [
        {
            "step": step.name,
            "layer": step.layer,
            "status": step.status,
            "reason": step.reason,
            "rows": step.rows_out,
            "seconds": step.seconds,
            "synthetic": step.synthetic,
            "retry_count": step.retry_count,
            "attempts": [
                attempt.model_dump(mode="json", exclude={"error": {"detail"}}) for attempt in step.attempts
            ],
            "error": step.error.model_dump(exclude={"detail"}) if step.error else None,
            "pods": [pod.model_dump(mode="json") for pod in step.pods],
        }
        for step in run.steps
    ]
    return {
        "run_id": run.run_id,
        "status": run.status,
        "date": run.logical_date,
        "target": run.target,
        "config": run.config,
        "error": run.error,
        "warnings": list(run.warnings),
        "stages": [stage.model_dump(mode="json") for stage in run.stages],
        "details": steps,
    }


def _print_one(run: RunRecord, *, verbose: bool) -> None:
    from odibi.story.text import stage as stage_said

    told = fields(run)
    say(f"Pipeline: {told['pipeline']}")
    reason = f" ({clean(run.error)})" if run.error else ""
    say(f"Phase: {paint(told['phase'], COLOURS.get(told['phase'], ''))}{reason}")
    say(f"Steps: {told['steps']} completed")
    say(f"Duration: {told['duration']}")
    say(f"Started: {told['started']}")
    say(f"Run: {run.run_id} for {run.logical_date}, target {run.target}")
    for label, state in (("Current Step", StepStatus.RUNNING), ("Failed Step", StepStatus.FAILED)):
        names = [step.name for step in run.steps if step.status is state]
        if names:
            say(f"{label}: {', '.join(names)}")
    for stage in (stage for stage in run.stages if stage.successful_sources < stage.total_sources):
        say(f"Sources: {stage_said(stage)}")
    made_up = ", ".join(step.name for step in run.steps if step.synthetic)
    if made_up:
        say(f"Synthetic: made-up rows stand in for {made_up}")
    for warning in run.warnings:
        say(f"Warning: {clean(warning)}")
    say()
    width = max((len(step.name) for step in run.steps), default=0)
    for step in run.steps:
        say(f"  {step.name:{width}}  {clean(_said(step, run))}")
        for attempt in step.attempts if verbose else ():
            _print_attempt(attempt, " " * (width + 4))
        for pod in step.pods if verbose else ():
            _print_pod(pod, step, " " * (width + 4))


def _print_attempt(attempt: AttemptRecord, margin: str) -> None:
    """One attempt in a line; below it what went wrong in it, and what its process printed last."""
    from odibi.story.text import duration

    waited = f" after a wait of {duration(attempt.delay)}" if attempt.delay else ""
    ended = attempt.ended_at or datetime.now(UTC)
    took = duration((ended - attempt.started_at).total_seconds())
    start = attempt.started_at.astimezone(UTC).strftime("%H:%M:%S")
    say(f"{margin}attempt {attempt.which} at {start}{waited}: {attempt.status.value} in {took}")
    if (error := attempt.error) is not None:
        place = f"{error.where}: " if error.where else ""
        code = f" (exit code {error.exit_code})" if error.exit_code is not None else ""
        say(f"{margin}  {error.kind}{code}: {clean(place + error.message)}")
        for line in error.log:
            say(f"{margin}  | {clean(line)}")


def _print_pod(pod: PodRecord, step: StepRecord, margin: str) -> None:
    """A pod in a line, and what it printed last where no attempt has told that."""
    from odibi.story.text import duration
    from odibi.story.text import pod as pod_said

    times = (("waited", pod.waited), ("started in", pod.starting), ("worked", pod.worked))
    took = ", ".join(f"{what} {duration(seconds)}" for what, seconds in times if seconds is not None)
    say(f"{margin}pod {clean(pod_said(pod))}{took and f': {took}'}")
    for line in () if pod.log in step.logs else pod.log:
        say(f"{margin}  | {clean(line)}")


def _said(step: StepRecord, run: RunRecord) -> str:
    """What became of a step, in a few words."""
    from odibi.story.text import duration

    match step.status:
        case StepStatus.COMPLETED:
            tries = f" at attempt {len(step.attempts)}" if step.retry_count else ""
            return f"completed in {duration(step.seconds)}{tries}"
        case StepStatus.RUNNING if run.status is RunStatus.RUNNING and step.started_at is not None:
            tries = f"attempt {len(step.attempts)} failed, " if step.attempts else ""
            return f"{tries}running for {duration((datetime.now(UTC) - step.started_at).total_seconds())}"
        case StepStatus.RUNNING:
            return "was running when the process ended"
        case StepStatus.WAITING:
            return "waiting for dependencies" if run.status is RunStatus.RUNNING else "not started"
        case StepStatus.PENDING:
            return "waiting for a free worker" if run.status is RunStatus.RUNNING else "not started"
        case StepStatus.FAILED if step.error is not None:
            place = f"{step.error.where}: " if step.error.where else ""
            tries = f" and {len(step.attempts)} attempts" if step.retry_count else ""
            return f"failed after {duration(step.seconds)}{tries}: {place}{step.error.message}"
        case other:
            return f"{other.value.replace('_', ' ')}: {step.reason}".rstrip(": ")
