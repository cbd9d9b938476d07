"""Connections that are a catalog and schema, in a session that somebody else has started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable

from odibi.errors import ConfigError
from tests.unit.run.project import Project, read, sql

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def shop(spark_session: SparkSession, project: Project) -> Iterator[Project]:
    spark_session.sql(f"CREATE SCHEMA shop LOCATION '{project.root}/schema'")
    project.csv("in/orders.csv", "id,price", (1, 2.5), (2, 4.0))
    yield project
    spark_session.sql("DROP SCHEMA shop CASCADE")


def places(project: Project, **more: Any) -> dict[str, Any]:
    return {
        "in": {"url": str(project.root / "in")},
        "sales": {"catalog": "spark_catalog", "schema": "shop", **more},
    }


def test_tables_are_written_and_read_by_name(shop: Project, spark_session: SparkSession) -> None:
    steps = [
        read("orders", "orders.csv", write={"to": "sales", "mode": "merge", "keys": ["id"]}),
        sql("total", "SELECT sum(price) AS price FROM orders", write={"to": "sales"}),
    ]
    fields = {"engine": "spark", "connections": places(shop, url=str(shop.root / "lake"))}
    assert shop.run(steps, **fields).success
    assert spark_session.table("shop.total").collect()[0]["price"] == 6.5
    assert DeltaTable(str(shop.root / "lake/total")).version() == 0
    assert spark_session.sql("SELECT 1").collect(), "the session is alive"
    # Where the table stands is asked of the catalog, so the url may go.
    spark_session.sql("UPDATE shop.orders SET price = 10 WHERE id = 1")
    spark_session.sql("CREATE TABLE shop.rates USING parquet AS SELECT 1 AS id, 2 AS rate")
    more = [
        {"name": "now", "layer": "bronze", "read": {"from": "sales", "path": "orders"}},
        {"name": "rates", "layer": "bronze", "read": {"from": "sales", "path": "rates"}},
        sql("rated", "SELECT sum(price * rate) AS x FROM now JOIN rates USING (id)", write={"to": "sales", "path": "total", "schema": "replace"}),
    ]  # fmt: skip
    assert shop.run(more, engine="spark", connections=places(shop)).success
    assert spark_session.table("shop.total").collect()[0]["x"] == 20.0


def test_what_cannot_be_is_said_before_anything_runs(shop: Project) -> None:
    steps = [read("orders", "orders.csv", write={"to": "sales"})]
    with pytest.raises(ConfigError, match="are known to Spark, and the step runs on duckdb"):
        shop.plan(steps, connections=places(shop))
    with pytest.raises(ConfigError, match=r"spark_catalog\.shop\.orders does not exist"):
        shop.plan(steps, engine="spark", connections=places(shop))
    with pytest.raises(ConfigError, match="a catalog and its schema belong together"):
        shop.plan(steps, engine="spark", connections={"in": {"url": "x"}, "sales": {"catalog": "c"}})
    missing = [{"name": "now", "layer": "bronze", "read": {"from": "sales", "path": "ordres"}}]
    with pytest.raises(ConfigError, match=r"there is no table spark_catalog\.shop\.ordres"):
        shop.plan(missing, engine="spark", connections=places(shop))
