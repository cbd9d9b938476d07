"""Where runs are killed: at crossings, all of them or some spread evenly, and at random times."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from odibi.chaos.place import Unfit
from odibi.errors import nearest

__all__ = ["Point", "found", "spread", "timed"]


@dataclass(frozen=True, slots=True)
class Point:
    """Where a run is killed: at a crossing, such as ``before commit: silver/orders #1``, or after some milliseconds.

    ``after 1200 ms: executor`` kills a part of it that is elsewhere, and lets the run itself go on.
    """

    date: str
    moment: str

    def __str__(self) -> str:
        return f"{self.date} {self.moment}"

    @property
    def kind(self) -> str:
        """The kind of moment, whatever table it is of."""
        if self.milliseconds is None:
            return self.moment.rpartition(" #")[0].split(":")[0]
        return f"{self.victim} at any time".strip()

    @property
    def milliseconds(self) -> int | None:
        """The time of a kill that is not at a crossing."""
        found = _TIMED.fullmatch(self.moment)
        return int(found[1]) if found else None

    @property
    def victim(self) -> str:
        """What is killed elsewhere; empty where it is the process of the run."""
        found = _TIMED.fullmatch(self.moment)
        return found[2] or "" if found else ""


_TIMED = re.compile(r"after (\d+) ms(?:: ([\w-]+))?")


def found(text: str, every: Sequence[Point]) -> Point:
    """The point of that name. Raises Unfit where no run comes to it."""
    date, _, moment = text.partition(" ")
    point = Point(date, moment)
    if point not in every and (point.milliseconds is None or date not in {each.date for each in every}):
        raise Unfit(f"no run comes to {text!r}", hint=nearest(text, map(str, every), "points"))
    return point


def spread(every: Sequence[Point], count: int | None, chance: random.Random) -> list[Point]:
    """All points, or so many of them: a random one of each stretch of equal length, all again where there are fewer."""
    if count is None:
        return list(every)
    rounds, rest = divmod(count, len(every))
    stretch = len(every) / max(rest, 1)
    return [*every] * rounds + [every[int((number + chance.random()) * stretch)] for number in range(rest)]


def timed(
    seconds: Mapping[str, float], count: int, chance: random.Random, victims: Sequence[str] = ("",)
) -> list[Point]:
    """Random times within the runs of each date, which take so many seconds; the victims take turns."""
    found = []
    for number in range(count):
        day = chance.choice(sorted(seconds))
        victim = victims[number % len(victims)]
        moment = f"after {round(chance.uniform(0, seconds[day]) * 1000)} ms"
        found.append(Point(day, f"{moment}: {victim}" if victim else moment))
    return found
