"""Files damaged at random: each is loaded as Python's own readers read it, or refused with a message that names it.

``ODIBI_FUZZ=10000`` asks for more of them, ``ODIBI_FUZZ_SEED`` for one again.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from odibi.datasets.source import ReadOptions, Source, look, read
from odibi.errors import OdibiError
from odibi.run.outcome import error_record
from tests.unit.datasets.lake import Lake

COUNT = int(os.environ.get("ODIBI_FUZZ", "400"))
FIRST = int(os.environ.get("ODIBI_FUZZ_SEED", "0"))

SCHEMA = {"id": "BIGINT", "name": "VARCHAR", "price": "DOUBLE", "day": "DATE", "open": "BOOLEAN"}
NAMES = list(SCHEMA)
Row = dict[str, Any]

ODD = [
    *(
        "",
        "x",
        "NaN",
        "Infinity",
        "-inf",
        "1e999",
        "99999999999999999999",
        "12.5",
        "-0",
        "1e-1",
        "0x10",
        "1,5",
    ),
    *("9999-12-31", "0001-01-01", "2026-02-30", "2026-01-05 10:00:00", "true", "TRUE", "yes", "null", "NULL"),
    *(
        'say "hi"',
        "two\nlines",
        "a,b",
        "tab\t",
        "nul\0",
        "ü\U0001f600",
        "'",
        "\\",
        "\\N",
        "=1+1",
        " 7 ",
        "x" * 5000,
    ),
]
ODD_JSON: list[Any] = [
    *(None, True, 0, 2, -1, 12.5, 1e300, 10**30, "", "12", "x", [], [1], {}, {"a": 1}, {"a": {"b": [1, None]}}, float("nan")),
]  # fmt: skip


def rows_of(chance: Random) -> list[Row]:
    return [
        {
            "id": chance.choice([number, -number, 2**40 + number]),
            "name": chance.choice(["Ana", "Bo", "ü", "a b", None]),
            "price": chance.choice([1.5, -0.25, 1e10, 3.0, None]),
            "day": date.fromordinal(chance.randint(737_000, 740_000)).isoformat(),
            "open": chance.choice([True, False, None]),
        }
        for number in range(chance.randint(0, 12))
    ]


def as_cell(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def csv_of(chance: Random, rows: list[Row]) -> bytes:
    names = chance.choice(
        [NAMES, NAMES, NAMES[::-1], [*NAMES, "more"], NAMES[:-1], [n.upper() for n in NAMES]]
    )
    out = io.StringIO()
    write = csv.writer(out, lineterminator=chance.choice(["\n", "\n", "\r\n"]))
    write.writerow(names)
    for row in rows:
        cells = [as_cell(row.get(name.lower(), "m")) for name in names]
        if chance.random() < 0.2:
            cells[chance.randrange(len(cells))] = chance.choice(ODD)
        write.writerow(cells)
    return out.getvalue().encode()


def records_of(chance: Random, rows: list[Row]) -> list[Row]:
    for row in rows:
        if chance.random() < 0.3:
            row[chance.choice(NAMES)] = chance.choice(ODD_JSON)
        if chance.random() < 0.1:
            row[chance.choice(["more", "ID", *NAMES])] = chance.choice(ODD_JSON)
        if chance.random() < 0.1:
            row.pop(chance.choice(NAMES), None)
    return rows


def ndjson_of(chance: Random, rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in records_of(chance, rows)).encode()


def json_of(chance: Random, rows: list[Row]) -> bytes:
    return json.dumps(records_of(chance, rows), indent=chance.choice([None, 1])).encode()


def parquet_of(chance: Random, rows: list[Row]) -> bytes:
    kinds = [pa.int64(), pa.string(), pa.float64(), pa.date32(), pa.bool_()]
    columns = {
        name: pa.array([row[name] and date.fromisoformat(row[name]) if name == "day" else row[name] for row in rows], kind)
        for name, kind in zip(NAMES, kinds, strict=True)
    }  # fmt: skip
    if chance.random() < 0.2:
        columns["more"] = columns["id"]
    if chance.random() < 0.2:
        del columns[chance.choice(NAMES)]
    pq.write_table(pa.table(columns), made := io.BytesIO())
    return made.getvalue()


def _lines(content: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    return b"".join(change(content.splitlines(keepends=True)))


def damaged(chance: Random, content: bytes) -> bytes:
    """The file with something done to it that happens to files."""
    at = chance.randint(0, len(content))
    return chance.choice(
        [
            lambda: content[:at],
            lambda: content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :],
            lambda: content[:at] + chance.randbytes(3) + content[at:],
            lambda: content[:at] + chance.choice([b'"', b"\0", b"\n", b",", b"\r", b"{", b"}", b"[", b"\\"]) + content[at:],
            lambda: b"\xef\xbb\xbf" + content,
            lambda: content.decode("utf-8", "replace").encode(chance.choice(["utf-16", "latin-1", "utf-8"]), "replace"),
            lambda: content + content,
            lambda: _lines(content, lambda lines: [line for line in lines for _ in range(chance.choice([1, 1, 2]))]),
            lambda: _lines(content, lambda lines: lines[: chance.randint(0, len(lines))]),
            lambda: _lines(content, lambda lines: chance.sample(lines, len(lines))),
            lambda: content.replace(b"\n", b"\r\n"),
            lambda: content.rstrip(b"\n"),
            lambda: b"\n\n" + content,
            lambda: b"[" * 2000 + content,
            lambda: b"",
        ]
    )()  # fmt: skip


MAKERS = {"x.csv": csv_of, "x.ndjson": ndjson_of, "x.json": json_of, "x.parquet": parquet_of}


# --- read by Python ---------------------------------------------------------------------------


def by_python(name: str, content: bytes, columns: list[str]) -> list[Row]:
    """The rows as text, numbers and what JSON has. Raises whatever these readers raise."""
    if name == "x.parquet":
        return pq.read_table(io.BytesIO(content)).to_pylist()
    text = content.decode("utf-8-sig")
    if name == "x.csv":
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
        header = [cell.strip() for cell in lines[0]]
        assert all(len(line) == len(header) for line in lines), "rows of one length"
        return [dict(zip(header, line, strict=True)) for line in lines[1:]]
    found = list(values_in(text))
    if name == "x.json" and text.lstrip().startswith("["):
        found = [record for array in found for record in array]
    assert all(isinstance(each, dict) for each in found)
    return [{key: each.get(key) for key in columns} for each in found]


def values_in(text: str) -> Iterator[Any]:
    """JSON values one after the other."""
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = json.JSONDecoder().raw_decode(text, at)
        yield value


def same(kind: str, found: Any, given: Any) -> bool:
    """Whether a value that odibi loaded as the type is what the file says."""
    if given is None or given == "":
        return found is None or found == given
    if kind == "VARCHAR":
        text = (
            given if isinstance(given, str) else json.dumps(given, separators=(",", ":"), ensure_ascii=False)
        )
        return found == text or isinstance(given, float | int | dict | list)
    if kind in ("BIGINT", "DOUBLE"):
        text = str(given).strip()
        if text.lower().startswith("0x"):
            return bool(found == int(text, 16))
        number = float(text) if kind == "DOUBLE" or "e" in text.lower() or "." in text else int(text)
        return bool(found == number) or (math.isnan(number) and math.isnan(found))
    if kind == "BOOLEAN":
        yes, no = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")
        return str(given).strip().lower() in (yes if found else no)
    if kind == "DATE":
        return str(found) == str(given)[:10] and len(str(given).strip()) == 10
    return True  # what was sniffed: text, or nested


def same_row(types: dict[str, str], row: Row, given: Row) -> bool:
    return all(same(kind, row[column], given.get(column)) for column, kind in types.items())


def loaded(at: Lake, name: str, **options: Any) -> tuple[dict[str, str], list[Row]]:
    source = Source.of(name, str(at.folder), ReadOptions(**options))
    seen = look(at.db, source)
    assert seen is not None
    frame, schema = read(at.engine, source, seen)
    staged = at.engine.stage(frame, schema, str(at.db.scratch / at.db.new_name()))
    table = at.db.cursor.sql(f"FROM '{staged.parts[0].path}'").to_arrow_table()
    return {column.name: column.type for column in schema}, table.to_pylist()


@pytest.mark.parametrize("name", MAKERS)
def test_a_damaged_file_is_loaded_right_or_refused(at: Lake, name: str) -> None:
    at.folder.mkdir(parents=True, exist_ok=True)
    right = 0
    for seed in range(FIRST, FIRST + COUNT // len(MAKERS)):
        chance = Random(f"{name} {seed}")
        content = MAKERS[name](chance, rows_of(chance))
        for _ in range(chance.choice([0, 1, 1, 2])):
            content = damaged(chance, content)
        Path(at.folder, name).write_bytes(content)
        declared = {"schema": SCHEMA, "extra_columns": "ignore"} if chance.random() < 0.6 else {}
        where = f"seed {seed}: {content[:300]!r}"
        try:
            types, rows = loaded(at, name, **declared)
        except (OdibiError, duckdb.Error) as error:
            told = error_record(error, source=name)
            assert told.kind == "SourceError" or told.permanent, where
            assert name in f"{told.where} {told.message}", f"{where}: {told}"
            assert len(told.message) < 500, where
            continue
        right += 1
        try:
            expected = by_python(name, content, list(types))
        except (pa.ArrowException, OSError):
            continue  # it reads a note of its own in the footer that says the same again
        assert len(rows) == len(expected), where
        if declared:
            assert types == SCHEMA, where
        for row in rows:  # in any order
            found = next((each for each in expected if same_row(types, row, each)), None)
            assert found is not None, f"{where}: {row} is not in the file"
            expected.remove(found)
    assert right > COUNT // len(MAKERS) // 8
