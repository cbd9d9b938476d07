"""Numbers, times and outcomes in words for people: pure functions from values to text."""

from __future__ import annotations

from datetime import UTC, datetime

from odibi.record.model import PodRecord, ProofRecord, RunRecord, RunStatus, StageRecord, StepStatus

__all__ = [
    "NONE",
    "count",
    "cut",
    "date_time",
    "delta",
    "duration",
    "one_line",
    "percent",
    "pod",
    "proved",
    "sentence",
    "share",
    "size",
    "stage",
    "times",
]

NONE = "\N{EN DASH}"
"""What stands where nothing is known."""

_OPENING = {
    RunStatus.QUEUED: "{name} is queued for {date}",
    RunStatus.RUNNING: "{name} is running for {date}",
    RunStatus.SUCCEEDED: "{name} ran for {date} in {time}",
    RunStatus.FAILED: "{name} failed for {date} after {time}",
    RunStatus.TIMEOUT: "{name} ran out of time for {date} after {time}",
    RunStatus.CANCELLED: "{name} was cancelled for {date} after {time}",
}
_SAID = {
    StepStatus.COMPLETED: "completed",
    StepStatus.REUSED: "reused",
    StepStatus.SKIPPED: "skipped",
    StepStatus.FAILED: "failed",
    StepStatus.CANCELLED: "cancelled",
    StepStatus.NOT_RUN: "not run",
    StepStatus.RUNNING: "running",
    StepStatus.PENDING: "pending",
    StepStatus.WAITING: "waiting",
}


def count(number: int | None, noun: str = "") -> str:
    """``12,345 rows``: thousands separated, the noun in the plural unless there is one."""
    if number is None:
        return NONE
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if noun else f"{number:,}"


def delta(now: int, before: int) -> str:
    """The change from ``before`` to ``now`` with its sign: ``+1,204``, ``-7``, ``0``."""
    return f"{now - before:+,}" if now != before else "0"


def size(number: int | None) -> str:
    """Bytes in decimal units with one digit: ``812 B``, ``1.2 MB``."""
    if number is None:
        return NONE
    if number < 1000:
        return f"{number} B"
    value = number / 1000
    for unit in ("kB", "MB", "GB"):
        if round(value, 1) < 1000:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: ``34 ms``, ``3.4 s``, ``2m 12s``, ``1h 05m``."""
    if seconds is None:
        return NONE
    if round(seconds * 1000) < 1000:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def percent(share: float) -> str:
    """A share between 0 and 1 as a whole percentage."""
    return f"{share * 100:.0f}%"


def share(part: float) -> str:
    """A share between 0 and 1 as a percentage that tells small ones apart: ``43%``, ``0.2%``."""
    return percent(part) if part >= 0.095 else f"{part * 100:.1f}%"


def times(now: float, before: float) -> str:
    """How long something took beside ``before``: ``1.5 times as long``, ``as long``."""
    ratio = now / before
    return (
        "as long"
        if 0.95 <= ratio < 1.05
        else f"{ratio:.2g} times as long"
        if ratio < 100
        else f"{ratio:,.0f} times as long"
    )


def date_time(moment: datetime | None) -> str:
    """``2026-01-06 02:00:03 UTC``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else NONE


def cut(text: str, most: int) -> str:
    """``text`` in at most ``most`` characters, with an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def one_line(text: str, most: int = 160) -> str:
    """The first line with words on it, cut to ``most`` characters."""
    return cut(next((line.strip() for line in text.splitlines() if line.strip()), ""), most)


def proved(proof: ProofRecord | None) -> str:
    """``equal on duckdb, pandas and spark: all 12 steps with 4,311 rows, 2026-01-06 02:00:03 UTC``."""
    if proof is None:
        return ""
    *first, last = proof.engines
    steps = f"all {proof.total:,}" if proof.steps == proof.total else f"{proof.steps:,} of {proof.total:,}"
    rows = count(proof.rows, "row")
    return f"equal on {', '.join(first)} and {last}: {steps} steps with {rows}, {date_time(proof.proved_at)}"


def stage(found: StageRecord) -> str:
    """``bronze: 2 of 3 succeeded``, and where these are too few, how many had to."""
    said = f"{found.layer}: {found.successful_sources:,} of {found.total_sources:,} succeeded"
    return said if found.status == "completed" else f"{said}, {found.needed:,} had to"


def pod(found: PodRecord) -> str:
    """Who, where, with how many executors, and how it ended if that was not well: ``p1 on node-2 (Failed: OOMKilled)``."""
    executors = f" with {count(found.executors, 'executor')}" if found.executors else ""
    ended = ": ".join(filter(None, (found.status, found.reason)))
    unwell = f" ({ended})" if found.status not in ("", "Succeeded") else ""
    return f"{found.name} on {found.node or 'no node'}{executors}{unwell}"


def sentence(run: RunRecord) -> str:
    """What happened, in one sentence of plain English."""
    opening = _OPENING[run.status].format(
        name=run.pipeline, date=run.logical_date, time=duration(run.seconds)
    )
    total = len(run.steps)
    parts: list[str] = []
    for status, said in _SAID.items():
        number = run.count(status)
        if not number:
            continue
        if number == total:
            part = f"all {total:,} steps {said}" if total > 1 else f"its one step {said}"
        else:
            part = f"{number:,} {said}" if parts else f"{number:,} of {total:,} steps {said}"
        parts.append(f"{part} ({_causes(run)})" if status is StepStatus.FAILED else part)
    why = f" ({one_line(run.error).rstrip('.')})" if run.error and not run.count(StepStatus.FAILED) else ""
    return f"{opening}: {', '.join(parts) or 'it has no steps'}{why}."


def _causes(run: RunRecord) -> str:
    """The first step that failed, with its message, and how many more."""
    first, *more = (step for step in run.steps if step.status is StepStatus.FAILED)
    prefix = f"step {first.name!r} failed: "
    told = (
        first.error.message
        if first.error
        else run.error.removeprefix(prefix)
        if run.error.startswith(prefix)
        else ""
    )
    cause = one_line(told).rstrip(".") or "no reason recorded"
    return f"{first.name}: {cause}{f'; and {len(more):,} more' if more else ''}"
