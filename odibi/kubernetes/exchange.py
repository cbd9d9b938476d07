"""The place where tasks go and results come back: a folder that both sides mount, or an object store."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from odibi.errors import OdibiError
from odibi.places import is_remote, reaching, system

__all__ = ["TASK", "forget", "get", "names", "put", "remove", "result_of"]

TASK = "task.json"
"""The task, in a folder of its own; the results of its pods are beside it."""


def result_of(pod: str) -> str:
    """The name of the file that a pod leaves."""
    return f"result-{pod}.ndjson"


def put(url: str, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        Permanent, OSError: it cannot be written.
    """
    files, path = system(url)
    with reaching(url):
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        if is_remote(url):  # a store has it when it has all of it
            files.pipe_file(path, text.encode())
            return
        aside = Path(f"{path}.{uuid4().hex[:8]}.tmp")
        try:
            with aside.open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def get(url: str) -> str | None:
    """The text of a file, None where there is none. Raises Permanent where the place cannot be reached."""
    files, path = system(url)
    with reaching(url):
        files.invalidate_cache()
        try:
            return bytes(files.cat_file(path)).decode()
        except FileNotFoundError:
            return None


def names(url: str) -> list[str]:
    """The names of what is in a folder, sorted; none where there is no such folder."""
    files, path = system(url)
    with reaching(url):
        files.invalidate_cache()
        try:
            return sorted(str(found).rstrip("/").rpartition("/")[2] for found in files.ls(path, detail=False))
        except FileNotFoundError:
            return []


def remove(url: str) -> None:
    """Remove a folder with all that is in it; one that is not there is removed already.

    Raises:
        Permanent, OSError: it cannot be removed.
    """
    files, path = system(url)
    with reaching(url), suppress(FileNotFoundError):
        files.invalidate_cache()
        files.rm(path, recursive=True)


def forget(task: str) -> None:
    """Remove all attempts at a task, given the URL of one, as far as that can be done: nothing needs them any more."""
    attempt, _, name = task.rpartition("/")
    whole, _, number = attempt.rpartition("/")
    if whole and name == TASK and number.startswith("attempt-"):
        with suppress(OdibiError, OSError, ValueError):
            remove(whole)
