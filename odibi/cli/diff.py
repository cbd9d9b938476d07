"""``odibi diff``: what differs between two runs, down to the rows of their tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.cli.exits import Exit, NotFound, UsageError
from odibi.cli.runs import earlier, store_of
from odibi.cli.terminal import Cell, say, say_json, table
from odibi.config.loaded import Loaded
from odibi.errors import ConfigError, Permanent
from odibi.home import Home
from odibi.record.model import RunRecord, StepRecord
from odibi.story.changes import Changes, StepChange
from odibi.story.tables import RunDifference, TableDifference
from odibi.story.text import NONE, count, delta, duration

if TYPE_CHECKING:
    from odibi.record.model import SampleRecord

__all__ = ["diff"]

_LOOKED_BACK = 100


def diff(
    *, first: str | None, second: str | None, tables: Sequence[str], keys: str | None, rows: int,
    file: str | None, output: str,
) -> int:  # fmt: skip
    """Print what the second run did otherwise than the first, or write it as a page."""
    from odibi import diff as differing
    from odibi.engines.database import Database

    if keys is not None and not tables:
        raise UsageError("--keys belongs to --table NAME")
    before, now, older = _runs(first, second)
    if before.pipeline != now.pipeline:
        raise UsageError(
            f"run {before.run_id[:8]} is of pipeline {before.pipeline!r}, run {now.run_id[:8]} of {now.pipeline!r}",
            hint="only runs of one pipeline can be compared",
        )
    with Database(Home.find().scratch(f"diff-{now.run_id}")) as db:
        try:
            found = differing.diff(
                before, now, db, tables=tables, keys=_split(keys), loaded=_config(now), earlier=older, most=rows,
            )  # fmt: skip
        except differing.NoTable as error:
            raise NotFound(error.message, hint=error.hint) from error
        except Permanent as error:
            if error.message.startswith("key "):
                raise UsageError(error.message, hint=error.hint) from error
            raise
    if file is not None:
        from odibi.story.html import render_difference

        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_difference(before, now, found), encoding="utf-8", newline="\n")
        say(file)
    elif output == "json":
        say_json(_fields(before, now, found))
    else:
        say("\n".join(_lines(before, now, found)))
    return Exit.SUCCESS


def _runs(first: str | None, second: str | None) -> tuple[RunRecord, RunRecord, tuple[RunRecord, ...]]:
    """The two runs, the one to compare with first, and those before them."""
    with store_of() as store:
        newest = store.runs(limit=1) if store is not None else ()
        if store is None or not newest:
            raise NotFound("no run is recorded", hint="odibi run makes one")
        try:
            now = store.run(second or first or newest[0].run_id)
            before = store.run(first) if second and first else store.last_run(now.pipeline, before=now)
        except Permanent as error:
            raise NotFound(error.message, hint=error.hint) from error
        if before is None:
            raise NotFound(f"run {now.run_id[:8]} is the first of {now.pipeline}", hint="name two runs")
        oldest = min(before, now, key=lambda run: run.started_at)
        return before, now, tuple(islice(earlier(store, oldest), _LOOKED_BACK))


def _config(run: RunRecord) -> Loaded | None:
    """The pipeline as its config is now; None where it cannot be read any more."""
    from odibi.config.load import load

    if not Path(run.config).is_file():
        return None
    try:
        loaded = load(run.config, date=run.logical_date, target=run.target, params=run.params)
    except ConfigError:
        return None
    return loaded if loaded.pipeline.pipeline == run.pipeline else None


def _split(keys: str | None) -> tuple[str, ...]:
    return tuple(key.strip() for key in (keys or "").split(",") if key.strip())


# --- for people ------------------------------------------------------------------------------------


def _lines(before: RunRecord, now: RunRecord, found: RunDifference) -> Iterator[str]:
    yield f"{now.pipeline}: run {before.run_id[:8]} ({before.logical_date}) and run {now.run_id[:8]} ({now.logical_date})"
    yield ""
    yield table(("", "before", "now"), found.changes.facts)
    for was, then, names in found.changes.decisions:
        yield f"{was} before, {then} now: {_some(names)}"
    if found.changes.steps:
        yield ""
        yield table(
            ("step", "rows", "change", "time before", "time now", "also"),
            [_row(change) for change in found.changes.steps],
            right=("rows", "change", "time before", "time now"),
        )
    else:
        yield "every step gave as many rows with the same columns, in about the same time"
    for change in found.changes.steps:
        if change.sql:
            yield f"\nSQL of {change.name}:"
            yield from (f"  {line}" for line in change.sql)
    for one in found.tables:
        yield ""
        yield from _table_lines(one)


def _row(change: StepChange) -> Sequence[Cell]:
    now, before = change.now, change.before
    rows = [step.rows_out if step is not None else None for step in (now, before)]
    moved = delta(rows[0], rows[1]) if rows[0] is not None and rows[1] is not None else NONE
    times = (duration(step.seconds) if step is not None else NONE for step in (before, now))
    return (change.name, count(rows[0]), moved, *times, ", ".join(_besides(change)))


def _besides(change: StepChange) -> Iterator[str]:
    now, before = change.now, change.before
    if now is None or before is None:
        yield "new step" if before is None else "no longer in the pipeline"
        return
    if now.status is not before.status:
        yield f"was {before.status}, now {now.status}".replace("_", " ")
    if change.sql:
        yield "SQL changed"
    for column in change.columns:
        yield f"{column.name}: {column.said}" + (f", now {column.type}" if column.kind == "retyped" else "")
    for check in change.checks:
        yield f"{check.name}: {check.before or 'not asked'}, now {check.now or 'not asked'}"


def _table_lines(one: TableDifference) -> Iterator[str]:
    old, new = (NONE if version is None else str(version) for version in one.versions)
    by = f", by {', '.join(one.keys)}" if one.keys else ", as whole rows" if not one.problem else ""
    yield f"{one.url}, version {old} and {new}{by}: {one.said}"
    yield from (f"  {note}" for note in one.notes)
    for column in one.columns:
        yield f"  column {column.name}: {column.said}" + (
            f", now {column.type}" if column.kind == "retyped" else ""
        )
    if one.by_column:
        yield "  changed: " + ", ".join(f"{name} in {count(n, 'row')}" for name, n in one.by_column)
    if one.some_changed:
        rows = [
            (*map(_value, row.key), name, _value(was), _value(now))
            for row in one.some_changed
            for name, was, now in row.values
        ]
        yield from _indented(table((*one.keys, "column", "before", "now"), rows))
    for word, sample in (("added", one.some_added), ("removed", one.some_removed)):
        if sample is not None:
            of = getattr(one, word)
            yield f"  {word}{f', {len(sample.rows)} of {of:,}' if len(sample.rows) < of else ''}:"
            yield from _indented(table(sample.columns, [[_value(v) for v in row] for row in sample.rows]))


def _indented(text: str) -> Iterator[str]:
    return (f"    {line}" for line in text.splitlines())


def _value(value: str | None) -> Cell:
    return ("NULL", "dim") if value is None else value


def _some(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# --- for programs ----------------------------------------------------------------------------------


def _fields(before: RunRecord, now: RunRecord, found: RunDifference) -> dict[str, Any]:
    changes: Changes = found.changes
    return {
        "pipeline": now.pipeline,
        "before": before.run_id,
        "now": now.run_id,
        "facts": [{"what": what, "before": was, "now": new} for what, was, new in changes.facts],
        "decisions": [{"before": was, "now": new, "steps": names} for was, new, names in changes.decisions],
        "steps": [_step(change) for change in changes.steps],
        "tables": [_table(one) for one in found.tables],
    }


def _step(change: StepChange) -> dict[str, Any]:
    return {
        "name": change.name,
        "before": _side(change.before),
        "now": _side(change.now),
        "columns": [
            {"name": one.name, "change": one.kind, "before": one.before or None, "now": one.type if one.kind != "removed" else None}
            for one in change.columns
        ],
        "checks": [{"name": one.name, "before": one.before or None, "now": one.now or None} for one in change.checks],
        "sql": change.sql,
    }  # fmt: skip


def _side(step: StepRecord | None) -> dict[str, Any] | None:
    if step is None:
        return None
    shown = step.model_dump(mode="json", include={"status", "decision", "reason", "rows_out", "digest"})
    return shown | {"seconds": step.seconds}


def _table(one: TableDifference) -> dict[str, Any]:
    return {
        "step": one.step,
        "url": one.url,
        "versions": one.versions,
        "problem": one.problem or None,
        "notes": one.notes,
        "keys": one.keys,
        "rows": {"before": one.rows[0], "now": one.rows[1]},
        "added": one.added,
        "removed": one.removed,
        "changed": one.changed,
        "changed_columns": dict(one.by_column),
        "columns": [{"name": c.name, "change": c.kind} for c in one.columns],
        "masked": one.masked,
        "samples": {
            "added": _objects(one.some_added),
            "removed": _objects(one.some_removed),
            "changed": [
                {
                    "key": dict(zip(one.keys, row.key, strict=True)),
                    "columns": {name: {"before": was, "now": now} for name, was, now in row.values},
                }
                for row in one.some_changed
            ],
        },
    }


def _objects(sample: SampleRecord | None) -> list[dict[str, str | None]]:
    return [dict(zip(sample.columns, row, strict=True)) for row in sample.rows] if sample is not None else []
