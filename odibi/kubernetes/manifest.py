"""A request as the manifests that Kubernetes understands. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from odibi.kubernetes import names, sidecar
from odibi.kubernetes.pods import (
    HOME,
    SCRATCH,
    away_from,
    container_security,
    environment,
    mounts,
    pod_security,
    volumes,
)
from odibi.kubernetes.request import JobRequest
from odibi.kubernetes.workload import CPU_LABEL, affinity, node_selector, tolerations

__all__ = [
    "FINAL_EXIT_CODES",
    "cron_job",
    "job",
    "labels",
    "placed",
    "priority_class",
    "priority_classes",
    "variables",
]

Json = dict[str, Any]

FINAL_EXIT_CODES = (1, 2, 4, 5)
"""The exit codes of odibi after which another pod would do no better: without a result they mean Permanent.

1: the step failed, which has been told, and whoever asked for it decides about another attempt; 2: the config is
wrong; 4: its time is over; 5: what it is about is not there. All else is Transient, for it may have been the machine:
3 (a store that cannot be reached, a full disk), 137 (out of memory, a node that is gone), 143 (ended from outside).
"""

_PRIORITIES = {"low": 1_000, "normal": 10_000, "high": 100_000, "critical": 1_000_000}


def job(request: JobRequest) -> Json:
    """The Job that is asked for."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(request),
        "spec": _job_spec(request),
    }


def cron_job(request: JobRequest, schedule: str) -> Json:
    """A CronJob that makes such a Job at every time of ``schedule`` (UTC), one after the other."""
    template = _metadata(request)
    del template["name"]  # the CronJob names its Jobs
    template.pop("namespace", None)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _metadata(request),
        "spec": {
            "schedule": schedule,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            # A controller that was away for longer makes up for one, not for all that it missed.
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"metadata": template, "spec": _job_spec(request)},
        },
    }


def priority_class(priority: str) -> str:
    """The name of the PriorityClass of a priority."""
    return f"odibi-{priority}"


def priority_classes() -> list[Json]:
    """The four of them, the least important first."""
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": priority_class(priority), "labels": dict(names.MANAGED)},
            "value": value,
            "globalDefault": False,
            # What waits for its turn anyway throws nobody out.
            "preemptionPolicy": "Never" if priority == "low" else "PreemptLowerPriority",
            "description": f"Pipelines of {priority} priority",
        }
        for priority, value in _PRIORITIES.items()
    ]


def _metadata(request: JobRequest) -> Json:
    metadata: Json = {"name": request.name}
    if request.namespace:
        metadata["namespace"] = request.namespace
    return metadata | {"labels": labels(request), "annotations": dict(request.annotations)}


def labels(request: JobRequest) -> Json:
    """Those of the Job and of all its pods."""
    given = {name: names.label_value(value) for name, value in request.labels.items()}
    own = {names.WORKLOAD_CLASS: request.workload_class.lower()}
    if request.workload_class == "ComputeIntensive":
        own[CPU_LABEL] = "true"
    return {**names.MANAGED, **given, **own}


def _job_spec(request: JobRequest) -> Json:
    numbers = {
        "backoffLimit": request.backoff_limit,
        "ttlSecondsAfterFinished": request.ttl,
        "activeDeadlineSeconds": request.deadline,
        "parallelism": request.parallelism,
        "completions": request.completions,
    }
    return {name: value for name, value in numbers.items() if value is not None} | {
        "podReplacementPolicy": "Failed",  # two pods of one task would write at the same time
        "podFailurePolicy": _failure_policy(),
        "template": {
            "metadata": {"labels": labels(request), "annotations": dict(request.annotations)},
            "spec": _pod_spec(request),
        },
    }


def _failure_policy() -> Json:
    """The first rule that fits decides; a failure that none fits counts against the backoff limit."""
    evicted = {"type": "DisruptionTarget", "status": "True"}
    final = {"containerName": names.CONTAINER, "operator": "In", "values": list(FINAL_EXIT_CODES)}
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [evicted]},
            {"action": "FailJob", "onExitCodes": final},
        ]
    }


def _pod_spec(request: JobRequest) -> Json:
    return {
        "restartPolicy": "Never",
        "serviceAccountName": request.service_account,
        "automountServiceAccountToken": request.token,
        "enableServiceLinks": False,  # a Service of any name would put variables into the step's environment
        "securityContext": pod_security(),
        **({"initContainers": [_database(request)]} if request.postgres else {}),
        "containers": [_container(request)],
        "volumes": [*volumes(request.volumes), *(sidecar.VOLUMES if request.postgres else ())],
        **placed(request),
    }


def _database(request: JobRequest) -> Json:
    told = variables(replace(request, env={}, secrets={}))
    return sidecar.database(request.postgres, request.pull_policy, told, request.secrets[sidecar.PASSWORD])


def placed(request: JobRequest) -> Json:
    """Which nodes its pods get, and before whom, as keys of their spec."""
    of_class = request.node_selectors.get(
        request.workload_class, node_selector(request.workload_class, request.profile)
    )
    found: Json = {
        "priorityClassName": priority_class(request.priority) if request.priority is not None else "",
        "nodeSelector": {**of_class, **request.node_selector},
        "tolerations": tolerations(request.workload_class, request.profile),
        "affinity": {**away_from(request.excluded_nodes), **affinity(request.workload_class)},
    }
    return {name: value for name, value in found.items() if value}


def _container(request: JobRequest) -> Json:
    ports = [{"name": name, "containerPort": number} for name, number in request.ports.items()]
    resources = {
        side: dict(given)
        for side, given in (("requests", request.requests), ("limits", request.limits))
        if given
    }
    optional: Json = {
        "command": list(request.command),
        "args": list(request.args),
        "workingDir": request.working_dir,
        "ports": ports,
    }
    return {
        "name": names.CONTAINER,
        "image": request.image,
        "imagePullPolicy": request.pull_policy,
        **{name: value for name, value in optional.items() if value},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": variables(request),
        "resources": resources,
        "securityContext": container_security(),
        "volumeMounts": mounts(request.volumes),
    }


def variables(request: JobRequest) -> list[Json]:
    """What a container is told: what a config may change, what it says, and what it may not change."""
    said = request.annotations
    found = {
        "HOME": SCRATCH,
        "ODIBI_HOME": HOME,
        "ENABLE_METRICS": "true",
        **request.env,
        "PIPELINE_NAME": said.get(names.FULL_PIPELINE, request.labels.get(names.PIPELINE, "")),
        "STEP_NAME": said.get(names.FULL_TASK, request.labels.get(names.STEP, "")),
        "WORKLOAD_CLASS": request.workload_class,
    }
    plain = {name: value for name, value in found.items() if name not in request.secrets}
    return environment(plain, request.secrets)
