"""The care of Delta tables: roll back, compact, clean. Data that stays the same keeps its note.

Whoever wrote a table, the work is done by the ``deltalake`` package. Every commit carries on what the
table's note says, so that readers and the next run see that nothing, or what, has changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from odibi.datasets.consumed import CONSUMED, consumed, noted_files
from odibi.datasets.delta import METADATA, ROLLBACK, LostRace, Table, commit_at, entry_of, open_table, race
from odibi.datasets.modes import BESIDE
from odibi.errors import Permanent, nearest
from odibi.folders import at

if TYPE_CHECKING:
    from deltalake import CommitProperties

__all__ = ["Gone", "columns_to_sort", "history", "optimize", "rollback", "still_there", "tend", "vacuum"]

T = TypeVar("T")

SAFE_HOURS = 168
"""How old a file that no version names must be before it can be no running writer's."""

TRIES = 5
"""Attempts at a commit that others may be faster with."""


class Gone(Permanent):
    """A version that cannot be read any more: its files or its log were cleaned up."""


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
        Gone: its files were cleaned up.
        Permanent: there is no such version.
    """

    def work(table: Table) -> int:
        if not 0 <= version < table.version:
            raise Permanent(
                f"{url} has versions 0 to {table.version}, and cannot be rolled back to {version}",
                hint="odibi history NAME lists them",
            )
        then = still_there(url, version)
        undone = [*(table.undone() or ()), (version, table.version + 1)]
        remembered = then.transaction(BESIDE)
        note = dict(_note(url, version)) | {"rolled_back": undone}
        if remembered is not None:
            note["beside"] = remembered.note.get("beside", [])
        if table.transaction(CONSUMED) is not None:
            note["consumed"] = consumed(then)
        carried = [app for app in (BESIDE, CONSUMED) if table.transaction(app) is not None]
        apps = [ROLLBACK, *carried]
        table.handle.restore(version, commit_properties=_properties(note, apps, table.version + 1))
        return table.version + 1

    return _raced(url, work)


def still_there(url: str, version: int) -> Table:
    """The table at an older version. Raises Gone where not all that it holds is there."""
    hint = "choose a later version, odibi history NAME lists them"
    try:
        then = open_table(url, version)
    except Permanent as error:
        if at(url).exists(entry_of(version)):
            raise
        raise Gone(f"{url}: the log of version {version} was cleaned up", hint=hint) from error
    if then is None:
        raise Permanent(f"{url} has no version {version}")
    remembered = then.transaction(BESIDE)
    beside = remembered.note.get("beside", ()) if remembered is not None else ()
    beside = (*beside, *noted_files(consumed(then)))
    if then.folder.missing([*(file.name for file in then.files()), *beside]):
        raise Gone(f"{url}: files of version {version} were deleted by vacuum", hint=hint)
    return then


def columns_to_sort(table: Table, wanted: Sequence[str]) -> tuple[str, ...]:
    """The columns as the table spells them, for ``optimize`` to sort by.

    Raises:
        Permanent: the table has no such column, or is partitioned by it.
    """
    names = {column.name.lower(): column.name for column in table.schema}
    for name in wanted:
        if name.lower() not in names:
            hint = nearest(name, names.values(), "its columns")
            raise Permanent(f"{table.url} has no column {name!r} to sort by", hint=hint)
        if names[name.lower()] in table.partitions:
            message = (
                f"{table.url} is partitioned by {names[name.lower()]!r}, so every file has one value of it"
            )
            rest = [column for column in names.values() if column not in table.partitions]
            raise Permanent(message, hint=f"sort by another: {', '.join(rest[:8])}")
    return tuple(dict.fromkeys(names[name.lower()] for name in wanted))


def optimize(url: str, z_order: Sequence[str] = ()) -> Mapping[str, Any]:
    """Write small files together into larger ones, along ``z_order`` columns if given; what was done.

    Raises:
        Permanent: the table cannot be compacted, or cannot be sorted so.
    """

    def work(table: Table) -> Mapping[str, Any]:
        properties = _properties(_note(url, table.version), (), table.version + 1)
        optimizer = table.handle.optimize
        if z_order:
            columns = columns_to_sort(table, z_order)
            return dict(optimizer.z_order(columns, commit_properties=properties))
        return dict(optimizer.compact(commit_properties=properties))

    return _raced(url, work)


def tend(url: str, max_files: int | None, vacuum_hours: int | None, spared: Container[str] = ()) -> str:
    """Compact the table if it has more files than that, delete old files if asked for; what was done, in words.

    Raises:
        Permanent: the table cannot be compacted, or files cannot be deleted.
        LostRace: others kept writing to it.
    """
    said = []
    before = _files(url)
    if max_files is not None and before > max_files:
        optimize(url)
        said.append(f"{before} files are {_files(url)} now")
    if vacuum_hours is not None and (gone := vacuum(url, vacuum_hours, spared=spared)):
        said.append(f"{len(gone)} old files were deleted")
    return ", ".join(said)


def _files(url: str) -> int:
    table = open_table(url)
    return len(tuple(table.files())) if table is not None else 0


def vacuum(
    url: str, hours: int | None = None, *, dry_run: bool = False, spared: Container[str] = ()
) -> list[str]:
    """Delete files that no version of the last ``hours`` needs (the table's own retention if None); those.

    Folders of parts that it leaves empty go too, but for the ``spared`` ones, in which runs may be writing.

    Raises:
        Permanent: the files cannot be deleted.
    """
    since = time.time() - (SAFE_HOURS if hours is None else hours) * 3600

    def work(table: Table) -> list[str]:
        # Before anything is deleted, which makes a folder young.
        old = (
            () if dry_run else [each for each in _parts(table, spared) if table.folder.youngest(each) < since]
        )
        gone = [
            str(name)
            for name in table.handle.vacuum(
                retention_hours=hours,
                dry_run=dry_run,
                enforce_retention_duration=False,
                commit_properties=_properties(_note(url, table.version), (), 0),
            )
        ]
        for folder in old:
            table.folder.prune(folder)
        return [*gone, *_forgotten(table, since, dry_run=dry_run)]

    return _raced(url, work)


def _parts(table: Table, spared: Container[str]) -> list[str]:
    """The folders in which runs have staged parts, without the spared ones."""
    return [each for each in table.folder.folders("parts") if table.folder.path(each) not in spared]


def _forgotten(table: Table, since: float, *, dry_run: bool) -> list[str]:
    """What the table remembered beside its rows at versions whose log is gone or older than ``since``."""
    folder = table.folder
    notes = [entry for entry in history(table) if (entry["timestamp"] or 0) / 1000 >= since]
    current = table.transaction(BESIDE)
    needed = {name for entry in notes for name in entry["note"].get("beside", ())}
    needed |= set(current.note.get("beside", ())) if current is not None else set()
    needed |= {name for entry in notes for name in noted_files(entry["note"].get("consumed", {}))}
    told = table.transaction(CONSUMED)
    needed |= set(noted_files(told.note.get("consumed", {}))) if told is not None else set()
    keep = {name.split("/")[1] for name in needed}
    others = [f"_odibi/{name}" for name in sorted(folder.names("_odibi")) if name not in keep]
    found = [each for each in others if folder.youngest(each) < since]
    for each in () if dry_run else found:
        folder.remove(each)
    return found


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
