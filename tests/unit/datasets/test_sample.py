"""Made-up rows: exactly these, and the same for the same day."""

from __future__ import annotations

import json
from datetime import date

from odibi.datasets.sample import sample_rows, sample_text

DAY = date(2026, 1, 5)


def test_users() -> None:
    rows = list(sample_rows("raw_users", 1000, DAY))
    assert rows[0] == {
        "id": 1,
        "name": "User_1",
        "email": "user1@example.com",
        "age": 18,
        "created_at": "2026-01-05T00:00:00",
        "active": False,
    }
    assert sum(row["active"] for row in rows) == 666


def test_transactions() -> None:
    rows = list(sample_rows("transactions", 5000, DAY))
    good = [row for row in rows if row["status"] != "failed"]
    assert len(good) == 4500
    assert sum(row["amount"] for row in good) == 2_295_000
    assert len({row["user_id"] for row in good}) == 90
    assert sum(row["amount"] for row in good if row["user_id"] == 100) == 27_950
    assert rows[0].keys() == {"id", "user_id", "amount", "currency", "timestamp", "status"}


def test_products_and_all_others() -> None:
    assert all(row["title"] for row in sample_rows("products", 100, DAY))
    assert list(sample_rows("weather", 2, DAY)) == [
        {"id": 1, "value": "sample_0"},
        {"id": 2, "value": "sample_1"},
    ]


def test_the_text_is_that_of_the_day() -> None:
    text = sample_text("users", 3, DAY)
    assert text == sample_text("users", 3, DAY) != sample_text("users", 3, date(2026, 1, 6))
    assert len(json.loads(text)) == 3
