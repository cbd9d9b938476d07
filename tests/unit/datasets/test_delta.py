"""Delta tables: what is committed is what every reader sees, and a commit compares before it swaps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from odibi.datasets.delta import Fence, LostRace, create_table, last_commit, open_table, refuse_path
from odibi.datasets.source import frame_of
from odibi.datasets.target import Target, ledger
from odibi.engines.base import Staged
from odibi.errors import Permanent, SchemaMismatch
from odibi.relational.schema import schema_of
from tests.unit.datasets.lake import Lake

TEXTS = [
    "plain", "two words", "a/b", "k=v", "per%cent", "per%20cent", "ü", "日本", "it's", '"q"', "a\\b", "x*y?", "[1]", "{z}", "#", "+", "&", "~", ":",
    ".", "..", " lead", "trail ", "UPPER", "upper", "new\nline", "tab\t", "\U0001f600", "semi;colon", "a|b", "^", "%2F",
]  # fmt: skip


def values(texts: list[str | None]) -> str:
    return ", ".join("NULL" if text is None else "'" + text.replace("'", "''") + "'" for text in texts)


def test_create_overwrite_append_and_replace_a_date(at: Lake) -> None:
    assert at.write("SELECT 1 AS a").version == 0
    assert at.write("SELECT 2 AS a UNION ALL SELECT 3").version == 1
    assert at.rows() == at.scanned() == [(2,), (3,)]
    for date, value in (("2024-01-01", 1), ("2024-01-02", 2), ("2024-01-01", 3)):
        at.write(f"SELECT {value} AS a", "log", mode="append", date=date)
    assert at.rows("log", "a, _logical_date::VARCHAR") == [(2, "2024-01-02"), (3, "2024-01-01")]
    assert [row[0] for row in at.scanned("log")] == [2, 3]


def test_the_note_and_the_transaction_are_found_again(at: Lake) -> None:
    at.write("SELECT 1 AS a", "log", mode="append", date="2024-01-01", key="k1")
    at.write("SELECT 2 AS a", "log", mode="append", date="2024-01-02", key="k2")
    url = str(at.folder / "log")
    last = last_commit(url)
    assert last is not None
    assert (last.version, last.note["key"], last.note["rows"], last.note["logical_date"]) == (
        1,
        "k2",
        2,
        "2024-01-02",
    )
    first = at.table("log").transaction("p/step/2024-01-01")
    assert first is not None
    assert (first.version, first.note["key"], first.note["parts"]) == (0, "k1", {"code": "SELECT 1 AS a"})
    assert at.table("log").transaction("p/step/2024-01-03") is None
    (target,) = at.targets("log", mode="append")
    assert ledger(target, "p/step/2024-01-02") == last
    assert last_commit(str(at.folder / "nothing")) is None
    assert ledger(Target("x.csv", "csv", target.mode), "p/step/2024-01-02") is None


def test_a_date_whose_rows_somebody_took_out_is_not_in_the_ledger(at: Lake) -> None:
    for day, sql in (
        ("2024-01-01", "SELECT 1 AS a"),
        ("2024-01-02", "SELECT 2 AS a"),
        ("2024-01-03", "SELECT 3 AS a WHERE false"),
    ):
        at.write(sql, "log", mode="append", date=day, key=day)
    (target,) = at.targets("log", mode="append")

    def key(day: str) -> object:
        found = ledger(target, f"p/step/{day}")
        assert found is not None
        return found.note.get("key")

    assert [key(f"2024-01-0{day}") for day in (1, 2, 3)] == ["2024-01-01", "2024-01-02", "2024-01-03"]
    DeltaTable(target.url).delete("_logical_date = '2024-01-01'")
    assert [key(f"2024-01-0{day}") for day in (1, 2, 3)] == [None, "2024-01-02", "2024-01-03"]
    at.write("SELECT 1 AS a", "log", mode="append", date="2024-01-01", key="again")
    assert key("2024-01-01") == "again"
    assert at.rows("log", "a") == [(1,), (2,)]


@pytest.mark.parametrize("texts", [TEXTS, [None, "x"], [None]], ids=["texts", "null and text", "null"])
def test_partition_values_are_what_they_were(at: Lake, texts: list[str | None]) -> None:
    at.write(
        f"SELECT i, k FROM (SELECT unnest([{values(texts)}]::VARCHAR[]) AS k, unnest(range({len(texts)})) AS i)",
        partition_by="k",
    )
    expected = sorted(enumerate(texts), key=repr)
    assert at.rows() == expected
    assert at.scanned() == expected
    for text in texts[:40]:
        condition = "k IS NULL" if text is None else f"k = {values([text])}"
        found = [row for row in expected if row[1] == text]
        assert (
            at.db.rows(f"SELECT i, k FROM ({frame_of(at.engine, at.table()).sql}) WHERE {condition}") == found
        )
        assert at.scanned(predicate=condition) == found


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("INTEGER", ["1", "-5", "NULL"]), ("BIGINT", ["9223372036854775807", "NULL"]), ("BOOLEAN", ["true", "false", "NULL"]),
        ("DATE", ["DATE '2024-02-29'", "NULL"]), ("DECIMAL(10,2)", ["1.50", "-0.05", "NULL"]), ("VARCHAR", ["'1'", "'01'", "NULL"]),
        ("TIMESTAMP", ["TIMESTAMP '2024-01-01 10:11:12'", "TIMESTAMP '2024-01-01 00:00:00.000001'", "NULL"]),
        ("TIMESTAMP WITH TIME ZONE", ["TIMESTAMPTZ '2024-01-01 10:11:12+02'", "NULL"]), ("DOUBLE", ["1.5e0", "-2e300", "NULL"]),
    ],
)  # fmt: skip
def test_partition_values_keep_their_type(at: Lake, kind: str, texts: list[str]) -> None:
    selects = " UNION ALL ".join(
        f"SELECT CAST({text} AS {kind}) AS k, {i} AS i" for i, text in enumerate(texts)
    )
    at.write(f"SELECT * FROM ({selects})", partition_by="k")
    assert at.table().schema == schema_of({"k": kind, "i": "INTEGER"})
    expected = sorted(at.db.rows(selects), key=repr)
    assert at.rows() == expected
    assert [row[1] for row in at.scanned()] == [row[1] for row in expected]
    assert repr([row[0] for row in at.scanned()]).replace("zoneinfo.ZoneInfo(key='UTC')", "<UTC>") == repr(
        [row[0] for row in expected]
    )
    for text in texts[:-1]:
        again = at.db.rows(f"SELECT i FROM ({frame_of(at.engine, at.table()).sql}) WHERE k = {text}")
        assert again == [(texts.index(text),)]


@pytest.mark.parametrize("text", ["__HIVE_DEFAULT_PARTITION__", "NULL", "null"])
def test_texts_that_stand_for_null_are_kept_or_refused(at: Lake, text: str) -> None:
    sql = f"SELECT 1 AS a, '{text}' AS k UNION ALL SELECT 2, NULL"
    if duckdb.__version__ < "2":
        with pytest.raises(SchemaMismatch, match=f"holds the text {text}"):
            at.write(sql, partition_by="k")
        return
    at.write(sql, partition_by="k")
    assert at.rows() == at.scanned() == [(1, text), (2, None)]


def test_an_empty_text_cannot_be_a_partition(at: Lake) -> None:
    with pytest.raises(SchemaMismatch, match="holds an empty text") as caught:
        at.write("SELECT 1 AS a, '' AS k UNION ALL SELECT 2, 'x'", partition_by="k")
    assert "nullif(k, '')" in caught.value.hint
    assert at.files() == []


# --- statistics ------------------------------------------------------------------------------------

HARD = """SELECT * FROM (VALUES
    (1, 100, 0.5, 'a', DATE '2024-01-01', TIMESTAMP '2024-01-01 00:00:00.000001', TIMESTAMPTZ '2024-01-01 00:00:00+05', 1.25::DECIMAL(10,2), 1::FLOAT, NULL::INTEGER, true),
    (2, -100, 'nan', repeat('z', 300), DATE '1969-12-31', TIMESTAMP '1969-12-31 23:59:59.999999', NULL, -1.25, 'inf', NULL, NULL),
    (3, NULL, -0.0, NULL, NULL, NULL, TIMESTAMPTZ '2024-12-31 23:59:59.999999+00', NULL, '-inf', NULL, false),
    (4, 2147483647, 1e308, 'a"q\\é', DATE '9999-12-31', TIMESTAMP '2024-06-15 12:00:00', TIMESTAMPTZ '1970-01-01 00:00:00+00', 99999999.99, 0.1, NULL, true)
) v(id, i, f, s, d, ts, tz, m, r, nothing, b)"""
PREDICATES = [
    "i > 99", "i >= 2147483647", "i < 0", "i IS NULL", "f > 100", "f = 0.0", "f < 0.1", "s = 'a'", "s > 'y'", "s >= 'a\"q\\é'", "s IS NULL",
    "d > DATE '2024-01-01'", "d < DATE '1970-01-01'", "d >= DATE '9999-12-31'", "ts > TIMESTAMP '2024-01-01 00:00:00'", "ts < TIMESTAMP '1970-01-01 00:00:00'",
    "ts >= TIMESTAMP '2024-06-15 12:00:00'", "m > 1.25", "m > 99999999", "m < 0", "nothing IS NULL", "nothing = 1", "b = true", "b IS NULL", "id = 4",
]  # fmt: skip


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same rows in one file, and in a file each."""
    from tests.unit.datasets.lake import lake

    with lake(tmp_path_factory.mktemp("hard")) as found:
        found.write(HARD, "one")
        for number in range(1, 5):
            found.write(
                f"FROM ({HARD}) WHERE id = {number}", "each", mode="append", date=f"2024-01-0{number}"
            )
        yield found


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.parametrize("name", ["one", "each"])
def test_no_reader_skips_a_row_because_of_statistics(hard: Lake, name: str, predicate: str) -> None:
    sql = frame_of(hard.engine, hard.table(name)).sql
    expected = [row[0] for row in hard.db.rows(f"SELECT id FROM ({sql}) WHERE {predicate} ORDER BY id")]
    assert expected == [
        row[0] for row in hard.db.rows(f"SELECT id FROM ({HARD}) WHERE {predicate} ORDER BY id")
    ]
    if predicate == "f > 100":
        assert expected == [2, 4], "NaN is above every number in DuckDB"
    elif predicate == "f = 0.0":
        return  # delta-rs tells -0.0 and 0.0 apart, also without statistics
    assert sorted(row[0] for row in hard.scanned(name, predicate=predicate)) == expected


@pytest.mark.skipif(
    duckdb.__version__ < "2", reason="DuckDB TELLS WHICH BOUNDS ARE EXACT FROM 2.0 ON: none are kept before"
)
def test_statistics_are_json_of_the_column_s_type(hard: Lake) -> None:
    text = (hard.folder / "one/_delta_log/00000000000000000000.json").read_text()
    (add,) = [json.loads(line)["add"] for line in text.splitlines() if '"add"' in line]
    found = json.loads(add["stats"])
    assert found["numRecords"] == 4
    assert found["nullCount"]["nothing"] == 4
    assert found["nullCount"]["s"] == 1
    assert (found["minValues"]["i"], found["maxValues"]["i"]) == (-100, 2147483647)
    assert (found["minValues"]["d"], found["maxValues"]["d"]) == ("1969-12-31", "9999-12-31")
    assert found["maxValues"]["ts"] == "2024-06-15T12:00:00"
    for column in ("f", "r", "s", "nothing"):  # NaN, infinity, a cut text, nothing at all
        assert column not in found["minValues"]
        assert column not in found["maxValues"]


def test_dates_no_reader_knows_have_no_bounds(at: Lake) -> None:
    at.write(
        "SELECT unnest([DATE '0044-03-15 (BC)', DATE '10000-01-01', 'infinity'::DATE]) AS d, unnest(['infinity'::TIMESTAMP, TIMESTAMP '12345-01-01', NULL]) AS t"
    )
    (stats,) = [json.loads(json.loads(line)["add"]["stats"]) for line in (at.folder / "t/_delta_log/00000000000000000000.json").read_text().splitlines() if '"add"' in line]  # fmt: skip
    assert (stats["minValues"], stats["maxValues"]) == ({}, {})


# --- tables of others, and their features ----------------------------------------------------------


def test_tables_of_others_are_read_as_they_are(at: Lake) -> None:
    url = str(at.folder / "foreign")
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int32()),
            "city": ["Köln/Ost", "a b"],
            "n": pa.array([None, 1.5]),
            "void": pa.nulls(2),
        }
    )
    write_deltalake(url, table, partition_by=["city"])
    assert at.table("foreign").schema == schema_of(
        {"id": "INTEGER", "city": "VARCHAR", "n": "DOUBLE", "void": "INTEGER"}
    )
    assert at.rows("foreign") == [(1, "Köln/Ost", None, None), (2, "a b", 1.5, None)]
    handle = DeltaTable(url)
    handle.delete("id = 1")
    write_deltalake(
        url,
        pa.table({"id": pa.array([3], pa.int32()), "city": ["x"], "more": [True]}),
        mode="append",
        schema_mode="merge",
    )
    assert at.rows("foreign", "id, city, more") == [(2, "a b", None), (3, "x", True)]
    handle = DeltaTable(url)
    handle.optimize.compact()
    assert at.rows("foreign", "id") == [(2,), (3,)]
    assert open_table(url, 0).version == 0  # type: ignore[union-attr]


def test_an_append_goes_on_where_others_left_a_table(at: Lake) -> None:
    url = str(at.folder / "log")
    at.write("SELECT 1 AS a", "log", mode="append", date="2024-01-01")
    write_deltalake(
        url,
        pa.table({"a": pa.array([7], pa.int32()), "_logical_date": pa.array([19724], pa.date32())}),
        mode="append",
    )
    assert last_commit(url).note == {}  # type: ignore[union-attr]
    written = at.write("SELECT 2 AS a", "log", mode="append", date="2024-01-03")
    assert at.rows("log", "a") == [(1,), (2,), (7,)]
    assert written.digest == str(at.digest("log"))


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"delta.columnMapping.mode": "name"}, "column mapping"),
        ({"delta.enableDeletionVectors": "true"}, "deletionVectors"),
        ({"delta.enableChangeDataFeed": "true"}, "change data feed"),
    ],
)
def test_tables_with_features_are_read_by_their_own_reader_and_never_written(
    at: Lake, configuration: dict[str, str], said: str
) -> None:
    url = str(at.folder / "t")
    write_deltalake(url, pa.table({"a": pa.array([1, 2, 3], pa.int32())}), configuration=configuration)
    DeltaTable(url).delete("a = 2")
    assert at.rows() == [(1,), (3,)]
    before = at.files()
    with pytest.raises(Permanent, match=said):
        at.write("SELECT 9 AS a")
    assert at.files() == before


def test_constraints_not_null_and_void_are_not_written(at: Lake) -> None:
    from deltalake import Field, Schema

    url = str(at.folder / "t")
    write_deltalake(url, pa.table({"a": pa.array([1], pa.int32())}))
    DeltaTable(url).alter.add_constraint({"positive": "a > 0"})
    with pytest.raises(Permanent, match=r"delta\.constraints\.positive"):
        at.write("SELECT 1 AS a")
    DeltaTable.create(str(at.folder / "u"), Schema([Field("a", "integer", nullable=False)]))
    with pytest.raises(Permanent, match="NOT NULL a"):
        at.write("SELECT 1 AS a", "u")
    write_deltalake(str(at.folder / "v"), pa.table({"a": pa.nulls(1)}))
    with pytest.raises(Permanent, match="type void a"):
        at.write("SELECT 1 AS a", "v", mode="append", logical_date_column=None)


def test_an_append_only_table_is_appended_to_and_not_replaced(at: Lake) -> None:
    url = str(at.folder / "t")
    write_deltalake(
        url, pa.table({"a": pa.array([1], pa.int32())}), configuration={"delta.appendOnly": "true"}
    )
    at.write("SELECT 2 AS a", mode="append", logical_date_column=None)
    assert at.rows() == [(1,), (2,)]
    with pytest.raises(Permanent, match="append-only"):
        at.write("SELECT 3 AS a")
    assert at.rows() == [(1,), (2,)]


def test_a_log_that_cannot_be_read_is_said(at: Lake) -> None:
    at.write("SELECT 1 AS a")
    (at.folder / "t/_delta_log/00000000000000000000.json").write_text("{broken\n")
    with pytest.raises(Permanent, match="cannot be opened"):
        open_table(str(at.folder / "t"))
    at.write("SELECT 1 AS a", "u")
    with pytest.raises(Permanent, match="cannot be opened"):
        open_table(str(at.folder / "u"), 7)
    (at.folder / "empty/_delta_log").mkdir(parents=True)
    assert open_table(str(at.folder / "empty")) is None


@pytest.mark.parametrize(
    "name",
    [
        "my lake",
        "lakeü",
        "a#b",
        "q?x",
        "st*r",
        "a+b",
        "key=v",
        "100%",
        "{b}",
        "it's",
        'q"q',
        "a;b",
        "~x",
        "c:d",
    ],
)
def test_a_table_can_be_kept_in_a_folder_of_any_usual_name(at: Lake, name: str) -> None:
    for value in (1, 2):
        at.write(
            f"SELECT {value} AS a, 'x/y z' AS k",
            f"{name}/t",
            mode="append",
            partition_by="k",
            date=f"2024-01-0{value}",
        )
    at.write("SELECT 3 AS a, 'x/y z' AS k", f"{name}/t", mode="append", partition_by="k", date="2024-01-01")
    assert at.rows(f"{name}/t", "a, k") == [(2, "x/y z"), (3, "x/y z")]
    assert [row[:2] for row in at.scanned(f"{name}/t")] == [(2, "x/y z"), (3, "x/y z")]


def test_a_folder_that_reads_like_a_partition_of_the_table_is_refused(at: Lake) -> None:
    with pytest.raises(SchemaMismatch, match="has a folder k="):
        at.write("SELECT 1 AS a, 'x' AS k", "k=v/t", partition_by="k")
    url = str(at.folder / "K=v" / "t")
    write_deltalake(url, pa.table({"a": [1], "k": ["x"]}), partition_by=["k"])
    with pytest.raises(Permanent, match="a folder above it is called k="):
        at.rows("K=v/t")


@pytest.mark.parametrize("name", ["a[1]", "a|b", "a^b", "back\\slash", "per%20cent"])
def test_folders_that_the_delta_library_mistakes_are_refused(at: Lake, name: str) -> None:
    with pytest.raises(Permanent, match="cannot be kept in"):
        at.targets(f"{name}/t")
    with pytest.raises(Permanent, match="cannot be kept in"):
        refuse_path(f"/data/{name}")


# --- the log grows ---------------------------------------------------------------------------------


def test_after_checkpoints_and_a_cleaned_log_everything_is_still_known(at: Lake) -> None:
    url = str(at.folder / "log")
    at.write("SELECT 0 AS a", "log", mode="append", date="2024-01-01", key="first")
    staged = Staged("", (), schema_of({"a": "INTEGER", "_logical_date": "DATE"}), ("_logical_date",))
    for number in range(104):
        at.table("log").commit(
            staged, schema=staged.schema, removed=(), note={"key": f"k{number}", "digest": "", "rows": 1}
        )
    assert any("checkpoint" in file for file in at.files())
    assert last_commit(url).note["key"] == "k103"  # type: ignore[union-attr]
    written = at.write("SELECT 1 AS a", "log", mode="append", date="2024-01-02", key="second")
    assert written.digest == str(at.digest("log"))
    for entry in (at.folder / "log/_delta_log").glob("*.json"):
        if entry.name[:20].isdigit() and int(entry.name[:20]) < 90:
            entry.unlink()
    first = at.table("log").transaction("p/step/2024-01-01")
    assert first is not None
    assert dict(first.note) == {}, "its entry is gone, that it was written is not"
    assert at.table("log").transaction("p/step/2024-01-02").note["key"] == "second"  # type: ignore[union-attr]
    again = at.write("SELECT 5 AS a", "log", mode="append", date="2024-01-01")
    assert at.rows("log", "a") == [(1,), (5,)]
    assert again.digest == str(at.digest("log"))


def test_a_partition_column_called_commit_info_is_no_note(at: Lake) -> None:
    at.write("SELECT 1 AS a, 'x' AS \"commitInfo\"", partition_by="commitInfo", key="k")
    assert last_commit(str(at.folder / "t")).note["key"] == "k"  # type: ignore[union-attr]


# --- compare and swap ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["append", "overwrite"])
@pytest.mark.parametrize("other", ["append", "overwrite", "foreign"])
def test_who_opened_before_somebody_committed_loses_and_leaves_nothing(
    at: Lake, mode: str, other: str
) -> None:
    options = {"mode": "append"} if "append" in (mode, other) else {}
    first = {**options, "partition_by": ()} if options else {}
    at.write("SELECT 1 AS a", **first)
    handle = at.table()
    if other == "foreign":
        columns = {"a": pa.array([2], pa.int32())} | (
            {"_logical_date": pa.array([1], pa.date32())} if options else {}
        )
        write_deltalake(str(at.folder / "t"), pa.table(columns), mode="append")
    elif options:
        at.write("SELECT 2 AS a", mode="append", date="2024-01-02")
    else:
        at.write("SELECT 2 AS a", mode=other)
    rows, files = at.rows(), at.files()
    with pytest.raises(LostRace):
        at.write(
            "SELECT 3 AS a",
            handle=handle,
            date="2024-01-03",
            **({"mode": "append"} if options else {"mode": mode}),
        )
    assert at.rows() == rows
    assert at.files() == files


def test_replacing_a_date_loses_too(at: Lake) -> None:
    at.write("SELECT 1 AS a", mode="append")
    handle = at.table()
    at.write("SELECT 2 AS a", mode="append", date="2024-01-02")
    with pytest.raises(LostRace):
        at.write("SELECT 3 AS a", mode="append", handle=handle)
    assert at.rows(columns="a") == [(1,), (2,)]


def test_widening_loses_too_even_though_it_is_two_commits(at: Lake) -> None:
    at.write("SELECT 1 AS a", mode="append")
    handle = at.table()
    at.write("SELECT 2 AS a", mode="append", date="2024-01-02")
    with pytest.raises(LostRace):
        at.write("SELECT 3 AS a, 'x' AS b", mode="append", date="2024-01-03", schema="widen", handle=handle)
    assert at.table().schema == schema_of({"a": "INTEGER", "_logical_date": "DATE"})


def test_creation_has_one_winner(at: Lake) -> None:
    at.write("SELECT 1 AS a")
    with pytest.raises(LostRace):
        at.write("SELECT 2 AS a", handle=False)
    assert at.rows() == [(1,)]
    with pytest.raises(LostRace):
        create_table(
            str(at.folder / "t"),
            Staged("", (), schema_of({"a": "INTEGER"})),
            schema=schema_of({"a": "INTEGER"}),
            note={},
        )


WORKER = """
import sys
from pathlib import Path
from tests.unit.datasets.lake import Lake, retried
from odibi.datasets.staging import Intents
from odibi.engines.database import Database
folder, number, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with Database(folder / f"scratch{number}", threads=1) as db, Intents(folder / "intents", f"{number:08}-run{number}") as intents:
    at = Lake(db, intents, folder / "lake")
    for day in range(1, 7):
        date = f"2024-01-{day:02}"
        if mode == "each":
            retried(at, f"SELECT {number} AS w, {day} AS d", mode="append", step=f"step{number}", date=date)
        else:
            retried(at, f"SELECT {number} AS w, {day} AS d", mode="append", date=date)
"""


@pytest.mark.parametrize("mode", ["each", "same"])
def test_three_processes_lose_and_double_nothing(at: Lake, tmp_path: Path, mode: str) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(number), mode], cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True)
        for number in range(3)
    ]  # fmt: skip
    for worker in workers:
        _, said = worker.communicate(timeout=120)
        assert worker.returncode == 0, said
    if mode == "each":
        assert at.rows(columns="w, d") == sorted((w, d) for w in range(3) for d in range(1, 7))
    else:  # three runs of one step for the same dates: each date once
        assert [row[0] for row in at.rows(columns="d")] == list(range(1, 7))
    assert last_commit(str(at.folder / "t")).note["digest"] == str(at.digest())  # type: ignore[union-attr]
    assert last_commit(str(at.folder / "t")).note["rows"] == len(at.rows())  # type: ignore[union-attr]
    parts = {str(Path(file).relative_to(at.folder)) for file in at.table().location().files}
    assert {file for file in at.files() if file.endswith(".parquet") and mode == "each"} == (
        parts if mode == "each" else set()
    )


def test_twenty_processes_that_touched_delta_end_with_code_0(at: Lake, tmp_path: Path) -> None:
    at.write("SELECT i AS a FROM range(1000) r(i)", "t")
    code = f"""
import sys
from pathlib import Path
from tests.unit.datasets.lake import lake
folder = Path({str(tmp_path)!r}) / sys.argv[1]
folder.mkdir()
with lake(folder) as at:
    at.write("SELECT i AS a FROM range(1000) r(i)", mode="append")
    assert len(at.rows()) == len(at.scanned()) == 1000
"""
    root = Path(__file__).parents[3]
    for wave in range(5):
        running = [
            subprocess.Popen([sys.executable, "-c", code, f"run{wave}-{i}"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for i in range(4)
        ]  # fmt: skip
        for process in running:
            said, _ = process.communicate(timeout=120)
            assert (process.returncode, said) == (0, "")


def test_a_run_that_lost_its_lock_writes_no_more(at: Lake) -> None:
    at.write("SELECT 1 AS n", fence=Fence("lock", 7))
    at.write("SELECT 2 AS n", fence=Fence("lock", 7))
    at.write("SELECT 3 AS n", fence=Fence("lock", 9))
    with pytest.raises(Permanent, match="a later run has taken over"):
        at.write("SELECT 4 AS n", fence=Fence("lock", 8))
    at.write("SELECT 5 AS n", fence=Fence("another", 1))
    assert at.rows() == [(5,)]
