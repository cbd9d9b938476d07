"""The run's database: bounded memory, a folder that goes away, UTC, nothing of Python's in reach."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, DuckFrame


def test_what_does_not_fit_the_memory_limit_is_spilled_and_completes(tmp_path: Path) -> None:
    scratch = tmp_path / "deep" / "run"
    seen = threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            if any((scratch / "spill").glob("*")):
                seen.set()

    with Database(scratch, memory_limit="64MB") as db:
        stop = threading.Event()
        watcher = threading.Thread(target=watch)
        watcher.start()
        sql = "SELECT i::VARCHAR || 'some more text' AS k, count(*) AS n FROM range(1500000) r(i) GROUP BY k"
        staged = DuckDB(db).stage(DuckFrame(sql), (), str(tmp_path / "out"))
        stop.set()
        watcher.join()
        assert staged.rows == 1_500_000
        assert seen.is_set(), "the aggregate was to be larger than the limit"
    assert not scratch.exists()


def test_looking_leaves_nothing_on_disk(tmp_path: Path) -> None:
    with Database(tmp_path / "a" / "b") as db:
        assert db.rows("SELECT 1") == [(1,)]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_spilled_into_the_working_folder(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from odibi.engines.database import Database; from odibi.engines.duckdb import DuckDB, DuckFrame\n"
        "with Database(Path('scratch/run'), memory_limit='64MB') as db:\n"
        "    frame = DuckFrame('SELECT i::VARCHAR AS k, count(*) AS n FROM range(700000) r(i) GROUP BY k ORDER BY k')\n"
        "    print(DuckDB(db).stage(frame, (), 'out').rows)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "700000\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scratch"]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_python_variables_are_no_tables(tmp_path: Path) -> None:
    import pyarrow as pa

    visible = pa.table({"a": [1]})
    with Database(tmp_path / "x") as db:
        for cursor in (db.cursor, db.new_cursor()):
            with pytest.raises(duckdb.CatalogException):
                cursor.execute("SELECT * FROM visible")
    assert visible.num_rows == 1


def test_every_cursor_is_in_utc_whatever_the_machine_says(tmp_path: Path) -> None:
    code = (
        "import threading; from pathlib import Path; from odibi.engines.database import Database; from odibi.engines.duckdb import DuckDB, DuckFrame\n"
        "sql = \"SELECT current_setting('TimeZone') AS z, CAST(TIMESTAMPTZ '2024-07-01 00:00:00+00' AS VARCHAR) AS t\"\n"
        "with Database(Path('scratch')) as db:\n"
        "    found = [db.rows(sql), db.new_cursor().execute(sql).fetchall(), DuckDB(db).native(DuckFrame(sql)).fetchall()]\n"
        "    found.append([tuple(row.values()) for row in DuckDB(db).to_arrow(DuckFrame(sql)).read_all().to_pylist()])\n"
        "    thread = threading.Thread(target=lambda: found.append(db.rows(sql))); thread.start(); thread.join()\n"
        "    print(set(map(tuple, found)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TZ": "America/New_York"},
    )
    assert done.stdout == "{(('UTC', '2024-07-01 00:00:00+00'),)}\n", done.stderr


def test_a_long_query_ends_within_a_second_of_being_interrupted(tmp_path: Path) -> None:
    ended: list[object] = []

    def work(db: Database, stream: bool) -> None:
        sql = "SELECT sum(a.i * b.i) AS s FROM range(10000000) a(i), range(1000000) b(i)"
        try:
            if stream:
                DuckDB(db).to_arrow(DuckFrame(sql)).read_all()
            else:
                db.rows(sql)
        except Exception as error:
            ended.append((type(error).__name__, str(error)))

    with Database(tmp_path / "x") as db:
        threads = [threading.Thread(target=work, args=(db, stream)) for stream in (False, True)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        begun = time.monotonic()
        db.interrupt()
        for thread in threads:
            thread.join(5)
        assert time.monotonic() - begun < 1
        assert len(ended) == 2
        assert all("nterrupt" in name + text for name, text in ended)  # type: ignore[misc]
        assert db.rows("SELECT 1") == [(1,)]


def test_an_interrupt_may_be_for_one_thread(tmp_path: Path) -> None:
    sql = "SELECT sum(a.i * b.i) AS s FROM range(10000000) a(i), range(1000000) b(i)"
    ended: list[str] = []

    def work(name: str) -> None:
        with contextlib.suppress(duckdb.InterruptException):
            db.rows(sql)
        ended.append(name)

    with Database(tmp_path / "x") as db:
        threads = {name: threading.Thread(target=work, args=(name,)) for name in ("one", "other")}
        for thread in threads.values():
            thread.start()
        for name in ("other", "one"):
            while threads[name].is_alive():
                db.interrupt(threads[name].ident)
                threads[name].join(0.1)
    assert ended == ["other", "one"]


def test_names_are_given_once(tmp_path: Path) -> None:
    with Database(tmp_path / "x") as db:
        names: list[str] = []
        threads = [
            threading.Thread(target=lambda: names.extend(db.new_name() for _ in range(100))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(names)) == 400


def test_an_abandoned_database_is_left_to_the_end_of_the_process(tmp_path: Path) -> None:
    db = Database(tmp_path / "x")
    db.computing()
    db.abandon()
    db.close()
    assert db.rows("SELECT 1") == [(1,)]
    assert (tmp_path / "x").is_dir()
