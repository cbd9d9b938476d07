"""What keeps a step from running in the cluster is told with the plan, at its place in the file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from odibi.cli import plan as plan_command
from odibi.errors import ConfigError
from odibi.plan import Plan
from tests.unit.run.project import KEPT, Project, sql


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def config(project: Project, cluster: dict[str, Any], of_step: dict[str, Any], **fields: Any) -> str:
    root = str(project.root)
    given = {
        "image": "odibi:1",
        "tasks": f"{root}/tasks",
        "volumes": [{"name": "all", "claim": "lake", "mount": root}],
    } | cluster
    steps = [
        sql("near", "SELECT 1 AS x", layer="bronze"),
        sql("far", "SELECT x FROM near", layer="silver") | of_step,
    ]
    return project.config(steps, **{"runtime": {"silver": "kubernetes"}, **fields}, kubernetes=given)


def planned(project: Project, **said: Any) -> Plan:
    return project.plan(config(project, said.pop("cluster", {}), said.pop("step", {}), **said))


def line_of(project: Project, text: str) -> int:
    lines = (project.root / "shop.yaml").read_text("utf-8").splitlines()
    return 1 + next(number for number, line in enumerate(lines) if text in line)


@pytest.mark.parametrize(
    ("said", "where", "message"),
    [
        pytest.param({"cluster": {"tasks": ".odibi/tasks"}}, "tasks: .odibi", "must both reach '.odibi/tasks'", id="relative"),
        pytest.param({"cluster": {"tasks": "/data/t"}}, "tasks: /data", "must both reach '/data/t'", id="not mounted"),
        pytest.param(
            {"engines": {"silver": "spark"}}, "name: far",
            "step 'far' runs on kubernetes and needs Spark, and no image with it is named (give kubernetes.spark_image)",
            id="no image with Spark",
        ),
        pytest.param(
            {"step": {"operation": "postgres"}}, "name: far",
            "step 'far' runs on kubernetes with PostgreSQL beside it, and has no password for that "
            "(give kubernetes.secrets.PG_PASSWORD: {secret: ..., key: ...})",
            id="no password for PostgreSQL",
        ),
        pytest.param(
            {"step": {"resources": {"limits": {"memory": "2Gi"}}}}, "limits:",
            "step 'far' runs on kubernetes: resources: the pod requests 4Gi of memory, and its limit is 2Gi "
            "(raise limits.memory, or lower requests.memory)",
            id="a limit below what its class requests",
        ),
        pytest.param(
            {"step": {"resources": {"requests": {"memory": "10Gi"}}}}, "requests:",
            "the pod requests 10Gi of memory, and its limit is 8Gi", id="more than its class may take",
        ),
    ],
)  # fmt: skip
def test_it_is_told_with_its_place(shop: Project, said: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(shop, **copy.deepcopy(said))
    (problem,) = caught.value.problems
    assert message in str(problem)
    assert problem.line == line_of(shop, where)


def test_tasks_may_be_in_a_store_or_a_mounted_folder(shop: Project) -> None:
    for place in ("s3://bucket/tasks", f"file://{shop.root}/tasks", f"{shop.root}/tasks/"):
        assert planned(shop, cluster={"tasks": place}).steps[1].runtime == "kubernetes"
    with pytest.raises(ConfigError, match="must both reach"):
        planned(shop, cluster={"tasks": f"{shop.root}/../tasks"})


def test_nothing_is_asked_of_what_stays_here(shop: Project) -> None:
    said = {"resources": {"limits": {"memory": "2Gi"}}, "write": KEPT}
    assert planned(shop, runtime="local", cluster={"tasks": "here"}, step=said).steps[1].runtime == "local"


@pytest.mark.parametrize(
    ("threshold", "runtime", "reason"),
    [
        ("1B", "kubernetes", "on kubernetes: it reads 9 B, above 1B"),
        ("1GB", "local", "here: it reads 9 B, not above 1GB"),
    ],
)
def test_the_plan_says_what_was_measured(
    shop: Project, threshold: str, runtime: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.csv("in/a.csv", "x", [1], [2])
    asked = {"read": {"from": "in", "path": "a.csv"}, "layer": "bronze", "write": KEPT}
    steps = [{"name": "far", **asked, "runtime": "auto"}, {"name": "near", **asked}]
    cluster = {"image": "odibi:1", "tasks": "s3://b/t", "threshold": threshold}
    volumes = [{"name": "all", "claim": "lake", "mount": str(shop.root)}]
    file = shop.config(steps, kubernetes={**cluster, "volumes": volumes})
    far, near = shop.plan(file).steps
    assert far.runtime == runtime
    assert far.decision.reason == f"nothing written yet; {reason}"
    assert near.decision.reason == "nothing written yet"
    plan_command.plan(
        config=file, given={}, select=None, exclude=None, canonical=False, lineage=False, output="text"
    )
    assert ("duckdb on kubernetes" in capsys.readouterr().out) == (runtime == "kubernetes")
