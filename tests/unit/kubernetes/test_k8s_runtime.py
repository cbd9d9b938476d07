"""Jobs as a run submits and follows them: what the cluster does not say, says twice, or has no room for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from odibi.kubernetes import names, runtime
from odibi.orchestrator import Result
from odibi.record.model import ErrorRecord
from tests.unit.kubernetes.served import Json, Served, served
from tests.unit.run.project import Project, sql


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def cluster(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served(shop.root, monkeypatch) as found:
        monkeypatch.setattr(runtime, "AGAIN", 0.1)
        yield found


def run(project: Project, *, max_retries: int = 0, **said: Any) -> Result:
    """One step in the cluster."""
    volumes = [{"name": "all", "host_path": str(project.root), "mount": str(project.root)}]
    given = {"image": "odibi:1", "tasks": str(project.root / "tasks"), "volumes": volumes, **said}
    step = sql("far", "SELECT range AS id FROM range(3)", layer="silver")
    return project.run(
        [step], kubernetes=given, runtime="kubernetes", max_retries=max_retries, retry_delay=0.1
    )


def error(result: Result) -> ErrorRecord:
    found = result.run.steps[0].error
    assert found is not None
    return found


def assert_done(result: Result, project: Project) -> None:
    assert result.success, result.error
    assert project.rows("silver/far") == [(0,), (1,), (2,)]


def test_a_job_is_made_once_done_and_deleted(
    shop: Project, cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_done(run(shop), shop)
    assert len(cluster.made()) == 1
    assert cluster.there("jobs") == cluster.there("pods") == []
    told = capsys.readouterr().err
    assert told.count("is Kubernetes v1.33.1") == 1
    assert "[far] is given to etl as Job shop-far-" in told


# --- silence ---------------------------------------------------------------------------------------


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that is silent is not waited for long."""
    monkeypatch.setattr(runtime, "MARGIN", 0.5)
    monkeypatch.setattr(runtime, "ANSWER", 1.0)


@pytest.mark.usefixtures("soon")
def test_a_cluster_that_is_silent_for_a_while_has_one_job(
    shop: Project, cluster: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt that waited for it has failed, and the next one waits for the same Job."""
    up = threading.Event()
    raised = runtime._Unheard.__init__

    def unheard(self: Any, *args: Any) -> None:
        raised(self, *args)
        cluster.down = False  # it comes back when it was given up
        up.set()

    monkeypatch.setattr(runtime._Unheard, "__init__", unheard)

    def work(job: Json) -> None:
        cluster.down = True
        assert up.wait(30)
        cluster.done(job)

    cluster.work = work
    result = run(shop, max_retries=3, deadline_seconds=1)
    assert_done(result, shop)
    attempts = result.run.steps[0].attempts
    assert [str(attempt.status) for attempt in attempts] == ["failed", "completed"]
    assert [pod.status for pod in result.run.steps[0].pods] == ["Succeeded"]
    assert attempts[0].error is not None
    assert "nothing has been heard of Job shop-far-" in attempts[0].error.message
    assert len(cluster.made()) == 1
    deleted = [line for line in cluster.asked if line.startswith("DELETE")]
    assert len(deleted) == 1, "when it was done, not when it was not heard of"


@pytest.mark.usefixtures("soon")
def test_a_cluster_that_is_gone_for_good_leaves_its_job(
    shop: Project, cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(_job: Json) -> None:
        cluster.down = True

    cluster.work = work
    told = error(run(shop, max_retries=1, deadline_seconds=1))
    assert told.kind == "Unavailable"
    assert not told.permanent
    assert "odibi run --resume" in told.hint
    assert len(cluster.there("jobs")) == 1
    assert "nothing is heard of the cluster" in capsys.readouterr().err
    # and a run that comes later waits for that Job
    cluster.down = False
    (job,) = cluster.there("jobs")
    cluster.done(job)
    assert_done(run(shop, deadline_seconds=1), shop)
    assert len(cluster.made()) == 1


@pytest.mark.usefixtures("soon")
def test_a_job_that_never_shows_is_not_waited_for_for_ever(shop: Project, cluster: Served) -> None:
    cluster.hidden = True
    told = error(run(shop))
    assert (told.kind, told.permanent) == ("Unavailable", False)


# --- names that are taken ----------------------------------------------------------------------------


def test_a_job_whose_answer_was_lost_is_followed(shop: Project, cluster: Served) -> None:
    """The one of that name does the same: it was made, and who asked for it was not told."""

    def lost(job: Json) -> tuple[int, str] | None:
        cluster.refuse = lambda _job: None
        cluster.create(job)
        return 409, "already exists"

    cluster.refuse = lost
    assert_done(run(shop), shop)
    assert len(cluster.made()) == 1


def test_a_job_that_was_made_although_the_server_failed_is_followed(shop: Project, cluster: Served) -> None:
    cluster.hidden = True  # nobody who watches has heard of it yet

    def fails(job: Json) -> tuple[int, str] | None:
        cluster.refuse = lambda _job: None
        cluster.create(job)
        threading.Timer(1, lambda: setattr(cluster, "hidden", False)).start()
        return 500, "etcdserver: request timed out"

    cluster.refuse = fails
    assert_done(run(shop, max_retries=2), shop)
    assert len(cluster.made()) == 1


def test_a_job_of_something_else_is_not_followed(shop: Project, cluster: Served) -> None:
    def taken(job: Json) -> tuple[int, str] | None:
        other = {**job["metadata"], "labels": {**job["metadata"]["labels"], names.TASK: "other"}}
        cluster.put("jobs", {**job, "metadata": other})
        return None

    cluster.refuse = taken
    told = error(run(shop))
    assert told.kind == "InvalidState"
    assert "in namespace etl already that does something else" in told.message
    assert "kubectl delete job shop-far-" in told.hint
    assert len(cluster.there("jobs")) == 1, "what is not ours is left alone"


def test_a_job_that_is_being_deleted_is_waited_out(shop: Project, cluster: Served) -> None:
    def going(job: Json) -> tuple[int, str] | None:
        cluster.refuse = lambda _job: None
        cluster.put(
            "jobs", {**job, "metadata": {**job["metadata"], "deletionTimestamp": "2026-01-05T00:00:00Z"}}
        )
        threading.Timer(0.5, lambda: cluster.drop("jobs", job["metadata"]["name"])).start()
        return None

    cluster.refuse = going
    assert_done(run(shop), shop)


def test_a_job_that_does_not_go_is_not_waited_for_for_ever(shop: Project, cluster: Served) -> None:
    def stays(job: Json) -> tuple[int, str] | None:
        cluster.put(
            "jobs", {**job, "metadata": {**job["metadata"], "deletionTimestamp": "2026-01-05T00:00:00Z"}}
        )
        return None

    cluster.refuse = stays
    told = error(run(shop, pending_seconds=1))
    assert told.kind == "Unavailable"
    assert "is being deleted, and does not go" in told.message


# --- what is waited for --------------------------------------------------------------------------------

QUOTA = (
    "exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=2, limited: count/jobs.batch=2"
)


def test_quota_is_waited_for(shop: Project, cluster: Served, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.refuse = lambda _job: (403, QUOTA)
    threading.Timer(1.5, lambda: setattr(cluster, "refuse", lambda _job: None)).start()
    assert_done(run(shop), shop)
    assert capsys.readouterr().err.count("waits: the quota of namespace etl is used up") == 1


def test_quota_is_waited_for_as_long_as_is_said(shop: Project, cluster: Served) -> None:
    cluster.refuse = lambda _job: (403, QUOTA)
    told = error(run(shop, pending_seconds=1, max_retries=3))
    assert told.kind == "ResourceQuotaExceeded"
    assert "count/jobs.batch=2" in told.message


UNSCHEDULABLE = {
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: no"}
    ]
}


def test_a_node_is_waited_for_as_long_as_is_said(shop: Project, cluster: Served) -> None:
    def work(job: Json) -> None:
        cluster.pod(job, "Pending", **UNSCHEDULABLE)

    cluster.work = work
    told = error(run(shop, pending_seconds=1))
    assert "cannot run: no node takes pod" in told.message
    assert "0/1 nodes: no" in told.message
    assert cluster.there("jobs") == []


def test_what_no_waiting_helps_against_is_not_waited_for(shop: Project, cluster: Served) -> None:
    limit = "maximum memory usage per Container is 1Gi, but limit is 8Gi"

    def work(job: Json) -> None:
        about = {"kind": "Job", "name": job["metadata"]["name"]}
        said = {"type": "Warning", "reason": "FailedCreate", "message": f'pods "x" is forbidden: {limit}'}
        cluster.put("events", {"metadata": {"name": "e"}, "involvedObject": about, **said})

    cluster.work = work
    assert (
        f'cannot run: no pod can be made (FailedCreate: pods "x" is forbidden: {limit})'
        in error(run(shop)).message
    )


def test_a_node_that_comes_in_time_is_enough(shop: Project, cluster: Served) -> None:
    def work(job: Json) -> None:
        cluster.pod(job, "Pending", **UNSCHEDULABLE)
        threading.Timer(2, lambda: cluster.done(job)).start()

    cluster.work = work
    assert_done(run(shop, pending_seconds=60), shop)


def test_executors_that_cannot_start_end_the_step(
    shop: Project, cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(job: Json) -> None:
        cluster.pod(job, "Running", {"running": {}})
        cluster.executor(job, 1, "Pending", {"waiting": {"reason": "ErrImagePull"}})

    cluster.work = work
    result = run(shop, pending_seconds=3)
    assert "cannot run: no executor can start: the image 'odibi:1' cannot be had" in error(result).message
    assert "waits: no executor can start" in capsys.readouterr().err
    assert [pod.executors for pod in result.run.steps[0].pods] == [1]


def test_a_deadline_says_what_the_executors_lacked(shop: Project, cluster: Served) -> None:
    def work(job: Json) -> None:
        cluster.pod(job, "Running", {"running": {}})
        cluster.executor(job, 1, "Pending", **UNSCHEDULABLE)
        cluster.ended(job, "Failed", "DeadlineExceeded")

    cluster.work = work
    told = error(run(shop))
    assert told.kind == "Timeout"
    assert "no executor can start: no node takes pod" in told.message


# --- logs ----------------------------------------------------------------------------------------------

SIDECAR = {"initContainerStatuses": [{"name": "proxy", "image": "", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}]}  # fmt: skip


def fails(cluster: Served, job: Json) -> None:
    """A driver with an executor and something beside it ends with exit code 1; its last words come late."""
    cluster.pod(job, "Running", {"running": {}}, **SIDECAR)
    cluster.executor(job, 1, "Running", {"running": {}})
    name = f"{job['metadata']['name']}-x"
    wait_until(lambda: cluster.mute or sum("/log" in line for line in cluster.asked) == 3)
    cluster.logs[name, "job-container"].append("gone wrong")
    cluster.pod(job, "Failed", {"terminated": {"exitCode": 1, "reason": "Error"}}, **SIDECAR)
    cluster.ended(job, "Failed", "BackoffLimitExceeded")


def test_logs_of_all_containers_are_told_and_kept(
    shop: Project, cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(job: Json) -> None:
        name = f"{job['metadata']['name']}-x"
        cluster.logs = {
            (name, "job-container"): ["one", "two"],
            (name, "proxy"): ["up"],
            (f"{name}-exec-1", "executor"): [
                "one of many",
                "26/01/05 02:00:00 INFO Executor: Running task 0.0",
                "26/01/05 02:00:00 ERROR Executor: lost",
            ],
        }
        fails(cluster, job)

    cluster.work = work
    (step,) = run(shop).run.steps
    told = capsys.readouterr().err.splitlines()
    for line in (
        "[far] one",
        "[far] two",
        "[far] gone wrong",
        "[far proxy] up",
        "[far executor-1] one of many",
    ):
        assert told.count(line) == 1, told
    (pod,) = step.pods
    first, second = "2026-01-05T00:00:00Z", "2026-01-05T00:00:01Z"
    assert sorted(pod.log) == [
        f"{first} [executor-1] one of many",
        f"{first} [proxy] up",
        f"{first} one",
        f"{second} two",
        "2026-01-05T00:00:02Z [executor-1] 26/01/05 02:00:00 ERROR Executor: lost",
        "2026-01-05T00:00:02Z gone wrong",
    ]
    assert [line[:20] for line in pod.log] == sorted(line[:20] for line in pod.log)
    reads = [number for number, line in enumerate(cluster.asked) if "/log" in line]
    deleted = next(number for number, line in enumerate(cluster.asked) if line.startswith("DELETE"))
    assert max(reads) < deleted


def test_a_log_that_cannot_be_read_is_a_warning(
    shop: Project, cluster: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(job: Json) -> None:
        cluster.mute = True
        cluster.logs = {(f"{job['metadata']['name']}-x", "job-container"): []}
        fails(cluster, job)

    cluster.work = work
    told = error(run(shop))
    assert "failed: Error, exit code 1" in told.message
    assert "could not be read: the cluster answered 500" in capsys.readouterr().err
    assert cluster.there("jobs") == []


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
