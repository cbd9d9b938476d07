"""One Delta table, whoever writes it: each engine, Spark's own writer and delta-rs, one after the other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from odibi.config.models import Write
from odibi.datasets import upkeep
from odibi.datasets.delta import last_commit, open_table
from odibi.datasets.digest import digest
from odibi.datasets.source import frame_of
from odibi.datasets.staging import Intents
from odibi.datasets.target import Job, Target, write
from odibi.engines import ENGINES
from odibi.engines.base import Engine
from odibi.engines.database import Database
from odibi.errors import Permanent
from odibi.relational.schema import schema_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAMES = ("duckdb", "pandas", "spark")
SCHEMA = schema_of({"id": "BIGINT", "at": "TIMESTAMP", "city": "VARCHAR", "price": "DECIMAL(10,2)"})

Row = tuple[int, str]


class Lake:
    """Tables below a folder, written on any engine."""

    def __init__(self, folder: Path, db: Database, intents: Intents, session: SparkSession) -> None:
        self.folder, self.db, self.intents, self.session = folder, db, intents, session
        self.engines: dict[str, Engine] = {name: ENGINES.get(name)(db) for name in NAMES}
        self.dates = 0

    def write(self, engine: str, name: str, rows: list[Row], frame: Any = None, **options: Any) -> None:
        url = str(self.folder / name)
        self.dates += 1
        day = str(dt.date(2024, 1, 1) + dt.timedelta(self.dates))
        on = self.engines[engine]
        targets = Target.all_of(Write(path=url, **options), "", name, None, False)
        job = Job(f"p/{name}/{day}", day, f"{engine}{self.dates}", {"code": "c"}, "0123abcd-run")
        frame = frame if frame is not None else on.from_arrow(arrow(rows).to_reader())
        write(self.db, on, self.intents, frame, SCHEMA, targets, open_table(url), job)

    def rows(self, engine: str, name: str, version: int | None = None) -> list[Row]:
        table = open_table(str(self.folder / name), version)
        assert table is not None
        on = self.engines[engine]
        found = on.to_arrow(frame_of(on, table)).read_all()
        return sorted((row["id"], row["city"]) for row in found.to_pylist())

    def agree(self, name: str, expected: list[Row], version: int | None = None) -> None:
        """Every engine, Spark itself and delta-rs read the same rows."""
        url = str(self.folder / name)
        for engine in NAMES:
            assert self.rows(engine, name, version) == sorted(expected), engine
        at = {} if version is None else {"versionAsOf": version}
        native = self.session.read.format("delta").options(**at).load(url).collect()
        assert sorted((row["id"], row["city"]) for row in native) == sorted(expected)
        scanned = pa.table(DeltaTable(url, version=version).scan())
        assert sorted((row["id"], row["city"]) for row in scanned.to_pylist()) == sorted(expected)

    def noted(self, name: str) -> None:
        """What the last commit notes of the table is so."""
        url = str(self.folder / name)
        commit, table = last_commit(url), open_table(url)
        assert commit is not None
        assert table is not None
        assert commit.note["digest"] == str(digest(self.db, table.location()))


def arrow(rows: list[Row]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array([i for i, _ in rows], pa.int64()),
            "at": pa.array([dt.datetime(2024, 2, 29, 13, 45, 59, i) for i, _ in rows], pa.timestamp("us")),
            "city": pa.array([city for _, city in rows], pa.string()),
            "price": pa.array([f"{i}.50" for i, _ in rows]).cast(pa.decimal128(10, 2)),
        }
    )


@pytest.fixture(scope="module")
def lake(spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("delta across")
    with (
        Database(folder / "scratch", threads=2) as db,
        Intents(folder / "intents", "0123abcd-run") as intents,
    ):
        made = Lake(folder / "lake é", db, intents, spark_session)
        yield made
        for engine in made.engines.values():
            engine.close()


@pytest.mark.parametrize(
    ("one", "two", "three"), [("duckdb", "spark", "pandas"), ("spark", "pandas", "duckdb"), ("pandas", "duckdb", "spark")]
)  # fmt: skip
def test_engines_take_turns_at_one_table(lake: Lake, one: str, two: str, three: str) -> None:
    name = f"{one} first"
    lake.write(one, name, [(1, "Oslo"), (2, "São Paulo")], mode="append", partition_by="city")
    lake.write(two, name, [(3, "Oslo"), (4, "a b%")], mode="append", partition_by="city")
    lake.agree(name, [(1, "Oslo"), (2, "São Paulo"), (3, "Oslo"), (4, "a b%")])
    lake.noted(name)
    assert lake.rows(three, name, 0) == [(1, "Oslo"), (2, "São Paulo")]
    merge = f"{one} merges"
    lake.write(one, merge, [(1, "Oslo"), (2, "Rome"), (3, "Bonn")], mode="merge", keys="id")
    lake.write(two, merge, [(2, "Lima"), (4, "Kyiv")], mode="merge", keys="id")
    lake.write(three, merge, [(1, "Oslo"), (4, "Cork")], mode="merge", keys="id")
    lake.noted(merge)
    url = str(lake.folder / merge)
    upkeep.rollback(url, 1)
    lake.agree(merge, [(1, "Oslo"), (2, "Lima"), (3, "Bonn"), (4, "Kyiv")])
    lake.noted(merge)
    upkeep.optimize(url)
    lake.write(three, merge, [(4, "Cork")], mode="replace_where", where="id > 3")
    upkeep.vacuum(url, 0)
    lake.agree(merge, [(1, "Oslo"), (2, "Lima"), (3, "Bonn"), (4, "Cork")])
    lake.noted(merge)


@pytest.mark.parametrize("engine", NAMES)
@pytest.mark.parametrize("options", [{}, {"mode": "append"}, {"mode": "merge", "keys": ["id"]}])
def test_no_file_stays_that_no_commit_names(lake: Lake, engine: str, options: dict[str, Any]) -> None:
    name = f"files/{engine}_{options.get('mode')}"
    lake.write(engine, name, [], **options)
    lake.agree(name, [])
    lake.write(engine, name, [(1, "Zürich")], **options)
    lake.write(engine, name, [], **options)
    left: list[Row] = [(1, "Zürich")] if options else []
    if engine == "spark":  # an empty partition makes a file of its own
        halves = lake.session.range(0, 6, 1, 2).where("id >= 3")
        made = halves.selectExpr("id", "timestamp'2024-01-01' AS at", "'Bern' AS city", "1.00BD AS price")
        made = made.selectExpr(
            "id", "CAST(at AS timestamp_ntz) AS at", "city", "CAST(price AS decimal(10,2)) AS price"
        )
        frame, _ = lake.engines[engine].wrap(made) or pytest.fail("it is a DataFrame")
        lake.write(engine, name, [], frame, **options)
        left += [(3, "Bern"), (4, "Bern"), (5, "Bern")]
    lake.agree(name, left)
    url = lake.folder / name
    versions = range(DeltaTable(url).version() + 1)
    named = {Path(file).name for version in versions for file in DeltaTable(url, version).file_uris()}
    assert {path.name for path in (url / "parts").rglob("*.parquet")} == named


@pytest.mark.parametrize("engine", NAMES)
def test_tables_of_other_writers_are_appended_and_merged(lake: Lake, engine: str) -> None:
    for writer in ("delta-rs", "spark itself"):
        name = f"{writer} then {engine}"
        url = str(lake.folder / name)
        if writer == "delta-rs":
            write_deltalake(url, arrow([(1, "Oslo"), (2, "Rome")]))
        else:
            made = lake.session.createDataFrame(arrow([(1, "Oslo"), (2, "Rome")]))
            made.write.format("delta").save(url)
        lake.write(engine, name, [(2, "Lima"), (3, "Bonn")], mode="merge", keys="id")
        lake.noted(name)
        if writer == "delta-rs":
            write_deltalake(url, arrow([(4, "Kyiv")]), mode="append")
        else:
            lake.session.sql(
                f"MERGE INTO delta.`{url}` t USING (SELECT 3L AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE"
            )
        lake.write(engine, name, [(5, "Cork")], mode="merge", keys="id")
        expected = [(1, "Oslo"), (2, "Lima"), (5, "Cork")]
        lake.agree(name, [*expected, *([(3, "Bonn"), (4, "Kyiv")] if writer == "delta-rs" else [])])
        lake.noted(name)


@pytest.mark.parametrize(
    ("what", "properties"),
    [
        ("deletionVectors", "'delta.enableDeletionVectors' = 'true'"),
        ("column mapping", "'delta.columnMapping.mode' = 'name', 'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5'"),
    ],
)  # fmt: skip
def test_deletion_vectors_and_column_mapping_are_read_right_and_not_written(
    lake: Lake, what: str, properties: str
) -> None:
    url = str(lake.folder / what)
    lake.session.createDataFrame(arrow([(i, f"c{i}") for i in range(8)])).createOrReplaceTempView("eight")
    lake.session.sql(
        f"CREATE TABLE delta.`{url}` USING delta TBLPROPERTIES ({properties}) AS SELECT /*+ COALESCE(1) */ * FROM eight"
    )
    lake.session.sql(f"DELETE FROM delta.`{url}` WHERE id % 3 = 0")
    if what == "column mapping":
        lake.session.sql(f"ALTER TABLE delta.`{url}` RENAME COLUMN at TO seen")
    lake.agree(what, [(i, f"c{i}") for i in range(8) if i % 3])
    for engine in NAMES:
        with pytest.raises(Permanent, match=f"{what}.*cannot write soundly"):
            lake.write(engine, what, [(1, "Oslo")])
    lake.agree(what, [(i, f"c{i}") for i in range(8) if i % 3])
