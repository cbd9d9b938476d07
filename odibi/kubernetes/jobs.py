"""Which Jobs a plan means: the steps that run in the cluster, as requests. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from odibi.config.models import Node, StepType
from odibi.config.quantity import quantity
from odibi.config.runtime import Kubernetes, SparkPods, WorkloadClass
from odibi.datasets.fetching import WAREHOUSES, is_served
from odibi.errors import Permanent
from odibi.kubernetes import names, sidecar
from odibi.kubernetes.pods import SCRATCH
from odibi.kubernetes.request import JobRequest, of_cluster
from odibi.kubernetes.spark import PORTS
from odibi.kubernetes.workload import BASE, Given, classify, largest, merged, mib, most
from odibi.operations.memory import size_of
from odibi.plan.model import Plan, PlannedStep
from odibi.plan.runtime import groups

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = [
    "called",
    "deadline_of",
    "given_to",
    "job_request",
    "labels_of",
    "requests_of",
    "workload_class_of",
]

DEADLINES = {Node.INGEST: 600, Node.CONNECT: 600}
DEADLINE = 300
"""Seconds that the Job of a step may take where nothing says otherwise: ingesting, and all else."""

FETCHING = Given({"cpu": "500m", "memory": "512Mi"}, {"cpu": "1", "memory": "1Gi"})
"""What fetching from an SFTP server takes: files are written as they come."""

BESIDE_POSTGRES = Given({"cpu": "1", "memory": "2Gi"}, {"cpu": "4", "memory": "8Gi"})
"""What is left to a step whose SQL a PostgreSQL beside it computes."""

GROWTH = 1.25
ROOM = 512 * 2**20
"""A process that may have so much memory takes some more, and so does the worker beside it."""


def job_request(
    loaded: Loaded,
    steps: Sequence[PlannedStep],
    *,
    name: str,
    task_url: str,
    task: str,
    run_id: str,
    attempt: int,
    excluded_nodes: Sequence[str] = (),
    short: int = 0,
) -> JobRequest:
    """The Job that does some steps of a run, one attempt of it.

    Args:
        loaded: the config.
        steps: those that it does, at least one.
        name: what they are called together: the step's name, or the layer's.
        task_url: where the worker finds what is to be done.
        task: identifies that, whichever run and attempt it is done for.
        run_id: of the run.
        attempt: its number; each has a Job of its own.
        excluded_nodes: where it failed before.
        short: how often it failed for want of memory.

    Raises:
        Permanent: the config names no cluster, or what it says of resources cannot be.
    """
    cluster = cluster_of(loaded)
    spark = any(step.engine == "spark" for step in steps)
    postgres = any(sidecar.is_beside(step, cluster) for step in steps)
    pipeline = loaded.pipeline
    given = most(given_to(step, cluster.spark, short) for step in steps)
    workload_class = largest(workload_class_of(step) for step in steps)
    return replace(
        of_cluster(cluster),
        name=names.job_name(pipeline.pipeline, name, run_id, attempt),
        image=(spark and cluster.spark_image) or cluster.image,
        args=("worker", task_url),
        env={
            **_told(steps, spark=spark, postgres=postgres),
            **cluster.env,
            **(sidecar.TOLD if postgres else {}),
        },
        requests=given.requests,
        limits=given.limits,
        backoff_limit=cluster.backoff_limit or 0,  # the run counts attempts
        deadline=deadline_of(loaded, steps),
        labels=labels_of(loaded, steps, name=name, task=task, run_id=run_id),
        annotations={
            names.CONFIG_HASH: loaded.config_hash,
            names.FULL_PIPELINE: pipeline.pipeline,
            names.FULL_STEPS: ",".join(step.name for step in steps),
            names.FULL_TASK: name,
            names.ATTEMPT: str(attempt),
        },
        token=spark,  # a driver starts its executors; nobody else talks to the cluster
        workload_class=workload_class,
        excluded_nodes=tuple(excluded_nodes),
        postgres=cluster.postgres_image if postgres else "",
        ports=PORTS if spark else {},
    )


def _told(steps: Sequence[PlannedStep], *, spark: bool, postgres: bool) -> Mapping[str, str]:
    """What the pod of these steps is told beside what all are."""
    found = {"SPARK_LOCAL_DIRS": f"{SCRATCH}/spark"} if spark else {}
    if postgres:
        found |= {"INPUT_BUCKET": "data-staging", "OUTPUT_BUCKET": "data-processed"}
    fetched = [step for step in steps if _is_fetched(step)]
    if len(fetched) == 1 and fetched[0].source is not None:
        at = urlsplit(fetched[0].source.url)
        targets = [target.url for group in fetched[0].targets.values() for target in group]
        found |= {"SFTP_SERVER": at.netloc.rpartition("@")[2], "SFTP_PATH": at.path}
        found |= {"OUTPUT_BUCKET": targets[0]} if targets else {}
    return found


def _is_fetched(step: PlannedStep) -> bool:
    """Whether its files come from an SFTP server."""
    return step.source is not None and step.source.url.startswith("sftp://")


def cluster_of(loaded: Loaded) -> Kubernetes:
    """What the config says of the cluster. Raises Permanent where it says nothing."""
    if loaded.pipeline.kubernetes is None:
        raise Permanent(
            f"{loaded.pipeline.pipeline} names no cluster",
            where=loaded.file,
            hint="give kubernetes: {image, tasks}",
        )
    return loaded.pipeline.kubernetes


def labels_of(
    loaded: Loaded, steps: Sequence[PlannedStep], *, name: str, task: str, run_id: str
) -> Mapping[str, str]:
    """The labels of a Job and of all its pods, in full: they are cut where they become a manifest."""
    types = {str(step.step.type) for step in steps}
    layers = {str(step.step.layer) for step in steps}
    return {
        names.PIPELINE: names.label_value(loaded.pipeline.pipeline),
        names.STEP: names.label_value(name),
        names.STEP_TYPE: types.pop() if len(types) == 1 else "several",
        names.STAGE: layers.pop() if len(layers) == 1 else "several",
        names.RUN_ID: names.label_value(run_id),
        names.VERSION: names.label_value(names.odibi_version()),
        names.TASK: names.label_value(task),
        names.LOGICAL_DATE: loaded.logical_date.isoformat(),
        names.TARGET: names.label_value(loaded.target),
    }


def workload_class_of(step: PlannedStep) -> WorkloadClass:
    """What a step mostly needs: as it says, or by what it does and how much it reads."""
    text = step.script.text if step.script is not None else ""
    return step.step.workload_class or classify(_operation(step), text, step.size)


def _operation(step: PlannedStep) -> str:
    if step.source is not None and (step.source.remote is not None or is_served(step.source.url)):
        return "fetch"
    schemes = {target.url.partition("://")[0].lower() for group in step.targets.values() for target in group}
    if schemes & WAREHOUSES.keys():
        return "warehouse"
    if step.step.type is StepType.SQL:
        return "sql"
    return str(step.step.params.get("operation", ""))


def given_to(step: PlannedStep, spark: SparkPods, short: int = 0) -> Given:
    """What the pod of a step gets: that of its class, or of a Spark driver, with the step's own laid over it.

    Where that was too little memory, it asks for all that it was allowed; each time it was (``short``) it is allowed
    twice as much, up to what the class for much memory allows, unless the config itself sets the limit.

    Raises:
        Permanent: more is requested than allowed.
    """
    own = step.step.resources
    base = _base(step, spark)
    if own is not None and own.memory is not None:
        needs = mib(size_of(own.memory) * GROWTH + ROOM)
        if quantity(base.limits["memory"]) < quantity(needs):
            base = Given(base.requests, {**base.limits, "memory": needs})
    given = merged(base, own)
    drives = step.engine == "spark" and step.step.workload_class is None
    fixed = drives or (own is not None and "memory" in own.limits)
    for _ in range(short):
        limit = quantity(given.limits["memory"])
        bound = limit if fixed else max(limit, quantity(BASE["MemoryIntensive"].limits["memory"]))
        given = Given(
            {**given.requests, "memory": given.limits["memory"]},
            {**given.limits, "memory": mib(float(min(2 * limit, bound)))},
        )
    return given


def _base(step: PlannedStep, spark: SparkPods) -> Given:
    if step.step.workload_class is not None:
        return BASE[step.step.workload_class]
    if step.engine == "spark":
        return _driver(spark)
    if step.step.operation == "postgres":
        return BESIDE_POSTGRES
    return FETCHING if _is_fetched(step) else BASE[workload_class_of(step)]


def _driver(spark: SparkPods) -> Given:
    """A driver computes little itself: its JVM, and the process that commits what the executors wrote."""
    heap = quantity(spark.driver_memory.upper() + "i")
    least, allowed = mib(float(heap) + ROOM), mib(float(heap) + 2 * ROOM)
    return Given({"cpu": "500m", "memory": least}, {"cpu": "2", "memory": allowed})


def deadline_of(loaded: Loaded, steps: Sequence[PlannedStep]) -> int:
    """After how many seconds a Job is ended: a step's timeout, the cluster's deadline, or that of what it does."""
    pipeline = loaded.pipeline
    for_all = pipeline.kubernetes.deadline_seconds if pipeline.kubernetes is not None else None
    if len(steps) == 1:
        seconds = steps[0].step.timeout or for_all or DEADLINES.get(steps[0].node, DEADLINE)
    else:
        seconds = for_all or sum(step.step.timeout or DEADLINES.get(step.node, DEADLINE) for step in steps)
    return max(1, math.ceil(min(seconds, pipeline.timeout_seconds or seconds)))


def called(steps: Sequence[PlannedStep]) -> str:
    """What steps that go to the cluster together are called: a step by its name, others by their layer."""
    return steps[0].name if len(steps) == 1 else str(steps[0].step.layer)


def requests_of(
    loaded: Loaded, plan: Plan, *, run_id: str | None = None, excluded_nodes: Iterable[str] = ()
) -> tuple[JobRequest, ...]:
    """The first Job of every task of a plan, in the order of the graph.

    Raises:
        Permanent: as :func:`job_request` does.
    """
    run = run_id or loaded.run_id
    return tuple(
        job_request(
            loaded,
            steps,
            name=called(steps),
            task_url=f"{cluster_of(loaded).tasks.rstrip('/')}/{run}/{called(steps)}/1",
            task=f"{loaded.pipeline.pipeline}/{called(steps)}/{loaded.logical_date}/{loaded.target}",
            run_id=run,
            attempt=1,
            excluded_nodes=tuple(excluded_nodes),
        )
        for steps in groups(plan.steps)
    )
