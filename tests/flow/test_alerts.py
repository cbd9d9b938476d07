"""Hooks and alerts as people have them: in YAML, to servers that fail, hang and answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odibi.record import RunRecord, open_store
from odibi.record.notices import Delivery, deliveries
from tests.flow.helpers import odibi, project
from tests.servers import Answer, Asked, Mail, Web, mail_server, web

HOOKS = """
def broken(event):
    raise RuntimeError("the hook is broken")


def hangs(event):
    import time

    time.sleep(3600)


def fails():
    import os

    if os.path.exists("mended"):
        return [{"id": 1}]
    raise ValueError("no such customer")
"""

CONFIG = """
pipeline: shop
date: 2026-01-05
runbook: https://wiki.example/shop
retry_delay: 0.01
connections: {lake: {url: lake, format: delta}}
hooks:
  - {name: team, type: slack, url: "${secret:slack}", on: [node_error, pipeline_complete, pipeline_error]}
  - {name: mail, type: email, url: "${env:MAIL}", to: data@shop.example, on: node_error, layers: silver}
  - {name: page, type: pagerduty, url: "${env:WEB}/page", routing_key: "${secret:key}", on: []}
  - {name: silent, type: webhook, url: "${env:WEB}/silent", on: pipeline_start, timeout: 0.2, retries: 0}
  - {name: broken, type: python, function: "steps.hooks:broken", on: "*"}
  - {name: hangs, type: python, function: "steps.hooks:hangs", on: node_start, timeout: 0.2}
alerts:
  - {name: failed, condition: Failure, severity: high}
steps:
  - {name: orders, layer: silver, function: "steps.hooks:fails", write: {to: lake}}
"""


@pytest.fixture
def server() -> Iterator[Web]:
    over = threading.Event()

    def silent(_: Asked) -> Answer:
        over.wait(60)
        return Answer()

    with web() as running:
        running.at |= {
            "/slack/T0": [Answer("later", 500), Answer("ok")],
            "/page": Answer("", 202),
            "/silent": silent,
        }
        yield running
        over.set()


@pytest.fixture
def mail() -> Iterator[Mail]:
    with mail_server() as running:
        yield running


def recorded(folder: Path) -> tuple[RunRecord, list[Delivery]]:
    """The last run, and what was told of it."""
    with open_store(str(folder / ".odibi/state.db")) as store:
        (newest,) = store.runs(limit=1)
        return store.run(newest.run_id), [one for one in deliveries(store) if one.run_id == newest.run_id]


def test_a_run_that_fails_and_one_that_does_not(tmp_path: Path, server: Web, mail: Mail) -> None:
    folder = project(tmp_path, {"c.yaml": CONFIG, "steps/hooks.py": HOOKS})
    secrets = {"ODIBI_SECRET_SLACK": f"{server.url}/slack/T0", "ODIBI_SECRET_KEY": "R1-secret"}
    env = {"WEB": server.url, "MAIL": mail.url, **secrets}

    def asked(path: str) -> list[Any]:
        return [json.loads(one.body) for one in server.asked if one.path == path]

    failed = odibi("run", "c.yaml", cwd=folder, env=env)
    assert failed.returncode == 1, failed.stderr
    slack = asked("/slack/T0")
    assert slack[0] == slack[1]  # the answer to the first was 500
    assert [said["text"].split(" after ")[0] for said in slack[1:]] == [
        "Critical: shop: step orders failed: no such customer",
        "Critical: shop failed for 2026-01-05",
    ]
    assert "*Step*\norders" in [field["text"] for field in slack[1]["blocks"][1]["fields"]]
    (message,) = mail.taken
    assert message["To"] == "data@shop.example"
    assert "shop: step orders failed: no such customer" in message.get_content()
    run, told = recorded(folder)
    (page,) = asked("/page")
    details = page["payload"]["custom_details"]
    keys = ("pipeline", "step", "job", "namespace", "severity", "runbook")
    assert [details[key] for key in keys] == [
        "shop", "orders", run.run_id, "dev", "Critical", "https://wiki.example/shop",
    ]  # fmt: skip
    assert {(one.hook, one.event, one.status, one.attempts) for one in told} == {
        ("team", "node_error", "delivered", 2),
        ("team", "pipeline_error", "delivered", 1),
        ("mail", "node_error", "delivered", 1),
        ("page", "alert", "delivered", 1),
        ("silent", "pipeline_start", "failed", 1),
    }
    unanswered = (
        f"hook 'silent': pipeline_start was not delivered to {server.url} after 1 attempt: "
        f"no answer in time: {server.url} (timeout after 0.2s)"
    )
    assert run.warnings == (
        "hook 'broken' failed: RuntimeError: the hook is broken",
        "hook 'hangs' took longer than 0.2 s and is not called again in this run",
        unanswered,
    )
    assert all(f"odibi: {warning}" in failed.stderr for warning in run.warnings)
    everything = (folder / ".odibi/state.db").read_bytes() + failed.stderr.encode()
    assert b"R1-secret" not in everything
    assert b"/slack/T0" not in everything

    (folder / "mended").touch()
    mended = odibi("run", "c.yaml", cwd=folder, env=env)
    assert mended.returncode == 0, mended.stderr
    assert [said["text"].split(" in ")[0] for said in asked("/slack/T0")[3:]] == [
        "Info: shop ran for 2026-01-05"
    ]
    trigger, resolve = asked("/page")
    assert (resolve["event_action"], resolve["dedup_key"]) == ("resolve", trigger["dedup_key"])
    again = odibi("run", "c.yaml", cwd=folder, env=env)  # nothing to do, and told all the same
    assert again.returncode == 0, again.stderr
    assert len(asked("/slack/T0")) == 5

    listed = json.loads(odibi("alerts", "list", "c.yaml", "--output", "json", cwd=folder, env=env).stdout)
    assert [(one["name"], one["firing"], bool(one["last_fired"])) for one in listed] == [
        ("failed", False, True)
    ]
    tested = odibi("alerts", "test", "c.yaml", cwd=folder, env=env)
    assert tested.returncode == 0, tested.stderr
    assert [line.split()[:3] for line in tested.stdout.splitlines()[1:]] == [
        ["Info", "log", "log"], ["Warning", "team", "slack"], ["Critical", "page", "pagerduty"],
    ]  # fmt: skip


def test_hooks_that_cannot_be_are_refused_before_anything_runs(tmp_path: Path) -> None:
    hooks = """
  - {type: slack, url: "${secret:none}"}
  - {type: webhook, url: "ftp://x"}
  - {type: python, function: "steps.hooks:brokn"}
"""
    text = f"pipeline: p\nhooks:{hooks}steps:\n  - {{name: a, layer: gold, sql: SELECT 1 AS x}}\n"
    folder = project(tmp_path, {"c.yaml": text, "steps/hooks.py": HOOKS})
    done = odibi("run", "c.yaml", cwd=folder)
    assert done.returncode == 2, done.stderr
    assert odibi("validate", "c.yaml", cwd=folder).stderr == done.stderr
    first, second, third, _ = done.stderr.splitlines()
    assert first.startswith("c.yaml:3:5: hook 'slack': secret 'none' is not set (set ODIBI_SECRET_NONE")
    assert second == "c.yaml:4:5: hook 'webhook': its url cannot be (http://host or https://host)"
    assert third.startswith("c.yaml:5:5: hook 'python': ")
    assert "has no function 'brokn'" in third
    assert "did you mean 'broken'?" in third
    assert not (folder / ".odibi/state.db").exists()
