"""Every error odibi raises on purpose: one root, two kinds.

Permanent errors are told at once; Transient ones may go away and are worth another try
(kopf's ``PermanentError`` and ``TemporaryError`` are the model). Each carries where it happened
and what to do about it, so that whoever prints it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

__all__ = [
    "AuthenticationFailed",
    "ComplianceError",
    "ConfigError",
    "DataValidationFailed",
    "DatabaseError",
    "DependencyFailed",
    "Elsewhere",
    "InvalidConfig",
    "InvalidState",
    "KubernetesError",
    "MissingExtra",
    "NetworkTimeout",
    "NotFound",
    "OdibiError",
    "Permanent",
    "Problem",
    "ResourceExhausted",
    "ResourceQuotaExceeded",
    "SchemaMismatch",
    "SecurityError",
    "SourceError",
    "TemplateError",
    "Timeout",
    "Transient",
    "Unavailable",
    "elsewhere",
    "exit_code_of",
    "kinds_of",
    "nearest",
]

E = TypeVar("E", bound=BaseException)


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

    ``where`` is a place a person can go to (``file:line``), ``hint`` the next thing to do. ``type`` is
    what records, and whoever reads them, know this kind of error by.
    """

    type: ClassVar[str] = "OdibiError"

    def __init_subclass__(cls) -> None:
        cls.type = vars(cls).get("type", cls.__name__)

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


def kinds_of(kind: type[BaseException]) -> tuple[str, ...]:
    """The dotted names of a class and of those it is derived from, the closest first."""
    return tuple(f"{each.__module__}.{each.__qualname__}" for each in kind.__mro__ if each is not object)


def exit_code_of(error: BaseException) -> int | None:
    """The exit code of the process that an exception tells of, 128 and its number for a signal; None for most."""
    # Of sys.exit(), of subprocess.CalledProcessError and its like, or of a process of ours.
    found = error.code if isinstance(error, SystemExit) else getattr(error, "returncode", None)
    code = found if isinstance(found, int) else Elsewhere.of(error).exit_code
    return 128 - code if code is not None and code < 0 else code


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What is known of an error of another process: its classes, how that ended, the last lines it printed."""

    kinds: tuple[str, ...] = ()
    exit_code: int | None = None
    log: tuple[str, ...] = ()

    @staticmethod
    def of(error: BaseException) -> Elsewhere:
        """What :func:`elsewhere` noted, nothing for an error of this process."""
        found = vars(error).get("odibi_elsewhere")
        return found if isinstance(found, Elsewhere) else Elsewhere()


def elsewhere(
    error: E, *, kinds: tuple[str, ...] = (), exit_code: int | None = None, log: tuple[str, ...] = ()
) -> E:
    """The error with what is known of the process it comes from."""
    vars(error)["odibi_elsewhere"] = Elsewhere(kinds, exit_code, log)
    return error


class Permanent(OdibiError):
    """Trying again gives the same answer."""


class Transient(OdibiError):
    """May go away by itself: a lost race for a commit, a network that hiccups."""


# --- what the user wrote ------------------------------------------------------------------------


class ConfigError(Permanent):
    """What the user wrote is wrong; ``problems`` holds all that was found, in file order."""

    type = "InvalidConfig"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(p) for p in self.problems))


InvalidConfig = ConfigError
"""The same, by the word that records and exit codes have for it."""


class TemplateError(Permanent):
    """A template that names something unknown, is no Jinja, or asks for what the sandbox refuses.

    ``line`` is the line within the text that is meant, 0 where that is not known.
    """

    def __init__(self, message: str, *, hint: str = "", line: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.line = line


# --- data ---------------------------------------------------------------------------------------


class SourceError(Permanent):
    """Input data cannot be read as declared: names file, line and column."""


class SchemaMismatch(Permanent):
    """The rows to be written do not fit the target's schema."""


class DataValidationFailed(Permanent):
    """Rows break a rule that publishing them depends on."""


class NotFound(Permanent):
    """What was asked for by name or place is not there."""


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


# --- the world ----------------------------------------------------------------------------------


class AuthenticationFailed(Permanent):
    """A service does not accept who we say we are."""

    def __init__(self, service: str, said: str = "", *, where: str = "", hint: str = "") -> None:
        super().__init__(f"{service} refused the credentials{said and f': {said}'}", where=where, hint=hint)
        self.service = service


class NetworkTimeout(Transient):
    """Nobody answered in time."""

    def __init__(self, operation: str, said: str = "") -> None:
        super().__init__(f"no answer in time: {operation}{said and f' ({said})'}")
        self.operation = operation


class Unavailable(Transient):
    """A server cannot be reached, or says that it cannot answer now; after ``retry_after`` seconds it may."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Timeout(Transient):
    """An attempt or a run took longer than its limit."""

    def __init__(self, what: str, timeout_secs: float) -> None:
        hint = "raise the timeout, or make it do less"
        super().__init__(f"{what} took longer than its timeout of {timeout_secs:g} s", hint=hint)
        self.timeout_secs = timeout_secs


class ResourceExhausted(Transient):
    """A step needed more of ``resource`` than it may have, or than there is."""

    def __init__(self, resource: str, said: str, *, hint: str = "") -> None:
        super().__init__(said, hint=hint)
        self.resource = resource


class ResourceQuotaExceeded(Permanent):
    """What was asked for is more of ``resource_type`` than one may have."""

    def __init__(self, resource_type: str, said: str, *, hint: str = "") -> None:
        super().__init__(said, hint=hint)
        self.resource_type = resource_type


class DatabaseError(Permanent):
    """A database cannot do what it was asked for."""


class KubernetesError(Permanent):
    """A cluster cannot do what it was asked for."""


# --- what is not allowed ------------------------------------------------------------------------


class InvalidState(Permanent):
    """What was asked for cannot be done to something that is in ``current_state``."""

    def __init__(self, said: str, current_state: str, *, hint: str = "") -> None:
        super().__init__(said, hint=hint)
        self.current_state = current_state


class ComplianceError(Permanent):
    """A rule about what may be done with the data is not kept."""


class SecurityError(Permanent):
    """Somebody asks for what only others may have."""
