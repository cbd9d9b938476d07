"""``odibi story``: the page of a run once more, made from its record."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from json import dumps, loads
from pathlib import Path
from typing import Any

from odibi.cli.exits import Exit, NotFound
from odibi.cli.runs import earlier, store_of
from odibi.cli.terminal import say
from odibi.errors import Permanent
from odibi.home import Home
from odibi.record.export import to_json, told_from
from odibi.record.model import RunRecord

__all__ = ["story"]


def story(*, run: str | None, file: str | None, json: str | None, summaries: str | None) -> int:
    """Write the story, the record or the summaries of the run that is meant, and print where they are."""
    record, previous = _found(run)
    if json is not None:
        if json == "-":
            say(to_json(record, previous))
        else:
            say(_write(Path(json), to_json(record, previous) + "\n"))
    if summaries is not None:
        from odibi.story.summaries import summaries as summarized

        made = _made(record)
        for name, said in summarized(made, _analytics(made)).items():
            say(_write(Path(summaries, name), dumps(said, indent=2) + "\n"))
    if file is None and (json is not None or summaries is not None):
        return Exit.SUCCESS
    from odibi.story import render, write

    if file is not None:
        say(_write(Path(file), render(record, previous, Path(file))))
    else:
        say(str(write(record, Home.find().stories, previous)))
    return Exit.SUCCESS


def _analytics(record: RunRecord) -> dict[str, Any]:
    """What the steps of the analytics wrote as JSON, as far as it still stands; one row alone is that row."""
    from odibi.story.summaries import ANALYTICS

    found: dict[str, Any] = {}
    for step in record.steps:
        files = [Path(write.uri) for write in step.writes if write.format == "json"]
        for file in files if ANALYTICS in step.tags else ():
            with suppress(OSError, ValueError):  # somebody else has written there since
                rows = loads(file.read_text("utf-8"))
                found[step.name] = rows[0] if isinstance(rows, list) and len(rows) == 1 else rows
    return found


def _made(record: RunRecord) -> RunRecord:
    """The run with what was told of reused steps when they were computed, where that is recorded here."""
    from odibi.story.summaries import as_made

    with store_of() as store:
        return as_made(record, islice(earlier(store, record), 100)) if store is not None else record


def _found(run: str | None) -> tuple[RunRecord, RunRecord | None]:
    """The run and the one before it, where that is recorded here."""
    if run is not None and run.endswith(".json"):
        try:
            return told_from(Path(run).read_text("utf-8"))
        except FileNotFoundError as error:
            raise NotFound(f"there is no file {run!r}") from error
    with store_of() as store:
        newest = store.runs(limit=1) if store is not None else ()
        if store is None or not newest:
            raise NotFound("no run is recorded", hint="odibi run makes one")
        try:
            record = store.run(run or newest[0].run_id)
        except Permanent as error:
            raise NotFound(error.message, where=error.where, hint=error.hint) from error
        return record, store.last_run(record.pipeline, before=record)


def _write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return str(path)
