"""Checkpoints: how far a run has come and where what it has made stands, so that another run can go on.

``<folder>/<pipeline>/<run>/<number>.json`` are manifests; each tells all of the run up to then. Rows that
steps not finished yet need and no table keeps are beside them, in ``data``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from odibi.config.base import Frozen
from odibi.datasets.files import is_remote
from odibi.datasets.kept import Kept
from odibi.datasets.shelf import Item, folders, listed, load, put, remove, sealed, unsealed
from odibi.datasets.staging import Intents
from odibi.errors import Permanent

__all__ = ["Checkpoint", "Checkpoints", "Manifest", "NoCheckpoint"]

FORMAT = "odibi checkpoint"
VERSION = 1
OF_A_RUN = 50
"""Manifests kept of one run: mode AUTO writes one for each step."""
DAY = 86_400


class Checkpoint(Frozen):
    """How far a run had come. ``reason`` is the layer or step that ended, ``interval``, ``request`` or ``final``.

    ``status`` is running, completed, failed or cancelled. ``attempts`` counts the tries at each step that
    was tried, ``errors`` says why steps failed. ``kept`` has the results of this run, and those of the run it
    resumed; what was reused by the ledgers of tables needs no entry.
    """

    run_id: str
    pipeline: str
    config: str
    config_hash: str
    logical_date: str
    target: str
    engine: str
    params: dict[str, Any] = {}
    chosen: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    full_refresh: bool = False
    no_cache: bool = False
    resumed_from: str = ""
    number: int
    reason: str
    status: str
    at: datetime
    completed: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    attempts: dict[str, int] = {}
    errors: dict[str, str] = {}
    kept: tuple[Kept, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was found: its run, where it is, its size with what it refers to, None if it cannot be read."""

    run_id: str
    path: str
    size: int
    changed: float
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one pipeline, below ``folder``: a local folder or a URL of fsspec."""

    folder: str

    @staticmethod
    def of(base: str, pipeline: str) -> Checkpoints:
        """Those of a pipeline in the folder of all."""
        return Checkpoints(f"{base.removeprefix('file://').rstrip('/')}/{pipeline}")

    def data(self, run_id: str) -> str:
        """Where the rows are that a run spills."""
        return f"{self.folder}/{run_id}/data"

    def save(self, checkpoint: Checkpoint, intents: Intents) -> None:
        """Write a manifest. Raises OSError."""
        text = sealed(FORMAT, VERSION, checkpoint.model_dump(mode="json"))
        put(f"{self.folder}/{checkpoint.run_id}/{checkpoint.number:06}.json", text, intents)

    def manifests(self) -> tuple[Manifest, ...]:
        """All manifests, the newest first: by run, then by number."""
        return tuple(self._manifest(item) for items in self._runs().values() for item in items)

    def newest(self, logical_date: str, target: str) -> tuple[Checkpoint | None, tuple[str, ...]]:
        """The newest checkpoint of a run for that date and target, and what had to be passed over as damaged."""
        damaged: list[str] = []
        for items in self._runs().values():
            for item in items:
                found = self._manifest(item).checkpoint
                if found is None:
                    damaged.append(item.path)
                elif (found.logical_date, found.target) == (logical_date, target):
                    return found, tuple(damaged)
                else:
                    break  # all of its run are for that date
        return None, tuple(damaged)

    def of_run(self, run_id: str) -> tuple[Checkpoint | None, tuple[str, ...]]:
        """The newest checkpoint of a run, and what had to be passed over as damaged."""
        damaged: list[str] = []
        for item in self._runs().get(run_id, ()):
            found = self._manifest(item).checkpoint
            if found is not None:
                return found, tuple(damaged)
            damaged.append(item.path)
        return None, tuple(damaged)

    def clear(self, run_id: str | None = None) -> int:
        """Remove the checkpoints of a run, or all; how many there were."""
        runs = self._runs()
        gone = sum(len(items) for run, items in runs.items() if run_id in (None, run))
        remove(f"{self.folder}/{run_id}" if run_id else self.folder)
        return gone

    def sweep(self, living: Collection[str]) -> None:
        """Remove what runs have spilled that died before they wrote a manifest, and manifests half put."""
        with_manifest = self._runs()
        for run in set(folders(self.folder)) - {*living, *with_manifest}:
            remove(f"{self.folder}/{run}")
        for item in listed(self.folder) if is_remote(self.folder) else ():
            if item.path.endswith(".tmp") and self._run_of(item.path) not in living:
                remove(item.path)

    def prune(self, keep: int, days: int, now: Callable[[], float] = time.time) -> None:
        """Keep the newest checkpoints of the newest runs, none that is older than ``days``."""
        for number, (run, items) in enumerate(self._runs().items()):
            if number >= keep or now() - items[0].changed > days * DAY:
                remove(f"{self.folder}/{run}")
                continue
            for item in items[OF_A_RUN:]:
                remove(item.path)

    def drop_data(self, logical_date: str, target: str, living: Collection[str]) -> None:
        """Remove what runs for that date and target have spilled: a run has completed what they began."""
        spilled = {run for run in folders(self.folder) if listed(self.data(run))}
        for run in spilled - {*living}:
            found, _ = self.of_run(run)
            if found is not None and (found.logical_date, found.target) == (logical_date, target):
                remove(self.data(run))

    def _runs(self) -> dict[str, list[Item]]:
        """The manifests of each run, newest first; the run with the newest one in front."""
        runs: dict[str, list[Item]] = {}
        for item in listed(self.folder):
            place = item.path.removeprefix(f"{self.folder}/")
            if place.count("/") == 1 and place.endswith(".json"):
                runs.setdefault(self._run_of(item.path), []).append(item)
        newest = sorted(runs.items(), key=lambda run: max(item.changed for item in run[1]), reverse=True)
        return {run: sorted(items, key=lambda item: item.path, reverse=True) for run, items in newest}

    def _run_of(self, path: str) -> str:
        return path.removeprefix(f"{self.folder}/").partition("/")[0]

    def _manifest(self, item: Item) -> Manifest:
        text = load(item.path)
        data = unsealed(FORMAT, VERSION, text) if text is not None else None
        try:
            found = Checkpoint.model_validate(data) if data is not None else None
        except ValidationError:  # of another version of odibi
            found = None
        size = item.size
        for kept in found.kept if found is not None else ():
            size += sum(mark.size for held in kept.datasets.values() for mark in held.parts or ())
        return Manifest(self._run_of(item.path), item.path, size, item.changed, found)


class NoCheckpoint(Permanent):
    """There is nothing that a resume could go on from."""

    def __init__(self, what: str, folder: str) -> None:
        super().__init__(
            f"there is no checkpoint of {what} in {folder}",
            hint="run it without --resume: what stands in tables is not computed again",
        )
