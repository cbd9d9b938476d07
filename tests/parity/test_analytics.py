"""The analytics of users and transactions on every engine, against the same figures in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest

from odibi.operations.call import apply
from odibi.relational.schema import Relation
from tests.parity.bench import NAMES, Bench, opened

STEPS = Path(__file__).parents[2] / "steps"

USERS = [(n + 1, f"User {n + 1}", f"user{n + 1}@example.com", 18 + n % 50, n % 3 != 0) for n in range(1000)]
TRANSACTIONS = [
    (n + 1, n % 100 + 1, 10 + n % 1000, "pending" if n % 10 == 0 else "completed") for n in range(5000)
]


@pytest.fixture(scope="module", params=NAMES)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with opened(request.param, tmp_path_factory.mktemp("analytics"), request) as found:
        yield found


def create(bench: Bench, name: str, columns: dict[str, str], rows: list[tuple[Any, ...]]) -> Relation:
    return bench.create(name, columns, ", ".join(map(repr, rows)))


def transformed(bench: Bench, table: Relation, name: str, *operations: tuple[str, Any]) -> None:
    for operation, value in operations:
        table = bench.apply(apply(operation, value, table, {}), table)
    bench.frames[name] = bench.frames[table.name]
    bench.tables[name] = Relation(name, table.columns)


def ask(bench: Bench, step: str) -> list[tuple[Any, ...]]:
    return bench.ask((STEPS / f"{step}.sql").read_text("utf-8")).rows


def test_users(bench: Bench) -> None:
    bench.clear()
    columns = {"id": "INTEGER", "name": "VARCHAR", "email": "VARCHAR", "age": "INTEGER", "active": "BOOLEAN"}
    conditions = [{"field": "active", "operator": "equals", "value": True}]
    fields = {
        "full_name": {"type": "concatenate", "fields": ["name", "email"]},
        "processed_at": {"type": "timestamp"},
        "user_category": {"type": "constant", "value": "standard"},
    }
    table = create(bench, "raw", columns, USERS)
    transformed(bench, table, "users", ("filter", conditions), ("enrich", fields))
    active = [user for user in USERS if user[4]]
    bounds = {"18-25": (18, 25), "26-35": (26, 35), "36-45": (36, 45), "46-55": (46, 55), "56+": (56, 999)}
    groups = [(name, sum(low <= user[3] <= high for user in active)) for name, (low, high) in bounds.items()]
    assert ask(bench, "users_by_age") == groups
    assert [count for _, count in groups] == [106, 134, 133, 133, 160]
    assert ask(bench, "users_by_domain") == [("example.com", len(active))] == [("example.com", 666)]
    names = [column.name for column in bench.tables["users"].columns]
    assert names == [*columns, "full_name", "processed_at", "user_category"]


def test_ages_and_addresses_that_are_not_as_they_should_be(bench: Bench) -> None:
    bench.clear()
    ages = [
        (17, "a@B.example"),
        (18, "b@b.example"),
        (25, "c@a.example"),
        (26, "none"),
        (None, None),
        (56, "@"),
    ]
    rows = ", ".join(f"({age or 'NULL'}, {email!r})".replace("None", "NULL") for age, email in ages)
    bench.create("users", {"age": "INTEGER", "email": "VARCHAR"}, rows)
    assert ask(bench, "users_by_age") == [
        ("18-25", 2),
        ("26-35", 1),
        ("56+", 1),
        ("under 18", 1),
        ("unknown", 1),
    ]
    assert ask(bench, "users_by_domain") == [("b.example", 2), ("a.example", 1)]


def test_transactions(bench: Bench) -> None:
    bench.clear()
    columns = {"id": "INTEGER", "user_id": "INTEGER", "amount": "INTEGER", "status": "VARCHAR"}
    table = create(bench, "raw", columns, TRANSACTIONS)
    conditions = [{"field": "status", "operator": "equals", "value": "completed"}]
    summed = {
        "group_by": ["user_id"],
        "aggregations": {"amount": ["sum", "mean", "count"], "id": ["count"]},
    }
    transformed(bench, table, "completed", ("filter", conditions))
    transformed(bench, bench.tables["completed"], "user_transactions", ("aggregate", summed))
    names = [column.name for column in bench.tables["user_transactions"].columns]
    assert names == ["user_id", "amount_sum", "amount_mean", "amount_count", "id_count"]

    spent: defaultdict[int, int] = defaultdict(int)
    made: Counter[int] = Counter()
    for _, user, amount, status in TRANSACTIONS:
        if status == "completed":
            spent[user] += amount
            made[user] += 1
    ((total, revenue, *averages),) = ask(bench, "revenue_metrics")
    assert (total, revenue) == (sum(made.values()), sum(spent.values())) == (4500, 2_295_000)
    assert len(spent) == bench.ask("SELECT count(*) AS n FROM user_transactions").rows[0][0] == 90
    per_user = [mean(spent.values()), median(spent.values()), mean(made.values()), median(made.values())]
    assert averages == per_user == [25_500, 25_500, 50, 50]
    top = sorted(spent.items(), key=lambda item: (-item[1], item[0]))[:10]
    assert ask(bench, "top_spending_users") == top
    assert top[:3] == [(100, 27_950), (99, 27_900), (98, 27_850)]
    assert [user for user, _ in ask(bench, "most_active_users")] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
