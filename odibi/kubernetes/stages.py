"""Jobs made from templates rather than from a plan: the four stages.

Each does one command of odibi with the code of its image. Data goes from one to the next through a claim or an
object store, and whoever starts the next one has seen the end of the one before: no pod waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from odibi.config.models import Step
from odibi.config.runtime import Kubernetes, WorkloadClass
from odibi.errors import Permanent
from odibi.kubernetes import names
from odibi.kubernetes.request import JobRequest, of_cluster
from odibi.plan.select import select

__all__ = ["STAGES", "Stage", "pipeline_request", "stages"]


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

_WORK = "/work"
"""The folder of an image where a project is."""


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
            backoff_limit=_backoff(cluster, stage.backoff_limit),
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
        backoff_limit=_backoff(cluster, 2),
        deadline=cluster.deadline_seconds or sum(stage.deadline for stage in STAGES),
        labels={**common.labels, names.STEP: "run", names.STEP_TYPE: "pipeline"},
        annotations={**common.annotations, names.FULL_TASK: "run"},
    )


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
    return replace(
        of_cluster(cluster),
        backoff_limit=_backoff(cluster, 3),
        labels={name: value for name, value in labels.items() if value},
        annotations={names.FULL_PIPELINE: pipeline},
        working_dir=shared.mount if shared is not None else "",
    )


def _backoff(cluster: Kubernetes, otherwise: int) -> int:
    return cluster.backoff_limit if cluster.backoff_limit is not None else otherwise


def _pair(given: tuple[str, str]) -> dict[str, str]:
    return dict(zip(("cpu", "memory"), given, strict=True))


def _asked(target: str, params: Sequence[str]) -> tuple[str, ...]:
    """The arguments of a run for that target with these parameters."""
    return ("--target", target, *(word for one in params for word in ("--param", one)))
