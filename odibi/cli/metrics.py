"""``odibi metrics``: what a run took and gave, and the metrics of all runs for those who watch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from odibi.cli.exits import Exit, NotFound
from odibi.cli.runs import run_of, store_of
from odibi.cli.terminal import say, table
from odibi.metrics.export import as_json, put
from odibi.metrics.prometheus import exposition
from odibi.metrics.prometheus import push as pushed
from odibi.metrics.summary import summary
from odibi.metrics.totals import Totals, totals
from odibi.record.model import RunRecord
from odibi.story.text import NONE, count, duration, percent, size
from odibi.story.timeline import timeline

__all__ = ["metrics"]

_DEFINITIONS = {"dashboard": "grafana.json", "alerts": "alerts.yaml"}
_FOLDER = Path(__file__).parents[1] / "metrics"


def metrics(*, name: str | None, format: str, file: str | None, push: str | None) -> int:
    """Print metrics or write them to a file, and send those of all runs to a gateway."""
    if push is not None:
        pushed(push, _totals(name))
    if push is None or file is not None or format != "text":
        text = _TEXTS[format](name)
        if file is None:
            say(text, end="")
        else:
            put(Path(file), text)
            say(file)
    return Exit.SUCCESS


def _totals(name: str | None) -> Totals:
    """The series of all pipelines, or of the one that is meant."""
    pipeline = run_of(name, "odibi metrics").pipeline if name is not None else None
    with store_of() as store:
        if store is None:
            raise NotFound("no run is recorded here", hint="odibi metrics looks where odibi run was started")
        found = totals(store)
    return {labels: amounts for labels, amounts in found.items() if pipeline in (None, labels.pipeline)}


def _text(name: str | None) -> str:
    run = run_of(name, "odibi metrics")
    found = summary(run)
    reused = f", {percent(found['cache_hit_rate'])} reused" if found["cache_hit_rate"] else ""
    made = f"{count(found['rows'], 'row')}, {size(found['bytes'])} written"
    wrong = f"{found['retries']} retries, {found['failed_nodes']} failed"
    lines = [
        f"{run.pipeline}: run {run.run_id[:8]} for {run.logical_date}, {found['status']} in {duration(run.seconds)}",
        f"{count(found['total_nodes'], 'step')}{reused}, {made}, {wrong}",
        *_pace(run),
        "",
    ]
    rows = [
        (
            node["node"],
            node["status"].replace("_", " "),
            duration(step.seconds),
            count(node["rows"]),
            count(round(node["throughput"])) if node["throughput"] is not None else NONE,
            size(step.peak_memory),
            str(node["retries"]),
        )
        for node, step in zip(found["nodes"], run.steps, strict=True)
    ]
    headers = ("Step", "Status", "Duration", "Rows", "Rows/s", "Memory", "Retries")
    return "\n".join([*lines, table(headers, rows, right=headers[2:])]) + "\n"


def _pace(run: RunRecord) -> list[str]:
    """What set the pace of the run."""
    line = timeline(run)
    if line.slowest is None:
        return []
    path = " > ".join(line.critical)
    return [
        f"critical path: {path}, {duration(line.critical_seconds)}; {percent(line.efficiency)} of the workers' time used"
    ]


_TEXTS: dict[str, Callable[[str | None], str]] = {
    "text": _text,
    "json": lambda name: as_json(run_of(name, "odibi metrics")),
    "prometheus": lambda name: exposition(_totals(name)),
    **{
        format: lambda _, file=file: (_FOLDER / file).read_text("utf-8")  # type: ignore[misc]
        for format, file in _DEFINITIONS.items()
    },
}
