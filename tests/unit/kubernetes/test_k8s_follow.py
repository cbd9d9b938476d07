"""What Jobs and pods say of themselves, as sentences: statuses as a cluster gives them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lightkube.codecs import from_dict
from lightkube.models.meta_v1 import OwnerReference

from odibi.errors import Elsewhere, KubernetesError, ResourceExhausted, Timeout, Transient
from odibi.kubernetes.follow import ended, hindrance, never, owner, pod_record, started, starved, why_failed
from odibi.kubernetes.result import WorkerResult
from odibi.run.retry import Failure, should_retry_failure

Json = dict[str, Any]


def job(*conditions: tuple[str, str, str, str], **status: Any) -> Any:
    said = [dict(zip(("type", "status", "reason", "message"), each, strict=True)) for each in conditions]
    return from_dict(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "shop-big-1"},
            "spec": {"template": {"spec": {"containers": []}}, "activeDeadlineSeconds": 42},
            "status": {"conditions": said, **status},
        }
    )


def pod(
    phase: str,
    state: Json | None = None,
    *,
    name: str = "shop-big-1-x",
    created: str = "2026-01-05T00:00:00Z",
    deleted: str | None = None,
    **status: Any,
) -> Any:
    containers = [
        {
            "name": "job-container",
            "image": "odibi:1",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state or {},
        }
    ]
    return from_dict(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "creationTimestamp": created, **({"deletionTimestamp": deleted} if deleted else {})},
            "spec": {
                "nodeName": "n1",
                "containers": [{"name": "job-container", "image": "odibi:1", "resources": {"limits": {"memory": "1Gi"}}}],
            },
            "status": {"phase": phase, "containerStatuses": containers, **status},
        }
    )  # fmt: skip


NOW = datetime(2026, 1, 5, 0, 10, tzinfo=UTC)


def event(
    reason: str, message: str = "", *, about: str = "shop-big-1", ago: float = 0, kind: str = "Warning"
) -> Any:
    return from_dict(
        {
            "apiVersion": "v1", "kind": "Event", "type": kind, "reason": reason, "message": message,
            "metadata": {"name": "e"}, "involvedObject": {"name": about},
            "lastTimestamp": (NOW - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )  # fmt: skip


def executor(number: int, phase: str, state: Json | None = None, **more: Any) -> Any:
    found = pod(phase, state, name=f"shop-big-1-x-exec-{number}", **more)
    found.metadata.ownerReferences = [
        OwnerReference("v1", "ConfigMap", "conf", "u0"),
        OwnerReference("v1", "Pod", "shop-big-1-x", "u1"),
    ]
    found.status.containerStatuses[0].name = "executor"
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (job(), ""),
        (job(active=1, succeeded=3), ""),  # of ten that are wanted
        (job(failed=1), ""),  # another pod follows
        (job(("SuccessCriteriaMet", "True", "", "")), ""),
        (job(("Complete", "False", "", "")), ""),
        (job(("Complete", "True", "", "")), "Complete"),
        (job(("FailureTarget", "True", "", ""), ("Failed", "True", "BackoffLimitExceeded", "")), "Failed"),
    ],
)
def test_a_job_has_ended_when_its_conditions_say_so(given: Any, expected: str) -> None:
    assert ended(given) == expected


WAITS = {
    "image": (
        pod("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
        "the image 'odibi:1' cannot be had (ImagePullBackOff: not found)",
    ),
    "secret": (
        pod("Pending", {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}),
        'its container cannot be made (CreateContainerConfigError: secret "x" not found)',
    ),
    "node": (
        pod(
            "Pending",
            conditions=[
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu"}
            ],
        ),
        "no node takes pod shop-big-1-x (Unschedulable: 0/1 nodes: Insufficient cpu)",
    ),
    "pulling": (pod("Pending", {"waiting": {"reason": "ContainerCreating"}}), ""),
    "runs": (pod("Running", {"running": {"startedAt": "2026-01-05T00:00:01Z"}}), ""),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), WAITS.values(), ids=WAITS.keys())
def test_why_no_pod_works(given: Any, expected: str) -> None:
    assert never([given], [], NOW) == expected
    failed = pod("Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
    assert never([failed, given], [], NOW) == expected, "what counts is the pod that follows"


def test_why_there_is_no_pod() -> None:
    refused = event("FailedCreate", 'pods "x" is forbidden: exceeded quota: q')
    assert "exceeded quota" in never([], [refused], NOW)
    assert never([WAITS["runs"][0]], [refused], NOW) == "", "a pod works, so what was before is over"
    assert never([WAITS["pulling"][0]], [refused], NOW) == "", "there is a pod"
    assert never([], [], NOW) == ""


def test_an_event_counts_until_something_else_happens_or_it_is_old() -> None:
    """A slow pull after a volume that took two tries is no reason to give up."""
    pulling, at = WAITS["pulling"][0], "shop-big-1-x"

    def told(ago: float, *more: Any) -> str:
        return never([pulling], [event("FailedMount", "not yet", about=at, ago=ago), *more], NOW)

    assert told(10) == "no pod can be made (FailedMount: not yet)"
    assert told(125) != "", "it is tried again after two minutes"
    assert told(200) == ""
    assert told(10, event("Pulling", about=at, ago=5, kind="Normal")) == ""
    assert told(10, event("Scheduled", about=at, ago=15, kind="Normal")) != ""
    assert never([pulling], [event("FailedMount", "of another", about="other")], NOW) == ""


def test_why_a_driver_has_no_executors() -> None:
    nowhere = WAITS["node"][0].status.conditions
    waits = executor(1, "Pending")
    waits.status.conditions = nowhere
    missing = executor(2, "Pending", {"waiting": {"reason": "ErrImagePull"}})
    runs = executor(3, "Running", {"running": {}})
    assert {owner(one) for one in (waits, missing, runs)} == {"shop-big-1-x"}
    assert owner(pod("Running")) == ""
    assert starved([waits], [], NOW).startswith(
        "no executor can start: no node takes pod shop-big-1-x-exec-1"
    )
    assert "ErrImagePull" in starved([missing], [], NOW)
    assert starved([missing, runs], [], NOW) == "", "one works"
    assert starved([executor(4, "Pending", {"waiting": {"reason": "ContainerCreating"}})], [], NOW) == ""
    assert starved([], [event("FailedCreate")], NOW) == "", "that is about the driver"


def test_what_kept_a_job_from_its_work() -> None:
    driver = pod("Running", {"running": {}})
    late = executor(1, "Pending")
    late.status.conditions = WAITS["node"][0].status.conditions
    killed = executor(
        2, "Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, created="2026-01-05T00:01:00Z"
    )
    told_to_end = executor(
        3, "Failed", {"terminated": {"exitCode": 143, "reason": "Error"}}, created="2026-01-05T00:02:00Z"
    )
    last = executor(
        4, "Failed", {"terminated": {"exitCode": 52, "reason": "Error"}}, created="2026-01-05T00:03:00Z"
    )
    assert hindrance([driver], [late, killed, told_to_end], [], NOW) == (
        "executor shop-big-1-x-exec-2 failed: OOMKilled, exit code 137"
    )
    assert "exec-4 failed: Error, exit code 52" in hindrance([driver], [killed, last], [], NOW)
    assert hindrance([driver], [late], [], NOW).startswith("no executor can start: no node takes")
    assert hindrance([WAITS["node"][0]], [], [], NOW).startswith("no node takes pod shop-big-1-x")
    assert hindrance([driver], [told_to_end, executor(5, "Running")], [], NOW) == ""
    assert hindrance([], [], [], NOW) == ""


FAILED = ("Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
LATE = ("Failed", "True", "DeadlineExceeded", "Job was active longer than specified deadline")


def dead(code: int, reason: str = "Error", message: str | None = None, **more: Any) -> Any:
    said = {"message": message} if message is not None else {}
    return pod("Failed", {"terminated": {"exitCode": code, "reason": reason, **said}}, **more)


OOM = dead(137, "OOMKilled", name="first")
DONE = {
    "out of memory": (OOM, (), ResourceExhausted, 137, "used more memory than its limit 1Gi"),
    "it says so": (
        dead(1, message="thread main\njava.lang.OutOfMemoryError: Java heap space"),
        (), ResourceExhausted, 1, "Java heap space",
    ),
    "a wrong config": (dead(2), ("x.yaml:3: unknown key",), KubernetesError, 2, "Error, exit code 2: x.yaml:3"),
    "nothing there": (dead(5), (), KubernetesError, 5, "exit code 5"),
    "a store that cannot be reached": (
        dead(3), ("Error: no such host",), Transient, 3, "Error, exit code 3: Error: no such host",
    ),
    "killed": (dead(137), (), Transient, 137, "Error, exit code 137"),
    "ended": (dead(143), (), Transient, 143, "Error, exit code 143"),
    "deleted": (
        dead(143, deleted="2026-01-05T00:00:09Z"), ("cancelled",), Transient, 143,
        "pod shop-big-1-x was deleted while it worked (Error, exit code 143)",
    ),
    "a full disk": (
        dead(1), ("OSError: No space left on device",), ResourceExhausted, 1, "No space left",
    ),
    "too much on its disk": (
        pod("Failed", reason="Evicted", message="Pod ephemeral local storage usage exceeds the total limit"),
        (), ResourceExhausted, None, "ephemeral",
    ),
    "thrown out": (
        pod("Failed", reason="Evicted", message="The node was low on resource: memory"),
        (), Transient, None, "low on resource: memory",
    ),
    "the node is gone": (
        dead(1, conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "node lost"}]),
        (), Transient, 1, "DeletionByTaintManager: node lost",
    ),
}  # fmt: skip


def test_what_is_missing_beside_the_step() -> None:
    beside = {
        "name": "postgres", "image": "postgres:17", "imageID": "", "ready": False, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
    }  # fmt: skip
    waits = pod("Pending", {"waiting": {"reason": "PodInitializing"}}, initContainerStatuses=[beside])
    assert never([waits], [], NOW) == "the image 'postgres:17' cannot be had (ImagePullBackOff: not found)"


@pytest.mark.parametrize(("given", "log", "kind", "code", "said"), DONE.values(), ids=DONE.keys())
def test_what_a_pod_died_of(
    given: Any, log: tuple[str, ...], kind: type[Exception], code: int | None, said: str
) -> None:
    error = why_failed(job(FAILED), [given], [], {given.metadata.name: log})
    assert type(error) is kind
    assert said in error.message
    found = Elsewhere.of(error)
    assert (found.exit_code, found.log) == (code, log)
    # A rule of the user's, or one of odibi's, sees the same.
    assert Failure.of(error).exit_code == code
    assert should_retry_failure(error) is (kind is not KubernetesError)


def test_what_pods_lacked_says_why_it_took_too_long() -> None:
    """The deadline ends the last of them, and that is all there is to say of that one."""
    ended_late = dead(143, name="second", created="2026-01-05T00:00:09Z")
    logs = {"first": ("eating",), "second": ("eating again",)}
    error = why_failed(job(LATE), [ended_late, OOM], [], logs)
    assert isinstance(error, ResourceExhausted)
    assert Elsewhere.of(error) == Elsewhere((), 137, ("eating",))
    late = why_failed(job(LATE), [ended_late, dead(3, name="first")], [], logs)
    assert isinstance(late, Timeout)
    assert Elsewhere.of(late) == Elsewhere((), 143, ("eating again",))
    # Without a deadline the last one counts.
    assert type(why_failed(job(FAILED), [OOM, ended_late], [], logs)) is Transient


def test_a_job_may_fail_without_a_pod() -> None:
    late = why_failed(job(LATE), [], [], {})
    assert isinstance(late, Timeout)
    assert "42" in late.message
    refused = why_failed(job(FAILED), [], [event("FailedCreate", "violates PodSecurity")], {})
    assert isinstance(refused, KubernetesError)
    assert "violates PodSecurity" in refused.message
    unknown = why_failed(job(FAILED), [], [], {})
    assert isinstance(unknown, Transient)
    assert "backoff limit" in unknown.message


def test_the_record_of_a_pod() -> None:
    done = pod(
        "Succeeded",
        {
            "terminated": {
                "exitCode": 0,
                "startedAt": "2026-01-05T00:00:02Z",
                "finishedAt": "2026-01-05T00:00:09Z",
            }
        },
    )
    assert started(done) == datetime(2026, 1, 5, 0, 0, 2, tzinfo=UTC)
    begun, over = datetime(2026, 1, 5, 0, 0, 3, tzinfo=UTC), datetime(2026, 1, 5, 0, 0, 8, tzinfo=UTC)
    result = WorkerResult("t", "shop-big-1-x", "n1", begun, over, 0)
    record = pod_record(done, "shop-big-1", result, 2)
    assert (record.waited, record.starting, record.worked, record.executors) == (2.0, 1.0, 5.0, 2)
    assert (record.node, record.image, record.status, record.reason) == ("n1", "odibi:1", "Succeeded", "")
    assert (record.exit_code, record.log) == (0, ())
    other = pod_record(dead(137, "OOMKilled"), "j", None, 0, log=["eating"])
    assert (other.status, other.reason, other.worked) == ("Failed", "OOMKilled, exit code 137", None)
    assert (other.exit_code, other.log) == (137, ("eating",))
    whole = pod_record(done, "shop-big-1", result, 2, log=["all is well"])
    assert whole.log == (), "what a pod said that did its work is of no use later"


@pytest.mark.parametrize("gone", [True, False])
def test_a_pod_that_somebody_deletes_is_recorded_so(gone: bool) -> None:
    """Whether it is still seen or not."""
    one = dead(143, deleted=None if gone else "2026-01-05T00:00:09Z")
    assert pod_record(one, "j", None, 0, gone=gone).status == "Deleted"
