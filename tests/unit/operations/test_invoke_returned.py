"""What a function may return: every kind of column as the same Arrow rows, and what changed on the way is said."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from odibi.errors import Permanent
from odibi.operations.python import Function
from odibi.operations.returned import batches_of

FUNCTION = Function("steps.code", "f", "/p", "/p/steps/code.py", 3, {}, {}, False, None, {})

NAN = ("NumPy columns were converted, NaN became NULL: x",)
CUT = ("times are kept to the microsecond, nanoseconds were cut off: x",)


def returned(result: Any) -> tuple[pa.Table, tuple[str, ...]]:
    rows, warnings = batches_of(result, FUNCTION)
    return rows.read_all(), warnings


def series(values: Any, dtype: Any = None) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series(values, dtype=dtype)})


DAY = dt.datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("frame", "kind", "values", "warnings"),
    [
        (series([1.5, np.nan]), "double", [1.5, None], NAN),
        (series([1.5, 2.0]), "double", [1.5, 2.0], ()),
        (series([1.5, np.nan], "float32"), "float", [1.5, None], NAN),
        (series([1.5], "float16"), "float", [1.5], ()),
        (series([1.5, None], "Float64"), "double", [1.5, None], ()),
        (series([1, 2]), "int64", [1, 2], ()),
        (series([1, None], "Int64"), "int64", [1, None], ()),
        (series([1], "uint8"), "int16", [1], ()),
        (series([1], "uint16"), "int32", [1], ()),
        (series([2**32 - 1], "uint32"), "int64", [2**32 - 1], ()),
        (series([2**64 - 1], "uint64"), "decimal128(20, 0)", [2**64 - 1], ()),
        (series([2**63, None], "UInt64"), "decimal128(20, 0)", [2**63, None], ()),
        (series([True, False]), "bool", [True, False], ()),
        (series([True, None], "boolean"), "bool", [True, None], ()),
        (series([True, None], object), "bool", [True, None], ()),
        (series([True, np.nan], object), "bool", [True, None], NAN),
        (series(["a", None]), "string", ["a", None], ()),
        (series(["a", None], "str"), "string", ["a", None], ()),
        (series(["a", None], "string"), "string", ["a", None], ()),
        (series(["a", None], object), "string", ["a", None], ()),
        (series(["a", np.nan, None], object), "string", ["a", None, None], NAN),
        (series([1, None, np.nan], object), "int64", [1, None, None], NAN),
        (series([1.5, pd.NA], object), "double", [1.5, None], ()),
        (series([decimal.Decimal("1.10"), None], object), "decimal128(3, 2)", [decimal.Decimal("1.10"), None], ()),
        (series([dt.date(2024, 1, 1), None, pd.NaT], object), "date32[day]", [dt.date(2024, 1, 1), None, None], ()),
        (series([[1, 2], None], object), "list<item: int64>", [[1, 2], None], ()),
        (series([np.array([1.0, np.nan]), None], object), "list<item: double>", [[1.0, None], None], NAN),
        (series([{"a": 1}, None], object), "struct<a: int64>", [{"a": 1}, None], ()),
        (series([b"a", None], object), "binary", [b"a", None], ()),
        (series([None, None], object), "int32", [None, None], ()),
        (series([], object), "int32", [], ()),
        (series([np.nan, np.nan], object), "int32", [None, None], NAN),
        (series(["b", None, "a"], "category"), "string", ["b", None, "a"], ()),
        (series([3, 1, 3]).astype("category"), "int64", [3, 1, 3], ()),
        (series([DAY, None], "datetime64[s]"), "timestamp[us]", [DAY, None], ()),
        (series([DAY, pd.NaT], "datetime64[ns]"), "timestamp[us]", [DAY, None], ()),
        (series([np.datetime64("2024-01-01T00:00:00.000000999")], "datetime64[ns]"), "timestamp[us]", [DAY], CUT),
        # a moment before 1970 is cut to the one before it too, as everywhere
        (series([np.datetime64(-1, "ns")], "datetime64[ns]"), "timestamp[us]", [dt.datetime(1969, 12, 31, 23, 59, 59, 999999)], CUT),
        (series([DAY], "datetime64[ns]")["x"].dt.tz_localize("Europe/Berlin").to_frame(), "timestamp[us, tz=UTC]", [dt.datetime(2023, 12, 31, 23, tzinfo=dt.UTC)], ()),
        (series([1.5, None], pd.ArrowDtype(pa.float64())), "double", [1.5, None], ()),
        (series(["a", None], pd.ArrowDtype(pa.string())), "string", ["a", None], ()),
    ],
)  # fmt: skip
def test_every_kind_of_pandas_column(
    frame: pd.DataFrame, kind: str, values: list[Any], warnings: Any
) -> None:
    table, told = returned(frame)
    assert str(table.schema.field("x").type) == kind
    assert table["x"].to_pylist() == values
    assert told == warnings


def test_nan_of_arrow_stays_a_number() -> None:
    table = duckdb.sql("SELECT unnest([1.5, 'nan'::DOUBLE, NULL]) AS x").to_arrow_table()
    for result in (table, table.to_reader(), table.to_pandas(types_mapper=pd.ArrowDtype)):
        rows, told = returned(result)
        assert math.isnan(rows["x"].to_pylist()[1])
        assert rows["x"].to_pylist()[2] is None
        assert told == ()


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [
        (pa.array(["a"], pa.large_string()), "string", "a"),
        (pa.array(["a"], pa.string_view()), "string", "a"),
        (pa.array([b"a"], pa.large_binary()), "binary", b"a"),
        (pa.array([b"ab"], pa.binary(2)), "binary", b"ab"),
        (pa.array(["a"]).dictionary_encode(), "string", "a"),
        (pa.array([decimal.Decimal("1.20")], pa.decimal256(38, 2)), "decimal128(38, 2)", decimal.Decimal("1.20")),
        (pa.array([decimal.Decimal("1.20")], pa.decimal32(5, 2)), "decimal128(5, 2)", decimal.Decimal("1.20")),
        (pa.array([dt.date(2024, 1, 1)], pa.date64()), "date32[day]", dt.date(2024, 1, 1)),
        (pa.array([[1]], pa.large_list(pa.uint64())), "list<element: decimal128(20, 0)>", [decimal.Decimal(1)]),
        (pa.array([[1]], pa.list_(pa.int32(), 1)), "list<element: int32>", [1]),
        (pa.array([[("k", 1)]], pa.map_(pa.large_string(), pa.uint8())), "map<string, int16>", [("k", 1)]),
        (pa.array([{"a": 1}], pa.struct([("a", pa.uint8())])), "struct<a: int16>", {"a": 1}),
        (pa.array([uuid.UUID(int=1)], pa.uuid()), "extension<arrow.uuid>", uuid.UUID(int=1)),
    ],
)  # fmt: skip
def test_arrow_columns_become_what_every_engine_takes(column: Any, kind: str, value: Any) -> None:
    table = pa.table({"x": column})
    for result in (table, table.to_reader(), table.to_batches()[0]):
        rows, told = returned(result)
        assert str(rows.schema.field("x").type) == kind
        assert rows["x"].to_pylist() == [value]
        assert told == ()


def test_rows_of_a_list_need_not_all_have_every_column() -> None:
    table, _ = returned([{"a": 1}, {"b": "x", "a": None}])
    assert table.to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (series([1, "a"], object), "no column: x (object): Could not convert 'a'"),
        (series([2**70], object), "no column: x (object): Python int too large"),
        (series([1j]), "no column: x (complex128)"),
        (pd.DataFrame({"x": pd.arrays.SparseArray([1.0])}), "no column: x (Sparse[float64, nan])"),
        (pd.DataFrame({"x": pd.period_range("2024", periods=1, freq="M")}), "no column: x: nobody else has the type period[M]"),
        (pd.DataFrame({"x": pd.interval_range(0, 1)}), "no column: x: nobody else has the type interval"),
        (pa.table({"x": pa.array([1]).cast(pa.decimal256(50, 0))}), "no column: x: a decimal of 50 digits, and 38"),
        ([{"x": 1}, {"x": "a"}], "no column: x: Could not convert 'a'"),
        (pd.DataFrame(), "returned a table without columns"),
        (pa.table({"a": [1], "A": [1]}), "two columns called 'A'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns called 'a'"),
        (series([1]).set_index("x"), "with the index x"),
        (series([1])["x"], "returned Series"),
        (None, "returned NoneType"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_at_the_function_s_line(result: Any, said: str) -> None:
    with pytest.raises(Permanent) as refused:
        returned(result)
    assert said in refused.value.message
    assert refused.value.where == "/p/steps/code.py:3"
    assert refused.value.hint


def test_many_columns_are_told_in_few_words() -> None:
    _, (warning,) = returned(pd.DataFrame({f"c{number}": [np.nan] for number in range(20)}))
    assert warning.endswith("c6, c7, ...")
