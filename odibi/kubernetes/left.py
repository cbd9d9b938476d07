"""What runs have left in the cluster and among its tasks, and which of it nobody waits for any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi.errors import OdibiError
from odibi.kubernetes import exchange, names
from odibi.kubernetes.client import Api
from odibi.kubernetes.jobs import cluster_of
from odibi.kubernetes.logs import say
from odibi.kubernetes.task import parsed
from odibi.plan.model import Action
from odibi.plan.runtime import HERE
from odibi.record.model import RunRecord, RunStatus

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.run.context import RunContext

__all__ = ["Known", "Left", "clear", "found", "orphans", "remove", "remove_tasks"]


@dataclass(frozen=True)
class Known:
    """What a run store knows of the runs of a pipeline for a target.

    Attributes:
        over: the runs that have ended, as labels name them.
        busy: the logical dates for which a run is under way: it takes over what it finds.
    """

    over: frozenset[str]
    busy: frozenset[str]

    @classmethod
    def of(cls, runs: Collection[RunRecord]) -> Known:
        """That of these runs."""
        under_way = {run.logical_date for run in runs if run.status is RunStatus.RUNNING}
        over = {names.label_value(run.run_id) for run in runs if run.status is not RunStatus.RUNNING}
        return cls(frozenset(over), frozenset(under_way))

    def is_orphan(self, labels: Mapping[str, str]) -> bool:
        """Whether nobody waits for what has these labels. Of runs that are not known here others may know."""
        return self.is_free(labels) and labels.get(names.RUN_ID) in self.over

    def is_free(self, labels: Mapping[str, str]) -> bool:
        """Whether no run that is under way here takes it over."""
        return labels.get(names.LOGICAL_DATE) not in self.busy


@dataclass(frozen=True)
class Left:
    """A Job or a CronJob."""

    kind: str
    name: str
    labels: Mapping[str, str]

    @property
    def run_id(self) -> str:
        """Of its run, empty where it is of none."""
        return self.labels.get(names.RUN_ID, "")


def found(api: Api, loaded: Loaded) -> list[Left]:
    """All that a pipeline has in the cluster for a target, of whatever date: what makes Jobs before the Jobs."""
    labels = {
        **names.MANAGED,
        names.PIPELINE: names.label_value(loaded.pipeline.pipeline),
        names.TARGET: names.label_value(loaded.target),
    }
    return [
        Left(kind, str(one.metadata.name), dict(one.metadata.labels or {}))
        for kind, those in (("CronJob", api.cron_jobs), ("Job", api.jobs))
        for one in those(labels)
    ]


def orphans(there: Iterable[Left], known: Known) -> tuple[list[Left], list[Left]]:
    """Of what there is the Jobs that nobody waits for, and those of which that is not known: their runs are recorded elsewhere.

    Stages, and what a CronJob makes, are of no run here.
    """
    free = [one for one in there if names.TASK in one.labels and known.is_free(one.labels)]
    gone = [one for one in free if known.is_orphan(one.labels)]
    return gone, [one for one in free if one not in gone]


def remove(api: Api, left: Left) -> None:
    """Delete it with all that belongs to it."""
    if left.kind == "CronJob":
        api.delete_cron_job(left.name)
    else:
        api.delete(left.name)


def remove_tasks(loaded: Loaded, known: Known | None) -> int:
    """Delete the folders of a pipeline's tasks for a target; of how many tasks.

    Args:
        loaded: the config.
        known: if given, only those that nobody waits for by what is known.

    Raises:
        Permanent, OSError: they cannot be reached.
    """
    place = f"{cluster_of(loaded).tasks.rstrip('/')}/{loaded.pipeline.pipeline}"
    removed = 0
    for folder in _folders(place):
        with suppress(OdibiError):  # what is no task is not ours
            labels = _labels(folder)
            if labels.get(names.TARGET) != names.label_value(loaded.target):
                continue
            if known is None or known.is_orphan(labels):
                exchange.remove(folder)
                removed += 1
    return removed


def _folders(place: str) -> Iterator[str]:
    for date in exchange.names(place):
        yield from (f"{place}/{date}/{task}" for task in exchange.names(f"{place}/{date}"))


def _labels(folder: str) -> Mapping[str, str]:
    """Those of the newest attempt at a task."""
    attempts = [one for one in exchange.names(folder) if one.startswith("attempt-")]
    newest = max(attempts, key=lambda one: (len(one), one), default="")
    text = exchange.get(f"{folder}/{newest}/{exchange.TASK}")
    return parsed(text, folder).labels if text is not None else {}


def clear(context: RunContext, killed: Collection[str]) -> None:
    """Delete the Jobs that killed runs for the same date have left and nobody goes on with: their steps are done.

    Those of steps that it will compute in the cluster are taken over, or deleted, when it comes to them; those of
    steps that were not selected are left to the run that selects them.
    """
    loaded = context.loaded
    over = {names.label_value(run) for run in killed}
    wanted = {
        planned.name
        for planned in context.plan.steps
        if planned.runtime != HERE and planned.decision.action is not Action.REUSE
    }
    labels = {
        names.PIPELINE: names.label_value(loaded.pipeline.pipeline),
        names.LOGICAL_DATE: loaded.logical_date.isoformat(),
        names.TARGET: names.label_value(loaded.target),
    }
    cluster = cluster_of(loaded)
    with closing(Api(cluster)) as api:
        for job in api.jobs(labels):
            steps = set((job.metadata.annotations or {}).get(names.FULL_STEPS, "").split(","))
            if job.metadata.labels.get(names.RUN_ID) in over and steps.isdisjoint(wanted):
                api.delete(str(job.metadata.name))
                url = str(job.spec.template.spec.containers[0].args[-1])
                if url.startswith(f"{cluster.tasks.rstrip('/')}/"):
                    exchange.forget(url)
                say(f"odibi: Job {job.metadata.name} of a run that was killed is deleted")
