"""Which rows of a table are new, told by its log alone: also across compaction, vacuum and a log that was cleaned."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from odibi.datasets import arrivals as module
from odibi.datasets.arrivals import Arrivals, Taken, arrivals
from odibi.datasets.delta import Table, open_table
from odibi.errors import Permanent


def put(url: Path, *ids: int, day: str = "a", mode: str = "append") -> None:
    """A commit with one file."""
    rows = pa.table({"id": pa.array(ids, pa.int64()), "day": [day] * len(ids)})
    write_deltalake(str(url), rows, mode=mode, partition_by=["day"])  # type: ignore[call-overload]


def swap(url: Path, day: str, *ids: int) -> None:
    """A commit that replaces a day."""
    rows = pa.table({"id": pa.array(ids, pa.int64()), "day": [day] * len(ids)})
    write_deltalake(str(url), rows, mode="overwrite", predicate=f"day = '{day}'")


def table(url: Path) -> Table:
    found = open_table(str(url))
    assert found is not None
    return found


def ids(found: Arrivals) -> list[int]:
    return sorted(
        row[0]
        for file in found.files
        for row in duckdb.sql(f"SELECT id FROM read_parquet('{file}')").fetchall()
    )


def take(url: Path, taken: Taken | None, date: str, *, keyed: bool = False) -> Arrivals:
    """What is read for the date; its state goes through JSON, as in a commit's note."""
    found = arrivals(table(url), taken, date, keyed=keyed)
    return Arrivals(found.files, Taken.of(found.taken.note()), found.version, found.commits)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "t"


def test_each_date_reads_what_nobody_has_and_its_own_again(lake: Path) -> None:
    put(lake, 1)
    put(lake, 2)
    first = take(lake, None, "d1")
    put(lake, 3)
    second = take(lake, first.taken, "d2")
    put(lake, 4)
    again = take(lake, second.taken, "d1")
    assert (ids(first), ids(second), ids(again)) == ([1, 2], [3], [1, 2, 4])
    assert take(lake, again.taken, "d1").version == again.version
    assert ids(take(lake, again.taken, "d3")) == []
    assert ids(take(lake, second.taken, "d1", keyed=True)) == [4]


@pytest.mark.parametrize("vacuumed", [False, True])
def test_compaction_brings_nothing_new(lake: Path, vacuumed: bool) -> None:
    put(lake, 1)
    first = take(lake, None, "d1")
    put(lake, 2)
    second = take(lake, first.taken, "d2")
    for each in (3, 4):
        put(lake, each)
    DeltaTable(str(lake)).optimize.compact()
    if vacuumed:
        DeltaTable(str(lake)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        with pytest.raises(Permanent, match="written together with others and vacuumed"):
            take(lake, second.taken, "d3")
        assert ids(take(lake, None, "d3")) == [1, 2, 3, 4]
        return
    third = take(lake, second.taken, "d3")
    assert ids(third) == [3, 4]
    assert ids(take(lake, third.taken, "d2")) == [2]
    put(lake, 5)
    assert ids(take(lake, third.taken, "d3")) == [3, 4, 5]


def test_what_was_compacted_together_and_is_wanted_together_is_read_from_the_new_file(lake: Path) -> None:
    put(lake, 1)
    first = take(lake, None, "d1")
    put(lake, 2, day="b")
    put(lake, 3, day="b")
    DeltaTable(str(lake)).optimize.compact()
    DeltaTable(str(lake)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert ids(take(lake, first.taken, "d2")) == [2, 3]


def test_the_correction_of_a_compacted_day_is_still_that_days(lake: Path) -> None:
    put(lake, 1, day="a")
    first = take(lake, None, "d1")
    put(lake, 2, day="b")
    put(lake, 3, day="b")
    second = take(lake, first.taken, "d2")
    DeltaTable(str(lake)).optimize.compact()
    swap(lake, "b", 4)
    third = take(lake, second.taken, "d3")
    assert (ids(third), third.taken.owed) == ([], (("d2", 4),))
    corrected = take(lake, third.taken, "d2")
    assert (ids(corrected), corrected.taken.owed) == ([4], ())
    assert ids(take(lake, third.taken, "d3", keyed=True)) == []
    assert ids(take(lake, second.taken, "d3", keyed=True)) == [4]


def test_a_correction_of_what_waits_waits_with_it(lake: Path) -> None:
    put(lake, 1, day="a")
    first = take(lake, None, "d1")
    put(lake, 2, day="b")
    second = take(lake, first.taken, "d2")
    swap(lake, "a", 3)
    swap(lake, "a", 4)
    put(lake, 5, day="c")
    third = take(lake, second.taken, "d3")
    assert ids(third) == [5]
    assert ids(take(lake, third.taken, "d1")) == [4]


def test_another_table_in_the_same_place_is_refused(lake: Path, tmp_path: Path) -> None:
    put(lake, 1)
    put(lake, 2)
    first = take(lake, None, "d1")
    lake.rename(tmp_path / "old")
    put(lake, 1)
    with pytest.raises(Permanent, match="is another table") as refused:
        take(lake, first.taken, "d2")
    assert "--full-refresh" in refused.value.hint


def test_a_log_that_was_cleaned_up_is_refused_where_it_is_needed(lake: Path) -> None:
    put(lake, 1)
    first = take(lake, None, "d1")
    put(lake, 2)
    put(lake, 3)
    second = take(lake, first.taken, "d2")
    DeltaTable(str(lake)).create_checkpoint()
    (lake / "_delta_log" / f"{1:020}.json").unlink()
    assert ids(take(lake, second.taken, "d3")) == []
    with pytest.raises(Permanent, match="does not tell any more what came with version 1"):
        take(lake, second.taken, "d2")


def test_of_old_dates_only_that_they_were_read_is_remembered(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY", 6)
    taken = None
    for number in range(10):
        put(lake, number)
        taken = take(lake, taken, f"d{number}").taken
    assert taken is not None
    assert len(taken.spans) <= 7
    assert taken.spans[0] == ("", 0, 4)
    put(lake, 99)
    assert ids(take(lake, taken, "d9")) == [9, 99]
