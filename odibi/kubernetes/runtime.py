"""Steps as Jobs of a cluster: submitted once, followed to their end, and taken over from a run that died.

What a Job is to do tells it apart from any other (:class:`odibi.kubernetes.task.Task`): a run that finds one that
does the same, of whatever run, waits for it instead of starting a second one.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lightkube.resources.core_v1 import Pod

from odibi.errors import KubernetesError, OdibiError, Permanent, ResourceExhausted, Unavailable
from odibi.kubernetes import exchange, names
from odibi.kubernetes.client import KINDS, Api, Watched
from odibi.kubernetes.follow import (
    CONTAINER,
    HOPELESS,
    ended,
    is_executor,
    never,
    pod_record,
    unreadable,
    why_failed,
)
from odibi.kubernetes.jobs import called, job_request
from odibi.kubernetes.manifest import job as manifest_of
from odibi.kubernetes.outcomes import outcomes
from odibi.kubernetes.result import WorkerResult, parsed
from odibi.kubernetes.task import Task, read_by, task_of
from odibi.plan.model import PlannedStep
from odibi.record.model import PodRecord
from odibi.run.context import Stopped
from odibi.run.outcome import Outcome

if TYPE_CHECKING:
    from odibi.run.context import RunContext

__all__ = ["Cluster"]

PATIENCE = 60.0
"""Seconds that a Job may have no pod that works, and a reason for it, before it is given up."""

ANSWER = 20.0
"""Seconds in which a cluster must say what there is, when a run first asks."""

LOOK = 0.5
"""Seconds between looks at whether the run was stopped."""

SIGNALLED = 128
"""Exit codes from here on are of signals."""

REST = 5.0
"""Seconds for the last lines of pods that have ended."""

BEGUN = ("Running", "Succeeded", "Failed")
"""Phases of a pod that has something to say."""

LINES = 200
"""Lines of a pod that are kept for its error."""


class Cluster:
    """The Jobs of one run.

    Args:
        context: of the run.

    Raises:
        KubernetesError: there is no such cluster, or it cannot be asked.
    """

    def __init__(self, context: RunContext) -> None:
        config = context.loaded.pipeline.kubernetes
        if config is None:  # the plan has refused that
            raise Permanent("the pipeline names no cluster")
        self._context, self._config = context, config
        self._api = Api(config)
        self._news = threading.Condition()
        self._logs: dict[str, list[str]] = {}
        self._readers: dict[str, threading.Thread] = {}
        self._executors: dict[str, set[str]] = {}
        self._seen: dict[str, Any] = {}
        self._avoided: dict[str, set[str]] = {}
        self._unreasoned = False
        loaded = context.loaded
        self._labels = {
            "pipeline": names.label_value(loaded.pipeline.pipeline),
            names.LOGICAL_DATE: loaded.logical_date.isoformat(),
            names.TARGET: names.label_value(loaded.target),
        }
        kinds = zip(KINDS, (self._labels, self._labels, None), strict=True)
        self._jobs, self._pods, self._events = (self._api.watch(kind, labels) for kind, labels in kinds)
        for watched in (self._jobs, self._pods, self._events):
            watched.start(self._heard)
        for watched in (self._jobs, self._pods):
            self._first(watched)

    def _first(self, watched: Watched) -> None:
        """Wait until it is known what there is. Raises what keeps it from being known."""
        until = time.monotonic() + ANSWER
        while not watched.synced(LOOK):
            late = Unavailable(
                f"the cluster at {self._api.server} cannot be reached: {watched.trouble or 'no answer'}"
            )
            why = watched.refused or (late if time.monotonic() > until else None)
            if why is not None or self._context.stopped.is_set():
                self.close()
                raise why or Stopped("the run was stopped")

    def close(self) -> None:
        """Hear no more of the cluster."""
        for watched in (self._jobs, self._pods, self._events):
            watched.stop()
        self._api.close()

    def attempt(self, steps: Sequence[PlannedStep], stopped: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Have a Job compute the steps, or wait for the one that does."""
        task = task_of(self._context.loaded, steps, self._context.fence, read_by(self._context, steps))
        name, url = self._running(task, stopped) or self._submitted(task, steps)
        try:
            job = self._followed(name, steps, stopped)
            self._read_to_the_end(name, steps)
            result = self._result(url, job)
            found = outcomes(steps, result, self._records(name, result))
        except OdibiError:
            self._avoid_nodes_of(name, steps)
            raise
        finally:
            self._delete(name)
        if any(outcome.error is not None for outcome in found.values()):
            self._avoid_nodes_of(name, steps)  # another attempt has the number after this one's folder
        else:
            exchange.forget(url)
        return found

    def _avoid_nodes_of(self, name: str, steps: Sequence[PlannedStep]) -> None:
        """Have the next attempt made on other nodes than those where this one failed, if there are any."""
        pods = (pod for pod in self._seen.values() if (pod.metadata.labels or {}).get("job-name") == name)
        nodes = {str(pod.spec.nodeName) for pod in pods if pod.spec.nodeName}
        self._avoided.setdefault(called(steps), set()).update(nodes)

    # --- submitting ------------------------------------------------------------------------------

    def _running(self, task: Task, stopped: Callable[[], bool]) -> tuple[str, str] | None:
        """The Job that does the task already; one that does something else with the same steps is ended."""
        for job in list(self._jobs.objects.values()):
            notes = job.metadata.annotations or {}
            if (job.metadata.labels or {}).get(names.TASK) == task.task:
                if ended(job) != "Failed":
                    _say(
                        f"[{', '.join(task.steps)}] is done by Job {job.metadata.name} already, which is waited for"
                    )
                    return job.metadata.name, str(job.spec.template.spec.containers[0].args[-1])
            elif set(notes.get(names.FULL_STEPS, "").split(",")).isdisjoint(task.steps):
                continue
            self._delete(job.metadata.name)
            self._until_gone(job.metadata.name, stopped)
        return None

    def _submitted(self, task: Task, steps: Sequence[PlannedStep]) -> tuple[str, str]:
        """A new Job that does the task."""
        loaded = self._context.loaded
        place = f"{self._config.tasks.rstrip('/')}/{task.pipeline}/{task.logical_date}/{task.task}"
        number = 1 + sum(one.startswith("attempt-") for one in exchange.names(place))
        folder = f"{place}/attempt-{number}"
        url = f"{folder}/{exchange.TASK}"
        request = job_request(
            loaded,
            steps,
            name=called(steps),
            task_url=url,
            task=task.task,
            run_id=task.run_id,
            attempt=number,
            excluded_nodes=sorted(self._avoided.get(called(steps), ())),
        )
        told = ("labels", "annotations", "workload_class", "excluded_nodes")
        exchange.put(
            url, task.model_copy(update={name: getattr(request, name) for name in told}).model_dump_json()
        )
        self._api.create(manifest_of(replace(request, namespace=self._api.namespace)))
        _say(f"[{', '.join(task.steps)}] is given to {self._api.namespace} as Job {request.name}")
        return request.name, url

    def _delete(self, name: str) -> None:
        try:
            self._api.delete(name)
        except OdibiError as error:
            _say(f"odibi: Job {name} could not be deleted: {error.message}")

    # --- following -------------------------------------------------------------------------------

    def _followed(self, name: str, steps: Sequence[PlannedStep], stopped: Callable[[], bool]) -> Any:
        """The Job as it ended. Raises KubernetesError where none of its pods will ever work."""
        since: float | None = None
        silent: float | None = None
        told = ""
        seen = False
        while True:
            with self._news:
                job = self._jobs.objects.get(name)
                seen = seen or job is not None
                if job is not None and ended(job):
                    return job
                if job is None and seen:
                    raise KubernetesError(f"Job {name} was deleted while it was waited for")
                pods = self._pods_of(name)
                why = never(pods, self._events_of(name))
                self._news.wait(LOOK)
            self._listen()
            silent = (silent or time.monotonic()) if self._jobs.trouble else None
            if silent is not None and time.monotonic() - silent > ANSWER:
                _say(
                    f"odibi: nothing is heard of the cluster, Job {name} goes on there: {self._jobs.trouble}"
                )
                silent = math.inf
            for pod in pods:
                self._stream(pod, steps)
            if stopped():
                raise Stopped("the run was stopped")
            if not why:
                since = None
                continue
            if any(each in why for each in HOPELESS):
                raise KubernetesError(f"Job {name} cannot run: {why}")
            since = since or time.monotonic()
            if (kind := why.partition(" (")[0]) != told:
                _say(f"odibi: Job {name} waits: {why}")
                told = kind
            elif time.monotonic() - since > PATIENCE:
                said = f"Job {name} cannot run: {why}"
                raise ResourceExhausted("quota", said) if "exceeded quota" in why else KubernetesError(said)

    def _until_gone(self, job: str, stopped: Callable[[], bool]) -> None:
        while job in self._jobs.objects or self._pods_of(job):
            with self._news:
                self._news.wait(LOOK)
            self._listen()
            if stopped():
                raise Stopped("the run was stopped")

    def _listen(self) -> None:
        """Raise why nothing will ever be heard of Jobs or pods; without events only reasons are missing."""
        for watched in (self._jobs, self._pods):
            if watched.refused is not None:
                raise watched.refused
        if self._events.refused is not None and not self._unreasoned:
            self._unreasoned = True
            _say(f"odibi: {self._events.refused.message}: it is not told why a pod cannot be made")

    def _heard(self, name: str, found: Any) -> None:
        with self._news:
            if isinstance(found, Pod) and found.metadata is not None and is_executor(found):
                # Remembered, because it is gone before its Job ends.
                task = str((found.metadata.labels or {}).get(names.TASK))
                self._executors.setdefault(task, set()).add(name)
            elif isinstance(found, Pod):
                self._seen[name] = found
            self._news.notify_all()

    def _pods_of(self, job: str) -> list[Any]:
        return [
            pod
            for pod in list(self._pods.objects.values())
            if (pod.metadata.labels or {}).get("job-name") == job and not is_executor(pod)
        ]

    def _events_of(self, job: str) -> list[Any]:
        return [
            event
            for event in list(self._events.objects.values())
            if event.involvedObject.name == job or str(event.involvedObject.name).startswith(f"{job}-")
        ]

    def _stream(self, pod: Any, steps: Sequence[PlannedStep]) -> None:
        """Print what a pod prints, as it does, on a thread of its own."""
        name = pod.metadata.name
        if name in self._readers or pod.status.phase not in BEGUN:
            return
        lines = self._logs.setdefault(name, [])
        given = (self._api, name, called(steps), lines, self._context.stopped)
        self._readers[name] = threading.Thread(
            target=_read, args=given, daemon=True, name=f"odibi-log-{name}"
        )
        self._readers[name].start()

    def _read_to_the_end(self, job: str, steps: Sequence[PlannedStep]) -> None:
        """Read what the pods of a Job that has ended have printed, before it is deleted."""
        until = time.monotonic() + REST
        for pod in self._pods_of(job):
            self._stream(pod, steps)
            if (reader := self._readers.get(pod.metadata.name)) is not None:
                reader.join(max(0.0, until - time.monotonic()))

    # --- merging ---------------------------------------------------------------------------------

    def _result(self, url: str, job: Any) -> WorkerResult:
        """What the pods of a Job left, the one that came last; why there is nothing is raised."""
        folder = url.rpartition("/")[0]
        found = [
            parsed(text, f"{folder}/{each}")
            for each in exchange.names(folder)
            if each.startswith("result-") and (text := exchange.get(f"{folder}/{each}")) is not None
        ]
        result = max(found, key=lambda one: one.ended_at, default=None)
        name = job.metadata.name
        if result is not None and result.error:
            raise Permanent(f"Job {name}: {result.error}")
        if result is not None and (result.exit_code < SIGNALLED or ended(job) == "Complete"):
            return result  # what a pod says that was told to end is that it was: the Job knows why
        if ended(job) == "Complete":
            raise unreadable(folder)
        pods = self._pods_of(name)
        log = self._logs.get(pods[-1].metadata.name, []) if pods else []
        raise why_failed(job, pods, self._events_of(name), log)

    def _records(self, name: str, result: WorkerResult) -> tuple[PodRecord, ...]:
        executors = len(self._executors.get(names.label_value(result.task), ()))
        pods = [pod for pod in self._seen.values() if (pod.metadata.labels or {}).get("job-name") == name]
        return tuple(
            pod_record(pod, name, result, executors, gone=pod.metadata.name not in self._pods.objects)
            for pod in sorted(pods, key=lambda pod: str(pod.metadata.creationTimestamp))
        )


def _read(api: Api, pod: str, whose: str, lines: list[str], stopped: threading.Event) -> None:
    """Print what a pod prints, as it does, and keep the last of it."""
    try:
        for line in api.log(pod, CONTAINER):
            lines.append(line)
            del lines[:-LINES]
            _say(f"[{whose}] {line}")
    except OdibiError as error:
        if not stopped.is_set():
            _say(f"odibi: the log of pod {pod} could not be read: {error.message}")


def _say(line: str) -> None:
    with suppress(OSError, ValueError):  # whoever listens, the run goes on
        sys.stderr.write(f"{line}\n")
