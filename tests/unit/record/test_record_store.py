"""What the verbs of the run store promise, on SQLite and on PostgreSQL."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text

from odibi.errors import Permanent
from odibi.record import ErrorRecord, RunStatus, RunStore, StepStatus, open_store
from tests.services import postgres_schema
from tests.unit.record.records import NOON, a_run, a_step, an_attempt


def test_a_run_is_there_from_its_start_to_its_end(store: RunStore) -> None:
    run = a_run()
    store.start_run(run)
    assert store.run(run.run_id) == run

    running = a_step("raw_orders", status=StepStatus.RUNNING, started_at=NOON, reason="new data")
    store.save_step(run.run_id, running)
    assert store.run(run.run_id).steps == (running, run.steps[1])

    done = tuple(
        step.model_copy(update={"status": StepStatus.COMPLETED, "attempts": (an_attempt(),)})
        for step in run.steps
    )
    end = run.model_copy(
        update={"status": RunStatus.SUCCEEDED, "steps": done, "ended_at": NOON + timedelta(seconds=3)}
    )
    store.finish_run(end)
    assert store.run(run.run_id) == end


def test_what_is_written_is_there_when_the_store_is_opened_again(url: str) -> None:
    run = a_run()
    with open_store(url) as store:
        store.start_run(run)
    with open_store(url) as store:
        assert store.run(run.run_id) == run


def test_plain_sql_finds_what_is_asked_for_in_columns(store: RunStore) -> None:
    store.start_run(a_run(steps=(a_step("orders", rows_out=5_000_000_000, status=StepStatus.COMPLETED),)))
    with store.database.read() as connection:
        found = connection.execute(
            text(
                "SELECT r.pipeline, r.started_at, s.name, s.status, s.rows_out FROM runs r JOIN steps s USING (run_id)"
            )
        ).one()
    assert tuple(found) == ("daily", "2026-03-01T12:00:00.000000Z", "orders", "completed", 5_000_000_000)


def test_saving_a_step_replaces_it_and_its_attempts(store: RunStore) -> None:
    run = a_run()
    store.start_run(run)
    failed = a_step("orders", attempts=(an_attempt(1, StepStatus.FAILED), an_attempt(2)))
    for step in (failed, failed.model_copy(update={"attempts": (an_attempt(1),)})):
        store.save_step(run.run_id, step)
        assert store.run(run.run_id).steps == (run.steps[0], step)


def test_a_step_the_run_did_not_start_with_comes_last(store: RunStore) -> None:
    run = a_run()
    store.start_run(run)
    store.save_steps(run.run_id, [a_step("late"), a_step("later"), a_step("raw_orders")])
    assert [step.name for step in store.run(run.run_id).steps] == ["raw_orders", "orders", "late", "later"]


def test_a_batch_is_saved_whole_or_not_at_all(store: RunStore) -> None:
    run = a_run()
    store.start_run(run)
    impossible = a_step("orders", attempts=(an_attempt(1), an_attempt(1)))
    with pytest.raises(Permanent, match="cannot be saved"):
        store.save_steps(run.run_id, [a_step("raw_orders", rows_out=7), impossible])
    assert store.run(run.run_id) == run


def test_finish_run_adds_what_was_never_saved(store: RunStore) -> None:
    run = a_run(status=RunStatus.SUCCEEDED)
    store.finish_run(run)
    assert store.run(run.run_id) == run


def test_the_same_run_does_not_start_twice(store: RunStore) -> None:
    store.start_run(a_run())
    with pytest.raises(Permanent, match="'20260301-aaaa' is already recorded"):
        store.start_run(a_run(pipeline="other"))
    assert store.pipelines() == ("daily",)


def test_a_step_of_an_unknown_run_is_refused(store: RunStore) -> None:
    with pytest.raises(Permanent, match="start_run before its steps"):
        store.save_step("nobody", a_step())
    assert store.runs() == ()


def test_a_run_is_found_by_the_beginning_of_its_id(store: RunStore) -> None:
    for name in ("abcd-1", "abcd-2", "abce", "ab%_x"):
        store.start_run(a_run(name))
    assert store.run("abce").run_id == "abce"
    assert store.run("abcd-2").run_id == "abcd-2"
    assert store.run("ab%_").run_id == "ab%_x"
    with pytest.raises(Permanent, match=r"more than one run begins with 'abcd'.*abcd-2, abcd-1"):
        store.run("abcd")
    with pytest.raises(Permanent, match=r"no run 'abc'.*did you mean 'abce'"):
        store.run("abc")  # too short to be a prefix
    with pytest.raises(Permanent, match="no run 'a___'"):
        store.run("a___")  # no wildcards


def test_an_unknown_run_names_the_nearest(store: RunStore) -> None:
    with pytest.raises(Permanent, match="no run is recorded yet"):
        store.run("20260301-aaab")
    store.start_run(a_run())
    with pytest.raises(Permanent, match=r"no run '20260301-aaab'.*did you mean '20260301-aaaa'"):
        store.run("20260301-aaab")


def test_runs_are_listed_newest_first_with_light_steps(store: RunStore) -> None:
    heavy = a_step(
        "orders",
        status=StepStatus.FAILED,
        started_at=NOON,
        rows_out=3,
        reason="its SQL changed",
        sql="select 1",
        attempts=(an_attempt(),),
        error=ErrorRecord(kind="SourceError", message="no such column"),
    )
    for minute, pipeline in enumerate(["daily", "hourly", "daily", "daily"]):
        store.start_run(
            a_run(f"run-{minute}", minute, pipeline=pipeline, params={"n": minute}, steps=(heavy,))
        )
    assert [run.run_id for run in store.runs()] == ["run-3", "run-2", "run-1", "run-0"]
    assert [run.run_id for run in store.runs("daily", limit=2)] == ["run-3", "run-2"]
    assert store.runs("weekly") == ()
    light = heavy.model_copy(update={"sql": "", "attempts": (), "error": None})
    assert store.runs("hourly") == (a_run("run-1", 1, pipeline="hourly", params={"n": 1}, steps=(light,)),)


def test_last_run_is_whole_and_may_be_asked_before_another(store: RunStore) -> None:
    runs = [
        a_run("a", 0, steps=(a_step(sql="select 1", attempts=(an_attempt(),)),)),
        a_run("b", 1),
        a_run("c", 1),  # the same instant: the id decides
        a_run("d", 2, pipeline="hourly"),
    ]
    for run in runs:
        store.start_run(run)
    assert store.last_run("daily") == runs[2]
    assert store.last_run("daily", before=runs[2]) == runs[1]
    assert store.last_run("daily", before=runs[1]) == runs[0]
    assert store.last_run("daily", before=runs[0]) is None
    assert store.last_run("weekly") is None
    assert store.pipelines() == ("daily", "hourly")


def test_threads_save_steps_at_the_same_time(store: RunStore) -> None:
    steps = [a_step(f"step_{i}") for i in range(100)]
    store.start_run(a_run(steps=steps))
    done = [
        step.model_copy(update={"rows_out": i, "attempts": (an_attempt(),)}) for i, step in enumerate(steps)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda step: store.save_step("20260301-aaaa", step), done))
    assert store.run("20260301-aaaa").steps == tuple(done)


def test_a_time_without_zone_is_refused(store: RunStore) -> None:
    with pytest.raises(ValueError, match="without zone"):
        store.start_run(a_run(started_at=NOON.replace(tzinfo=None)))


@pytest.mark.parametrize(
    ("detail", "says"),
    [('{"colour": "red"}', r"StepRecord: colour: Extra"), ('{"sql', r"StepRecord: Unterminated")],
)
def test_a_record_of_another_version_is_told_as_such(store: RunStore, detail: str, says: str) -> None:
    store.start_run(a_run())
    with store.database.write() as connection:
        connection.execute(
            text("UPDATE steps SET detail = :detail WHERE name = 'orders'"), {"detail": detail}
        )
    with pytest.raises(Permanent, match=f"cannot read: {says}.*another version of odibi"):
        store.run("20260301-aaaa")


def test_a_connection_the_server_has_closed_is_opened_again(postgres_url: str) -> None:
    mine = f"test-{uuid.uuid4().hex}"
    with open_store(f"{postgres_schema(postgres_url)}&application_name={mine}") as store:
        store.start_run(a_run())
        with psycopg.connect(postgres_url) as other:
            close = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            assert len(other.execute(close, [mine]).fetchall()) >= 1
        store.save_step("20260301-aaaa", a_step("orders", rows_out=1))
        assert store.run("20260301-aaaa").steps[1].rows_out == 1
