"""A run that has nothing to do does not plan; whatever changes makes it plan again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake

from odibi.record.migrations import MIGRATIONS
from odibi.record.store import open_store
from odibi.unchanged.repeat import SCHEMA
from tests.flow.helpers import odibi, project, start

CONFIG = """
    pipeline: still
    date: "2026-01-05"
    connections:
      in: {url: "${env:IN:-in}"}
      lake: {url: lake, format: delta}
    steps:
      - {name: sales, layer: bronze, read: {from: in, path: "sales/*.csv"}, write: {to: lake}}
      - {name: big, layer: silver, inputs: [sales], transform: [{filter: "amount > {{ least }}"}]}
      - {name: total, layer: gold, sql: total.sql, write: {to: lake}}
      - {name: ranked, layer: gold, function: "code_of.rank:ranked", inputs: {rows: sales}, write: {to: lake}}
    variables: {least: 10}
    targets: {prod: {variables: {least: 1}}}
"""
FILES = {
    "c.yaml": CONFIG,
    "total.sql": "SELECT sum(amount) AS total FROM big",
    "code_of/rank.py": """
        import pyarrow as pa


        def ranked(rows: pa.Table) -> pa.Table:
            return rows.sort_by("amount")
    """,
    "in/sales/a.csv": "id,amount\n1,20\n2,5\n",
    "other/sales/a.csv": "id,amount\n1,7\n",
}


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """A project that has run."""
    folder = project(tmp_path, FILES)
    done = odibi("run", "c.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def planned(folder: Path, *args: str, **env: str) -> bool:
    """Whether the next run planned: then its record names the process that did."""
    done = odibi("run", "c.yaml", *args, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(folder / ".odibi/state.db") as db:
        (start,) = db.execute("SELECT process_start FROM runs ORDER BY started_at DESC").fetchone()
    return bool(start)


def test_the_statements_are_those_of_the_run_store() -> None:
    assert len(MIGRATIONS) == SCHEMA


def test_it_is_recorded_and_told_like_any_other(tmp_path: Path) -> None:
    folder = project(tmp_path, FILES)
    odibi("run", "c.yaml", cwd=folder)
    quick = odibi("run", "c.yaml", cwd=folder)
    for facts in (folder / ".odibi/unchanged").iterdir():
        facts.unlink()
    slow = odibi("run", "c.yaml", cwd=folder)
    same = sorted(line.split(maxsplit=2) for line in slow.stdout.splitlines() if line.startswith("reused"))
    assert len(same) == 4
    assert sorted(line.split(maxsplit=2) for line in quick.stdout.splitlines()[1:-2]) == same
    assert quick.stdout.splitlines()[-2].endswith(": all 4 steps reused.")
    with open_store(str(folder / ".odibi/state.db")) as store:
        after, again, first = store.runs(limit=3)
        full = [store.run(run.run_id) for run in (after, again)]
    assert first.run_id != again.run_id
    said = [
        [(s.name, s.decision, s.status, s.reason, s.rows_out, s.key, s.digest) for s in r.steps] for r in full
    ]
    assert said[0] == said[1]
    assert full[0].steps[0].columns == full[1].steps[0].columns
    assert full[0].config_hash == full[1].config_hash
    assert (full[1].warnings, full[1].checkpoints) == ((), ())  # those of the run that did it
    story = Path(quick.stdout.splitlines()[-1].removeprefix("Story: "))
    page = (folder / story).read_text("utf-8")
    assert first.run_id in page
    assert "all" in page or "reused" in page
    index = (folder / ".odibi/stories/index.html").read_text("utf-8")
    assert index.count(again.run_id) == 1
    told = odibi("story", again.run_id[:8], cwd=folder)
    assert told.returncode == 0, told.stderr


def more(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a source grows": lambda f: more(f / "in/sales/a.csv", "3,9\n"),
    "a source of the same size": lambda f: (f / "in/sales/a.csv").write_text("id,amount\n1,20\n2,6\n"),
    "another source": lambda f: (f / "in/sales/b.csv").write_text("id,amount\n7,7\n"),
    "a source is gone": lambda f: (f / "in/sales/a.csv").rename(f / "in/sales/c.csv"),
    "SQL": lambda f: (f / "total.sql").write_text("SELECT max(amount) AS total FROM big"),
    "a function": lambda f: more(f / "code_of/rank.py", "\n# a comment\n"),
    "the config": lambda f: more(f / "c.yaml", "description: new\n"),
    "a table is gone": lambda f: shutil.rmtree(f / "lake/gold/total"),
    "a foreign commit": lambda f: write_deltalake(
        str(f / "lake/bronze/sales"),
        DeltaTable(str(f / "lake/bronze/sales")).to_pyarrow_table(),
        mode="append",
    ),
    "a dead run": lambda f: (f / ".odibi/intents/x.jsonl").write_text(""),
    "the run is forgotten": lambda f: [path.unlink() for path in (f / ".odibi").glob("state.db*")],
    "facts are cut off": lambda f: [
        path.write_text(path.read_text()[:100]) for path in (f / ".odibi/unchanged").iterdir()
    ],
}


def test_whatever_changes_is_noticed(still: Path) -> None:
    assert not planned(still)
    for name, change in CHANGES.items():
        change(still)
        assert planned(still), name
        assert not planned(still), f"the run after {name}"


def test_it_is_done_whoever_listens(still: Path) -> None:
    with start("run", "c.yaml", cwd=still) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0
    left = [path.name for path in (still / ".odibi").rglob(".*")]
    assert left == []


def test_what_is_asked_for_is_noticed(still: Path) -> None:
    assert not planned(still)
    assert planned(still, "--param", "least=4")
    assert planned(still, "--date", "2026-01-04")
    assert planned(still, "--target", "prod")
    assert planned(still, "--full-refresh")
    assert planned(still, IN="other")
    assert planned(still)  # the tables are those of the other folder


def test_what_no_look_can_tell_is_always_planned(tmp_path: Path) -> None:
    folder = project(tmp_path, FILES | {"total.sql": "SELECT sum(amount) AS total, now() AS at FROM big"})
    odibi("run", "c.yaml", cwd=folder)
    assert planned(folder)
    project(folder, {"total.sql": "SELECT sum(amount) AS total, '{{ timestamp }}' AS at FROM big"})
    odibi("run", "c.yaml", cwd=folder)
    assert planned(folder)


def test_a_file_touched_while_the_run_looked_is_looked_at_again(tmp_path: Path) -> None:
    folder = project(tmp_path, FILES)
    ahead = time.time() + 1000
    os.utime(folder / "in/sales/a.csv", (ahead, ahead))
    odibi("run", "c.yaml", cwd=folder)
    assert not list((folder / ".odibi/unchanged").glob("*"))
    assert planned(folder)
