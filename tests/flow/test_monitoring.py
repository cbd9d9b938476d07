"""Who watches a run: metrics in files and at a gateway, logs, status, describe, while it goes on and afterwards."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.flow.helpers import environment, in_terminal, odibi, project, start
from tests.servers import Answer, web

PUSHED = "/metrics/job/odibi/pipeline/shop"
FILES = {
    "shop.yaml": """
        pipeline: shop
        date: "2026-01-02"
        retry_delay: 0.1
        metrics: {file: out/metrics.json, prometheus: out/odibi.prom, push: "${env:GATEWAY}"}
        steps:
          - {name: first, layer: bronze, sql: SELECT 'Zoë' AS name, write: {to: lake}}
          - {name: second, layer: silver, function: code:second, inputs: [first], cache: false}
          - {name: third, layer: gold, sql: SELECT count(*) AS n FROM second, write: {to: lake}}
        connections: {lake: {url: lake}}
    """,
    "code.py": """
        import time
        from pathlib import Path

        def second(first):
            if not Path("tried").exists():
                Path("tried").touch()
                raise ConnectionError("the server is away")
            while not Path("go").exists():
                time.sleep(0.05)
            if Path("bad").exists():
                raise ValueError("no good")
            return first
    """,
}


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def value(text: str, name: str) -> float:
    """The sum over the series of a sample."""
    families = text_string_to_metric_families(text)
    return sum(s.value for family in families for s in family.samples if s.name == name)


def test_a_run_is_watched_from_its_start_to_its_end(tmp_path: Path) -> None:
    folder = project(tmp_path, FILES)
    with web() as server:
        server.at[PUSHED] = Answer("", 202)
        env = {"GATEWAY": server.url}
        run = start("run", "shop.yaml", "--log-format", "json", "-q", cwd=folder, env=env)
        until((folder / "tried").exists)
        until(lambda: "attempt 1 failed, running for" in odibi("status", "shop", cwd=folder).stdout)

        shown = odibi("status", "shop", cwd=folder).stdout
        assert "Phase: Running\nSteps: 1/3 completed\n" in shown
        assert "Current Step: second\n" in shown
        assert "  third   waiting for dependencies\n" in shown
        now = odibi("metrics", "--format", "prometheus", cwd=folder).stdout
        assert (value(now, "active_pipelines"), value(now, "pipeline_starts_total")) == (1, 1)
        assert value(now, "pipeline_duration_seconds_count") == 0

        stopped = start("status", "--watch", "--interval", "60", cwd=folder)
        follower = start("logs", "shop", "--follow", "--output", "json", cwd=folder)
        assert stopped.stdout is not None
        stopped.stdout.readline()
        stopped.send_signal(signal.SIGINT)
        said = stopped.communicate(timeout=60)[1]
        assert (stopped.returncode, said) == (0, "")

        ours, theirs = pty.openpty()
        watcher = subprocess.Popen(
            [sys.executable, "-m", "odibi", "status", "-p", "shop", "--watch", "--interval", "0.2"],
            cwd=folder, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        seen = b""
        while seen.count(b"\x1b[2J\x1b[H") < 3:
            seen += os.read(ours, 65_536)
        (folder / "go").touch()
        try:
            while chunk := os.read(ours, 65_536):
                seen += chunk
        except OSError:  # Linux says so when the other end is closed
            pass
        os.close(ours)
        assert watcher.wait(timeout=60) == 0
        screens = seen.decode().split("\x1b[2J\x1b[H")
        assert "Phase: \x1b[33mRunning" in screens[1]
        assert "Phase: \x1b[32mCompleted" in screens[-1]
        assert "Steps: 3/3 completed" in screens[-1]

        out, err = run.communicate(timeout=60)
        followed, _ = follower.communicate(timeout=60)
    assert (run.returncode, out) == (0, "")
    logged = [json.loads(line) for line in err.splitlines()]
    assert {"pipeline_id", "job_name", "step", "status", "duration_secs", "attempt"} <= logged[0].keys()
    told = [(one["step"], one["status"], one["attempt"]) for one in logged]
    assert told == [
        (None, "Running", None),
        ("first", "running", 1),
        ("first", "completed", 1),
        ("second", "running", 1),
        ("second", "failed", 1),
        ("second", "running", 2),
        ("second", "completed", 2),
        ("third", "running", 1),
        ("third", "completed", 1),
        (None, "Succeeded", None),
    ]
    assert sorted(told, key=str) == sorted(
        [(one["step"], one["status"], one["attempt"]) for one in map(json.loads, followed.splitlines())],
        key=str,
    )

    text = (folder / "out/odibi.prom").read_text("utf-8")
    (request,) = server.asked
    assert (request.method, request.path, request.body.decode()) == ("PUT", PUSHED, text)
    assert (value(text, "active_pipelines"), value(text, "pipeline_step_retries_total")) == (0, 1)
    metrics = json.loads((folder / "out/metrics.json").read_text("utf-8"))
    assert metrics == json.loads(odibi("metrics", "--output", "json", cwd=folder).stdout)
    assert {node["node"]: node["retries"] for node in metrics["nodes"]} == {
        "first": 0,
        "second": 1,
        "third": 0,
    }

    described = odibi("describe", "shop", cwd=folder).stdout
    for word in (
        "Started",
        "AttemptFailed",
        "Retried",
        "Completed",
        "the server is away",
        "Config:       shop.yaml",
    ):
        assert word in described
    data = json.loads(odibi("describe", "shop", "--output", "json", cwd=folder).stdout)
    assert [each["number"] for each in data["status"]["details"][1]["attempts"]] == [1, 2]
    assert [event["reason"] for event in data["events"] if event["step"] == "second"] == [
        "Started", "AttemptFailed", "Retried", "Completed",
    ]  # fmt: skip


def test_a_failed_run_is_told_too_and_a_gateway_may_be_down(tmp_path: Path) -> None:
    folder = project(tmp_path, {**FILES, "tried": "", "go": "", "bad": ""})
    env = {
        "GATEWAY": "http://user:secret@127.0.0.1:9",
        "ODIBI_LOG_FORMAT": "human",
        "LANG": "C",
        "LC_ALL": "C",
    }
    failed = odibi("run", "shop.yaml", cwd=folder, env=env)
    assert failed.returncode == 1
    assert "the metrics could not be sent to ${env:GATEWAY}: the gateway cannot be reached" in failed.stderr
    assert " - ERROR - shop: step second failed after" in failed.stderr
    assert "secret" not in failed.stderr
    before = (folder / "out/odibi.prom").read_text("utf-8")
    assert value(before, "pipeline_failures_total") == value(before, "pipeline_step_failures_total") == 1
    assert json.loads((folder / "out/metrics.json").read_text("utf-8"))["status"] == "Failed"
    (folder / "bad").unlink()
    with web() as server:
        server.at[PUSHED] = Answer("no such thing", 400)
        again = odibi("run", "shop.yaml", cwd=folder, env={"GATEWAY": server.url})
        assert again.returncode == 0
        assert "the gateway answered 400: no such thing" in again.stderr
        refused = odibi("metrics", "--push", server.url, cwd=folder)
        assert (refused.returncode, refused.stdout) == (3, "")
    after = (folder / "out/odibi.prom").read_text("utf-8")
    assert (value(after, "pipeline_starts_total"), value(after, "pipeline_failures_total")) == (2, 1)
    assert odibi("metrics", "--format", "prometheus", cwd=folder).stdout == after

    listed = json.loads(odibi("get", "runs", "shop", "--output", "json", cwd=folder).stdout)
    assert [run["phase"] for run in listed] == ["Completed", "Failed"]
    lines = odibi("logs", listed[1]["run_id"][:8], "--step", "second", cwd=folder).stdout.splitlines()
    assert len(lines) == 2
    assert "ValueError" in lines[1]
    code, shown = in_terminal("metrics", cwd=folder, columns=40)
    assert code == 0
    assert "critical path:" in shown
    (pipeline,) = json.loads(odibi("get", "pipelines", "--output", "json", cwd=folder).stdout)
    assert (pipeline["pipeline"], pipeline["steps"]) == ("shop", "3/3")
    nowhere = odibi("logs", "shop", "--step", "secnd", cwd=folder)
    assert (nowhere.returncode, "did you mean 'second'" in nowhere.stderr) == (5, True)
