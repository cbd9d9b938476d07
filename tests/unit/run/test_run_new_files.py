"""Reads of only new files and of rows from a watermark on: whatever comes and is killed, none is lost or doubled."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from odibi.datasets import consumed
from odibi.datasets.upkeep import optimize, rollback, vacuum
from odibi.errors import ConfigError
from tests.unit.run.killing import killed
from tests.unit.run.project import Project, read, reasons, sql, step_of

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
APPEND = {"to": "lake", "mode": "append"}
MOMENTS = [f"{when} {what}: bronze/orders" for when in ("before", "after") for what in ("commit", "creation")]


def orders(write: dict[str, Any] | None = None, **options: Any) -> list[dict[str, Any]]:
    """The files of a folder, read once each."""
    how = {"from": "in", "path": "orders/*.csv", "files": "new", **options}
    return [{"name": "orders", "layer": "bronze", "read": how, "write": write or APPEND}]


def rows(project: Project, columns: int = 2) -> list[tuple[Any, ...]]:
    return sorted(row[:columns] for row in project.rows("bronze/orders"))


@pytest.mark.parametrize("seed", range(3))
def test_files_that_come_change_and_go_are_in_the_table_once(
    project: Project, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumed, "LEDGERS", 3)
    chance, steps = random.Random(seed), orders()
    held: dict[str, list[tuple[int, int]]] = {}
    for number in range(12):
        for _ in range(chance.randint(0, 2)):
            name = f"orders/{chance.choice('abcdef')}.csv"
            held[name] = [(number * 10 + i, chance.randint(0, 9)) for i in range(chance.randint(1, 3))]
            project.csv(f"in/{name}", "id,v", *held[name])
        if not held:
            continue
        if chance.random() < 0.3:
            with killed(chance.choice(MOMENTS)):
                project.run(steps, date=chance.choice(DAYS), max_retries=0)
        if chance.random() < 0.2 and (project.root / "lake/bronze/orders").exists():
            optimize("lake/bronze/orders")
            vacuum("lake/bronze/orders", 0)
        assert project.run(steps, date=chance.choice(DAYS)).success
        assert rows(project) == sorted(row for each in held.values() for row in each)
    gone = chance.choice(sorted(held))
    (project.root / "in" / gone).unlink()
    assert project.run(steps, date=DAYS[0]).success
    assert rows(project) == sorted(row for each in held.values() for row in each)


def test_the_plan_counts_new_files_and_a_full_refresh_reads_all(project: Project) -> None:
    for name in "ab":
        project.csv(f"in/orders/{name}.csv", "id,v", (ord(name), 1))
    steps = orders()
    assert reasons(project.plan(steps))["orders"] == "nothing written for 2026-01-05 yet; reads 2 new files"
    assert project.run(steps).success
    assert reasons(project.plan(steps))["orders"] == "nothing changed since version 0"
    project.csv("in/orders/a.csv", "id,v", (97, 2))
    project.csv("in/orders/c.csv", "id,v", (99, 1))
    assert reasons(project.plan(steps))["orders"] == (
        "files changed; reads 2 new files, 1 of them changed since they were read"
    )
    assert step_of(project.run(steps), "orders").rows_out == 2
    assert rows(project) == [(97, 2), (98, 1), (99, 1)]
    (project.root / "in/orders/b.csv").unlink()
    assert project.run(steps, full_refresh=True).success
    assert rows(project) == [(97, 2), (99, 1)]
    assert reasons(project.plan(steps))["orders"] == "nothing changed since version 2"


def test_a_file_that_is_only_touched_is_not_read_again(project: Project) -> None:
    file = project.csv("in/orders/a.csv", "id,v", (1, 1))
    assert project.run(orders()).success
    file.touch()
    assert reasons(project.plan(orders()))["orders"] == "nothing changed since version 0"


def test_a_rollback_lets_the_files_that_came_after_be_read_again(project: Project) -> None:
    for number, name in enumerate("abc"):
        project.csv(f"in/orders/{name}.csv", "id,v", (number, 1))
        assert project.run(orders(), date=DAYS[number]).success
    rollback("lake/bronze/orders", 0)
    assert rows(project) == [(0, 1)]
    assert project.run(orders(), date=DAYS[2]).success
    assert rows(project) == [(0, 1), (1, 1), (2, 1)]


def test_a_rule_judges_the_rows_that_came_in_not_those_that_stayed(project: Project) -> None:
    def step(least: int) -> list[dict[str, Any]]:
        rule = {"between": {"column": "v", "min": least}, "on_fail": "quarantine"}
        return [{**orders()[0], "checks": [rule]}]

    project.csv("in/orders/a.csv", "id,v", (1, 1), (2, 9))
    project.csv("in/orders/b.csv", "id,v", (3, 2))
    assert project.run(step(0)).success
    optimize("lake/bronze/orders")  # rows of both files lie in one now
    project.csv("in/orders/a.csv", "id,v", (1, 1), (2, 9), (4, 8))
    result = project.run(step(5))
    assert rows(project) == [(2, 9), (3, 2), (4, 8)]
    (check,) = step_of(result, "orders").checks
    assert (check.rows, check.broken) == (3, 1)
    assert step_of(result, "orders").rows_out == 2
    assert [row[0] for row in project.rows("bronze/orders_quarantine")] == [1]


def test_files_are_merged_once_each(project: Project) -> None:
    steps = orders({"to": "lake", "mode": "merge", "keys": ["id"]})
    for name, value in (("a", 1), ("b", 2)):
        project.csv(f"in/orders/{name}.csv", "id,v", (7, value))
        assert project.run(steps).success
    assert project.rows("bronze/orders") == [(7, 2)]
    (project.root / "in/orders/a.csv").touch()
    assert project.run(steps, date=DAYS[0]).success
    assert project.rows("bronze/orders") == [(7, 2)]


# --- watermarks ------------------------------------------------------------------------------------


def by_column(write: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
    """One file that grows, read from the watermark on."""
    how = {"from": "in", "path": "log.csv", "incremental": {"column": "at", **more}}
    return [{"name": "orders", "layer": "bronze", "read": how, "write": write or APPEND}]


@pytest.mark.parametrize("seed", range(3))
def test_rows_at_the_watermark_are_neither_lost_nor_doubled(project: Project, seed: int) -> None:
    chance, steps = random.Random(seed), by_column(lookback="2 days")
    log: list[tuple[int, str]] = []
    day = 3
    for number in range(10):
        day += chance.randint(0, 1)
        for i in range(chance.randint(0 if log else 1, 3)):
            late = chance.choice([0, 0, 1, 2])  # at the newest day, or late within the window
            log.append((number * 10 + i, f"2026-01-{day - late:02}" if chance.random() < 0.9 else ""))
        if not any(at for _, at in log):
            log.append((number * 10 + 9, f"2026-01-{day:02}"))
        project.csv("in/log.csv", "id,at", *log)
        if chance.random() < 0.4:
            with killed(chance.choice(MOMENTS)):
                project.run(steps, date=chance.choice(DAYS), max_retries=0)
        assert project.run(steps, date=chance.choice(DAYS)).success
        assert sorted(row[0] for row in project.rows("bronze/orders")) == sorted(each for each, _ in log)


def test_the_watermark_bounds_what_is_read(project: Project) -> None:
    project.csv("in/log.csv", "id,at", (1, "2026-01-01 10:00:00"), (2, "2026-01-02 10:00:00"))
    assert project.run(by_column()).success
    project.csv(
        "in/log.csv",
        "id,at",
        (1, "2026-01-01 10:00:00"),
        (3, "2026-01-02 10:00:00"),
        (4, "2026-01-03 00:00:00"),
    )
    assert reasons(project.plan(by_column()))["orders"] == (
        "files changed; rows from at = 2026-01-02 10:00:00 on"
    )
    assert step_of(project.run(by_column()), "orders").rows_out == 2
    assert [row[0] for row in project.rows("bronze/orders")] == [1, 3, 4]


@pytest.mark.parametrize("kept", [{"to": "lake"}, None])
def test_inputs_by_watermark_are_merged(project: Project, kept: dict[str, Any] | None) -> None:
    raw = read("raw", "log.csv", write=kept)
    merged = {"to": "lake", "mode": "merge", "keys": ["id"], "sequence_by": "at"}
    new = {"from": "raw", "rows": "new", "watermark": "at", "late": "1 day"}
    steps = [raw, sql("latest", "SELECT id, v, at FROM raw", inputs=[new], write=merged)]
    project.csv("in/log.csv", "id,v,at", (1, 1, "2026-01-01"), (2, 1, "2026-01-03"))
    assert project.run(steps).success
    project.csv("in/log.csv", "id,v,at", (1, 2, "2026-01-01"), (2, 2, "2026-01-03"), (3, 2, "2026-01-02"))
    done = project.run(steps)
    assert step_of(done, "latest").rows_out == 2
    assert [row[:2] for row in project.rows("silver/latest")] == [(1, 1), (2, 2), (3, 2)]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"column": "moment"}, "the watermark 'moment' is no column"),
        ({"column": "x"}, "'x' of {log} is DOUBLE, which cannot be a watermark"),
        (
            {"column": "id", "lookback": "2 days"},
            "'id' of {log} is BIGINT, and 2 days cannot be taken from it",
        ),
    ],
)
def test_a_column_that_cannot_be_a_watermark_is_refused(
    project: Project, how: dict[str, str], message: str
) -> None:
    log = project.csv("in/log.csv", "id,x", (1, 1.5))
    steps = by_column()
    steps[0]["read"]["incremental"] = how
    with pytest.raises(ConfigError) as refused:
        project.run(steps)
    assert message.format(log=log) in str(refused.value)


def test_appending_by_a_watermark_needs_its_column(project: Project) -> None:
    project.csv("in/log.csv", "id,at", (1, "2026-01-01"))
    new = {"from": "raw", "rows": "new", "watermark": "at"}
    steps = [read("raw", "log.csv"), sql("ids", "SELECT id FROM raw", inputs=[new], write=APPEND)]
    with pytest.raises(ConfigError, match="the result has no such column"):
        project.run(steps)
    steps[1] = {"name": "ids", "layer": "silver", "function": "code:ids", "inputs": [new], "write": APPEND}
    project.write("code.py", "def ids(raw):\n    return raw[['id']]\n")
    error = step_of(project.run(steps, engine="pandas"), "ids").error
    assert error is not None
    assert "the result has no such column" in error.message


def test_two_ways_to_tell_what_is_new_are_one_too_many(project: Project) -> None:
    project.csv("in/orders/a.csv", "id,v", (1, 1))
    with pytest.raises(ConfigError, match="files: new and incremental are two ways"):
        project.run(orders(incremental={"column": "id"}))


# --- folders of days -------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["day=2026-01-0{}", "2026-01-0{}", "year=2026/month=1/day={}"])
@pytest.mark.parametrize("option", ["partition_date", "date"])
def test_only_the_folder_of_the_date_is_read(project: Project, folder: str, option: str) -> None:
    for day in (1, 2):
        project.csv(f"in/sales/{folder.format(day)}/part.csv", "id,v", (day, 1))
    steps = [
        read("sales", "sales/", read={"from": "in", "path": "sales/", "format": "csv", option: "{{ date }}"})
    ]
    assert project.run(steps, date=DAYS[1]).success
    assert [row[0] for row in project.rows("bronze/sales")] == [2]
    with pytest.raises(ConfigError, match="nothing to read"):
        project.run(steps, date="2026-01-09")


def test_a_ledger_adds_what_a_commit_adds(tmp_path: Path) -> None:
    from odibi.datasets.files import SourceFile
    from odibi.datasets.staging import Intents

    state: dict[str, Any] | None = None
    with Intents(tmp_path / "intents", "0" * 36) as intents:
        for number in range(100):
            files = [SourceFile(f"{number}-{i}", i, "v", 1) for i in range(100)]
            state, _ = consumed.with_files(intents, str(tmp_path), state, files)
    assert state is not None
    assert len(state["ledger"]) <= consumed.LEDGERS
    assert len(consumed.ledger_of(str(tmp_path), state)) == 10_000
