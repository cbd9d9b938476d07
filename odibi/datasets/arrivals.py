"""Which rows of a Delta table are new to a reader for a logical date: what its log says came, and went, when.

A version belongs to the date that consumed it. What came since belongs to the date that asks, with one
exception: a version that took out rows another date had consumed, as the correction of a day does, is
left to that date, which alone can replace what it made of them. A reader that tells rows apart by key
takes it like any other. Compaction brings nothing new: its files are copies, told by ``dataChange``
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md#add-file-and-remove-file).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from odibi.datasets.delta import Table, entry_of
from odibi.errors import Permanent

__all__ = ["REFRESH", "Arrivals", "Taken", "arrivals"]

MANY = 1_000
"""Spans of versions that a state remembers by date; of older ones only that they were consumed."""

REFRESH = "--full-refresh builds this step's table anew from all of it"
UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a step has consumed of a table.

    Attributes:
        table: the id of the table.
        to: the version up to which it has looked.
        spans: date, first and last version that the date consumed.
        owed: date and version that is left to the date.
    """

    table: str
    to: int = -1
    spans: tuple[tuple[str, int, int], ...] = ()
    owed: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def of(note: Mapping[str, Any]) -> Taken:
        """What :meth:`note` wrote."""
        spans = tuple((str(date), int(low), int(high)) for date, low, high in note["spans"])
        owed = tuple((str(date), int(version)) for date, version in note["owed"])
        return Taken(str(note["table"]), int(note["to"]), spans, owed)

    def note(self) -> dict[str, Any]:
        """As JSON data, for the commit's note."""
        return {"table": self.table, "to": self.to, "spans": self.spans, "owed": self.owed}

    def owner(self, version: int) -> str | None:
        """The date that a version belongs to, None where it is not known or none has it yet."""
        spans = (date for date, low, high in self.spans if low <= version <= high)
        return next(spans, next((date for date, owed in self.owed if owed == version), None))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a read for a date takes: ``files`` of the table, and the state once it is consumed.

    ``version`` tells it apart from other reads; ``commits`` is how many came since the last one.
    """

    files: tuple[str, ...]
    taken: Taken
    version: str
    commits: int

    @property
    def waiting(self) -> str:
        """What a reader is to be told of corrections that wait for other dates; empty where none do."""
        dates = sorted({date for date, _ in self.taken.owed})
        return f"rows read for {', '.join(dates)} were corrected since: run that date again" if dates else ""


@dataclass(slots=True)
class _Entry:
    """What a commit did to the data: files by name, with the partition of each."""

    version: int
    added: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    copied: dict[str, str] = field(default_factory=dict)
    originals: list[str] = field(default_factory=list)


def arrivals(table: Table, taken: Taken | None, date: str, *, keyed: bool) -> Arrivals:
    """What is new for ``date``, with what it consumed before unless the reader is ``keyed``.

    Raises:
        Permanent: the table was replaced, or rows of several dates were, or its log was cleaned up.
    """
    if table.needs_own_reader:
        raise Permanent(
            f"{table.url} uses deletion vectors or column mapping, so its files do not tell which rows are new",
            hint="read it by a watermark: the column that says when a row is of",
        )
    identity, now = str(table.handle.metadata().id), table.version
    if taken is None:
        done = Taken(identity, now, ((date, 0, now),))
        return Arrivals(tuple(file.path for file in table.files()), done, _version(done, date), now + 1)
    if taken.table != identity or taken.to > now:
        raise Permanent(
            f"{table.url} is another table than the one whose rows were read before", hint=REFRESH
        )
    fresh = {*range(taken.to + 1, now + 1), *(version for owner, version in taken.owed if owner == date)}
    before = {v for owner, low, high in taken.spans if owner == date for v in range(low, high + 1)}
    first = min(fresh | (set() if keyed else before), default=now + 1)
    replay = _Replay(table, taken, date, fresh, keyed=keyed)
    if not replay.through(_entries(table, first)):
        replay = _Replay(table, taken, date, fresh, keyed=keyed)
        if not replay.through(_entries(table, 0)):
            raise replay.refusal()
    done = _after(taken, now, date, replay)
    return Arrivals(
        replay.files(replay.claimed if keyed else before | replay.claimed),
        done,
        _version(done, date),
        len(replay.claimed),
    )


def _version(taken: Taken, date: str) -> str:
    """Versions do not change, so which of them the date has is which rows it reads of a table."""
    text = json.dumps([[low, high] for owner, low, high in taken.spans if owner == date])
    return f"rows:{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def _after(taken: Taken, now: int, date: str, replay: _Replay) -> Taken:
    """The state once what was claimed is consumed."""
    left = [(owner, version) for owner, version in taken.owed if version not in replay.claimed]
    known = set(left)
    left += [each for each in replay.owed if each not in known]
    spans = sorted([*taken.spans, *((date, v, v) for v in replay.claimed)], key=lambda span: span[1])
    if len(spans) > MANY:
        half = len(spans) // 2
        spans = [*((UNKNOWN, low, high) for _, low, high in spans[:half]), *spans[half:]]
    return Taken(taken.table, now, _joined(spans), tuple(left))


def _joined(spans: Iterable[tuple[str, int, int]]) -> tuple[tuple[str, int, int], ...]:
    """Sorted spans, with those of one date that touch made one."""
    out: list[tuple[str, int, int]] = []
    for date, low, high in spans:
        if out and out[-1][0] == date and out[-1][2] + 1 == low:
            out[-1] = (date, out[-1][1], high)
        else:
            out.append((date, low, high))
    return tuple(out)


class _Replay:
    """The log gone through once more, to learn when each file came and whose each new version is."""

    def __init__(self, table: Table, taken: Taken, date: str, fresh: set[int], *, keyed: bool) -> None:
        self.table, self.taken, self.date, self.fresh, self.keyed = table, taken, date, fresh, keyed
        self.origin: dict[str, int] = {}
        self.partition: dict[str, str] = {}
        self.copies: list[tuple[set[str], set[str]]] = []  # the files that compaction wrote, and from which
        self.claimed: set[int] = set()
        self.owed: list[tuple[str, int]] = []
        self.conflict: tuple[int, set[str]] | None = None

    def through(self, entries: Iterable[_Entry]) -> bool:
        """Go through entries in order; whether they tell whose all new versions are."""
        for entry in entries:
            touched = self._removed(entry)
            self.partition |= entry.added | entry.copied
            self.origin |= dict.fromkeys(entry.added, entry.version)
            self._copied(entry)
            if entry.version not in self.fresh or not (entry.added or entry.removed):
                continue
            if self.keyed or touched <= {self.date}:
                self.claimed.add(entry.version)
            elif len(touched) == 1 and UNKNOWN not in touched:
                self.owed.append((touched.pop(), entry.version))
            else:
                self.conflict = (entry.version, touched)
                return False
        return True

    def _removed(self, entry: _Entry) -> set[str]:
        """Take out what the commit did; the dates whose rows those were."""
        gone = set(entry.removed)
        touched: set[str] = set()
        for outputs, originals in self.copies:
            if hit := outputs & gone:
                gone -= hit
                outputs.difference_update(hit)
                if outputs:  # which of its rows went, nobody can say
                    touched.add(UNKNOWN)
                else:
                    gone |= originals
        for name in gone:
            version = self.origin.pop(name, None)
            touched.add(UNKNOWN if version is None else self._owner(version))
        return touched

    def _owner(self, version: int) -> str:
        if version in self.claimed:
            return self.date
        owed = (date for date, each in self.owed if each == version)
        return next(owed, self.taken.owner(version) or UNKNOWN)

    def _copied(self, entry: _Entry) -> None:
        """Note which files hold copies of which; compaction stays within a partition."""
        for partition in set(entry.copied.values()):
            outputs = {name for name, where in entry.copied.items() if where == partition}
            originals: set[str] = set()
            for name in entry.originals:
                if self.partition.get(name, partition) == partition:
                    before = next((group for group in self.copies if name in group[0]), None)
                    originals |= before[1] if before is not None else {name}
            self.copies = [group for group in self.copies if not group[0] & set(entry.originals)]
            self.copies.append((outputs, originals))

    def files(self, wanted: set[int]) -> tuple[str, ...]:
        """The files that hold the rows of these versions, and no others."""
        names = {name for name, version in self.origin.items() if version in wanted}
        for outputs, originals in self.copies:
            if originals and originals <= names:
                names = (names - originals) | outputs
        if self.table.folder.missing(names):
            raise Permanent(
                f"{self.table.url}: a file with rows that are new was written together with others and vacuumed",
                hint=REFRESH,
            )
        return tuple(sorted(map(self.table.folder.path, names)))

    def refusal(self) -> Permanent:
        """Why some new version belongs to nobody."""
        version, touched = self.conflict or (0, set())
        dates = ", ".join(sorted(touched - {UNKNOWN}))
        whose = f"that this step had read for {dates}" if dates else "that this step had read"
        return Permanent(
            f"version {version} of {self.table.url} took out rows {whose}, and appended rows cannot follow that",
            hint=f"{REFRESH}; mode merge takes such changes by key",
        )


def _entries(table: Table, first: int) -> list[_Entry]:
    """What the commits from ``first`` on did, in order. Raises Permanent where the log has been cleaned up."""
    found: list[_Entry] = []
    for version in range(first, table.version + 1):
        try:
            lines = table.folder.read(entry_of(version)).splitlines()
        except FileNotFoundError as error:
            raise Permanent(
                f"the log of {table.url} was cleaned up, and does not tell any more what came with version {version}",
                hint=REFRESH,
            ) from error
        found.append(_entry(version, lines))
    return found


def _entry(version: int, lines: Sequence[str]) -> _Entry:
    entry = _Entry(version)
    for line in lines:
        if not line.startswith(('{"add"', '{"remove"')) and '"dataChange"' not in line:
            continue
        action = json.loads(line)
        if (add := action.get("add")) is not None:
            into = entry.added if add.get("dataChange", True) else entry.copied
            into[_name(add)] = json.dumps(add.get("partitionValues") or {}, sort_keys=True)
        elif (gone := action.get("remove")) is not None:
            (entry.removed if gone.get("dataChange", True) else entry.originals).append(_name(gone))
    return entry


def _name(action: Mapping[str, Any]) -> str:
    """The path of a file in the log, which has it in URL spelling."""
    return unquote(str(action["path"]))
