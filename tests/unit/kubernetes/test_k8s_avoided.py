"""A retry keeps away from the nodes where the step failed: its first pod is evicted, the next one works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from odibi.kubernetes import exchange
from tests.unit.kubernetes.served import Json, served
from tests.unit.run.project import Project, sql

EVICTED: Json = {
    "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage.", "containerStatuses": [],
}  # fmt: skip


def test_a_retry_avoids_the_node_and_so_would_its_executors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    volumes = [{"name": "all", "host_path": str(tmp_path), "mount": str(tmp_path)}]
    given = {"image": "odibi:1", "tasks": str(tmp_path / "tasks"), "volumes": volumes}
    step = sql("n", "SELECT 1 AS n", layer="silver", workload_class="MemoryIntensive")
    made: list[Json] = []
    tasks: list[Json] = []  # as they were then: what is merged is removed
    with served(tmp_path, monkeypatch) as cluster:

        def work(job: Json) -> None:
            made.append(job)
            url = job["spec"]["template"]["spec"]["containers"][0]["args"][-1]
            tasks.append(json.loads(exchange.get(url) or ""))
            if len(made) > 1:
                cluster.done(job)
            else:
                cluster.pod(job, "Failed", **EVICTED)
                cluster.ended(job, "Failed")

        cluster.work = work
        result = project.run([step], kubernetes=given, runtime="kubernetes", retry_delay=0)
    assert result.success, result.error
    assert project.rows("silver/n") == [(1,)]
    first, second = (job["spec"]["template"]["spec"] for job in made)
    assert "affinity" not in first
    (term,) = second["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchFields"] == [
        {"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}
    ]
    assert [task["excluded_nodes"] for task in tasks] == [[], ["n1"]]
    assert {task["workload_class"] for task in tasks} == {"MemoryIntensive"}
    for task, job in zip(tasks, made, strict=True):
        assert task["annotations"] == job["metadata"]["annotations"]
        assert task["labels"].items() < job["metadata"]["labels"].items()
