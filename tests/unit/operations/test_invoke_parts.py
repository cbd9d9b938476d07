"""Functions called per batch and per group: the same rows on each engine, in the columns that were declared."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from odibi.errors import Permanent
from odibi.operations.process import Workers
from tests.unit.operations.calls import Bench

ENGINES = ["duckdb", "pandas"]

COUNT = """
@step(per=["k"], schema={"k": "VARCHAR", "n": "INTEGER", "total": "BIGINT"})
def f(rows: pd.DataFrame):
    return pd.DataFrame({"k": [rows["k"].iloc[0]], "n": [len(rows)], "total": [int(rows["v"].sum())]})
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_group_is_all_rows_equal_in_its_columns(bench: Bench, engine: str) -> None:
    bench.write(COUNT)
    sql = "SELECT CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'a' WHEN 2 THEN 'ä' ELSE 'A' END AS k, i AS v FROM range(300000) r(i)"
    expected = bench.db.rows(f"SELECT k, count(*)::INTEGER, sum(v)::BIGINT FROM ({sql}) GROUP BY k")
    assert bench.rows(sql, engine=engine) == sorted(
        ((k, n, int(total)) for k, n, total in expected), key=repr
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_nan_is_one_group_and_so_are_both_zeros(bench: Bench, engine: str) -> None:
    bench.write(
        """
        @step(per=["k", "a b"], schema={"k": "DOUBLE", "a b": "INTEGER", "n": "INTEGER"})
        def f(rows: pa.Table):
            return pa.table({"k": [abs(rows["k"][0].as_py()) if rows["k"][0].as_py() is not None else None],
                             "a b": [rows["a b"][0].as_py()], "n": [rows.num_rows]})
        """
    )
    sql = """SELECT k, b AS "a b" FROM (SELECT unnest(['nan', '-nan', 'nan', '0', '-0', '1.5', NULL, NULL])::DOUBLE AS k), (SELECT unnest([1, NULL]) AS b)"""
    found = bench.rows(sql, engine=engine)
    assert [(k, b, n) for k, b, n in found if k is not None and not math.isnan(k)] == [
        (0.0, 1, 2), (0.0, None, 2), (1.5, 1, 1), (1.5, None, 1),
    ]  # fmt: skip
    assert sorted(n for k, _, n in found if k is not None and math.isnan(k)) == [3, 3]
    assert sorted(n for k, _, n in found if k is None) == [2, 2]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("annotation", ["pd.DataFrame", "pa.Table"])
def test_batches_together_are_all_rows(bench: Bench, engine: str, annotation: str) -> None:
    bench.write(
        f"""
        @step(per="batch", schema={{"i": "BIGINT", "rows": "INTEGER", "dtype": "VARCHAR"}})
        def f(rows: {annotation}):
            if isinstance(rows, pd.DataFrame):
                return rows.assign(rows=len(rows), dtype=str(rows["i"].dtype))
            return rows.append_column("rows", [[len(rows)] * len(rows)]).append_column("dtype", [[str(rows["i"].type)] * len(rows)])
        """
    )
    found = bench.rows("SELECT CASE WHEN i % 7 > 0 THEN i END AS i FROM range(200000) r(i)", engine=engine)
    assert sorted(i for i, *_ in found if i is not None) == [i for i in range(200000) if i % 7]
    assert max(rows for _, rows, _ in found) < 200_000
    assert {dtype.removesuffix("[pyarrow]") for *_, dtype in found} == {"int64"}  # with NULL and without


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("per", ["'batch'", "['i']"])
def test_it_is_never_called_for_no_rows(bench: Bench, engine: str, per: str) -> None:
    bench.write(
        f"@step(per={per}, schema={{'x': 'DATE'}})\ndef f(rows: pd.DataFrame):\n    raise RuntimeError\n"
    )
    table, warnings = bench.call("SELECT 1 AS i WHERE false", engine=engine)
    assert table.num_rows == 0
    assert str(table.schema) == "x: date32[day]"
    assert warnings == []


@pytest.mark.parametrize("engine", ENGINES)
def test_parts_fit_together_however_their_values_look(bench: Bench, engine: str) -> None:
    bench.write(
        """
        @step(per=["k"], schema={"x": "DECIMAL(10,2)", "s": "VARCHAR", "l": "INTEGER[]", "t": "TIMESTAMP"})
        def f(rows: pd.DataFrame):
            k = int(rows["k"].iloc[0])
            frames = [
                {"x": [1.115], "s": [None], "l": [[1]], "t": [np.datetime64("2024-01-01", "s")]},
                {"x": [None], "s": ["a"], "l": [None], "t": [None]},
                {"x": [3], "t": [np.datetime64("2024-01-01", "ns")], "l": [[None, 2]], "s": pd.Categorical(["c"])},
            ]
            return pd.DataFrame(frames[k])
        """
    )
    found = bench.rows("SELECT unnest([0, 1, 2]) AS k", engine=engine)
    assert [(x, s, l_) for x, s, l_, _ in found] == [
        (Decimal("1.12"), None, [1]), (Decimal("3.00"), "c", [None, 2]), (None, "a", None),
    ]  # fmt: skip


def test_what_is_warned_of_is_told_once(bench: Bench) -> None:
    bench.write(
        "@step(per=['k'], schema={'x': 'DOUBLE'})\ndef f(rows: pd.DataFrame):\n    return pd.DataFrame({'x': [np.nan]})\n"
    )
    assert bench.call("SELECT unnest([0, 1, 2]) AS k")[1] == [
        "NumPy columns were converted, NaN became NULL: x"
    ]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("returns", "kind", "said"),
    [
        ("{'x': [2**40]}", Permanent, "declares x INTEGER and returned 1099511627776"),
        ("{'x': [1.5]}", Permanent, "declares x INTEGER and returned 1.5"),
        ("{'y': [1]}", Permanent, "declares the column 'x' and did not return it"),
        ("{'x': [1], 'y': [1]}", Permanent, "returned the column 'y', which it does not declare"),
        ("1 / 0", ZeroDivisionError, "division by zero"),
    ],
)
def test_what_does_not_fit_fails_in_the_call(
    bench: Bench, engine: str, returns: str, kind: type[Exception], said: str
) -> None:
    bench.write(
        f"@step(per='batch', schema={{'x': 'INTEGER'}})\ndef f(rows: pa.Table):\n    return pa.table({returns})\n"
    )
    with pytest.raises(kind, match=said.replace("(", "\\(")):
        bench.call("SELECT 1 AS i", engine=engine)


def test_params_are_new_for_every_part(bench: Bench) -> None:
    bench.write(
        """
        @step(per=["k"], schema={"n": "INTEGER"})
        def f(rows: pa.Table, *, seen, context):
            seen.append(context.logical_date)
            return pa.table({"n": [len(seen)]})
        """
    )
    assert bench.rows("SELECT unnest([0, 1, 2]) AS k", seen=[]) == [(1,), (1,), (1,)]


def test_a_group_by_what_is_no_column_is_refused(bench: Bench) -> None:
    bench.write(COUNT.replace('["k"]', '["kk"]'))
    with pytest.raises(Permanent, match="called per 'kk', which is no column") as refused:
        bench.call("SELECT 'a' AS k, 1 AS v")
    assert refused.value.hint == "did you mean 'k'?"


def test_in_processes_the_same(bench: Bench) -> None:
    bench.write(COUNT)
    sql = "SELECT CASE i % 3 WHEN 0 THEN NULL ELSE 'k' || i % 3 END AS k, i AS v FROM range(1000) r(i)"
    workers = Workers()
    try:
        assert bench.rows(sql, workers=workers) == bench.rows(sql)
    finally:
        workers.close()
