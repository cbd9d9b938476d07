"""What runs have left in a cluster: deleted where nobody waits for it, and nowhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from odibi.cli import k8s
from odibi.errors import KubernetesError
from odibi.home import Home
from odibi.kubernetes import exchange, names
from odibi.kubernetes.manifest import cron_job, job
from odibi.kubernetes.stages import pipeline_request, stages
from odibi.record.model import RunRecord, RunStatus
from odibi.record.store import open_store
from odibi.run.remote import RUNTIMES
from tests.unit.kubernetes.api import Json, Said, serving, status
from tests.unit.kubernetes.elsewhere import Processes
from tests.unit.run.project import Project, sql

DATE = "2026-01-05"


class Namespace:
    """The Jobs and CronJobs of a namespace behind an API that lists and deletes; ``asked`` is what came."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {"jobs": [], "cronjobs": []}
        self.asked: list[str] = []
        self.refuses = False

    def add(self, *manifests: dict[str, Any]) -> None:
        for one in manifests:
            self.objects[f"{one['kind'].lower()}s"].append(json.loads(json.dumps(one)))

    def add_job(
        self, name: str, run: str, *steps: str, date: str = DATE, target: str = "dev", url: str = "t"
    ) -> None:
        labels = {
            **names.MANAGED, names.PIPELINE: "shop", names.TARGET: target, names.LOGICAL_DATE: date,
            names.RUN_ID: run, names.TASK: name,
        }  # fmt: skip
        pod = {"spec": {"containers": [{"name": "c", "args": ["worker", url]}]}}
        metadata = {"name": name, "labels": labels, "annotations": {names.FULL_STEPS: ",".join(steps)}}
        self.add({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": pod}})

    def named(self) -> list[str]:
        return [one["metadata"]["name"] for those in self.objects.values() for one in those]

    def answer(self, method: str, path: str, query: Mapping[str, str], _body: Json) -> Said:
        kind, _, name = path.partition("/namespaces/etl/")[2].partition("/")
        self.asked.append(f"{method} {kind}/{name}".rstrip("/"))
        if self.refuses:
            return status(403, "no")
        if method == "DELETE":
            self.objects[kind] = [one for one in self.objects[kind] if one["metadata"]["name"] != name]
            return 200, [{"kind": "Status", "status": "Success"}]
        wanted = dict(part.split("=") for part in query["labelSelector"].split(",")).items()
        items = [one for one in self.objects[kind] if wanted <= one["metadata"]["labels"].items()]
        return 200, [{"metadata": {"resourceVersion": "1"}, "items": items}]


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    known = Namespace()
    with serving(known.answer, tmp_path, monkeypatch):
        yield known


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RUNTIMES._things, "kubernetes", Processes)
    monkeypatch.setattr(Processes, "given", [])
    return Project(tmp_path)


def far(project: Project) -> dict[str, Any]:
    root = str(project.root)
    volumes = [{"name": "all", "claim": "lake", "mount": root}]
    return {
        "kubernetes": {"image": "odibi:1", "tasks": f"{root}/tasks", "volumes": volumes},
        "runtime": {"silver": "kubernetes"},
    }


STEPS = [sql("near", "SELECT 1 AS x", layer="bronze"), sql("far", "SELECT x FROM near", layer="silver")]


def config(project: Project) -> str:
    return project.config(STEPS, **far(project))


def record(run_id: str, status: RunStatus, date: str = DATE) -> None:
    """A run of this process in the run store."""
    with open_store(Home.find().state) as store:
        run = RunRecord(
            run_id=run_id, pipeline="shop", config="shop.yaml", config_hash="h", target="dev", logical_date=date,
            engine="duckdb", status=status, started_at=datetime.now(UTC),
        )  # fmt: skip
        store.start_run(run)


DIES = """
import os
from tests.unit.kubernetes.test_k8s_left import RunStatus, record

record({run!r}, RunStatus.RUNNING)
os._exit(9)
"""


def record_killed(project: Project, run_id: str) -> None:
    """A run whose process is gone without having said so."""
    root = str(Path(__file__).parents[3])
    done = project.python(DIES.format(run=run_id), PYTHONPATH=f"{root}:{':'.join(filter(None, sys.path))}")
    assert done.returncode == 9, done.stderr


def put_task(project: Project, run_id: str, name: str, **labels: str) -> Path:
    """A task as a run writes it."""
    task = {
        "task": name, "pipeline": "shop", "run_id": run_id, "logical_date": DATE, "target": "dev", "config": "c",
        "config_hash": "h", "files": {}, "engine": "duckdb", "steps": [], "code": {},
        "labels": {names.RUN_ID: run_id, names.TARGET: "dev", names.LOGICAL_DATE: DATE, **labels},
    }  # fmt: skip
    folder = project.root / "tasks" / "shop" / DATE / name
    for number in (1, 2, 10):
        exchange.put(f"{folder}/attempt-{number}/task.json", json.dumps(task))
    return folder


def delete(file: str, *, orphans: bool) -> int:
    return k8s.delete(config=file, given={}, orphans=orphans, output="text")


def test_orphans_are_those_that_nobody_waits_for(
    shop: Project, namespace: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config(shop)
    record("over", RunStatus.FAILED)
    record("lives", RunStatus.RUNNING, date="2026-01-06")
    record_killed(shop, "killed")
    namespace.add_job("of-over", "over")
    namespace.add_job("of-killed", "killed")
    namespace.add_job("of-lives", "lives", date="2026-01-06")
    namespace.add_job("taken-over", "killed", date="2026-01-06")  # by the run that is under way for that date
    namespace.add_job("of-elsewhere", "somebody")
    namespace.add_job("of-another-target", "over", target="prod")
    kept = [put_task(shop, "somebody", "a"), put_task(shop, "over", "b", **{names.TARGET: "prod"})]
    gone = put_task(shop, "over", "c")
    assert delete(file, orphans=True) == 0
    assert namespace.named() == ["of-lives", "taken-over", "of-elsewhere", "of-another-target"]
    assert (all(folder.exists() for folder in kept), gone.exists()) == (True, False)
    said = capsys.readouterr()
    assert said.out == (
        "deleted Job of-over of run over\ndeleted Job of-killed of run killed\ndeleted the folders of 1 task\n"
    )
    assert (
        said.err == "left Job of-elsewhere: run somebody is not known here, it may be under way elsewhere\n"
    )


def test_without_a_run_store_nobody_knows(shop: Project, namespace: Namespace) -> None:
    namespace.add_job("of-elsewhere", "somebody")
    assert delete(config(shop), orphans=True) == 0
    assert namespace.named() == ["of-elsewhere"]


def test_delete_takes_everything_that_was_made_for_the_target(
    shop: Project, namespace: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config(shop)
    cluster = shop.load(file).pipeline.kubernetes
    assert cluster is not None
    namespace.add_job("of-a-run", "somebody")
    namespace.add(*map(job, stages(cluster, "shop", file, run_id="r", target="dev", date=DATE)))
    namespace.add(cron_job(pipeline_request(cluster, "shop", file, target="dev"), "0 2 * * *"))
    namespace.add(cron_job(pipeline_request(cluster, "shop", file, target="prod"), "0 2 * * *"))
    folder = put_task(shop, "somebody", "a")
    assert len(namespace.named()) == 7
    assert delete(file, orphans=True) == 0
    assert len(namespace.named()) == 7
    assert delete(file, orphans=False) == 0
    assert namespace.named() == [names.job_name("shop", "run", "prod", 0)]
    assert not folder.exists()
    assert namespace.asked.index("GET jobs") < namespace.asked.index(
        "DELETE cronjobs/" + names.job_name("shop", "run", "dev", 0)
    )
    said = capsys.readouterr().out
    assert f"deleted CronJob {names.job_name('shop', 'run', 'dev', 0)}\n" in said


def test_a_run_removes_what_killed_ones_left_and_it_does_not_go_on_with(
    shop: Project, namespace: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """All is done already, so that it never asks the cluster for anything."""
    assert shop.run(STEPS, **far(shop)).success
    record_killed(shop, "killed")
    folder = put_task(shop, "killed", "a")
    namespace.add_job("left", "killed", "far", url=f"{folder}/attempt-2/task.json")
    namespace.add_job("of-elsewhere", "somebody", "far")
    namespace.add_job("of-another-day", "killed", "far", date="2026-01-06")
    assert shop.run(STEPS, **far(shop)).cached == 2
    assert namespace.named() == ["of-elsewhere", "of-another-day"]
    assert not folder.exists()
    assert "odibi: Job left of a run that was killed is deleted" in capsys.readouterr().err
    asked = len(namespace.asked)
    assert shop.run(STEPS, **far(shop)).cached == 2  # a run that succeeded has looked
    assert len(namespace.asked) == asked


def test_what_a_run_will_compute_there_is_left_to_its_runtime(shop: Project, namespace: Namespace) -> None:
    record_killed(shop, "killed")
    namespace.add_job("goes-on", "killed", "far")
    namespace.add_job("of-no-step", "killed", "renamed")
    assert shop.run(STEPS, **far(shop)).success
    assert namespace.named() == ["goes-on"]


def test_what_was_not_selected_is_left_to_who_selects_it(shop: Project, namespace: Namespace) -> None:
    record_killed(shop, "killed")
    namespace.add_job("waits", "killed", "far")
    assert shop.run(STEPS, "near", **far(shop)).success
    assert namespace.named() == ["waits"]


def test_a_cluster_that_does_not_answer_holds_no_run_up(
    shop: Project, namespace: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace.refuses = True
    record_killed(shop, "killed")
    assert shop.run(STEPS, **far(shop)).success
    said = "it is not known what killed runs have left on kubernetes: cannot list jobs.batch in namespace etl"
    assert said in capsys.readouterr().err
    with pytest.raises(KubernetesError, match=r"cannot list cronjobs.batch in namespace etl"):
        delete(config(shop), orphans=False)


def test_who_runs_everything_here_asks_no_cluster(shop: Project, namespace: Namespace) -> None:
    record_killed(shop, "killed")
    assert shop.run(STEPS, **{**far(shop), "runtime": "local"}).success
    assert namespace.asked == []


def test_only_the_folder_of_a_task_is_removed(shop: Project, namespace: Namespace) -> None:
    kept = [
        shop.write(path, "x")
        for path in ("own/attempt-1/task.json", "tasks/a/b/task.json", "tasks/x/attempt-1/y")
    ]
    record_killed(shop, "killed")
    for number, file in enumerate([*kept, Path("task.json"), Path("attempt-1/task.json")]):
        namespace.add_job(f"job-{number}", "killed", "renamed", url=str(file))
    assert shop.run(STEPS, **far(shop)).success
    assert namespace.named() == []
    assert all(file.exists() for file in kept)


def test_a_folder_that_cannot_be_removed_stays(tmp_path: Path) -> None:
    exchange.forget(f"{tmp_path}/absent/attempt-1/task.json")
    exchange.put(f"memory://tasks-{tmp_path.name}/a/attempt-1/task.json", "{}")
    exchange.forget(f"memory://tasks-{tmp_path.name}/a/attempt-1/task.json")
    assert exchange.names(f"memory://tasks-{tmp_path.name}/a") == []
    exchange.forget("nowhere://a/b/c")
