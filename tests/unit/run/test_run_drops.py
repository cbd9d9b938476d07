"""A shop with three daily drops, good and bad, in any order: right after each of them.

The other side of every comparison is plain Python over the same rows. ``ODIBI_CORRUPTIONS=100`` makes the
search for a corruption that leaves a trace a long one.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from odibi.cli.quarantine import replay
from tests.unit.run.project import KEPT, Project, step_of

DATES = ("2026-01-01", "2026-01-02", "2026-01-03")
CORRUPTIONS = int(os.environ.get("ODIBI_CORRUPTIONS", "4"))
STATUSES = ("open", "paid", "lost")

Order = dict[str, Any]


def drops(seed: int) -> dict[str, list[Order]]:
    """Three days of orders: new ones, late corrections of old ones, and repeats of whole rows."""
    chance = random.Random(seed)
    days: dict[str, list[Order]] = {}
    known: list[Order] = []
    for number, date in enumerate(DATES):
        rows = [
            {
                "id": str(number * 100 + i),
                "customer": f"c{chance.randrange(6)}",
                "price": str(chance.randrange(1, 100)),
                "status": chance.choice(STATUSES),
                "changed": f"{date} 1{number}:{i:02}:00",
            }
            for i in range(chance.randrange(3, 9))
        ]
        for late in chance.sample(known, min(len(known), 3)):
            rows.append(
                {**late, "price": str(chance.randrange(1, 100)), "changed": f"{date} 20:{len(rows):02}:00"}
            )
        known += rows
        rows.append(dict(rows[0]))
        chance.shuffle(rows)
        days[date] = rows
    return days


def corrupted(rows: Sequence[Order], chance: random.Random) -> list[Order]:
    """The rows with some of them broken in ways that the checks know."""
    out = [dict(row) for row in rows]
    for row in chance.sample(out, chance.randrange(1, len(out))):
        column, value = chance.choice(
            [
                ("id", ""),
                ("id", "x7"),
                ("price", "-5"),
                ("price", "free"),
                ("price", ""),
                ("status", "gone"),
                ("customer", "nobody"),
                ("changed", "never"),
            ]
        )
        row[column] = value
    return out


def valid(row: Order, customers: set[str]) -> bool:
    """Whether a row is as it should be, told without odibi."""
    return (
        row["id"].isdigit()
        and row["price"].isdigit()
        and row["status"] in STATUSES
        and row["customer"] in customers
        and row["changed"].startswith("20")
    )


def expected(days: Mapping[str, Sequence[Order]], customers: set[str]) -> tuple[list[Any], list[Any], int]:
    """The orders, revenue by customer, and how many rows are in quarantine, after these days."""
    latest: dict[str, Order] = {}
    bad = 0
    for rows in days.values():
        for row in rows:
            if not valid(row, customers):
                bad += 1
            elif row["id"] not in latest or latest[row["id"]]["changed"] <= row["changed"]:
                latest[row["id"]] = row
    orders = sorted((int(r["id"]), r["customer"], int(r["price"]), r["status"]) for r in latest.values())
    revenue: dict[str, int] = {}
    for row in latest.values():
        revenue[row["customer"]] = revenue.get(row["customer"], 0) + int(row["price"])
    return orders, sorted(revenue.items()), bad


def steps(mode: str) -> list[dict[str, Any]]:
    """Bronze as it came, silver with quarantine, gold, and the history of what customers spend."""
    columns = dict.fromkeys(("id", "customer", "price", "status", "changed"), "VARCHAR")
    typed = (
        "SELECT TRY_CAST(id AS BIGINT) AS id, customer, TRY_CAST(price AS INTEGER) AS price, status, "
        "TRY_CAST(changed AS TIMESTAMP) AS changed FROM raw WHERE _logical_date = DATE '{{ date }}'"
    )
    checks = [
        {"not_null": ["id", "price", "changed"]},
        {"between": {"column": "price", "min": 0}},
        {"accepted": {"column": "status", "values": list(STATUSES)}},
        {"references": {"column": "customer", "to": "customers.customer"}},
    ]
    write: dict[str, Any] = {"mode": mode}
    if mode == "merge":
        write |= {"keys": ["id"], "sequence_by": "changed"}
    latest = "SELECT * FROM orders QUALIFY row_number() OVER (PARTITION BY id ORDER BY changed DESC) = 1"
    return [
        {
            "name": "customers",
            "layer": "bronze",
            "read": {"from": "in", "path": "customers.csv"},
            "write": KEPT,
        },
        {
            "name": "raw",
            "layer": "bronze",
            "read": {"from": "in", "path": "{{ date }}.csv", "schema": columns},
            "write": {**KEPT, "mode": "append"},
        },
        {
            "name": "orders",
            "layer": "silver",
            "sql": typed,
            "checks": checks,
            "validation_rules": "standard",
            "write": {**KEPT, **write},
        },
        {
            "name": "revenue",
            "layer": "gold",
            "sql": f"SELECT customer, sum(price) AS revenue FROM ({latest}) GROUP BY customer",
            "write": KEPT,
        },
        {
            "name": "spent",
            "layer": "gold",
            "sql": "SELECT customer, revenue FROM revenue",
            "write": {**KEPT, "mode": "scd2", "keys": ["customer"]},
        },
    ]


def drop(project: Project, date: str, rows: Sequence[Order]) -> None:
    """A day's file."""
    project.csv(f"in/{date}.csv", ",".join(rows[0]), *(tuple(row.values()) for row in rows))


def found(project: Project) -> tuple[list[Any], list[Any], int]:
    """What odibi has made of it, in the form of :func:`expected`."""
    by_id: dict[int, Any] = {}
    for row in project.rows("silver/orders"):
        by_id[row[0]] = max(by_id.get(row[0], row), row, key=lambda one: one[4])
    place = project.root / "lake/silver/orders_quarantine"
    taken = len(project.rows("silver/orders_quarantine")) if place.exists() else 0
    orders = sorted((row[0], row[1], row[2], row[3]) for row in by_id.values())
    return orders, sorted((row[0], int(row[1])) for row in project.rows("gold/revenue")), taken


def customers(project: Project, known: set[str]) -> None:
    """The file of customers."""
    project.csv("in/customers.csv", "customer", *((name,) for name in sorted(known)))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 1, 1, 2), (0, 2, 1)], ids=["in order", "twice", "early"])
def test_every_drop_leaves_what_python_would(project: Project, order: tuple[int, ...]) -> None:
    chance = random.Random(7)
    known = {f"c{number}" for number in range(6)}
    customers(project, known)
    days = {date: corrupted(rows, chance) for date, rows in drops(7).items()}
    declared = steps("merge")
    done: dict[str, list[Order]] = {}
    for number in order:
        date = DATES[number]
        drop(project, date, days[date])
        done[date] = days[date]
        result = project.run(declared, date=date)
        assert result.success, step_of(result, "orders").error
        assert found(project) == expected(done, known)
    quality = step_of(result, "orders").quality
    bad = sum(not valid(row, known) for row in days[date])
    assert quality is not None
    assert (quality.quarantined, step_of(result, "orders").rows_out) == (bad, len(days[date]) - bad)
    if date != max(done):  # a history by logical date: the newest day says again what it knows now
        assert project.run(declared, date=max(done)).success
    current = [row for row in project.rows("gold/spent") if row[-1]]
    assert sorted((row[0], int(row[1])) for row in current) == expected(done, known)[1]


@pytest.mark.parametrize("seed", range(CORRUPTIONS))
def test_what_was_corrupt_and_is_mended_leaves_no_trace(
    project: Project, seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    mode = ("merge", "append")[seed % 2]
    clean = drops(seed)
    known = {f"c{number}" for number in range(6)}
    declared = steps(mode)
    customers(project, known)
    some_missing = chance.random() < 0.5
    if some_missing:
        customers(project, known - {"c1", "c4"})
    for date, rows in clean.items():
        bad = corrupted(rows, chance)
        drop(project, date, bad)
        result = project.run(declared, date=date)
        assert result.success, step_of(result, "orders").error
        quality = step_of(result, "orders").quality
        assert quality is not None
        assert quality.quarantined + int(step_of(result, "orders").rows_out or 0) == len(bad)
    customers(project, known)
    for date, rows in clean.items():
        drop(project, date, rows)
    assert replay(steps=None, config="shop.yaml", date=None, target=None, output="text", quiet=True) == 0
    assert found(project) == expected(clean, known)
    assert found(project)[2] == 0
    other = tmp_path / "clean"
    other.mkdir()
    fresh = Project(other)
    customers(fresh, known)
    monkeypatch.chdir(other)
    monkeypatch.setenv("ODIBI_HOME", str(other / "home"))
    for date, rows in clean.items():
        drop(fresh, date, rows)
        assert fresh.run(declared, date=date).success
    for table in ("silver/orders", "gold/revenue"):
        assert project.rows(table) == fresh.rows(table)
