"""``odibi backfill``: a run for each date of a range, those first that come first.

Every date is an ordinary run in a process of its own, with its lock, its record and its story. What is
done already is reused, so a backfill that was stopped goes on where it was by being started again.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from odibi.cli.config import find_config, load_config
from odibi.cli.exits import Exit, UsageError
from odibi.cli.terminal import clean, complain, paint, say, say_json
from odibi.config.dates import logical_date, zone
from odibi.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from odibi.config.loaded import Loaded

__all__ = ["backfill"]

_COLOURS = {"succeeded": "green", "failed": "red"}


@dataclass(frozen=True, slots=True)
class _Done:
    """How the run for a date ended; ``status`` is ``not run`` where none was started."""

    date: str
    status: str
    exit_code: int | None = None
    run_id: str | None = None
    steps: Mapping[str, int] | None = None
    seconds: float | None = None


def backfill(
    *, config: str | None, given: Mapping[str, Any], first: str, last: str, select: Sequence[str] | None,
    exclude: Sequence[str] | None, parallel: int | None, output: str, quiet: bool,
) -> int:  # fmt: skip
    """Run the pipeline for every date from ``first`` to ``last``; success if all runs succeed."""
    config = find_config(config)
    loaded = load_config(config, **given)
    dates = _dates(loaded, first, last)
    why = _why_in_order(config, given, dates, select or (), exclude or ())
    workers = 1 if why else parallel or 1
    if why and (parallel or 1) > 1:
        complain(f"odibi: one date at a time: {why}")
    runner = _Runner(_command(config, given, select, exclude), quiet=quiet or output == "json")
    done = runner.all(dates, workers, stop_at_failure=bool(why))
    failed = [each for each in done if each.exit_code != 0]
    if output == "json":
        say_json({"pipeline": loaded.pipeline.pipeline, "dates": [asdict(each) for each in done]})
    elif not quiet or failed:
        _tell(loaded.pipeline.pipeline, done)
    if runner.stopped:
        return 128 + runner.stopped
    return Exit.FAILED if failed else Exit.SUCCESS


def _dates(loaded: Loaded, first: str, last: str) -> list[str]:
    """The dates from ``first`` to ``last``. Raises UsageError where there are none."""
    found: list[date] = []
    for name, text in (("--from", first), ("--to", last)):
        try:
            found.append(logical_date(text, datetime.now(UTC), zone(loaded.pipeline.timezone)))
        except ValueError as error:
            message = f"{name} {text!r} is not a date"
            raise UsageError(message, hint="write 2026-01-05, today or yesterday") from error
    low, high = found
    if high < low:
        raise UsageError(f"--from {low} comes after --to {high}", hint="change them over")
    return [(low + timedelta(days=number)).isoformat() for number in range((high - low).days + 1)]


def _why_in_order(
    config: str, given: Mapping[str, Any], dates: Sequence[str], select: Sequence[str], exclude: Sequence[str]
) -> str:
    """Why the dates have to be run in order; empty if they may be run at once.

    Raises:
        UsageError: a selection means nothing.
    """
    from odibi.engines.database import Database
    from odibi.home import Home
    from odibi.observe import observe
    from odibi.plan.dates import why_in_order
    from odibi.plan.graph import graph
    from odibi.plan.select import select as meant

    following = (date.fromisoformat(dates[0]) + timedelta(days=1)).isoformat()
    seen = []
    for day in (dates[0], following):
        loaded = load_config(config, **{**given, "date": day})
        with Database(Home.find().scratch(loaded.run_id), threads=1) as db:
            seen.append(observe(loaded, db))
    try:
        chosen = meant(loaded.pipeline.steps, graph(seen[0]), select, exclude)
    except Permanent as error:
        raise UsageError(error.message, hint=error.hint) from error
    return why_in_order(seen[0], seen[1], chosen)


def _command(
    config: str, given: Mapping[str, Any], select: Iterable[str] | None, exclude: Iterable[str] | None
) -> list[str]:
    """The run of a date, without the date."""
    words = [sys.executable, "-m", "odibi", "run", config, "--output", "json"]
    for name in ("target", "engine"):
        words += [f"--{name}", given[name]] if given.get(name) else []
    for name, several in (("param", given.get("param")), ("select", select), ("exclude", exclude)):
        words += [word for item in several or () for word in (f"--{name}", item)]
    return words


class _Runner:
    """Runs dates in processes; a signal to this process ends them too."""

    def __init__(self, command: Sequence[str], *, quiet: bool) -> None:
        self.command = command
        self.quiet = quiet
        self.stopped = 0
        self.halted = False
        self.running: set[subprocess.Popen[str]] = set()
        self.lock = threading.Lock()

    def all(self, dates: Sequence[str], workers: int, *, stop_at_failure: bool) -> list[_Done]:
        """How each date ended, in their order."""
        self.stop_at_failure = stop_at_failure
        with self._signals(), ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self._date, dates))

    def _date(self, day: str) -> _Done:
        with self.lock:
            if self.halted:
                return _Done(day, "not run")
            process = subprocess.Popen(  # noqa: S603 - this program, with the words it was given
                [*self.command, "--date", day], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                encoding="utf-8", start_new_session=True,
            )  # fmt: skip
            self.running.add(process)
            if self.stopped:  # meanwhile
                process.send_signal(self.stopped)
        out, err = process.communicate()
        with self.lock:
            self.running.discard(process)
            done = _done(day, process.returncode, out)
            self.halted = self.halted or (self.stop_at_failure and done.exit_code != 0)
            if not self.quiet:
                say(_line(done))
            if done.exit_code != 0:
                for line in [*_errors(out), *err.splitlines()]:
                    complain(f"  {clean(line)}")
        return done

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Hand SIGINT and SIGTERM on, once each, and start nothing more."""

        def heard(number: int, _: FrameType | None) -> None:
            self.stopped, self.halted = number, True
            for process in tuple(self.running):
                process.send_signal(number)

        before = {each: signal.signal(each, heard) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _events(out: str) -> list[dict[str, Any]]:
    found = []
    for line in out.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # the line that was being written when it was killed
    return found


def _done(day: str, code: int, out: str) -> _Done:
    ends = [event for event in _events(out) if event.get("event") == "end"]
    code = 128 - code if code < 0 else code
    if not ends:
        return _Done(day, "failed", code)
    end = ends[-1]
    return _Done(day, str(end["status"]).lower(), code, end["run_id"], end["steps"], end["seconds"])


def _errors(out: str) -> list[str]:
    """What went wrong in the steps of a run."""
    return [
        f"{event['step']}: {event['error']['message']}"
        for event in _events(out)
        if event.get("event") == "step" and event.get("status") == "failed" and event.get("error")
    ]


def _line(done: _Done) -> str:
    counts = ", ".join(f"{number} {status}" for status, number in (done.steps or {}).items())
    took = f" in {done.seconds:.1f}s" if done.seconds is not None else ""
    return f"{done.date}  {paint(done.status, _COLOURS.get(done.status, ''))}{took}" + (
        f": {counts}" if counts else ""
    )


def _tell(pipeline: str, done: Sequence[_Done]) -> None:
    """The last line: how many dates are done, and how to go on where some are not."""
    good = sum(each.exit_code == 0 for each in done)
    left = [each.date for each in done if each.exit_code != 0]
    style = "red" if left else "green"
    say(paint(f"{pipeline}: {good} of {len(done)} dates done, {done[0].date} to {done[-1].date}", style))
    if left:
        say(
            f"Not done: {', '.join(left[:8])}{' ...' if len(left) > 8 else ''}. The same command goes on with them."
        )
