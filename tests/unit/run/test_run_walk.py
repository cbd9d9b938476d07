"""The walk: in parallel within bounds, longest chain first, stopped by failures and by signals."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from odibi.config.loaded import Loaded
from odibi.datasets.staging import Intents
from odibi.engines.database import Database
from odibi.errors import ConfigError
from odibi.home import Home
from odibi.orchestrator import plan
from odibi.plan.model import Action, Decision, Plan
from odibi.record.model import StepRecord
from odibi.relational.bind import Binder
from odibi.run.context import RunContext
from odibi.run.retries import RACES
from odibi.run.walk import Walk, walk
from tests.unit.run.project import Project, read, sql, statuses, step_of

walking = import_module("odibi.run.walk")  # the package has a function of that name

SLEEPS = """
import time

NOTES = []

def sleep(*, seconds, fail=False):
    start = time.monotonic()
    time.sleep(seconds)
    if fail:
        raise ValueError('as told')
    return [{'start': start, 'end': time.monotonic()}]
"""


def sleeper(name: str, seconds: float, *, fail: bool = False, **more: Any) -> dict[str, Any]:
    params = {"seconds": seconds, **({"fail": True} if fail else {})}
    step = {"name": name, "layer": "silver", "function": "steps.sleeps:sleep", "params": params}
    return {**step, "write": {"to": "lake"}, **more}


@pytest.fixture
def sleeping(project: Project) -> Project:
    project.write("steps/sleeps.py", SLEEPS)
    return project


def intervals(project: Project, names: list[str]) -> list[tuple[float, float]]:
    return [project.rows(f"silver/{name}")[0] for name in names]  # type: ignore[misc]


def most_at_once(spans: list[tuple[float, float]]) -> int:
    return max(sum(start <= at < end for start, end in spans) for at, _ in spans)


def walked(
    loaded: Loaded, the_plan: Plan, *, workers: int = 2, fail_fast: bool = False,
    stop: queue.SimpleQueue[tuple[str, object]] | None = None, heard: list[StepRecord] | None = None,
) -> Walk:  # fmt: skip
    home = Home.find()
    with Database(home.scratch(loaded.run_id)) as db, Intents(home.intents, loaded.run_id) as intents:
        context = RunContext(loaded, the_plan, db, intents, Binder())
        listener = heard.append if heard is not None else lambda _: None
        done = walk(context, workers=workers, fail_fast=fail_fast, listener=listener, stop=stop)
        if done.stuck:
            db.abandon()
        return done


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_as_many_steps_at_once_as_there_are_workers(sleeping: Project, workers: int) -> None:
    names = [f"nap_{i}" for i in range(6)]
    result = sleeping.run([sleeper(name, 0.05) for name in names], workers=workers)
    assert result.success
    assert most_at_once(intervals(sleeping, names)) == workers


def test_the_pipeline_says_how_many_and_undistributed_is_one(sleeping: Project) -> None:
    names = [f"nap_{i}" for i in range(4)]
    steps = [sleeper(name, 0.05) for name in names]
    sleeping.run(steps, distributed_max_workers=4)
    assert most_at_once(intervals(sleeping, names)) == 4
    sleeping.run(steps, distributed=False, distributed_max_workers=4)
    assert most_at_once(intervals(sleeping, names)) == 1


def test_the_longest_chain_is_started_first(sleeping: Project) -> None:
    steps = [
        sleeper("short_a", 0.01),
        sleeper("short_b", 0.01),
        sleeper("long_1", 0.01),
        sleeper("long_2", 0.01, depends_on=["long_1"]),
        sleeper("long_3", 0.01, depends_on=["long_2"]),
    ]
    result = sleeping.run(steps, workers=1)
    started = sorted(result.run.steps, key=lambda step: step.started_at)  # type: ignore[arg-type, return-value]
    assert [step.name for step in started] == ["long_1", "long_2", "short_a", "short_b", "long_3"]


def test_a_diamond_waits_for_both_sides(sleeping: Project) -> None:
    steps = [
        sleeper("top", 0.0),
        sleeper("slow_side", 0.1, depends_on=["top"]),
        sleeper("fast_side", 0.0, depends_on=["top"]),
        sleeper("bottom", 0.0, depends_on=["slow_side", "fast_side"]),
    ]
    result = sleeping.run(steps, workers=2)
    bottom, slow = step_of(result, "bottom"), step_of(result, "slow_side")
    assert bottom.started_at >= slow.ended_at  # type: ignore[operator]


def test_every_change_of_a_step_is_told_in_order(project: Project) -> None:
    project.csv("in/a.csv", "id", (1,))
    loaded = project.load([read("raw", "a.csv"), sql("b", "SELECT * FROM raw"), sql("c", "SELECT 1 AS x")])
    heard: list[StepRecord] = []
    walked(loaded, plan(loaded), workers=1, heard=heard)
    told = {name: [str(r.status) for r in heard if r.name == name] for name in ("raw", "b", "c")}
    assert told == {
        "raw": ["running", "completed"],
        "b": ["pending", "running", "completed"],
        "c": ["running", "completed"],
    }


# --- failures ----------------------------------------------------------------------------------------


def forked() -> list[dict[str, Any]]:
    return [
        sleeper("bad", 0.0, fail=True),
        sleeper("after_bad", 0.0, depends_on=["bad"]),
        sleeper("far_after_bad", 0.0, depends_on=["after_bad"]),
        sleeper("good", 0.05),
        sleeper("after_good", 0.0, depends_on=["good"]),
        sleeper("joined", 0.0, depends_on=["after_good", "bad"]),
    ]


def test_a_failed_step_stops_those_that_need_it_and_nobody_else(sleeping: Project) -> None:
    result = sleeping.run(forked(), workers=2)
    assert statuses(result) == {
        "bad": "failed", "after_bad": "not_run", "far_after_bad": "not_run", "good": "completed",
        "after_good": "completed", "joined": "not_run",
    }  # fmt: skip
    error = step_of(result, "far_after_bad").error
    assert error is not None
    assert error.kind == "DependencyFailed"
    assert error.message == "step 'far_after_bad' was not run: it needs 'bad', which failed"
    assert step_of(result, "joined").reason == "bad failed"
    assert (result.success, result.failed_nodes, result.run.status) == (False, ["bad"], "Failed")
    assert result.error == "step 'bad' failed: steps/sleeps.py:10: as told"
    assert result.nodes_executed == 3
    assert not (sleeping.root / "lake/silver/joined").exists()


def test_fail_fast_starts_nothing_more(sleeping: Project) -> None:
    result = sleeping.run(forked(), workers=1, fail_fast=True)
    assert statuses(result) == {
        "bad": "failed", "after_bad": "not_run", "far_after_bad": "not_run", "good": "not_run",
        "after_good": "not_run", "joined": "not_run",
    }  # fmt: skip
    assert step_of(result, "good").reason == "the run stopped because step 'bad' failed (fail_fast)"
    assert result.run.status == "Failed"
    by_config = sleeping.run(forked(), workers=1, fail_fast=None)
    assert statuses(by_config)["good"] == "completed"


def test_fail_fast_lets_what_runs_come_to_its_end(sleeping: Project) -> None:
    steps = [sleeper("long_nap", 0.2), sleeper("bad", 0.0, fail=True), sleeper("later", 0.0)]
    result = sleeping.run(steps, workers=2, fail_fast=True)
    assert statuses(result) == {"long_nap": "completed", "bad": "failed", "later": "not_run"}


# --- stopping -----------------------------------------------------------------------------------------


def stopped_after(seconds: float) -> queue.SimpleQueue[tuple[str, object]]:
    stop: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
    threading.Timer(seconds, stop.put, [("stop", "SIGTERM")]).start()
    return stop


def test_a_stop_cancels_what_runs_and_nothing_is_written_after_it(sleeping: Project) -> None:
    steps = [sleeper("nap", 0.4), sql("after_nap", "SELECT * FROM nap"), sleeper("waiting", 0.0)]
    loaded = sleeping.load(steps)
    done = walked(loaded, plan(loaded), workers=1, stop=stopped_after(0.1))
    assert done.stopped == "SIGTERM"
    assert not done.stuck
    assert {name: str(record.status) for name, record in done.records.items()} == {
        "nap": "cancelled", "after_nap": "cancelled", "waiting": "cancelled",
    }  # fmt: skip
    assert {record.reason for record in done.records.values()} == {"SIGTERM"}
    assert not (sleeping.root / "lake").exists()


def test_a_stop_interrupts_a_query(project: Project) -> None:
    slow = (
        "SELECT count(*) AS n FROM range(1000000) AS a, range(1000000) AS b WHERE (a.range * b.range) % 7 = 3"
    )
    loaded = project.load([sql("endless", slow)])
    started = time.monotonic()
    done = walked(loaded, plan(loaded), stop=stopped_after(0.3))
    assert time.monotonic() - started < 8
    assert done.records["endless"].status == "cancelled"
    assert not done.stuck


def test_a_function_that_does_not_end_is_left_behind_and_writes_nothing(
    sleeping: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "GRACE", 0.2)
    loaded = sleeping.load([sleeper("stuck_one", 1.2)])
    done = walked(loaded, plan(loaded), stop=stopped_after(0.1))
    assert done.stuck
    assert done.records["stuck_one"].status == "cancelled"
    time.sleep(1.3)  # it has returned by now
    assert not (sleeping.root / "lake").exists()


def test_a_listener_that_raises_ends_the_run_and_nothing_is_written_after_it(sleeping: Project) -> None:
    def broken(record: StepRecord) -> None:
        if record.name == "quick_one" and record.status == "completed":
            raise OSError("the pipe is closed")

    steps = [sleeper("quick_one", 0.0), sleeper("nap", 0.4)]
    loaded = sleeping.load(steps)
    home = Home.find()
    with Database(home.scratch(loaded.run_id)) as db, Intents(home.intents, loaded.run_id) as intents:
        context = RunContext(loaded, plan(loaded), db, intents, Binder())
        with pytest.raises(OSError, match="the pipe is closed"):
            walk(context, workers=2, listener=broken)
    assert not (sleeping.root / "lake/silver/nap").exists()


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_the_process_with_its_code_and_a_record(
    sleeping: Project, name: str, code: int
) -> None:
    import signal

    path = sleeping.config([sleeper("nap", 2.5), sql("other", "SELECT 1 AS x")])
    process = subprocess.Popen(
        [sys.executable, "-m", "odibi", "run", path, "--parallel", "2"],
        cwd=sleeping.root, env=_environ(sleeping), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    table = sleeping.root / "lake/silver/other/_delta_log"
    _until(table.exists)
    process.send_signal(getattr(signal, name))
    out, _ = process.communicate(timeout=20)
    assert process.returncode == code, out
    assert not (sleeping.root / "lake/silver/nap").exists()
    shown = subprocess.run(
        [sys.executable, "-m", "odibi", "status", "shop"],
        cwd=sleeping.root, env=_environ(sleeping), capture_output=True, text=True, check=True,
    ).stdout.lower()  # fmt: skip
    assert "cancelled" in shown


def _environ(project: Project) -> dict[str, str]:
    import os

    here = str(Path(__file__).parents[3])
    return {**os.environ, "ODIBI_HOME": str(project.root / "home"), "PYTHONPATH": here}


def _until(happened: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- size and races ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [Action.SKIP, Action.REUSE])
def test_two_thousand_steps_with_nothing_to_do_are_walked_in_no_time(
    project: Project, action: Action
) -> None:
    loaded = project.load([sql("first", "SELECT 1 AS x")])
    only = plan(loaded).steps[0]
    decision = Decision(action, "as told")
    steps = []
    for number in range(2_000):
        step = only.step.model_copy(update={"name": f"s_{number}"})
        before = (f"s_{number - 1}",) if number else ()
        steps.append(replace(only, step=step, index=number, upstream=before, decision=decision))
    started = time.monotonic()
    done = walked(loaded, Plan(tuple(steps)))
    assert time.monotonic() - started < 5
    assert {record.status for record in done.records.values()} == {
        "skipped" if action is Action.SKIP else "reused"
    }


def test_a_lost_race_is_tried_again_and_every_try_is_recorded(project: Project) -> None:
    target = str(project.root / "lake/silver/raced")
    project.write(
        "steps/race.py",
        f"""
import pyarrow as pa
from deltalake import write_deltalake

TRIES = []

def f(*, losses):
    TRIES.append(1)
    if len(TRIES) <= losses:
        write_deltalake({target!r}, pa.table({{'x': [-1]}}), mode='append')
    return [{{'x': len(TRIES)}}]
""",
    )
    write_deltalake(target, pa.table({"x": [0]}))
    step = {
        "name": "raced",
        "layer": "silver",
        "function": "steps.race:f",
        "params": {"losses": 2},
        "write": {"to": "lake"},
    }
    result = project.run([step])
    assert result.success, result.error
    attempts = step_of(result, "raced").attempts
    assert [(a.number, str(a.status)) for a in attempts] == [(1, "failed"), (2, "failed"), (3, "completed")]
    assert attempts[0].error is not None
    assert attempts[0].error.kind == "LostRace"
    assert not attempts[0].error.permanent
    assert project.rows("silver/raced") == [(3,)]


def test_a_race_that_is_always_lost_fails_in_the_end(project: Project) -> None:
    target = str(project.root / "lake/silver/raced")
    project.write(
        "steps/race_lost.py",
        f"""
import pyarrow as pa
from deltalake import write_deltalake

def f():
    write_deltalake({target!r}, pa.table({{'x': [-1]}}), mode='append')
    return [{{'x': 1}}]
""",
    )
    write_deltalake(target, pa.table({"x": [0]}))
    step = {"name": "raced", "layer": "silver", "function": "steps.race_lost:f", "write": {"to": "lake"}}
    result = project.run([step])
    assert statuses(result) == {"raced": "failed"}
    assert len(step_of(result, "raced").attempts) == RACES
    assert (1,) not in project.rows("silver/raced")
    assert not any((project.root / "lake/silver/raced/parts").rglob("*.parquet"))


# --- retries and limits --------------------------------------------------------------------------------


def test_a_failure_with_fail_fast_ends_the_waits_of_others(sleeping: Project) -> None:
    sleeping.write("steps/fails.py", "def f(*, text):\n    raise RuntimeError(text)\n")
    fails = {"layer": "silver", "function": "steps.fails:f", "write": {"to": "lake"}}
    steps = [
        {"name": "waits", **fails, "params": {"text": "x"}, "retry": {"retry_delay": 600, "retry_max_delay": 600}},
        sleeper("bad", 0.3, fail=True),
        sleeper("after_waits", 0.0, depends_on=["waits"]),
    ]  # fmt: skip
    result = sleeping.run(steps, workers=2, fail_fast=True)
    assert statuses(result) == {"waits": "failed", "bad": "failed", "after_waits": "not_run"}
    assert step_of(result, "waits").error.message == "x"  # type: ignore[union-attr]


HANGS = """
import time
from pathlib import Path

def hang(rows):
    if not Path("hung").exists():
        Path("hung").touch()
        time.sleep(3)
        Path("woke").touch()
    return rows
"""


def test_what_cannot_be_ended_is_left_alone_and_publishes_nothing(
    sleeping: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "GRACE", 0.1)
    sleeping.write("steps/hangs.py", HANGS)
    steps = [
        sql("raw", "SELECT 1 AS x"),
        {"name": "out", "layer": "silver", "function": "steps.hangs:hang", "inputs": {"rows": "raw"}, "timeout": 1, "retry": {"retry_delay": 0}, "write": {"to": "lake"}},
        sleeper("beside", 0.0, depends_on=["raw"]),
    ]  # fmt: skip
    loaded = sleeping.load(steps)
    the_plan = plan(loaded)
    assert ["cannot be ended at its timeout" in text for text in the_plan["out"].warnings] == [True]
    done = walked(loaded, the_plan, workers=1)
    assert done.stuck
    tried = done.records["out"].attempts
    assert [attempt.error and attempt.error.kind for attempt in tried] == ["Timeout", None]
    assert {name: str(record.status) for name, record in done.records.items()} == {
        "raw": "completed", "out": "completed", "beside": "completed",
    }  # fmt: skip
    while not (sleeping.root / "woke").exists():
        time.sleep(0.05)
    time.sleep(0.3)  # long enough for the thread to write if it could
    assert sleeping.version("silver/out") == 0


def test_resources_do_not_bound_spark_and_native_tables_do_not_move(sleeping: Project) -> None:
    limited = {"resources": {"memory": "200MB"}}
    the_plan = sleeping.plan(
        [sql("a", "SELECT 1 AS x", engine="spark", **limited), sql("b", "SELECT 1 AS x", **limited)]
    )
    assert ["resources do not bound Spark" in text for text in the_plan["a"].warnings] == [True]
    assert the_plan["b"].warnings == ()
    sleeping.write("steps/hangs.py", HANGS)
    native = {
        "name": "c",
        "layer": "silver",
        "function": "steps.hangs:hang",
        "inputs": {"rows": "b"},
        **limited,
    }
    with pytest.raises(ConfigError, match="the engine's own table, which cannot go to another process"):
        sleeping.plan([sql("b", "SELECT 1 AS x"), native])
