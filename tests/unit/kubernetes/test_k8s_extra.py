"""Without the extra ``kubernetes`` what needs a cluster says what to install, and all else works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.run.project import Project, sql

HIDDEN = """
import sys

sys.modules["lightkube"] = None
from odibi.cli import main

sys.argv = ["odibi", *sys.argv[1:]]
main()
"""
SEEN = """
import sys
from odibi.cli import main

sys.argv = ["odibi", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", sorted(name for name in sys.modules if name.partition(".")[0] in ("lightkube", "httpx2")))
"""
SAID = "error: lightkube (for runtime 'kubernetes') is not installed (pip install 'odibi[kubernetes]')\n"


def python(code: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *args], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return Project(tmp_path)


def config(project: Project, **said: Any) -> str:
    volumes = [{"name": "all", "claim": "lake", "mount": str(project.root)}]
    cluster = {"image": "odibi:1", "tasks": f"{project.root}/tasks", "volumes": volumes}
    steps = [sql("near", "SELECT 1 AS x", layer="bronze"), sql("far", "SELECT x FROM near", layer="silver")]
    return project.config(steps, **{"kubernetes": cluster, "runtime": {"silver": "kubernetes"}, **said})


@pytest.mark.parametrize(
    "command",
    [("run",), ("k8s", "delete"), ("k8s", "delete", "--orphans"), ("chaos", "--runtime", "kubernetes")],
)
def test_it_says_what_to_install(shop: Project, command: tuple[str, ...]) -> None:
    done = python(HIDDEN, *command, config(shop), cwd=shop.root)
    assert (done.returncode, done.stderr) == (3, SAID)
    assert not (shop.root / "lake").exists()  # before anything runs


@pytest.mark.parametrize(
    "command", [("plan",), ("validate",), ("k8s", "render"), ("k8s", "render", "--rbac")]
)
def test_what_needs_no_cluster_works(shop: Project, command: tuple[str, ...]) -> None:
    done = python(HIDDEN, *command, config(shop), cwd=shop.root)
    assert done.returncode == 0, done.stderr


def test_a_run_here_works(shop: Project) -> None:
    done = python(HIDDEN, "run", config(shop, runtime="local"), cwd=shop.root)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [("--help",), ("plan",), ("run",), ("k8s", "render")])
def test_who_needs_no_cluster_imports_no_client(shop: Project, command: tuple[str, ...]) -> None:
    file = config(shop, runtime={"silver": "kubernetes"} if command[0] == "k8s" else "local")
    done = python(SEEN, *command, *(() if command == ("--help",) else (file,)), cwd=shop.root)
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stdout + done.stderr


def test_importing_odibi_imports_no_client(tmp_path: Path) -> None:
    code = "import sys, odibi; [getattr(odibi, name) for name in odibi.__all__]; print('lightkube' in sys.modules)"
    assert python(code, cwd=tmp_path).stdout == "False\n"
