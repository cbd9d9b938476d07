"""What the log of a Delta table tells: who wrote a file, and which version a reader saw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from odibi.datasets.delta import METADATA, Table, entry_of, open_table, versions
from odibi.datasets.upkeep import Gone
from odibi.engines.base import Location
from odibi.errors import Permanent
from odibi.folders import at

__all__ = ["Entry", "History"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A commit: when it was made, in milliseconds, and odibi's note.

    ``added`` are the files it added, True for those with new rows; ``removed`` is whether it took others out.
    """

    version: int
    time: int
    note: Mapping[str, Any]
    added: Mapping[str, bool]
    removed: bool


class History:
    """The commits of one table, as far as its log still has them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._tables: dict[int, Table] = {}

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The commits, oldest first."""
        folder = at(self.url)
        return tuple(_entry(version, folder.read(entry_of(version))) for version in versions(self.url))

    @cached_property
    def _writers(self) -> Mapping[str, Entry]:
        """By file, the commit that first added it: a rollback adds old files again."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            for name in entry.added:
                found.setdefault(name, entry)
        return found

    def writer(self, path: str) -> Entry | None:
        """The commit that wrote a file, None where the log does not tell any more."""
        root = at(self.url).path("").rstrip("/")
        return self._writers.get(path.removeprefix(f"{root}/"))

    def at(self, version: int) -> Entry | None:
        """The commit that made a version."""
        return next((entry for entry in self.entries if entry.version == version), None)

    def undone_by(self, version: int) -> int | None:
        """The version by which a rollback took back that one, None if none did."""
        notes = (entry.note["rolled_back"] for entry in reversed(self.entries) if "rolled_back" in entry.note)
        pairs = next(notes, None) or ()  # each rollback notes those before it too
        return next((int(high) for low, high in pairs if int(low) < version < int(high)), None)

    def read_by(self, digest: str, time: int) -> int | None:
        """The version with the data that a reader noted, the newest that was there at ``time``; None if none is."""
        for entry in reversed(self.entries):
            known = (entry.note.get("digest"), *entry.note.get("sets", ()))
            if entry.time <= time and digest.removeprefix("delta:") in known:
                return entry.version
        _, at, number = digest.rpartition("@")
        return int(number) if at and number.isdigit() else None

    def as_of(self, time: int) -> int | None:
        """The newest version that was there at a time (milliseconds), None if there was none."""
        return next((entry.version for entry in reversed(self.entries) if entry.time <= time), None)

    def of_run(self, run: str) -> int | None:
        """The last version that a run made, None if it made none."""
        made = (e.version for e in reversed(self.entries) if str(e.note.get("run", "")).startswith(run))
        return next(made, None)

    def table(self, version: int) -> Table:
        """The table at a version.

        Raises:
            Gone: it cannot be read any more.
        """
        if version not in self._tables:
            try:
                table = open_table(self.url, version)
            except Permanent as error:
                raise Gone(f"version {version} of {self.url} cannot be opened any more") from error
            if table is None:
                raise Gone(f"the Delta table {self.url} is gone")
            missing = [] if table.needs_own_reader else table.folder.missing(_files(table))
            if missing:
                raise Gone(
                    f"version {version} of {self.url} was vacuumed: {len(missing)} of its files are gone"
                )
            self._tables[version] = table
        return self._tables[version]


def _files(table: Table) -> tuple[str, ...]:
    location: Location = table.location()
    return location.files


def _entry(version: int, text: str) -> Entry:
    time, removed = 0, False
    note: Mapping[str, Any] = {}
    added: dict[str, bool] = {}
    for line in text.splitlines():
        action = json.loads(line)
        if (info := action.get("commitInfo")) is not None:
            time = int(info.get("timestamp") or 0)
            note = json.loads(info[METADATA]) if info.get(METADATA) else {}
        elif (add := action.get("add")) is not None:
            added[unquote(add["path"])] = bool(add.get("dataChange", True))
        else:
            removed = removed or "remove" in action
    return Entry(version, time, note, added, removed)
