"""What was raised in another process, told in this one."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from odibi.errors import OdibiError, elsewhere, exit_code_of, kinds_of

__all__ = ["Raised"]


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception as it can be told to a process that knows none of the user's classes."""

    name: str
    module: str
    known: type[BaseException]
    text: str
    said: Mapping[str, Any]
    traceback: str
    kinds: tuple[str, ...]
    code: int | None

    @staticmethod
    def of(error: BaseException) -> Raised:
        """What is to be told of an exception."""
        kind = type(error)
        known = next(each for each in kind.__mro__ if _is_known(each))
        said = {
            name: str(value) for name, value in vars(error).items() if name in ("message", "where", "hint")
        }
        told = "".join(traceback.format_exception(error))
        return Raised(
            kind.__name__, kind.__module__, known, str(error), said, told, kinds_of(kind), exit_code_of(error)
        )

    def error(self, log: tuple[str, ...]) -> BaseException:
        """An exception of that name and kind, which tells where it was raised, and what was printed before."""
        text = self.text
        fields: dict[str, Any] = {"__module__": self.module}
        if not issubclass(self.known, OdibiError):
            fields["__str__"] = lambda _: text
        kind: type[BaseException] = type(self.name, (self.known,), fields)
        error = kind.__new__(kind)
        vars(error).update(self.said)
        error.add_note(f"In the process that ran it:\n\n{self.traceback}")
        return elsewhere(error, kinds=self.kinds, exit_code=self.code, log=log)


def _is_known(kind: type) -> bool:
    """Whether any process has it, and can make one without arguments."""
    return kind.__module__.split(".")[0] in ("builtins", "odibi") and not issubclass(kind, BaseExceptionGroup)
