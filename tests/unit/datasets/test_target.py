"""What a write means: idempotent appends, guarded schemas, plain files that appear whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi.config.models import Write
from odibi.datasets.delta import last_commit
from odibi.datasets.digest import digest
from odibi.datasets.source import Source, look, read
from odibi.datasets.target import Target
from odibi.errors import Permanent, SchemaMismatch
from odibi.relational.schema import schema_of
from tests.unit.datasets.lake import Lake, lake

# --- appends ---------------------------------------------------------------------------------------

BATCHES = st.lists(
    st.tuples(
        st.sampled_from(["2024-01-01", "2024-01-02", "2024-01-03"]),
        st.lists(st.tuples(st.sampled_from([None, 1, 2, 300]), st.sampled_from([None, "", "x"])), max_size=4),
        st.sampled_from(["a, b", "b, a", "a, b, c", "a::BIGINT AS a, b", "a, c"]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, rounded=st.booleans())
def test_a_sequence_of_dates_and_reruns_leaves_each_date_s_last_rows(
    tmp_path_factory: pytest.TempPathFactory, batches: list[Any], rounded: bool
) -> None:
    with lake(tmp_path_factory.mktemp("seq")) as at:
        model: dict[str, list[Any]] = {}
        for date, rows, columns in batches:
            shown = ", ".join(
                f"({'NULL' if a is None else a}, {'NULL' if b is None else repr(b)}, {i}.5e0)"
                for i, (a, b) in enumerate(rows)
            )
            sql = f"SELECT {columns} FROM (SELECT a::INTEGER AS a, b::VARCHAR AS b, c::DOUBLE AS c FROM (VALUES {shown or '(1, NULL, 1)'}) v(a, b, c) WHERE {bool(rows)})"
            written = at.write(sql, mode="append", date=date, schema="widen", rounded=rounded)
            model[date] = [
                (a, b if "b" in columns else None, i + 0.5 if "c" in columns else None)
                for i, (a, b) in enumerate(rows)
            ]
            have = [column.name for column in at.table().schema]
            expected = sorted(
                (
                    tuple({"a": a, "b": b, "c": c, "_logical_date": day}[name] for name in have)
                    for day, dated in model.items()
                    for a, b, c in dated
                ),
                key=repr,
            )
            shown_columns = ", ".join(
                "_logical_date::VARCHAR" if name == "_logical_date" else name for name in have
            )
            assert at.rows(columns=shown_columns) == expected
            note = last_commit(str(at.folder / "t")).note  # type: ignore[union-attr]
            assert note["digest"] == written.digest == str(at.digest(rounded=rounded))
            assert note["rows"] == len(expected)
            assert note["schema"] == [[column.name, column.type] for column in at.table().schema]
            assert len(at.scanned(columns=have)) == len(expected)


def test_the_logical_date_can_have_another_name(at: Lake) -> None:
    for day, value in (("2024-01-01", 1), ("2024-01-02", 2), ("2024-01-01", 3)):
        at.write(f"SELECT {value} AS a", mode="append", date=day, logical_date_column="loaded_for")
    assert at.rows(columns="a, loaded_for::VARCHAR") == [(2, "2024-01-02"), (3, "2024-01-01")]
    with pytest.raises(SchemaMismatch, match="have a column 'loaded_for'"):
        at.write(
            "SELECT 1 AS a, 2 AS LOADED_FOR",
            mode="append",
            date="2024-01-05",
            logical_date_column="loaded_for",
        )


def test_without_a_logical_date_a_changed_rerun_is_refused_with_that_sentence(at: Lake) -> None:
    at.write("SELECT 1 AS a", mode="append", logical_date_column=None)
    at.write("SELECT 2 AS a", mode="append", logical_date_column=None, date="2024-01-02")
    assert at.rows() == [(1,), (2,)]
    before = at.files()
    with pytest.raises(Permanent, match="without a column for the logical date") as caught:
        at.write("SELECT 3 AS a", mode="append", logical_date_column=None)
    assert "logical_date_column" in caught.value.hint
    assert at.files() == before
    at.write(
        "SELECT 4::BIGINT AS a", mode="append", logical_date_column=None, date="2024-01-04", schema="widen"
    )
    assert at.rows() == at.scanned() == [(1,), (2,), (4,)], "the rows of other dates stay when types widen"


def test_rows_of_another_writer_for_the_date_are_not_replaced_unseen(at: Lake) -> None:
    at.write("SELECT 1 AS a", mode="append", step="one")
    at.write("SELECT 2 AS a", mode="append", step="two")
    for options in ({}, {"schema": "widen"}):
        with pytest.raises(Permanent, match="did not write"):
            at.write(
                "SELECT 3::BIGINT AS a" if options else "SELECT 3 AS a", mode="append", step="one", **options
            )
    assert at.rows(columns="a") == [(1,), (2,)]


def test_widening_adds_columns_and_rewrites_types(at: Lake) -> None:
    at.write("SELECT 1::INTEGER AS a, 'x' AS b", mode="append", date="2024-01-01")
    at.write(
        "SELECT 'y' AS b, DATE '2024-01-02' AS c, 2::INTEGER AS a",
        mode="append",
        date="2024-01-02",
        schema="widen",
    )
    at.write("SELECT 3000000000 AS a", mode="append", date="2024-01-03", schema="widen")
    assert at.table().schema == schema_of(
        {"a": "BIGINT", "b": "VARCHAR", "_logical_date": "DATE", "c": "DATE"}
    )
    expected = [(1, "x", None), (2, "y", "2024-01-02"), (3000000000, None, None)]
    assert at.rows(columns="a, b, c::VARCHAR") == expected
    assert [row[0] for row in at.scanned(columns=["a", "b", "c"])] == [1, 2, 3000000000]
    # a narrower type is written as the table's, so that every reader finds one type in the files
    at.write("SELECT 4::SMALLINT AS a", mode="append", date="2024-01-01", schema="widen")
    for file in at.table().location().files:
        assert str(pq.read_schema(file).field("a").type) == "int64"
    assert [row[0] for row in at.rows(columns="a")] == [2, 3000000000, 4]
    assert last_commit(str(at.folder / "t")).note["digest"] == str(at.digest())  # type: ignore[union-attr]
    with pytest.raises(SchemaMismatch, match="column 'a' is VARCHAR, the table has BIGINT"):
        at.write("SELECT 'no' AS a", mode="append", date="2024-01-04", schema="widen")


def test_an_append_is_exact_unless_told(at: Lake) -> None:
    at.write("SELECT 1::INTEGER AS a", mode="append")
    before = at.files()
    for sql in (
        "SELECT 1::BIGINT AS a",
        "SELECT 1::INTEGER AS a, 2 AS b",
        "SELECT 3.7::DOUBLE AS a",
        "SELECT 1 AS A",
    ):
        with pytest.raises(SchemaMismatch):
            at.write(sql, mode="append", date="2024-01-02")
    assert at.files() == before
    assert at.rows(columns="a") == [(1,)]


def test_a_table_keeps_its_partitions(at: Lake) -> None:
    at.write("SELECT 1 AS a, 'x' AS k, 'y' AS l", mode="append", partition_by="k")
    at.write("SELECT 1 AS a, 'x' AS k", "u", partition_by="k")
    for options in ({"mode": "append"}, {"mode": "append", "partition_by": ["l"]}):
        with pytest.raises(Permanent, match="is partitioned by"):
            at.write("SELECT 2 AS a, 'x' AS k, 'y' AS l", date="2024-01-02", **options)
    with pytest.raises(Permanent, match=r"is partitioned by \(k\), the step writes partition_by \(\)"):
        at.write("SELECT 2 AS a, 'x' AS k", "u")
    assert len([file for file in at.files() if file.endswith(".parquet")]) == 2


@pytest.mark.parametrize(
    ("partition_by", "message"), [("zz", "which is no column"), (["a", "k"], "names every column")]
)
def test_partitions_are_columns_and_leave_one(at: Lake, partition_by: Any, message: str) -> None:
    for format in ("delta", "parquet"):
        with pytest.raises(SchemaMismatch, match=message):
            at.write("SELECT 1 AS a, 'x' AS k", partition_by=partition_by, format=format)


# --- overwrite -------------------------------------------------------------------------------------


def test_an_overwrite_follows_the_code(at: Lake) -> None:
    for sql in (
        "SELECT 1::INTEGER AS a",
        "SELECT 'x' AS a, 2 AS b",
        "SELECT TIMESTAMP '2024-01-01 10:00:00.000001' AS t, TIMESTAMPTZ '2024-01-01 00:00:00+00' AS z",
        "SELECT 1::INTEGER AS a WHERE false",
        "SELECT {'x': [1, 2]} AS s, MAP {'k': 1.5::DECIMAL(5,2)} AS m",
    ):
        written = at.write(sql)
        assert at.table().schema == at.schema(sql)
        assert repr(at.rows()) == repr(sorted(at.db.rows(sql), key=repr))
        assert len(at.scanned()) == len(at.db.rows(sql))
        assert written.digest == str(at.digest()) == last_commit(str(at.folder / "t")).note["digest"]  # type: ignore[union-attr]


def test_an_overwrite_can_be_exact_or_widen(at: Lake) -> None:
    at.write("SELECT 1::INTEGER AS a, 'x' AS b", schema="exact")
    with pytest.raises(SchemaMismatch, match=r"column 'b' .* is missing"):
        at.write("SELECT 1::INTEGER AS a", schema="exact")
    at.write("SELECT 2::BIGINT AS a, DATE '2024-01-01' AS c", schema="widen")
    assert at.table().schema == schema_of({"a": "BIGINT", "b": "VARCHAR", "c": "DATE"})
    assert at.rows(columns="a, b, c::VARCHAR") == [(2, None, "2024-01-01")]
    with pytest.raises(SchemaMismatch, match="does not exist"):
        at.write("SELECT 1 AS a", "v", schema="forbid")


def test_a_step_that_fails_while_it_computes_leaves_no_file(at: Lake) -> None:
    at.write("SELECT 1 AS a")
    before = at.files()
    for options in ({}, {"mode": "append", "date": "2024-01-02"}, {"format": "csv"}, {"name": "new"}):
        with pytest.raises((duckdb.Error, SchemaMismatch)):
            at.write("SELECT CAST('x' || i AS INTEGER) AS a FROM range(3) r(i)", **options)
    assert at.files() == before
    assert at.rows() == [(1,)]


# --- plain files -----------------------------------------------------------------------------------

TYPED = """SELECT * FROM (VALUES (1::INTEGER, 'a,b', 1.50::DECIMAL(10,2), DATE '2024-01-01', TIMESTAMP '2024-01-01 10:11:12.5', true, 'x/y z'),
    (2, 'say "hi"', NULL, NULL, NULL, false, 'k=v'), (NULL, NULL, -0.05, DATE '1999-12-31', TIMESTAMP '1970-01-01', NULL, NULL)) v(i, s, m, d, t, b, k)"""


def skip_json_folders(format: str, partition_by: tuple[str, ...]) -> None:
    if format == "json" and partition_by and duckdb.__version__ < "2":
        pytest.skip("DuckDB PARTITIONS JSON FROM 2.0 ON")


def read_back(at: Lake, url: str, format: str, known: bool = True) -> list[tuple[Any, ...]]:
    source = Source(url, format)
    seen = look(at.db, source, at.schema(TYPED) if known else None)
    assert seen is not None
    frame, schema = read(at.engine, source, seen)
    assert [column.name for column in schema] == ["i", "s", "m", "d", "t", "b", "k"] or not known
    return sorted(at.db.rows(f"SELECT i, s, m, d, t, b, k FROM ({frame.sql})"), key=repr)


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
@pytest.mark.parametrize("partition_by", [(), ("k",), ("k", "b")], ids=["file", "k", "k and b"])
@pytest.mark.parametrize("place", ["local", "memory"])
def test_plain_files_are_read_back_as_they_were(
    at: Lake, format: str, partition_by: tuple[str, ...], place: str
) -> None:
    skip_json_folders(format, partition_by)
    folder = str(at.folder) if place == "local" else f"memory://{at.folder}"
    for sql in (
        "SELECT 9::INTEGER AS i, 's' AS s, 1::DECIMAL(10,2) AS m, NULL::DATE AS d, NULL::TIMESTAMP AS t, true AS b, 'old' AS k",
        TYPED,
    ):
        written = at.write(sql, f"{folder}/out", format=format, partition_by=partition_by)
        assert written.version is None
        url = f"{folder}/out.{format}"
        assert read_back(at, url, format) == sorted(at.db.rows(sql), key=repr)
    if place == "local":
        assert (at.folder / f"out.{format}").is_dir() == bool(partition_by)
        assert [path.name for path in at.folder.iterdir()] == [f"out.{format}"], "nothing is left aside"


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
@pytest.mark.parametrize("partition_by", [(), ("k",)], ids=["file", "folder"])
def test_no_rows_are_a_file_with_columns(at: Lake, format: str, partition_by: tuple[str, ...]) -> None:
    skip_json_folders(format, partition_by)
    at.write(f"SELECT * FROM ({TYPED}) WHERE false", "out", format=format, partition_by=partition_by)
    assert read_back(at, str(at.folder / f"out.{format}"), format) == []


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
@pytest.mark.parametrize("place", ["local", "memory"])
def test_an_append_of_plain_files_replaces_its_date_s_part(at: Lake, format: str, place: str) -> None:
    folder = str(at.folder) if place == "local" else f"memory://{at.folder}"
    for date, value in (("2024-01-01", 1), ("2024-01-02", 2), ("2024-01-01", 3)):
        at.write(f"SELECT {value} AS a", f"{folder}/log", format=format, mode="append", date=date)
    source = Source(f"{folder}/log.{format}", format)
    seen = look(at.db, source)
    assert seen is not None
    assert [file.path.rsplit("/", 1)[-1] for file in seen.files] == [
        f"part-p-step-2024-01-0{day}.{format}" for day in (1, 2)
    ]
    frame, _ = read(at.engine, source, seen)
    assert sorted(at.db.rows(frame.sql)) == [(2,), (3,)]


def test_several_formats_at_once_hold_the_same_rows(at: Lake) -> None:
    written = at.write(TYPED, "out", formats=["json", "delta", "csv", "parquet"])
    assert [(target.format, Path(target.url).name) for target in written.targets] == [
        ("delta", "out"), ("csv", "out.csv"), ("json", "out.json"), ("parquet", "out.parquet")
    ]  # fmt: skip
    expected = sorted(at.db.rows(TYPED), key=repr)
    assert at.rows("out") == expected
    for format in ("csv", "json", "parquet"):
        assert read_back(at, str(at.folder / f"out.{format}"), format) == expected


def test_several_formats_and_append_and_widened_types(at: Lake) -> None:
    at.write("SELECT 1::INTEGER AS a", "out", formats=["delta", "csv"], mode="append", date="2024-01-01")
    at.write(
        "SELECT 2::BIGINT AS a",
        "out",
        formats=["delta", "csv"],
        mode="append",
        date="2024-01-02",
        schema="widen",
    )
    assert at.rows("out", "a") == [(1,), (2,)]
    parts = {path.name: path.read_text() for path in (at.folder / "out.csv").iterdir()}
    assert parts == {
        "part-p-step-2024-01-01.csv": "a,_logical_date\n1,2024-01-01\n",
        "part-p-step-2024-01-02.csv": "a,_logical_date\n2,2024-01-02\n",
    }


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_files_for_people_keep_the_order_of_a_sort(at: Lake, format: str) -> None:
    at.write(
        "SELECT (hash(i) % 1000003)::BIGINT AS h, i FROM range(200000) r(i) ORDER BY h DESC, i",
        "out",
        format=format,
    )
    path = at.folder / f"out.{format}"
    if format == "csv":
        with path.open() as file:
            found = [(int(row["h"]), int(row["i"])) for row in csv.DictReader(file)]
    elif format == "json":
        found = [(row["h"], row["i"]) for row in json.loads(path.read_text())]
    else:
        found = [tuple(row.values()) for row in pq.read_table(path).to_pylist()]
    assert len(found) == 200_000
    assert found == sorted(found, key=lambda row: (-row[0], row[1]))


def test_the_order_of_columns_is_the_query_s_whatever_the_partitions(at: Lake) -> None:
    written = at.write("SELECT 1 AS a, 'x' AS k, 2 AS b", "out", formats=["delta", "csv"], partition_by="k")
    assert [column.name for column in written.schema] == ["a", "k", "b"]
    assert [row[0] for row in at.db.rows(f"DESCRIBE {at.engine.read(written.staged.location).sql}")] == [
        "a",
        "k",
        "b",
    ]
    at.write("SELECT 1 AS a, 'x' AS k, 2 AS b", "flat", formats=["delta", "csv"])
    assert (at.folder / "flat.csv").read_text() == "a,k,b\n1,x,2\n"


def test_a_file_and_a_folder_do_not_replace_each_other_unseen(at: Lake) -> None:
    at.write("SELECT 1 AS a, 'x' AS k", "out", format="csv")
    with pytest.raises(Permanent, match="is a file, and the step appends"):
        at.write("SELECT 1 AS a, 'x' AS k", "out", format="csv", mode="append")
    at.write("SELECT 1 AS a, 'x' AS k", "out", format="csv", partition_by="k")
    with pytest.raises(Permanent, match="is a folder, and the step writes a file"):
        at.write("SELECT 1 AS a, 'x' AS k", "out", format="csv")
    assert at.files() == ["out.csv/k=x/part-0.csv"]


# --- what targets a write has ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [("delta", "/lake/silver/x", "replace")]),
        ({"path": "a/b"}, [("delta", "/lake/a/b", "replace")]),
        ({"path": "a.csv"}, [("csv", "/lake/a.csv", "replace")]),
        ({"path": "a.parquet", "formats": ["csv"]}, [("csv", "/lake/a.csv", "replace")]),
        ({"path": "a.v2", "format": "json"}, [("json", "/lake/a.v2.json", "replace")]),
        ({"path": "x.parquet", "formats": ["parquet", "delta"]}, [("delta", "/lake/x", "replace"), ("parquet", "/lake/x.parquet", "replace")]),
        ({"path": "memory://b/x.csv", "formats": ["json", "csv"]}, [("csv", "memory://b/x.csv", "replace"), ("json", "memory://b/x.json", "replace")]),
        ({"mode": "append"}, [("delta", "/lake/silver/x", "exact")]),
        ({"mode": "append", "schema": "widen"}, [("delta", "/lake/silver/x", "widen")]),
        ({"path": "/abs/x"}, [("delta", "/abs/x", "replace")]),
        ({"path": "file:///abs/x"}, [("delta", "/abs/x", "replace")]),
    ],
)  # fmt: skip
def test_targets_of_a_write(given: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    found = Target.all_of(Write(**given), "/lake", "silver/x", None, False)
    assert [(target.format, target.url, target.policy) for target in found] == expected


def test_what_is_read_is_exact_and_a_connection_has_a_format() -> None:
    (target,) = Target.all_of(Write(), "/lake", "bronze/x", "parquet", True)
    assert (target.format, target.url, target.policy) == ("parquet", "/lake/bronze/x.parquet", "exact")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": "memory://b/x"}, "there can be no Delta table at memory://"),
        ({"path": "s3://b/x?y"}, "its path has '\\?'"),
        ({"mode": "append", "schema": "replace"}, "append keeps the rows"),
        (
            {"mode": "append", "format": "csv", "partition_by": "k"},
            "append with partition_by needs format delta",
        ),
        ({"format": "csv", "schema": "exact"}, "guards Delta tables"),
    ],
)
def test_combinations_without_an_honest_meaning_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(Permanent, match=message):
        Target.all_of(Write(**given), "/lake", "silver/x", None, False)


def test_the_digest_of_plain_files_is_that_of_their_rows(at: Lake) -> None:
    delta, plain = at.write(TYPED, "one"), at.write(TYPED, "two", format="parquet")
    assert delta.digest == plain.digest == str(digest(at.db, at.table("one").location()))


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_the_rows_that_the_table_has_of_a_write_are_not_written_again(at: Lake, mode: str) -> None:
    """Steps that also write a plain file run each time; their table stays as it is."""
    both = {"mode": mode, "formats": ("delta", "parquet")}
    at.write("SELECT 1 AS a", key="k", **both)
    again = at.write("SELECT 1 AS a", key="k", **both)
    assert (again.version, again.note, again.rows) == (0, "it holds these rows already", 1)
    assert again.table is not None
    assert len(at.files()) == 3
    assert at.write("SELECT 2 AS a", key="k", **both).version == 1
    assert at.write("SELECT 2 AS a", key="another", **both).version == 2
    assert at.rows(columns="a") == [(2,)]
