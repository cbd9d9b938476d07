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
from pathlib import Path
from types import TracebackType
from typing import IO, Self

__all__ = ["Intents", "sweep"]


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
            if self._path.exists() and self._path.stat().st_ino == os.fstat(self._file.fileno()).st_ino:
                return self
            self._file.close()  # another run's sweep took the empty file before it was locked

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._path.unlink(missing_ok=True)
        self._file.close()

    def folder(self, target: str) -> str:
        """A new folder below ``target`` for parts, noted before anything is in it."""
        assert self._file is not None
        with self._lock:
            self._count += 1
            # No leading underscore: vacuum skips such folders and would never clean them.
            folder = f"{target}/parts/{self._run[:8]}-{self._run[-4:]}-{self._count}"
            self._file.write(json.dumps({"target": target, "folder": folder}) + "\n")
            self._file.flush()
        return folder


def sweep(folder: Path) -> tuple[str, ...]:
    """Delete the parts that dead runs staged and never committed; the folders deleted."""
    swept = []
    for note in sorted(folder.glob("*.jsonl")):
        with note.open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its run is alive
            for line in file.read().splitlines():
                try:
                    intent = json.loads(line)
                except ValueError:
                    continue  # the line that was being written; nothing was staged for it yet
                if Path(intent["folder"]).is_dir() and not _committed(intent["target"], intent["folder"]):
                    shutil.rmtree(intent["folder"], ignore_errors=True)
                    swept.append(intent["folder"])
            note.unlink(missing_ok=True)
    return tuple(swept)


def _committed(target: str, folder: str) -> bool:
    """Whether a commit of the table names a part of the folder."""
    path = Path(folder).relative_to(target).as_posix()
    needle = f'"path":"{path}/'
    return any(needle in entry.read_text("utf-8") for entry in Path(target).glob("_delta_log/*.json"))
