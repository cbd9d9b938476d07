"""Broken data fails the step that reads it, and nothing else: the rest finishes, what was kept stays as it was."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.flow.helpers import odibi

COLUMNS = "id,name,amount"
FIRST = ((1, "Ana", 10), (2, "Bo", 20), (3, "Cy", 30))
SECOND = (*FIRST, (4, "Di", 40), (5, "Eve", 50))
Rows = tuple[tuple[int, str, int], ...]


def csv(rows: Rows) -> bytes:
    return "\n".join([COLUMNS, *(f"{i},{name},{amount}" for i, name, amount in rows), ""]).encode()


def ndjson(rows: Rows) -> bytes:
    names = COLUMNS.split(",")
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows).encode()


def array(rows: Rows) -> bytes:
    return b"[\n" + ndjson(rows).replace(b"}\n{", b"},\n{") + b"]\n"


def parquet(rows: Rows) -> bytes:
    table = pa.table(dict(zip(COLUMNS.split(","), map(list, zip(*rows, strict=True)), strict=True)))
    pq.write_table(table, made := io.BytesIO())
    return made.getvalue()


def excel(rows: Rows) -> bytes:
    book = openpyxl.Workbook()
    for row in (COLUMNS.split(","), *rows):
        book.worksheets[0].append(list(row))
    book.save(made := io.BytesIO())
    return made.getvalue()


def zstd(rows: Rows) -> bytes:
    with pa.CompressedOutputStream(made := pa.BufferOutputStream(), "zstd") as stream:
        stream.write(csv(rows))
    return bytes(made.getvalue())


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


@dataclass(frozen=True)
class Damage:
    """What becomes of a file of the second day; the error begins with ``where`` and holds ``says``."""

    file: str
    made: Callable[[Rows], bytes]
    broken: Callable[[bytes], bytes]
    where: str
    says: tuple[str, ...]
    schema: str = ""  # what the step declares; else it is what the first day's file held


def changed(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert content.count(old.encode()) == 1
        return content.replace(old.encode(), new.encode())

    return change


DECLARED = "{id: INTEGER, name: VARCHAR, amount: INTEGER}"
DAMAGES = {
    "short_row": Damage("a.csv", csv, changed("4,Di,40", "4,Di"), ":5", ("2 columns, expected 3",)),
    "long_row": Damage("b.csv", csv, changed("4,Di,40", "4,Di,40,x"), ":5", ("4 columns, expected 3",)),
    "missing_column": Damage(
        "c.csv", csv, lambda text: text.replace(b",amount", b"").replace(b"0\n", b"\n"), ":1", ("column 'amount' is missing",)
    ),
    "renamed_column": Damage(
        "d.csv", csv, changed("amount", "amuont"), ":1", ("column 'amount' is missing", "did you mean 'amuont'?")
    ),
    "other_type": Damage(
        "e.csv", csv, changed("Di,40", "Di,many"), ":5", ("column 'amount'", "'many' is not BIGINT")
    ),
    "other_type_than_declared": Damage(
        "f.csv", csv, changed("Di,40", "Di,4O"), ":5", ("column 'amount'", "'4O' is not INTEGER"), DECLARED
    ),
    "extra_column": Damage(
        "g.csv", csv, lambda text: text.replace(b"amount\n", b"amount,tax\n").replace(b"0\n", b"0,1\n"), ":1:4",
        ("column 'tax' is new",),
    ),
    "open_quote": Damage("h.csv", csv, changed("4,Di", '4,"Di'), ":5", ("quote",)),
    "not_utf8": Damage("i.csv", csv, lambda text: text.replace(b"Di", b"D\xff"), ":5", ("utf-8",)),
    "empty": Damage("j.csv", csv, lambda _: b"", ":1", ("the file is empty",)),
    "cut_gzip": Damage("k.csv.gz", lambda rows: gzip.compress(csv(rows)), half, ": ", ("end of gzip stream",)),
    "no_gzip": Damage("t.csv.gz", lambda rows: gzip.compress(csv(rows)), lambda _: b"none", ": ", ("gzip",)),
    "start_of_gzip": Damage(
        "u.csv.gz", lambda rows: gzip.compress(csv(rows)), lambda content: content[:12], ": ", ("the compressed file",)
    ),
    "cut_zstd": Damage("s.csv.zst", zstd, lambda content: content[:-9], ": ", ("the compressed file cannot be read",)),
    "broken_line": Damage("l.ndjson", ndjson, changed('"name": "Di",', '"name": "Di"'), ":4:", ("malformed JSON",)),
    "other_type_in_json": Damage(
        "m.ndjson", ndjson, changed('"amount": 40', '"amount": "many"'), ":4", ("field 'amount'", "many")
    ),
    "broken_array": Damage("n.json", array, changed('"name": "Di",', '"name": "Di"'), ":5:", ("malformed JSON",)),
    "half_a_parquet": Damage("o.parquet", parquet, half, "", ("o.parquet",)),
    "no_parquet": Damage("p.parquet", parquet, lambda _: b"", "", ("p.parquet",)),
    "no_excel": Damage("q.xlsx", excel, lambda _: b"this is no workbook", "", ("not a readable workbook",)),
    "words_in_excel": Damage(
        "r.xlsx", excel, lambda _: excel((*SECOND[:3], (4, "Di", "many"), SECOND[4])), ":5", ("column 'amount'",)  # type: ignore[arg-type]
    ),
}  # fmt: skip
IN = "configs/data/in"
HEAD = """
pipeline: intake
connections: {in: {url: configs/data/in}, lake: {url: .odibi/lake}}
samples: 0
steps:
"""
BRANCH = """
  - {name: %(name)s, layer: bronze, read: {from: in, path: %(file)s%(schema)s}, write: {to: lake}}
  - {name: %(name)s_sums, layer: gold, sql: "SELECT count(*) AS n, sum(amount) AS total FROM %(name)s", write: {to: lake}}
"""


def branch(name: str, file: str, schema: str = "") -> str:
    return BRANCH % {"name": name, "file": file, "schema": f", schema: {schema}" if schema else ""}


@dataclass(frozen=True)
class Table:
    """What a reader finds."""

    version: int
    rows: list[tuple[Any, ...]]


def table(folder: Path) -> Table:
    """A Delta table, read without odibi."""
    handle = DeltaTable(str(folder))
    rows = duckdb.sql(
        f"SELECT * FROM read_parquet({handle.file_uris()!r}, hive_partitioning=true)"
    ).fetchall()
    return Table(handle.version(), sorted(rows, key=str))


class Intake:
    """A project with a branch for every damage and a sound one, and what became of it day by day."""

    def __init__(self, folder: Path, damages: Mapping[str, Damage] = DAMAGES) -> None:
        self.folder = folder
        self.damages = damages
        (folder / IN).mkdir(parents=True)
        branches = [branch(name, each.file, each.schema) for name, each in damages.items()]
        (folder / "configs/intake.yaml").write_text(HEAD + "".join([*branches, branch("sound", "sound.csv")]))

    def put(self, rows: Rows, *, damaged: bool = False) -> None:
        """The files of a day."""
        for each in self.damages.values():
            content = each.made(rows)
            (self.folder / IN / each.file).write_bytes(each.broken(content) if damaged else content)
        (self.folder / IN / "sound.csv").write_bytes(csv(rows))

    def run(self) -> CompletedProcess[str]:
        return odibi("run", "--date", "2026-01-05", cwd=self.folder)

    def tables(self) -> dict[str, Table]:
        logs = (self.folder / ".odibi/lake").glob("*/*/_delta_log")
        folders = [log.parent for log in logs]
        return {path.name: table(path) for path in folders}

    def record(self) -> dict[str, Any]:
        """The record of the last run."""
        return dict(json.loads(odibi("story", "--json", "-", cwd=self.folder).stdout)["run"])


@dataclass(frozen=True)
class Days:
    """A good day, a bad day, and the bad day's files repaired."""

    project: Intake
    before: Mapping[str, Table]
    failed: CompletedProcess[str]
    after: Mapping[str, Table]
    record: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]]
    story: str
    repaired: CompletedProcess[str]
    end: Mapping[str, Table]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Days:
    project = Intake(tmp_path_factory.mktemp("intake"))
    project.put(FIRST)
    first = project.run()
    assert first.returncode == 0, first.stderr
    before = project.tables()
    project.put(SECOND, damaged=True)
    failed = project.run()
    after, record = project.tables(), project.record()
    (told,) = (line for line in failed.stdout.splitlines() if line.startswith("Story: "))
    story = (project.folder / told.removeprefix("Story: ")).read_text("utf-8")
    project.put(SECOND)
    repaired = project.run()
    steps = {step["name"]: step for step in record["steps"]}
    return Days(project, before, failed, after, record, steps, story, repaired, project.tables())


def test_a_run_over_broken_files_fails_with_1(days: Days) -> None:
    assert days.failed.returncode == 1
    assert "Traceback" not in days.failed.stdout + days.failed.stderr
    assert days.record["status"] == "Failed"
    assert {name for name, step in days.steps.items() if step["status"] == "failed"} == set(DAMAGES)


@pytest.mark.parametrize("name", DAMAGES)
def test_the_error_names_file_line_and_column(name: str, days: Days) -> None:
    """On stderr, in the record and in the story; one line each."""
    damage, error = DAMAGES[name], days.steps[name]["error"]
    (told,) = (line for line in days.failed.stderr.splitlines() if f"step '{name}':" in line)
    place = f"{IN}/{damage.file}{damage.where}"
    assert told.startswith(f"error: step '{name}': {place}"), told
    for phrase in damage.says:
        assert phrase.lower() in told.lower()
    assert error["where"].startswith(place.removesuffix(": "))
    assert error["message"] in told
    assert error["permanent"]
    assert error["message"] in unescape(days.story)
    assert len(told) < 400


@pytest.mark.parametrize("name", DAMAGES)
def test_what_was_kept_stays_as_it_was(name: str, days: Days) -> None:
    assert days.after[name] == days.before[name]
    assert days.after[f"{name}_sums"] == days.before[f"{name}_sums"]
    assert days.steps[f"{name}_sums"]["status"] == "not_run"


def test_other_branches_finish(days: Days) -> None:
    assert days.steps["sound"]["status"] == days.steps["sound_sums"]["status"] == "completed"
    assert days.after["sound_sums"] == Table(1, [(5, 150)])


def test_after_the_repair_all_is_as_if_nothing_had_failed(
    days: Days, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert days.repaired.returncode == 0, days.repaired.stderr
    undisturbed = Intake(tmp_path_factory.mktemp("undisturbed"))
    for rows in (FIRST, SECOND):
        undisturbed.put(rows)
        assert undisturbed.run().returncode == 0
    assert days.end == undisturbed.tables()
    assert {found.version for found in days.end.values()} == {1}
    assert all(found.rows == [(5, 150)] for name, found in days.end.items() if name.endswith("_sums"))


def test_files_that_nothing_is_known_of_and_that_cannot_be_read(tmp_path: Path) -> None:
    """On the first day of all a file that can be read in some way has the columns it has; the others fail."""
    readable = {"missing_column", "renamed_column", "other_type", "extra_column", "other_type_in_json"}
    project = Intake(tmp_path, {name: each for name, each in DAMAGES.items() if name not in readable})
    project.put(SECOND, damaged=True)
    ended = project.run()
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False), ended.stderr
    steps = {step["name"]: step for step in project.record()["steps"]}
    for name, damage in project.damages.items():
        assert steps[name]["status"] == "failed"
        assert steps[name]["error"]["where"].startswith(
            f"{IN}/{damage.file}{damage.where}".removesuffix(": ")
        )
    assert project.tables().keys() == {"sound", "sound_sums"}


def test_the_example_with_a_broken_row(tmp_path: Path) -> None:
    """What needs the orders stops, customers and payments go on; the gold tables of orders stay readable."""
    for name in ("configs", "steps"):
        shutil.copytree(Path(__file__).parents[2] / name, tmp_path / name)

    def run() -> CompletedProcess[str]:
        return odibi("run", "configs/daily.yaml", cwd=tmp_path)

    def gold() -> dict[str, Table]:
        return {path.name: table(path) for path in (tmp_path / ".odibi/lake/gold").iterdir() if path.is_dir()}

    orders = tmp_path / "configs/data/shop/orders/2026-01-05.csv"
    payments = tmp_path / "configs/data/shop/payments/2026-01-05.ndjson"
    whole = orders.read_bytes(), payments.read_bytes()
    payments.write_bytes(whole[1].split(b"\n", 1)[1])
    assert run().returncode == 0
    before = gold()
    lines = whole[0].splitlines(keepends=True)
    cells = lines[9].split(b",")
    orders.write_bytes(b"".join([*lines[:9], b",".join([*cells[:3], b"several", *cells[4:]]), *lines[10:]]))
    payments.write_bytes(whole[1])
    ended = run()
    assert ended.returncode == 1
    place = "configs/data/shop/orders/2026-01-05.csv:10"
    assert ended.stderr.startswith(
        f"error: step 'raw_orders': {place}: column 'quantity': 'several' is not INTEGER"
    )
    after = gold()
    assert {name for name in after if after[name] != before[name]} == {"cash_by_day"}
    orders.write_bytes(whole[0])
    assert run().returncode == 0
    assert {name: found.rows for name, found in gold().items() if name != "cash_by_day"} == {
        name: found.rows for name, found in before.items() if name != "cash_by_day"
    }
    assert gold()["cash_by_day"] == after["cash_by_day"]
