"""The default engine: frames are lazy, parts are staged with what Delta wants to know of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.engines.duckdb import DEEPEST, DuckDB, DuckFrame, literal, scan
from odibi.relational.parse import parse
from odibi.relational.rules import closing_cast
from odibi.relational.schema import Column, schema_of


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "scratch", threads=2) as database:
        yield database


def query(sql: str) -> exp.Query:
    (statement,) = parse(sql).statements
    assert isinstance(statement, exp.Query)
    return statement


def frame(values: str, names: str = "a") -> DuckFrame:
    return DuckFrame(f"SELECT * FROM (VALUES {values}) v({names})")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a + 1 AS a FROM t", [2, 3]),
        ("WITH t AS (SELECT a * 10 AS a FROM t) SELECT a FROM t", [10, 20]),
        ("WITH x AS (SELECT a FROM t), t AS (SELECT a + 100 AS a FROM t) SELECT a FROM t UNION ALL SELECT a FROM x", [1, 2, 101, 102]),
        ("WITH T AS (SELECT t.a FROM t WHERE t.a > 1) SELECT T.a FROM T", [2]),
        ("(WITH x AS (SELECT a FROM t) SELECT a FROM x)", [1, 2]),
        ("(WITH t AS (SELECT a + 1 AS a FROM t) SELECT a FROM t) UNION ALL SELECT a FROM t", [1, 2, 2, 3]),
        ("WITH RECURSIVE n AS (SELECT min(a) AS a FROM t UNION ALL SELECT a + 1 FROM n WHERE a < 4) SELECT a FROM n", [1, 2, 3, 4]),
        ("WITH RECURSIVE t AS (SELECT a FROM t UNION ALL SELECT a + 5 FROM t WHERE a < 5) SELECT a FROM t", [1, 2, 6, 7]),
        ("SELECT a FROM t WHERE a IN (WITH t AS (SELECT 2 AS a) SELECT a FROM t)", [2]),
        ("SELECT x.a FROM t AS x JOIN t AS y ON x.a = y.a + 1", [2]),
        ("/* WITH a comment */ WITH x AS (FROM t) -- more\nSELECT a FROM x", [1, 2]),
        ("SELECT a FROM (t JOIN u USING (a))", [2]),
        ("SELECT u.a FROM u", [2, 3]),
        ("SELECT * FROM (PIVOT u ON a IN (2) USING count(*))", [1]),
    ],
)  # fmt: skip
def test_a_query_sees_its_inputs_and_its_own_ctes(db: Database, sql: str, expected: list[int]) -> None:
    engine = DuckDB(db)
    made = engine.query(query(sql), {"t": frame("(1), (2)"), "u": frame("(2), (3)")}, ())
    assert sorted(row[0] for row in db.rows(made.sql)) == expected
    stored = {
        name: engine._table(f"AS {f.sql}") for name, f in (("t", frame("(1), (2)")), ("u", frame("(2), (3)")))
    }
    assert sorted(row[0] for row in db.rows(engine.query(query(sql), stored, ()).sql)) == expected


def test_a_chain_of_steps_with_the_same_names_is_cut_before_it_is_too_deep(db: Database) -> None:
    engine = DuckDB(db)
    made = frame("(0)")
    for _ in range(3 * DEEPEST):
        made = engine.query(query("WITH t AS (SELECT a + 1 AS a FROM t) SELECT a FROM t"), {"t": made}, ())
        assert made.depth < DEEPEST
    assert db.rows(made.sql) == [(3 * DEEPEST,)]
    assert len(made.sql) < 20_000


def test_a_query_without_inputs_is_itself(db: Database) -> None:
    assert db.rows(DuckDB(db).query(query("SELECT 1 AS a -- one\n"), {}, ()).sql) == [(1,)]


def test_two_streams_are_open_at_once_and_queries_go_on_beside_them(db: Database) -> None:
    engine = DuckDB(db)
    one, two = (engine.to_arrow(DuckFrame("SELECT i FROM range(300000) r(i)")) for _ in range(2))
    first = [one.read_next_batch().num_rows, two.read_next_batch().num_rows]
    assert db.rows("SELECT 1") == [(1,)]
    assert sum(first) + sum(batch.num_rows for reader in (one, two) for batch in reader) == 600_000


def test_rows_survive_the_way_through_arrow(db: Database) -> None:
    engine = DuckDB(db)
    sql = (
        "SELECT 1::TINYINT AS t, 'ü' AS s, NULL::INTEGER AS n, 1.50::DECIMAL(10,2) AS d, 'nan'::DOUBLE AS f, DATE '2024-01-01' AS day,"
        "TIMESTAMP '2024-01-01 01:02:03.000004' AS ts, TIMESTAMPTZ '2024-01-01 00:00:00+02' AS tz, [1, NULL] AS l, {'a': 'x'} AS st, 'b'::BLOB AS b"
    )
    back = engine.from_arrow(engine.to_arrow(DuckFrame(sql)))
    assert repr(db.rows(back.sql)) == repr(db.rows(sql))
    assert db.rows(f"SELECT typeof(COLUMNS(*)) FROM ({back.sql})") == db.rows(
        f"SELECT typeof(COLUMNS(*)) FROM ({sql})"
    )


def test_a_relation_a_function_was_given_can_come_back_as_a_stream(db: Database) -> None:
    engine = DuckDB(db)
    relation = engine.native(frame("(1), (2)"))
    reader = relation.filter("a > 1").to_arrow_reader(10)
    assert db.rows(engine.from_arrow(reader).sql) == [(2,)]


def test_threads_hand_frames_to_each_other(db: Database) -> None:
    engine = DuckDB(db)
    made: list[DuckFrame] = []

    def work(number: int) -> None:
        table = pa.table({"a": [number] * 1000})
        made.append(
            engine.query(query("SELECT sum(a) AS s FROM t"), {"t": engine.from_arrow(table.to_reader())}, ())
        )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(db.rows(one.sql)[0][0] for one in made) == [n * 1000 for n in range(6)]


# --- staging ---------------------------------------------------------------------------------------


def staged(db: Database, sql: str, folder: Path, partition_by: tuple[str, ...] = ()) -> Any:
    schema = tuple(Column(str(r[0]), str(r[1])) for r in db.rows(f"DESCRIBE {sql}"))
    return DuckDB(db).stage(DuckFrame(sql), schema, str(folder), partition_by)


def test_parts_are_read_back_as_they_were_partitioned_or_not(db: Database, tmp_path: Path) -> None:
    sql = "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE i % 3 END AS k, 'x' || i AS s FROM range(1000) r(i)"
    for number, partition_by in enumerate([(), ("k",)]):
        parts = staged(db, sql, tmp_path / str(number), partition_by)
        assert parts.rows == 1000
        assert parts.bytes == sum(Path(part.path).stat().st_size for part in parts.parts)
        assert [row[:1] for row in db.rows(f"DESCRIBE {scan(parts.location)}")] == [("i",), ("k",), ("s",)]
        assert sorted(db.rows(scan(parts.location)), key=repr) == sorted(db.rows(sql), key=repr)


def test_many_partitions_lose_no_row(db: Database, tmp_path: Path) -> None:
    parts = staged(db, "SELECT hash(i) % 300 AS k, i FROM range(60000) r(i)", tmp_path / "p", ("k",))
    assert len({part.path for part in parts.parts}) == len(parts.parts)
    assert db.rows(
        f"SELECT count(*), count(DISTINCT i), count(DISTINCT k) FROM ({scan(parts.location)})"
    ) == [(60000, 60000, 300)]


def test_no_rows_are_parts_too(db: Database, tmp_path: Path) -> None:
    for partition_by in ((), ("a",)):
        parts = staged(
            db, "SELECT 1 AS a, 'x' AS b WHERE false", tmp_path / f"e{len(partition_by)}", partition_by
        )
        assert parts.rows == 0
        assert db.rows(scan(parts.location)) == []
        assert [row[:2] for row in db.rows(f"DESCRIBE {scan(parts.location)}")] == [
            ("a", "INTEGER"),
            ("b", "VARCHAR"),
        ]


def test_a_folder_is_staged_into_once(db: Database, tmp_path: Path) -> None:
    staged(db, "SELECT 1 AS a", tmp_path / "p")
    with pytest.raises(FileExistsError):
        staged(db, "SELECT 2 AS a", tmp_path / "p")


def test_an_order_is_kept_in_the_file(db: Database, tmp_path: Path) -> None:
    parts = staged(db, "SELECT hash(i) AS h, i FROM range(500000) r(i) ORDER BY h DESC", tmp_path / "p")
    with duckdb.connect(":memory:", config={"threads": "1"}) as one:
        found = one.execute(f"SELECT h, lead(h) OVER (ORDER BY file_row_number) AS n FROM read_parquet('{parts.parts[0].path}', file_row_number=true)")  # fmt: skip
        assert sum(1 for h, n in found.fetchall() if n is not None and n > h) == 0


def test_an_order_is_kept_below_the_closing_cast(db: Database, tmp_path: Path) -> None:
    schema = schema_of({"h": "HUGEINT", "i": "BIGINT"})
    closed, stored = closing_cast(
        query("SELECT hash(i)::HUGEINT % 100003 AS h, i FROM range(400000) r(i) ORDER BY h DESC, i"), schema
    )
    parts = DuckDB(db).stage(DuckDB(db).query(closed, {}, stored), stored, str(tmp_path / "p"))
    with duckdb.connect(":memory:", config={"threads": "1"}) as one:
        found = one.execute(f"SELECT h, i FROM read_parquet('{parts.parts[0].path}')").fetchall()
    assert found == sorted(found, key=lambda row: (-row[0], row[1]))
    assert len(found) == 400_000


@pytest.mark.skipif(
    duckdb.__version__ < "2", reason="DuckDB TELLS WHICH BOUNDS ARE EXACT FROM 2.0 ON: none are kept before"
)
def test_statistics_are_bounds_that_hold(db: Database, tmp_path: Path) -> None:
    sql = """SELECT unnest([3, NULL, -1]) AS i, unnest([1.5, 'nan'::DOUBLE, 2]) AS f, unnest(['b', repeat('x', 300), NULL]) AS long,
        unnest(['b', 'a', 'a"q']) AS "q ""u", unnest([NULL, NULL, NULL]::INTEGER[]) AS nothing, unnest([{'a': 1}, NULL, {'a': 3}]) AS st,
        unnest([TIMESTAMP '2024-01-01 00:00:00.000001', NULL, TIMESTAMP '2023-01-01']) AS ts"""
    (part,) = staged(db, sql, tmp_path / "p").parts
    found = part.statistics
    assert (found["i"]["min"], found["i"]["max"], int(found["i"]["null_count"])) == ("-1", "3", 1)
    assert "min" not in found["f"]
    assert "max" not in found["long"]
    assert (found['q "u']["min"], found['q "u']["max"]) == ("a", "b")
    assert "min" not in found["nothing"]
    assert int(found["nothing"]["null_count"]) == 3
    assert found["ts"]["max"] == "2024-01-01 00:00:00.000001"


# --- reading ---------------------------------------------------------------------------------------


def test_a_known_schema_decides_what_comes_out(db: Database, tmp_path: Path) -> None:
    db.rows(f"COPY (SELECT 1 AS a, 'x' AS gone) TO '{tmp_path}/1.parquet'")
    db.rows(f"COPY (SELECT 2::BIGINT AS a, DATE '2024-01-01' AS b) TO '{tmp_path}/2.parquet'")
    wanted = schema_of({"b": "DATE", "a": "DOUBLE", "c": "VARCHAR"})
    location = Location("parquet", (f"{tmp_path}/1.parquet", f"{tmp_path}/2.parquet"), wanted)
    assert [str(kind) for kind in db.cursor.sql(scan(location)).types] == ["DATE", "DOUBLE", "VARCHAR"]
    assert sorted(db.rows(f"SELECT a, b IS NULL, c FROM ({scan(location)})")) == [
        (1.0, True, None),
        (2.0, False, None),
    ]
    assert db.rows(scan(Location("parquet", (), wanted))) == []


@pytest.mark.parametrize(
    "name", ["data[1].csv", "a*b.csv", "q?.csv", "{x}.csv", "sp ace.csv", "per%20cent.csv", "it's.csv"]
)
def test_a_file_is_read_by_its_name_never_as_a_pattern(db: Database, tmp_path: Path, name: str) -> None:
    for other in (name, "data1.csv", "axb.csv", "qq.csv"):
        (tmp_path / other).write_text(f"v\n{other}\n")
    found = DuckDB(db).read(Location("csv", (str(tmp_path / name),), options={"header": True}))
    assert db.rows(found.sql) == [(name,)]


PYTHON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PYTHON)
def test_a_literal_is_the_value(value: Any) -> None:
    if isinstance(value, list):
        try:
            found = duckdb.sql(f"SELECT {literal(value)}").fetchall()[0][0]
        except duckdb.Error:
            return  # DuckDB's lists are of one type
        assert len(found) == len(value)
        return
    ((found,),) = duckdb.sql(f"SELECT {literal(value)}").fetchall()
    assert float(found) == value if isinstance(value, float) else found == value
    assert not (isinstance(value, float) and math.isnan(float(found)))
