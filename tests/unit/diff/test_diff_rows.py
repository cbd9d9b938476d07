"""Two versions of a table, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from odibi.datasets.delta import open_table
from odibi.diff.rows import compare_rows
from odibi.engines.database import Database
from odibi.story.tables import ChangedRow, TableDifference

NAN = float("nan")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "scratch") as opened:
        yield opened


def versions(folder: Path, before: pa.Table, now: pa.Table) -> tuple[Any, Any]:
    """A table that held the one, and holds the other now."""
    url = str(folder / "table")
    write_deltalake(url, before)
    write_deltalake(url, now, mode="overwrite", schema_mode="overwrite")
    return open_table(url, 0), open_table(url, 1)


def compared(db: Database, folder: Path, before: Any, now: Any, **options: Any) -> TableDifference:
    return compare_rows(db, *versions(folder, pa.table(before), pa.table(now)), **options)


def test_rows_of_a_key_are_added_removed_and_changed(db: Database, tmp_path: Path) -> None:
    before = {"id": [1, 2, 3, None], "name": ["a", "b", None, "d"], "price": [1.0, NAN, 3.0, 4.0]}
    now = {"id": [2, 3, 4, None], "name": ["b", "c", "d", "d"], "price": [NAN, 3.5, 4.0, 4.0]}
    found = compared(db, tmp_path, before, now, keys=["id"])
    assert (found.added, found.removed, found.changed, found.rows) == (1, 1, 1, (4, 4))
    assert found.some_added.rows == (("4", "d", "4.0"),)
    assert found.some_removed.rows == (("1", "a", "1.0"),)
    assert found.some_changed == (ChangedRow(("3",), (("name", None, "c"), ("price", "3.0", "3.5"))),)
    assert dict(found.by_column) == {"name": 1, "price": 1}
    assert found.said == "1 row added, 1 removed, 1 changed"


def test_several_rows_of_one_key_are_paired_in_the_order_of_their_values(
    db: Database, tmp_path: Path
) -> None:
    before = {"id": [1, 1, 1], "v": ["a", "b", "b"]}
    now = {"id": [1, 1], "v": ["a", "b"]}
    found = compared(db, tmp_path, before, now, keys=["id"])
    assert (found.added, found.removed, found.changed) == (0, 1, 0)
    assert "several rows have one key" in found.notes[0]


def test_columns_that_come_go_or_change_their_type_change_no_row_by_themselves(
    db: Database, tmp_path: Path
) -> None:
    before = pa.table({"id": [1, 2, 3], "n": pa.array(["1", "2", "x"]), "old": [1, 1, 1]})
    now = pa.table(
        {"new": [0, 0, 0], "id": pa.array([1, 2, 3], pa.int32()), "n": pa.array([1, 2, None], pa.int64())}
    )
    found = compared(db, tmp_path, before, now, keys=["id"])
    assert {(c.name, c.kind) for c in found.columns} == {("new", "added"), ("old", "removed"), ("id", "retyped"), ("n", "retyped")}  # fmt: skip
    assert found.some_changed == (ChangedRow(("3",), (("n", "x", None),)),)


def test_without_keys_rows_are_counted_as_often_as_they_are_there(db: Database, tmp_path: Path) -> None:
    nested = [{"a": [1, 2]}, {"a": [1, 2]}, {"a": None}]
    before = {"v": ["a", "a", "b"], "n": nested}
    now = {"v": ["a", "b", "b"], "n": [nested[0], nested[2], nested[2]]}
    found = compared(db, tmp_path, before, now)
    assert (found.added, found.removed, found.changed) == (1, 1, 0)
    assert found.some_added.rows == (("b", "{'a': NULL}"),)
    assert compared(db, tmp_path / "2", {"a": [1, 2]}, {"b": [1]}).removed == 1


def test_what_is_sensitive_is_told_and_not_shown(db: Database, tmp_path: Path) -> None:
    before = {"id": [1, 2], "Email": ["ann@x.eu", "bob@x.eu"], "price": [Decimal("1.50"), Decimal("2")]}
    now = {"id": [1, 3], "Email": ["eve@x.eu", None], "price": [Decimal("1.50"), Decimal("2")]}
    for options in ({"sensitive": ["e*ail"]}, {"hidden": True}):
        place = tmp_path / str(len(options) + len(str(options)))
        found = compared(db, place, before, now, keys=["id"], **options)
        assert "@" not in repr(found)
        assert found.by_column == (("Email", 1),)
        assert found.some_changed[0].values == (("Email", "*****", "*****"),)
        assert found.some_added.rows[0][1] is None
        assert "Email" in found.some_removed.masked
    assert set(found.masked) == {"id", "Email", "price"}


def test_only_files_that_one_version_lacks_are_read(db: Database, tmp_path: Path) -> None:
    url = str(tmp_path / "table")
    write_deltalake(url, pa.table({"day": ["1", "1"], "v": [1, 2]}), partition_by=["day"])
    write_deltalake(url, pa.table({"day": ["2", "2"], "v": [1, 1]}), mode="append")
    old, new = open_table(url, 0), open_table(url, 1)
    (shared,) = DeltaTable(url, version=0).file_uris()
    file = Path(shared.removeprefix("file://"))
    pages = bytearray(file.read_bytes())
    pages[4:24] = bytes(20)  # its rows cannot be read any more, only counted
    file.write_bytes(pages)
    found = compare_rows(db, old, new, most=1)
    assert (found.added, found.removed, found.rows) == (2, 0, (2, 4))
    assert set(found.some_added.rows[0]) == {"1", "2"}


def test_no_rows_are_shown_if_none_are_wanted(db: Database, tmp_path: Path) -> None:
    found = compared(db, tmp_path, {"id": [1]}, {"id": [2]}, keys=["id"], most=0)
    assert (found.added, found.some_added, found.some_changed) == (1, None, ())


def test_structs_with_a_sensitive_field_are_not_shown(db: Database, tmp_path: Path) -> None:
    before = {"id": [1], "person": [{"e_mail": "old@b.c"}], "Email": ["x@b.c"]}
    now = {"id": [1], "person": [{"e_mail": "new@b.c"}], "Email": ["y@b.c"]}
    found = compared(db, tmp_path, before, now, keys=["id"], sensitive=["e*mail"])
    assert found.some_changed[0].values == (("person", "*****", "*****"), ("Email", "*****", "*****"))
    assert found.masked == ("person", "Email")
