"""``odibi k8s``: what it prints, and the code it ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from odibi.cli import k8s
from odibi.cli.exits import Exit, NotFound, UsageError
from odibi.errors import Permanent
from tests.unit.run.project import Project

CLUSTER = {"image": "odibi:1"}
KEPT = {"write": {"to": "lake"}}
STEPS = [
    {"name": "raw", "layer": "bronze", "sql": "SELECT 1 AS x", **KEPT},
    {"name": "clean", "layer": "silver", "inputs": ["raw"], "sql": "SELECT x FROM raw", **KEPT},
]


class Command:
    """The command in a project, with what it printed."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.project, self.capsys, self.code, self.said = Project(root), capsys, -1, ""

    def render(
        self, output: str = "text", cluster: Any = CLUSTER, runtime: Any = "local", **asked: Any
    ) -> Any:
        root = str(self.project.root)
        shared = {"tasks": f"{root}/tasks", "volumes": [{"name": "d", "mount": root, "claim": "c"}]}
        given = None if cluster is None else {**shared, **cluster}
        config = self.project.config(STEPS, kubernetes=given, runtime=runtime)
        flags = {"rbac": False, "priority_classes": False, "stages": False, "schedule": None, **asked}
        self.code = k8s.render(config=config, given={}, output=output, **flags)
        printed = self.capsys.readouterr()
        self.said = printed.err
        return json.loads(printed.out) if output == "json" else list(yaml.safe_load_all(printed.out))

    def lint(self, *files: Path, output: str = "text") -> str:
        self.code = k8s.lint(files=[str(file) for file in files], output=output)
        printed = self.capsys.readouterr()
        self.said = printed.err
        return printed.out


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def test_render_prints_the_jobs_of_a_run(command: Command) -> None:
    (made,) = command.render(runtime={"silver": "kubernetes"})
    assert made["metadata"]["labels"]["step"] == "clean"
    assert command.code == Exit.SUCCESS
    (same,) = command.render("json", runtime={"silver": "kubernetes"})
    assert same["kind"] == "Job"


def test_render_says_where_nothing_leaves(command: Command) -> None:
    assert command.render() == []
    assert command.said == "shop: no step would run in the cluster\n"
    assert command.render("json") == []


def test_render_prints_what_is_asked_for(command: Command) -> None:
    found = command.render(rbac=True, priority_classes=True, stages=True, schedule="0 2 * * *")
    assert [each["kind"] for each in found] == [
        *("ServiceAccount", "Role", "RoleBinding") * 2, *["PriorityClass"] * 4, *["Job"] * 2, "CronJob"
    ]  # fmt: skip
    assert found[-1]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["serviceAccountName"] == "odibi"


def test_a_scheduled_run_that_submits_jobs_may_do_so(command: Command) -> None:
    (made,) = command.render(schedule="0 2 * * *", runtime="kubernetes")
    pod = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("odibi-submitter", True)


def test_what_render_refuses(command: Command) -> None:
    with pytest.raises(UsageError, match="'99 2 \\* \\* \\*' is no schedule: minute '99' is none: 0 to 59"):
        command.render(schedule="99 2 * * *")
    with pytest.raises(UsageError, match="have Jobs of their own"):
        command.render(stages=True, runtime="kubernetes")
    with pytest.raises(Permanent, match="shop names no cluster"):
        command.render(rbac=True, cluster=None)


def test_render_warns_of_what_a_namespace_may_refuse(command: Command) -> None:
    volume = {"name": "d", "mount": "/data", "host_path": "/srv"}
    assert command.render(cluster={**CLUSTER, "tasks": "s3://b/t", "volumes": [volume]}, stages=True)
    assert (
        "warning: volume 'd' is a folder of the node, which Pod Security restricted refuses" in command.said
    )


def test_what_render_prints_is_clean(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(
        yaml.safe_dump_all(command.render(rbac=True, priority_classes=True, stages=True)), "utf-8"
    )
    assert command.lint(file) == "12 manifests are clean\n"
    assert (command.code, command.said) == (Exit.SUCCESS, "")


def test_lint_tells_what_is_wrong(command: Command, tmp_path: Path) -> None:
    (made,) = command.render(runtime={"silver": "kubernetes"})
    made["metadata"]["name"] = "clean"
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "odibi"
    file = tmp_path / "job.yaml"
    file.write_text(f"---\n{yaml.safe_dump({'kind': 'List', 'items': [made]})}---\n- 1\n", "utf-8")
    assert command.lint(file) == ""
    assert command.code == Exit.INVALID
    assert command.said.splitlines() == [
        (
            f"{file}: Job/clean: spec.template.spec.containers[0].image: the image 'odibi' is another one tomorrow "
            "(end it with a tag other than latest, or with a digest)"
        ),
        f"{file}: document 2: it is no object (begin with apiVersion and kind)",
        "2 findings",
    ]
    told = json.loads(command.lint(file, output="json"))
    assert command.code == Exit.INVALID
    assert told[0] == {
        "file": str(file), "object": "Job/clean", "place": "spec.template.spec.containers[0].image",
        "message": "the image 'odibi' is another one tomorrow",
        "hint": "end it with a tag other than latest, or with a digest", "level": "error",
    }  # fmt: skip


def test_lint_of_what_is_no_yaml_or_not_there(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("a: [1\n", "utf-8")
    command.lint(file)
    assert command.code == Exit.INVALID
    assert command.said.startswith(f"{file}: YAML: while parsing a flow sequence")
    file.write_bytes(b"kind: Pod\xff\n")
    command.lint(file)
    assert command.code == Exit.INVALID
    assert command.said == f"{file}: YAML: byte 10 is no UTF-8 (save it as UTF-8)\n1 finding\n"
    with pytest.raises(NotFound, match="there is no such file"):
        command.lint(tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match="this is a folder, not a file"):
        command.lint(tmp_path)


def test_lint_looks_into_lists(command: Command, tmp_path: Path) -> None:
    bad = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad"},
        "spec": {"containers": [{"name": "a", "image": "a"}]},
    }
    pods = {"apiVersion": "v1", "kind": "PodList", "items": [bad]}
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [pods]}), "utf-8")
    command.lint(file)
    assert command.code == Exit.INVALID
    assert f"{file}: Pod/bad: spec.containers[0].image: the image 'a' is another one tomorrow" in command.said


def test_lint_reads_stdin(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "in"
    file.write_text("", "utf-8")
    with file.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert command.lint(Path("-")) == "0 manifests are clean\n"
