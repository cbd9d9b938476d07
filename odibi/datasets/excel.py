"""Excel sheets as Arrow tables: the first row is the header, types come from the cells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from odibi.errors import SourceError
from odibi.relational.schema import Column, Schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_excel"]

_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool,), "BOOLEAN"),
    ((int,), "BIGINT"),
    ((int, float), "DOUBLE"),
    ((datetime,), "TIMESTAMP"),
    ((date,), "DATE"),
    ((date, datetime), "TIMESTAMP"),
    ((str,), "VARCHAR"),
)


def read_excel(paths: Sequence[str], sheet: str | int | None = None) -> tuple[pa.Table, Schema]:
    """All rows of a sheet of every file, and their columns.

    Args:
        paths: local files with the same header.
        sheet: a sheet's name or 0-based number; the first if None.

    Raises:
        SourceError: no such sheet, headers that differ, a column with mixed types.
    """
    import pyarrow as pa

    header: list[str] = []
    rows: list[list[Any]] = []
    for path in paths:
        found, body = _sheet(path, sheet)
        if header and found != header:
            raise SourceError(f"the header differs from that of {paths[0]}", where=f"{path}:1")
        header = found
        rows.extend(body)
    columns, arrays = [], []
    for index, name in enumerate(header):
        values = [_value(row[index]) for row in rows]
        kind = _kind(values, name, paths[0])
        columns.append(Column(name, kind))
        arrays.append(pa.array(values, _arrow(kind)))
    return pa.Table.from_arrays(arrays, names=header), tuple(columns)


def _sheet(path: str, sheet: str | int | None) -> tuple[list[str], list[list[Any]]]:
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(path)
    except (python_calamine.CalamineError, OSError) as error:
        raise SourceError(f"not a readable workbook: {error}", where=path) from error
    names = book.sheet_names
    wanted = names[0] if sheet is None else names[sheet] if isinstance(sheet, int) and sheet < len(names) else sheet
    if wanted not in names:
        raise SourceError(f"there is no sheet {sheet!r}; there are {', '.join(names)}", where=path)
    rows = book.get_sheet_by_name(str(wanted)).to_python(skip_empty_area=True)
    if not rows:
        raise SourceError(f"sheet {wanted!r} is empty", where=path)
    header = [str(cell).strip() for cell in rows[0]]
    if "" in header or len(set(header)) < len(header):
        raise SourceError("the first row must name every column, each once", where=f"{path}:1")
    return header, [row for row in rows[1:] if any(cell != "" for cell in row)]


def _value(cell: Any) -> Any:
    if cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)  # Excel knows no integers
    if isinstance(cell, time | timedelta):
        return str(cell)
    return cell


def _kind(values: Sequence[Any], name: str, path: str) -> str:
    types = {type(value) for value in values if value is not None}
    for known, kind in _KINDS:
        if types <= set(known):
            return kind
    raise SourceError(
        f"column {name!r} mixes {', '.join(sorted(t.__name__ for t in types))}", where=path,
        hint="make the cells of the column one type",
    )


def _arrow(kind: str) -> pa.DataType:
    import pyarrow as pa

    return {
        "BOOLEAN": pa.bool_(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "TIMESTAMP": pa.timestamp("us"),
        "DATE": pa.date32(),
        "VARCHAR": pa.string(),
    }[kind]
