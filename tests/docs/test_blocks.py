"""The docs do what they show: every command, file and Python block of every page is run, every config loaded.

A ``console`` block holds commands behind ``$``; ``file NAME`` and ``append NAME`` blocks are written;
``python`` blocks are run, ``yaml`` and ``json`` blocks loaded, where a part of a config stands for a whole one.
``text`` is what something prints. What cannot be run says so on the line before it, with the reason:
``<!-- not run: needs an account in a cloud -->``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from odibi.config.alerts import Condition
from odibi.config.hooks import EVENTS, Hook
from odibi.config.load import load
from odibi.config.yaml import parse

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
KINDS = {"console", "sh", "python", "yaml", "json", "file", "append", "text"}
# These are followed further down, or in tests/flow/test_cli_docs.py; the yaml of operations.md is run as it is made.
FOLLOWED = {"cli", "checks", "connections", "examples", "operations", "tutorial"}
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))


def blocks(name: str) -> Iterator[tuple[str, str]]:
    """The blocks of a page that are to be run, each with its kind."""
    for match in BLOCK.finditer((ROOT / name).read_text("utf-8")):
        if match["reason"] is None:
            yield match["kind"].strip(), match["text"]


def run(command: str, folder: Path) -> str:
    """A command of a console block; ``odibi`` is this environment's."""
    words = shlex.split(command)
    if words[0] == "odibi":
        words = [sys.executable, "-m", "odibi", *words[1:]]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ODIBI_")} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def follow(name: str, folder: Path) -> list[str]:
    """Do what a page says, from ``folder`` on; what its commands printed."""
    printed = []
    for kind, text in blocks(name):
        verb, _, target = kind.partition(" ")
        if verb in ("file", "append"):
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w" if verb == "file" else "a", encoding="utf-8") as file:
                file.write(text)
        elif verb == "python":
            printed.append(run(f"{shlex.quote(sys.executable)} -c {shlex.quote(text)}", folder))
        elif verb == "console":
            for line in text.splitlines():
                command = line.removeprefix("$ ").strip()
                if command.startswith("cd "):
                    folder = folder / command[3:]
                elif command and not command.startswith(". "):
                    printed.append(run(command, folder))
    return printed


def whole(text: str, folder: Path) -> str:
    """A config made of what may be a part of one: steps, a step's ``write`` or ``read``, keys of a pipeline.

    What the part names and does not have, a connection, an input or a file of SQL, is made up.
    """
    part = parse(f"steps:\n{text}" if text.lstrip().startswith("- ") else text, "part").data
    if "write" in part or "read" in part:
        source = {} if "read" in part else {"inputs": ["rows"], "sql": "select * from rows"}
        part = {"steps": [{"name": "shown", "layer": "silver", **source, **part}]}
    steps: list[dict[str, Any]] = list(part.get("steps", ()))
    connections: dict[str, Any] = {}
    for step in tuple(steps):
        places = [step[key] for key in ("write", "read", "params") if isinstance(step.get(key), dict)]
        used = [place[key] for place in places for key in ("to", "from") if key in place]
        connections |= {name: {"url": "lake"} for name in used}
        named = [one["from"] if isinstance(one, dict) else one for one in step.get("inputs", ())]
        for name in {*named, "rows"} - {one["name"] for one in steps}:
            steps.append({"name": name, "layer": "bronze", "sql": "select 1 as n"})
        if (query := str(step.get("sql"))).endswith(".sql"):
            (folder / query).touch()
    rows = {"name": "rows", "layer": "bronze", "sql": "select 1 as n"}
    config = {"pipeline": "part", **part, "steps": steps or [rows]}
    return json.dumps({**config, "connections": {**connections, **part.get("connections", {})}})


@pytest.mark.parametrize("name", [each for each in PAGES if Path(each).stem not in FOLLOWED])
def test_every_other_page(name: str, tmp_path: Path) -> None:
    for folder in ("configs", "steps"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    follow(name, tmp_path)
    for kind, text in blocks(name):
        if kind == "json":
            json.loads(text)
        elif kind == "yaml":
            (tmp_path / "whole.json").write_text(whole(text, tmp_path), "utf-8")
            load(tmp_path / "whole.json")


@pytest.mark.parametrize("name", ["README.md", *PAGES])
def test_every_block_says_what_it_is(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(BLOCK.findall(text)), (
        "a fence within a line"
    )
    assert text.count("<!-- not run") == sum(each["reason"] is not None for each in BLOCK.finditer(text))
    for block in BLOCK.finditer(text):
        assert block["kind"].partition(" ")[0] in KINDS, block[0]
        hidden = block["kind"] == "text" and re.search(r"^(\$ )?odibi \w", block["text"], re.MULTILINE)
        assert block["reason"] or not hidden, f"commands that nobody runs: {block[0]}"


def test_the_tutorial(tmp_path: Path) -> None:
    printed = follow("docs/tutorial.md", tmp_path)
    assert "Zoé" in printed[-3]
    assert Path(tmp_path / "shop" / printed[-1].split()[-1]).is_file()
    broken = tmp_path / "shop/configs/sales.yaml"
    broken.write_text(broken.read_text("utf-8").replace("amount is not null", "amunt is not null"), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "odibi", "validate", "configs/sales.yaml"],
        cwd=tmp_path / "shop", env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    shown = next(text for kind, text in blocks("docs/tutorial.md") if kind == "text").strip()
    assert done.returncode == 2
    assert shown in done.stdout + done.stderr


def test_the_readme(tmp_path: Path) -> None:
    for name in ("configs", "steps"):
        shutil.copytree(ROOT / name, tmp_path / name)
    run("odibi run configs/daily.yaml", tmp_path)
    follow("README.md", tmp_path)
    (small,) = (text for kind, text in blocks("README.md") if kind == "yaml")
    assert len(small.splitlines()) <= 40
    (tmp_path / "configs/readme.yaml").write_text(small, "utf-8")
    run("odibi run configs/readme.yaml --date 2026-01-05", tmp_path)


def test_connections(tmp_path: Path) -> None:
    follow("docs/connections.md", tmp_path)
    configs = [text for kind, text in blocks("docs/connections.md") if kind == "yaml"]
    for number, text in enumerate(configs):
        (tmp_path / f"{number}.yaml").write_text(text, "utf-8")
        for target in ("dev", *yaml.safe_load(text).get("targets", ())):
            load(tmp_path / f"{number}.yaml", target=target)
    (tmp_path / "orders.csv").write_text("id\n1\n", "utf-8")
    run(f"odibi run {len(configs) - 1}.yaml", tmp_path)
    assert (tmp_path / "warehouse.db").is_file()


def test_checks(tmp_path: Path) -> None:
    _, listed, shown, _, replayed, left = follow("docs/checks.md", tmp_path)
    assert "orders  2026-01-05     3" in listed
    assert "customer_id is not in customers.customer_id" in shown
    assert "orders 2026-01-05: 1 row went back in, 2 left" in replayed
    assert "references" not in left
    for text in (text for kind, text in blocks("docs/checks.md") if kind == "yaml"):
        (tmp_path / "small.yaml").write_text(text, "utf-8")
        run("odibi run small.yaml", tmp_path)


def test_alerts(tmp_path: Path) -> None:
    follow("docs/alerts.md", tmp_path)
    page = (ROOT / "docs/alerts.md").read_text("utf-8")
    hooks, alerts = (text for kind, text in blocks("docs/alerts.md") if kind == "yaml")
    (tmp_path / "hooks.yaml").write_text(hooks, "utf-8")
    (tmp_path / "alerts.yaml").write_text(alerts, "utf-8")
    run("odibi run hooks.yaml", tmp_path)
    lines = (tmp_path / ".odibi/events.jsonl").read_text("utf-8").splitlines()
    known = [key for line in lines for key in json.loads(line)]
    assert [key for key in known if f"`{key}`" not in page] == []
    run("odibi validate --strict alerts.yaml", tmp_path)
    assert run("odibi alerts list alerts.yaml", tmp_path).count("never") == 5
    names = {*EVENTS, *Hook.model_fields, *(field.alias for field in Condition.model_fields.values())}
    assert [name for name in names if f"`{name.rstrip('_')}" not in page] == []


def test_monitoring(tmp_path: Path) -> None:
    follow("docs/monitoring.md", tmp_path)
    assert (tmp_path / "metrics_prometheus.txt").is_file()
    told = "".join(text for kind, text in blocks("docs/monitoring.md") if kind == "yaml")
    told = told.replace("push:", "# push:")
    steps = "steps: [{name: one, layer: bronze, sql: SELECT 1 AS n}]"
    (tmp_path / "small.yaml").write_text(f"pipeline: small\n{told}{steps}\n", "utf-8")
    run("odibi run small.yaml", tmp_path)
    page = (ROOT / "docs/monitoring.md").read_text("utf-8")
    for name in re.findall(
        r"^# TYPE (\w+)", (tmp_path / ".odibi/odibi.prom").read_text("utf-8"), re.MULTILINE
    ):
        assert f"| `{name}` |" in page
    assert {"status", "duration_secs"} <= json.loads(
        (tmp_path / ".odibi/run.log").read_text("utf-8").splitlines()[0]
    ).keys()


def test_the_examples(tmp_path: Path) -> None:
    for name in ("configs", "steps"):
        shutil.copytree(ROOT / name, tmp_path / name)
    follow("docs/examples.md", tmp_path)
    page = (ROOT / "docs/examples.md").read_text("utf-8")
    assert [
        each.name for each in (ROOT / "configs").glob("*.yaml") if f"configs/{each.name})" not in page
    ] == []
    (stages,) = (text for kind, text in blocks("docs/examples.md") if kind == "yaml")
    assert stages in (ROOT / "configs/ex5_data_processing.yaml").read_text("utf-8")
    report = json.loads(
        (tmp_path / ".odibi/output/ex5/summaries/pipeline_summary_report.json").read_text("utf-8")
    )
    assert report["status"] == "completed"


@pytest.mark.parametrize("target", ["run", "test"])
def test_the_two_commands_of_the_readme_are_targets(target: str) -> None:
    shell = [text for kind, text in blocks("README.md") if kind == "sh"]
    assert shell == ["make run\nmake test\n"]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
