"""When each step ran, which chain of steps set the pace, and how well the workers were used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter

from odibi.record.model import RunRecord, StepRecord
from odibi.story.text import duration

__all__ = ["Bar", "Tick", "Timeline", "critical_path", "timeline"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A step's time: ``left`` and ``width`` in percent of the span of the run."""

    name: str
    left: float
    width: float
    seconds: float
    critical: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the time axis, ``left`` in percent."""

    label: str
    left: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars in order of their start, and what can be said of them. Times in seconds.

    ``lanes`` are the same bars packed into as few rows as ran at once, ``busy`` is the sum over the
    steps, ``peak`` how many ran at once at most, ``efficiency`` the share of ``span * peak`` in
    which a step was running (1 is perfect).
    """

    span: float
    bars: tuple[Bar, ...] = ()
    lanes: tuple[tuple[Bar, ...], ...] = ()
    ticks: tuple[Tick, ...] = ()
    critical: tuple[str, ...] = ()
    critical_seconds: float = 0.0
    busy: float = 0.0
    peak: int = 0
    efficiency: float = 0.0
    slowest: Bar | None = None

    @property
    def at_once(self) -> float:
        """How many steps were running on average."""
        return self.busy / self.span if self.span else 0.0


def critical_path(steps: Sequence[StepRecord]) -> tuple[str, ...]:
    """The chain of dependent steps with the largest sum of durations, first step first.

    No number of workers makes the run shorter than that chain. Steps without a duration count
    nothing and are left out; among equal chains the one met first in the plan wins.
    """
    by_name = {step.name: step for step in steps}
    graph = {step.name: [name for name in step.upstream if name in by_name] for step in steps}
    total: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for name in TopologicalSorter(graph).static_order():
        before[name] = max(graph[name], key=total.__getitem__, default=None)
        longest = before[name]
        total[name] = (by_name[name].seconds or 0.0) + (total[longest] if longest else 0.0)
    path: list[str] = []
    at: str | None = max(by_name, key=total.__getitem__, default=None)
    while at is not None:
        if by_name[at].seconds is not None:
            path.append(at)
        at = before[at]
    return tuple(reversed(path))


def timeline(run: RunRecord) -> Timeline:
    """The time line of ``run``; steps that never started have no bar."""
    ran = [(step, step.started_at, step.seconds) for step in run.steps if step.started_at is not None]
    last = max((step.ended_at for step in run.steps if step.ended_at), default=run.started_at)
    end = max(last, run.ended_at or last, run.started_at)
    span = (end - run.started_at).total_seconds()
    if not ran or span <= 0:
        return Timeline(span=max(span, 0.0))
    path = critical_path(run.steps)
    on_path = set(path)
    bars = []
    for step, started, seconds in ran:
        # A step that is still running reaches to the last moment the record knows of.
        length = seconds if seconds is not None else (end - started).total_seconds()
        left = min(max((started - run.started_at).total_seconds() / span, 0.0), 1.0) * 100
        width = min(max(length, 0.0) / span * 100, 100 - left)
        bars.append(Bar(step.name, round(left, 3), round(width, 3), length, step.name in on_path))
    bars.sort(key=lambda bar: bar.left)
    busy = sum(bar.seconds for bar in bars)
    peak = _most_at_once([(started, step.ended_at or end) for step, started, _ in ran])
    return Timeline(
        span=span,
        bars=tuple(bars),
        lanes=_lanes(bars),
        ticks=_ticks(span),
        critical=path,
        critical_seconds=sum(bar.seconds for bar in bars if bar.critical),
        busy=busy,
        peak=peak,
        efficiency=min(busy / (span * peak), 1.0),
        slowest=max(bars, key=lambda bar: bar.seconds),
    )


def _most_at_once(spans: Sequence[tuple[datetime, datetime]]) -> int:
    # At the same instant an end counts before a start: the one worker was handed on.
    events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return max(most, 1)


def _lanes(bars: Sequence[Bar]) -> tuple[tuple[Bar, ...], ...]:
    """``bars``, given by their start, each in the first row that is free by then."""
    lanes: list[list[Bar]] = []
    for bar in bars:
        # Positions are rounded to a thousandth of a percent: that much overlap is none.
        free = (lane for lane in lanes if lane[-1].left + lane[-1].width <= bar.left + 0.002)
        lane = next(free, None)
        if lane is None:
            lanes.append([bar])
        else:
            lane.append(bar)
    return tuple(tuple(lane) for lane in lanes)


def _ticks(span: float, most: int = 6) -> tuple[Tick, ...]:
    """Marks at round times: 1, 2 or 5 times a power of ten, whole minutes above one."""
    power = 10.0 ** math.floor(math.log10(span / most))
    steps = [power * factor for factor in (1, 2, 5, 10)]
    if span > 60:
        steps = [60.0 * factor for factor in (1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 1440)] + steps[-1:]
        steps = [10.0, 20.0, 30.0, *steps]
    step = next(step for step in steps if span / step <= most)
    return tuple(
        Tick(
            duration(step * number).replace(".0 s", " s") if number else "0",
            round(step * number / span * 100, 3),
        )
        for number in range(int(span / step) + 1)
    )
