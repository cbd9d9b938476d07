"""What a query says of the present at an instant of a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlglot import parse_one

from odibi.relational.bind import Binder
from odibi.relational.clock import at_instant, text_at_instant
from odibi.relational.compile import compile_query
from odibi.relational.parse import Script, volatile

NOW = datetime(2026, 1, 2, 8, 30, tzinfo=timezone(timedelta(hours=1)))

CLOCKS = {
    "now()": "2026-01-02 07:30:00+00",
    "current_timestamp": "2026-01-02 07:30:00+00",
    "get_current_timestamp()": "2026-01-02 07:30:00+00",
    "transaction_timestamp()": "2026-01-02 07:30:00+00",
    "current_date": "2026-01-02",
    "today()": "2026-01-02",
    "localtimestamp": "2026-01-02 07:30:00",
    "current_localtimestamp()": "2026-01-02 07:30:00",
    "current_localtime()": "07:30:00",
    "localtime": "07:30:00",
    "current_time": "07:30:00+00",
    "get_current_time()": "07:30:00+00",
    "age(TIMESTAMP '2025-12-31')": "2 days",
    "age(now()::TIMESTAMP, TIMESTAMP '2026-01-02')": "07:30:00",
}


@pytest.mark.parametrize("expression", CLOCKS)
def test_the_clock_stands(expression: str) -> None:
    import duckdb

    tree = parse_one(f"SELECT {expression} AS x", dialect="duckdb")
    frozen = at_instant(tree, NOW)
    assert not volatile(Script("", (frozen,)))
    with duckdb.connect() as database:
        database.execute("SET TimeZone='UTC'")
        types = [
            database.sql(f"SELECT typeof(x) FROM ({each.sql('duckdb')})").fetchall()
            for each in (tree, frozen)
        ]
        assert types[0] == types[1]
        found = database.sql(f"SELECT CAST(x AS VARCHAR) FROM ({frozen.sql('duckdb')})").fetchall()
    assert found == [(CLOCKS[expression],)]


def test_without_an_instant_nothing_changes() -> None:
    tree = parse_one("SELECT now(), a", dialect="duckdb")
    assert at_instant(tree, None) is tree
    assert text_at_instant("day < current_date", None) == "day < current_date"


def test_text_that_does_not_ask_the_clock_stays_as_it_was_written() -> None:
    assert text_at_instant("a  <  1 -- why", NOW) == "a  <  1 -- why"
    assert text_at_instant("now() <", NOW) == "now() <", "what is wrong is said where it is compiled"
    assert text_at_instant("day < today()", NOW) == "day < CAST('2026-01-02' AS DATE)"


def test_columns_keep_the_names_that_the_query_gave_them() -> None:
    query = parse_one("SELECT now(), current_date, 1 AS one", dialect="duckdb")
    plain, frozen = Binder(), Binder(NOW.astimezone(UTC))
    expected, found = (compile_query(query, {}, binder).schema for binder in (plain, frozen))
    assert found == expected
    plain.close()
    frozen.close()
