"""What is wrong with an operation, and where in its YAML value."""

from __future__ import annotations

from odibi.errors import Permanent

__all__ = ["OperationError", "Path"]

Path = tuple[str | int, ...]
"""The way to a part of an operation's value: parameters, keys and positions."""


class OperationError(Permanent):
    """An operation that cannot be.

    ``path`` leads from the operation's value to the part that is wrong, ``("values", "total")``;
    ``line`` and ``column`` (from 1, 0 where unknown) are a place inside the text found there.
    """

    def __init__(
        self, message: str, path: Path = (), *, hint: str = "", line: int = 0, column: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.line = line
        self.column = column
