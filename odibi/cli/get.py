"""``odibi get``: lists of what is recorded."""

from __future__ import annotations

from datetime import UTC, datetime

from odibi.cli.exits import Exit, NotFound
from odibi.cli.runs import pipeline_of, store_of
from odibi.cli.status import COLOURS, fields, last_runs, since
from odibi.cli.terminal import say, say_json, table
from odibi.errors import nearest
from odibi.record.model import RunRecord

__all__ = ["pipelines", "runs"]


def pipelines(*, output: str) -> int:
    """Print a line for each pipeline that ever ran."""
    with store_of() as store:
        found = [_told(run) for run in last_runs(store)]
    if output == "json":
        say_json(found)
    elif not found:
        say("No pipelines found")
    else:
        keys = ("pipeline", "phase", "steps", "duration", "age")
        rows = [[(one[key], COLOURS.get(one[key], "")) for key in keys] for one in found]
        say(table(("Name", "Phase", "Steps", "Duration", "Age"), rows))
    return Exit.SUCCESS


def runs(*, name: str | None, limit: int, output: str) -> int:
    """Print a line for each of the last runs, of one pipeline or of all."""
    with store_of() as store:
        pipeline = pipeline_of(name) if name is not None else None
        known = store.pipelines() if store is not None else ()
        if pipeline is not None and pipeline not in known:
            raise NotFound(
                f"{pipeline!r} has not run", hint=nearest(pipeline, known, "pipelines that have run")
            )
        found = store.runs(pipeline, limit) if store is not None else ()
    if output == "json":
        say_json([{"run_id": run.run_id, "date": run.logical_date, **_told(run)} for run in found])
    elif not found:
        say("No runs found")
    else:
        rows = []
        for run in found:
            told = _told(run)
            phase = (told["phase"], COLOURS.get(told["phase"], ""))
            rows.append(
                (
                    run.run_id[:8],
                    run.pipeline,
                    phase,
                    run.logical_date,
                    told["steps"],
                    told["duration"],
                    told["started"],
                )
            )
        say(table(("Run", "Pipeline", "Phase", "Date", "Steps", "Duration", "Started"), rows))
    return Exit.SUCCESS


def _told(run: RunRecord) -> dict[str, str]:
    return fields(run) | {"age": since((datetime.now(UTC) - run.started_at).total_seconds())}
