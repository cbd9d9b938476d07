"""odibi chaos: the short version of what `make chaos` does for an hour, and what it says when something is wrong."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.flow.helpers import odibi, project

ROOT = Path(__file__).parents[2]


def test_every_way_to_write_survives(tmp_path: Path) -> None:
    """Kills spread over all moments of two days, and some at random times."""
    for name in ("configs", "steps"):
        shutil.copytree(ROOT / name, tmp_path / name)
    asked = ("chaos", "configs/chaos.yaml", "--points", 16, "--random", 4, "--output", "json")
    done = odibi(*asked, cwd=tmp_path, timeout=600)
    told = json.loads(done.stdout)
    assert done.returncode == 0, told["failed"]
    assert told["holds"] is True
    assert told["tried"] == 20
    assert told["killed"] >= 16
    assert told["points"] > 250
    assert told["not_compared"] == []
    assert not (tmp_path / ".odibi").exists(), "the project's own tables and runs are left alone"


BRITTLE = {
    "configs/brittle.yaml": """
        pipeline: brittle
        date: "2026-01-05"
        connections: {lake: {url: lake}}
        steps:
          - {name: numbers, layer: bronze, sql: SELECT 1 AS n, write: {to: lake}}
          - {name: counted, layer: gold, inputs: [numbers], function: "steps.brittle:counted", write: {to: lake}}
    """,
    "steps/brittle.py": """
        from pathlib import Path

        def counted(numbers):
            calls = Path(__file__).with_name("calls")
            calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
            if len(calls.read_text()) == 4:
                raise ValueError("the fourth call")
            return numbers
    """,
}


def test_what_does_not_survive_is_named_with_what_shows_it_again(tmp_path: Path) -> None:
    """A function that fails when it is called again after a kill."""
    folder = project(tmp_path, BRITTLE)
    point = "2026-01-05 before creation: lake/gold/counted #1"
    done = odibi("chaos", "--at", point, "--date", "2026-01-05", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert (
        f"FAILED at {point}\n  the next run ended with exit code 1: error: step 'counted' failed"
        in done.stdout
    )
    left = re.search(r"^what is left of it: (.+)$", done.stdout, re.M)
    again = re.search(r"^again: odibi (.+)$", done.stdout, re.M)
    assert left is not None
    assert again is not None
    assert (Path(left[1]) / "lake/lake/bronze/numbers/_delta_log").is_dir()
    shutil.rmtree(Path(left[1]).parent)
    done = odibi(*shlex.split(again[1]), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kill, nothing lost, nothing doubled, nothing redone" in done.stdout


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("sql: SELECT 1 AS n, write: {path: out.csv}", "writes to no connection"),
        ("sql: SELECT 1 AS n, write: {to: lake, path: /tmp/elsewhere}", "outside of its connection"),
        ("read: {from: lake, path: given.csv}, write: {to: lake}", "which is also written to"),
    ],
)
def test_what_cannot_be_moved_is_refused(step: str, said: str, tmp_path: Path) -> None:
    text = f"""
        pipeline: p
        date: "2026-01-05"
        connections: {{lake: {{url: lake}}}}
        steps: [{{name: a, layer: bronze, {step}}}]
    """
    done = odibi("chaos", cwd=project(tmp_path, {"configs/p.yaml": text}))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
