"""Where parts wait for their commit, and the sweep of what dead runs left.

A run notes each staging folder before it writes there, in a file that it keeps locked while it
lives. The operating system lets go of the lock when the process dies, however it dies, so the
next run knows which notes are of the dead.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from odibi.boundaries import cross
from odibi.engines.base import Staged
from odibi.errors import Permanent, Transient
from odibi.folders import at
from odibi.places import beside, is_remote

__all__ = ["Intents", "abandoned", "brought", "discard", "noted", "sweep"]

CLAIMS = "_staging"
"""The folder of a table in a store that has a note for each folder in which a run is staging."""

ABANDONED = 24 * 3600.0
"""Seconds after which a note in a store is that of a dead run: no other machine can see whether it lives."""


class Intents:
    """The staging folders of a living run; a context manager."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._path = folder / f"{run_id}.jsonl"
        self._run = run_id
        self._lock = threading.Lock()
        self._count = 0
        self._file: IO[str] | None = None
        self._claims: dict[str, list[str]] = {}  # by table in a store, the names of notes there

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self._file = self._path.open("a", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                if self._path.stat().st_ino == os.fstat(self._file.fileno()).st_ino:
                    os.set_inheritable(self._file.fileno(), True)  # by a JVM, which outlives a killed run
                    return self
            except FileNotFoundError:
                pass  # another run's sweep took the empty file before it was locked
            self._file.close()

    def noted(self) -> frozenset[str]:
        """Every folder in which this or another run may be staging."""
        return noted(self._path.parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for table, names in self._claims.items():
            with suppress(Permanent):  # the next run on any machine removes them
                at(table).drop(names)
        cross("before removal of intents")
        self._path.unlink(missing_ok=True)
        cross("after removal of intents")
        if self._file is not None:
            self._file.close()

    def folder(self, target: str, below: str = "parts") -> str:
        """A new folder below ``target`` for parts, noted before anything is in it."""
        with self._lock:
            self._count += 1
            # No leading underscore: vacuum skips such folders and would never clean them.
            name = f"{self._run[:8]}-{self._run[-4:]}-{self._count}"
            folder = beside(f"{target.rstrip('/')}/{below}/{name}", target)
            self._note(target, folder)
        if at(target).remote:
            self._claim(target, below, name)
        return folder

    def _claim(self, target: str, below: str, name: str) -> None:
        """Note the folder at its table as well: the next run may be one on another machine."""
        note = _claim_of(f"{below}/{name}")
        with self._lock:
            first = target not in self._claims
            self._claims.setdefault(target, []).append(note)
        if first:
            _strays(target)
        at(target).write(note, json.dumps({"folder": f"{below}/{name}", "run": self._run}))

    def aside(self, path: Path) -> Path:
        """A hidden name beside ``path`` to write under until it is whole, noted before it is used."""
        with self._lock:
            self._count += 1
            aside = path.parent / f".{path.name}.{self._run[:8]}-{self._count}.tmp"
            self._note("", str(aside), str(path))
        return aside

    def temporary(self, folder: Path) -> None:
        """Note a folder of the run's own; the run removes it, and the sweep does if the run dies."""
        with self._lock:
            self._note("", str(folder))

    def _note(self, target: str, path: str, final: str = "") -> None:
        if self._file is None:
            raise RuntimeError("Intents is a context manager and was not entered")
        # Absolute, because the run that sweeps may be started from another folder.
        named = {"target": target, "folder": path, "final": final}
        note = {key: _absolute(value) for key, value in named.items()}
        cross("before intent", final or target)
        self._file.write(json.dumps(note) + "\n")
        self._file.flush()
        cross("after intent", final or target)


def _absolute(place: str) -> str:
    return os.path.abspath(place) if place and not is_remote(place) else str(place)  # noqa: PTH100


def _claim_of(folder: str) -> str:
    """The name of the note for a folder below a table, below that table."""
    return f"{CLAIMS}/{folder.replace('/', '-')}.json"


def brought(staged: Staged, table: str, folder: str) -> Staged:
    """The parts where the table wants them, in ``folder``: put there, if they were computed elsewhere.

    Raises:
        Transient: the folder was taken for one of a dead run, so the parts in it may be gone.
    """
    place = at(table)
    if not place.remote:
        return staged
    if not place.exists(_claim_of(place.name(folder))):
        raise Transient(f"what was staged in {folder} has waited for more than a day, and was swept")
    if staged.folder == folder:
        return staged
    there = at(folder)
    sources = {_below(part.path, staged.folder): part for part in staged.parts}
    there.put({name: part.path for name, part in sources.items()})
    parts = tuple(replace(part, path=there.path(name)) for name, part in sources.items())
    return replace(staged, folder=folder, parts=parts)


def _below(path: str, folder: str) -> str:
    return path.removeprefix(folder).lstrip("/")


def _strays(table: str) -> None:
    """Delete what runs on other machines, dead by all likelihood, staged for a table and never committed."""
    place = at(table)
    for entry in place.files(CLAIMS):
        if entry.changed >= time.time() - ABANDONED:
            continue
        with suppress(FileNotFoundError, ValueError, KeyError):  # another sweep was here
            folder = str(json.loads(place.read(entry.name))["folder"])
            place.drop([entry.name])  # first, so that its run commits nothing any more
            discard(table, place.path(folder))


def noted(folder: Path) -> frozenset[str]:
    """Every folder that a note names, of living runs and of dead ones that no sweep has seen yet."""
    found = set()
    for note in folder.glob("*.jsonl"):
        try:
            lines = note.read_text("utf-8").splitlines()
        except FileNotFoundError:
            continue  # its run ended
        for line in lines:
            with suppress(ValueError):  # the line that is being written
                found.add(str(json.loads(line)["folder"]))
    return frozenset(found)


def abandoned(folder: Path) -> tuple[Path, ...]:
    """The notes of runs that died, which the next run sweeps."""
    found = []
    for note in sorted(folder.glob("*.jsonl")):
        with suppress(FileNotFoundError, BlockingIOError), note.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a run that lives holds it
            found.append(note)
    return tuple(found)


def sweep(folder: Path, tables: Iterable[str] = ()) -> tuple[str, ...]:
    """Delete the parts that dead runs staged and never committed; the folders deleted.

    ``tables`` are those that the run writes: how others, elsewhere, are opened is not known here, and what
    is noted of them waits for a run that does, a day at most.
    """
    swept: list[str] = []
    known = {str(table): table for table in tables}
    for note in sorted(folder.glob("*.jsonl")):
        try:
            file = note.open("r+", encoding="utf-8")
        except FileNotFoundError:
            continue  # its run ended, or another sweep was here
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its run is alive
            gone = True
            for line in file.read().splitlines():
                try:
                    intent = json.loads(line)
                except ValueError:
                    continue  # the line that was being written; nothing was staged for it yet
                _restore(Path(f"{intent['folder']}.old"), intent["final"])
                target = known.get(intent["target"], intent["target"])
                if is_remote(target) and intent["target"] not in known:
                    gone = gone and time.time() - note.stat().st_mtime > ABANDONED
                    continue
                cross("before sweep", intent["final"] or intent["target"])
                if discard(target, beside(intent["folder"], target)):
                    swept.append(intent["folder"])
                    gone = gone and not at(beside(intent["folder"], target)).exists()
                if target and not is_remote(target):
                    _tidy(Path(target) / "_delta_log")
            if gone:  # else the next sweep tries again
                cross("before removal of dead intents")
                note.unlink(missing_ok=True)
                cross("after removal of dead intents")
    return tuple(swept)


def _tidy(log: Path) -> None:
    """Remove entries that were written aside, as ``00000000000000000007.json#1``, by who then died.

    A living writer has them for milliseconds, so those that are younger than a second are waited for.
    """
    for aside in log.glob("*.json#*"):
        with suppress(OSError):
            written = aside.stat().st_mtime
            time.sleep(min(1.0, max(0.0, written + 1 - time.time())))
            if aside.stat().st_mtime == written:
                aside.unlink()


def _restore(old: Path, final: str) -> None:
    """A folder that was moved aside to be replaced takes its place again if nothing else did."""
    if old.exists() and final:
        if Path(final).exists():
            discard("", str(old))
        else:
            old.rename(final)


def discard(target: str, folder: str) -> bool:
    """Delete what was staged, unless a commit of the table at ``target`` names a part of it."""
    place = at(folder)
    there = place.exists()
    if there and target and _committed(target, folder):
        there = False
    elif there:
        place.remove()
    if target and at(target).remote:
        at(target).drop([_claim_of(at(target).name(folder))])
    return there


def _committed(target: str, folder: str) -> bool:
    from odibi.datasets.delta import LOG, entry_of, open_table, versions

    table = at(target)
    inside = table.name(folder) + "/"
    # As the path of a file, or in the note that tells what is kept beside the rows.
    if any(inside in table.read(entry_of(version)) for version in reversed(versions(target))):
        return True
    if not any(".checkpoint" in name for name in table.names(LOG)):
        return False
    # Old entries of the log are cleaned up once a checkpoint holds what they said.
    opened = open_table(target)
    return opened is not None and any(table.name(file).startswith(inside) for file in opened.location().files)
