"""The table that operators read, against runs of every kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from odibi.cli.describe import describe
from odibi.cli.exits import NotFound
from odibi.cli.results import results
from odibi.cli.status import PHASES, status
from odibi.record import (
    AttemptRecord,
    ErrorRecord,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
    open_store,
)
from odibi.record.model import PodRecord

START = datetime(2024, 1, 15, 2, 0, tzinfo=UTC)
LONG_AGO = datetime(2024, 1, 15, 2, 0, 30, tzinfo=UTC)


def step(name: str, state: StepStatus, **fields: object) -> StepRecord:
    return StepRecord(
        name=name, layer="silver", node="Transform", operation="sql", engine="duckdb", status=state, **fields
    )  # type: ignore[arg-type]


def run(
    name: str, state: RunStatus, minutes: float | None, steps: tuple[StepRecord, ...], **fields: object
) -> RunRecord:
    return RunRecord(
        run_id=f"{name}-0001", pipeline=name, config=f"configs/{name}.yaml", config_hash="", logical_date="2024-01-14",
        target="dev", engine="duckdb", status=state, started_at=START,
        ended_at=None if minutes is None else START + timedelta(minutes=minutes), steps=steps, **fields,
    )  # type: ignore[arg-type] # fmt: skip


DONE = tuple(step(f"s{n}", StepStatus.COMPLETED, started_at=START, ended_at=LONG_AGO) for n in range(2))
FAILED = step(
    "broken", StepStatus.FAILED, started_at=START, ended_at=LONG_AGO,
    error=ErrorRecord(kind="SourceError", message="no such file", where="configs/b.yaml:7"),
)  # fmt: skip
RUNS = (
    run("long", RunStatus.SUCCEEDED, 135, (*DONE, step("kept", StepStatus.REUSED, reason="nothing changed"))),
    run(
        "middle",
        RunStatus.FAILED,
        45,
        (*DONE, FAILED, step("after", StepStatus.NOT_RUN, reason="broken failed")),
    ),
    run(
        "short",
        RunStatus.CANCELLED,
        12,
        (*DONE, step("cut", StepStatus.CANCELLED)),
        error="stopped by SIGTERM",
    ),
    run("unknown", RunStatus.QUEUED, None, ()),
)


@pytest.fixture
def _recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ODIBI_HOME", "ODIBI_STATE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    Path(".odibi").mkdir()
    with open_store(".odibi/state.db") as store:
        for one in RUNS:
            store.start_run(one)
            store.finish_run(one)


@pytest.mark.usefixtures("_recorded")
def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(name=None, verbose=False, output="text") == 0
    assert capsys.readouterr().out.splitlines() == [
        "Pipeline  Phase      Steps  Duration  Started",
        "long      Completed  3/3    2h 15m    2024-01-15 02:00:00",
        "middle    Failed     2/4    45m       2024-01-15 02:00:00",
        "short     Failed     2/3    12m       2024-01-15 02:00:00",
        "unknown   Pending    0/0    Unknown   2024-01-15 02:00:00",
    ]


@pytest.mark.usefixtures("_recorded")
def test_json_has_the_fields_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    status(name=None, verbose=False, output="json")
    first = json.loads(capsys.readouterr().out)[0]
    assert first == {
        "pipeline": "long", "phase": "Completed", "steps": "3/3", "duration": "2h 15m", "started": "2024-01-15 02:00:00",
    }  # fmt: skip


@pytest.mark.usefixtures("_recorded")
def test_the_details_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    status(name="middle", verbose=False, output="text")
    assert capsys.readouterr().out == (
        "Pipeline: middle\n"
        "Phase: Failed\n"
        "Steps: 2/4 completed\n"
        "Duration: 45m\n"
        "Started: 2024-01-15 02:00:00\n"
        "Run: middle-0001 for 2024-01-14, target dev\n"
        "Failed Step: broken\n"
        "\n"
        "  s0      completed in 30.0 s\n"
        "  s1      completed in 30.0 s\n"
        "  broken  failed after 30.0 s: configs/b.yaml:7: no such file\n"
        "  after   not run: broken failed\n"
    )


@pytest.mark.usefixtures("_recorded")
def test_a_running_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    steps = (
        *DONE,
        step("now", StepStatus.RUNNING, started_at=datetime.now(UTC) - timedelta(seconds=132)),
        step("next", StepStatus.WAITING, upstream=("now",)),
        step("free", StepStatus.PENDING),
    )
    going = run("going", RunStatus.RUNNING, None, steps)
    with open_store(".odibi/state.db") as store:
        store.start_run(going)
        status(name="going", verbose=False, output="text")
        shown = capsys.readouterr().out
    assert "Phase: Running\nSteps: 2/5 completed\n" in shown
    assert "Current Step: now\n" in shown
    assert (
        "  now   running for 2m 12s\n  next  waiting for dependencies\n  free  waiting for a free worker\n"
        in shown
    )


@pytest.mark.usefixtures("_recorded")
def test_names_that_mean_nothing() -> None:
    with pytest.raises(NotFound, match="did you mean 'middle'"):
        status(name="midle", verbose=False, output="text")
    with pytest.raises(NotFound, match="there is no file"):
        status(name="configs/gone.yaml", verbose=False, output="text")


def attempt(number: int, error: ErrorRecord | None) -> AttemptRecord:
    state = StepStatus.FAILED if error is not None else StepStatus.COMPLETED
    return AttemptRecord(
        number=number,
        of=4,
        status=state,
        started_at=START,
        ended_at=START + timedelta(seconds=9),
        error=error,
    )


LOG = tuple(f"line {number}" for number in range(50))
OOM = ErrorRecord(kind="ResourceExhausted", message="no memory", permanent=False, exit_code=137, log=LOG)
PODS = (
    PodRecord(
        name="p1", job="j1", node="n1", status="Failed", reason="OOMKilled, exit code 137", exit_code=137, log=LOG
    ),
    PodRecord(name="p2", job="j2", status="Deleted", reason="EvictionByEvictionAPI", log=("almost",)),
    PodRecord(name="p3", job="j2", node="n2", status="Succeeded", waited=2, starting=1, worked=6, executors=2),
)  # fmt: skip
FAR = run(
    "far", RunStatus.SUCCEEDED, 1,
    (step("big", StepStatus.COMPLETED, started_at=START, ended_at=LONG_AGO, attempts=(attempt(1, OOM), attempt(2, None)), pods=PODS),),
)  # fmt: skip


@pytest.mark.usefixtures("_recorded")
def test_pods_of_all_attempts_are_told_and_each_log_once(capsys: pytest.CaptureFixture[str]) -> None:
    with open_store(".odibi/state.db") as store:
        store.start_run(FAR)
        store.finish_run(FAR)
    status(name="far", verbose=True, output="text")
    shown = capsys.readouterr().out
    assert shown.endswith(
        "         | line 49\n"
        "       attempt 2 of 4 at 02:00:00: completed in 9.0 s\n"
        "       pod p1 on n1 (Failed: OOMKilled, exit code 137)\n"
        "       pod p2 on no node (Deleted: EvictionByEvictionAPI)\n"
        "         | almost\n"
        "       pod p3 on n2 with 2 executors: waited 2.0 s, started in 1.0 s, worked 6.0 s\n"
    )
    assert shown.count("| line 0\n") == 1
    status(name="far", verbose=False, output="json")
    (big,) = json.loads(capsys.readouterr().out)["details"]
    assert [pod["exit_code"] for pod in big["pods"]] == [137, None, None]
    assert big["attempts"][0]["error"]["log"] == big["pods"][0]["log"] == [*LOG]
    describe(name="far", output="text")
    assert "big   p1   n1    Failed: OOMKilled, exit code 137" in capsys.readouterr().out
    results(name="far", output="text")
    assert "p1 on n1 (Failed: OOMKilled, exit code 137), p2 on no node" in capsys.readouterr().out
    results(name="far", output="json")
    assert [pod["name"] for pod in json.loads(capsys.readouterr().out)["nodes"][0]["pods"]] == [
        "p1",
        "p2",
        "p3",
    ]


def test_every_status_is_a_phase() -> None:
    assert set(PHASES) == set(RunStatus)
    assert set(PHASES.values()) == {"Pending", "Running", "Completed", "Failed"}
