"""What a Job and its pods say of themselves, read from their status. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from odibi.errors import (
    KubernetesError,
    OdibiError,
    Permanent,
    ResourceExhausted,
    Timeout,
    Transient,
    elsewhere,
)
from odibi.kubernetes.manifest import FINAL_EXIT_CODES
from odibi.kubernetes.result import WorkerResult
from odibi.record.model import PodRecord

__all__ = [
    "CONTAINER",
    "HOPELESS",
    "ended",
    "error_of",
    "exit_code",
    "is_executor",
    "never",
    "pod_record",
    "started",
    "why_failed",
]

CONTAINER = "job-container"
"""The container of a pod that does its work."""

NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""What a container waits for that has no image."""


_NO_MEMORY = re.compile(r"out of memory|cannot allocate memory|java heap space", re.IGNORECASE)

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
        for status in _containers(pod):
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


def why_failed(
    job: Any, pods: Iterable[Any], events: Iterable[Any], logs: Mapping[str, Sequence[str]]
) -> OdibiError:
    """The error of a Job that ended without a result, with the exit code and the last lines of the pod it is about.

    What a pod died of goes before what its Job says: ``BackoffLimitExceeded`` follows from every failure.

    Args:
        job: that has failed.
        pods: all that it had, those that are gone as they were seen last.
        events: about it and its pods.
        logs: what each pod has printed, by its name.
    """
    condition = next(
        (c for c in job.status.conditions or () if c.type == "Failed" and c.status == "True"), None
    )  # fmt: skip
    late = condition is not None and condition.reason == "DeadlineExceeded"
    latest = sorted(pods, key=lambda pod: str(pod.metadata.creationTimestamp), reverse=True)
    # What the deadline ended has died of nothing else: what those before it lacked is why it came to that.
    for pod in latest if late else latest[:1]:
        if (lacked := _lacked(pod, logs)) is not None:
            return _told(lacked, pod, logs)
    last = latest[0] if latest else None
    if late:
        return _told(Timeout(f"Job {job.metadata.name}", job.spec.activeDeadlineSeconds or 0), last, logs)
    if last is not None and (died := _died(last)):
        said = ": ".join(filter(None, (f"pod {last.metadata.name} failed: {died}", _said(last, logs))))
        code = None if _disrupted(last) else exit_code(last)
        return _told(error_of(code, said), last, logs)
    refused = next((e.message for e in events if e.type == "Warning" and e.reason == "FailedCreate"), "")
    if refused:
        return KubernetesError(f"Job {job.metadata.name} failed: {refused}")
    reason = condition.message if condition is not None else "it ended without a result"
    return _told(Transient(f"Job {job.metadata.name} failed: {reason}"), last, logs)


def error_of(code: int | None, said: str) -> OdibiError:
    """The error of a worker that ended with this exit code: those of odibi say whether it may pass.

    All else comes from outside: a signal, a node that was lost.
    """
    return KubernetesError(said) if code in FINAL_EXIT_CODES else Transient(said)


def exit_code(pod: Any) -> int | None:
    """What the container of a pod ended with, 128 and its number for a signal; None if it did not end."""
    done = _terminated(pod)
    return int(done.exitCode) if done is not None else None


def _told(error: OdibiError, pod: Any, logs: Mapping[str, Sequence[str]]) -> OdibiError:
    if pod is None:
        return error
    return elsewhere(error, exit_code=exit_code(pod), log=tuple(logs.get(pod.metadata.name, ())))


def _lacked(pod: Any, logs: Mapping[str, Sequence[str]]) -> ResourceExhausted | None:
    """What a pod had too little of, if it died of that."""
    died, said, done = _died(pod), _said(pod, logs), _terminated(pod)
    if not died:
        return None
    if done is not None and done.reason == "OOMKilled":
        limit = _limit(pod)
        return ResourceExhausted(
            "memory", f"pod {pod.metadata.name} was killed because it used more memory than its limit {limit}",
            hint="raise memory in limits of resources",
        )  # fmt: skip
    what = f"pod {pod.metadata.name}: {': '.join(filter(None, (died, said)))}"
    if "No space left" in said or "ephemeral" in died:
        return ResourceExhausted("disk", what, hint="raise ephemeral-storage in requests and limits")
    if _NO_MEMORY.search(said):
        return ResourceExhausted("memory", what, hint="raise memory in limits of resources")
    return None


def _said(pod: Any, logs: Mapping[str, Sequence[str]]) -> str:
    """The last words of a pod: those that it was given to say at its end, which are its log's if it was not."""
    done = _terminated(pod)
    lines = (done.message if done is not None and done.message else "").splitlines()
    return "; ".join(line for line in (lines or logs.get(pod.metadata.name, ()))[-3:] if line.strip())


def _died(pod: Any) -> str:
    """What ended a pod: of its container, else of the whole pod; a node that was lost says so."""
    if said := _disrupted(pod):
        return said
    done = _terminated(pod)
    if done is not None and (done.exitCode or done.reason == "OOMKilled"):
        return f"{done.reason or 'Error'}, exit code {done.exitCode}"
    return ": ".join(filter(None, (pod.status.reason, pod.status.message)))


def _disrupted(pod: Any) -> str:
    """Why the cluster has ended a pod through no fault of its own: thrown out, its node lost; empty if it did not."""
    for condition in (pod.status.conditions if pod.status is not None else None) or ():
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return f"{condition.reason}: {condition.message}"
    return ""


def _terminated(pod: Any) -> Any:
    """How the container of a pod ended, None if it did not."""
    states = (status.state for status in _containers(pod))
    return next((s.terminated for s in states if s is not None and s.terminated is not None), None)


def pod_record(
    pod: Any,
    job: str,
    result: WorkerResult | None,
    executors: int,
    *,
    gone: bool = False,
    log: Sequence[str] = (),
) -> PodRecord:
    """What is recorded of a pod, as it was seen last; one that is ``gone`` was deleted before its Job was.

    Its log is recorded if it failed.
    """
    reason = _died(pod)
    gone = gone or pod.metadata.deletionTimestamp is not None
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
        reason=reason,
        exit_code=exit_code(pod),
        waited=waited,
        starting=max(0.0, (result.started_at - began).total_seconds()) if own and result and began else None,
        worked=(result.ended_at - result.started_at).total_seconds() if own and result else None,
        executors=executors or None,
        log=tuple(log) if reason or gone else (),
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
