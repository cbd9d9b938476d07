"""What a Job and its pods say of themselves, read from their status. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from odibi.errors import KubernetesError, OdibiError, Permanent, ResourceExhausted, Timeout
from odibi.kubernetes.result import WorkerResult
from odibi.record.model import PodRecord

__all__ = ["CONTAINER", "HOPELESS", "ended", "is_executor", "never", "pod_record", "started", "why_failed"]

CONTAINER = "job-container"
"""The container of a pod that does its work."""

NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""What a container waits for that has no image."""


HOPELESS = ("InvalidImageName", "ErrImageNeverPull", "violates PodSecurity")
"""What no waiting helps against."""


def ended(job: Any) -> str:
    """``Complete`` or ``Failed`` once one of these conditions holds, however many of its pods failed before."""
    for condition in (job.status.conditions if job.status is not None else None) or ():
        if condition.type in ("Complete", "Failed") and condition.status == "True":
            return str(condition.type)
    return ""


def is_executor(pod: Any) -> bool:
    """Whether the pod is one of Spark's, beside the pods of the Job."""
    return (pod.metadata.labels or {}).get("spark-role") == "executor"


def started(pod: Any) -> datetime | None:
    """When the container of a pod began, None if it has not."""
    for status in _containers(pod):
        for state in (status.state, status.lastState):
            for one in (state.running, state.terminated) if state is not None else ():
                if one is not None and one.startedAt is not None:
                    found: datetime = one.startedAt
                    return found
    return None


def never(pods: Iterable[Any], events: Iterable[Any]) -> str:
    """Why no pod of a Job works although it should; empty where one does, or nothing is known of it yet."""
    reasons = []
    for pod in pods:
        phase = pod.status.phase if pod.status is not None else ""
        if phase in ("Running", "Succeeded", "Failed"):
            return ""
        beside = (pod.status.initContainerStatuses if pod.status is not None else None) or ()
        for status in (*_containers(pod), *beside):
            waiting = status.state.waiting if status.state is not None else None
            if waiting is not None and waiting.reason in (*NO_IMAGE, "CreateContainerConfigError"):
                said = f": {waiting.message}" if waiting.message else ""
                what = (
                    f"the image {status.image!r} cannot be had"
                    if waiting.reason in NO_IMAGE
                    else "its container cannot be made"
                )
                reasons.append(f"{what} ({waiting.reason}{said})")
        reasons += [
            f"no node takes pod {pod.metadata.name} (Unschedulable: {condition.message})"
            for condition in pod.status.conditions or ()
            if (condition.type, condition.status, condition.reason)
            == ("PodScheduled", "False", "Unschedulable")
        ]
    reasons += [
        f"no pod can be made ({event.reason}: {event.message})"
        for event in events
        if event.type == "Warning" and event.reason in ("FailedCreate", "FailedMount")
    ]
    return reasons[0] if reasons else ""


def why_failed(job: Any, pods: Sequence[Any], events: Iterable[Any], log: Sequence[str]) -> OdibiError:
    """The error of a Job that ended without a result: what its last pod died of, and what the Job says."""
    condition = next(
        (c for c in job.status.conditions or () if c.type == "Failed" and c.status == "True"), None
    )  # fmt: skip
    last: Any = max(pods, key=lambda pod: pod.metadata.creationTimestamp, default=None)
    died = _died(last) if last is not None else ""
    said = "; ".join(line for line in log[-3:] if line.strip())
    name = job.metadata.name
    if condition is not None and condition.reason == "DeadlineExceeded":
        return Timeout(f"Job {name}", job.spec.activeDeadlineSeconds or 0)
    if died.startswith("OOMKilled"):
        limit = _limit(last)
        return ResourceExhausted(
            "memory", f"pod {last.metadata.name} was killed because it used more memory than its limit {limit}",
            hint="raise memory in limits of resources",
        )  # fmt: skip
    if "No space left" in said or "ephemeral" in died:
        what = f"pod {last.metadata.name}: {' '.join(filter(None, (died, said)))}"
        return ResourceExhausted("disk", what, hint="raise ephemeral-storage in requests and limits")
    if died:
        return KubernetesError(f"pod {last.metadata.name} failed: {died}{f': {said}' if said else ''}")
    refused = next((e.message for e in events if e.type == "Warning" and e.reason == "FailedCreate"), "")
    reason = condition.message if condition is not None else "it ended without a result"
    return KubernetesError(f"Job {name} failed: {refused or reason}")


def _died(pod: Any) -> str:
    """What ended a pod: of its container, else of the whole pod; a node that was lost says so."""
    for condition in pod.status.conditions or ():
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return f"{condition.reason}: {condition.message}"
    for status in _containers(pod):
        done = status.state.terminated if status.state is not None else None
        if done is not None and (done.exitCode or done.reason == "OOMKilled"):
            return f"{done.reason or 'Error'}, exit code {done.exitCode}"
    return ": ".join(filter(None, (pod.status.reason, pod.status.message)))


def pod_record(
    pod: Any, job: str, result: WorkerResult | None, executors: int, *, gone: bool = False
) -> PodRecord:
    """What is recorded of a pod, as it was seen last; one that is ``gone`` was deleted before its Job ended."""
    began = started(pod)
    made = pod.metadata.creationTimestamp
    waited = (began - made).total_seconds() if began is not None and made is not None else None
    own = result is not None and result.pod == pod.metadata.name
    return PodRecord(
        name=pod.metadata.name,
        job=job,
        node=pod.spec.nodeName or "",
        image=pod.spec.containers[0].image or "",
        status="Deleted" if gone else str(pod.status.phase or ""),
        reason=_died(pod),
        waited=waited,
        starting=max(0.0, (result.started_at - began).total_seconds()) if own and result and began else None,
        worked=(result.ended_at - result.started_at).total_seconds() if own and result else None,
        executors=executors or None,
    )


def unreadable(place: str) -> Permanent:
    """The error of a Job that is complete and has left nothing."""
    return Permanent(
        f"the Job is complete, and there is no result in {place}",
        hint="does tasks of kubernetes name the same place here and in the pods?",
    )


def _containers(pod: Any) -> list[Any]:
    return [
        s
        for s in (pod.status.containerStatuses if pod.status is not None else None) or ()
        if s.name == CONTAINER
    ]


def _limit(pod: Any) -> str:
    limits = pod.spec.containers[0].resources.limits if pod.spec.containers[0].resources is not None else None
    return str((limits or {}).get("memory", "of the node"))
