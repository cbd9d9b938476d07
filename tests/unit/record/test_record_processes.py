"""Several processes share a store, and a process that is killed leaves a readable one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from odibi.record import RunStatus, RunStore, StepStatus, open_store
from odibi.record.migrations import MIGRATIONS
from odibi.record.process import is_gone, this_process
from odibi.record.store import ABANDONED
from tests.services import postgres_schema
from tests.unit.record.records import a_run

ROOT = Path(__file__).parents[3]
PROCESSES = 8


def _writer(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("writer.py")), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Ten places where no store has been."""
    if request.param == "sqlite":
        return [str(tmp_path / f"{i}" / "state.db") for i in range(10)]
    server = request.getfixturevalue("postgres_url")
    return [postgres_schema(server) for _ in range(10)]


def test_processes_open_at_the_same_instant_and_write_together(urls: list[str], tmp_path: Path) -> None:
    writers = [
        _writer("many", f"writer{i}", str(tmp_path / f"warm-up{i}.db"), *urls) for i in range(PROCESSES)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()  # its imports are done
    start = str(time.time() + 0.2)
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(f"{start}\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * PROCESSES, "\n".join(said)
    for url in urls:
        with open_store(url) as store, store.database.read() as connection:
            assert connection.scalar(text("SELECT COUNT(*) FROM schema_migrations")) == len(MIGRATIONS)
    with open_store(urls[-1]) as store:
        runs = store.runs(limit=1000)
    assert len(runs) == PROCESSES * 5
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert all(run.count(StepStatus.COMPLETED) == 10 for run in runs)


def test_a_killed_process_leaves_a_readable_store_and_a_failed_run(url: str) -> None:
    writer = _writer("endless", url)
    assert writer.stdout is not None
    for saved in writer.stdout:
        if saved == "50\n":
            break
    else:
        pytest.fail(writer.communicate()[1])
    with open_store(url) as store:
        assert store.run("20260301-aaaa").status is RunStatus.RUNNING
        writer.kill()
        # What the loop above read ahead is in its buffer, where ``communicate`` would not look.
        times = int((writer.stdout.read().split() or ["50"])[-1])
        writer.communicate()
        run = store.run("20260301-aaaa")
        assert (run.status, run.error) == (RunStatus.FAILED, ABANDONED)
        assert run.steps[1].rows_out in (times, times + 1)  # nothing lost that was said to be saved
        assert [(run.status, run.error) for run in store.runs()] == [(RunStatus.FAILED, ABANDONED)]
        store.start_run(a_run("next", minute=1))
        if store.database.dialect == "sqlite":
            with store.database.read() as connection:
                assert connection.scalar(text("PRAGMA integrity_check")) == "ok"


def _rewrite(store: RunStore, change: str) -> None:
    with store.database.write() as connection:
        connection.execute(text(f"UPDATE runs SET {change}"))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("pid = pid", RunStatus.RUNNING),
        ("process_start = process_start + 1", RunStatus.FAILED),  # the number was given to a new process
        ("process_start = 0", RunStatus.RUNNING),  # a system that does not say when processes start
        ("pid = 999999999", RunStatus.FAILED),
        ("pid = 999999999, host = 'elsewhere'", RunStatus.RUNNING),  # nobody here can tell
        ("pid = 999999999, status = 'Succeeded'", RunStatus.SUCCEEDED),
    ],
)
def test_a_running_run_has_failed_when_its_process_is_gone(
    tmp_path: Path, change: str, status: RunStatus
) -> None:
    with open_store(str(tmp_path / "state.db")) as store:
        store.start_run(a_run())
        _rewrite(store, change)
        assert store.run("20260301-aaaa").status is status
        assert store.runs()[0].status is status
        with store.database.read() as connection:  # derived, not written
            kept = connection.scalar(text("SELECT status FROM runs"))
        assert kept == ("Succeeded" if status is RunStatus.SUCCEEDED else "Running")


@pytest.mark.skipif(sys.platform != "linux", reason="ONLY LINUX TELLS a dead child from a living one")
def test_a_process_that_is_dead_but_not_yet_waited_for_is_gone() -> None:
    code = "from odibi.record.process import this_process; print(this_process()['process_start']); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    started = int(child.stdout.readline())
    host = str(this_process()["host"])
    assert started > 0
    assert not is_gone(host, child.pid, started)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    assert is_gone(host, child.pid, started)
    child.communicate()
