"""Excel sheets as Arrow tables: the first row is the header, types come from the cells."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from odibi.errors import SourceError
from odibi.places import opened
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
        paths: files or URLs with the same header.
        sheet: a sheet's name or 0-based number; the first if None.

    Raises:
        SourceError: no such sheet, headers that differ, a column with mixed types.
    """
    import pyarrow as pa

    header: list[str] = []
    rows: list[tuple[str, list[Any]]] = []
    for path in paths:
        found, body = _sheet(path, sheet)
        if header and found != header:
            raise SourceError(f"the header differs from that of {paths[0]}", where=f"{path}:1")
        header = found
        rows.extend(body)
    columns, arrays = [], []
    for index, name in enumerate(header):
        values = [_value(row[index]) for _, row in rows]
        kind = _kind(values, name, [where for where, _ in rows])
        columns.append(Column(name, kind))
        if kind == "TIMESTAMP":  # a column may have days among its instants
            values = [datetime(v.year, v.month, v.day) if type(v) is date else v for v in values]  # noqa: DTZ001
        arrays.append(pa.array(values, _arrow(kind)))
    return pa.Table.from_arrays(arrays, names=header), tuple(columns)


def _sheet(path: str, sheet: str | int | None) -> tuple[list[str], list[tuple[str, list[Any]]]]:
    """The header, and each row that is not empty with its place."""
    import python_calamine

    try:
        with opened(path) as stream:
            book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(stream.read()))
    except (python_calamine.CalamineError, OSError) as error:
        raise SourceError(f"not a readable workbook: {error}", where=path) from error
    names = book.sheet_names
    wanted = 0 if sheet is None else sheet
    if isinstance(wanted, int):
        wanted = names[wanted] if 0 <= wanted < len(names) else str(wanted)
    if wanted not in names:
        raise SourceError(f"there is no sheet {sheet!r}; there are {', '.join(names)}", where=path)
    found = book.get_sheet_by_name(wanted)
    cells = found.to_python(skip_empty_area=True)
    if not cells:
        raise SourceError(f"sheet {wanted!r} is empty", where=path)
    first = found.start[0] + 1 if found.start else 1
    header = [str(_value(cell) or "").strip() for cell in cells[0]]
    if "" in header or len({name.lower() for name in header}) < len(header):
        raise SourceError("the first row must name every column, each once", where=f"{path}:{first}")
    rows = enumerate(cells[1:], first + 1)
    return header, [(f"{path}:{number}", row) for number, row in rows if any(cell != "" for cell in row)]


def _value(cell: Any) -> Any:
    if cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) <= 2**53:
        return int(cell)  # Excel knows no integers
    if isinstance(cell, time | timedelta):
        return str(cell)
    return cell


def _kind(values: Sequence[Any], name: str, places: Sequence[str]) -> str:
    types: dict[type, str] = {}  # each with the row it comes first in
    for value, place in zip(values, places, strict=True):
        if value is not None:
            types.setdefault(type(value), place)
    for known, kind in _KINDS:
        if types and set(types) <= set(known):
            return kind
    if not types:
        return "VARCHAR"
    first, *rest = types
    other = next(kind for kind in rest if not any({first, kind} <= set(known) for known, _ in _KINDS))
    raise SourceError(
        f"column {name!r} mixes {first.__name__} and {other.__name__}",
        where=types[other],
        hint="make the cells of the column one type",
    )


def _arrow(kind: str) -> pa.DataType:
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {
        "BOOLEAN": pa.bool_(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "TIMESTAMP": pa.timestamp("us"),
        "DATE": pa.date32(),
        "VARCHAR": pa.string(),
    }
    return kinds[kind]
