"""What a Job and its pods say of themselves, read from their status. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
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
from odibi.kubernetes.spark import EXECUTOR
from odibi.record.model import PodRecord

__all__ = [
    "CONTAINER",
    "HOPELESS",
    "ended",
    "error_of",
    "exit_code",
    "hindrance",
    "is_executor",
    "never",
    "owner",
    "pod_record",
    "started",
    "starved",
    "why_failed",
]

CONTAINER = "job-container"
"""The container of a pod that does its work."""

NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""What a container waits for that has no image."""


_NO_MEMORY = re.compile(r"out of memory|cannot allocate memory|java heap space", re.IGNORECASE)

_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")
"""The time before each line of a log."""

HOPELESS = (
    "InvalidImageName",
    "ErrImageNeverPull",
    "violates PodSecurity",
    "usage per Container",
    "usage per Pod",
)
"""What no waiting helps against; the last two are how a LimitRange refuses."""

FRESH = timedelta(seconds=150)
"""How long an event counts: a volume is tried to be mounted again after two minutes at the latest."""

TOLD = (0, 143)
"""Exit codes of an executor that has ended because it was to end."""


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


def owner(pod: Any) -> str:
    """The name of the pod that an executor belongs to: its driver's."""
    return next((str(one.name) for one in pod.metadata.ownerReferences or () if one.kind == "Pod"), "")


def never(pods: Iterable[Any], events: Iterable[Any], now: datetime) -> str:
    """Why no pod of those of a Job, or of executors, works although one should.

    Empty where one does, or nothing is known of it yet. One that has failed is followed by another.
    """
    alive = [pod for pod in pods if _phase(pod) != "Failed"]
    if any(_phase(pod) in ("Running", "Succeeded") for pod in alive):
        return ""
    reasons = [reason for pod in alive for reason in _hindered(pod)]
    names = {pod.metadata.name for pod in alive}
    reasons += [
        f"no pod can be made ({event.reason}: {event.message})"
        for event in _latest(events, now)
        if (event.reason == "FailedMount" and event.involvedObject.name in names)
        or (event.reason == "FailedCreate" and not alive)
    ]
    return reasons[0] if reasons else ""


def hindrance(pods: Sequence[Any], executors: Sequence[Any], events: Iterable[Any], now: datetime) -> str:
    """What kept a Job from doing its work, as its pods and the executors of its last one were seen last.

    Empty where they say nothing of that: one never began, or executors have died, or none has begun.
    """
    found = tuple(events)
    if why := never(pods, found, now):
        return why
    dead = [pod for pod in executors if _died(pod) and exit_code(pod) not in TOLD]
    if dead:
        last = max(dead, key=lambda pod: pod.metadata.creationTimestamp)
        return f"executor {last.metadata.name} failed: {_died(last)}"
    return starved(executors, found, now)


def starved(executors: Sequence[Any], events: Iterable[Any], now: datetime) -> str:
    """Why a driver has no executor; empty where it has one, or nothing is known of them yet."""
    own = {pod.metadata.name for pod in executors}
    why = never(executors, [event for event in events if event.involvedObject.name in own], now)
    return f"no executor can start: {why}" if why else ""


def _hindered(pod: Any) -> Iterator[str]:
    """What keeps a pod from its work, as it says itself."""
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
            yield f"{what} ({waiting.reason}{said})"
    for condition in (pod.status.conditions if pod.status is not None else None) or ():
        if (condition.type, condition.status, condition.reason) == ("PodScheduled", "False", "Unschedulable"):
            yield f"no node takes pod {pod.metadata.name} (Unschedulable: {condition.message})"


def _latest(events: Iterable[Any], now: datetime) -> list[Any]:
    """The last event of each object, if that is not old: what was told before it is over."""
    found = {event.involvedObject.name: event for event in sorted(events, key=lambda one: _seen_at(one, now))}
    return [event for event in found.values() if now - _seen_at(event, now) < FRESH]


def _seen_at(event: Any, now: datetime) -> datetime:
    """When an event was seen last; one that does not say it is of now."""
    again = event.series.lastObservedTime if event.series is not None else None
    at: datetime = again or event.lastTimestamp or event.eventTime or event.metadata.creationTimestamp or now
    return at


def _phase(pod: Any) -> str:
    return str(pod.status.phase or "") if pod.status is not None else ""


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
        code = None if _disrupted(last) else exit_code(last)
        if last.metadata.deletionTimestamp is not None and (code or 0) > SIGNALLED:
            # What it said in the end is how it was told to go.
            said = f"pod {last.metadata.name} was deleted while it worked ({died})"
        else:
            said = ": ".join(filter(None, (f"pod {last.metadata.name} failed: {died}", _said(last, logs))))
        return _told(error_of(code, said), last, logs)
    refused = next((e.message for e in events if e.type == "Warning" and e.reason == "FailedCreate"), "")
    if refused:
        return KubernetesError(f"Job {job.metadata.name} failed: {refused}")
    reason = condition.message if condition is not None else "it ended without a result"
    return _told(Transient(f"Job {job.metadata.name} failed: {reason}"), last, logs)


SIGNALLED = 128
"""Exit codes above it are those of signals."""


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
    lines = lines or [_STAMP.sub("", line) for line in logs.get(pod.metadata.name, ())[-3:]]
    return "; ".join(line for line in lines[-3:] if line.strip())


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
        if s.name in (CONTAINER, EXECUTOR)
    ]


def _limit(pod: Any) -> str:
    limits = pod.spec.containers[0].resources.limits if pod.spec.containers[0].resources is not None else None
    return str((limits or {}).get("memory", "of the node"))
