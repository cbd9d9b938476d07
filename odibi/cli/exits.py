"""Exit codes, and the one place where errors become messages."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from enum import IntEnum

from odibi.cli.terminal import ClosedPipe, complain
from odibi.errors import ConfigError, NotFound, OdibiError, Problem

__all__ = ["Exit", "NotFound", "UsageError", "debugging", "ended", "tell"]


class Exit(IntEnum):
    """What the exit code of a command says. A signal that ended it gives 128 and its number."""

    SUCCESS = 0
    FAILED = 1
    INVALID = 2
    ERROR = 3
    TIMEOUT = 4
    NOT_FOUND = 5
    INTERRUPTED = 130
    CLOSED_PIPE = 141


class UsageError(OdibiError):
    """The command line asks for what cannot be."""


def ended(command: Callable[[], int]) -> int:
    """The exit code of a command; what it raises is told on stderr."""
    try:
        return command()
    except ConfigError as error:
        tell(error.problems)
    except UsageError as error:
        complain(f"error: {error}")
    except NotFound as error:
        complain(f"error: {error}")
        return Exit.NOT_FOUND
    except OdibiError as error:
        complain(f"error: {error}")
        return Exit.ERROR
    except ClosedPipe:
        return Exit.CLOSED_PIPE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OSError as error:
        # What the machine refuses outside of a step: a full disk, a folder that cannot be read.
        place = f"{error.filename}: " if error.filename else ""
        complain(f"error: {place}{error.strerror or error}")
        return _explained(error)
    except Exception as error:  # noqa: BLE001 - nothing above it could turn a bug into an exit code
        complain(f"error: {type(error).__name__}: {error}")
        complain("this is a bug in odibi; ODIBI_DEBUG=1 shows where it happened")
        return _explained(error)
    return Exit.INVALID


def tell(problems: Iterable[Problem]) -> None:
    """Every problem on a line of its own, ``file:line:column: message (hint)``, and how many there are."""
    found = list(problems)
    for problem in found:
        complain(str(problem))
    errors = sum(problem.level == "error" for problem in found)
    warnings = len(found) - errors
    counts = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    if counts:
        complain(" and ".join(counts))


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get("ODIBI_DEBUG", "") not in ("", "0")


def _explained(error: Exception) -> int:
    if debugging():
        complain("".join(traceback.format_exception(error)).rstrip())
    return Exit.ERROR
