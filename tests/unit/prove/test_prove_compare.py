"""Which answers are the same: names, types, the multiset of rows, doubles at 12 digits."""

from __future__ import annotations

import pyarrow as pa
import pytest

from odibi.prove.ask import Bench
from odibi.prove.compare import difference, unmatched
from odibi.prove.model import Failure, Table


def table(bench: Bench, sql: str) -> Table:
    """What a query gives, as the comparison sees it."""
    return bench.table(bench.database.cursor.sql(sql).to_arrow_table())


def values(bench: Bench, *rows: str) -> Table:
    return table(bench, f"SELECT * FROM (VALUES {', '.join(rows)}) t(v)")


SAME = [
    (["(1)", "(2)", "(2)"], ["(2)", "(1)", "(2)"]),
    (["(0.1::DOUBLE + 0.2)"], ["(0.3::DOUBLE)"]),
    (["('nan'::DOUBLE)"], ["('nan'::DOUBLE)"]),
    (["('-0.0'::DOUBLE)"], ["(0.0::DOUBLE)"]),
    # rounded to 12 digits these two fall apart
    (["(0.1234567890125::DOUBLE)"], ["(0.12345678901249999::DOUBLE)"]),
    (["([0.1::DOUBLE + 0.2, NULL])"], ["([0.3::DOUBLE, NULL])"]),
    (["(MAP {'a': 1, 'b': 2})"], ["(MAP {'b': 2, 'a': 1})"]),
    (["(TIMESTAMP 'infinity')", "(TIMESTAMP '0001-01-01')"], ["(TIMESTAMP '0001-01-01')", "('infinity')"]),
]
OTHER = [
    (["(1)", "(1)", "(2)"], ["(1)", "(2)", "(2)"]),
    (["('nan'::DOUBLE)"], ["(NULL::DOUBLE)"]),
    (["(1.00000000001::DOUBLE)"], ["(1.00000000003::DOUBLE)"]),
    (["('a')"], ["('a ')"]),
    (["('\u00e9')"], ["('e\u0301')"]),
    (["([1, NULL])"], ["([NULL, 1])"]),
    (["([]::INTEGER[])"], ["(NULL::INTEGER[])"]),
    (["({'a': NULL::INTEGER})"], ["(NULL::STRUCT(a INTEGER))"]),
    (["(1.10::DECIMAL(9,2))"], ["(1.11::DECIMAL(9,2))"]),
    (["(TIMESTAMP '2024-01-01 00:00:00')"], ["(TIMESTAMP '2024-01-01 00:00:00.000001')"]),
    (["(DATE '1582-10-04')"], ["(DATE '1582-10-05')"]),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_answers_that_are_the_same(one: Bench, left: list[str], right: list[str]) -> None:
    assert difference(values(one, *left), values(one, *right)) == ""


@pytest.mark.parametrize(("left", "right"), OTHER)
def test_answers_that_are_not(one: Bench, left: list[str], right: list[str]) -> None:
    said = difference(values(one, *left), values(one, *right))
    assert said.startswith("lacks 1 of ")
    assert said.endswith("rows and has 1 other")


def test_rows_are_named_by_position(one: Bench) -> None:
    left, right = values(one, "(1)", "(2)", "(2)", "(3)"), values(one, "(2)", "(4)", "(3)", "(5)")
    assert unmatched(left, right) == ([0, 2], [1, 3])
    assert difference(left, right) == "lacks 2 of 4 rows and has 2 others"


def test_names_and_types_count(one: Bench) -> None:
    number = table(one, "SELECT 1::INTEGER AS a")
    assert difference(number, table(one, "SELECT 1::BIGINT AS a")) == "gives a BIGINT, not INTEGER"
    assert difference(number, table(one, "SELECT 1::INTEGER AS A")) == "has the columns A, not a"


def test_the_order_counts_where_there_is_one(one: Bench) -> None:
    def rows(order: str) -> Table:
        return table(one, f"FROM (VALUES (1, 'b'), (2, 'a'), (1, 'a')) t(k, v) ORDER BY {order}")

    right = rows("k, v")
    assert difference(right, rows("v, k")) == ""
    assert difference(right, rows("v, k"), ["k"]) == "orders the rows by k otherwise, from row 2 on"
    assert difference(right, rows("k, v DESC"), ["k"]) == ""  # rows that tie have no order


def test_failures_are_answers(one: Bench) -> None:
    rows, failure = values(one, "(1)"), Failure("ConversionException", "no number")
    assert difference(failure, Failure("Permanent", "Spark: something else")) == ""
    assert difference(rows, failure) == "fails"
    assert difference(failure, rows) == "answers where that fails"


def test_arrow_s_other_spellings_are_the_same_types(one: Bench) -> None:
    texts, large = pa.array(["a", None]), pa.array(["a", None], pa.large_string())
    left, right = (one.table(pa.table({"v": each})) for each in (texts, large))
    assert difference(left, right) == ""
