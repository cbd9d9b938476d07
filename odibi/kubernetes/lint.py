"""What is wrong with manifests before a cluster sees them. Pure, but for the published schema, if it is installed.

Each rule is a function from a workload to findings; :data:`RULES` is the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from odibi.config.quantity import quantity
from odibi.kubernetes.names import NAME
from odibi.kubernetes.security import security
from odibi.kubernetes.told import Finding, listed, mapping

__all__ = ["RULES", "Finding", "lint"]

Json = Mapping[str, Any]

_PINNED = re.compile(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[\w][\w.-]{0,127}$")
_INSTALLS = re.compile(r"\b(pip3?|uv|poetry|conda|apt|apt-get|apk|npm)\s+(\w+\s+)?(install|add)\b")
_WAITS = re.compile(r"\b(until|while)\b.*\bdo\b.*\bsleep\b", re.DOTALL)
_PYTHON = re.compile(r"^\s*(import \w|from [\w.]+ import |def \w+\(|class \w+[(:])", re.MULTILINE)
_SCRATCH = re.compile(
    r"(^|[/_.-])(tmp|temp|scratch|cache|caches|run|shm|spill|home|local)([/_.-]|$)|^postgres-"
)


@dataclass(frozen=True)
class _Workload:
    """A manifest that has pods, with the parts that rules look at."""

    labelled: Mapping[str, Json]  # what has labels: its metadata, and those of its pods
    job: Json | None  # the spec of the Job, where it is one
    at_job: str
    pod: Json
    at: str
    containers: tuple[tuple[str, Json], ...]


_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Job", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"),
        ("spec", "template"),
    ),
}
"""Where kinds that make pods say what these are."""


def lint(manifest: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with a ConfigMap, or with what makes pods; other kinds are held against the schema."""
    from odibi.kubernetes.published import against_schema

    found = list(against_schema(manifest))
    if manifest.get("kind") == "ConfigMap":
        found += _no_code(manifest)
    workload = _workload(manifest)
    if workload is not None:
        found += [finding for rule in RULES for finding in rule(workload)]
    return found


def _workload(manifest: Json) -> _Workload | None:
    kind = str(manifest.get("kind"))
    path = _TEMPLATES.get(kind)
    if path is None:
        return None
    template = manifest
    for key in path:
        template = mapping(template.get(key))
    job = manifest
    for key in path[:-1]:
        job = mapping(job.get(key))
    at = ".".join((*path, "spec"))
    pod = mapping(template.get("spec"))
    return _Workload(
        labelled={
            ".".join((*each, "metadata.labels")): mapping(mapping(one.get("metadata")).get("labels"))
            for each, one in (((), manifest), (path, template))
        },
        job=job if kind in ("Job", "CronJob") else None,
        at_job=".".join(path[:-1]),
        pod=pod,
        at=at,
        containers=tuple(
            (f"{at}.{key}[{number}]", container)
            for key in ("initContainers", "containers")
            for number, container in listed(pod.get(key))
        ),
    )


def _ends(workload: _Workload) -> Iterator[Finding]:
    """A Job that never ends, or stays for ever."""
    if workload.job is None:
        return
    wanted = {
        "activeDeadlineSeconds": ("nothing ends it if it hangs", "say after how many seconds it is ended"),
        "ttlSecondsAfterFinished": ("it stays when it has ended", "say after how many seconds it is deleted"),
        "backoffLimit": ("it does not say how often a pod is followed by another", "such as 3"),
    }
    for key, (message, hint) in wanted.items():
        if workload.job.get(key) is None:
            yield Finding(f"{workload.at_job}.{key}", message, hint)
    if workload.pod.get("restartPolicy") != "Never":
        message = "the container is started again in its pod, whose logs of the first time are gone"
        yield Finding(f"{workload.at}.restartPolicy", message, "Never")


def _labels(workload: _Workload) -> Iterator[Finding]:
    for at, labels in workload.labelled.items():
        if NAME not in labels:
            yield Finding(
                f"{at}[{NAME}]", "nothing finds it", f"give it the label {NAME}, and what it is part of"
            )


def _account(workload: _Workload) -> Iterator[Finding]:
    if workload.pod.get("serviceAccountName") in (None, "", "default"):
        message = "it runs as the service account that all pods of the namespace share"
        yield Finding(
            f"{workload.at}.serviceAccountName", message, "name one of its own, with the rights it needs"
        )


def _images(workload: _Workload) -> Iterator[Finding]:
    for at, container in workload.containers:
        if not _PINNED.search(str(container.get("image", ""))):
            message = f"the image {container.get('image', '')!r} is another one tomorrow"
            yield Finding(f"{at}.image", message, "end it with a tag other than latest, or with a digest")


def _resources(workload: _Workload) -> Iterator[Finding]:
    for at, container in workload.containers:
        resources = mapping(container.get("resources"))
        requests, limits = mapping(resources.get("requests")), mapping(resources.get("limits"))
        for name in ("cpu", "memory"):
            if name not in requests:
                yield Finding(
                    f"{at}.resources.requests.{name}", "nobody knows what it needs", f"request {name}"
                )
        if "memory" not in limits:
            message = "it may take all the memory of its node"
            yield Finding(f"{at}.resources.limits.memory", message, "limit it")
        for name in sorted(requests.keys() & limits.keys()):
            if _more(str(requests[name]), str(limits[name])):
                message = f"it requests {requests[name]}, and its limit is {limits[name]}"
                yield Finding(f"{at}.resources.requests.{name}", message, "request no more than the limit")


def _more(request: str, limit: str) -> bool:
    try:
        return quantity(request) > quantity(limit)
    except ValueError:
        return False  # forms that are rare; the schema allows them


def _probes(workload: _Workload) -> Iterator[Finding]:
    """A server beside the work must say when it is ready; the work itself is no server."""
    for at, container in workload.containers:
        if container.get("restartPolicy") == "Always" and not (
            container.keys() & {"startupProbe", "readinessProbe"}
        ):
            message = "what comes after it starts before it is ready"
            yield Finding(f"{at}.startupProbe", message, "give it a startupProbe")


def _commands(workload: _Workload) -> Iterator[Finding]:
    for at, container in workload.containers:
        for key in ("command", "args"):
            given = container.get(key)
            text = " ".join(map(str, given)) if isinstance(given, list | tuple) else str(given or "")
            if found := _INSTALLS.search(text):
                message = f"it installs packages when it starts ({found[0]})"
                yield Finding(f"{at}.{key}", message, "build them into the image")
            if _WAITS.search(text):
                message = "it waits in a loop for something that another pod does"
                yield Finding(f"{at}.{key}", message, "start it when the other one has succeeded")


def _shared_data(workload: _Workload) -> Iterator[Finding]:
    """Data in an emptyDir: no other pod ever sees it."""
    for number, volume in listed(workload.pod.get("volumes")):
        name = str(volume.get("name", ""))
        if "emptyDir" not in volume:
            continue
        mounts = [
            str(mount.get("mountPath", ""))
            for _, container in workload.containers
            for _, mount in listed(container.get("volumeMounts"))
            if mount.get("name") == name
        ]
        if not all(_SCRATCH.search(each) for each in mounts) and not _SCRATCH.search(name):
            where = ", ".join(mounts)
            message = f"what is written to {where} is gone with this pod, and no other one sees it"
            hint = "use a persistentVolumeClaim or a URL for data, and a path such as /tmp for scratch"
            yield Finding(f"{workload.at}.volumes[{number}].emptyDir", message, hint)


def _no_code(manifest: Json) -> Iterator[Finding]:
    """Code in a ConfigMap has another version than the image that runs it."""
    for key, text in mapping(manifest.get("data")).items():
        if str(key).endswith(".py") or _PYTHON.search(str(text)):
            yield Finding(f"data[{key}]", "it holds Python code", "build the code into the image")


def _secure(workload: _Workload) -> Iterator[Finding]:
    yield from security(workload.pod, workload.at, workload.containers)


RULES = (_ends, _labels, _account, _images, _resources, _probes, _commands, _secure, _shared_data)
