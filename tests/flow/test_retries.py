"""Failures that pass, failures that stay, limits of time and memory: as people meet them."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from tests.flow.helpers import odibi, project, start

HEAD = """
pipeline: p
date: 2026-01-05
retry_delay: 0.05
connections: {lake: {url: lake, format: delta}}
"""

FLAKY = """
import os
import time
from pathlib import Path

import pyarrow as pa


def _times(name):
    with Path(name).open("a") as file:
        file.write("x")
    return len(Path(name).read_text())


def flaky(*, name, fails, error="RuntimeError"):
    n = _times(name)
    if n <= fails:
        raise {"RuntimeError": RuntimeError, "ValueError": ValueError}[error](f"not yet: {n}")
    return [{"n": n}]


def halves(*, fails):
    def batches():
        yield pa.record_batch({"i": list(range(100_000))})
        if _times("halves") <= fails:
            raise ConnectionResetError("the source went away")
        yield pa.record_batch({"i": list(range(100_000, 200_000))})

    return pa.RecordBatchReader.from_batches(pa.schema({"i": pa.int64()}), batches())


def dies():
    for n in range(80):
        print("line", n)
    os._exit(75)


def sleeps(*, seconds):
    time.sleep(seconds)
    return [{"x": 1}]


def eats():
    return [{"x": len(b"x" * 2_000_000_000)}]
"""


def function(step: str, call: str, more: str = "", **params: Any) -> str:
    return (
        f"  - {{name: {step}, layer: bronze, function: 'steps.flaky:{call}', "
        f"params: {json.dumps(params)}, write: {{to: lake}}{more}}}\n"
    )


def query(name: str, sql: str, more: str = "") -> str:
    return f'  - {{name: {name}, layer: silver, sql: "{sql}", write: {{to: lake}}{more}}}\n'


def config(folder: Path, *steps: str, head: str = "") -> Path:
    return project(
        folder, {"p.yaml": HEAD.lstrip() + head + "steps:\n" + "".join(steps), "steps/flaky.py": FLAKY}
    )


def steps_of(folder: Path) -> dict[str, Any]:
    """The details of the last run's steps, by name."""
    told = json.loads(odibi("status", "p", "--output", "json", cwd=folder).stdout)
    return {step["step"]: step for step in told["details"]}


def rows(folder: Path, table: str) -> Any:
    files = DeltaTable(str(folder / "lake" / table)).file_uris()
    return duckdb.sql(f"SELECT count(*), count(DISTINCT i) FROM read_parquet({files!r})").fetchall()[0]


def test_failures_that_pass_and_failures_that_stay(tmp_path: Path) -> None:
    config(
        tmp_path,
        function("third_time", "flaky", name="a", fails=3),
        function("never", "flaky", name="b", fails=9),
        function("wrong", "flaky", name="c", fails=9, error="ValueError"),
        function("told", "flaky", ", retry: {retry_rules: [{error: ValueError, then: retry}]}", name="d", fails=1, error="ValueError"),
        function("left_out", "flaky", ", retry: {retry_rules: [{message: 'not yet', then: skip}]}", name="e", fails=9),
        function("died", "dies", ", resources: {memory: 1GB}, retry: {max_retries: 1, retry_rules: [{exit_code: 75, then: retry}]}"),
        function("in_halves", "halves", fails=1),
        query("cast_wrong", "SELECT CAST('x' || count(*) AS INTEGER) AS i FROM third_time"),
        query("after_it", "SELECT * FROM left_out"),
        query("after_never", "SELECT * FROM never"),
    )  # fmt: skip
    done = odibi("run", "p.yaml", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "retrying   third_time   attempt 3 of 4 failed: RuntimeError: not yet: 3" in done.stdout
    found = steps_of(tmp_path)
    assert {name: (step["status"], step["retry_count"]) for name, step in found.items()} == {
        "third_time": ("completed", 3),
        "never": ("failed", 3),
        "wrong": ("failed", 0),
        "told": ("completed", 1),
        "left_out": ("skipped", 0),
        "died": ("failed", 1),
        "in_halves": ("completed", 1),
        "cast_wrong": ("failed", 0),
        "after_it": ("skipped", 0),
        "after_never": ("not_run", 0),
    }
    tried = found["third_time"]["attempts"]
    assert [(attempt["number"], attempt["of"]) for attempt in tried] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [attempt["error"]["message"] for attempt in tried[:3]] == [f"not yet: {n}" for n in (1, 2, 3)]
    assert tried[0]["delay"] == 0
    for attempt, most in zip(tried[1:], (0.05, 0.1, 0.2), strict=True):
        assert 0.75 * most <= attempt["delay"] <= most
    assert len({attempt["config_hash"] for attempt in tried}) == 1
    assert len(tried[0]["config_hash"]) == 32
    assert found["left_out"]["reason"] == "left out after RuntimeError: not yet: 1"
    died = found["died"]["attempts"][1]["error"]
    assert died["exit_code"] == 75
    assert died["log"] == [f"line {n}" for n in range(30, 80)]
    assert rows(tmp_path, "bronze/in_halves") == (200_000, 200_000)
    parts = list((tmp_path / "lake/bronze/in_halves").rglob("*.parquet"))
    assert len(parts) == 1
    verbose = odibi("status", "p", "--verbose", cwd=tmp_path).stdout
    assert "failed after" in verbose
    assert "Died (exit code 75): the process that ran the function ended" in verbose
    assert "| line 79" in verbose
    (story,) = (tmp_path / ".odibi/stories/p").glob("*.html")
    told = story.read_text("utf-8")
    assert "not yet: 2" in told
    assert "line 30\nline 31" in told
    assert "line 29\n" not in told


def test_a_cancelled_wait_ends_at_once(tmp_path: Path) -> None:
    config(
        tmp_path,
        function("waits", "flaky", ", retry: {retry_delay: 300, retry_max_delay: 300}", name="a", fails=9),
    )
    with start("run", "p.yaml", cwd=tmp_path) as process:
        assert process.stdout is not None
        while "retrying" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143
    waited = steps_of(tmp_path)["waits"]
    assert waited["status"] == "cancelled"
    assert [attempt["status"] for attempt in waited["attempts"]] == ["failed"]


def test_limits_of_time(tmp_path: Path) -> None:
    config(
        tmp_path,
        function("slow", "sleeps", ", timeout: 2, retry: 0", seconds=600),
        query("slow_query", "SELECT count(*) AS n FROM range(9000000) a, range(9000000) b WHERE (a.range * b.range) % 7 = 3", ", timeout: 0.3, retry: 1"),
        query("after_slow", "SELECT * FROM slow"),
        query("beside", "SELECT 1 AS i"),
    )  # fmt: skip
    assert odibi("run", "p.yaml", cwd=tmp_path).returncode == 1
    found = steps_of(tmp_path)
    statuses = {name: step["status"] for name, step in found.items()}
    assert statuses == {
        "slow": "failed",
        "slow_query": "failed",
        "after_slow": "not_run",
        "beside": "completed",
    }
    assert found["slow"]["error"]["kind"] == "Timeout"
    assert found["slow"]["error"]["message"] == "the attempt took longer than its timeout of 2 s"
    assert [a["error"]["kind"] for a in found["slow_query"]["attempts"]] == ["Timeout", "Timeout"]
    assert not list((tmp_path / "lake/silver").rglob("slow_query/**/*.parquet"))

    config(tmp_path, function("slow", "sleeps", seconds=600), query("after_slow", "SELECT * FROM slow"), head="timeout_seconds: 3\nbackend: processes\n")  # fmt: skip
    done = odibi("run", "p.yaml", cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    told = json.loads(odibi("status", "p", "--output", "json", cwd=tmp_path).stdout)
    assert (told["status"], told["error"]) == ("Timeout", "the run took longer than its timeout of 3 s")
    assert [step["status"] for step in told["details"]] == ["cancelled", "cancelled"]


def test_limits_of_memory(tmp_path: Path) -> None:
    groups = "SELECT repeat(md5(CAST(range AS VARCHAR)), 4) AS i, count(*) AS n FROM range(3000000) GROUP BY 1"  # half a GB
    config(
        tmp_path,
        query("spills", groups, ", resources: {memory: 200MB}"),
        query("cannot", groups, ", resources: {memory: 2MB}, retry: 0"),
        query("after_it", "SELECT max(n) AS n FROM spills", ", resources: {memory: 50MB}, engine: pandas"),
        function("eats", "eats", ", resources: {memory: 200Mi}, retry: 0"),
    )
    odibi("run", "p.yaml", "--output", "json", cwd=tmp_path)
    found = steps_of(tmp_path)
    statuses = {name: step["status"] for name, step in found.items()}
    assert statuses == {"spills": "completed", "cannot": "failed", "after_it": "completed", "eats": "failed"}
    assert rows(tmp_path, "silver/spills") == (3_000_000, 3_000_000)
    for name in ("cannot", "eats"):
        assert found[name]["error"]["kind"] == "ResourceExhausted", found[name]["error"]
    assert found["eats"]["error"]["exit_code"] == 137
    record = json.loads(odibi("story", "--json", "-", cwd=tmp_path).stdout)
    peaks = {step["name"]: step["peak_memory"] for step in record["run"]["steps"]}
    assert 100_000_000 < peaks["spills"] < 450_000_000
    assert peaks["after_it"] < peaks["spills"]
