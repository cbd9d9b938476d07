"""The rows that are tried: edges of every type, keys that match, the same for the same seed."""

from __future__ import annotations

from random import Random

import pytest
import sqlglot

from odibi.prove.ask import Bench
from odibi.prove.compare import rows_of
from odibi.prove.edges import edges
from odibi.prove.model import Table
from odibi.prove.pools import HANDFULS, Hints, hints, pools, trials
from odibi.prove.shrink import Budget, fewest, plainest, without
from odibi.relational.schema import Column, schema_of
from odibi.relational.storage import STORABLE

TYPES = (
    *sorted(STORABLE - {"DECIMAL", "NUMERIC"}),
    *("DECIMAL(38,0)", "DECIMAL(38,37)", "DECIMAL(4,4)", "DECIMAL(1,0)"),
    *("INTEGER[]", "VARCHAR[][]", "STRUCT(a DOUBLE, b VARCHAR[])", "MAP(VARCHAR, DECIMAL(9,2))"),
    'STRUCT("two words" DATE)[]',
)


def shown(bench: Bench, kind: str, *literals: str) -> set[str]:
    values = bench.arrays(kind, edges(kind, literals))
    bench.database.cursor.register("edges", bench.table(_one(values)).rows)
    return {str(row[0]) for row in bench.database.rows("SELECT CAST(v AS VARCHAR) FROM edges")}


def _one(values: object) -> object:
    import pyarrow as pa

    return pa.table({"v": values})


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_has_edges(one: Bench, kind: str) -> None:
    found = one.arrays(kind, edges(kind))
    assert len(found) >= 2
    assert found.null_count == 0


@pytest.mark.parametrize(
    ("kind", "among"),
    [
        ("BIGINT", {"9223372036854775807", "-9223372036854775808", "0", "-1"}),
        ("TINYINT", {"127", "-128"}),
        ("DOUBLE", {"nan", "inf", "-inf", "-0.0", "0.5", "2.5", "-2.5"}),
        ("DECIMAL(9,2)", {"9999999.99", "-9999999.99", "0.01", "0.50", "2.50"}),
        ("VARCHAR", {"", " ", " padded ", "a", "A", "\u00e9", "e\u0301", "\U0001f600", "1.5", "\u0130"}),
        ("DATE", {"2024-02-29", "2023-12-31", "2024-01-01", "1582-10-04", "1582-10-15", "9999-12-31"}),
        ("TIMESTAMP", {"2024-02-29 00:00:00", "2024-02-29 23:59:59.999999", "9999-12-31 23:59:59.999999"}),
        ("INTEGER[]", {"[]", "[NULL]"}),
        ("STRUCT(a INTEGER)", {"{'a': NULL}"}),
        ("MAP(VARCHAR, INTEGER)", {"{}"}),
    ],
)
def test_edges_are_where_engines_disagree(one: Bench, kind: str, among: set[str]) -> None:
    assert among <= shown(one, kind)


def test_constants_of_the_query_are_edges(one: Bench) -> None:
    found = hints(sqlglot.parse_one("SELECT * FROM t WHERE n > 41 AND s = 'Paid'", read="duckdb"))
    assert found.literals == ("41", "Paid")
    assert {"40", "41", "42"} <= shown(one, "INTEGER", *found.literals)
    assert {"Paid", "paid", "PAID"} <= shown(one, "VARCHAR", *found.literals)


def orders(bench: Bench) -> dict[str, Table]:
    rows = [[number, number * 10, "paid"] for number in range(1, 6)]
    return {
        "orders": bench.made(schema_of({"id": "INTEGER", "customer": "BIGINT", "status": "VARCHAR"}), rows),
        "customers": bench.made(schema_of({"code": "BIGINT", "name": "VARCHAR"}), []),
    }


JOINED = Hints((), frozenset({frozenset({"customer", "code"})}))


def test_a_pool_is_the_sample_and_edges_of_every_column(one: Bench) -> None:
    found = pools(one, orders(one), Hints(), Random(1))
    rows = rows_of(found["orders"].table)
    assert found["orders"].real == 5
    assert rows[:5] == [(n, n * 10, "paid") for n in range(1, 6)]
    assert (None, None, None) in rows
    assert {2**31 - 1, -(2**31)} <= {row[0] for row in rows}
    assert any(row[:2] == (3, 30) and row[2] != "paid" for row in rows)  # one edge among real values
    assert len(set(rows)) < len(rows)  # some come twice
    assert found["customers"].real == 0


def test_keys_of_one_input_match_those_of_another(one: Bench) -> None:
    def matching(hints: Hints) -> set[object]:
        found = pools(one, orders(one), hints, Random(1))
        keys = {row[1] for row in rows_of(found["orders"].table)[:5]}
        return keys & {row[0] for row in rows_of(found["customers"].table)}

    assert len(matching(JOINED)) >= 2
    assert len(matching(Hints())) <= 1  # 10 is an edge by itself


def test_the_same_seed_tries_the_same_rows(one: Bench) -> None:
    def tried(seed: int) -> object:
        random = Random(seed)
        found = pools(one, orders(one), JOINED, random)
        return {n: rows_of(pool.table) for n, pool in found.items()}, trials(found, random)

    assert tried(1) == tried(1)
    assert tried(1) != tried(2)


def test_trials_leave_inputs_empty_too(one: Bench) -> None:
    found = trials(pools(one, orders(one), Hints(), Random(1)), Random(1))
    sizes = [tuple(len(rows) for rows in trial.values()) for trial in found]
    assert sizes[:HANDFULS] == [(6, 6)] * HANDFULS
    assert (5, 0) in sizes  # the real rows
    assert (0, sizes[-1][1]) in sizes
    assert (0, 0) in sizes
    assert trials({}, Random(1)) == [{}]


def test_the_fewest_that_show_it() -> None:
    asked: list[int] = []

    def shows(items: object) -> bool:
        asked.append(1)
        return {17, 401, 980} <= set(items)  # type: ignore[call-overload]

    assert fewest(range(1000), shows, Budget(100)) == [17, 401, 980]
    assert len(asked) < 50
    assert fewest([1, 2, 3], lambda _: True, Budget(10)) == []


def test_less_does_not_always_show_less() -> None:
    """What is found by leaving out one after the other may hold rows that only make up for each other."""

    def shows(items: object) -> bool:
        return {1, 2} <= set(items) and (len(items) == 2 or {5, 6} <= set(items))  # type: ignore[call-overload, arg-type]

    assert fewest(range(20), shows, Budget(200)) == [1, 2]


def test_what_was_found_when_the_budget_is_spent_still_shows_it() -> None:
    def shows(items: object) -> bool:
        return {3, 90} <= set(items)  # type: ignore[call-overload]

    for budget in range(20):
        assert shows(fewest(range(100), shows, Budget(budget)))


def test_what_fails_is_dropped_and_no_more() -> None:
    kept, dropped = without(range(100), lambda items: bool({5, 50, 51} & set(items)))
    assert dropped == [5, 50, 51]
    assert kept == [n for n in range(100) if n not in dropped]
    kept, dropped = without(range(10), lambda items: sum(items) > 20)  # none of them alone
    assert sum(kept) <= 20
    assert kept[:6] == [0, 1, 2, 3, 4, 5]


def test_values_become_plain(one: Bench) -> None:
    columns = (Column("a", "INTEGER"), Column("b", "VARCHAR"), Column("c", "DOUBLE"))
    inputs = {"t": one.made(columns, [[77, "x", 1.5], [78, "y", 2.5]])}

    def shows(tried: object) -> bool:
        rows = rows_of(tried["t"])  # type: ignore[index]
        return all(row[1] is not None for row in rows) and rows[0][1] != rows[1][1]

    assert rows_of(plainest(one, inputs, shows, Budget(50))["t"]) == [(None, "a", None), (None, "", None)]
