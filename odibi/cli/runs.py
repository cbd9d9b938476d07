"""Recorded runs, for the commands that look back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.home import Home

if TYPE_CHECKING:
    from odibi.record.store import RunStore

__all__ = ["store_of"]


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
