"""The example shop: its files can be made again, are dirty in every way promised, and its oracle adds up."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.oracle.shop import KEYS, shop

ROOT = Path(__file__).parents[2]
LANDING = ROOT / "configs" / "data" / "shop"
DATES = [f"2026-01-0{day}" for day in range(1, 6)]


def make(out: Path, *options: str) -> Path:
    command = [sys.executable, str(ROOT / "configs" / "data" / "make_shop.py"), "--out", str(out), *options]
    subprocess.run(command, check=True, timeout=60)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def order_files(landing: Path) -> list[list[dict[str, str]]]:
    tables = []
    for path in sorted((landing / "orders").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    return tables


def customer_rows() -> list[dict[str, str]]:
    with (LANDING / "customers.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_generator_writes_the_committed_files(tmp_path: Path) -> None:
    assert files(make(tmp_path)) == files(LANDING)


def test_the_committed_files_are_small() -> None:
    assert sum(map(len, files(LANDING).values())) < 400_000


def test_another_seed_gives_other_files_and_days_no_longer_asked_for_are_removed(tmp_path: Path) -> None:
    first = files(make(tmp_path, "--days", "3", "--orders-per-day", "60"))
    second = files(make(tmp_path, "--days", "2", "--orders-per-day", "60", "--seed", "1"))
    assert "orders/2026-01-03.csv" in first
    assert "orders/2026-01-03.csv" not in second
    assert first["orders/2026-01-01.csv"] != second["orders/2026-01-01.csv"]


def test_orders_repeat_change_late_and_arrive_out_of_order() -> None:
    days = order_files(LANDING)
    rows = [(number, row) for number, table in enumerate(days) for row in table]
    seen: dict[str, tuple[int, dict[str, str]]] = {}
    met: Counter[str] = Counter()
    for number, row in rows:
        if row["order_id"] not in seen:
            met["arrived a day late"] += row["ordered_at"][:10] != DATES[number]
            seen[row["order_id"]] = (number, row)
            continue
        known_number, known = seen[row["order_id"]]
        known_at, at = (datetime.fromisoformat(r["updated_at"]) for r in (known, row))
        met["repeated in its file"] += row == known and number == known_number
        met["repeated in a later file"] += row == known and number > known_number
        met["corrected in a later file"] += at > known_at and number > known_number
        met["older version in a later file"] += at < known_at and number > known_number
    assert {kind for kind, count in met.items() if count} == {
        "arrived a day late",
        "repeated in its file",
        "repeated in a later file",
        "corrected in a later file",
        "older version in a later file",
    }


def test_no_two_versions_of_an_order_have_the_same_time_and_different_content(tmp_path: Path) -> None:
    versions: dict[tuple[str, str], dict[str, str]] = {}
    for table in order_files(make(tmp_path, "--days", "6", "--orders-per-day", "400")):
        for row in table:
            assert versions.setdefault((row["order_id"], row["updated_at"]), row) == row


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("quantity", ""),
        ("quantity", "0"),
        ("customer_id", ""),
        ("customer_id", "C99999"),
        ("product_id", "P9999"),
        ("unit_price", ""),
        ("unit_price", "n/a"),
        ("unit_price", "0.00"),
        ("currency", "XXX"),
        ("ordered_at", "2026-01-01 00:00:00"),
        ("ordered_at", "2026-01-04 23:59:59.999999"),
    ],
)
def test_an_order_has(column: str, value: str) -> None:
    assert any(row[column] == value for table in order_files(LANDING) for row in table)


def test_some_prices_hold_blanks() -> None:
    prices = [row["unit_price"] for table in order_files(LANDING) for row in table]
    assert any(price.startswith(" ") for price in prices)
    assert any(" " in price.strip() for price in prices)


def test_customers_are_untidy() -> None:
    rows = customer_rows()
    assert len({tuple(row.values()) for row in rows}) < len(rows)
    names = [row["name"] for row in rows]
    assert any("," in name for name in names)
    assert any('"' in name for name in names)
    assert any(not name.isascii() for name in names)
    assert any(row["email"] != row["email"].strip().lower() for row in rows)
    assert any(row["signed_up"] == "2024-02-29" for row in rows)
    for column in ("customer_id", "email", "country"):
        assert any(row[column] == "" for row in rows)


def test_payments_repeat_across_days_and_fail() -> None:
    days = [
        [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in sorted((LANDING / "payments").glob("*.ndjson"))
    ]
    ids = [{row["payment_id"] for row in rows} for rows in days]
    assert any(one & other for one, other in itertools.pairwise(ids))
    rows = [row for day in days for row in day]
    assert any(not row["succeeded"] for row in rows)
    assert any(row["kind"] == "refund" for row in rows)
    assert any("method" not in row for row in rows)
    assert any(row.get("method", "") is None for row in rows)


def test_the_committed_shop_has_every_reason_segment_and_state() -> None:
    tables = shop(LANDING, DATES)
    assert [row["reason"] for row in tables["rejections_by_reason"]] == [
        "bad price",
        "bad quantity",
        "missing customer",
        "no exchange rate",
        "unknown customer",
        "unknown product",
    ]
    assert {row["segment"] for row in tables["customer_segments"]} == {
        "vip",
        "active",
        "sleeping",
        "prospect",
    }
    assert {row["status"] for row in tables["orders"]} == {
        "placed",
        "shipped",
        "delivered",
        "returned",
        "cancelled",
    }


def test_the_tables_of_any_size_add_up(tmp_path: Path) -> None:
    landing = make(tmp_path, "--days", "7", "--orders-per-day", "300", "--seed", "7")
    tables = shop(landing, [f"2026-01-0{day}" for day in range(1, 8)])
    ids = {row["order_id"] for table in order_files(landing) for row in table}
    good, bad = ({row["order_id"] for row in tables[name]} for name in ("orders", "rejected_orders"))
    assert good | bad == ids
    assert not good & bad
    revenue = tables["revenue_by_day"]
    net = sum((row["net_eur"] for row in tables["orders"]), Decimal(0))
    assert sum(row["net_eur"] for row in revenue) == net > 0
    assert revenue[-1]["net_eur_so_far"] == net
    assert sum(row["net_eur"] for row in tables["customer_value"]) == net
    assert sum(row["order_count"] for row in tables["rejections_by_reason"]) == len(bad)
    for name, keys in KEYS.items():
        assert len({tuple(row[key] for key in keys) for row in tables[name]}) == len(tables[name]) > 0, name


def test_only_the_payments_of_the_days_that_were_run_count() -> None:
    of_all, of_last = (
        {row["payment_id"] for row in shop(LANDING, dates)["payments"]} for dates in (DATES, DATES[-1:])
    )
    assert of_last < of_all
    assert shop(LANDING, DATES[-1:])["orders"] == shop(LANDING, DATES)["orders"]
