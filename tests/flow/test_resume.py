"""Runs that are killed or fail, and what goes on from their checkpoints."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from tests.flow.helpers import events, odibi, project

CONFIG = """
pipeline: shop
date: "2026-01-05"
distributed: false
enable_cache: false
connections: {in: {url: in}, lake: {url: "lake-{{ target }}", format: delta}}
variables: {least: 0}
targets: {test: {}}
steps:
  - {name: raw, layer: bronze, read: {from: in, path: a.csv}, write: {to: lake}}
  - {name: listed, layer: bronze, inputs: [raw], transform: [{sort: [id]}], write: {to: lake, format: csv}}
  - {name: big, layer: silver, sql: "SELECT * FROM listed WHERE v > {{ least }}", write: {to: lake, mode: append}}
  - {name: handed, layer: silver, sql: "SELECT id, v * 2 AS w, random() AS dice FROM big"}
  - {name: stamped, layer: silver, function: "steps.code:stamped", write: {to: lake}}
  - {name: total, layer: gold, function: "steps.code:total", write: {to: lake}}
  - {name: told, layer: gold, sql: "SELECT sum(w) AS w FROM total", write: {to: lake}}
"""
CODE = """
import os, signal, time
from pathlib import Path

import pandas as pd


def stamped() -> pd.DataFrame:
    with open("called.txt", "a") as file:
        file.write("called\\n")
    return pd.DataFrame({"called": [len(Path("called.txt").read_text().split())]})


def total(handed, stamped):
    if Path("die").exists():
        while len(list(Path("checkpoints/shop").glob("*/*.json"))) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
    if Path("fail").exists():
        raise ValueError("not today")
    return handed
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return project(
        tmp_path / "shop",
        {"configs/shop.yaml": CONFIG, "steps/code.py": CODE, "in/a.csv": "id,v\n1,1\n2,2\n3,3\n"},
    )


def statuses(stdout: str) -> dict[str, tuple[str, str]]:
    """How each step ended, and why."""
    return {e["step"]: (e["status"], e["reason"]) for e in events(stdout) if e["event"] == "step"}


def executed(stdout: str) -> list[str]:
    return [name for name, (status, _) in statuses(stdout).items() if status == "completed"]


def rows(lake: Path) -> dict[str, list[Any]]:
    """Every table of a lake, without what is left to chance."""
    found = {}
    for log in sorted(lake.rglob("_delta_log")):
        files = DeltaTable(str(log.parent)).file_uris()
        whole = duckdb.sql(f"SELECT * FROM read_parquet({files!r}, hive_partitioning=true)")
        columns = ", ".join(f'"{column}"' for column in whole.columns if column != "dice")
        found[log.parent.name] = duckdb.sql(f"SELECT {columns} FROM whole ORDER BY ALL").fetchall()
    return found


def test_resume_after_kill_9_runs_only_what_was_left(shop: Path) -> None:
    undisturbed = shop.parent / "undisturbed"
    shutil.copytree(shop, undisturbed)
    assert odibi("run", cwd=undisturbed).returncode == 0
    (shop / "die").touch()
    assert odibi("run", "--param", "least=1", "--target", "test", cwd=shop).returncode == -9
    (manifest,) = (shop / "checkpoints/shop").glob("*/000002.json")
    assert (manifest.parent / "data/handed/handed-0.parquet").is_file()
    dice = duckdb.sql(f"SELECT * FROM '{manifest.parent}/data/handed/*.parquet' ORDER BY id").fetchall()
    (shop / "die").unlink()

    refused = odibi("run", "--resume", cwd=shop)
    assert refused.returncode == 5
    assert "no checkpoint of shop for 2026-01-05 (dev) in checkpoints/shop" in refused.stderr
    done = odibi("retry", "shop", "--output", "json", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert executed(done.stdout) == ["total", "told"]
    reasons = {name: reason for name, (_, reason) in statuses(done.stdout).items()}
    run = manifest.parent.name[:8]
    for name in ("listed", "handed", "stamped"):
        assert reasons[name] == f"done by the run that is resumed, {run}"
    assert (shop / "called.txt").read_text().split() == ["called"]
    assert rows(shop / "lake-test") == {
        **rows(undisturbed / "lake-dev"),
        "big": rows(undisturbed / "lake-dev")["big"][1:],
        "total": rows(undisturbed / "lake-dev")["total"][1:],
        "told": [(10,)],
    }
    files = DeltaTable(str(shop / "lake-test/gold/total")).file_uris()
    assert duckdb.sql(f"SELECT id, w, dice FROM read_parquet({files!r}) ORDER BY id").fetchall() == dice
    left = [path.name for path in (shop / "checkpoints").rglob("*") if path.is_file()]
    assert sorted(left) == ["000001.json", "000001.json", "000002.json", "000002.json"]


def test_the_last_line_of_a_failed_run_resumes_it(shop: Path) -> None:
    (shop / "fail").touch()
    failed = odibi("run", "--date", "2026-01-06", "--select", "+told", cwd=shop)
    assert failed.returncode == 1
    command = shlex.split(failed.stdout.splitlines()[-1])
    assert command[:2] == ["odibi", "retry"]
    again = odibi(*command[1:], "--output", "json", cwd=shop)
    assert (again.returncode, executed(again.stdout)) == (1, [])
    assert events(again.stdout)[-1]["resume"].startswith("odibi retry ")

    shown = odibi("checkpoints", "show", "--output", "json", cwd=shop)
    newest = json.loads(shown.stdout)
    assert (newest["status"], newest["failed"], newest["errors"]) == (
        "failed",
        ["total"],
        {"total": "not today"},
    )
    assert newest["pending"] == ["told"]
    assert (
        "total    failed            1  not today" in odibi("checkpoints", "show", command[2], cwd=shop).stdout
    )
    listed = odibi("checkpoints", "list", cwd=shop).stdout
    assert listed.splitlines()[0].split() == ["Run", "Layer", "Status", "Date", "Completed", "Age", "Size"]
    assert [line.split()[1] for line in listed.splitlines()[1:]] == ["final", "final", "silver", "bronze"]

    (shop / "fail").unlink()
    text = (shop / "configs/shop.yaml").read_text("utf-8")
    (shop / "configs/shop.yaml").write_text(text.replace("v * 2 AS w", "v * 3 AS w"), "utf-8")
    planned = odibi("plan", "--date", "2026-01-06", "--resume", cwd=shop)
    assert "handed   run     duckdb  its code changed" in planned.stdout
    done = odibi("run", "--date", "2026-01-06", "--resume", "--output", "json", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert executed(done.stdout) == ["handed", "total", "told"]
    assert rows(shop / "lake-dev")["told"] == [(18,)]

    assert "has succeeded" in odibi("retry", cwd=shop).stderr
    done = odibi("retry", command[2], "--step", "total", "--output", "json", cwd=shop)
    assert executed(done.stdout) == ["handed", "total", "told"], "made by chance anew"
    cleared = odibi("checkpoints", "clear", cwd=shop)
    assert cleared.stdout.startswith("Removed ")
    refused = odibi("run", "--date", "2026-01-06", "--resume", cwd=shop)
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "there is no checkpoint of shop for 2026-01-06 (dev)" in refused.stderr
    assert odibi("run", "--resume", "--no-cache", cwd=shop).returncode == 2
