"""What is asked of a pipeline, what is known of it, and what is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.config.models import Pipeline, Step

__all__ = ["Case", "Fault", "Finding", "Item", "Level", "finding"]

SHOWN = 3
"""How many faults of one kind are told, and of how many."""


class Level(StrEnum):
    """How a question was answered."""

    PASS = "pass"  # noqa: S105 - the opposite of fail
    WARN = "warn"
    FAIL = "fail"


class Fault(NamedTuple):
    """One thing that is not as it should be, its canonical path in the config, and whose it is if several can be so."""

    said: str
    at: tuple[Any, ...] = ()
    whose: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A pipeline, and what was seen of the world it stands in.

    Attributes:
        loaded: the config.
        columns: the columns of each step's result, as far as they are known before it runs.
        sizes: the bytes that each step reads from outside, as far as they are known.
        upstream: the steps that must end before each, empty if no plan could be made.
        resumed: whether a run of the pipeline that went on from a checkpoint has succeeded.
    """

    loaded: Loaded
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    upstream: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    resumed: bool = False

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that is asked about."""
        return self.loaded.pipeline

    @property
    def steps(self) -> Iterator[tuple[tuple[Any, ...], Step]]:
        """Every step with its path."""
        return ((("steps", index), step) for index, step in enumerate(self.pipeline.steps))


@dataclass(frozen=True, slots=True)
class Item:
    """A question, how much it matters (``level``), who answers it, and what to do if the answer is no."""

    id: str
    group: str
    question: str
    level: Level
    ask: Callable[[Case], Iterable[Fault]]
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer: ``said`` is the reason, ``where`` a place such as ``file:line`` and ``fix`` what to do, if any."""

    id: str
    group: str
    question: str
    level: Level
    said: str = ""
    where: str = ""
    fix: str = ""


def finding(item: Item, case: Case) -> Finding:
    """The answer to one question; several faults are one finding, at the place of the first."""
    faults = list(item.ask(case))
    if not faults:
        return Finding(item.id, item.group, item.question, Level.PASS)
    file, line, _ = case.loaded.where(faults[0].at)
    by_said: dict[str, list[str]] = {}
    for fault in faults:
        by_said.setdefault(fault.said, []).append(fault.whose)
    said = "; ".join(_bounded([_told(*each) for each in by_said.items()]))
    return Finding(item.id, item.group, item.question, item.level, said, f"{file}:{line}", item.fix)


def _told(said: str, whose: list[str]) -> str:
    return f"{said}: {', '.join(_bounded(whose))}" if whose[0] else said


def _bounded(texts: list[str]) -> list[str]:
    return texts[:SHOWN] + [f"and {len(texts) - SHOWN} more"] * (len(texts) > SHOWN)
