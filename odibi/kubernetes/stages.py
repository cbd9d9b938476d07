"""Jobs made from templates rather than from a plan: fetching, SQL with PostgreSQL beside it, the four stages.

Each does one command of odibi with the code of its image. Data goes from one to the next through a claim or an
object store, and whoever starts the next one has seen the end of the one before: no pod waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from odibi.config.models import Step
from odibi.config.runtime import Kubernetes, Mount, SecretKey, WorkloadClass
from odibi.errors import Permanent
from odibi.kubernetes import names
from odibi.kubernetes.manifest import job
from odibi.kubernetes.pods import SCRATCH, container_security
from odibi.kubernetes.request import JobRequest
from odibi.plan.select import select

__all__ = ["STAGES", "Stage", "fetch", "pipeline_request", "sql_with_postgres", "stages"]

Json = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One of the stages of a pipeline: its steps, and what its Job may take."""

    name: str
    select: tuple[str, ...]
    workload_class: WorkloadClass
    backoff_limit: int
    deadline: int
    requests: tuple[str, str]
    limits: tuple[str, str]


_ANALYTICS = "analytics"

STAGES = (
    Stage(
        "ingestion",
        ("--select", "layer:bronze"),
        "NetworkIntensive",
        3,
        600,
        ("200m", "256Mi"),
        ("500m", "512Mi"),
    ),
    Stage(
        "validation",
        ("--select", "layer:silver"),
        "ComputeIntensive",
        2,
        300,
        ("200m", "256Mi"),
        ("500m", "512Mi"),
    ),
    Stage(
        "transformation",
        ("--select", "layer:gold", "--exclude", "tag:analytics"),
        "ComputeIntensive",
        2,
        300,
        ("300m", "512Mi"),
        ("600m", "1Gi"),
    ),
    Stage(
        "analytics",
        ("--select", "tag:analytics"),
        "ComputeIntensive",
        2,
        300,
        ("300m", "512Mi"),
        ("600m", "1Gi"),
    ),
)
"""The stages in their order, with the steps that each of them runs."""

SQL = "/etc/odibi/sql"
_WORK = "/work"
"""The folder of an image where a project is."""

POSTGRES = "docker.io/library/postgres:17.6-bookworm"


def stages(
    cluster: Kubernetes,
    pipeline: str,
    config: str,
    *,
    run_id: str,
    target: str,
    date: str,
    params: Sequence[str] = (),
    steps: Sequence[Step] | None = None,
) -> tuple[JobRequest, ...]:
    """The Jobs of the four stages: each runs its steps of a config that the image holds.

    Args:
        cluster: the image, and the claim (or nothing, where connections name URLs) through which data is handed on.
        pipeline: its name.
        config: the config's file in the image.
        run_id: tells these Jobs from those of another day.
        target: whose connections apply.
        date: the logical date.
        params: values of variables, each as ``name=value``.
        steps: of the config; a stage without any has no Job. If None, each stage has some.
    """
    common = _common(cluster, pipeline, run_id, target, date)
    return tuple(
        replace(
            common,
            name=names.job_name(pipeline, stage.name, run_id, 1),
            args=("run", _absolute(config), *selection, "--date", date, *_asked(target, params)),
            requests=_pair(stage.requests),
            limits=_pair(stage.limits),
            backoff_limit=stage.backoff_limit,
            deadline=stage.deadline,
            workload_class=stage.workload_class,
            labels={
                **common.labels,
                names.STEP: stage.name,
                names.STEP_TYPE: "stage",
                names.STAGE: stage.name,
            },
            annotations={**common.annotations, names.FULL_TASK: stage.name},
        )
        for stage in STAGES
        if (selection := _selection(stage, steps))
    )


def _selection(stage: Stage, steps: Sequence[Step] | None) -> tuple[str, ...]:
    """What selects the steps of a stage, nothing where there are none: a selector that means nothing is an error."""
    if steps is None:
        return stage.select
    before: dict[str, tuple[str, ...]] = {step.name: () for step in steps}
    tagged = any(_ANALYTICS in step.tags for step in steps)
    arguments = stage.select if tagged else stage.select[:2]
    try:
        select(steps, before, arguments[1:2], arguments[3:4])
    except Permanent:
        return ()
    return arguments


def pipeline_request(
    cluster: Kubernetes, pipeline: str, config: str, *, target: str, params: Sequence[str] = ()
) -> JobRequest:
    """One Job that runs a whole pipeline, for a CronJob to make: the last run's name says nothing of the next."""
    common = _common(cluster, pipeline, "", target)
    return replace(
        common,
        name=names.job_name(pipeline, "run", target, 0),
        args=("run", _absolute(config), *_asked(target, params)),
        requests=_pair(("300m", "512Mi")),
        limits=_pair(("600m", "1Gi")),
        backoff_limit=2,
        deadline=cluster.deadline_seconds or sum(stage.deadline for stage in STAGES),
        labels={**common.labels, names.STEP: "run", names.STEP_TYPE: "pipeline"},
        annotations={**common.annotations, names.FULL_TASK: "run"},
    )


def fetch(
    cluster: Kubernetes,
    pipeline: str,
    step: str,
    config: str,
    *,
    server: str,
    path: str,
    bucket: str,
    run_id: str,
) -> JobRequest:
    """The Job that fetches the files of a step from an SFTP server into a bucket."""
    common = _common(cluster, pipeline, run_id)
    return replace(
        common,
        name=names.job_name(pipeline, step, run_id, 1),
        args=("run", _absolute(config), "--select", step),
        env={**cluster.env, "SFTP_SERVER": server, "SFTP_PATH": path, "OUTPUT_BUCKET": bucket},
        requests=_pair(("500m", "512Mi")),
        limits=_pair(("1", "1Gi")),
        backoff_limit=3,
        deadline=600,
        workload_class="NetworkIntensive",
        labels={**common.labels, names.STEP: step, names.STEP_TYPE: "fetch", names.STAGE: "bronze"},
        annotations={**common.annotations, names.FULL_TASK: step},
    )


def sql_with_postgres(
    cluster: Kubernetes,
    pipeline: str,
    step: str,
    config: str,
    *,
    sql: str,
    password: SecretKey,
    run_id: str,
    postgres: str = POSTGRES,
    input_bucket: str = "data-staging",
    output_bucket: str = "data-processed",
) -> Json:
    """The Job of a SQL transform that PostgreSQL computes, for steps that ask for it (``operation: postgres``).

    The database is a sidecar: it is ready before the step starts, and ends with it.

    Args:
        cluster: the image and what pods are given.
        pipeline: its name.
        step: the step's name.
        config: the config's file in the image.
        sql: the ConfigMap that holds the query, mounted as a file.
        password: the key of a Secret, a random one, that both containers get.
        run_id: of the run.
        postgres: the image of the database.
        input_bucket: where its input tables are.
        output_bucket: where its result goes.
    """
    common = _common(cluster, pipeline, run_id)
    buckets = {"INPUT_BUCKET": input_bucket, "OUTPUT_BUCKET": output_bucket}
    request = replace(
        common,
        name=names.job_name(pipeline, step, run_id, 1),
        args=("run", _absolute(config), "--select", step),
        env={**cluster.env, "PG_HOST": "127.0.0.1", "PG_USER": "odibi", **buckets},
        secrets={**cluster.secrets, "PG_PASSWORD": password},
        volumes=(*cluster.volumes, Mount(name="sql", mount=SQL, config_map=sql)),
        requests=_pair(("1", "2Gi")),
        limits=_pair(("4", "8Gi")),
        deadline=300,
        labels={**common.labels, names.STEP: step, names.STEP_TYPE: "sql", names.STAGE: "gold"},
        annotations={**common.annotations, names.FULL_TASK: step},
    )
    manifest = job(request)
    pod = manifest["spec"]["template"]["spec"]
    pod["initContainers"] = [_database(postgres, cluster.pull_policy, password)]
    pod["volumes"] += [{"name": name, "emptyDir": {}} for name in _DATABASE_SCRATCH]
    return manifest


_DATABASE_SCRATCH = {
    "postgres-scratch": "/var/lib/postgresql/data",
    "postgres-run": "/var/run/postgresql",
    "postgres-tmp": SCRATCH,
}
"""What a database that lives as long as its pod writes."""


def _database(image: str, pull_policy: str, password: SecretKey) -> Json:
    secret = {"secretKeyRef": {"name": password.secret, "key": password.key}}
    env = {"POSTGRES_USER": "odibi", "POSTGRES_DB": "odibi", "PGDATA": "/var/lib/postgresql/data/odibi"}
    ready = ["pg_isready", "--host", "127.0.0.1", "--username", "odibi", "--dbname", "odibi"]
    check = {"exec": {"command": ready}}
    return {
        "name": "postgres",
        "image": image,
        "imagePullPolicy": pull_policy,
        "restartPolicy": "Always",  # what makes an init container a sidecar
        "args": ["-c", "listen_addresses=127.0.0.1"],
        "env": [
            *({"name": name, "value": value} for name, value in env.items()),
            {"name": "POSTGRES_PASSWORD", "valueFrom": secret},
        ],
        # The step starts when this one has succeeded, not merely when the process exists.
        "startupProbe": {**check, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**check, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
        "securityContext": container_security(),
        "volumeMounts": [{"name": name, "mountPath": at} for name, at in _DATABASE_SCRATCH.items()],
    }


def _absolute(config: str) -> str:
    """Where the image has it: what a config calls by relative paths may be on the claim, the config is not."""
    return str(PurePosixPath(_WORK, config))


def _common(cluster: Kubernetes, pipeline: str, run_id: str, target: str = "", date: str = "") -> JobRequest:
    labels = {
        names.PIPELINE: names.label_value(pipeline),
        names.RUN_ID: names.label_value(run_id),
        names.TARGET: names.label_value(target) if target else "",
        names.LOGICAL_DATE: date,
        names.VERSION: names.label_value(names.odibi_version()),
    }
    shared = next((volume for volume in cluster.volumes if volume.shared), None)
    return JobRequest(
        name="",
        image=cluster.image,
        namespace=cluster.namespace or "",
        env=cluster.env,
        secrets=cluster.secrets,
        volumes=cluster.volumes,
        ttl=cluster.ttl_seconds,
        labels={name: value for name, value in labels.items() if value},
        annotations={names.FULL_PIPELINE: pipeline},
        service_account=cluster.service_account,
        priority=cluster.priority,
        pull_policy=cluster.pull_policy,
        node_selector=cluster.node_selector,
        profile=cluster.profile,
        working_dir=shared.mount if shared is not None else "",
    )


def _pair(given: tuple[str, str]) -> dict[str, str]:
    return dict(zip(("cpu", "memory"), given, strict=True))


def _asked(target: str, params: Sequence[str]) -> tuple[str, ...]:
    """The arguments of a run for that target with these parameters."""
    return ("--target", target, *(word for one in params for word in ("--param", one)))
