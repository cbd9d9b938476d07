"""One kind of register for everything odibi looks up by name.

A register is a plain table from a name to a thing, or to the dotted path of a thing that is
imported on first use (fsspec's ``registry.py`` is the model). Duplicates are refused, unknown
names get a suggestion, missing packages the line that installs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from odibi.errors import MissingExtra, Permanent, nearest

__all__ = ["Registry", "import_path"]

T = TypeVar("T")


def import_path(path: str) -> Any:
    """The object at ``package.module:name`` or ``package.module.name``.

    Raises ModuleNotFoundError or AttributeError as Python does.
    """
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    return getattr(import_module(module), name)


class Registry(Generic[T]):
    """Names of one kind of thing.

    Args:
        kind: what the things are called in messages, such as ``operation``.
        builtin: name to thing, or to its dotted path ``module:attribute``.
        extras: name to the extra that must be installed for it.
    """

    def __init__(
        self,
        kind: str,
        builtin: Mapping[str, T | str] | None = None,
        extras: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self._things: dict[str, T | str] = dict(builtin or {})
        self._extras = dict(extras or {})

    def register(self, name: str, thing: T | str, *, extra: str | None = None) -> None:
        """Add ``thing`` under ``name``. Raises Permanent if the name is taken by another thing."""
        if name in self._things and self._things[name] is not thing:
            raise Permanent(
                f"{self.kind} {name!r} is registered twice: {self._things[name]!r} and {thing!r}",
                hint="give one of them another name",
            )
        self._things[name] = thing
        if extra:
            self._extras[name] = extra

    def get(self, name: str) -> T:
        """The thing of that name, imported if need be.

        Raises:
            Permanent: nothing has that name; the hint is the nearest one.
            MissingExtra: the package it needs is not installed.
        """
        if name not in self._things:
            raise Permanent(
                f"unknown {self.kind} {name!r}", hint=nearest(name, self._things, f"known {self.kind}s")
            )
        thing = self._things[name]
        if isinstance(thing, str):
            try:
                thing = import_path(thing)
            except ModuleNotFoundError as error:
                package = (error.name or "").partition(".")[0]
                if name in self._extras and package != "odibi":
                    raise MissingExtra(f"{package} (for {self.kind} {name!r})", self._extras[name]) from error
                raise
            self._things[name] = thing
        return thing

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._things))
