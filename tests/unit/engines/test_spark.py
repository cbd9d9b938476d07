"""The Spark engine: frames are lazy, rows are what they were on the way in, parts say what Delta wants to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from sqlglot import exp

from odibi.datasets.actions import actions
from odibi.datasets.digest import digest
from odibi.engines.base import Location, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, DuckFrame, scan
from odibi.errors import Permanent, SchemaMismatch
from odibi.relational.parse import parse
from odibi.relational.schema import Column, Schema, schema_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from odibi.engines.spark import Spark, SparkFrame

EVERY_TYPE = r"""
SELECT * FROM (VALUES
  (true, 1::TINYINT, 2::SMALLINT, 3::INTEGER, 4::BIGINT, 1.5::FLOAT, 'nan'::DOUBLE, 1.23::DECIMAL(38,10), 'ü',
   'b'::BLOB, DATE '1500-02-03', TIMESTAMP '1500-02-03 04:05:06.123456', TIMESTAMPTZ '2024-01-01 00:00:00+02',
   [1, NULL], {'a': 'x', 'b': [1.5::DECIMAL(5,2)]}, MAP {'k': 1}, 'odd'),
  (false, -128, -32768, -2147483648, -9223372036854775808, '-inf', -0.0, -9999999999999999999999999999.9999999999, '',
   '\x00\xFF'::BLOB, DATE '9999-12-31', TIMESTAMP '9999-12-31 23:59:59.999999', TIMESTAMPTZ '1500-01-01 00:00:00+00',
   [], {'a': NULL, 'b': NULL}, MAP {}, ''),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
) t(bo, ti, sm, i, bi, f, d, "de c", s, bl, da, ts, tz, l, st, m, "a.b`c;(x)")
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "scratch", threads=2) as database:
        yield database


@pytest.fixture
def spark(spark_session: SparkSession, db: Database) -> Iterator[Spark]:
    from odibi.engines.spark import Spark

    engine = Spark(db)
    yield engine
    engine.close()


def query(sql: str) -> exp.Query:
    (statement,) = parse(sql).statements
    assert isinstance(statement, exp.Query)
    return statement


def described(db: Database, sql: str) -> Schema:
    return tuple(Column(str(row[0]), str(row[1])) for row in db.rows(f"DESCRIBE {sql}"))


def frame(spark: Spark, db: Database, sql: str) -> SparkFrame:
    """The rows of a DuckDB query as a Spark frame."""
    folder = str(db.scratch / db.new_name())
    return spark.read(DuckDB(db).stage(DuckFrame(sql), described(db, sql), folder).location)


def staged(spark: Spark, db: Database, sql: str, folder: Path, partition_by: tuple[str, ...] = ()) -> Staged:
    made = frame(spark, db, sql)
    return spark.stage(made, made.schema, str(folder), partition_by)


def rows(spark: Spark, made: SparkFrame) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in spark.to_arrow(made).read_all().to_pylist()), key=repr)


def values(spark: Spark, made: SparkFrame) -> list[Any]:
    return [row[0] for row in rows(spark, made)]


# --- rows in and out -------------------------------------------------------------------------------


def test_every_type_survives_reading_staging_and_arrow(spark: Spark, db: Database, tmp_path: Path) -> None:
    made = frame(spark, db, EVERY_TYPE)
    parts = spark.stage(made, made.schema, str(tmp_path / "parts"))
    expected = sorted(db.rows(EVERY_TYPE), key=repr)
    assert repr(sorted(db.rows(scan(parts.location)), key=repr)) == repr(expected)
    there = DuckDB(db).to_arrow(DuckFrame(EVERY_TYPE)).read_all()
    here = spark.to_arrow(made).read_all()
    assert here.schema == there.schema
    back = spark.from_arrow(here.to_reader())
    assert back.schema == made.schema
    assert digest(db, spark.stage(back, back.schema, str(tmp_path / "back")).location) == digest(
        db, parts.location
    )


def test_a_dataframe_that_a_function_returns_is_a_frame(spark: Spark, db: Database) -> None:
    made = frame(spark, db, EVERY_TYPE)
    wrapped = spark.wrap(spark.native(made).limit(1))
    assert wrapped is not None
    assert wrapped[1] == wrapped[0].schema == made.schema
    assert spark.wrap(here := pa.table({"a": [1]})) is None
    assert spark.wrap(here.to_pandas()) is None
    typeless, schema = spark.wrap(spark.session().sql("SELECT NULL AS a, array(NULL) AS b, 1 AS c")) or (
        None,
        (),
    )
    assert schema == schema_of({"a": "INTEGER", "b": "INTEGER[]", "c": "INTEGER"})
    assert typeless is not None
    assert rows(spark, typeless) == [(None, [None], 1)]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1 AS a, INTERVAL '1' DAY AS x", "interval day"),
        ("SELECT 1 AS a, parse_json('1') AS x", "variant"),
        ("SELECT array(INTERVAL '1' MONTH) AS x", "array<interval month>"),
    ],
)
def test_a_type_that_only_spark_has_is_refused(spark: Spark, sql: str, kind: str) -> None:
    with pytest.raises(SchemaMismatch, match=f"column 'x' has Spark's type {kind}"):
        spark.wrap(spark.session().sql(sql))


def test_a_stream_without_an_end_is_refused(spark: Spark) -> None:
    with pytest.raises(Permanent, match="streaming DataFrame has no end"):
        spark.wrap(spark.session().readStream.format("rate").load())


def test_rows_in_arrow_types_that_spark_has_not_come_as_those_they_are_stored_as(spark: Spark) -> None:
    table = pa.table(
        {
            "u": pa.array([2**63, None], pa.uint64()),
            "ns": pa.array([1_500, None], pa.timestamp("ns")),
            "dict": pa.array(["a", None]).dictionary_encode(),
            "large": pa.array(["b", None], pa.large_string()),
            "none": pa.nulls(2),
        }
    )
    made = spark.from_arrow(table.to_reader())
    assert [column.type for column in made.schema] == [
        "DECIMAL(20,0)",
        "TIMESTAMP",
        "VARCHAR",
        "VARCHAR",
        "INTEGER",
    ]
    assert spark.to_arrow(made).read_all().column("u").to_pylist() == [2**63, None]
    with pytest.raises(Permanent, match="'t' has type TIME"):
        spark.from_arrow(pa.table({"t": pa.array([1], pa.time64("us"))}).to_reader())


def test_the_order_of_a_sort_reaches_who_reads_it(spark: Spark, db: Database, tmp_path: Path) -> None:
    spark.session().conf.set("spark.sql.files.maxRecordsPerFile", 700)
    try:
        many = frame(spark, db, "SELECT md5(i::VARCHAR) AS h, i FROM range(5000) r(i)")
        ordered = spark.query(query("SELECT i FROM t ORDER BY h"), {"t": many}, schema_of({"i": "BIGINT"}))
        expected = [row[0] for row in db.rows("SELECT i FROM range(5000) r(i) ORDER BY md5(i::VARCHAR)")]
        assert spark.to_arrow(ordered).read_all().column("i").to_pylist() == expected
    finally:
        spark.session().conf.unset("spark.sql.files.maxRecordsPerFile")


# --- computing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a + 1 AS a FROM t", [2, 3]),
        ("WITH t AS (SELECT a * 10 AS a FROM t) SELECT a FROM t", [10, 20]),
        ("WITH x AS (SELECT a FROM t), t AS (SELECT a + 100 AS a FROM t) SELECT a FROM t UNION ALL SELECT a FROM x", [1, 101, 102, 2]),
        ("WITH T AS (SELECT t.a FROM t WHERE t.a > 1) SELECT T.a FROM T", [2]),
        ("SELECT a FROM t WHERE a IN (WITH t AS (SELECT 2 AS a) SELECT a FROM t)", [2]),
        ("SELECT x.a FROM t AS x JOIN t AS y ON x.a = y.a + 1", [2]),
        ("SELECT T.a FROM T", [1, 2]),
        ("SELECT u.a FROM u", [2, 3]),
        ("SELECT 7 AS a", [7]),
        ("SELECT length('${spark.app.name} {t}')::INTEGER AS a", [21]),
    ],
)  # fmt: skip
def test_a_query_sees_its_inputs_and_its_own_ctes(
    spark: Spark, db: Database, sql: str, expected: list[int]
) -> None:
    inputs = {
        name: frame(spark, db, f"SELECT * FROM (VALUES {v}) v(a)")
        for name, v in (("t", "(1), (2)"), ("u", "(2), (3)"))
    }
    used = {table.name.lower() for table in query(sql).find_all(exp.Table)}
    made = spark.query(
        query(sql), {k: v for k, v in inputs.items() if k in used}, schema_of({"a": "INTEGER"})
    )
    assert made.data.schema.simpleString() == "struct<a:int>"
    assert values(spark, made) == expected


def test_names_that_are_no_words_are_names(spark: Spark, db: Database) -> None:
    made = frame(spark, db, 'SELECT 1 AS "a b", 2 AS "select", 3 AS "x.y", 4 AS "q`", 5 AS "é"')
    sql = 'SELECT "a b", "select" + 0 AS "select", t."x.y", "q`", "é" FROM "t" AS t'
    answer = spark.query(query(sql), {"t": made}, made.schema)
    assert rows(spark, answer) == [(1, 2, 3, 4, 5)]


def test_a_long_or_branching_chain_is_cut_before_it_is_too_large(spark: Spark, db: Database) -> None:
    from odibi.engines.spark import LARGEST

    made = frame(spark, db, "SELECT 0 AS a")
    for _ in range(LARGEST + 10):
        made = spark.query(query("SELECT a + 1 AS a FROM t"), {"t": made}, made.schema)
        assert made.size <= LARGEST
    assert values(spark, made) == [LARGEST + 10]
    for _ in range(12):  # a view in a view would be 4,096 of the first
        made = spark.query(
            query("SELECT x.a + 1 AS a FROM t AS x JOIN t AS y ON x.a = y.a"), {"t": made}, made.schema
        )
        assert made.size <= LARGEST
    assert values(spark, made) == [LARGEST + 22]


def test_an_error_is_a_sentence(spark: Spark, db: Database, tmp_path: Path) -> None:
    made = frame(spark, db, "SELECT 'x' AS a")
    schema = schema_of({"a": "INTEGER"})
    late = spark.query(query("SELECT CAST(a AS INTEGER) AS a FROM t"), {"t": made}, schema)
    with pytest.raises(Permanent) as caught:
        spark.stage(late, schema, str(tmp_path / "parts"))
    assert "'x'" in caught.value.message
    assert "\n" not in caught.value.message
    assert "spark.sql.ansi.enabled" not in caught.value.message
    with pytest.raises(Permanent, match=r"column .b. could not be resolved"):
        spark.query(query("SELECT b FROM t"), {"t": made}, schema)


def test_a_query_that_runs_is_interrupted(spark: Spark, db: Database, tmp_path: Path) -> None:
    from odibi.engines.spark import InterruptException

    caught: list[BaseException] = []
    # Long, but not without end: tasks that are cancelled hold their place until they look up.
    many = frame(spark, db, "SELECT i FROM range(600) r(i)")
    sql = "SELECT sum(a.i + b.i + c.i)::BIGINT AS i FROM t a, t b, t c"
    long = spark.query(query(sql), {"t": many}, schema_of({"i": "BIGINT"}))

    def work() -> None:
        try:
            spark.stage(long, long.schema, str(tmp_path / f"parts-{len(list(tmp_path.iterdir()))}"))
        except Permanent as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(10):  # of another thread: nothing happens
        time.sleep(0.1)
        spark.interrupt(threading.get_ident())
    assert thread.is_alive()
    while thread.is_alive():
        time.sleep(0.2)
        spark.interrupt(thread.ident)
    assert [type(error) for error in caught] == [Permanent]  # told as any failure: only one attempt ends
    caught.clear()
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        time.sleep(0.2)
        spark.interrupt()
    assert [type(error) for error in caught] == [InterruptException]
    # Jobs of others in the same session go on.
    assert spark.session().range(5).count() == 5


# --- staging ---------------------------------------------------------------------------------------


def test_parts_say_what_is_in_them_and_leave_nothing_else(spark: Spark, db: Database, tmp_path: Path) -> None:
    parts = staged(spark, db, EVERY_TYPE, tmp_path / "parts")
    assert sorted(map(str, (tmp_path / "parts").iterdir())) == sorted(part.path for part in parts.parts)
    assert parts.rows == 3
    assert parts.bytes == sum(Path(part.path).stat().st_size for part in parts.parts)
    (part,) = parts.parts
    found = {name: (s["null_count"], s.get("min"), s.get("max")) for name, s in part.statistics.items()}
    assert found == {
        **dict.fromkeys(("bo", "f", "d", "de c", "bl", "tz"), ("1", None, None)),
        "ti": ("1", "-128", "1"),
        "sm": ("1", "-32768", "2"),
        "i": ("1", "-2147483648", "3"),
        "bi": ("1", "-9223372036854775808", "4"),
        "s": ("1", "", "ü"),
        "da": ("1", "1500-02-03", "9999-12-31"),
        "ts": ("1", "1500-02-03 04:05:06.123456", "9999-12-31 23:59:59.999999"),
        "a.b`c;(x)": ("1", "", "odd"),
    }


def test_statistics_are_what_duckdb_says_and_none_where_they_would_mislead(
    spark: Spark, db: Database, tmp_path: Path
) -> None:
    sql = (
        "SELECT i, CASE WHEN i < 90000 THEN NULL ELSE i END AS late, NULL::INTEGER AS nothing, repeat('x', 5000) || i AS long, "
        "'é' || i AS s, {'s': i} AS st, DATE '2024-01-01' + i::INTEGER % 1000 AS day FROM range(100000) r(i)"
    )
    spark.session().conf.set("spark.sql.files.maxRecordsPerFile", 60_000)
    try:
        parts = staged(spark, db, sql, tmp_path / "parts")
    finally:
        spark.session().conf.unset("spark.sql.files.maxRecordsPerFile")
    assert len(parts.parts) > 1
    for part in parts.parts:
        want = db.rows(
            f"SELECT min(i), max(i), min(late), max(late), min(s), max(s), min(day), max(day), count(*) - count(late) FROM read_parquet('{part.path}')"
        )[0]
        got = part.statistics
        assert [got[c].get(end) for c in ("i", "late", "s", "day") for end in ("min", "max")] == [
            None if value is None else str(value) for value in want[:8]
        ]
        assert got["late"]["null_count"] == str(want[8])
        assert got["nothing"] == {"null_count": str(part.rows)}
        assert "st" not in got


@pytest.mark.parametrize("column", ["k", "a b", "x.y", "ü`"])
def test_partitions_are_told_by_value_whatever_they_are_called(
    spark: Spark, db: Database, tmp_path: Path, column: str
) -> None:
    texts = [
        "a/b",
        "50%",
        "x=y",
        "é",
        "a b",
        "c:d",
        "q'",
        'q"',
        "*",
        "{z}",
        "NULL",
        "a%2Fb",
        "new\nline",
        None,
    ]
    listed = ", ".join(
        "(NULL)" if text is None else f"('{text.replace(chr(39), chr(39) * 2)}')" for text in texts
    )
    sql = f'SELECT v AS "{column}", row_number() OVER () AS n FROM (VALUES {listed}) t(v)'
    parts = staged(spark, db, sql, tmp_path / "parts", (column,))
    assert {part.partition[column] for part in parts.parts} == set(texts)
    assert rows(spark, spark.read(parts.location)) == sorted(db.rows(sql), key=repr)
    assert sorted(db.rows(scan(parts.location)), key=repr) == sorted(db.rows(sql), key=repr)


def test_partitions_of_other_types_are_written_as_delta_wants_them(
    spark: Spark, db: Database, tmp_path: Path
) -> None:
    sql = (
        "SELECT i, i % 2 = 0 AS bo, DATE '1500-01-01' + i::INTEGER AS da, TIMESTAMP '2024-01-01 00:00:00' + to_microseconds(i) AS ts,"
        " TIMESTAMPTZ '2024-01-01 00:00:00+02' + to_hours(i) AS tz, (i / 2)::DECIMAL(10,3) AS de, i::SMALLINT AS sm FROM range(4) r(i)"
    )
    keys = ("bo", "da", "ts", "tz", "de", "sm")
    url = tmp_path / "table"
    parts = staged(spark, db, sql, url / "parts", keys)
    of_duckdb = DuckDB(db).stage(DuckFrame(sql), parts.schema, str(tmp_path / "duckdb"), keys)
    by_value = [
        sorted(str(sorted(action.partition_values.items())) for action in actions(str(at), made))
        for at, made in ((url, parts), (tmp_path, of_duckdb))
    ]
    assert by_value[0] == by_value[1]
    assert sorted(db.rows(scan(parts.location))) == sorted(db.rows(sql))
    assert len(rows(spark, spark.read(parts.location))) == 4


@pytest.mark.parametrize("text", ["", "__HIVE_DEFAULT_PARTITION__"])
def test_a_text_that_would_become_null_is_refused(
    spark: Spark, db: Database, tmp_path: Path, text: str
) -> None:
    with pytest.raises(
        SchemaMismatch, match=r"partition_by column 'k' holds .* which readers cannot tell from NULL"
    ):
        staged(spark, db, f"SELECT '{text}' AS k, 1 AS a", tmp_path / "parts", ("k",))


def test_no_rows_are_staged_and_read_as_none(spark: Spark, db: Database, tmp_path: Path) -> None:
    for number, keys in enumerate([(), ("s",)]):
        parts = staged(spark, db, f"SELECT * FROM ({EVERY_TYPE}) WHERE false", tmp_path / str(number), keys)
        assert parts.rows == 0
        assert db.rows(scan(parts.location)) == []
        again = spark.read(parts.location)
        assert again.schema == parts.schema
        assert rows(spark, again) == []


# --- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a b", "é", "50%", "a%20b", "a[1]", "{b,c}", "a*", "q?", "x:y", "a,b", "it's", "a#b", "a\\b", "_u", ".h", "new\nline", "日本"],
)  # fmt: skip
def test_a_file_is_found_whatever_it_is_called(spark: Spark, db: Database, tmp_path: Path, name: str) -> None:
    folder = tmp_path / f"in {name}"
    made = DuckDB(db).stage(DuckFrame("SELECT 1 AS a"), schema_of({"a": "INTEGER"}), str(folder))
    path = folder / f"{name}.parquet"
    Path(made.parts[0].path).rename(path)
    location = Location("parquet", (str(path),), schema_of({"a": "BIGINT"}))
    assert values(spark, spark.read(location)) == [1]


def test_files_of_one_table_may_differ_as_its_schema_allows(
    spark: Spark, db: Database, tmp_path: Path
) -> None:
    written = {
        "old": "SELECT 1::TINYINT AS a, 1.5::FLOAT AS f, DATE '1500-01-02' AS t, 1.5::DECIMAL(4,1) AS d",
        "new": "SELECT 3::BIGINT AS a, 2.5::DOUBLE AS f, TIMESTAMP '2024-01-01 00:00:00' AS t, 2.25::DECIMAL(12,2) AS d, 'x' AS s, 9 AS other",
        "spark only casts": "SELECT 7::INTEGER AS d, 8::UBIGINT AS a, 'z' AS f, TIMESTAMP_NS '2024-01-01 00:00:00.000001' AS t",
    }
    for name, sql in written.items():
        db.rows(f"COPY ({sql.replace(chr(39) + 'z' + chr(39), '0.5')}) TO '{tmp_path}/{name}.parquet'")
    schema = schema_of({"s": "VARCHAR", "a": "BIGINT", "f": "DOUBLE", "t": "TIMESTAMP", "d": "DECIMAL(14,3)"})
    for names in (("old", "new"), ("spark only casts", "new"), ("old",), ()):
        location = Location("parquet", tuple(f"{tmp_path}/{name}.parquet" for name in names), schema)
        found = rows(spark, spark.read(location))
        assert found == sorted(db.rows(scan(location)), key=repr)
        assert len(found) == len(names)


def test_partition_columns_come_from_the_folders(spark: Spark, db: Database, tmp_path: Path) -> None:
    schema = schema_of({"day": "DATE", "a": "INTEGER", "k": "VARCHAR"})
    base = tmp_path / "p [1]"
    found = []
    for day in ("2024-01-01", "2024-01-02"):
        for k in ("x%20y", "%C3%A9", "ü", "__HIVE_DEFAULT_PARTITION__", "c:d", "1"):
            folder = base / f"day={day}" / f"k={k}"
            folder.mkdir(parents=True)
            db.rows(f"COPY (SELECT 1 AS a) TO '{folder}/part.parquet'")
            found.append(str(folder / "part.parquet"))
    plain = tuple(file for file in found if "%C3" not in file and "c:d" not in file)
    for files in (tuple(found), plain):
        location = Location("parquet", files, schema, ("day", "k"))
        assert rows(spark, spark.read(location)) == sorted(db.rows(scan(location)), key=repr)


def test_text_files_are_read_as_duckdb_reads_them(spark: Spark, db: Database, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id;day\n1;01.02.2024\n;\n", "utf-8")
    options = {"header": True, "delim": ";", "dateformat": "%d.%m.%Y", "auto_detect": False}
    location = Location(
        "csv", (str(tmp_path / "a.csv"),), schema_of({"id": "UBIGINT", "day": "DATE"}), options=options
    )
    made = spark.read(location)
    assert made.schema == schema_of({"id": "DECIMAL(20,0)", "day": "DATE"})
    assert rows(spark, made) == sorted(db.rows(scan(location)), key=repr)
    (tmp_path / "a.csv").write_text("id;day\nx;\n", "utf-8")
    with pytest.raises(Exception, match="told by odibi"):
        spark.read(location)


def test_a_delta_table_is_read_by_its_log(spark: Spark, db: Database, tmp_path: Path) -> None:
    url = str(tmp_path / "t a{c} é")
    table = pa.table(
        {
            "k": ["x", "y", None],
            "a": pa.array([1, 2, 3], pa.int32()),
            "ts": pa.array([1, 2, None], pa.timestamp("us")),
        }
    )
    write_deltalake(url, table, partition_by=["k"])
    write_deltalake(url, table, mode="append")
    session = spark.session()
    session.sql(
        f"ALTER TABLE delta.`{url}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = true, 'delta.columnMapping.mode' = 'name')"
    )
    session.sql(f"ALTER TABLE delta.`{url}` RENAME COLUMN a TO `b c`")
    session.sql(f"DELETE FROM delta.`{url}` WHERE `b c` = 2")
    last = DeltaTable(url).version()
    schema = schema_of({"k": "VARCHAR", "b c": "INTEGER", "ts": "TIMESTAMP"})
    now = spark.read(Location("delta", (url,), schema, options={"version": last}))
    assert [row[:2] for row in rows(spark, now)] == [("x", 1), ("x", 1), (None, 3), (None, 3)]
    before = schema_of({"k": "VARCHAR", "a": "INTEGER", "ts": "TIMESTAMP"})
    first = spark.read(Location("delta", (url,), before, options={"version": 0}))
    assert len(rows(spark, first)) == 3
    # What another writer commits meanwhile is seen by who asks for it.
    other = str(tmp_path / "other")
    for number in range(3):
        write_deltalake(other, pa.table({"a": [number]}), mode="overwrite")
        assert values(
            spark,
            spark.read(Location("delta", (other,), schema_of({"a": "BIGINT"}), options={"version": number})),
        ) == [number]


@pytest.mark.parametrize("keys", [(), ("k",)])
def test_parts_that_workers_wrote_where_only_they_see_them_are_missed(
    spark: Spark, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    """The driver makes the folder itself, and would go on with no rows; of no rows it may."""
    assert staged(spark, db, "SELECT 1 AS a, 'x' AS k LIMIT 0", tmp_path / "none", keys).rows == 0
    monkeypatch.setattr("odibi.engines.spark.parts_below", lambda *_: ())
    with pytest.raises(Permanent, match="must see the same files"):
        staged(spark, db, "SELECT 1 AS a, 'x' AS k", tmp_path / "parts", keys)
