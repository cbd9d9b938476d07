"""Where parts wait for their commit, and the sweep of what dead runs left.

A run notes each staging folder before it writes there, in a file that it keeps locked while it
lives. The operating system lets go of the lock when the process dies, however it dies, so the
next run knows which notes are of the dead.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from odibi.boundaries import cross

__all__ = ["Intents", "abandoned", "discard", "noted", "sweep"]


class Intents:
    """The staging folders of a living run; a context manager."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._path = folder / f"{run_id}.jsonl"
        self._run = run_id
        self._lock = threading.Lock()
        self._count = 0
        self._file: IO[str] | None = None

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
            folder = f"{target}/{below}/{self._run[:8]}-{self._run[-4:]}-{self._count}"
            self._note(target, folder)
        return folder

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
        note = {key: value and os.path.abspath(value) for key, value in named.items()}  # noqa: PTH100
        cross("before intent", final or target)
        self._file.write(json.dumps(note) + "\n")
        self._file.flush()
        cross("after intent", final or target)


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


def sweep(folder: Path) -> tuple[str, ...]:
    """Delete the parts that dead runs staged and never committed; the folders deleted."""
    swept: list[str] = []
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
                cross("before sweep", intent["final"] or intent["target"])
                if discard(intent["target"], intent["folder"]):
                    swept.append(intent["folder"])
                    gone = gone and not Path(intent["folder"]).exists()
                if intent["target"]:
                    gone = _tidied(Path(intent["target"]) / "_delta_log") and gone
            if gone:  # else the next sweep tries again
                cross("before removal of dead intents")
                note.unlink(missing_ok=True)
                cross("after removal of dead intents")
    return tuple(swept)


def _tidied(log: Path) -> bool:
    """Whether no entry is left that was written aside, as ``00000000000000000007.json#1``, by who then died.

    Only those older than any living writer's are removed, which last milliseconds.
    """
    done = True
    for aside in log.glob("*.json#*"):
        with suppress(OSError):
            if time.time() - aside.stat().st_mtime < 1:
                done = False
            else:
                aside.unlink()
    return done


def _restore(old: Path, final: str) -> None:
    """A folder that was moved aside to be replaced takes its place again if nothing else did."""
    if old.exists() and final:
        if Path(final).exists():
            discard("", str(old))
        else:
            old.rename(final)


def discard(target: str, folder: str) -> bool:
    """Delete what was staged, unless a commit of the table at ``target`` names a part of it."""
    path = Path(folder)
    if not path.exists() or (target and _committed(Path(target), path)):
        return False
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return True


def _committed(target: Path, folder: Path) -> bool:
    log = target / "_delta_log"
    if not log.is_dir():
        return False
    inside = folder.relative_to(target).as_posix() + "/"
    # As the path of a file, or in the note that tells what is kept beside the rows.
    if any(inside in entry.read_text("utf-8") for entry in log.glob("*.json")):
        return True
    if not any(log.glob("*.checkpoint*")):
        return False
    # Old entries of the log are cleaned up once a checkpoint holds what they said.
    from odibi.datasets.delta import open_table

    table = open_table(str(target))
    return table is not None and any(Path(file).is_relative_to(folder) for file in table.location().files)
