"""``odibi results``: what became of a run's steps and where, when their pods are long gone."""

from __future__ import annotations

from odibi.cli.exits import Exit
from odibi.cli.runs import run_of
from odibi.cli.terminal import say, say_json, table
from odibi.metrics.summary import summary
from odibi.record.model import StepRecord
from odibi.story.text import NONE, count, duration, pod, sentence

__all__ = ["results"]


def results(*, name: str | None, output: str) -> int:
    """Print the summary report of a run: it was merged from what the workers left, and asks no cluster."""
    run = run_of(name, "odibi results")
    if output == "json":
        say_json(summary(run))
        return Exit.SUCCESS
    say(sentence(run))
    rows = [
        (
            step.name,
            step.status.value.replace("_", " "),
            count(step.rows_out) if step.rows_out is not None else NONE,
            duration(step.seconds) if step.seconds is not None else NONE,
            _where(step),
        )
        for step in run.steps
    ]
    say(table(("Step", "Status", "Rows", "Duration", "Where"), rows, right=("Rows", "Duration")))
    for step in run.steps:
        if step.error is not None and step.error.message:
            say(f"{step.name}: {step.error.message}")
    return Exit.SUCCESS


def _where(step: StepRecord) -> str:
    return ", ".join(map(pod, step.pods)) or "here"
