"""``odibi alerts``: what it prints, and the code it ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from odibi.cli import alerts
from odibi.cli.exits import Exit
from odibi.home import Home
from odibi.record import RunStatus, open_store
from tests.servers import Answer, web
from tests.unit.record.records import NOON, a_run
from tests.unit.run.project import Project


def test_check_tells_what_fires_what_is_over_and_what_did_not_arrive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {"name": "failed", "condition": "Failure"}
    steps = [{"name": "x", "layer": "gold", "sql": "SELECT 1 AS x"}]

    def check(output: str = "text") -> tuple[int, str, str]:
        code = alerts.check(config=config, target=None, output=output)
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    def record(**fields: Any) -> None:
        with open_store(Home.find().state) as store:
            store.finish_run(a_run(steps=(), started_at=NOON, ended_at=NOON, **fields))

    with web() as server:
        server.at["/"] = [Answer("no", 400), Answer()]
        hook = {"type": "slack", "url": f"{server.url}/", "on": []}
        config = Project(tmp_path).config(steps, name="daily", hooks=[hook], alerts=[rule])
        record(run_id="run-1", status=RunStatus.FAILED, error="it broke")
        fired = "fired  Warning  daily: failed: run run-1 failed: it broke"
        lost = f"hook 'slack': alert was not delivered to {server.url} after 1 attempt"
        code, out, err = check()
        assert (code, out) == (Exit.FAILED, fired)
        assert err == f"error: {lost}: {server.url} answered 400 Bad Request: no"
        assert check() == (Exit.SUCCESS, fired, "")
        assert check() == (Exit.SUCCESS, "No alert fires that has not been told", "")
        record(run_id="run-2", status=RunStatus.SUCCEEDED)
        (over,) = json.loads(check("json")[1])["alerts"]
    assert (over["status"], over["alert_name"], over["value"]) == ("resolved", "failed", None)
    assert alerts.deliveries(limit=9, output="json") == Exit.SUCCESS
    told = json.loads(capsys.readouterr().out)
    assert [(one["event"], one["status"]) for one in told] == [
        ("alert_resolved", "delivered"), ("alert", "delivered"), ("alert", "failed"),
    ]  # fmt: skip
