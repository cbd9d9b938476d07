"""What killed runs have left elsewhere, removed beside the run that has their turn."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from odibi.errors import OdibiError
from odibi.plan.runtime import may_leave
from odibi.record.model import RunStatus
from odibi.record.process import ABANDONED
from odibi.run.remote import LEFT

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.record.store import RunStore
    from odibi.run.context import RunContext

__all__ = ["clearing"]

PATIENCE = 10.0
"""Seconds that the end of a run waits for it at most: the next run would try again."""


@contextmanager
def clearing(context: RunContext, store: RunStore) -> Iterator[None]:
    """While the run works, remove what killed runs for its date have left elsewhere and it does not go on with."""
    killed = _killed(store, context.loaded) if may_leave(context.loaded.pipeline) else ()
    threads = [
        threading.Thread(target=_clear, args=(name, context, killed), daemon=True, name=f"odibi-left-{name}")
        for name in (LEFT if killed else ())
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(PATIENCE)


def _killed(store: RunStore, loaded: Loaded) -> list[str]:
    """The runs for the date that were killed since the last one that succeeded, which has looked itself."""
    found = []
    for run in store.headers(loaded.pipeline.pipeline, loaded.target):
        if run.logical_date == loaded.logical_date.isoformat() and run.status is RunStatus.SUCCEEDED:
            break
        if run.logical_date == loaded.logical_date.isoformat() and run.error == ABANDONED:
            found.append(run.run_id)
    return found


def _clear(name: str, context: RunContext, killed: Collection[str]) -> None:
    try:
        LEFT.get(name)(context, killed)
    except OdibiError as error:
        with suppress(OSError, ValueError):  # whoever listens, the run goes on
            sys.stderr.write(
                f"odibi: it is not known what killed runs have left on {name}: {error.message}\n"
            )
