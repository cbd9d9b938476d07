"""What a run tells: every event, with what its payload must hold."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from odibi import EventBus, Orchestrator, orchestrator
from odibi.config.hooks import EVENTS
from odibi.home import Home
from odibi.notify import telling
from odibi.orchestrator import Result
from odibi.record import open_store
from odibi.record.model import RunStatus
from odibi.record.notices import deliveries
from tests.servers import Answer, Asked, web
from tests.unit.run.project import KEPT, Project

FLAKY = """
    from pathlib import Path

    def flaky():
        if not Path("tried").exists():
            Path("tried").touch()
            raise ConnectionError("not yet")
        return [{"n": 1}]

    def bad(orders):
        raise ValueError("no such customer")
    """
STEPS: list[dict[str, Any]] = [
    {"name": "raw", "layer": "bronze", "function": "steps.some:flaky", "write": KEPT},
    {
        "name": "orders",
        "layer": "silver",
        "sql": "SELECT n AS id FROM raw",
        "write": KEPT,
        "checks": [{"between": {"column": "id", "min": 2, "on_fail": "warn"}}],
    },
    {"name": "more", "layer": "silver", "sql": "SELECT n FROM raw", "write": KEPT},
    {"name": "bad", "layer": "gold", "function": "steps.some:bad", "inputs": ["orders"], "write": KEPT},
    {"name": "last", "layer": "gold", "inputs": ["bad"], "sql": "SELECT * FROM bad", "write": KEPT},
]


def heard(
    project: Project, steps: list[dict[str, Any]], **fields: Any
) -> tuple[Result, list[dict[str, Any]]]:
    """A run, and all it told."""
    found: list[dict[str, Any]] = []
    bus = EventBus()
    bus.register_hook("*", lambda payload: found.append(dict(payload)))
    return orchestrator.run(project.load(steps, retry_delay=0.01, **fields), bus=bus), found


def test_every_event_of_a_scripted_run(project: Project) -> None:
    project.write("steps/some.py", FLAKY)
    result, events = heard(project, STEPS)
    again, later = heard(project, STEPS[:3])
    assert result.failed_nodes == ["bad"]
    assert again.success
    assert {each["event_type"] for each in events + later} == EVENTS.keys()
    for each in events:
        assert {"event_type", "pipeline", "run_id", "timestamp", "severity", "summary"} <= each.keys()
        assert (each["pipeline"], each["run_id"]) == ("shop", result.run.run_id)
    said = {name: [each for each in events if each["event_type"] == name] for name in EVENTS}
    ((error,), (retry,)) = said["node_error"], said["node_retry"]
    assert (error["step_name"], error["error_type"]) == ("bad", "ValueError")
    assert "no such customer" in error["error_message"]
    assert (retry["step_name"], retry["attempt"], retry["error_message"]) == ("raw", 1, "not yet")
    done = {each["step_name"]: each for each in said["node_complete"]}
    assert (done["orders"]["row_count"], done["orders"]["layer"]) == (1, "silver")
    assert done["raw"]["duration_ms"] >= 10
    (check,) = said["check_failed"]
    assert (check["step_name"], check["rule"], check["broken"], check["on_fail"]) == (
        "orders",
        "between",
        1,
        "warn",
    )
    assert [(each["step_name"], each["reason"]) for each in said["node_skipped"]] == [("last", "bad failed")]
    assert [each["event_type"] for each in events[:1] + events[-1:]] == ["pipeline_start", "pipeline_error"]
    assert events[-1]["failed_steps"] == ["bad"]
    assert [each["status"] for each in later if each["event_type"] == "pipeline_complete"] == ["Succeeded"]
    hits = Counter(each["event_type"] for each in later)
    assert (hits["cache_hit"], hits["cache_miss"]) == (again.run.cache_hits, again.run.cache_misses) == (2, 1)


def test_a_layer_is_complete_once_with_its_last_step(project: Project) -> None:
    project.write("steps/some.py", FLAKY)
    _, events = heard(project, STEPS)
    ends = [each for each in events if "layer_complete" in each]
    assert len(ends) == len(STEPS)
    for layer, status in (("bronze", "completed"), ("silver", "completed"), ("gold", "failed")):
        of_layer = [each["layer_complete"] for each in ends if each["layer"] == layer]
        assert of_layer == [False] * (len(of_layer) - 1) + [True]
        (over,) = (e for e in events if e["event_type"] == "layer_complete" and e["layer"] == layer)
        assert over["status"] == status


def test_hooks_harm_nothing_and_are_told_in_the_record(project: Project) -> None:
    def broken(payload: Any) -> None:
        raise RuntimeError("no more")

    bus = EventBus()
    bus.register_hook("node_complete", broken, name="broken")
    orchestra = Orchestrator(
        steps=[dict_step(STEPS[1], "SELECT 1 AS id")], event_bus=bus, date="2026-01-05",
        connections={"lake": {"url": str(project.root / "lake"), "format": "delta"}},
    )  # fmt: skip
    result = orchestra.execute()
    assert result.success
    assert result.run.warnings == ("hook 'broken' failed: RuntimeError: no more",)


def dict_step(step: dict[str, Any], sql: str) -> Any:
    from odibi import Step

    return Step(**{**step, "sql": sql, "checks": []})


def test_a_server_that_never_answers_delays_a_run_no_longer_than_the_bound(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PATIENCE", 0.3)
    over = threading.Event()

    def silent(_: Asked) -> Answer:
        over.wait(60)
        return Answer()

    with web() as server:
        server.at["/"] = silent
        hook = {"type": "webhook", "url": f"{server.url}/", "timeout": 300, "on": "*"}
        result = project.run([{"name": "a", "layer": "gold", "sql": "SELECT 1 AS x"}], hooks=[hook])
        over.set()
    assert result.success
    (warning,) = result.run.warnings
    assert warning == (
        f"hook 'webhook': pipeline_complete was not delivered to {server.url}: no answer before the run ended"
    )
    with open_store(Home.find().state) as store:
        assert {one.status for one in deliveries(store)} == {"undelivered"}


def test_a_blocking_hook_may_end_the_run(project: Project) -> None:
    project.write("steps/hooks.py", "def gate(event):\n    assert event['row_count'] > 9, 'too few rows'\n")
    gate = {"type": "python", "function": "steps.hooks:gate", "on": "node_complete", "blocking": True}
    steps: list[dict[str, Any]] = [
        {"name": "orders", "layer": "silver", "sql": "SELECT 1 AS id", "write": KEPT},
        {"name": "after", "layer": "gold", "sql": "SELECT * FROM orders", "write": KEPT},
    ]
    result = project.run(steps, hooks=[gate])
    assert result.run.status is RunStatus.CANCELLED
    assert "stopped by hook 'python' failed: AssertionError: too few rows" in result.error
    assert not (project.root / "lake/gold/after").exists()
