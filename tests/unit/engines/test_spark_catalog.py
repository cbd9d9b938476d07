"""Tables that Spark knows by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from odibi.engines.database import Database
from odibi.errors import Permanent, SchemaMismatch
from odibi.relational.schema import schema_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from odibi.engines.spark import Spark


@pytest.fixture
def spark(spark_session: SparkSession, tmp_path: Path) -> Iterator[Spark]:
    from odibi.engines.spark import Spark

    with Database(tmp_path / "scratch") as db:
        engine = Spark(db)
        spark_session.sql(f"CREATE SCHEMA shop LOCATION '{tmp_path}/schema'")
        yield engine
        spark_session.sql("DROP SCHEMA shop CASCADE")
        engine.close()


def test_a_table_is_registered_found_and_read_by_name(spark: Spark, tmp_path: Path) -> None:
    from odibi.engines.catalog import Standing, named, register, standing

    url = str(tmp_path / "the lake's é {1}")
    name = "spark_catalog.shop.orders"
    assert standing(spark, name) is None
    assert standing(spark, "spark_catalog.no such.orders") is None
    write_deltalake(url, pa.table({"id": [1, 2]}))
    for _ in range(2):
        register(spark, name, url)
        assert standing(spark, name) == Standing(url, "delta")
    with pytest.raises(Permanent, match=r"is the table at .*, not the one at"):
        register(spark, name, str(tmp_path / "other"))
    write_deltalake(url, pa.table({"id": [3]}), mode="append")
    frame, schema = named(spark, name)
    assert schema == schema_of({"id": "BIGINT"})
    assert sorted(spark.to_arrow(frame).read_all().column("id").to_pylist()) == [1, 2, 3]


def test_a_table_of_another_format_is_read_by_name(spark: Spark, tmp_path: Path) -> None:
    from odibi.engines.catalog import named, standing

    session = spark.session()
    session.sql("CREATE TABLE shop.plain USING parquet AS SELECT 1 AS id, 'x' AS s")
    found = standing(spark, "shop.plain")
    assert found is not None
    assert found.format == "parquet"
    assert Path(found.url).is_dir()
    session.sql("CREATE VIEW shop.seen AS SELECT id + 1 AS id FROM shop.plain")
    assert spark.to_arrow(named(spark, "shop.seen")[0]).read_all().to_pylist() == [{"id": 2}]
    session.sql("CREATE VIEW shop.odd AS SELECT INTERVAL '1' DAY AS i")
    with pytest.raises(SchemaMismatch, match="column 'i' has Spark's type interval day"):
        named(spark, "shop.odd")


@pytest.mark.parametrize("name", ["", "a..b", "a.b.c.d"])
def test_what_is_no_name_is_refused(spark: Spark, name: str) -> None:
    from odibi.engines.catalog import standing

    with pytest.raises(Permanent, match="is not the name of a table"):
        standing(spark, name)


def test_what_is_not_there_is_said(spark: Spark, tmp_path: Path) -> None:
    from odibi.engines.catalog import named, register

    with pytest.raises(Permanent, match="TABLE_OR_VIEW_NOT_FOUND"):
        named(spark, "shop.nothing")
    with pytest.raises(Permanent, match="PATH_NOT_FOUND"):
        register(spark, "shop.nothing", str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(Permanent, match="nowhere"):
        named(spark, "nowhere.a.b")
