"""How a run is told while it goes on: lines, lines above a live display, or JSON; and how it ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import IO, TYPE_CHECKING, Any

from odibi.cli.exits import debugging
from odibi.cli.plan import as_data
from odibi.cli.terminal import ClosedPipe, clean, coloured, complain, is_live, paint, say
from odibi.record.model import RunStatus, StepRecord, StepStatus
from odibi.story.text import count, duration, sentence

if TYPE_CHECKING:
    from rich.progress import Progress

    from odibi.config.loaded import Loaded
    from odibi.orchestrator import Result
    from odibi.plan.model import Plan

__all__ = ["Reporter", "reporter"]

_COLOURS = {
    StepStatus.COMPLETED: "green",
    StepStatus.REUSED: "cyan",
    StepStatus.FAILED: "red",
    StepStatus.NOT_RUN: "yellow",
    StepStatus.CANCELLED: "yellow",
    StepStatus.SKIPPED: "yellow",
}


class Reporter:
    """Tells nothing but errors; the others tell more. A reader that goes away does not end the run."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.readers = True
        self.stream: IO[str] | None = None

    def planned(self, the_plan: Plan) -> None:
        """The run is about to start."""

    def changed(self, record: StepRecord) -> None:
        """A step has changed."""

    def ended(self, result: Result, code: int) -> None:
        """The run is over."""
        del code
        for step in result.run.steps:
            if step.status is StepStatus.FAILED and step.error is not None:
                error = step.error
                place = f"{error.where}: " if error.where else ""
                hint = f" ({error.hint})" if error.hint else ""
                complain(f"error: step {step.name!r}: {place}{error.message}{hint}")
                if debugging() and error.detail:
                    complain(error.detail.rstrip())

    def write(self, line: str) -> None:
        """Print a line, as long as that is possible."""
        if self.readers:
            try:
                say(line, self.stream)
            except (ClosedPipe, OSError):
                self.readers = False


class Lines(Reporter):
    """A line for each step that has ended."""

    def planned(self, the_plan: Plan) -> None:
        self.width = max(len(step.name) for step in the_plan.steps)
        run, name = self.loaded.run_id, self.loaded.pipeline.pipeline
        line = f"Pipeline {name} started (run {run[:8]}, date {self.loaded.logical_date}, target {self.loaded.target})"
        self.write(line)

    def changed(self, record: StepRecord) -> None:
        last = record.attempts[-1] if record.attempts else None
        if record.status.ended and (record.status is not StepStatus.SKIPPED or last is not None):
            self.write(self.line(record))
        elif last is not None and last.error is not None:
            said = f"attempt {last.which} failed: {last.error.kind}: {clean(last.error.message)}"
            self.write(f"{paint('retrying ', 'yellow')}  {record.name:{self.width}}  {said}")

    def line(self, record: StepRecord) -> str:
        """``completed  orders      1,204 rows   0.1 s``, or why not."""
        status = paint(f"{record.status.value.replace('_', ' '):9}", _COLOURS[record.status])
        said = f"{status}  {record.name:{self.width}}"
        if record.seconds is None or record.status in (StepStatus.REUSED, StepStatus.SKIPPED):
            return f"{said}  {clean(record.reason)}"
        rows = count(record.rows_out, "row") if record.rows_out is not None else ""
        taken = record.quality.quarantined if record.quality is not None else 0
        aside = f"  {count(taken, 'row')} to quarantine" if taken else ""
        return f"{said}  {rows:>16}  {duration(record.seconds):>8}{aside}"

    def ended(self, result: Result, code: int) -> None:
        super().ended(result, code)
        style = {RunStatus.SUCCEEDED: "green", RunStatus.FAILED: "red"}.get(result.run.status, "yellow")
        self.write(paint(clean(sentence(result.run)), style))
        if result.story is not None:
            self.write(f"Story: {result.story}")
        if result.resume:
            self.write("To go on from the last checkpoint:")
            self.write(result.resume)


class Live(Lines):
    """The same lines, above a display of how far the run is and what is running."""

    def __init__(self, loaded: Loaded, progress: Progress) -> None:
        super().__init__(loaded)
        self.progress = progress
        self.running: list[str] = []

    def planned(self, the_plan: Plan) -> None:
        super().planned(the_plan)
        self.task = self.progress.add_task("", total=len(the_plan.steps))
        self.progress.start()

    def changed(self, record: StepRecord) -> None:
        super().changed(record)
        if record.status is StepStatus.RUNNING and record.name not in self.running:
            self.running.append(record.name)
        elif record.name in self.running:
            self.running.remove(record.name)
        done = int(record.status.ended)
        self.progress.update(self.task, advance=done, description=", ".join(self.running))


class Json(Reporter):
    """An object per line: the plan, every change of a step, the end.

    Nothing else may come in between, so what users' functions print goes to stderr meanwhile.
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self.stream = sys.stdout

    def planned(self, the_plan: Plan) -> None:
        self.event("plan", run_id=self.loaded.run_id, **as_data(self.loaded, the_plan))

    def changed(self, record: StepRecord) -> None:
        told = record.error
        if record.status is StepStatus.RUNNING and record.attempts:
            told = record.attempts[-1].error
        error = told.model_dump(exclude={"detail"}) if told else None
        self.event(
            "step",
            step=record.name,
            status=record.status,
            reason=record.reason,
            rows=record.rows_out,
            seconds=record.seconds,
            attempts=len(record.attempts),
            error=error,
        )

    def ended(self, result: Result, code: int) -> None:
        run = result.run
        counts = {status.value: run.count(status) for status in StepStatus if run.count(status)}
        self.event(
            "end",
            run_id=run.run_id,
            status=run.status,
            success=result.success,
            error=run.error,
            seconds=run.seconds,
            steps=counts,
            story=None if result.story is None else str(result.story),
            resume=result.resume or None,
            exit_code=code,
        )

    def event(self, name: str, **what: Any) -> None:
        """Print one event."""
        self.write(json.dumps({"event": name, **what}, ensure_ascii=False, default=str))


@contextmanager
def reporter(loaded: Loaded, *, output: str, quiet: bool) -> Iterator[Reporter]:
    """What tells the run that is executed inside the block."""
    if output == "json":
        report = Json(loaded)
        with redirect_stdout(sys.stderr):
            yield report
    elif quiet:
        yield Reporter(loaded)
    elif not is_live():
        yield Lines(loaded)
    else:
        progress = _progress()
        try:
            yield Live(loaded, progress)
        finally:
            progress.stop()


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(markup=False, highlight=False, emoji=False, no_color=not coloured())
    return Progress(
        SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
    )
