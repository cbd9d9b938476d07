"""Made-up rows that stand in for a source that is unavailable: the same for the same day, byte for byte.

They are for trying a pipeline out without its sources, so they are written only where a source asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

__all__ = ["GENERATORS", "generator_of", "sample_rows", "sample_text"]

Row = dict[str, Any]


def _users(i: int, moment: str) -> Row:
    n = i + 1
    return {
        "id": n, "name": f"User_{n}", "email": f"user{n}@example.com", "age": 18 + (i % 50),
        "created_at": moment, "active": i % 3 != 0,
    }  # fmt: skip


def _transactions(i: int, moment: str) -> Row:
    return {
        "id": i + 1, "user_id": (i % 100) + 1, "amount": round(10.0 + (i % 1000), 2), "currency": "USD",
        "timestamp": moment, "status": "failed" if i % 10 == 0 else "completed",
    }  # fmt: skip


def _products(i: int, moment: str) -> Row:
    del moment
    n = i + 1
    return {
        "id": n,
        "title": f"Product {n}",
        "price": round(5.0 + (i % 100), 2),
        "category": f"category_{i % 5}",
    }


def _default(i: int, moment: str) -> Row:
    del moment
    return {"id": i + 1, "value": f"sample_{i}"}


GENERATORS: Mapping[str, Callable[[int, str], Row]] = {
    "users": _users,
    "transactions": _transactions,
    "products": _products,
}
"""By a word in the name of the source; :func:`generator_of` has the one for all others."""


def generator_of(name: str) -> Callable[[int, str], Row]:
    """What makes the rows of a source of this name."""
    return next((make for word, make in GENERATORS.items() if word in name.lower()), _default)


def sample_rows(name: str, rows: int, day: date) -> Iterator[Row]:
    """So many rows, with the beginning of the day as their time."""
    make, moment = generator_of(name), f"{day.isoformat()}T00:00:00"
    return (make(i, moment) for i in range(rows))


def sample_text(name: str, rows: int, day: date) -> str:
    """The rows as a JSON array."""
    return json.dumps(list(sample_rows(name, rows, day)), indent=2) + "\n"
