"""Steps that read only what is new: whatever comes in whatever order, the end is that of a rebuild."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from odibi.datasets.upkeep import optimize, rollback
from odibi.errors import ConfigError
from tests.unit.run.killing import killed
from tests.unit.run.project import Project, read, reasons, sql, step_of

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


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_days_corrections_and_kills_ends_as_a_rebuild_would(project: Project, seed: int) -> None:
    shop = Shop(project, seed)
    moments = [f"{when} commit: silver/{name}" for when in ("before", "after") for name in ("fact", "latest")]
    moments += ["after commit: bronze/raw", "before creation: silver/fact", "after creation: silver/latest"]
    for _ in range(8):
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


def two_days(project: Project) -> list[dict[str, Any]]:
    """The table ``fact`` of two days, each read by its own run."""
    for number, date in enumerate(DAYS[:2]):
        day_file(project, date, [(number * 10, 1, 1), (number * 10 + 1, 2, 1)])
        assert project.run(steps()[:2], date=date).success
    return steps()[:2]


def test_the_plan_says_what_is_new(project: Project) -> None:
    made = two_days(project)
    day_file(project, DAYS[2], [(20, 1, 1)])
    assert project.run(made, "raw", date=DAYS[2]).success
    assert reasons(project.plan(made, date=DAYS[2]))["fact"] == (
        "nothing written for 2026-01-03 yet; raw: 1 new commit after version 1"
    )
    assert project.run(made, date=DAYS[2]).success
    assert reasons(project.plan(made, date=DAYS[3], exclude=["raw"]))["fact"].endswith(
        "raw: no new rows after version 2"
    )
    assert reasons(project.plan(made, date=DAYS[2]))["fact"] == "nothing changed since version 2"


def test_a_correction_that_another_day_meets_waits_for_its_own(project: Project) -> None:
    made = two_days(project)
    day_file(project, DAYS[0], [(0, 7, 2)])
    assert project.run(made, "raw", date=DAYS[0]).success
    waiting = "raw: rows read for 2026-01-01 were corrected since: run that date again"
    assert step_of(project.run(made, "fact", date=DAYS[2]), "fact").warnings == (waiting,)
    assert waiting.removeprefix("raw: ") in reasons(project.plan(made, "fact", date=DAYS[3]))["fact"]
    assert table(project, "silver/fact") == [(0, 1, 1), (1, 2, 1), (10, 1, 1), (11, 2, 1)]
    assert project.run(made, date=DAYS[0]).success
    assert table(project, "silver/fact") == [(0, 7, 2), (10, 1, 1), (11, 2, 1)]


def test_a_table_that_is_rolled_back_is_read_again(project: Project) -> None:
    made = two_days(project)
    rollback("lake/silver/fact", 0)
    for date in DAYS[:2]:
        assert project.run(made, date=date).success
    assert table(project, "silver/fact") == [(0, 1, 1), (1, 2, 1), (10, 1, 1), (11, 2, 1)]


def test_an_input_that_is_rolled_back_is_taken_out_where_it_was_read(project: Project) -> None:
    made = two_days(project)
    rollback("lake/bronze/raw", 0)
    for date in DAYS[1::-1]:
        assert project.run(made, "fact", date=date).success
    assert table(project, "silver/fact") == [(0, 1, 1), (1, 2, 1)]


def test_rows_of_several_days_that_went_at_once_are_refused_until_a_full_refresh(project: Project) -> None:
    made = two_days(project)
    rows = project.rows("bronze/raw")
    columns = {name: [row[at] for row in rows] for at, name in enumerate(("id", "v", "at", "_logical_date"))}
    write_deltalake("lake/bronze/raw", pa.table(columns), mode="overwrite", partition_by=["_logical_date"])
    with pytest.raises(ConfigError) as refused:
        project.run(made, "fact", date=DAYS[1])
    assert "took out rows that this step had read for 2026-01-01, 2026-01-02" in str(refused.value)
    assert "--full-refresh" in str(refused.value)
    assert project.run(made, "raw", date=DAYS[1]).success  # others are not held up by it
    assert project.run(made, "fact", date=DAYS[1], full_refresh=True).success
    assert table(project, "silver/fact") == [(0, 1, 1), (1, 2, 1), (10, 1, 1), (11, 2, 1)]
    assert project.run(made, "fact", date=DAYS[0]).success
    assert len(project.rows("silver/fact")) == 4


MERGED = {"to": "lake", "mode": "merge", "keys": ["id"]}


@pytest.mark.parametrize(
    ("first", "write", "message"),
    [
        (read("raw", "x.csv"), APPEND, "rows: new needs a table that keeps its rows, and 'raw' overwrites"),
        (read("raw", "x.csv", write=MERGED), APPEND, "rows: new needs an appended table, and step 'raw' writes with merge"),
        (read("raw", "x.csv", write=None), APPEND, "rows: new needs a Delta table, and 'raw' is not kept as one"),
        (read("raw", "x.csv", write=APPEND), {"to": "lake"}, "mode overwrite lets rows go that were read before"),
        (read("raw", "x.csv", write=APPEND), None, "writes one Delta table: its commits hold what was read"),
        (read("raw", "x.csv", write=APPEND), {**APPEND, "on_code_change": "rebuild"}, "on_code_change: rebuild needs all rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_by_new_rows_is_refused(
    project: Project, first: dict[str, Any], write: dict[str, Any] | None, message: str
) -> None:
    project.csv("in/x.csv", "id,v", (1, 1))
    with pytest.raises(ConfigError) as refused:
        project.run([first, sql("fact", "SELECT * FROM raw", write=write, **NEW)])
    assert message in str(refused.value)


def test_a_table_that_was_made_from_all_rows_is_refused(project: Project) -> None:
    made = two_days(project)
    whole = [made[0], sql("fact", "SELECT id, v, at FROM raw", write=APPEND | {"path": "other"})]
    assert project.run(whole, date=DAYS[0]).success
    with pytest.raises(ConfigError, match="does not say which of them were read as new"):
        project.run([made[0], {**made[1], "write": APPEND | {"path": "other"}}], date=DAYS[1])


def test_the_table_of_another_pipeline_is_read_by_new_rows(project: Project) -> None:
    shop = project.config(steps()[:1], name="shop")
    other = project.config(
        [sql("fact", "SELECT id FROM raw", write=APPEND, inputs=[{"from": "shop.raw", "rows": "new"}])],
        name="mart",
    )
    for number, date in enumerate(DAYS[:2]):
        day_file(project, date, [(number, 1, 1)])
        assert project.run(shop, date=date).success
        assert project.run(other, date=date).success
    assert [row[0] for row in project.rows("silver/fact")] == [0, 1]
    assert "shop.raw" not in reasons(project.plan(other, date=DAYS[2]))["fact"]
    assert reasons(project.plan(other, date=DAYS[2]))["fact"].endswith("raw: no new rows after version 1")


def test_two_dates_at_once_do_not_read_the_same_rows(project: Project) -> None:
    from threading import Thread

    made = steps()[:2]
    for number, date in enumerate(DAYS[:2]):
        day_file(project, date, [(number * 10, 1, 1), (number * 10 + 1, 2, 1)])
        assert project.run(made, "raw", date=date).success
    path = project.config(made, retry_delay=0.1)
    code = f"from odibi.config.load import load; from odibi.orchestrator import run; import sys; sys.exit(not run(load({path!r}, date=DATE)).success)"
    found: list[int] = []
    runs = [
        Thread(target=lambda d=date: found.append(project.python(f"DATE = {d!r}\n{code}").returncode))  # type: ignore[misc]
        for date in DAYS[:2]
    ]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert found == [0, 0]
    assert table(project, "silver/fact") == [(0, 1, 1), (1, 2, 1), (10, 1, 1), (11, 2, 1)]
