"""What Jobs and pods say of themselves, as sentences: statuses as a cluster gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from lightkube.codecs import from_dict

from odibi.errors import KubernetesError, ResourceExhausted, Timeout
from odibi.kubernetes.follow import ended, never, pod_record, started, why_failed
from odibi.kubernetes.result import WorkerResult

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


def pod(phase: str, state: Json | None = None, *, name: str = "shop-big-1-x", **status: Any) -> Any:
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
            "metadata": {"name": name, "creationTimestamp": "2026-01-05T00:00:00Z"},
            "spec": {
                "nodeName": "n1",
                "containers": [{"name": "job-container", "image": "odibi:1", "resources": {"limits": {"memory": "1Gi"}}}],
            },
            "status": {"phase": phase, "containerStatuses": containers, **status},
        }
    )  # fmt: skip


def event(reason: str, message: str) -> Any:
    return from_dict(
        {
            "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message,
            "metadata": {"name": "e"}, "involvedObject": {"name": "shop-big-1"},
        }
    )  # fmt: skip


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
    assert never([given], []) == expected


def test_why_there_is_no_pod() -> None:
    refused = event("FailedCreate", 'pods "x" is forbidden: exceeded quota: q')
    assert "exceeded quota" in never([], [refused])
    assert never([WAITS["runs"][0]], [refused]) == "", "a pod works, so what was before is over"
    assert never([], []) == ""


FAILED = ("Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
DONE = {
    "out of memory": (
        pod("Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        (), ResourceExhausted, "used more memory than its limit 1Gi",
    ),
    "exit code": (
        pod("Failed", {"terminated": {"exitCode": 3, "reason": "Error"}}),
        ("Error: no such file",), KubernetesError, "Error, exit code 3: Error: no such file",
    ),
    "a full disk": (
        pod("Failed", {"terminated": {"exitCode": 1, "reason": "Error"}}),
        ("OSError: No space left on device",), ResourceExhausted, "No space left",
    ),
    "thrown out": (
        pod("Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage"),
        (), ResourceExhausted, "ephemeral-storage",
    ),
    "the node is gone": (
        pod("Failed", conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "node lost"}]),
        (), KubernetesError, "DeletionByTaintManager: node lost",
    ),
}  # fmt: skip


def test_what_is_missing_beside_the_step() -> None:
    beside = {
        "name": "postgres", "image": "postgres:17", "imageID": "", "ready": False, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
    }  # fmt: skip
    waits = pod("Pending", {"waiting": {"reason": "PodInitializing"}}, initContainerStatuses=[beside])
    assert never([waits], []) == "the image 'postgres:17' cannot be had (ImagePullBackOff: not found)"


@pytest.mark.parametrize(("given", "log", "kind", "said"), DONE.values(), ids=DONE.keys())
def test_what_a_pod_died_of(given: Any, log: tuple[str, ...], kind: type[Exception], said: str) -> None:
    error = why_failed(job(FAILED), [given], [], log)
    assert type(error) is kind
    assert said in error.message


def test_a_job_may_fail_without_a_pod() -> None:
    late = why_failed(job(("Failed", "True", "DeadlineExceeded", "")), [], [], [])
    assert isinstance(late, Timeout)
    assert "42" in late.message
    refused = why_failed(job(FAILED), [], [event("FailedCreate", "violates PodSecurity")], [])
    assert "violates PodSecurity" in refused.message
    assert "backoff limit" in why_failed(job(FAILED), [], [], []).message


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
    other = pod_record(pod("Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), "j", None, 0)
    assert (other.status, other.reason, other.worked) == ("Failed", "OOMKilled, exit code 137", None)
