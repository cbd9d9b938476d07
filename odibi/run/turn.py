"""Whose turn it is: the lock of a pipeline for a date and target, and what tables know of it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.datasets.delta import Fence, open_table
from odibi.home import Home

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.plan import Plan
    from odibi.record.locks import Lock
    from odibi.record.store import RunStore

__all__ = ["CANCEL", "NEWS", "fence", "free_epoch", "lock_name", "locked"]

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


def locked(store: RunStore, loaded: Loaded, plan: Plan, before: int) -> Lock:
    """The lock, taken. Raises Busy while another run has it; ``before`` is the epoch of the last one, 0 for none."""
    from odibi.record.locks import take

    above = 0 if before else _known_to_tables(store, loaded, plan)
    return take(store, lock_name(loaded), loaded.run_id, above=above)


def fence(store: RunStore, loaded: Loaded, lock: Lock) -> Fence:
    """What the run's commits carry, so that tables refuse a run that has lost its lock."""
    return Fence(_fence_name(store, loaded), lock.epoch)


def _known_to_tables(store: RunStore, loaded: Loaded, plan: Plan) -> int:
    """The greatest epoch of the lock that a table knows: a run store that was lost may have been ahead of the clock."""
    name = _fence_name(store, loaded)
    targets = [target for step in plan.steps for group in step.targets.values() for target in group]
    tables = [open_table(target.url) for target in targets if target.format == "delta"]
    return max((table.handle.transaction_version(name) or 0 for table in tables if table), default=0)


def _fence_name(store: RunStore, loaded: Loaded) -> str:
    """What tables know the lock by; locks of other run stores are others."""
    place = store.database.place or ""
    where = place if "://" in place else str(Path(place).absolute())
    known = hashlib.blake2b(where.encode(), digest_size=4).hexdigest()
    return f"odibi:lock/{known}/{loaded.pipeline.pipeline}/{loaded.logical_date.isoformat()}"
