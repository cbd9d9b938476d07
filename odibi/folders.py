"""A folder of files, on this machine or in an object store: one value joins, lists, reads and deletes there.

What keeps files in folders (Delta tables above all) names them by their path below the folder, and asks
:func:`at` for the folder. Whether that is a disk or a store is known here and nowhere else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from odibi.places import beside, is_remote, reaching, system
from odibi.stores import delta_options

__all__ = ["Entry", "Folder", "at"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file below a folder: its path from there, its bytes, and when it was changed in seconds since 1970."""

    name: str
    size: int
    changed: float


class Folder(Protocol):
    """A folder, there or not. Names are paths below it with ``/``; an absolute one stands for itself."""

    url: str

    def path(self, name: str) -> str:
        """What a file is called wherever files are named: absolute, and opened as the folder is."""
        ...

    def name(self, path: str) -> str:
        """The path from the folder of a file below it."""
        ...

    def names(self, below: str = "") -> tuple[str, ...]:
        """The names of what is right below; none where there is no folder."""
        ...

    def files(self, below: str = "") -> tuple[Entry, ...]:
        """Every file below; none where there is no folder."""
        ...

    def folders(self, below: str = "") -> tuple[str, ...]:
        """The folders right below that stand there also with nothing in them, by path from here; a store has none."""
        ...

    def youngest(self, below: str) -> float:
        """When something last came into a folder or one below it, or went, in seconds since 1970."""
        ...

    def prune(self, below: str) -> None:
        """Remove a folder and those below it as far as nothing is in them."""
        ...

    def read(self, name: str) -> str:
        """The text of a file. Raises FileNotFoundError."""
        ...

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file to be read from here and there. Raises FileNotFoundError."""
        ...

    def write(self, name: str, text: str) -> None:
        """Make a file, and the folders above it."""
        ...

    def put(self, files: Mapping[str, str]) -> None:
        """Make files of those of this machine, told by name."""
        ...

    def exists(self, name: str = "") -> bool:
        """Whether there is a file or folder."""
        ...

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the files that are not there."""
        ...

    def drop(self, names: Iterable[str]) -> None:
        """Remove files; one that is not there is removed already."""
        ...

    def remove(self, name: str = "") -> None:
        """Remove a folder with all that is in it, or a file; one that is not there is removed already."""
        ...

    def root_of(self, uri: str) -> str:
        """How delta-rs begins the names of a table's files, whose URI it gives as ``uri``."""
        ...

    @property
    def storage(self) -> dict[str, str] | None:
        """What delta-rs opens it with; None where it needs nothing."""
        ...

    @property
    def remote(self) -> bool:
        """Whether it is elsewhere, so that what is computed here is brought there."""
        ...


def at(url: str) -> Folder:
    """The folder that a path or URL names."""
    return Stored(url) if is_remote(url) else Local(url)


class Local:
    """A folder of this machine."""

    __slots__ = ("_root", "url")
    storage = None
    remote = False

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = Path(url.removeprefix("file://")).absolute()

    def path(self, name: str) -> str:
        return str(self._root / name.removeprefix("file://"))

    def name(self, path: str) -> str:
        return Path(path).absolute().relative_to(self._root).as_posix()

    def names(self, below: str = "") -> tuple[str, ...]:
        with suppress(FileNotFoundError, NotADirectoryError):
            return tuple(os.listdir(self._root / below))  # noqa: PTH208 - names are all that is wanted
        return ()

    def files(self, below: str = "") -> tuple[Entry, ...]:
        found = []
        for place, _, names in os.walk(self._root / below):
            for name in names:
                path = os.path.join(place, name)  # noqa: PTH118 - as on disk
                with suppress(FileNotFoundError):  # somebody removed it just now
                    stat = os.stat(path)  # noqa: PTH116
                    found.append(Entry(os.path.relpath(path, self._root), stat.st_size, stat.st_mtime))
        return tuple(sorted(found, key=lambda entry: entry.name))

    def folders(self, below: str = "") -> tuple[str, ...]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._root / below) as found:
            return tuple(sorted(f"{below}/{each.name}".lstrip("/") for each in found if each.is_dir()))
        return ()

    def youngest(self, below: str) -> float:
        return max(Path(place).stat().st_mtime for place, _, _ in os.walk(self._root / below))

    def prune(self, below: str) -> None:
        for place, _, _ in os.walk(self._root / below, topdown=False):
            with suppress(OSError):  # there is something in it
                Path(place).rmdir()

    def read(self, name: str) -> str:
        return (self._root / name).read_text("utf-8")

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")

    def write(self, name: str, text: str) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def put(self, files: Mapping[str, str]) -> None:
        for name, source in files.items():
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, path)

    def exists(self, name: str = "") -> bool:
        return (self._root / name).exists()

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if not Path(self.path(name)).exists())

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    def remove(self, name: str = "") -> None:
        path = self._root / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def root_of(self, uri: str) -> str:
        return urlsplit(uri).path  # in URL spelling, what follows it as it is on disk


class Stored:
    """A folder of a store: what begins with its name, so it is there while something is in it."""

    __slots__ = ("url",)
    remote = True

    def __init__(self, url: str) -> None:
        self.url = beside(url.rstrip("/"), url)

    @property
    def storage(self) -> dict[str, str]:
        return delta_options(self.url)

    def path(self, name: str) -> str:
        return name if "://" in name else beside(f"{self.url}/{name}", self.url)

    def name(self, path: str) -> str:
        return path.removeprefix(f"{self.url}/")

    def names(self, below: str = "") -> tuple[str, ...]:
        store, path = self._looking(below)
        try:
            with reaching(self.url):
                found = (str(name).rstrip("/") for name in store.ls(path, detail=False))
                return tuple(name[len(path) + 1 :] for name in found if len(name) > len(path))
        except FileNotFoundError:
            return ()
        finally:
            store.invalidate_cache(path)

    def files(self, below: str = "") -> tuple[Entry, ...]:
        store, path = self._looking(below)
        base = len(self._found()[1]) + 1
        try:
            with reaching(self.url):
                found = store.find(path, detail=True)
        except FileNotFoundError:
            return ()
        finally:
            store.invalidate_cache(path)
        return tuple(
            Entry(name[base:], int(info.get("size") or 0), _changed(store, name, info))
            for name, info in sorted(found.items())
            if info.get("type") != "directory" and not name.endswith("/")
        )

    def folders(self, below: str = "") -> tuple[str, ...]:
        del below
        return ()

    def youngest(self, below: str) -> float:
        return max((entry.changed for entry in self.files(below)), default=0.0)

    def prune(self, below: str) -> None:
        del below

    def read(self, name: str) -> str:
        store, path = self._found(name)
        with reaching(self.url):
            return bytes(store.cat_file(path)).decode("utf-8")

    def open(self, name: str) -> Any:
        store, path = self._looking(name)
        with reaching(self.url):
            return store.open(path, "rb")

    def write(self, name: str, text: str) -> None:
        store, path = self._found(name)
        with reaching(self.url):
            store.pipe_file(path, text.encode())

    def put(self, files: Mapping[str, str]) -> None:
        if not files:
            return
        store, path = self._found()
        with reaching(self.url):
            store.put(list(files.values()), [f"{path}/{name}" for name in files])

    def exists(self, name: str = "") -> bool:
        store, path = self._looking(name)
        try:
            with reaching(self.url):  # of what a store refuses, its own exists() says that it is not there
                return bool(store.info(path))
        except FileNotFoundError:
            return False

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        wanted = [self.name(name) for name in names]
        here = {entry.name for entry in self.files()} if wanted else set()
        return tuple(name for name in wanted if "://" not in name and name not in here)

    def drop(self, names: Iterable[str]) -> None:
        if paths := [self._found(name)[1] for name in names]:
            with suppress(FileNotFoundError), reaching(self.url):
                self._looking("")[0].rm(paths)

    def remove(self, name: str = "") -> None:
        store, path = self._looking(name)
        with suppress(FileNotFoundError), reaching(self.url):
            store.rm(path, recursive=True)

    def root_of(self, uri: str) -> str:
        return uri

    def _found(self, name: str = "") -> tuple[Any, str]:
        store, path = system(self.url)
        path = path.rstrip("/")
        return store, f"{path}/{name}" if name else path

    def _looking(self, name: str) -> tuple[Any, str]:
        """The same, knowing nothing of before: delta-rs, Spark and others write there too."""
        store, path = self._found(name)
        store.invalidate_cache()
        return store, path


_CHANGED = ("LastModified", "last_modified", "mtime", "updated", "created")


def _changed(store: Any, name: str, info: Mapping[str, Any]) -> float:
    """When a file was changed, as its store says."""
    told = next((info[key] for key in _CHANGED if info.get(key) is not None), None)
    told = store.modified(name) if told is None or isinstance(told, str) else told
    return float(told.timestamp() if hasattr(told, "timestamp") else told)
