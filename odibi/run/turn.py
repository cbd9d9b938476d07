"""Whose turn it is: the lock of a pipeline for a date and target, and what tables know of it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.datasets.delta import Fence
from odibi.home import Home

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.record.locks import Lock
    from odibi.record.store import RunStore

__all__ = ["CANCEL", "NEWS", "fence_of", "free_epoch", "lock_name", "locked"]

CANCEL = "odibi cancel"
"""What has stopped a run that was cancelled from elsewhere."""

NEWS = {"cancelled": CANCEL, "lost": "the loss of its lock to a later run"}
"""Why a run ends that hears this from its lock."""


def lock_name(loaded: Loaded) -> str:
    """What one run at a time may have."""
    return f"{loaded.pipeline.pipeline} for {loaded.logical_date.isoformat()} ({loaded.target})"


def free_epoch(home: Home, loaded: Loaded) -> int:
    """The epoch of the pipeline's last run for this date. Raises Busy while one is under way.

    A run store that is damaged is set aside.
    """
    from odibi.record.database import Damaged, set_aside
    from odibi.record.locks import free_epoch
    from odibi.record.store import open_store

    try:
        with open_store(home.state) as store:
            return free_epoch(store, lock_name(loaded))
    except Damaged as error:
        # What must not be lost or doubled is known to the tables: a run does not fail for its history.
        aside = set_aside(home.state)
        said = f"odibi: {error.where}: {error.message}; it is kept as {aside}, a new one begins"
        print(said, file=sys.stderr)  # noqa: T201
        return 0


def locked(store: RunStore, loaded: Loaded) -> Lock:
    """The lock, taken. Raises Busy while another run has it."""
    from odibi.record.locks import take

    return take(store, lock_name(loaded), loaded.run_id)


def fence_of(store: RunStore, loaded: Loaded, lock: Lock) -> Fence:
    """What the run's commits carry, so that tables refuse a run that has lost its lock.

    Locks of other run stores are others, also of one that was lost here.
    """
    place = store.database.place or ""
    where = place if "://" in place else str(Path(place).absolute())
    known = hashlib.blake2b(f"{where} {store.begun()}".encode(), digest_size=4).hexdigest()
    return Fence(
        f"odibi:lock/{known}/{loaded.pipeline.pipeline}/{loaded.logical_date.isoformat()}", lock.epoch
    )
