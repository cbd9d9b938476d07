"""Files as sources: found, versioned, described, read, and named when they are wrong."""

from __future__ import annotations

import gzip
import json
import os
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from odibi.datasets import files
from odibi.datasets.source import ReadOptions, Seen, Source, look, read
from odibi.errors import OdibiError, Permanent, SourceError
from odibi.relational.schema import Column, schema_of
from tests.unit.datasets.lake import Lake

Rows = list[tuple[Any, ...]]
Reader = Callable[..., tuple[list[tuple[str, str]], Rows]]


def bag(rows: Rows) -> Rows:
    return sorted(rows, key=repr)


def seen(at: Lake, path: str, base: str | None = None, **options: Any) -> tuple[Source, Seen]:
    source = Source.of(path, base or str(at.folder), ReadOptions(**options))
    found = look(at.db, source)
    assert found is not None
    return source, found


@pytest.fixture
def rows(at: Lake) -> Reader:
    """Write a file (or several) and read it: its columns and rows."""

    def reader(
        content: str | bytes | dict[str, str | bytes], path: str, **options: Any
    ) -> tuple[list[tuple[str, str]], Rows]:
        for name, text in (content if isinstance(content, dict) else {path: content}).items():
            file = at.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode() if isinstance(text, str) else text)
        source, found = seen(at, path, **options)
        frame, schema = read(at.engine, source, found)
        assert schema == found.schema
        try:
            return [(column.name, column.type) for column in schema], bag(at.db.rows(frame.sql))
        except duckdb.Error as error:
            raise files.explain(error) from error

    return reader


AB = [("a", "BIGINT"), ("b", "VARCHAR")]


@pytest.mark.parametrize(
    ("content", "options", "columns", "expected"),
    [
        ('a,b\n1,"x,y"\n2,"say ""hi"""\n3,"two\nlines"\n', {}, AB, [(1, "x,y"), (2, 'say "hi"'), (3, "two\nlines")]),
        ("a,b\r\n1,x\r\n2,y\r\n", {}, AB, [(1, "x"), (2, "y")]),
        (b"\xef\xbb\xbfa,b\n1,x\n", {}, AB, [(1, "x")]),
        (b'\xef\xbb\xbf"a","b"\n1,x\n', {}, AB, [(1, "x")]),
        ("a,b\n", {}, [("a", "VARCHAR"), ("b", "VARCHAR")], []),
        ("a,b\n", {"schema": {"a": "INTEGER", "b": "DATE"}}, [("a", "INTEGER"), ("b", "DATE")], []),
        ("a,b\n1,x\n\n2,y\n\n\n", {}, AB, [(1, "x"), (2, "y")]),
        ("\n\na,b\n1,x\n", {}, AB, [(1, "x")]),
        ("\n\na,b\n1,x\n", {"schema": {"a": "BIGINT", "b": "VARCHAR"}}, AB, [(1, "x")]),
        ("a,b\n1,x", {}, AB, [(1, "x")]),
        (" a , b \n1,x\n", {}, AB, [(1, "x")]),
        ("a;b\n1,5;x\n", {"delimiter": ";", "decimal_separator": ","}, [("a", "DOUBLE"), ("b", "VARCHAR")], [(1.5, "x")]),
        ("a;b\n1,50;x\n", {"delimiter": ";", "decimal_separator": ",", "schema": {"a": "DECIMAL(10,2)", "b": "TEXT"}}, [("a", "DECIMAL(10,2)"), ("b", "TEXT")], [(Decimal("1.50"), "x")]),
        ("a||b\n1||x\n", {"delimiter": "||"}, AB, [(1, "x")]),
        ('a,b\n1,"x\n', {"quote": ""}, AB, [(1, '"x')]),
        ("a,b\n1,'x,y'\n", {"quote": "'"}, AB, [(1, "x,y")]),
        ('a,b\n1,"x\\"y"\n', {"escape": "\\"}, AB, [(1, 'x"y')]),
        ("a,b\nNA,x\n2,-\n", {"null_values": ["NA", "-"]}, AB, [(None, "x"), (2, None)]),
        ("a,b\nNA,x\n2,-\n", {"null_values": "NA"}, AB, [(None, "x"), (2, "-")]),
        ("1,x\n2,y\n", {"header": False}, [("column0", "BIGINT"), ("column1", "VARCHAR")], [(1, "x"), (2, "y")]),
        ("1,x\n", {"header": False, "schema": {"a": "INTEGER", "b": "VARCHAR"}}, [("a", "INTEGER"), ("b", "VARCHAR")], [(1, "x")]),
        ("# made by hand\na,b\n1,x\n", {"skip": 1}, AB, [(1, "x")]),
        ("# made by hand\n\na,b\n1,x\n", {"skip": 2, "schema": {"a": "BIGINT", "b": "VARCHAR"}}, AB, [(1, "x")]),
        ("d\n31.12.2024\n", {"date_format": "%d.%m.%Y", "schema": {"d": "DATE"}}, [("d", "DATE")], [(date(2024, 12, 31),)]),
        ("z\n01234\n99999\n", {}, [("z", "VARCHAR")], [("01234",), ("99999",)]),
        ("t\n10:00:00\n", {}, [("t", "VARCHAR")], [("10:00:00",)]),
        ("t\n2024-01-01T10:00:00+02:00\n", {}, [("t", "TIMESTAMP WITH TIME ZONE")], [(datetime(2024, 1, 1, 8, tzinfo=UTC),)]),
        ("f\n1.5\n\n", {}, [("f", "DOUBLE")], [(1.5,), (None,)]),
        ("a,b\n1,Köln\n".encode("latin-1"), {"encoding": "ISO-8859-1"}, AB, [(1, "Köln")]),
        ("a,b\n1,Köln\n".encode("utf-16"), {"encoding": "utf-16"}, AB, [(1, "Köln")]),
        ("a,b\n1,Köln\n", {"encoding": "UTF8"}, AB, [(1, "Köln")]),
        ("u\nb0c0f4b0-0000-4000-8000-000000000000\n", {"schema": {"u": "UUID"}}, [("u", "VARCHAR")], [("b0c0f4b0-0000-4000-8000-000000000000",)]),
        ("a,b\n1,\n2,\"\"\n", {}, AB, [(1, None), (2, None)]),
    ],
)  # fmt: skip
def test_csv(
    rows: Reader, content: str | bytes, options: dict[str, Any], columns: Any, expected: Rows
) -> None:
    assert rows(content, "x.csv", **options) == (columns, bag(expected))


def test_a_tsv_has_tabs_and_compressed_files_are_read(rows: Reader, at: Lake) -> None:
    assert rows("a\tb\n1\tx\n", "x.tsv") == (AB, [(1, "x")])
    assert rows(gzip.compress(b"a,b\n1,x\n"), "x.csv.gz") == (AB, [(1, "x")])
    at.db.rows(f"COPY (SELECT 1 AS a, 'x' AS b) TO '{at.folder}/x.csv.zst' (FORMAT csv, COMPRESSION zstd)")
    source, found = seen(at, "x.csv.zst")
    assert at.db.rows(read(at.engine, source, found)[0].sql) == [(1, "x")]
    assert rows(gzip.compress(b'[{"a": 1, "b": "x"}]'), "x.json.gz") == (AB, [(1, "x")])


@pytest.mark.parametrize(
    ("content", "options", "where", "message"),
    [
        ("a,b\n1,x\n2,y,z\n3,w\n", {}, "x.csv:3", "the row has 3 columns, expected 2"),
        ("a,b\n1,x\n2\n", {}, "x.csv:3", "the row has 1 column, expected 2"),
        ("a,b\n1,x\n2\n", {"schema": {"a": "INTEGER", "b": "VARCHAR"}}, "x.csv:3", "the row has 1 column, expected 2"),
        ('a,b\n0,y\n1,"x\n2,y\n', {}, "x.csv:3", "Value with unterminated quote found."),
        ("a,b\n1,x\nabc,y\n", {"schema": {"a": "INTEGER", "b": "VARCHAR"}}, "x.csv:3", "column 'a': 'abc' is not INTEGER"),
        ("d\n2024-01-01\n2024-13-01\n", {"schema": {"d": "DATE"}}, "x.csv:3", "column 'd': '2024-13-01' is not DATE"),
        ("a\n" + "1\n" * 30000 + "oops\n", {}, "x.csv:30002", "column 'a': 'oops' is not BIGINT"),
        ("n\n99999999999999999999\n", {"schema": {"n": "BIGINT"}}, "x.csv:2", "column 'n': '99999999999999999999' is not BIGINT"),
        ("", {}, "x.csv:1", "the file is empty: it has no header"),
        ("\n \n", {}, "x.csv:1", "the file is empty: it has no header"),
        ("a,a\n1,2\n", {}, "x.csv:1:2", "two columns are called 'a'"),
        ("a,A\n1,2\n", {}, "x.csv:1:2", "two columns are called 'A'"),
        ("a,,b\n1,2,3\n", {}, "x.csv:1:2", "column 2 has no name"),
        ("a,b\n1,x\n", {"schema": {"a": "INTEGER", "c": "DATE"}}, "x.csv:1", "column 'c' is missing; the file has a, b"),
        ("A,b\n1,x\n", {"schema": {"a": "INTEGER", "b": "VARCHAR"}}, "x.csv:1", "column 'a' is missing; the file has A, b"),
        ("\na,b,c\n1,x,z\n", {"schema": {"a": "INTEGER", "b": "VARCHAR"}}, "x.csv:2:3", "column 'c' is new; expected a, b"),
        ("ä,b\n1,Köln\n".encode("latin-1"), {}, "x.csv:1", "the file is not utf-8 text"),
        (b"\xff\xfe\x00", {}, "x.csv:1", "the file is not utf-8 text"),
        ("1,x\n", {"header": False, "schema": {"a": "INTEGER"}}, "x.csv:1", "the row has 2 columns, expected 1"),
    ],
)  # fmt: skip
def test_a_csv_that_is_wrong_is_named_with_line_and_column(
    rows: Reader, at: Lake, content: str | bytes, options: dict[str, Any], where: str, message: str
) -> None:
    with pytest.raises(SourceError) as caught:
        rows(content, "x.csv", **options)
    assert caught.value.message.lower() == message.lower()
    assert caught.value.where == f"{at.folder}/{where}"


def test_each_file_s_columns_go_by_name(rows: Reader) -> None:
    assert rows(
        {"m/1.csv": "a,b\n1,x\n", "m/2.csv": "b,a\ny,2\n", "m/_SUCCESS": "", "m/.hidden.csv": "c\n"},
        "m",
        format="csv",
    ) == (AB, [(1, "x"), (2, "y")])
    assert rows({}, "m/*.csv", filename="src")[0] == [*AB, ("src", "VARCHAR")]
    columns, found = rows({}, "m/?.csv", filename="src", schema={"b": "VARCHAR", "a": "INTEGER"})
    assert columns == [("b", "VARCHAR"), ("a", "INTEGER"), ("src", "VARCHAR")]
    assert [(b, a, path.rsplit("/", 1)[1]) for b, a, path in found] == [("x", 1, "1.csv"), ("y", 2, "2.csv")]


def test_one_file_of_many_that_differs_is_named(rows: Reader, at: Lake) -> None:
    with pytest.raises(SourceError, match=r"m/2.csv:1: column 'b' is missing"):
        rows({"m/1.csv": "a,b\n1,x\n", "m/2.csv": "a\n2\n"}, "m/*.csv")
    with pytest.raises(SourceError, match=r"n/2.csv:1:3: column 'c' is new"):
        rows(
            {"n/1.csv": "a,b\n1,x\n", "n/2.csv": "a,b,c\n2,y,z\n"},
            "n/*.csv",
            schema={"a": "BIGINT", "b": "VARCHAR"},
        )
    assert rows({}, "n/*.csv", schema={"a": "BIGINT", "b": "VARCHAR"}, extra_columns="ignore") == (
        AB,
        [(1, "x"), (2, "y")],
    )
    with pytest.raises(SourceError, match=r"o/2.csv:3: column 'a': 'zz' is not BIGINT"):
        rows(
            {"o/1.csv": "a,b\n1,x\n", "o/2.csv": "b,a\nx,1\ny,zz\n"},
            "o/*.csv",
            schema={"a": "BIGINT", "b": "VARCHAR"},
        )


def test_folder_names_are_columns(rows: Reader, at: Lake) -> None:
    content = {f"h/day=2024-01-0{day}/k=a%2Fb/x.csv": f"v\n{day}\n" for day in (1, 2)}
    columns = [("v", "BIGINT"), ("day", "DATE"), ("k", "VARCHAR")]
    expected = [(day, date(2024, 1, day), "a/b") for day in (1, 2)]
    assert rows(content, "h", format="csv") == (columns, expected)
    assert rows({}, "h/**/*.csv", schema={"day": "VARCHAR", "v": "INTEGER"}) == (
        [("day", "VARCHAR"), ("v", "INTEGER")],
        [("2024-01-01", 1), ("2024-01-02", 2)],
    )
    assert rows({}, "h/day=2024-01-02/k=a%2Fb/x.csv") == (columns, expected[1:])
    for day in (1, 2):
        at.db.rows(f"COPY (SELECT {day}::BIGINT AS v) TO '{at.folder}/p{day}.parquet'")
    content = {
        f"p/day=2024-01-0{day}/k=a%2Fb/x.parquet": (at.folder / f"p{day}.parquet").read_bytes()
        for day in (1, 2)
    }  # type: ignore[misc]
    assert rows(content, "p", format="parquet") == (columns, expected)  # type: ignore[arg-type]
    assert rows(
        {f"j/day=2024-01-0{day}/k=a%2Fb/x.json": f'[{{"v": {day}}}]' for day in (1, 2)}, "j", format="json"
    ) == (columns, expected)
    null = {"n/k=__HIVE_DEFAULT_PARTITION__/x.csv": "v\n1\n", "n/k=7/x.csv": "v\n2\n"}
    assert rows(null, "n", format="csv")[1] == [(1, None), (2, 7)]
    assert rows({"same/k=1/x.csv": "k,v\nown,1\n"}, "same/k=1/x.csv")[1] == [("own", 1)]


@pytest.mark.parametrize(
    ("content", "name", "options", "columns", "expected"),
    [
        ('[{"a": 1, "b": "x"}, {"b": null, "a": 2, "c": [1, 2]}]', "x.json", {}, [*AB, ("c", "BIGINT[]")], [(1, "x", None), (2, None, [1, 2])]),
        ('{"a": 1, "n": {"x": 1, "y": [{"z": "q"}]}}\n{"a": 2}\n', "x.ndjson", {}, [("a", "BIGINT"), ("n", "STRUCT(x BIGINT, y STRUCT(z VARCHAR)[])")], [(1, {"x": 1, "y": [{"z": "q"}]}), (2, None)]),
        ('{"a": 1}\n{"a": 2}\n', "x.json", {}, [("a", "BIGINT")], [(1,), (2,)]),
        ('[\n {\n "a": 1\n },\n {"a": 2}\n]', "x.json", {}, [("a", "BIGINT")], [(1,), (2,)]),
        ('{"a": 1}', "x.jsonl", {}, [("a", "BIGINT")], [(1,)]),
        ('[{"a": 9007199254740993}]', "x.json", {}, [("a", "BIGINT")], [(9007199254740993,)]),
        ('[{"d": "2024-01-01", "t": "10:00:00"}]', "x.json", {}, [("d", "DATE"), ("t", "VARCHAR")], [(date(2024, 1, 1), "10:00:00")]),
        ('[{"a": null}, {"a": null}]', "x.json", {"schema": {"a": "INTEGER"}}, [("a", "INTEGER")], [(None,), (None,)]),
        ("[]", "x.json", {"schema": {"a": "INTEGER"}}, [("a", "INTEGER")], []),
        ("", "x.ndjson", {"schema": {"a": "INTEGER"}}, [("a", "INTEGER")], []),
        ('{"a": 1, "z": 2}', "x.json", {"schema": {"a": "SMALLINT", "b": "DATE"}, "extra_columns": "ignore"}, [("a", "SMALLINT"), ("b", "DATE")], [(1, None)]),
        ('[{"a": {"k1": 1}}, {"a": {"k2": 2}}]', "x.json", {}, [("a", "STRUCT(k1 BIGINT, k2 BIGINT)")], [({"k1": 1, "k2": None},), ({"k1": None, "k2": 2},)]),
    ],
)  # fmt: skip
def test_json(
    rows: Reader, content: str, name: str, options: dict[str, Any], columns: Any, expected: Rows
) -> None:
    assert rows(content, name, **options) == (columns, bag(expected))


@pytest.mark.parametrize(
    ("content", "name", "options", "where", "message"),
    [
        ('{"a": 1}\n{"a": oops}\n{"a": 3}\n', "x.ndjson", {}, "x.ndjson:2:7", "malformed JSON"),
        ('{"a": 1}\n{"a": oops}\n{"a": 3}\n', "x.ndjson", {"schema": {"a": "INTEGER"}}, "x.ndjson:2:7", "malformed JSON"),
        ('[{"a": 1},\n {"a":', "x.json", {}, "x.json:2:7", "malformed JSON"),
        ('{"a": 1}\n{"a": "x"}\n', "x.ndjson", {"schema": {"a": "INTEGER"}}, "x.ndjson:2", "field 'a': 'x' is not INTEGER"),
        ('{"a": 1, "n": {"b": [5]}}\n{"a": 1, "n": {"b": ["x"]}}\n', "x.ndjson", {"schema": {"a": "INTEGER", "n": "STRUCT(b INTEGER[])"}}, "x.ndjson:2", '"x" does not fit'),
        ('[{"a": 1}, {"a": "x"}]', "x.json", {"schema": {"a": "INTEGER"}}, "x.json", "record 2: field 'a': 'x' is not INTEGER"),
        ('{"a": 1}\n' * 30000 + '{"a": "late"}\n', "x.ndjson", {}, "x.ndjson:30001", "field 'a': 'late' is not BIGINT"),
        ('{"a": 1, "z": 2}', "x.json", {"schema": {"a": "INTEGER"}}, "x.json", "column 'z' is new; expected a"),
        ("[]", "x.json", {}, "x.json", "there are no records"),
        ("", "x.ndjson", {}, "x.ndjson", "there are no records"),
        (b'\xef\xbb\xbf[{"a": 1}]', "x.json", {}, "x.json:1", "begins with a byte order mark"),
        ('[{"a": 1, "a": 2}]', "x.json", {}, "x.json", "record 1: Object"),
        (b"hello", "x.parquet", {}, "x.parquet", "too small to be a Parquet file"),
    ],
)  # fmt: skip
def test_json_and_parquet_that_are_wrong_are_named(
    rows: Reader, at: Lake, content: str | bytes, name: str, options: dict[str, Any], where: str, message: str
) -> None:
    with pytest.raises(SourceError) as caught:
        rows(content, name, **options)
    assert message in caught.value.message
    assert caught.value.where == f"{at.folder}/{where}"
    assert "\n" not in caught.value.message


def test_parquet_columns_are_checked_by_name(rows: Reader, at: Lake) -> None:
    at.db.rows(f"COPY (SELECT 1 AS a, 'x' AS b, TIME '10:00' AS t) TO '{at.folder}/x.parquet'")
    with pytest.raises(SourceError, match="has type TIME") as caught:
        rows({}, "x.parquet")
    assert "schema: {t: VARCHAR" in caught.value.hint
    assert rows({}, "x.parquet", schema={"t": "VARCHAR", "a": "BIGINT"}, extra_columns="ignore") == (
        [("t", "VARCHAR"), ("a", "BIGINT")],
        [("10:00:00", 1)],
    )
    with pytest.raises(SourceError, match="column 'b' is new"):
        rows({}, "x.parquet", schema={"a": "BIGINT", "t": "VARCHAR"})
    with pytest.raises(SourceError, match="column 'zz' is missing"):
        rows({}, "x.parquet", schema={"a": "BIGINT", "zz": "VARCHAR"}, extra_columns="ignore")
    for number, sql in enumerate(("SELECT 1 AS a", "SELECT 2::BIGINT AS a, 'n' AS b")):
        at.db.rows(f"COPY ({sql}) TO '{at.folder}/u{number}.parquet'")
    assert rows({}, "u*.parquet") == (AB, [(1, None), (2, "n")])
    at.db.rows(
        f"COPY (SELECT 1::UINTEGER AS u, 2::UBIGINT AS b, [3::UTINYINT] AS l) TO '{at.folder}/v.parquet'"
    )
    assert rows({}, "v.parquet") == (
        [("u", "BIGINT"), ("b", "DECIMAL(20,0)"), ("l", "SMALLINT[]")],
        [(1, Decimal(2), [3])],
    )


# --- remote ------------------------------------------------------------------------------------------


def test_files_on_any_file_system_are_read(at: Lake) -> None:
    base = f"memory://{uuid.uuid4()}"
    memory = fsspec.filesystem("memory")
    content = {
        "1.csv": b"a,b\n1,x\n", "2.csv": b"b,a\ny,2\n", "x.json": b'[{"a": 1, "b": "x"}]', "d/k=1/x.csv": b"v\n5\n", "d/_log/x.csv": b"no",
        "z.csv.gz": gzip.compress(b"a,b\n1,x\n"), "broken.csv": b"a,b\n1,x\n2\n",
    }  # fmt: skip
    for name, text in content.items():
        memory.pipe(f"{base.removeprefix('memory:/')}/{name}", text)

    def found(path: str, **options: Any) -> Rows:
        source, looked = seen(at, path, base, **options)
        return bag(at.db.rows(read(at.engine, source, looked)[0].sql))

    assert found("1.csv") == found("x.json") == found("z.csv.gz") == [(1, "x")]
    assert found("[12].csv") == [(1, "x"), (2, "y")]
    assert found("d", format="csv") == [(5, 1)]
    with pytest.raises(duckdb.Error) as caught:
        found("broken.csv")
    said = files.explain(caught.value)
    assert said.where.endswith("broken.csv:3")
    assert look(at.db, Source.of("nothing/*.csv", base, ReadOptions())) is None
    at.db.rows(f"COPY (SELECT 7 AS a) TO '{at.folder}/x.parquet'")
    memory.pipe(f"{base.removeprefix('memory:/')}/x.parquet", (at.folder / "x.parquet").read_bytes())
    assert found("x.parquet") == [(7,)]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("bogus://x/y.csv", "there is nothing that reads bogus://"),
        ("s3://x/y.csv", "cannot reach s3://x/y.csv"),
    ],
)
def test_a_file_system_that_is_not_there_is_said(at: Lake, url: str, says: str) -> None:
    with pytest.raises(Permanent, match=says):
        look(at.db, Source.of(url, "", ReadOptions()))


# --- versions --------------------------------------------------------------------------------------


def test_a_version_changes_with_a_byte_and_not_with_a_touch(at: Lake) -> None:
    file = at.folder / "x.csv"

    def version() -> str:
        return seen(at, "x.csv")[1].version

    file.write_text("a,b\n1,x\n")
    first = version()
    os.utime(file, (1, 1))
    assert version() == first
    os.utime(file, (2_000_000_000, 2_000_000_000))
    assert version() == first
    stamp = file.stat()
    file.write_text("a,b\n1,y\n")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert version() != first
    file.write_text("a,b\n1,x\n")
    assert version() == first


def test_names_of_files_count_where_they_are_part_of_the_rows(at: Lake) -> None:
    def version(name: str, path: str, **options: Any) -> str:
        file = at.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a\n1\n")
        found = seen(at, path, **options)[1].version
        file.unlink()
        return found

    assert version("one.csv", "one.csv") == version("two.csv", "two.csv")
    assert version("one.csv", "one.csv", filename="f") != version("two.csv", "two.csv", filename="f")
    assert version("k=1/x.csv", "k=1/x.csv") != version("k=2/x.csv", "k=2/x.csv")
    (at.folder / "m").mkdir()
    (at.folder / "m/0.csv").write_text("a\n0\n")
    assert version("m/1.csv", "m/*.csv") != version("m/2.csv", "m/*.csv")


def test_a_large_file_is_told_by_size_and_times(at: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HASHED_UP_TO", 3)
    (at.folder / "x.csv").write_text("a\n1\n")
    first = seen(at, "x.csv")[1].version
    os.utime(at.folder / "x.csv", (1, 1))
    assert seen(at, "x.csv")[1].version != first


def test_a_delta_table_s_version_is_its_content(at: Lake) -> None:
    def version(name: str = "t", **options: Any) -> tuple[str, int | None]:
        source = Source.of(name, str(at.folder), ReadOptions(**options))
        assert source.format == "delta"
        found = look(at.db, source)
        assert found is not None
        frame, schema = read(at.engine, source, found)
        assert [column.name for column in schema] == [row[0] for row in at.db.rows(f"DESCRIBE {frame.sql}")]
        return found.version, found.table_version

    at.write("SELECT 1 AS a")
    first = version()
    at.write("SELECT 2 AS a")
    assert version()[0] != first[0]
    at.write("SELECT 1 AS a")
    assert version() == (first[0], 2), "equal content, however it was written"
    at.write("SELECT 1 AS b")
    assert version()[0] != first[0], "another name for the column is another content"
    assert version(version=0)[1] == 0
    write_deltalake(str(at.folder / "t"), pa.table({"b": pa.array([5], pa.int32())}), mode="append")
    foreign = version()
    write_deltalake(str(at.folder / "t"), pa.table({"b": pa.array([6], pa.int32())}), mode="append")
    assert len({foreign[0], version()[0], first[0]}) == 3


# --- what a read says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("x", {}, "the format of 'x' is not clear"),
        ("x.csv.bz2", {}, "is not clear"),
        ("x.csv", {"sheet": 1}, "'sheet' is not an option of csv files"),
        ("x.parquet", {"header": True}, "'header' is not an option of parquet files"),
        ("x.json", {"delimiter": ";"}, "'delimiter' is not an option of json files"),
        ("x.xlsx", {"schema": {"a": "DATE"}}, "'schema' is not an option of excel files"),
        ("x.csv", {"encoding": "cp1252"}, "encoding 'cp1252' cannot be read"),
        ("x.csv", {"encoding": "klingon"}, "encoding 'klingon' cannot be read"),
    ],
)
def test_options_that_do_not_belong_are_refused(path: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(Permanent, match=message):
        Source.of(path, "/data", ReadOptions(**options))


def test_an_unknown_type_is_refused_before_anything_is_read(at: Lake) -> None:
    (at.folder / "x.csv").write_text("a\n1\n")
    with pytest.raises(Permanent, match="type 'STRNG', which DuckDB does not know") as caught:
        seen(at, "x.csv", schema={"a": "STRNG"})
    assert caught.value.hint == "did you mean 'STRING'?"


def test_what_an_earlier_run_made_of_a_file_is_expected_of_it(at: Lake) -> None:
    (at.folder / "x.csv").write_text("a\n1\n")
    source = Source.of("x.csv", str(at.folder), ReadOptions())
    found = look(at.db, source, schema_of({"a": "VARCHAR"}))
    assert found is not None
    assert found.schema == (Column("a", "VARCHAR"),)
    assert at.db.rows(read(at.engine, source, found)[0].sql) == [("1",)]
    (at.folder / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="column 'b' is new"):
        read(at.engine, source, found)


def test_looking_does_not_fail_for_what_reading_will_tell(at: Lake) -> None:
    (at.folder / "x.csv").write_text("a,b\n1,x\n2\n")
    assert seen(at, "x.csv")[1].problem is None, "a sample may not see the broken row"
    (at.folder / "y.json").write_text("{broken")
    found = seen(at, "y.json")[1]
    assert found.schema is None
    assert isinstance(found.problem, OdibiError)


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("/data", "a/b.csv", "/data/a/b.csv"), ("/data/", "b.csv", "/data/b.csv"), ("", "b.csv", "b.csv"), ("/", "b.csv", "/b.csv"),
        ("/data", "/abs.csv", "/abs.csv"), ("/data", "memory://x/y.csv", "memory://x/y.csv"), ("file:///data", "b.csv", "/data/b.csv"),
        ("s3://bucket", "b.csv", "s3://bucket/b.csv"), ("/data", "file:///x.csv", "/x.csv"),
    ],
)  # fmt: skip
def test_a_path_below_a_connection(base: str, path: str, url: str) -> None:
    assert files.join(base, path) == url


def test_json_is_what_json_says(at: Lake) -> None:
    values = [{"s": 'ü\n"x"'}, {"s": ""}, {"s": None}]
    (at.folder / "x.json").write_text(json.dumps(values))
    source, found = seen(at, "x.json")
    assert at.db.rows(read(at.engine, source, found)[0].sql) == [(value["s"],) for value in values]


@pytest.mark.parametrize(
    ("name", "kind", "value", "where"),
    [
        ("x.csv", "BIGINT", "12.5", ":3"),
        ("x.csv", "TINYINT", "1e-1", ":3"),
        ("x.csv", "DATE", "2026-01-05 10:00:00", ":3"),
        ("x.csv", "TIMESTAMP", "2026-01-05T10:00:00+02:00", ":3"),
        ("x.ndjson", "BIGINT", 12.5, ":2"),
        ("x.ndjson", "INTEGER", True, ":2"),
        ("x.json", "BIGINT", 12.5, ""),
        ("x.ndjson", "BOOLEAN", 2, ":2"),
    ],
)  # fmt: skip
def test_a_value_that_its_type_would_change_is_refused(
    rows: Reader, at: Lake, name: str, kind: str, value: Any, where: str
) -> None:
    """DuckDB rounds 12.5 to a whole number, and drops what a day or a time without zone cannot hold."""
    records = [{"k": 1, "v": None}, {"k": 2, "v": value}]
    text = {
        "x.csv": f'k,v\n1,\n2,"{value}"\n',
        "x.json": json.dumps(records),
        "x.ndjson": "\n".join(map(json.dumps, records)),
    }[name]
    with pytest.raises(SourceError, match=f"'v': '.*' is not {kind}") as caught:
        rows(text, name, schema={"k": "BIGINT", "v": kind})
    assert caught.value.where == f"{at.folder}/{name}{where}"


@pytest.mark.parametrize("value", ["1e3", "1000.0", " 1000", "+1000", "1000."])
def test_a_whole_number_may_be_written_in_any_way(rows: Reader, value: str) -> None:
    assert rows(f"k\n{value}\n", "x.csv", schema={"k": "BIGINT"})[1] == [(1000,)]


LOST = {
    "blank lines that end otherwise": ("x.csv", b"\n\nk,v\r\n1,a\r\n", "its lines end in different ways"),
    "line ends converted twice": ("x.csv", b"k,v\r\r\n1,a\r\r\n", "its lines end in different ways"),
    "a day without end": ("x.csv", b"k,v,d\n1,a,infinity\n", "'infinity' is not DATE"),
    "an array cut after a record": ("x.json", b'[\n{"k": 1, "v": "a"},\n', "the file is cut off"),
    "a single byte": ("x.ndjson", b"I", "malformed JSON: a single character"),
    "brackets without end": ("x.ndjson", b"[" * 5000, "malformed JSON"),
    "true as a number": ("x.ndjson", b'{"k": 1, "v": "a", "n": true}', "field 'n': 'true' is not DOUBLE"),
}
"""What DuckDB loads as no rows, as fewer, or as others."""


@pytest.mark.parametrize(("name", "content", "message"), LOST.values(), ids=LOST.keys())
def test_what_would_be_lost_without_a_word_is_refused(
    rows: Reader, at: Lake, name: str, content: bytes, message: str
) -> None:
    types = {"k": "BIGINT", "v": "VARCHAR", **({"d": "DATE"} if b",d" in content else {}), "n": "DOUBLE"}
    if name == "x.csv":
        del types["n"]
    with pytest.raises(SourceError) as caught:
        rows(content, name, schema=types)
    assert message in caught.value.message
    assert caught.value.where.startswith(f"{at.folder}/{name}")


def test_json_that_holds_no_records_is_refused(rows: Reader) -> None:
    for content in ('[{"a": 1}]\n[{"a": 2}]', "[1, 2]", "5", "{}"):
        with pytest.raises(SourceError, match="there are no records"):
            rows(content, "x.json")
