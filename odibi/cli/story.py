"""``odibi story``: the page of a run once more, made from its record."""

from __future__ import annotations

from json import dumps
from pathlib import Path

from odibi.cli.exits import Exit, NotFound
from odibi.cli.runs import store_of
from odibi.cli.terminal import say
from odibi.errors import Permanent
from odibi.home import Home
from odibi.record.export import from_json, to_json
from odibi.record.model import RunRecord

__all__ = ["story"]


def story(*, run: str | None, file: str | None, json: str | None, summaries: str | None) -> int:
    """Write the story, the record or the summaries of the run that is meant, and print where they are."""
    record, previous = _found(run)
    if json is not None:
        if json == "-":
            say(to_json(record))
        else:
            say(_write(Path(json), to_json(record) + "\n"))
    if summaries is not None:
        from odibi.story.summaries import summaries as summarized

        for name, said in summarized(record).items():
            say(_write(Path(summaries, name), dumps(said, indent=2) + "\n"))
    if file is None and (json is not None or summaries is not None):
        return Exit.SUCCESS
    from odibi.story import render, write

    if file is not None:
        say(_write(Path(file), render(record, previous, Path(file))))
    else:
        say(str(write(record, Home.find().stories, previous)))
    return Exit.SUCCESS


def _found(run: str | None) -> tuple[RunRecord, RunRecord | None]:
    """The run and the one before it, where that is recorded here."""
    if run is not None and run.endswith(".json"):
        try:
            return from_json(Path(run).read_text("utf-8")), None
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
