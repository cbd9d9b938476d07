"""The care of Delta tables: roll back, compact, clean. Data that stays the same keeps its note.

Whoever wrote a table, the work is done by the ``deltalake`` package. Every commit carries on what the
table's note says, so that readers and the next run see that nothing, or what, has changed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from odibi.datasets.delta import METADATA, ROLLBACK, LostRace, Table, commit_at, open_table, race
from odibi.datasets.modes import BESIDE
from odibi.errors import Permanent

if TYPE_CHECKING:
    from deltalake import CommitProperties

__all__ = ["history", "optimize", "rollback", "vacuum"]

T = TypeVar("T")

TRIES = 5
"""Attempts at a commit that others may be faster with."""


def history(table: Table) -> list[dict[str, Any]]:
    """The table's commits that the log still has, newest first, with odibi's note of each."""
    return [
        {
            "version": entry["version"],
            "timestamp": entry.get("timestamp"),
            "operation": entry.get("operation"),
            "engine": entry.get("engineInfo"),
            "note": json.loads(entry[METADATA]) if entry.get(METADATA) else {},
        }
        for entry in table.handle.history()
    ]


def rollback(url: str, version: int) -> int:
    """Make the table what it was at ``version``, by a new commit. The version that made.

    What later runs had written is undone for the next run too: it computes those dates again.

    Raises:
        Permanent: there is no such version, or its files were cleaned up.
    """

    def work(table: Table) -> int:
        if not 0 <= version < table.version:
            raise Permanent(
                f"{url} has versions 0 to {table.version}, and cannot be rolled back to {version}",
                hint="odibi history NAME lists them",
            )
        then = open_table(url, version)
        if then is None:
            raise Permanent(f"{url} has no version {version}")
        undone = [*(table.undone() or ()), (version, table.version + 1)]
        remembered = then.transaction(BESIDE)
        note = dict(_note(url, version)) | {"rolled_back": undone}
        if remembered is not None:
            note["beside"] = remembered.note.get("beside", [])
        apps = [ROLLBACK] + ([BESIDE] if table.transaction(BESIDE) is not None else [])
        table.handle.restore(version, commit_properties=_properties(note, apps, table.version + 1))
        return table.version + 1

    return _raced(url, work)


def optimize(url: str, z_order: Sequence[str] = ()) -> Mapping[str, Any]:
    """Write small files together into larger ones, along ``z_order`` columns if given; what was done.

    Raises:
        Permanent: the table cannot be compacted.
    """

    def work(table: Table) -> Mapping[str, Any]:
        properties = _properties(_note(url, table.version), (), table.version + 1)
        optimizer = table.handle.optimize
        if z_order:
            return dict(optimizer.z_order(z_order, commit_properties=properties))
        return dict(optimizer.compact(commit_properties=properties))

    return _raced(url, work)


def vacuum(url: str, hours: int | None = None, *, dry_run: bool = False) -> list[str]:
    """Delete files that no version of the last ``hours`` needs (the table's own retention if None); those.

    Raises:
        Permanent: the files cannot be deleted.
    """

    def work(table: Table) -> list[str]:
        gone = [
            str(name)
            for name in table.handle.vacuum(
                retention_hours=hours,
                dry_run=dry_run,
                enforce_retention_duration=False,
                commit_properties=_properties(_note(url, table.version), (), 0),
            )
        ]
        return [*gone, *_forgotten(table, 168 if hours is None else hours, dry_run=dry_run)]

    return _raced(url, work)


def _forgotten(table: Table, hours: int, *, dry_run: bool) -> list[str]:
    """What the table remembered beside its rows at versions whose log is gone or older than ``hours``."""
    since = time.time() - hours * 3600
    folder = Path(table.url) / "_odibi"
    notes = [entry for entry in history(table) if (entry["timestamp"] or 0) / 1000 >= since]
    current = table.transaction(BESIDE)
    needed = {name for entry in notes for name in entry["note"].get("beside", ())}
    needed |= set(current.note.get("beside", ())) if current is not None else set()
    keep = {name.split("/")[1] for name in needed}
    found = [
        each
        for each in sorted(folder.iterdir() if folder.is_dir() else ())
        if each.name not in keep and each.stat().st_mtime < since
    ]
    for each in () if dry_run else found:
        shutil.rmtree(each)
    return [f"_odibi/{each.name}" for each in found]


def _note(url: str, version: int) -> Mapping[str, Any]:
    """What odibi noted of the table's content at a version; empty if somebody else made it."""
    return commit_at(url, version).note


def _properties(note: Mapping[str, Any], apps: Sequence[str], version: int) -> CommitProperties:
    from deltalake import CommitProperties, Transaction

    return CommitProperties(
        custom_metadata={METADATA: json.dumps(dict(note))} if note else None,
        max_commit_retries=0,
        app_transactions=[Transaction(app, version) for app in apps] or None,
    )


def _raced(url: str, work: Callable[[Table], T]) -> T:
    """The work done on the table as it is now; again where another writer was faster."""
    for number in range(TRIES):
        table = open_table(url)
        if table is None:
            raise Permanent(f"{url} is no Delta table")
        try:
            with race(url):
                return work(table)
        except LostRace:
            if number == TRIES - 1:
                raise
    raise AssertionError("unreachable")
