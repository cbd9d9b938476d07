"""Excel sheets: the first row is the header, types come from the cells."""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import fsspec
import openpyxl
import pytest

from odibi.datasets.excel import read_excel
from odibi.datasets.source import ReadOptions, Source, look, read
from odibi.errors import SourceError
from odibi.relational.schema import schema_of
from tests.unit.datasets.lake import Lake


def book(path: Path, **sheets: list[list[Any]]) -> str:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.worksheets[0])
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    workbook.save(path)
    return str(path)


HEADER = ["n", "f", "s", "d", "t", "b", "empty"]
ROWS: list[list[Any]] = [
    [1, 1.5, "ü", date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5), True, None],
    [-3, 2, "", date(1999, 12, 31), datetime(2024, 1, 1, 12, 0), False, None],
    [None, None, None, None, None, None, None],
    [2**40, None, "01", None, None, None, None],
]


def test_cells_have_their_types(tmp_path: Path) -> None:
    table, schema = read_excel([book(tmp_path / "x.xlsx", first=[HEADER, *ROWS], other=[["a"], [1]])])
    assert schema == schema_of({"n": "BIGINT", "f": "DOUBLE", "s": "VARCHAR", "d": "DATE", "t": "TIMESTAMP", "b": "BOOLEAN", "empty": "VARCHAR"})  # fmt: skip
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (1, 1.5, "ü", date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5), True, None),
        (-3, 2.0, None, date(1999, 12, 31), datetime(2024, 1, 1, 12, 0), False, None),
        (2**40, None, "01", None, None, None, None),
    ]


@pytest.mark.parametrize("sheet", ["second", 1])
def test_a_sheet_is_chosen_by_name_or_number(tmp_path: Path, sheet: str | int) -> None:
    path = book(tmp_path / "x.xlsx", first=[["a"], [1]], second=[["b"], ["x"]])
    table, schema = read_excel([path], sheet)
    assert schema == schema_of({"b": "VARCHAR"})
    assert table.to_pylist() == [{"b": "x"}]


def test_several_files_are_one_table(tmp_path: Path, at: Lake) -> None:
    for number in (1, 2):
        book(at.folder / f"{number}.xlsx", s=[["a", "b"], [number, 0.5 * number]])
    source = Source.of("*.xlsx", str(at.folder), ReadOptions())
    seen = look(at.db, source)
    assert seen is not None
    assert seen.schema == schema_of({"a": "BIGINT", "b": "DOUBLE"})
    assert sorted(at.db.rows(read(at.engine, source, seen)[0].sql)) == [(1, 0.5), (2, 1.0)]
    book(at.folder / "3.xlsx", s=[["a", "c"], [3, 1]])
    seen = look(at.db, source)
    assert seen is not None
    with pytest.raises(SourceError, match=r"3.xlsx:1: the header differs"):
        read(at.engine, source, seen)


def test_a_sheet_on_another_file_system_is_read(tmp_path: Path) -> None:
    path = book(tmp_path / "x.xlsx", s=[["a"], [7]])
    fsspec.filesystem("memory").pipe("/excel/x.xlsx", Path(path).read_bytes())
    assert read_excel(["memory://excel/x.xlsx"])[0].to_pylist() == [{"a": 7}]


@pytest.mark.parametrize(
    ("rows", "sheet", "where", "message"),
    [
        ([["a"], [1], ["x"], [2]], None, ":3", "column 'a' mixes int and str"),
        ([["a"], [1], [True]], None, ":3", "column 'a' mixes int and bool"),
        ([["a", "b"], [1, date(2024, 1, 1)], [2, "soon"]], None, ":3", "column 'b' mixes date and str"),
        ([["a", "a"], [1, 2]], None, ":1", "must name every column, each once"),
        ([["a", "A"], [1, 2]], None, ":1", "must name every column, each once"),
        ([["a", None], [1, 2]], None, ":1", "must name every column, each once"),
        ([[None], [None]], None, "", "is empty"),
        ([["a"], [1]], "nope", "", "there is no sheet 'nope'; there are s"),
        ([["a"], [1]], 3, "", "there is no sheet 3; there are s"),
        ([["a"], [1]], -1, "", "there is no sheet -1; there are s"),
    ],
)
def test_a_sheet_that_is_wrong_is_named_with_its_row(
    tmp_path: Path, rows: list[list[Any]], sheet: Any, where: str, message: str
) -> None:
    path = book(tmp_path / "x.xlsx", s=rows)
    with pytest.raises(SourceError) as caught:
        read_excel([path], sheet)
    assert message in caught.value.message
    assert caught.value.where == path + where


def test_what_is_no_workbook_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_bytes(b"hello")
    for path in (tmp_path / "x.xlsx", tmp_path / "gone.xlsx"):
        with pytest.raises(SourceError, match="not a readable workbook"):
            read_excel([str(path)])


def test_rows_below_empty_ones_keep_their_number_and_times_are_text(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    for place, value in {
        "B3": "when",
        "C3": 2024,
        "B5": time(10, 30),
        "C5": 1,
        "B7": time(11, 0),
        "C7": "x",
    }.items():
        sheet[place] = value
    workbook.save(tmp_path / "x.xlsx")
    with pytest.raises(SourceError, match=r"x.xlsx:7: column '2024' mixes int and str"):
        read_excel([str(tmp_path / "x.xlsx")])
    sheet["C7"] = 2.5
    workbook.save(tmp_path / "x.xlsx")
    table, schema = read_excel([str(tmp_path / "x.xlsx")])
    assert schema == schema_of({"when": "VARCHAR", "2024": "DOUBLE"})
    assert table.to_pylist() == [{"when": "10:30:00", "2024": 1.0}, {"when": "11:00:00", "2024": 2.5}]


def test_dates_and_times_in_one_column_are_timestamps_and_large_numbers_are_doubles(tmp_path: Path) -> None:
    rows = [["t", "x"], [date(2024, 1, 1), 1e300], [datetime(2024, 1, 1, 10, 0), 1]]
    table, schema = read_excel([book(tmp_path / "x.xlsx", s=rows)])
    assert schema == schema_of({"t": "TIMESTAMP", "x": "DOUBLE"})
    assert table.to_pylist() == [
        {"t": datetime(2024, 1, 1), "x": 1e300},
        {"t": datetime(2024, 1, 1, 10, 0), "x": 1.0},
    ]
