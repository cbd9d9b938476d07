"""Every error odibi raises on purpose: one root, two kinds.

Permanent errors are told at once; Transient ones may go away and are worth another try
(kopf's ``PermanentError`` and ``TemporaryError`` are the model). Each carries where it happened
and what to do about it, so that whoever prints it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

__all__ = [
    "ConfigError",
    "DependencyFailed",
    "MissingExtra",
    "OdibiError",
    "Permanent",
    "Problem",
    "SchemaMismatch",
    "SourceError",
    "Transient",
    "nearest",
]


def nearest(found: object, valid: Iterable[str], noun: str = "valid names") -> str:
    """A hint that names the valid word closest to ``found``, or the few there are.

    Bounded: at most eight names are listed, however many exist.
    """
    names = sorted({str(v) for v in valid})
    close = get_close_matches(str(found), names, n=1, cutoff=0.6)
    if not close:
        lowered = {n.lower(): n for n in names}
        close = [lowered[m] for m in get_close_matches(str(found).lower(), lowered, n=1, cutoff=0.6)]
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return ""
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{noun}: {shown}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with what the user wrote.

    ``file``, ``line`` and ``column`` (1-based, 0 where unknown) say where, ``message`` what was
    found, ``hint`` what to do. ``level`` is ``error`` or ``warning``.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    level: str = "error"

    @property
    def where(self) -> str:
        """``file:line:column`` as editors understand it."""
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        label = "" if self.level == "error" else f"{self.level}: "
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.where}: {label}{self.message}{hint}"


class OdibiError(Exception):
    """Root of all errors raised by odibi on purpose.

    ``where`` is a place a person can go to (``file:line``), ``hint`` the next thing to do.
    """

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.message}{hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Whatever arguments a kind takes, it comes out of another process as it went in."""
        return _revived, (type(self), self.args), vars(self)


def _revived(kind: type[OdibiError], args: tuple[Any, ...]) -> OdibiError:
    return kind.__new__(kind, *args)


class Permanent(OdibiError):
    """Trying again gives the same answer."""


class Transient(OdibiError):
    """May go away by itself: a lost race for a commit, a network that hiccups."""


class ConfigError(Permanent):
    """What the user wrote is wrong; ``problems`` holds all that was found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(p) for p in self.problems))


class SourceError(Permanent):
    """Input data cannot be read as declared: names file, line and column."""


class SchemaMismatch(Permanent):
    """The rows to be written do not fit the target's schema."""


class DependencyFailed(Permanent):
    """A step was not run because one it needs failed."""

    def __init__(self, step: str, dependency: str) -> None:
        super().__init__(f"step {step!r} was not run: it needs {dependency!r}, which failed")
        self.step = step
        self.dependency = dependency


class MissingExtra(Permanent):
    """An optional package is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed", hint=f"pip install 'odibi[{extra}]'")
