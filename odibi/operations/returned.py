"""What a user function returned, as Arrow rows of types that every engine takes.

NumPy columns are converted once, NaN to NULL; what that changed is told as warnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from odibi.errors import Permanent
from odibi.operations.python import Function

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["batches_of", "refuse_twins"]

ROWS_PER_BATCH = 1_000_000
"""A batch of so few rows has less than 2 GiB of any usual text, which is what Arrow's plain type holds."""


def batches_of(result: Any, function: Function) -> tuple[pa.RecordBatchReader, tuple[str, ...]]:
    """The rows a function returned, and what the story should warn about.

    Raises:
        Permanent: it returned something that is no table, or a value that no column can hold.
    """
    import pyarrow as pa

    warnings: list[str] = []
    if isinstance(result, list) and all(isinstance(row, Mapping) for row in result):
        result = _from_rows(result, function)
    kind = type(result)
    if kind.__module__.split(".")[0] == "pandas" and kind.__name__ == "DataFrame":
        result = _from_pandas(result, function, warnings)
    if hasattr(result, "to_arrow_reader"):
        result = result.to_arrow_reader()
    elif isinstance(result, pa.RecordBatch):
        result = pa.Table.from_batches([result])
    elif hasattr(result, "__arrow_c_stream__") and kind.__name__ not in ("Series", "ChunkedArray"):
        if not isinstance(result, pa.Table | pa.RecordBatchReader):
            result = pa.RecordBatchReader.from_stream(result)
    else:
        raise _refused(
            function,
            f"returned {kind.__name__}",
            "return a pandas DataFrame, a list of dicts, a pyarrow Table or batches, or the engine's own table",
        )
    if not result.schema.names:
        raise _refused(function, "returned a table without columns", "return at least one column")
    refuse_twins(result.schema.names, function)
    return _stored(result, function, warnings), tuple(warnings)


def _from_rows(rows: list[Mapping[str, Any]], function: Function) -> pa.Table:
    """Rows that need not all have every column."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    if not rows and function.schema:
        names = [column.name for column in function.schema]
    elif not names:
        raise _refused(
            function,
            "returned rows without columns",
            f"declare them: @step({function.name!r}, schema={{...}})",
        )
    columns = []
    for name in names:
        try:
            columns.append(pa.array([row.get(name) for row in rows]))
        except (TypeError, ValueError, OverflowError, pa.ArrowNotImplementedError) as error:
            raise _no_column(function, str(name), error) from error
    return pa.Table.from_arrays(columns, names=[str(name) for name in names])


def _from_pandas(result: pd.DataFrame, function: Function, warnings: list[str]) -> pa.Table:
    import pyarrow as pa

    names = [str(name) for name in result.columns]
    refuse_twins(names, function)
    index = [str(name) for name in result.index.names if name is not None]
    if index or result.index.nlevels > 1:
        raise _refused(
            function,
            f"returned a DataFrame with the index {', '.join(index) or 'of several levels'}, and a table has none",
            "end with reset_index() to keep it, or reset_index(drop=True)",
        )
    columns, missing = [], []
    for name, (_, values) in zip(names, result.items(), strict=True):
        try:
            column = pa.array(values)
        except (TypeError, ValueError, OverflowError, pa.ArrowNotImplementedError) as error:
            raise _no_column(function, f"{name} ({values.dtype})", error) from error
        if isinstance(column.type, pa.ExtensionType) and column.type.extension_name.startswith("pandas."):
            raise _no_column(function, name, f"nobody else has the type {values.dtype}")
        if (column.null_count or pa.types.is_nested(column.type)) and _has_nan(values):
            missing.append(name)
        columns.append(column)
    if missing:
        warnings.append(f"NumPy columns were converted, NaN became NULL: {_shown(missing)}")
    return pa.Table.from_arrays(columns, names=names)


def _has_nan(values: pd.Series[Any]) -> bool:
    """Whether some of what is missing in a NumPy column is NaN, a number."""
    import numpy as np

    if not isinstance(values.dtype, np.dtype):
        return False
    return any(map(_is_nan, values)) if values.dtype.kind == "O" else values.dtype.kind == "f"


def _is_nan(value: Any) -> bool:
    """Whether it is NaN, or a list or mapping that holds it."""
    import numpy as np

    if isinstance(value, float):
        return isnan(value)
    if isinstance(value, Mapping):
        return any(map(_is_nan, value.values()))
    return isinstance(value, list | tuple | np.ndarray) and any(map(_is_nan, value))


# --- types that every engine takes -----------------------------------------------------------------


def _stored(
    rows: pa.Table | pa.RecordBatchReader, function: Function, warnings: list[str]
) -> pa.RecordBatchReader:
    """The rows with each column cast to the type its values would have in a Delta table."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = [_plain(field.type) for field in rows.schema]
    for name, kind in zip(rows.schema.names, types, strict=True):
        if pa.types.is_decimal(kind) and kind.precision > 38:
            raise _no_column(function, name, f"a decimal of {kind.precision} digits, and 38 can be stored")
    schema = pa.schema([(name, kind) for name, kind in zip(rows.schema.names, types, strict=True)])
    if isinstance(rows, pa.Table):
        cut = [
            name
            for name, column, kind in zip(rows.schema.names, rows.columns, types, strict=True)
            if pa.types.is_timestamp(column.type)
            and column.type.unit == "ns"
            and pc.any(pc.not_equal(pc.nanosecond(column), pa.scalar(0))).as_py()
        ]
        if cut:
            warnings.append(f"times are kept to the microsecond, nanoseconds were cut off: {_shown(cut)}")
        rows = rows.to_reader(max_chunksize=ROWS_PER_BATCH)
    if all(kind == field.type for kind, field in zip(types, rows.schema, strict=True)):
        return rows

    def cast() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            yield pa.RecordBatch.from_arrays(
                [_cast(column, kind, function, name) for name, column, kind in zip(schema.names, batch.columns, types, strict=True)],
                schema=schema,
            )  # fmt: skip

    return pa.RecordBatchReader.from_batches(schema, cast())


def _cast(column: Any, kind: pa.DataType, function: Function, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == kind:
        return column
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = pc.floor_temporal(column, unit="microsecond")
    try:
        return column.cast(kind, safe=not pa.types.is_nested(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _no_column(function, name, error) from error


def _plain(kind: pa.DataType) -> pa.DataType:
    """The Arrow type that all engines take for values of a type; itself where they do, or where none does."""
    import pyarrow as pa

    test = pa.types
    if test.is_dictionary(kind):
        return _plain(kind.value_type)
    if test.is_large_string(kind) or test.is_string_view(kind):
        return pa.string()
    if test.is_large_binary(kind) or test.is_binary_view(kind) or test.is_fixed_size_binary(kind):
        return pa.binary()
    if test.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if test.is_decimal(kind) and not test.is_decimal128(kind) and kind.precision <= 38:
        return pa.decimal128(kind.precision, kind.scale)
    if test.is_large_list(kind) or test.is_fixed_size_list(kind) or test.is_list(kind):
        return pa.list_(pa.field("element", _plain(kind.value_type)))
    if test.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if test.is_struct(kind):
        return pa.struct([(field.name, _plain(field.type)) for field in kind])
    plain: dict[pa.DataType, pa.DataType] = {
        pa.uint8(): pa.int16(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.uint64(): pa.decimal128(20, 0),
        pa.float16(): pa.float32(),
        pa.date64(): pa.date32(),
        pa.null(): pa.int32(),
    }
    return plain.get(kind, kind)


# --- refusals ----------------------------------------------------------------------------------------


def refuse_twins(names: list[str], function: Function) -> None:
    """Raise Permanent where two columns have one name, upper and lower case being the same."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise _refused(
                function, f"returned two columns called {name!r}", "upper and lower case are the same"
            )
        seen.add(name.lower())


def _no_column(function: Function, name: str, why: object) -> Permanent:
    text = str(why).splitlines()[0][:200]
    hint = "give the column one type that a table can have, for example with astype"
    return _refused(function, f"returned values that are no column: {name}: {text}", hint)


def _refused(function: Function, what: str, hint: str) -> Permanent:
    return Permanent(f"{function.name}() {what}", where=function.place, hint=hint)


def _shown(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
