"""What is wrong, collected while looking: problems at their place, and the secrets to keep out of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from odibi.config.secrets import Redactor, Secrets, resolve
from odibi.errors import ConfigError, OdibiError, Problem
from odibi.home import typed
from odibi.relational.parse import SqlError

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["Notes", "sql_problem"]

T = TypeVar("T")
Place = tuple[Any, ...]
_LINE = re.compile(r"(.+?):(\d+)(?::(\d+))?")


class Notes:
    """The problems of one pipeline, found on the way; ``redactor`` learns every secret that is used."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.problems: list[Problem] = []
        self.redactor = Redactor()
        self.secrets = Secrets(loaded.pipeline.secrets, loaded.environ, self.redactor)

    def problem(self, at: Place, message: str, hint: str = "") -> None:
        """Note a problem at the canonical path ``at``."""
        self.problems.append(self.loaded.problem(at, message, hint))

    def guarded(self, at: Place, look: Callable[[], T]) -> T | None:
        """What ``look()`` finds; None and a problem at the place if it cannot be looked at."""
        try:
            return look()
        except ConfigError as error:
            self.problems += error.problems
        except OdibiError as error:
            where = typed(error.where)
            if found := _LINE.fullmatch(where):
                file, line, column = found.groups()
                self.problems.append(Problem(file, int(line), int(column or 0), error.message, error.hint))
            else:
                self.problem(at, f"{where}: {error.message}" if where else error.message, error.hint)
        except UnicodeDecodeError as error:
            self.problem(at, f"not UTF-8 text: {error.reason} at byte {error.start}")
        except OSError as error:
            file = f"{error.filename}: " if error.filename else ""
            self.problem(at, f"{file}{error.strerror or error}")
        return None

    def resolved(self, at: Place, text: str) -> str | None:
        """The text with its ``${...}`` references replaced; None and a problem if one has no value."""
        return self.guarded(at, lambda: resolve(text, self.loaded.environ, secrets=self.secrets))


def sql_problem(loaded: Loaded, at: Place, error: SqlError, file: str) -> Problem:
    """A problem in SQL at its line: of the ``.sql`` file, or of the config where it stands there."""
    if file:
        return Problem(file, error.line, error.column, error.message, error.hint)
    place = loaded.inside((*at, "value"), max(error.line, 1), max(error.column, 1))
    return Problem(*place, error.message, error.hint)
