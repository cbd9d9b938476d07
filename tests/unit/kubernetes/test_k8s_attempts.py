"""What becomes of a step whose pods die: who tries again, how often, and what the record says of it afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from odibi.record.model import StepRecord
from tests.unit.kubernetes.served import NOW, Json, Served, served
from tests.unit.run.project import Project, sql

SAID = tuple(f"line {number}" for number in range(55))
LAST = tuple(f"2026-01-05T00:00:{number:02}Z line {number}" for number in range(5, 55))

Fate = Callable[[Json], None]


class Fates:
    """What the Jobs of a run come to, one after the other; ``jobs`` are those that were made."""

    def __init__(self, cluster: Served, *fates: Fate) -> None:
        self.jobs: list[Json] = []
        self.there: list[int] = []
        self._cluster, self._fates = cluster, list(fates)
        cluster.work = self

    def __call__(self, job: Json) -> None:
        self.jobs.append(job)
        self.there.append(len(self._cluster.there("jobs")))
        self._cluster.logs[f"{job['metadata']['name']}-x", "job-container"] = [*SAID]
        self._fates.pop(0)(job)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    with served(tmp_path, monkeypatch) as found:
        yield found


def killed(cluster: Served, code: int, reason: str = "Error") -> Fate:
    """A pod that ends with this code."""

    def fate(job: Json) -> None:
        cluster.pod(job, "Running", {"running": {"startedAt": NOW}})
        # Of the Job it is heard first: each kind is watched on a connection of its own.
        cluster.ended(job, "Failed", "BackoffLimitExceeded", failed=1)
        time.sleep(0.2)
        done = {"exitCode": code, "reason": reason, "startedAt": NOW}
        cluster.pod(job, "Failed", {"terminated": done})

    return fate


def late(cluster: Served) -> Fate:
    """A pod that its Job ends after its time."""

    def fate(job: Json) -> None:
        pod = cluster.pod(job, "Running", {"running": {"startedAt": NOW}})
        while not any("/log" in line for line in cluster.asked):  # it is read as it works
            time.sleep(0.05)
        cluster.pod(job, "Failed", {"terminated": {"exitCode": 143, "reason": "Error", "startedAt": NOW}})
        cluster.drop("pods", pod["metadata"]["name"])
        cluster.ended(job, "Failed", "DeadlineExceeded", failed=1)

    return fate


def far(folder: Path, **said: Any) -> StepRecord:
    """The record of a step in the cluster, after a run."""
    project = Project(folder)
    volumes = [{"name": "all", "host_path": str(folder), "mount": str(folder)}]
    given = {"image": "odibi:1", "tasks": str(folder / "tasks"), "volumes": volumes}
    step = sql("far", "SELECT 1 AS n", layer="silver")
    fields = {"retry_delay": 0, "max_retries": 1, "runtime": "kubernetes", "kubernetes": given}
    return project.run([step], **(fields | said)).run.steps[0]


def test_a_pod_without_memory_is_followed_by_another_job_and_stays_in_the_record(
    cluster: Served, tmp_path: Path
) -> None:
    fates = Fates(cluster, killed(cluster, 137, "OOMKilled"), cluster.done)
    step = far(tmp_path)
    assert step.status == "completed", step.error
    assert [(one.which, str(one.status)) for one in step.attempts] == [
        ("1 of 2", "failed"), ("2 of 2", "completed")
    ]  # fmt: skip
    error = step.attempts[0].error
    assert error is not None
    assert (error.kind, error.exit_code, error.permanent) == ("ResourceExhausted", 137, False)
    assert error.log == LAST
    lost, done = step.pods
    assert (lost.status, lost.reason, lost.exit_code) == ("Failed", "OOMKilled, exit code 137", 137)
    assert (lost.log, lost.node, lost.waited) == (LAST, "n1", 0)
    assert (done.status, done.exit_code, done.log) == ("Succeeded", 0, ())
    # The run owns retries, and the first Job is gone before the second one comes.
    assert fates.there == [1, 1]
    jobs = [job["spec"] for job in fates.jobs]
    assert [job["backoffLimit"] for job in jobs] == [0, 0]
    given = [job["template"]["spec"]["containers"][0]["resources"] for job in jobs]
    assert [(one["requests"]["memory"], one["limits"]["memory"]) for one in given] == [
        ("4Gi", "8Gi"), ("8Gi", "16384Mi")
    ]  # fmt: skip
    assert '"n1"' in json.dumps(jobs[1]["template"]["spec"]["affinity"])


@pytest.mark.parametrize(
    ("code", "kind", "attempts"),
    [(3, "Transient", 2), (137, "Transient", 2), (143, "Transient", 2), (2, "KubernetesError", 1)],
)
def test_an_exit_code_says_whether_there_is_another_attempt(
    cluster: Served, tmp_path: Path, code: int, kind: str, attempts: int
) -> None:
    Fates(cluster, killed(cluster, code), killed(cluster, code))
    step = far(tmp_path)
    errors = [one.error for one in step.attempts if one.error is not None]
    assert [(one.kind, one.exit_code, one.log) for one in errors] == [(kind, code, LAST)] * attempts
    assert [(pod.exit_code, pod.log) for pod in step.pods] == [(code, LAST)] * attempts
    assert step.error == errors[-1]
    assert step.error.permanent == (attempts == 1)


def test_a_job_that_took_too_long_tells_what_its_pod_said(cluster: Served, tmp_path: Path) -> None:
    Fates(cluster, late(cluster))
    step = far(tmp_path, max_retries=0)
    assert step.error is not None
    assert (step.error.kind, step.error.exit_code, step.error.log) == ("Timeout", 143, LAST)
    (pod,) = step.pods
    assert (pod.status, pod.exit_code, pod.log) == ("Deleted", 143, LAST)
