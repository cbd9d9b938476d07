"""Steps as Jobs of a cluster: submitted once, followed to their end, and taken over from a run that died.

What a Job is to do tells it apart from any other (:class:`odibi.kubernetes.task.Task`): a run that finds one that
does the same, of whatever run, waits for it instead of starting a second one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lightkube.resources.core_v1 import Pod

from odibi.errors import (
    InvalidState,
    KubernetesError,
    OdibiError,
    Permanent,
    ResourceExhausted,
    ResourceQuotaExceeded,
    Unavailable,
    elsewhere,
)
from odibi.kubernetes import exchange, names
from odibi.kubernetes.client import KINDS, QUOTA, Api, Watched, exceeded
from odibi.kubernetes.follow import (
    HOPELESS,
    ended,
    error_of,
    hindrance,
    is_executor,
    never,
    owner,
    pod_record,
    starved,
    unreadable,
    why_failed,
)
from odibi.kubernetes.jobs import called, deadline_of, job_request
from odibi.kubernetes.logs import REST, Logs, say
from odibi.kubernetes.manifest import job as manifest_of
from odibi.kubernetes.outcomes import outcomes
from odibi.kubernetes.result import WorkerResult, parsed
from odibi.kubernetes.task import Task, read_by, task_of
from odibi.plan.model import PlannedStep
from odibi.record.model import PodRecord
from odibi.run.context import Stopped
from odibi.run.outcome import Outcome
from odibi.run.task import undone

if TYPE_CHECKING:
    from odibi.run.context import RunContext

__all__ = ["Cluster"]

ANSWER = 20.0
"""Seconds in which a cluster must say what there is: when a run first asks, and of a Job that was just made."""

MARGIN = 60.0
"""Seconds after its deadline in which the end of a Job must have been heard of."""

AGAIN = 5.0
"""Seconds before a Job that could not be made is made again."""

NOTICE = 2.0
"""Seconds that a Job must wait before that is told: a volume is often there at the second try."""

LOOK = 0.5
"""Seconds between looks at whether the run was stopped."""

SIGNALLED = 128
"""Exit codes from here on are of signals."""


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
        self._logs = Logs(self._api)
        self._executors: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, Any] = {}
        self._avoided: dict[str, set[str]] = {}
        self._short: Counter[str] = Counter()
        self._unheard: dict[str, tuple[str, str] | None] = {}
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
        with suppress(OdibiError):  # to know it is of use to people only
            say(f"odibi: the cluster at {self._api.server} is Kubernetes {self._api.version()}")

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
        self._logs.close()
        for watched in (self._jobs, self._pods, self._events):
            watched.stop()
        self._api.close()

    def attempt(self, steps: Sequence[PlannedStep], stopped: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Have a Job compute the steps, or wait for the one that does."""
        task = task_of(self._context.loaded, steps, self._context.fence, read_by(self._context, steps))
        name, url = (
            self._unheard.pop(task.task, None)
            or self._running(task, stopped)
            or self._submitted(task, steps, stopped)
        )
        over, job = True, None
        try:
            job = self._followed(name, steps, stopped)
            self._read_to_the_end(job, steps)
            result = self._result(url, job)
            found = outcomes(steps, result, self._records(name, result), self._hindrance(name))
        except _Unheard as error:
            over = False  # it goes on: the next attempt, or the next run, waits for it
            if error.trouble:  # nobody can be asked which it is
                self._unheard[task.task] = name, url
            found = undone(self._context, steps, error)
        except OdibiError as error:
            if job is None:
                self._collect(name, steps)
            found = undone(self._context, steps, error, self._records(name, None))
            if isinstance(error, ResourceExhausted) and error.resource == "memory":
                self._short[called(steps)] += 1
        finally:
            if over:
                self._delete(name)
        if any(outcome.error is not None for outcome in found.values()):
            self._avoid_nodes_of(name, steps)  # another attempt has the number after this one's folder
        else:
            exchange.forget(url)
        return found

    def _hindrance(self, name: str) -> str:
        """What the pods of a Job, and executors, were seen to lack or to die of."""
        pods = self._had(name)
        executors = self._executors_of(pods[-1]) if pods else []
        return hindrance(pods, executors, self._events_of(name, *pods, *executors), datetime.now(UTC))

    def _avoid_nodes_of(self, name: str, steps: Sequence[PlannedStep]) -> None:
        """Have the next attempt made on other nodes than those where this one failed, if there are any."""
        nodes = {str(pod.spec.nodeName) for pod in self._had(name) if pod.spec.nodeName}
        self._avoided.setdefault(called(steps), set()).update(nodes)

    # --- submitting ------------------------------------------------------------------------------

    def _running(self, task: Task, stopped: Callable[[], bool]) -> tuple[str, str] | None:
        """The Job that does the task already; one that does something else with the same steps is ended."""
        jobs = list(self._jobs.objects.values())
        if not any(_does(job, task) for job in jobs):
            # Asked for, because one whose answer was lost when it was made may not have been heard of yet.
            jobs += self._api.jobs({names.TASK: task.task})
        for job in jobs:
            notes = job.metadata.annotations or {}
            if _does(job, task):
                if ended(job) != "Failed" and job.metadata.deletionTimestamp is None:
                    say(
                        f"[{', '.join(task.steps)}] is done by Job {job.metadata.name} already, which is waited for"
                    )
                    return _place_of(job)
            elif set(notes.get(names.FULL_STEPS, "").split(",")).isdisjoint(task.steps):
                continue
            self._delete(job.metadata.name)
            self._until_gone(job.metadata.name, stopped)
        return None

    def _submitted(
        self, task: Task, steps: Sequence[PlannedStep], stopped: Callable[[], bool]
    ) -> tuple[str, str]:
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
            short=self._short[called(steps)],
        )
        told = ("labels", "annotations", "workload_class", "excluded_nodes")
        exchange.put(
            url, task.model_copy(update={name: getattr(request, name) for name in told}).model_dump_json()
        )
        manifest = manifest_of(replace(request, namespace=self._api.namespace))
        found = self._made(manifest, request.name, task, stopped)
        if found is not None:
            return _place_of(found)
        say(f"[{', '.join(task.steps)}] is given to {self._api.namespace} as Job {request.name}")
        return request.name, url

    def _made(
        self, manifest: Mapping[str, Any], name: str, task: Task, stopped: Callable[[], bool]
    ) -> Any | None:
        """Make a Job; the one of that name if there is one that does the task.

        Raises:
            InvalidState: the one of that name does something else.
            ResourceQuotaExceeded, Unavailable: there was no quota for it, or one of that name would not go.
        """
        until, told = time.monotonic() + self._config.pending_seconds, False
        while True:
            try:
                if self._api.create(manifest):
                    return None
                found = next(iter(self._api.jobs({}, name)), None)
                late: OdibiError = Unavailable(f"Job {name} is being deleted, and does not go")
                waits = late.message
            except ResourceQuotaExceeded as error:
                found, late, waits = None, error, error.message
            if found is not None and not _does(found, task):
                raise InvalidState(
                    f"there is a Job {name} in namespace {self._api.namespace} already that does something else",
                    ended(found) or "Running",
                    hint=f"if nobody needs it: kubectl delete job {name} --namespace {self._api.namespace}",
                )
            if found is not None and found.metadata.deletionTimestamp is None:
                return found
            if time.monotonic() > until:
                raise late
            if not told:
                say(f"odibi: Job {name} waits: {waits}")
                told = True
            if self._context.stopped.wait(AGAIN) or stopped():
                raise Stopped("the run was stopped")

    def _delete(self, name: str) -> None:
        try:
            self._api.delete(name)
        except OdibiError as error:
            say(f"odibi: Job {name} could not be deleted: {error.message}")

    # --- following -------------------------------------------------------------------------------

    def _followed(self, name: str, steps: Sequence[PlannedStep], stopped: Callable[[], bool]) -> Any:
        """The Job as it ended.

        Raises:
            KubernetesError, ResourceQuotaExceeded: none of its pods, or of its executors, will ever work.
            _Unheard: the cluster says nothing of it any more.
        """
        since: float | None = None
        told, seen, silent = "", False, False
        heard = time.monotonic()
        longest = deadline_of(self._context.loaded, steps) + MARGIN
        while True:
            with self._news:
                job = self._jobs.objects.get(name)
                seen = seen or job is not None
                if job is not None and ended(job):
                    return job
                if job is None and seen:
                    raise KubernetesError(f"Job {name} was deleted while it was waited for")
                pods = self._pods_of(name)
                why = self._why_not(name, pods)
                self._news.wait(LOOK)
            self._listen()
            trouble = self._jobs.trouble
            if job is not None and not trouble:
                heard, silent = time.monotonic(), False
            unheard = time.monotonic() - heard
            if unheard > (longest if trouble else ANSWER):
                raise _Unheard(name, unheard, trouble)
            if trouble and unheard > ANSWER and not silent:
                say(f"odibi: nothing is heard of the cluster, Job {name} goes on there: {trouble}")
                silent = True
            for pod in (*pods, *self._at_work(pods)):
                self._logs.follow(pod, called(steps))
            if stopped():
                raise Stopped("the run was stopped")
            if not why or trouble:  # what was so when nothing was heard any more may be over
                since = None
                continue
            if any(each in why for each in HOPELESS):
                raise KubernetesError(f"Job {name} cannot run: {why}")
            since = since or time.monotonic()
            waited = time.monotonic() - since
            if (kind := why.partition(" (")[0]) != told and waited > NOTICE:
                say(f"odibi: Job {name} waits: {why}")
                told = kind
            elif waited > self._config.pending_seconds:
                said = f"Job {name} cannot run: {why}"
                if "exceeded quota" in why:
                    raise ResourceQuotaExceeded(exceeded(why), said, hint=QUOTA)
                raise KubernetesError(said)

    def _why_not(self, job: str, pods: Sequence[Any]) -> str:
        """Why nothing of a Job works: none of its pods, or none of the executors of those that do."""
        now = datetime.now(UTC)
        if why := never(pods, self._events_of(job, *pods), now):
            return why
        for pod in pods:
            executors = self._at_work([pod])
            if pod.status.phase == "Running" and (
                why := starved(executors, self._events_of(job, *executors), now)
            ):
                return why
        return ""

    def _until_gone(self, job: str, stopped: Callable[[], bool]) -> None:
        until = time.monotonic() + self._config.pending_seconds
        while job in self._jobs.objects or self._pods_of(job):
            with self._news:
                self._news.wait(LOOK)
            self._listen()
            if stopped():
                raise Stopped("the run was stopped")
            if time.monotonic() > until:
                raise Unavailable(f"Job {job} is being deleted, and does not go")

    def _listen(self) -> None:
        """Raise why nothing will ever be heard of Jobs or pods; without events only reasons are missing."""
        for watched in (self._jobs, self._pods):
            if watched.refused is not None:
                raise watched.refused
        if self._events.refused is not None and not self._unreasoned:
            self._unreasoned = True
            say(f"odibi: {self._events.refused.message}: it is not told why a pod cannot be made")

    def _heard(self, name: str, found: Any) -> None:
        with self._news:
            if isinstance(found, Pod) and found.metadata is not None and is_executor(found):
                # Remembered, because it is gone before its Job ends.
                self._executors.setdefault(owner(found), {})[name] = found
            elif isinstance(found, Pod):
                self._seen[name] = found
            self._news.notify_all()

    def _pods_of(self, job: str) -> list[Any]:
        return [
            pod
            for pod in list(self._pods.objects.values())
            if (pod.metadata.labels or {}).get("job-name") == job and not is_executor(pod)
        ]

    def _executors_of(self, pod: Any) -> list[Any]:
        """Those that a driver has had, as they were seen last."""
        return list(self._executors.get(pod.metadata.name, {}).values())

    def _at_work(self, pods: Sequence[Any]) -> list[Any]:
        """The executors of drivers that are there now."""
        there = self._pods.objects
        return [one for pod in pods for one in self._executors_of(pod) if one.metadata.name in there]

    def _events_of(self, job: str, *pods: Any) -> list[Any]:
        about = {job, *(pod.metadata.name for pod in pods)}
        return [event for event in list(self._events.objects.values()) if event.involvedObject.name in about]

    def _read_to_the_end(self, job: Any, steps: Sequence[PlannedStep]) -> None:
        """Hear how the pods of a Job that has ended did, and read what they have printed, before it is deleted.

        The end of a Job may be heard of before those of its pods: each kind comes on a connection of its own.
        """
        name, until = job.metadata.name, time.monotonic() + REST
        while not self._is_told(job) and time.monotonic() < until:
            with self._news:
                self._news.wait(LOOK)
        self._logs.finish(self._pods_of(name), called(steps))
        if ended(job) == "Failed":
            self._collect(name, steps)

    def _collect(self, name: str, steps: Sequence[PlannedStep]) -> None:
        """Read the last of what the pods of a Job that failed, and their executors, have printed."""
        pods = self._pods_of(name)
        self._logs.finish([*pods, *self._at_work(pods)], called(steps), again=True)

    def _log_of(self, pod: Any) -> tuple[str, ...]:
        return self._logs.of([pod, *self._executors_of(pod)])

    def _is_told(self, job: Any) -> bool:
        """Whether it is known how every pod of a Job ended."""
        name, ended_pods = job.metadata.name, (job.status.failed or 0) + (job.status.succeeded or 0)
        phases = [pod.status.phase for pod in self._pods_of(name)]
        known = len(self._had(name)) > 0 or ended_pods == 0
        return known and all(phase in ("Succeeded", "Failed") for phase in phases)

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
            log = next((self._log_of(pod) for pod in self._had(name) if pod.metadata.name == result.pod), ())
            said = f"Job {name}: {result.error}"
            raise elsewhere(error_of(result.exit_code, said), exit_code=result.exit_code, log=log)
        if result is not None and (result.exit_code < SIGNALLED or ended(job) == "Complete"):
            return result  # what a pod says that was told to end is that it was: the Job knows why
        if ended(job) == "Complete":
            raise unreadable(folder)
        pods = self._had(name)
        error = why_failed(
            job, pods, self._events_of(name, *pods), {pod.metadata.name: self._log_of(pod) for pod in pods}
        )
        if why := self._hindrance(name):
            error.message += f": {why}"
        raise error

    def _had(self, job: str) -> list[Any]:
        """The pods that a Job had, the first one first; those that are gone as they were seen last."""
        pods = [
            pod for pod in list(self._seen.values()) if (pod.metadata.labels or {}).get("job-name") == job
        ]
        return sorted(pods, key=lambda pod: str(pod.metadata.creationTimestamp))

    def _records(self, name: str, result: WorkerResult | None) -> tuple[PodRecord, ...]:
        return tuple(
            pod_record(
                pod,
                name,
                result,
                len(self._executors_of(pod)),
                gone=pod.metadata.name not in self._pods.objects,
                log=self._log_of(pod),
            )
            for pod in self._had(name)
        )


class _Unheard(Unavailable):
    """The cluster has said nothing of a Job for so long that nobody can tell what became of it."""

    type = Unavailable.type

    def __init__(self, job: str, seconds: float, trouble: str) -> None:
        said = f": {trouble}" if trouble else ""
        super().__init__(f"nothing has been heard of Job {job} for {seconds:.0f} s{said}")
        self.trouble = trouble
        self.hint = "it may go on there: odibi run --resume waits for it, or takes what it did"


def _does(job: Any, task: Task) -> bool:
    """Whether a Job does the task, whatever it is called."""
    return bool((job.metadata.labels or {}).get(names.TASK) == task.task)


def _place_of(job: Any) -> tuple[str, str]:
    """The name of a Job, and where its task is."""
    return job.metadata.name, str(job.spec.template.spec.containers[0].args[-1])
