"""What DuckDB reads URLs through: a file system that opens each with the options of its own place.

DuckDB takes one file system for a scheme, and two connections of a scheme may have other credentials.
"""

from __future__ import annotations

import re
from typing import Any

from fsspec import AbstractFileSystem  # noqa: TID253 - imported by who reads a URL

from odibi.errors import Permanent
from odibi.places import options_of, system

__all__ = ["Routes"]


class Routes(AbstractFileSystem):  # type: ignore[misc]
    """The files of one scheme; ``places`` has each by its URL."""

    cachable = False

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.protocol = scheme
        self.places: dict[str, str] = {}

    def add(self, url: str) -> None:
        """Let the URL be opened with its options. Raises Permanent where it has others already."""
        known = self.places.setdefault(str(url), url)
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
        return store.open(name, mode, **how)

    def glob(self, path: str, **_how: Any) -> list[str]:
        """The one file that a pattern means: every name comes escaped."""
        return [re.sub(r"\[([*?\[])\]", r"\1", path)]

    def info(self, path: str, **_how: Any) -> dict[str, Any]:
        """What the store tells of a file."""
        store, name = self._found(path)
        return dict(store.info(name))

    def exists(self, path: str, **_how: Any) -> bool:
        """Whether the file is there."""
        store, name = self._found(path)
        return bool(store.exists(name))

    def modified(self, path: str) -> Any:
        """When the file was changed, or made where the store tells no more."""
        store, name = self._found(path)
        try:
            return store.modified(name)
        except NotImplementedError:
            return store.created(name)

    def _found(self, path: str) -> tuple[Any, str]:
        return system(self.places.get(path, path))
