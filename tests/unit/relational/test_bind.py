"""The binder: exact columns and types, DuckDB's refusals as values, nothing within reach."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from odibi.relational.bind import Binder, BindError, refusal
from odibi.relational.schema import Column, schema_of


@pytest.fixture(scope="module")
def binder() -> Iterator[Binder]:
    one = Binder()
    yield one
    one.close()


def test_it_types_a_query_without_running_it(binder: Binder) -> None:
    tables = {"t": schema_of({"a": "INTEGER", "b c": "DECIMAL(10,2)", "s": 'STRUCT("end" DATE)'})}
    sql = 'SELECT a + 1 AS n, "b c" * 2 AS m, s."end" AS d, CAST(error(\'never run\') AS INTEGER) AS e FROM t'
    found = binder.describe(sql, tables)
    assert found == schema_of({"n": "INTEGER", "m": "DECIMAL(18,2)", "d": "DATE", "e": "INTEGER"})


def test_a_table_can_change_between_questions(binder: Binder) -> None:
    assert binder.describe("FROM x", {"x": schema_of({"a": "DATE"})}) == (Column("a", "DATE"),)
    assert binder.describe("FROM X", {"X": schema_of({"b": "BLOB"})}) == (Column("b", "BLOB"),)
    assert binder.describe("FROM x", {"x": schema_of({"a": "DATE"})}) == (Column("a", "DATE"),)


def test_a_refusal_has_name_candidates_and_position_in_bytes(binder: Binder) -> None:
    with pytest.raises(BindError) as caught:
        binder.describe("SELECT 'é', prce FROM t", {"t": schema_of({"price": "INTEGER", "other": "DATE"})})
    error = caught.value
    assert (error.message, error.name, error.position) == ("column 'prce' not found", "prce", 13)
    assert error.candidates[0] == "price"
    assert error.hint == "did you mean 'price'?"


def test_no_file_and_no_python_variable_is_within_reach(binder: Binder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    frame = [1]  # would be a table with replacement scans
    for sql in (
        f"FROM '{secret}'",
        f"FROM read_csv('{secret}')",
        "FROM frame",
        f"COPY (SELECT 1) TO '{tmp_path}/x'",
    ):
        with pytest.raises(BindError):
            binder.describe(sql, {})
    assert frame == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_threads_share_it(binder: Binder) -> None:
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(20):
            found = binder.describe("SELECT * FROM t", {"t": schema_of({f"c{number}": "INTEGER"})})
            if found != (Column(f"c{number}", "INTEGER"),):
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_duckdb_says_nothing_of_a_text_it_would_run() -> None:
    tables = {"t": schema_of({"a": "INTEGER"}), "other.t": schema_of({"b": "INTEGER"})}
    text = "-- first\nCREATE TABLE v AS FROM t; -- made;\nDELETE FROM v; INSERT INTO v SELECT b FROM other.t; SELECT * FROM v; -- end"
    assert refusal(text, tables) is None


def test_the_refusal_of_a_text_runs_nothing_that_takes_long() -> None:
    text = "CREATE TABLE v AS SELECT * FROM range(1000000000000) r(i); INSERT INTO v FROM range(1000000000000); SELECT x FROM v"
    found = refusal(text, {})
    assert found is not None
    assert found.position == text.rindex("x FROM")
