"""Functions on Spark's workers: the same rows as on the other engines, and nothing collected to the driver."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from odibi.errors import Permanent
from odibi.operations.answer import Call
from odibi.operations.invoke import call
from odibi.operations.python import Context, inspect
from odibi.run.declared import as_declared
from odibi.run.outcome import error_record
from tests.unit.operations.calls import Bench

pytestmark = pytest.mark.usefixtures("spark_session")

BATCHES = """
from steps.deep.rates import FACTOR

@step(per="batch", schema={"id": "BIGINT", "v": "DOUBLE", "d": "DECIMAL(10,2)", "ts": "TIMESTAMP", "tz": "TIMESTAMPTZ", "l": "INTEGER[]",
    "st": "STRUCT(a INTEGER, b VARCHAR)", "m": "MAP(VARCHAR, INTEGER)", "b": "BLOB", "n": "INTEGER", "day": "DATE", "dtypes": "VARCHAR"})
def f(rows: pd.DataFrame, *, plus, context):
    from steps.deep import late  # found only when it runs
    rows["n"] = rows["n"] * FACTOR + late.ONE + plus
    rows["dtypes"] = f"{context.logical_date} " + " ".join(str(rows[name].dtype) for name in ("id", "v", "d", "ts", "tz", "st", "n"))
    return rows
"""

ROWS = """
    SELECT i AS id, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN 'nan'::DOUBLE ELSE i END AS v, (i / 7)::DECIMAL(10,2) AS d,
      TIMESTAMP '1969-12-31 23:59:59.999999' + to_seconds(i) AS ts, TIMESTAMPTZ '2024-01-01 00:00:00+02' AS tz, [i::INTEGER, NULL] AS l,
      {'a': i::INTEGER, 'b': 'ü'} AS st, MAP {'k': i::INTEGER} AS m, 'ab'::BLOB AS b, CASE WHEN i % 2 = 0 THEN i::INTEGER END AS n, DATE '2024-02-29' AS day
    FROM range(20000) r(i)"""

GROUPS = """
@step(per=["k", "a b"], schema={"k": "DOUBLE", "a b": "VARCHAR", "n": "INTEGER", "total": "DECIMAL(12,2)"})
def f(rows: pd.DataFrame):
    k = rows["k"].iloc[0]
    return pd.DataFrame({"total": [float(rows["v"].sum())], "n": [len(rows)], "a b": [rows["a b"].iloc[0]],
                         "k": pd.array([k if k is pd.NA else abs(k)], dtype=pd.ArrowDtype(pa.float64()))})
"""

KEYED = """
    SELECT CASE i % 6 WHEN 0 THEN NULL WHEN 1 THEN 'nan'::DOUBLE WHEN 2 THEN 0.0 WHEN 3 THEN '-0'::DOUBLE ELSE 1.5 END AS k,
      CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'ä' WHEN 2 THEN 'Ä' ELSE 'a ' END AS "a b", i / 8 AS v
    FROM range(3000) r(i)"""


@pytest.fixture
def project(bench: Bench) -> Bench:
    """Modules that a function imports, in a folder without ``__init__.py``."""
    deep = bench.root / "steps" / "deep"
    deep.mkdir(parents=True)
    (deep / "rates.py").write_text("FACTOR = 1\n")
    (deep / "late.py").write_text("ONE = 1\n\ndef fail():\n    raise KeyError('no such rate')\n")
    return bench


def lazily(bench: Bench, sql: str, **params: Any) -> tuple[Any, Any]:
    """The engine and the frame of a call that nobody has computed yet."""
    from odibi.engines.duckdb import DuckDB, DuckFrame

    function = inspect("steps.code:f", [bench.root])
    engine = bench.engine("spark")
    schema = bench.db.columns(DuckDB(bench.db).to_arrow(DuckFrame(sql)).schema)
    frame = engine.from_arrow(DuckDB(bench.db).to_arrow(DuckFrame(sql)))
    asked = Call(function, params, Context("run", "2026-01-05", "out", {}), as_declared)
    given = {next(iter(function.inputs)): (frame, schema)}
    returned, warnings = call(engine, asked, given, Path("nowhere"))
    assert isinstance(returned, tuple)
    assert not warnings
    assert returned[1] == function.schema
    return engine, returned[0]


def rows(bench: Bench, sql: str, **params: Any) -> list[tuple[Any, ...]]:
    engine, frame = lazily(bench, sql, **params)
    table = engine.to_arrow(frame).read_all()
    engine.close()
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=repr)


@pytest.mark.parametrize(("code", "sql", "params"), [(BATCHES, ROWS, {"plus": 2}), (GROUPS, KEYED, {})])
def test_the_workers_answer_as_the_other_engines_do(
    project: Bench, code: str, sql: str, params: dict[str, Any]
) -> None:
    project.write(code)
    expected = project.rows(sql, **params)
    assert len(expected) in (20_000, 12)
    assert repr(project.rows(sql, engine="pandas", **params)) == repr(expected)
    assert repr(rows(project, sql, **params)) == repr(expected)


def test_changed_modules_are_those_that_run(project: Bench) -> None:
    project.write(BATCHES)
    assert max(row[9] for row in rows(project, ROWS, plus=0) if row[9] is not None) == 19_999
    (project.root / "steps" / "deep" / "late.py").write_text("ONE = 1000\n")
    assert max(row[9] for row in rows(project, ROWS, plus=0) if row[9] is not None) == 20_998


def test_the_workers_need_not_see_the_project(project: Bench) -> None:
    project.write(GROUPS)
    engine, frame = lazily(project, KEYED)
    shutil.move(project.root / "steps", project.root / "elsewhere")
    assert engine.to_arrow(frame).read_all().num_rows == 12
    engine.close()


def test_no_rows_are_no_call(project: Bench) -> None:
    for code, sql in ((BATCHES, ROWS), (GROUPS, KEYED)):
        project.write(code.replace("):\n", "):\n    raise RuntimeError\n", 1))
        assert (
            rows(project, f"SELECT * FROM ({sql}) WHERE false", **({"plus": 0} if code == BATCHES else {}))
            == []
        )


@pytest.mark.parametrize(
    ("body", "kind", "said", "line"),
    [
        ("from steps.deep import late; late.fail()", "KeyError", "'no such rate'", "steps/deep/late.py:4"),
        ("return [{'x': 2**40}]", "Permanent", "f() declares x INTEGER and returned 1099511627776", "steps/code.py:7"),
        ("return 3", "Permanent", "f() returned int", "steps/code.py:7"),
        ("raise ValueError('first\\nsecond')", "ValueError", "first\nsecond", "steps/code.py:8"),
        ("raise RuntimeError", "RuntimeError", "RuntimeError", "steps/code.py:8"),
    ],
)  # fmt: skip
def test_errors_tell_their_kind_and_their_line(
    project: Bench, body: str, kind: str, said: str, line: str
) -> None:
    project.write(
        f"@step(per='batch', schema={{'x': 'INTEGER'}})\ndef f(rows: pa.Table):\n    {body!s}\n".replace(
            "\nsecond", "\\nsecond"
        )
    )
    engine, frame = lazily(project, "SELECT 1 AS x")
    with pytest.raises(Exception, match="Python worker") as raised:
        engine.to_arrow(frame)
    files = tuple(file for file, _ in inspect("steps.code:f", [project.root]).modules.values())
    record = error_record(raised.value, files)
    assert (record.kind, record.message.split(" (")[0]) == (kind, said)
    assert record.where.endswith(line)
    engine.close()


def test_a_group_by_what_is_no_column_is_refused(project: Bench) -> None:
    project.write(GROUPS.replace('per=["k", "a b"]', 'per=["kk"]'))
    with pytest.raises(Permanent, match="called per 'kk', which is no column"):
        lazily(project, KEYED)


def test_a_function_without_per_is_given_all_rows_on_the_driver(project: Bench) -> None:
    project.write("import os\n\ndef f(rows: pd.DataFrame):\n    return rows.assign(pid=os.getpid())\n")
    table, _ = project.call("SELECT i, 'x' AS s FROM range(10) r(i)", engine="spark")
    assert table.num_rows == 10
    assert len(set(table["pid"].to_pylist())) == 1


def test_an_unannotated_function_is_given_spark_s_own_dataframe(project: Bench) -> None:
    project.write(
        "from pyspark.sql import DataFrame\n\ndef f(rows: DataFrame):\n    return rows.filter('i > 7')\n"
    )
    engine, frame = lazily_native(project, "SELECT i, 'x' AS s FROM range(10) r(i)")
    assert sorted(engine.to_arrow(frame).read_all()["i"].to_pylist()) == [8, 9]
    engine.close()


def lazily_native(bench: Bench, sql: str) -> tuple[Any, Any]:
    """As :func:`lazily`, for a function that declares no schema."""
    from odibi.engines.duckdb import DuckDB, DuckFrame

    function = inspect("steps.code:f", [bench.root])
    engine = bench.engine("spark")
    frame = engine.from_arrow(DuckDB(bench.db).to_arrow(DuckFrame(sql)))
    asked = Call(function, {}, Context("run", "2026-01-05", "out", {}), as_declared)
    returned, _ = call(engine, asked, {"rows": (frame, ())}, Path("nowhere"))
    assert isinstance(returned, tuple)
    return engine, returned[0]
