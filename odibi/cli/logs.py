"""``odibi logs``: what happened in a run, line by line, also while it goes on."""

from __future__ import annotations

from odibi.cli.exits import Exit, NotFound
from odibi.cli.runs import run_of
from odibi.cli.status import GOING_ON
from odibi.cli.terminal import paint, say
from odibi.cli.watching import again
from odibi.errors import nearest
from odibi.logs.entries import Entry, entries
from odibi.logs.lines import human, json_line
from odibi.record.model import RunRecord

__all__ = ["logs"]

LOOK = 0.5
"""Seconds between looks at a run that is followed."""

_COLOURS = {"ERROR": "red", "WARNING": "yellow"}


def logs(*, name: str | None, step: str | None, follow: bool, output: str) -> int:
    """Print the entries of a run, or of one step of it."""
    run = run_of(name, "odibi logs")
    if step is not None and step not in (names := [one.name for one in run.steps]):
        raise NotFound(f"run {run.run_id[:8]} has no step {step!r}", hint=nearest(step, names, "steps"))
    told: set[tuple[str, str, int | None]] = set()
    _print(run, step, told, output)

    def look() -> bool:
        now = run_of(run.run_id, "odibi logs")
        _print(now, step, told, output)
        return now.status in GOING_ON

    if follow and run.status in GOING_ON:
        again(look, LOOK)
    return Exit.SUCCESS


def _print(run: RunRecord, step: str | None, told: set[tuple[str, str, int | None]], output: str) -> None:
    """Print what has not been told yet."""
    for entry in entries(run):
        key = (entry.step, entry.reason, entry.attempt)
        if key not in told and step in (None, entry.step):
            told.add(key)
            say(json_line(entry) if output == "json" else _painted(entry))


def _painted(entry: Entry) -> str:
    return paint(human(entry), _COLOURS.get(entry.level, ""))
