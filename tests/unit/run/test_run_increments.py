"""Steps that read only what is new: whatever comes in whatever order, the end is that of a rebuild."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from odibi import boundaries
from odibi.datasets.upkeep import optimize, rollback
from odibi.errors import ConfigError, Permanent
from tests.unit.run.project import Project, read, reasons, sql, statuses, step_of

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")
APPEND = {"to": "lake", "mode": "append"}
NEW = {"inputs": [{"from": "raw", "rows": "new"}]}


def steps(**more: Any) -> list[dict[str, Any]]:
    """Daily files appended; what is new of them appended once more and merged."""
    merged = {"to": "lake", "mode": "merge", "keys": ["id"], "sequence_by": "at"}
    return [
        read("raw", "{{ date }}.csv", write=APPEND, **more),
        sql("fact", "SELECT id, v, at FROM raw WHERE v >= 0", write=APPEND, **NEW),
        sql("latest", "SELECT id, v, at FROM raw", write=merged, **NEW),
    ]


def day_file(project: Project, date: str, rows: list[tuple[int, int, int]]) -> None:
    project.csv(f"in/{date}.csv", "id,v,at", *rows)


class Killed(Permanent):
    """Stands for the end of the process."""


@contextmanager
def killed(moment: str) -> Iterator[None]:
    """Nothing of the step that crosses the moment happens after it."""

    def watch(name: str) -> None:
        if name == moment:
            raise Killed(name)

    boundaries._watch = watch
    try:
        yield
    finally:
        boundaries._watch = None


def table(project: Project, path: str) -> list[tuple[Any, ...]]:
    """The rows of a table without the column for the logical date."""
    return sorted(row[:3] for row in project.rows(path))


class Shop:
    """Days whose files come, are corrected, and are run, in any order; and what must come of it."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project, self.random = project, random.Random(seed)
        self.clock = 0
        self.days: dict[str, dict[int, tuple[int, int]]] = {}
        self.steps = steps()

    def arrive(self, date: str) -> None:
        """A file for the day, or its correction: the same ids with later news."""
        ids = self.days.get(date) or dict.fromkeys(self.random.sample(range(8), 3), (0, 0))
        self.days[date] = {}
        for each in ids:
            self.clock += 1
            self.days[date][each] = (self.random.randint(-2, 9), self.clock)
        day_file(self.project, date, [(i, v, at) for i, (v, at) in self.days[date].items()])

    def run(self, date: str, *select: str) -> bool:
        return self.project.run(self.steps, *select, date=date, max_retries=0).success

    def check(self) -> None:
        raw = [(i, v, at) for day in self.days.values() for i, (v, at) in day.items()]
        assert table(self.project, "bronze/raw") == sorted(raw)
        assert table(self.project, "silver/fact") == sorted(row for row in raw if row[1] >= 0)
        newest = {row[0]: row for row in sorted(raw, key=lambda row: row[2])}
        assert table(self.project, "silver/latest") == sorted(newest.values())


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_days_corrections_and_kills_ends_as_a_rebuild_would(project: Project, seed: int) -> None:
    shop = Shop(project, seed)
    moments = [f"{when} commit: silver/{name}" for when in ("before", "after") for name in ("fact", "latest")]
    moments += ["after commit: bronze/raw", "before creation: silver/fact", "after creation: silver/latest"]
    for _ in range(10):
        date = shop.random.choice(DAYS)
        if date not in shop.days or shop.random.random() < 0.5:
            shop.arrive(date)
        match shop.random.random():
            case chance if chance < 0.3:
                with killed(shop.random.choice(moments)):
                    shop.run(date)
            case chance if chance < 0.45:
                assert shop.run(date, "raw")
            case chance if chance < 0.55 and (project.root / "lake/bronze/raw").exists():
                optimize("lake/bronze/raw")
            case _:
                assert shop.run(date)
    for date in sorted(shop.days, key=lambda _: shop.random.random()) * 2:
        assert shop.run(date)
    shop.check()
    version = project.version("silver/fact")
    for date in shop.days:
        plan = project.plan(shop.steps, date=date)
        assert {step.decision.action for step in plan.steps} == {"reuse"}, reasons(plan)
    assert project.version("silver/fact") == version
