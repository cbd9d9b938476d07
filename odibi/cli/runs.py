"""Recorded runs, for the commands that look back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.cli.exits import NotFound
from odibi.config.loaded import SUFFIXES
from odibi.errors import Permanent
from odibi.home import Home
from odibi.record.checkpoints import NoCheckpoint
from odibi.record.model import RunRecord

if TYPE_CHECKING:
    from odibi.record.store import RunStore


__all__ = ["earlier", "not_found", "pipeline_of", "run_of", "store_of"]


def run_of(name: str | None, command: str) -> RunRecord:
    """The run that is meant: by its id, or the last one of a pipeline, of a config, or of all.

    Args:
        name: what was typed; None for the last run of all.
        command: who looks, for the hint.

    Raises:
        NotFound: there is none.
    """
    with store_of() as store:
        if store is None:
            raise NotFound("no run is recorded here", hint=f"{command} looks where odibi run was started")
        try:
            if name is None:
                found = next((store.run(run.run_id) for run in store.runs(limit=1)), None)
            elif Path(name).suffix in SUFFIXES or name in store.pipelines():
                found = store.last_run(pipeline_of(name))
            else:
                found = store.run(name)
        except Permanent as error:
            raise NotFound(error.message, hint=error.hint) from error
        if found is None:
            raise NotFound(f"{name or 'nothing'} has not run", hint="odibi status lists the runs")
        return found


def earlier(store: RunStore, run: RunRecord) -> Iterator[RunRecord]:
    """The runs of the pipeline before a run, latest first."""
    last: RunRecord | None = run
    while last is not None and (last := store.last_run(last.pipeline, before=last)) is not None:
        yield last


@contextmanager
def not_found() -> Iterator[None]:
    """Where there is no checkpoint to resume from, that is a name that means nothing here."""
    try:
        yield
    except NoCheckpoint as error:
        raise NotFound(error.message, hint=error.hint) from error


def pipeline_of(name: str) -> str:
    """The pipeline's name, which a config says."""
    if Path(name).suffix not in SUFFIXES:
        return name
    from odibi.config.yaml import parse

    try:
        text = Path(name).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {name!r}") from error
    data = parse(text, name).data
    return str(data.get("pipeline") or data.get("name") or name)


@contextmanager
def store_of(home: Home | None = None) -> Iterator[RunStore | None]:
    """The run store of the project, None where nothing was ever run: looking must not create it."""
    state = (home or Home.find()).state
    file = state.removeprefix("sqlite:///")
    if "://" not in file and not Path(file).expanduser().exists():
        yield None
        return
    from odibi.record.store import open_store

    with open_store(state) as store:
        yield store
