"""Results that stand somewhere, told by their key: what checkpoints and the cache give to a plan.

A result may stand in what the step writes (a version of a Delta table, files as they were), in Parquet
parts kept beside, or in both. It stands in for a computation only while all of it is as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from odibi.config.base import Frozen, Name
from odibi.config.models import WriteMode
from odibi.datasets import files
from odibi.datasets.delta import Commit
from odibi.datasets.fetching import is_served
from odibi.datasets.target import Target
from odibi.engines.base import Location
from odibi.places import beside
from odibi.relational.schema import Column, Schema
from odibi.unchanged.facts import files_at

__all__ = ["Held", "Kept", "Mark", "Spot", "intact", "marked", "part_marked"]


class Mark(Frozen):
    """A file as it was: ``changed`` is its time in nanoseconds, ``version`` tells its content; 0 and empty if unknown."""

    path: str
    size: int
    changed: int = 0
    version: str = ""


class Spot(Frozen):
    """One thing a step wrote: the version of a Delta table, or files."""

    url: str
    format: str
    version: int | None = None
    files: tuple[Mark, ...] = ()


class Held(Frozen):
    """A dataset of a result: ``version`` is its data version for readers, empty where the place tells it.

    ``parts`` are Parquet files kept beside that hold its rows, None where there are none.
    """

    version: str
    columns: tuple[tuple[str, str], ...]
    rows: int | None
    spots: tuple[Spot, ...] = ()
    parts: tuple[Mark, ...] | None = None

    @property
    def schema_(self) -> Schema:
        """Its columns."""
        return tuple(Column(name, kind) for name, kind in self.columns)

    @property
    def location(self) -> Location:
        """Where the parts can be read."""
        paths = tuple(mark.path for mark in self.parts or ())
        return Location("parquet", paths, self.schema_, exact=True)


class Kept(Frozen):
    """A step's result. ``made_of`` is what the key was made of, ``run_id`` the run that computed it.

    ``resumed`` says that the plan resumes the run that has this result: it then stands also where
    equal inputs might give another one.
    """

    step: Name
    key: Name
    made_of: dict[str, Any]
    run_id: Name
    at: datetime
    datasets: dict[str, Held]
    resumed: bool = Field(default=False, exclude=True)


def marked(url: str) -> tuple[Mark, ...]:
    """The files at a place as they are now; what was sent to a server stands as it was taken."""
    if is_served(url):
        return (Mark(path=url, size=0),)
    return tuple(
        Mark(path=file.path, size=file.size, changed=_changed(file.path), version=file.version)
        for file in files.find(url)
    )


def part_marked(source: str, final: str) -> Mark:
    """A Parquet part that is going to be at ``final``."""
    size = Path(source).stat().st_size
    return Mark(path=final, size=size, changed=0 if files.is_remote(final) else _changed(source))


def _changed(path: str) -> int:
    return 0 if files.is_remote(path) else Path(path).stat().st_mtime_ns


def intact(
    kept: Kept, targets: Mapping[str, tuple[Target, ...]], commits: Mapping[str, Commit | None]
) -> bool:
    """Whether the result still stands in these targets of its step, and its parts where it has some.

    Args:
        kept: the result.
        targets: what the step writes now.
        commits: the ledger's entry of each Delta target.
    """
    if targets and kept.datasets.keys() != targets.keys():
        return False
    for name, held in kept.datasets.items():
        group = targets.get(name, ())
        if [(spot.url, spot.format) for spot in held.spots] != [(t.url, t.format) for t in group]:
            return False
        if not group and held.parts is None:
            return False
        for spot, target in zip(held.spots, group, strict=True):
            if not (
                _committed(kept, spot, commits.get(name)) if spot.format == "delta" else _files(spot, target)
            ):
                return False
        if not all(_same(mark) for mark in held.parts or ()):
            return False
    return True


def _committed(kept: Kept, spot: Spot, commit: Commit | None) -> bool:
    return commit is not None and commit.version == spot.version and commit.note.get("key") == kept.key


def _files(spot: Spot, target: Target) -> bool:
    """Whether the files are what they were; of an append's folder only its own are looked at."""
    if target.mode is WriteMode.APPEND or files.is_remote(spot.url):
        return bool(spot.files) and all(_same(mark, target.url) for mark in spot.files)
    return files_at(spot.url) == [mark.path for mark in spot.files] and all(
        _same(mark) for mark in spot.files
    )


def _same(mark: Mark, place: str = "") -> bool:
    """Whether the file is what it was, opened as ``place`` is; where only its time has moved, its content tells."""
    if is_served(mark.path):
        return True
    if files.is_remote(mark.path):
        found = files.find(beside(mark.path, place))
        return len(found) == 1 and found[0].size == mark.size and mark.version in ("", found[0].version)
    try:
        stat = Path(mark.path).stat()
    except OSError:
        return False
    if stat.st_size != mark.size:
        return False
    return stat.st_mtime_ns == mark.changed or marked(mark.path)[0].version == mark.version
