"""The lock of a run: one holder, none that is dead, and epochs that only grow."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import sqlalchemy

from odibi.record import RunStatus, RunStore
from odibi.record import locks as module
from odibi.record.locks import Busy, Lock, cancel, free_epoch, take
from odibi.record.process import ABANDONED, this_process
from tests.unit.record.records import a_run


def hold(store: RunStore, **changes: Any) -> None:
    """Say that somebody else holds the lock."""
    values = {"epoch": 5, "run_id": "other", "beats": 0, "cancelled": 0, **this_process(), **changes}
    with store.database.write() as connection:
        columns = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        connection.execute(
            sqlalchemy.text(f"INSERT INTO locks (name, {columns}) VALUES ('p', {marks})"), values
        )


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_one_holder_at_a_time(store: RunStore) -> None:
    assert free_epoch(store, "p") == 0
    first = take(store, "p", "run-1")
    assert first.previous == 0
    for ask in (lambda: take(store, "p", "run-2"), lambda: free_epoch(store, "p")):
        with pytest.raises(Busy, match=r"p is being run by run-1 \(process"):
            ask()
    assert take(store, "other", "run-2").previous == 0
    first.release()
    second = take(store, "p", "run-2")
    assert (second.previous, second.epoch > first.epoch) == (first.epoch, True)
    assert first.beat() == "lost"
    first.release()
    with pytest.raises(Busy):
        take(store, "p", "run-3")


def test_the_dead_hold_nothing(store: RunStore) -> None:
    hold(store, pid=dead())
    assert free_epoch(store, "p") == 5
    assert take(store, "p", "run").previous == 5


def test_a_run_that_fell_silent_elsewhere_has_failed(store: RunStore) -> None:
    store.start_run(a_run("other"))
    with store.database.write() as connection:
        connection.execute(sqlalchemy.text("UPDATE runs SET host = 'elsewhere'"))
    hold(store, host="elsewhere")
    assert store.run("other").status is RunStatus.RUNNING
    take(store, "p", "next", silence=0.2)
    assert (store.run("other").status, store.run("other").error) == (RunStatus.FAILED, ABANDONED)


def test_a_holder_elsewhere_holds_it_while_its_heart_beats(store: RunStore) -> None:
    hold(store, host="elsewhere")
    other = Lock(store, "p", "other", 5, 0)
    over = threading.Event()

    def live() -> None:
        while not over.wait(0.05):
            assert other.beat() == ""

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(Busy, match="on elsewhere"):
            take(store, "p", "run", silence=20)
    finally:
        over.set()
        thread.join()
    taken = take(store, "p", "run", silence=0.5)
    assert taken.previous == 5
    assert other.beat() == "lost"


def test_an_epoch_is_greater_than_the_last_whatever_the_clock_says(store: RunStore) -> None:
    far = time.time_ns()  # as of a clock that was far ahead
    hold(store, epoch=far, run_id="")
    assert take(store, "p", "run").epoch == far + 1


def test_who_holds_it_hears_that_the_run_is_to_end(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.05)
    news: list[str] = []
    heard = threading.Event()
    with take(store, "p", "run-1") as lock:
        lock.told = lambda what: (news.append(what), heard.set())  # type: ignore[assignment,func-returns-value]
        assert not cancel(store, "run-2")
        assert cancel(store, "run-1")
        assert heard.wait(10)
    assert news == ["cancelled"]
    assert not cancel(store, "run-1")
    assert free_epoch(store, "p") == lock.epoch
