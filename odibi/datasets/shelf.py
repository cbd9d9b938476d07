"""Small files and Parquet parts put somewhere whole: a local folder, or anything fsspec reaches by URL.

Local ones are written aside, flushed to disk and renamed, under names that the sweep knows; elsewhere
they are put under another name and moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odibi.boundaries import cross
from odibi.datasets import files
from odibi.datasets.staging import Intents

__all__ = ["Item", "folders", "lay", "listed", "load", "put", "remove", "sealed", "unsealed"]


@dataclass(frozen=True, slots=True)
class Item:
    """A file that was found: where, how large, and when it was last changed in seconds since 1970."""

    path: str
    size: int
    changed: float


def put(url: str, data: bytes, intents: Intents) -> None:
    """Write a file: whole, or not at all."""
    if files.is_remote(url):
        system, path = _system(url)
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.pipe_file(f"{path}.tmp", data)
        system.mv(f"{path}.tmp", path)
        return
    final = Path(url)
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = intents.aside(final)
    what = final.parts[-3] if len(final.parts) > 2 else ""  # its own name is another one in each run
    cross("before writing", what)
    try:
        aside.write_bytes(data)
        _flush(aside)
        cross("amid writing", what)
        aside.replace(final)
        cross("after writing", what)
    finally:
        aside.unlink(missing_ok=True)


def lay(folder: str, parts: Mapping[str, str], texts: Mapping[str, bytes], intents: Intents) -> None:
    """Make a folder of files that exist (by name, and where they are now) and of texts: whole, or not at all.

    The files share their content with the originals where the file system can do that.
    """
    if files.is_remote(folder):
        system, path = _system(folder)
        system.makedirs(path, exist_ok=True)
        for name, source in parts.items():
            system.put_file(source, f"{path}/{name}")
        for name, data in texts.items():
            system.pipe_file(f"{path}/{name}", data)
        return
    final = Path(folder)
    aside = intents.aside(final)
    what = final.parent.name
    cross("before keeping", what)
    aside.mkdir(parents=True)
    try:
        for name, source in parts.items():
            try:
                os.link(source, aside / name)
            except OSError:  # another file system, or one without links
                shutil.copy2(source, aside / name)
            _flush(aside / name)
        for name, data in texts.items():
            (aside / name).write_bytes(data)
            _flush(aside / name)
        cross("amid keeping", what)
        if final.exists():
            shutil.rmtree(final)
        aside.rename(final)
        cross("after keeping", what)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def load(url: str) -> bytes | None:
    """What a file holds, None where there is none that can be read."""
    if files.is_remote(url):
        system, path = _system(url)
        return bytes(system.cat_file(path)) if system.exists(path) else None
    with suppress(OSError):
        return Path(url).read_bytes()
    return None


def listed(url: str) -> tuple[Item, ...]:
    """Every file below a folder, by path; none where there is no folder."""
    if files.is_remote(url):
        system, path = _system(url)
        found = system.find(path, detail=True) if system.exists(path) else {}
        return tuple(
            Item(f"{url.rstrip('/')}{name[len(path) :]}", int(info.get("size") or 0), _seconds(system, name))
            for name, info in sorted(found.items())
        )
    items = []
    for place, _, names in os.walk(url):
        for name in names:
            path = f"{place}/{name}"
            with suppress(FileNotFoundError):  # another run removed it just now
                stat = Path(path).stat()
                items.append(Item(path, stat.st_size, stat.st_mtime))
    return tuple(sorted(items, key=lambda item: item.path))


def folders(url: str) -> tuple[str, ...]:
    """The names of the folders right below a folder, also of those that hold nothing."""
    if files.is_remote(url):  # there a folder is what is in it
        return tuple({item.path[len(url.rstrip("/")) + 1 :].partition("/")[0] for item in listed(url)})
    with suppress(OSError):
        return tuple(path.name for path in Path(url).iterdir() if path.is_dir())
    return ()


def remove(url: str) -> None:
    """Remove a file, or a folder with all that is in it; one that is not there is removed already."""
    if files.is_remote(url):
        system, path = _system(url)
        if system.exists(path):
            system.rm(path, recursive=True)
        return
    if Path(url).is_dir():
        shutil.rmtree(url, ignore_errors=True)
    else:
        Path(url).unlink(missing_ok=True)


def sealed(format: str, version: int, data: Mapping[str, Any]) -> bytes:
    """Data as JSON that says what it is, in which version of the format, and a digest of its text."""
    document = {"format": format, "version": version, "digest": _digest(data), "data": data}
    return json.dumps(document, ensure_ascii=False).encode()


def unsealed(format: str, version: int, text: bytes) -> dict[str, Any] | None:
    """What :func:`sealed` wrote; None for anything else, such as the first half of it."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict) or (document.get("format"), document.get("version")) != (
        format,
        version,
    ):
        return None
    data = document.get("data")
    return data if isinstance(data, dict) and document.get("digest") == _digest(data) else None


def _digest(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url)
    return system, str(path)


def _seconds(system: Any, path: str) -> float:
    """When the file was changed, or made where a file system tells no more."""
    for ask in (system.modified, system.created):
        with suppress(NotImplementedError):
            return float(ask(path).timestamp())
    return 0.0
