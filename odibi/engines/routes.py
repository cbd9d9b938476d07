"""What DuckDB reads URLs through: a file system that opens each with the options of its own place.

DuckDB takes one file system for a scheme, and two connections of a scheme may have other credentials.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

from fsspec import AbstractFileSystem  # noqa: TID253 - imported by who reads a URL
from fsspec.spec import AbstractBufferedFile  # noqa: TID253

from odibi.errors import Permanent
from odibi.places import beside, options_of, system

__all__ = ["Routes"]

SMALL = 4 * 2**20
"""Bytes of a table's file that is fetched as a whole: a query opens it several times, and reads its end first."""

KEPT = 64 * 2**20
"""Bytes of such files that are kept."""


class Routes(AbstractFileSystem):  # type: ignore[misc]
    """The files of one scheme; ``places`` has each by its URL, ``tables`` the folders of Delta tables.

    What stands below a table is never written twice, so what was learnt of it stays true.
    """

    cachable = False

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.protocol = scheme
        self.places: dict[str, str] = {}
        self.tables: dict[str, str] = {}
        self._known: dict[str, dict[str, Any]] = {}
        self._small: dict[str, bytes] = {}
        self._kept = 0

    def add(self, url: str, *, table: bool = False) -> None:
        """Let the URL, or what is below the folder of a table, be opened with its options.

        Raises:
            Permanent: it has others already.
        """
        known = (self.tables if table else self.places).setdefault(str(url), url)
        if options_of(known) != options_of(url):
            raise Permanent(
                f"two connections open {url} with other options, and a query could not tell them apart",
                hint="read one of them in a pipeline of its own",
            )

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def unstrip_protocol(self, name: str) -> str:
        """The name, which is a URL already."""
        return name

    def open(self, path: str, mode: str = "rb", **how: Any) -> Any:
        """The file, open."""
        store, name = self._found(path)
        if mode != "rb" or self._of_table(path) is None:
            return store.open(name, mode, **how)
        size = int(self.info(path)["size"])
        if size > SMALL:
            return _Part(store, name, size=size)
        if path not in self._small:
            self._kept += size
            if self._kept > KEPT:
                self._small, self._kept = {}, size
            self._small[path] = bytes(store.cat_file(name))
        return BytesIO(self._small[path])

    def glob(self, path: str, **_how: Any) -> list[str]:
        """The one file that a pattern means: every name comes escaped."""
        return [re.sub(r"\[([*?\[])\]", r"\1", path)]

    def info(self, path: str, **_how: Any) -> dict[str, Any]:
        """What the store tells of a file."""
        if path in self._known:
            return self._known[path]
        store, name = self._found(path)
        found = dict(store.info(name))
        if self._of_table(path) is not None:
            self._known[path] = found
        return found

    def exists(self, path: str, **_how: Any) -> bool:
        """Whether the file is there."""
        store, name = self._found(path)
        return bool(store.exists(name))

    def modified(self, path: str) -> Any:
        """When the file was changed, or made where the store tells no more."""
        told = self._known.get(path, {})
        if (found := told.get("LastModified", told.get("last_modified"))) is not None:
            return found
        store, name = self._found(path)
        try:
            return store.modified(name)
        except NotImplementedError:
            return store.created(name)

    def _found(self, path: str) -> tuple[Any, str]:
        table = self._of_table(path)
        return system(beside(path, table) if table is not None else self.places.get(path, path))

    def _of_table(self, path: str) -> str | None:
        """The table below which a file stands, None where it is no table's."""
        place = path
        while place not in self.tables and "/" in place:
            place = place.rpartition("/")[0]
        return self.tables.get(place)


class _Part(AbstractBufferedFile):  # type: ignore[misc]
    """A file of a known size, read by ranges."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start=start, end=end))
