"""Alerts from the run store to local servers: routes, resolves, cooldowns that outlive a process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from odibi.config.load import load
from odibi.config.secrets import Redactor
from odibi.home import Home
from odibi.notify import alerting
from odibi.notify.courier import Courier
from odibi.notify.hooks import channels_of
from odibi.record import RunStatus, StepStatus, open_store
from odibi.record.model import ErrorRecord
from odibi.record.notices import Delivery
from tests.servers import Answer, Web, web
from tests.unit.record.records import a_run, a_step
from tests.unit.run.project import Project

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        running.at |= {path: Answer() for path in ("/pager", "/slack", "/info")}
        yield running


class Watch:
    """A project whose alerts are checked at times that are given, each time by another process, so to say."""

    def __init__(self, project: Project, server: Web, rules: list[dict[str, Any]]) -> None:
        hooks = [
            {"type": "pagerduty", "routing_key": "R1", "url": f"{server.url}/pager", "on": [], "retries": 0},
            {"type": "slack", "url": f"{server.url}/slack", "on": []},
            {"name": "info", "type": "webhook", "url": f"{server.url}/info", "on": []},
        ]
        alerts = {"rules": rules, "routes": {"info": "info"}}
        steps = [{"name": "x", "layer": "gold", "sql": "SELECT 1 AS x"}]
        self.loaded = load(
            project.config(steps, name="daily", hooks=hooks, alerts=alerts, runbook="https://wiki/daily")
        )
        self.home = Home(project.root / ".odibi", f"sqlite:///{project.root}/state.db")

    def check(self, minutes: float = 0) -> list[Delivery]:
        redactor = Redactor()
        courier = Courier(redactor.mask, first_wait=0.01)
        with open_store(self.home.state) as store:
            channels, now = channels_of(self.loaded, redactor), NOW + timedelta(minutes=minutes)
            sent = alerting.check(self.loaded, store, self.home, channels, courier, now, pytest.fail)
            made = courier.finish(time.monotonic() + 60)
            alerting.take_back(store, sent, made)
        return list(made)

    def record(self, **fields: Any) -> None:
        with open_store(self.home.state) as store:
            store.finish_run(a_run(**{"started_at": NOW, "steps": (), **fields}))


def bodies(server: Web, path: str) -> list[Any]:
    return [json.loads(asked.body) for asked in server.asked if asked.path == path]


def failed(run_id: str, minutes: float = 0, **fields: Any) -> dict[str, Any]:
    began = NOW + timedelta(minutes=minutes)
    error = ErrorRecord(kind="ValueError", message="no such customer")
    step = a_step(status=StepStatus.FAILED, started_at=began, ended_at=began, error=error)
    more = {
        "status": RunStatus.FAILED,
        "started_at": began,
        "ended_at": began,
        "error": "step 'orders' failed",
    }
    return {"run_id": run_id, "steps": (step,), **more, **fields}


def test_the_severities_go_to_their_routes(project: Project, server: Web) -> None:
    rules = [
        {"name": f"rule_{severity}", "condition": "Failure", "severity": severity}
        for severity in ("high", "Warning", "info")
    ]
    watch = Watch(project, server, rules)
    watch.record(**failed("run-1"))
    assert [one.status for one in watch.check()] == ["delivered"] * 3
    (page,), (slack,), (info,) = (bodies(server, path) for path in ("/pager", "/slack", "/info"))
    assert page["payload"]["severity"] == "critical"
    assert slack["text"].startswith("Warning: daily: rule_Warning: run run-1 failed")
    assert info == {
        **info, "alert_name": "rule_info", "severity": "Info", "timestamp": NOW.isoformat(), "condition": "Failure{}",
        "pipeline": "daily", "value": 1.0, "runbook": "https://wiki/daily", "status": "firing",
        "step": "orders", "job": "run-1", "namespace": "dev", "error_message": "no such customer",
    }  # fmt: skip


def test_a_stuck_run_is_told_once_and_resolved_by_the_same_key(project: Project, server: Web) -> None:
    rule = {"name": "stuck", "condition": {"PipelineStuckFor": {"minutes": 60}}, "severity": "Critical"}
    watch = Watch(project, server, [rule])
    with open_store(watch.home.state) as store:
        store.start_run(a_run("run-1", started_at=NOW, steps=()))
    assert [watch.check(minutes) for minutes in (0, 59)] == [[], []]
    assert [len(watch.check(minutes)) for minutes in (61, 62, 200)] == [1, 0, 0]
    watch.record(run_id="run-1", status=RunStatus.SUCCEEDED, ended_at=NOW + timedelta(minutes=201))
    assert [len(watch.check(minutes)) for minutes in (202, 203)] == [1, 0]
    trigger, resolve = bodies(server, "/pager")
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == "odibi/dev/stuck/daily"


def test_cooldown_and_what_fired_outlive_a_process(project: Project, server: Web) -> None:
    watch = Watch(project, server, [{"name": "failed", "condition": "Failure", "cooldown_minutes": 30}])
    watch.record(**failed("run-1"))
    assert len(watch.check(1)) == 1
    watch.record(**failed("run-2", minutes=5))
    assert [len(watch.check(minutes)) for minutes in (6, 30, 31, 32)] == [0, 0, 1, 0]


def test_an_alert_that_reached_nobody_fires_again(project: Project, server: Web) -> None:
    server.at["/pager"] = [Answer("down", 503), Answer(), Answer("down", 503), Answer()]
    watch = Watch(project, server, [{"name": "failed", "condition": "Failure", "severity": "high"}])
    watch.record(**failed("run-1"))
    assert [[one.status for one in watch.check(minutes)] for minutes in (1, 2, 3)] == [
        ["failed"],
        ["delivered"],
        [],
    ]
    watch.record(**failed("run-2", minutes=10, status=RunStatus.SUCCEEDED, error="", steps=()))
    assert [[one.status for one in watch.check(minutes)] for minutes in (11, 12, 13)] == [
        ["failed"], ["delivered"], [],
    ]  # fmt: skip


def test_real_measurements_of_this_machine(project: Project, server: Web, tmp_path: Path) -> None:
    rules = [
        {"name": name, "condition": {"ResourceExhaustion": {"resource": name, "threshold": 0.000001}}}
        for name in ("memory", "disk", "cpu")
    ]
    rules[1]["condition"]["ResourceExhaustion"]["path"] = str(tmp_path / "not/there/yet")  # type: ignore[index]
    Watch(project, server, rules).check()
    values = {said["text"].split(": ")[2]: said for said in bodies(server, "/slack")}
    assert {"memory", "disk"} <= values.keys()


def test_samples_reach_every_route(project: Project, server: Web) -> None:
    watch = Watch(project, server, [])
    courier = Courier(str)
    sent = alerting.sample(watch.loaded, channels_of(watch.loaded, Redactor()), courier, NOW)
    made = {one.key: one for one in courier.finish(time.monotonic() + 60)}
    assert [[made[key].hook for key in keys] for _, keys in sent] == [["info"], ["slack"], ["pagerduty"]]
    assert {one.status for one in made.values()} == {"delivered"}
