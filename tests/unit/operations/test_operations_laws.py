"""What holds for all rows: one row per key whatever the order, there and back, both halves make a whole."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi.operations.call import apply
from odibi.relational.schema import Relation, quote, schema_of

Rows = list[tuple[Any, ...]]

TABLE = Relation("rows", schema_of({"k": "INTEGER", "n": "INTEGER", 's "x"': "VARCHAR", "d": "DOUBLE"}))
OTHER = Relation("other", schema_of({"K": "INTEGER", "m": "INTEGER"}))

small = st.one_of(st.none(), st.integers(-2, 2))
doubles = st.sampled_from([None, 0.0, 1.5, float("nan"), float("inf")])
table_rows = st.lists(
    st.tuples(small, small, st.sampled_from([None, "", "a", "é", "'"]), doubles), max_size=12
)
other_rows = st.lists(st.tuples(small, small), max_size=8)
quick = settings(max_examples=25, deadline=None)


@cache
def database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": "1"})


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    database().close()
    database.cache_clear()


def create(table: Relation, rows: Rows) -> None:
    columns = ", ".join(f"{quote(column.name)} {column.type}" for column in table.columns)
    database().execute(f"CREATE OR REPLACE TABLE {quote(table.name)} ({columns})")
    if rows:
        marks = ", ".join("?" * len(table.columns))
        database().executemany(f"INSERT INTO {quote(table.name)} VALUES ({marks})", rows)


def run(name: str, value: Any, table: Relation = TABLE) -> Rows:
    query = apply(name, value, table, {"rows": TABLE, "other": OTHER})
    return database().execute(query.sql("duckdb")).fetchall()


def counted(rows: Rows) -> Counter[str]:
    return Counter(map(repr, rows))


def shuffled(rows: Rows) -> Rows:
    return random.Random(len(rows)).sample(rows, len(rows))


def first(value: Any) -> tuple[bool, bool, Any]:
    """What DuckDB orders by: NULL last, NaN after every other number."""
    return value is None, value != value, 0 if value is None or value != value else value


@quick
@given(table_rows)
def test_deduplicate_keeps_one_row_per_key_whatever_the_order(rows: Rows) -> None:
    expected: dict[Any, tuple[Any, ...]] = {}
    for row in rows:
        best = expected.get(row[0])
        order = (first(-row[1] if row[1] is not None else None), *map(first, row[2:]))
        if best is None or order < best[0]:
            expected[row[0]] = (order, row)
    for given_rows in (rows, shuffled(rows)):
        create(TABLE, given_rows)
        kept = run("deduplicate", {"keys": "k", "order_by": "n desc"})
        assert counted(kept) == counted([row for _, row in expected.values()])


@quick
@given(table_rows)
def test_an_order_is_the_same_whatever_order_the_rows_come_in(rows: Rows) -> None:
    operations: list[tuple[str, Any]] = [
        ("sort", "n desc"),
        ("limit", {"rows": 3, "order_by": "k"}),
        ("window", {"partition_by": "k", "order_by": "n", "columns": {"i": "row_number()", "b": "lag(d)"}}),
        ("window", {"order_by": "k", "columns": {"s": "sum(n)"}, "frame": "rows 2 preceding"}),
    ]
    for name, value in operations:
        create(TABLE, rows)
        once = run(name, value)
        create(TABLE, shuffled(rows))
        again = run(name, value)
        assert (
            list(map(repr, once)) == list(map(repr, again))
            if name == "sort"
            else counted(once) == counted(again)
        )
        if name == "sort":
            assert counted(once) == counted(rows)


@quick
@given(table_rows, other_rows)
def test_a_union_is_the_same_from_either_side(rows: Rows, others: Rows) -> None:
    create(TABLE, rows)
    create(OTHER, others)
    for distinct in (False, True):
        one = run("union", {"with": "other", "distinct": distinct})
        two = run("union", {"with": "rows", "distinct": distinct}, OTHER)
        in_order = [(row[0], row[2], row[3], row[4], row[1]) for row in two]
        assert counted(one) == counted(in_order)
        if not distinct:
            assert len(one) == len(rows) + len(others)


@quick
@given(table_rows, other_rows)
def test_joins_are_what_they_say(rows: Rows, others: Rows) -> None:
    create(TABLE, rows)
    create(OTHER, others)
    pairs = [(row, other) for row in rows for other in others if row[0] is not None and row[0] == other[0]]
    matched = [row for row in rows if any(row is left for left, _ in pairs)]
    alone = [row for row in rows if not any(row is left for left, _ in pairs)]
    right_alone = [other for other in others if not any(other is right for _, right in pairs)]
    inner = [(*row, other[1]) for row, other in pairs]
    left = [(*row, None) for row in alone]
    right = [(other[0], None, None, None, other[1]) for other in right_alone]
    expected = {
        "inner": inner, "left": inner + left, "right": inner + right, "full": inner + left + right,
        "semi": matched, "anti": alone,
    }  # fmt: skip
    for how, result in expected.items():
        assert counted(run("join", {"with": "other", "on": ["k"], "how": how})) == counted(result), how


@quick
@given(st.lists(st.tuples(small, small), max_size=8))
def test_unpivot_and_pivot_go_there_and_back(values: Rows) -> None:
    wide = Relation("wide", schema_of({"id": "INTEGER", "a b": "INTEGER", "c": "INTEGER"}))
    rows = [(index, *pair) for index, pair in enumerate(values)]
    create(wide, rows)
    long = apply("unpivot", ["a b", "c"], wide, {}).sql("duckdb")
    database().execute(f"CREATE OR REPLACE TABLE long AS {long}")
    relation = Relation("long", schema_of({"id": "INTEGER", "name": "VARCHAR", "value": "INTEGER"}))
    pivot = {"index": "id", "column": "name", "values": ["a b", "c"], "aggregate": "max(value)"}
    assert counted(run("pivot", pivot, relation)) == counted(rows)


@quick
@given(table_rows)
def test_groups_hold_every_row_once(rows: Rows) -> None:
    create(TABLE, rows)
    groups = run("aggregate", {"by": ["k", "d"], "values": {"n": "count(*)"}})
    assert counted([row[:2] for row in groups]) == Counter(set(map(repr, [(row[0], row[3]) for row in rows])))
    assert sum(row[2] for row in groups) == len(rows)


@quick
@given(table_rows)
def test_a_filter_and_its_opposite_make_the_whole(rows: Rows) -> None:
    create(TABLE, rows)
    parts = [run("filter", condition) for condition in ("d > n", "NOT d > n", "(d > n) IS NULL")]
    assert counted([row for part in parts for row in part]) == counted(rows)
