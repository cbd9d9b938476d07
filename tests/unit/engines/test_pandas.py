"""The pandas engine: Arrow-backed rows, every type as it was, nothing copied or loaded that is not asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from sqlglot import exp

from odibi.engines import ENGINES
from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.engines.duckdb import DEEPEST, DuckDB, DuckFrame, scan
from odibi.engines.pandas import Pandas, PandasFrame, dataframe
from odibi.relational.parse import parse
from odibi.relational.schema import Column, Schema

EVERY_TYPE = """
    SELECT true AS b, 1::TINYINT AS i8, -2::SMALLINT AS i16, 3::INTEGER AS i32, 9223372036854775807 AS i64,
      1.5::FLOAT AS f, 0.1::DOUBLE AS d, 12345678901234567890123456789012345.678::DECIMAL(38,3) AS n,
      0.07::DECIMAL(4,2) AS small, 'ü "q"' AS "a ""name"" with blanks", ''::VARCHAR AS empty, 'b\\x00'::BLOB AS bytes,
      DATE '0001-01-01' AS day, TIMESTAMP '1969-12-31 23:59:59.999999' AS ts, TIMESTAMPTZ '2024-01-01 00:00:00+02' AS tz,
      [1, NULL]::INTEGER[] AS l, []::VARCHAR[] AS none, {'a': 'x', 'b c': [1.5::DOUBLE]} AS s, MAP {'k': 1, 'j': NULL} AS m,
      [{'q': MAP {1: [NULL, 'x']}}] AS deep, NULL::INTEGER AS nothing
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, 'nan'::FLOAT, 'nan'::DOUBLE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, '-inf'::DOUBLE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "scratch", threads=2) as database:
        yield database


@pytest.fixture
def engine(db: Database) -> Pandas:
    made: Pandas = ENGINES.get("pandas")(db)
    return made


def query(sql: str) -> exp.Query:
    (statement,) = parse(sql).statements
    assert isinstance(statement, exp.Query)
    return statement


def of(sql: str) -> PandasFrame:
    return PandasFrame(DuckFrame(sql))


def held(engine: Pandas, sql: str) -> PandasFrame:
    """The rows of a query, in memory."""
    return engine.from_arrow(engine.to_arrow(of(sql)))


def rows(engine: Pandas, frame: PandasFrame) -> list[tuple[Any, ...]]:
    table = engine.to_arrow(frame).read_all()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def described(db: Database, sql: str) -> Schema:
    return tuple(Column(str(row[0]), str(row[1])) for row in db.rows(f"DESCRIBE {sql}"))


def address(column: Any) -> int:
    found: int = pa.chunked_array(column).chunk(0).buffers()[1].address
    return found


# --- types -------------------------------------------------------------------------------------------


def test_every_type_and_value_survives_pandas_and_back(db: Database, engine: Pandas) -> None:
    frame = engine.native(of(EVERY_TYPE))
    assert all(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes)
    back = engine.from_arrow(pa.Table.from_pandas(frame, preserve_index=False).to_reader())
    again = engine.query(query("SELECT * FROM t"), {"t": back}, ())
    expected = described(db, EVERY_TYPE)
    assert db.columns(engine.to_arrow(again).schema) == expected
    staged = engine.stage(again, expected, str(db.scratch / "staged"))
    found, wanted = db.rows(scan(staged.location)), db.rows(EVERY_TYPE)
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


def test_no_rows_have_types_too(db: Database, engine: Pandas) -> None:
    nothing = f"SELECT * FROM ({EVERY_TYPE}) WHERE false"
    frame = engine.native(held(engine, nothing))
    assert len(frame) == 0
    assert (frame.dtypes == engine.native(of(EVERY_TYPE)).dtypes).all()
    back = engine.from_arrow(pa.Table.from_pandas(frame, preserve_index=False).to_reader())
    assert db.columns(engine.to_arrow(back).schema) == described(db, EVERY_TYPE)


def test_null_is_not_nan_and_nan_is_not_null(engine: Pandas) -> None:
    frame = engine.native(of("SELECT unnest([1.5, 'nan'::DOUBLE, NULL]) AS v"))
    assert frame["v"].isna().tolist() == [False, False, True]
    back = engine.from_arrow(pa.Table.from_pandas(frame, preserve_index=False).to_reader())
    counted = engine.query(
        query("SELECT count(v) AS n, count(*) FILTER (isnan(v)) AS nan FROM t"), {"t": back}, ()
    )
    assert rows(engine, counted) == [(2, 1)]


def test_other_arrow_types_are_held_as_duckdb_would_give_them(engine: Pandas) -> None:
    table = pa.table(
        {"c": pa.array(["a", None, "a"]).dictionary_encode(), "l": pa.array(["x"] * 3, pa.large_string())}
    )
    frame = engine.from_arrow(table.to_reader())
    assert engine.native(frame).dtypes.astype(str).tolist() == ["string[pyarrow]", "string[pyarrow]"]
    assert rows(engine, frame) == [("a", "x"), (None, "x"), ("a", "x")]


# --- nothing is copied or loaded ------------------------------------------------------------------------


def test_rows_come_in_and_go_out_without_being_copied(engine: Pandas) -> None:
    table = pa.table({"a": pa.array(range(1000)), "f": pa.array([0.5] * 1000)})
    frame = engine.from_arrow(table.to_reader())
    assert address(engine.to_arrow(frame).read_all()["f"]) == address(table["f"])
    native = engine.native(held(engine, "SELECT range AS a FROM range(1000)"))
    assert address(pa.Table.from_pandas(native)["a"]) == address(native["a"].array.__arrow_array__())


def test_of_a_file_a_query_loads_only_what_it_names(db: Database, engine: Pandas, tmp_path: Path) -> None:
    db.rows(f"COPY (SELECT i AS a, i AS b, i AS wanted FROM range(10) r(i)) TO '{tmp_path}/x.parquet'")
    file = engine.read(Location("parquet", (f"{tmp_path}/x.parquet",)))
    frame = engine.query(query("SELECT wanted FROM t WHERE b > 3"), {"t": file}, ())
    ((_, plan),) = db.rows(f"EXPLAIN (FORMAT json) {frame.query.sql}")
    assert "wanted" in plan
    assert '"a"' not in plan
    assert rows(engine, frame)[0] == (4,)


def test_a_dataframe_is_its_receiver_s_own(engine: Pandas) -> None:
    frame = held(engine, "SELECT unnest([1, 2]) AS a")
    native = engine.native(frame)
    native["a"] = -native["a"]
    native.loc[0, "a"] = 99
    native["b"] = 1
    assert rows(engine, frame) == [(1,), (2,)]
    assert engine.native(frame)["a"].tolist() == [1, 2]


def test_what_was_registered_is_let_go(db: Database, engine: Pandas, tmp_path: Path) -> None:
    db.cursor  # noqa: B018 - this thread's own stays
    cursors, before = len(db._cursors), pa.total_allocated_bytes()
    frame = engine.from_arrow(pa.table({"a": pa.array(range(1_000_000))}).to_reader())
    other = engine.query(query("SELECT a + 1 AS a FROM t"), {"t": frame}, ())
    engine.native(other)
    engine.stage(other, (Column("a", "BIGINT"),), str(tmp_path / "staged"))
    stream = engine.to_arrow(other)
    stream.read_next_batch()
    assert len(db._cursors) == cursors + 1
    del stream  # not read to its end
    rows(engine, other)
    assert len(db._cursors) == cursors
    del frame, other
    assert pa.total_allocated_bytes() - before < 1_000_000


def test_the_computation_keeps_within_the_memory_limit_and_spills(tmp_path: Path) -> None:
    with Database(tmp_path / "scratch", memory_limit="60MB", threads=1) as db:
        engine = Pandas(db)
        frame = held(engine, "SELECT hash(i) AS h, i, 'text number ' || i AS s FROM range(1500000) r(i)")
        ordered = engine.query(query("SELECT * FROM t ORDER BY h"), {"t": frame}, ())
        reader = engine.to_arrow(ordered)
        assert reader.read_next_batch().num_rows
        assert list((tmp_path / "scratch" / "spill").iterdir())
        assert sum(batch.num_rows for batch in reader) > 1_400_000


def test_memory_that_does_not_suffice_is_an_error(tmp_path: Path) -> None:
    with Database(tmp_path / "scratch", memory_limit="20MB", threads=1) as db:
        db.cursor.execute("SET max_temp_directory_size = '1MB'")
        engine = Pandas(db)
        frame = held(engine, "SELECT hash(i) AS h FROM range(3000000) r(i)")
        with pytest.raises(duckdb.OutOfMemoryException):
            engine.native(engine.query(query("SELECT * FROM t ORDER BY h"), {"t": frame}, ()))


def test_pandas_is_imported_for_a_dataframe_and_not_before() -> None:
    code = """
        import sys, tempfile
        from pathlib import Path
        from odibi.engines import ENGINES
        from odibi.engines.database import Database
        from odibi.engines.base import Location
        from odibi.relational.parse import parse
        with Database(Path(tempfile.mkdtemp()) / "scratch") as db:
            engine = ENGINES.get("pandas")(db)
            one = engine.query(parse("SELECT 1 AS a").statements[0], {}, ())
            frame = engine.from_arrow(engine.to_arrow(one))
            two = engine.query(parse("SELECT a + 1 AS b FROM t").statements[0], {"t": frame}, ())
            print(engine.to_arrow(two).read_all().to_pylist(), db.columns(engine.to_arrow(two).schema), "pandas" in sys.modules)
            engine.native(two)
            print("pandas" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", "import textwrap; exec(textwrap.dedent('''" + code + "'''))"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "[{'b': 2}] (Column(name='b', type='INTEGER'),) False",
        "True",
    ], done.stderr


# --- computing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a + 1 AS a FROM t", [2, 3]),
        ("WITH t AS (SELECT a * 10 AS a FROM t) SELECT a FROM t", [10, 20]),
        ("SELECT t.a FROM t JOIN u USING (a)", [2]),
        ("SELECT x.a FROM t AS x JOIN t AS y ON x.a = y.a + 1", [2]),
        ("SELECT a FROM t UNION ALL SELECT a FROM u", [1, 2, 2, 3]),
        ("SELECT 5 AS a", [5]),
    ],
)
def test_a_query_sees_files_and_rows_in_memory_alike(engine: Pandas, sql: str, expected: list[int]) -> None:
    made: list[PandasFrame] = [of("SELECT unnest([1, 2]) AS a"), held(engine, "SELECT unnest([2, 3]) AS a")]
    for t, u in (made, [held(engine, made[0].query.sql), of("SELECT unnest([2, 3]) AS a")]):
        frame = engine.query(query(sql), {"t": t, "u": u}, ())
        assert sorted(row[0] for row in rows(engine, frame)) == expected
        assert sorted(engine.native(frame)["a"].tolist()) == expected


def test_a_long_chain_is_computed_before_it_is_too_deep(engine: Pandas) -> None:
    made = held(engine, "SELECT 0 AS a")
    for _ in range(3 * DEEPEST):
        made = engine.query(query("WITH t AS (SELECT a + 1 AS a FROM t) SELECT a FROM t"), {"t": made}, ())
        assert made.query.depth < DEEPEST
    assert rows(engine, made) == [(3 * DEEPEST,)]


def test_staged_parts_are_those_duckdb_writes(db: Database, engine: Pandas, tmp_path: Path) -> None:
    sql = "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE i % 3 END AS k, 'x' || i AS s FROM range(1000) r(i)"
    schema = described(db, sql)
    for number, partition_by in enumerate([(), ("k",)]):
        mine = engine.stage(held(engine, sql), schema, str(tmp_path / f"mine{number}"), partition_by)
        theirs = DuckDB(db).stage(DuckFrame(sql), schema, str(tmp_path / f"theirs{number}"), partition_by)
        assert [(part.rows, part.statistics, part.partition) for part in mine.parts] == [
            (part.rows, part.statistics, part.partition) for part in theirs.parts
        ]
        assert sorted(db.rows(scan(mine.location)), key=repr) == sorted(db.rows(sql), key=repr)


def test_two_streams_are_open_at_once_and_queries_go_on_beside_them(db: Database, engine: Pandas) -> None:
    frame = engine.query(
        query("SELECT a FROM t WHERE a >= 0"), {"t": held(engine, "SELECT range AS a FROM range(300000)")}, ()
    )
    one, two = engine.to_arrow(frame), engine.to_arrow(frame)
    first = [one.read_next_batch().num_rows, two.read_next_batch().num_rows]
    assert db.rows("SELECT 1") == [(1,)]
    assert sum(first) + sum(batch.num_rows for reader in (one, two) for batch in reader) == 600_000


def test_threads_hand_frames_to_each_other(engine: Pandas) -> None:
    made: list[PandasFrame] = []

    def work(number: int) -> None:
        frame = engine.from_arrow(pa.table({"a": [number] * 1000}).to_reader())
        made.append(engine.query(query("SELECT sum(a)::BIGINT AS s FROM t"), {"t": frame}, ()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rows(engine, one)[0][0] for one in made) == [number * 1000 for number in range(6)]


def test_a_query_that_runs_can_be_stopped(engine: Pandas) -> None:
    endless = engine.query(
        query("SELECT count(*) AS n FROM t AS x, t AS y, t AS z WHERE hash(x.a + y.a + z.a) = 1"),
        {"t": held(engine, "SELECT range AS a FROM range(20000)")}, (),
    )  # fmt: skip
    raised: list[BaseException] = []

    def work() -> None:
        try:
            engine.native(endless)
        except duckdb.InterruptException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        engine.interrupt()
        thread.join(timeout=0.1)
    assert len(raised) == 1


def test_a_table_is_a_dataframe_by_one_function() -> None:
    table = pa.table({"a": [1, None]})
    assert dataframe(table)["a"].tolist() == [1, pd.NA]
    assert str(dataframe(table)["a"].dtype) == "int64[pyarrow]"
