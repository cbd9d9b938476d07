"""What came of a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CaseResult", "Changed", "Difference"]

Shown = Mapping[str, str]
"""A row as text, by column."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A row that is there with other values: its key, and for each such column what was expected and found."""

    key: Shown
    values: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """How the rows of a dataset differ from those expected; ``said`` is for what is not about rows."""

    dataset: str
    missing: tuple[Shown, ...] = ()
    unexpected: tuple[Shown, ...] = ()
    changed: tuple[Changed, ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A test that was run: it passed where nothing differs and nothing went wrong."""

    step: str
    test: str
    where: str
    differences: tuple[Difference, ...] = ()
    error: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the step did what the test expects."""
        return not self.differences and not self.error
