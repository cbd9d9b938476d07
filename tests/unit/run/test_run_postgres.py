"""SQL that PostgreSQL computes: the rows and types that DuckDB would give, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from deltalake import DeltaTable

from odibi.run.remote import RUNTIMES
from tests import services
from tests.unit.kubernetes.elsewhere import Processes
from tests.unit.run.project import KEPT, Project, sql


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with services.postgres() as url:
        yield url


@pytest.fixture
def shop(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    at = urlsplit(server)
    monkeypatch.setenv("PG_HOST", at.hostname or parse_qs(at.query)["host"][0])
    monkeypatch.setenv("PG_PORT", str(at.port or 5432))
    monkeypatch.setenv("PG_USER", at.username or "odibi")
    monkeypatch.setenv("PG_PASSWORD", at.password or "")
    monkeypatch.setenv("PG_DATABASE", at.path.strip("/"))
    project = Project(tmp_path)
    project.csv(
        "in/sales.csv",
        "Who,price,day",
        ("ann", "3.10", "2026-01-04"),
        ("bob", "4.25", "2026-01-05"),
        ("ann", "5.05", ""),
    )
    return project


TYPED = {"Who": "VARCHAR", "price": "DECIMAL(18,2)", "day": "DATE"}
SALES = {
    "name": "sales",
    "layer": "bronze",
    "read": {"from": "in", "path": "sales.csv", "schema": TYPED},
    "write": KEPT,
}

QUERIES = {
    "names in any case": "SELECT WHO, Price AS \"Total Price\" FROM Sales s WHERE s.who = 'ann'",
    "sums": "SELECT who, sum(price) AS total, count(*) AS n, avg(price) AS mean FROM sales GROUP BY who",
    "division": "SELECT who, count(*) / 2 AS half, 7 // 2 AS whole FROM sales GROUP BY who",
    "a window": "SELECT who, price, row_number() OVER (PARTITION BY who ORDER BY price) AS n FROM sales",
    "a CTE and a join": "WITH best AS (SELECT who, max(price) AS price FROM sales GROUP BY who) SELECT * FROM best JOIN sales USING (who, price)",
    "a cast and a NULL": "SELECT CAST(price AS DOUBLE) AS d, CAST(day AS TIMESTAMP) AS t, NULL AS nothing, who = 'ann' AS is_ann FROM sales",
    "the date": "SELECT DISTINCT current_date >= DATE '2026-01-01' AS later FROM sales",
}  # fmt: skip


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_rows_are_those_of_duckdb(shop: Project, tmp_path: Path, query: str) -> None:
    steps = [
        SALES,
        sql("here", query),
        sql("there", query, operation="postgres"),
    ]
    result = shop.run(steps)
    assert result.success, result.error
    assert sorted(map(repr, shop.rows("silver/there"))) == sorted(map(repr, shop.rows("silver/here")))
    here, there = (DeltaTable(str(tmp_path / f"lake/silver/{name}")).schema() for name in ("here", "there"))
    assert here == there


def test_nothing_is_left_and_nothing_is_computed_twice(shop: Project, server: str) -> None:
    import psycopg

    steps = [SALES, sql("n", "SELECT count(*) AS n FROM sales", operation="postgres")]
    assert shop.run(steps).success
    with psycopg.connect(server) as connection:
        assert (
            connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'odibi_%'").fetchall() == []
        )
    assert [str(step.status) for step in shop.run(steps).run.steps] == ["reused", "reused"]
    steps[1].pop("operation")
    assert [str(step.status) for step in shop.run(steps).run.steps] == ["reused", "completed"]


def test_several_tables_of_one_script(shop: Project) -> None:
    script = "CREATE TABLE a AS SELECT who FROM sales; CREATE TABLE b AS SELECT count(*) AS n FROM a"
    given = {
        "name": "both",
        "layer": "silver",
        "sql": script,
        "operation": "postgres",
        "outputs": ["a", "b"],
        "write": KEPT,
    }
    result = shop.run([SALES, given])
    assert result.success, result.error
    assert shop.rows("silver/b") == [(3,)]


def test_a_worker_does_the_same(shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the pod of a Job, where the database is the one beside it."""
    monkeypatch.setitem(RUNTIMES._things, "kubernetes", Processes)
    Processes.given, Processes.broken = [], []
    volumes = [{"name": "all", "host_path": str(tmp_path), "mount": str(tmp_path)}]
    cluster = {
        "image": "odibi:1", "tasks": str(tmp_path / "tasks"), "volumes": volumes,
        "secrets": {"PG_PASSWORD": {"secret": "db", "key": "password"}},
    }  # fmt: skip
    given = sql("n", "SELECT who, sum(price) AS total FROM sales GROUP BY who", operation="postgres")
    result = shop.run([SALES, given], kubernetes=cluster, runtime={"silver": "kubernetes"})
    assert result.success, result.error
    assert Processes.given == [["n"]]
    assert sorted(shop.rows("silver/n")) == [("ann", Decimal("8.15")), ("bob", Decimal("4.25"))]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT [price] AS prices FROM sales", "cannot hold type"),
        ("SELECT list_sum([price]) AS n FROM sales", "function list_sum(numeric[]) does not exist"),
        ("SELECT who, count(*) AS n FROM sales GROUP BY ALL", "syntax error"),
        ("SELECT 1 / (price - price)::INTEGER::DOUBLE AS n FROM sales WHERE price > 3", "division by zero"),
    ],
)
def test_what_postgres_cannot_do(shop: Project, query: str, said: str) -> None:
    steps = [SALES, sql("n", query, operation="postgres")]
    result = shop.run(steps, max_retries=0)
    assert not result.success
    assert said in (result.error or "")


def test_no_database_is_named(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PG_HOST")
    result = shop.run([sql("n", "SELECT 1 AS n", operation="postgres")])
    assert "operation: postgres: no database is named, PG_HOST is not set" in (result.error or "")
