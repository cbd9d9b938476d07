"""Real Spark beside DuckDB: what plain transpiling gets wrong is found, what odibi compiles is proved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlglot import exp

from odibi import orchestrator
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB
from odibi.prove import Verdict, prove_query
from odibi.prove.ask import Bench
from odibi.prove.pipeline import prove
from odibi.relational.schema import Schema, schema_of
from tests.unit.run.project import Project

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("spark_session")

T = schema_of({"n": "INTEGER", "price": "DECIMAL(9,2)", "day": "DATE", "at": "TIMESTAMP", "name": "VARCHAR"})

FOUND = [
    "SELECT CAST(price AS INTEGER) AS n FROM t",
    "SELECT date_diff('month', day, CAST(at AS DATE)) AS n FROM t",
    "SELECT dayofweek(day) AS n FROM t",
]


def transpiled(query: exp.Query, tables: Mapping[str, Schema], schema: Schema) -> exp.Query:
    """What sqlglot makes of a query by itself, with the types that the binder says."""
    del tables
    columns = [
        exp.cast(exp.column(column.name, quoted=True), column.type, dialect="duckdb").as_(
            column.name, quoted=True
        )
        for column in schema
    ]
    return exp.select(*columns).from_(query.subquery("answer"))


@pytest.fixture
def bench(tmp_path: Path, spark_session: SparkSession) -> Iterator[Bench]:
    from odibi.engines.spark import Spark

    del spark_session
    with Database(tmp_path / "scratch", threads=1) as database:
        spark = Spark(database)
        yield Bench(database, {"duckdb": DuckDB(database), "spark": spark})
        spark.close()


@pytest.mark.parametrize("sql", FOUND)
def test_what_transpiling_gets_wrong_is_found_and_shrunk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    for module in ("odibi.relational.spark", "odibi.prove.portable"):
        monkeypatch.setattr(f"{module}.to_spark", transpiled)
    proof = prove_query(sql, {"t": T}, bench)
    assert proof.verdict is Verdict.DIFFERENT
    (found,) = proof.differences
    assert sum(map(len, found.inputs.values())) <= 3


def test_what_odibi_compiles_is_proved(bench: Bench) -> None:
    sql = "SELECT n, count(*) AS rows, sum(price) AS price, max(day) AS day FROM t GROUP BY n ORDER BY n"
    proof = prove_query(sql, {"t": T}, bench)
    assert (proof.verdict, proof.problems, proof.differences) == (Verdict.PROVED, (), ())


def test_a_table_that_only_spark_knows_is_left_out_and_read(
    project: Project, spark_session: SparkSession
) -> None:
    spark_session.sql(f"CREATE SCHEMA proved LOCATION '{project.root}/schema'")
    try:
        spark_session.sql("CREATE TABLE proved.rates USING parquet AS SELECT 1 AS id, 2.5D AS rate")
        steps = [
            {"name": "rates", "layer": "bronze", "read": {"from": "named", "path": "rates"}},
            {"name": "high", "layer": "gold", "sql": "SELECT id, rate * 2 AS rate FROM rates WHERE rate > 2"},
        ]
        named = {"catalog": "spark_catalog", "schema": "proved"}
        loaded = project.load(steps, engine="spark", connections={"named": named})
        proof = prove(loaded, orchestrator.plan(loaded), engines=["spark"])
    finally:
        spark_session.sql("DROP SCHEMA proved CASCADE")
    rates, high = proof.steps
    assert (rates.verdict, rates.reason) == (Verdict.LEFT_OUT, "only Spark reads tables by name")
    assert (high.verdict, high.rows - high.edges) == (Verdict.PROVED, 1)
