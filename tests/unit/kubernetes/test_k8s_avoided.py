"""A retry keeps away from the nodes where the step failed: with an API of this machine, whose second pod works."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from odibi.kubernetes import exchange
from tests.unit.kubernetes.api import served
from tests.unit.kubernetes.elsewhere import worked
from tests.unit.run.project import Project, sql

Json = dict[str, Any]

MADE = "2026-01-05T00:00:00Z"
EVICTED = {
    "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage.",
}  # fmt: skip


class Cluster:
    """Jobs and pods, told to who watches. The first pod is evicted from ``node-1``, the next one works."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.made: list[Json] = []
        self.tasks: list[Json] = []  # as they were then: what is merged is removed
        self.told: list[tuple[str, Json]] = []
        self.known = 0
        self.news = threading.Condition()

    def answer(
        self, method: str, path: str, query: Mapping[str, Sequence[str]], body: Json
    ) -> tuple[int, list[Json]]:
        name = path.rpartition("/")[2]
        if method == "POST":
            return 201, [self.create(body)]
        if method == "DELETE":
            self.delete(name)
            return 200, [{}]
        if "watch" in query:
            return 200, self.since(name, int(query["resourceVersion"][0]))
        return 200, [] if name == "log" else [{"metadata": {"resourceVersion": "0"}, "items": []}]

    def tell(self, resource: str, kind: str, found: Json) -> None:
        with self.news:
            found["metadata"]["resourceVersion"] = str(len(self.told) + 1)
            self.told.append((resource, json.loads(json.dumps({"type": kind, "object": found}))))
            self.news.notify_all()

    def create(self, job: Json) -> Json:
        """A Job, whose only pod ends at once."""
        self.made.append(job)
        job["metadata"]["creationTimestamp"] = MADE
        self.tell("jobs", "ADDED", job)
        template = job["spec"]["template"]
        task = template["spec"]["containers"][0]["args"][-1]
        self.tasks.append(json.loads(exchange.get(task) or ""))
        pod = {
            "apiVersion": "v1", "kind": "Pod", "spec": template["spec"] | {"nodeName": f"node-{len(self.made)}"},
            "metadata": {
                "name": "pod-1", "creationTimestamp": MADE,
                "labels": template["metadata"]["labels"] | {"job-name": job["metadata"]["name"]},
            },
        }  # fmt: skip
        if len(self.made) > 1:
            code, _, printed = worked(task, self.home)
            assert code == 0, printed
            pod["status"], condition = {"phase": "Succeeded"}, "Complete"
        else:
            pod["status"], condition = EVICTED, "Failed"
        self.tell("pods", "ADDED", pod)
        with self.news:  # who asks what came after that has heard of it
            assert self.news.wait_for(lambda: self.known >= int(pod["metadata"]["resourceVersion"]), 20)
        job["status"] = {"conditions": [{"type": condition, "status": "True", "reason": "", "message": ""}]}
        self.tell("jobs", "MODIFIED", job)
        return job

    def delete(self, name: str) -> None:
        (job,) = (job for job in self.made if job["metadata"]["name"] == name)
        self.tell("jobs", "DELETED", job)
        for resource, event in list(self.told):
            if resource == "pods" and event["object"]["metadata"]["labels"]["job-name"] == name:
                self.tell("pods", "DELETED", event["object"])

    def since(self, resource: str, version: int) -> list[Json]:
        """What has happened after that, as soon as something has, or soon."""
        with self.news:
            if resource == "pods":
                self.known = version
                self.news.notify_all()
            self.news.wait_for(lambda: any(kind == resource for kind, _ in self.told[version:]), 1)
            return [event for kind, event in self.told[version:] if kind == resource]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    known = Cluster(tmp_path / "pod")
    with served(known.answer, tmp_path, monkeypatch):
        yield known


def test_a_retry_avoids_the_node_and_so_would_its_executors(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    volumes = [{"name": "all", "host_path": str(tmp_path), "mount": str(tmp_path)}]
    given = {"image": "odibi:1", "tasks": str(tmp_path / "tasks"), "volumes": volumes}
    step = sql("n", "SELECT 1 AS n", layer="silver", workload_class="MemoryIntensive")
    result = project.run([step], kubernetes=given, runtime="kubernetes", retry_delay=0)
    assert result.success, result.error
    assert project.rows("silver/n") == [(1,)]
    first, second = (job["spec"]["template"]["spec"] for job in cluster.made)
    assert "affinity" not in first
    (term,) = second["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchFields"] == [
        {"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}
    ]
    assert [task["excluded_nodes"] for task in cluster.tasks] == [[], ["node-1"]]
    assert {task["workload_class"] for task in cluster.tasks} == {"MemoryIntensive"}
    for task, job in zip(cluster.tasks, cluster.made, strict=True):
        assert task["annotations"] == job["metadata"]["annotations"]
        assert task["labels"].items() < job["metadata"]["labels"].items()
