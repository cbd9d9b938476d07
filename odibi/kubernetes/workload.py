"""What a step's pod is given and where it is placed: by what the step mostly needs of a machine."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from odibi.config.quantity import excessive, quantity
from odibi.config.retry import Resources
from odibi.config.runtime import WorkloadClass
from odibi.errors import Permanent

__all__ = [
    "BASE",
    "CPU_LABEL",
    "Given",
    "affinity",
    "classify",
    "largest",
    "merged",
    "mib",
    "most",
    "node_selector",
    "tolerations",
]


@dataclass(frozen=True)
class Given:
    """What a pod is sure to get, and the most it may take."""

    requests: Mapping[str, str]
    limits: Mapping[str, str]


def _given(*rows: tuple[str, str, str]) -> Given:
    return Given(
        MappingProxyType({name: least for name, least, _ in rows}),
        MappingProxyType({name: most for name, _, most in rows}),
    )


BASE: Mapping[WorkloadClass, Given] = {
    "NetworkIntensive": _given(("cpu", "500m", "1"), ("memory", "1Gi", "2Gi")),
    "ComputeIntensive": _given(("cpu", "2", "8"), ("memory", "4Gi", "8Gi")),
    "MemoryIntensive": _given(("cpu", "1", "4"), ("memory", "8Gi", "32Gi")),
    "IOIntensive": _given(("cpu", "1", "4"), ("memory", "2Gi", "8Gi"), ("ephemeral-storage", "10Gi", "50Gi")),
}
"""What the steps of a class get where they do not say otherwise."""

_NODES: Mapping[WorkloadClass, Mapping[str, str]] = {
    "NetworkIntensive": {"workload-type": "network", "network-speed": "10gbps"},
    "ComputeIntensive": {"workload-type": "compute", "cpu-type": "high-performance"},
    "MemoryIntensive": {"workload-type": "memory", "memory-class": "xlarge"},
    "IOIntensive": {"workload-type": "storage", "disk-type": "nvme"},
}

_TAINTS: Mapping[WorkloadClass, str] = {
    "NetworkIntensive": "network-intensive",
    "ComputeIntensive": "compute-intensive",
    "MemoryIntensive": "memory-intensive",
    "IOIntensive": "storage-intensive",
}

CPU_LABEL = "cpu-intensive"
"""The label of pods that rather stay away from each other."""

LARGE = 2 * 2**30
"""Bytes of input from which on a join needs memory more than processors: a quarter of what computing may take."""

_OPERATIONS: Mapping[str, WorkloadClass] = {
    "fetch": "NetworkIntensive",
    "sftp": "NetworkIntensive",
    "http": "NetworkIntensive",
    "api_calls": "NetworkIntensive",
    "load": "IOIntensive",
    "opensearch": "IOIntensive",
    "bigquery": "IOIntensive",
    "warehouse": "IOIntensive",
    "file_processing": "IOIntensive",
    "ml_inference": "ComputeIntensive",
}


def classify(operation: str, sql: str = "", read: int | None = None) -> WorkloadClass:
    """The class of a step that does not name its own.

    Args:
        operation: what it does, such as ``sftp``, ``opensearch`` or ``sql``.
        sql: its text.
        read: the bytes it reads, if they are known. They tell more of a join than its length does.
    """
    joins = re.search(r"\bJOIN\b", sql, re.IGNORECASE) is not None
    if joins and (len(sql) > 1000 if read is None else read > LARGE):
        return "MemoryIntensive"
    return _OPERATIONS.get(operation, "ComputeIntensive")


def largest(classes: Iterable[WorkloadClass]) -> WorkloadClass:
    """Of the classes of steps that share a pod, the one that is given most memory."""
    return max(classes, key=lambda name: quantity(BASE[name].limits["memory"]))


def node_selector(workload_class: WorkloadClass, profile: str) -> dict[str, str]:
    """The labels of the nodes for a class: those of the profile ``seed``, none otherwise."""
    return dict(_NODES[workload_class]) if profile == "seed" else {}


def tolerations(workload_class: WorkloadClass, profile: str) -> list[dict[str, str]]:
    """Of the taint that keeps others off the nodes for a class."""
    if profile != "seed":
        return []
    key = _TAINTS[workload_class]
    return [{"key": key, "operator": "Equal", "value": "true", "effect": "NoSchedule"}]


def affinity(workload_class: WorkloadClass) -> dict[str, Any]:
    """Pods that compute rather run on nodes where no other one does; all others do not care."""
    if workload_class != "ComputeIntensive":
        return {}
    wanted = {"key": CPU_LABEL, "operator": "In", "values": ["true"]}
    term = {"labelSelector": {"matchExpressions": [wanted]}, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def merged(base: Given, own: Resources | None) -> Given:
    """``base`` with what a step says of its own laid over it, value by value.

    Raises:
        Permanent: something would be requested of which less is allowed.
    """
    requests, limits = dict(base.requests), dict(base.limits)
    if own is not None:
        requests.update(own.requests.items())
        limits.update(own.limits.items())
    if said := excessive(requests, limits):
        name = said.rpartition(" of ")[2].partition(",")[0]
        raise Permanent(f"resources: the pod {said}", hint=f"raise limits.{name}, or lower requests.{name}")
    return Given(requests, limits)


def most(given: Iterable[Given]) -> Given:
    """What is enough for every one of them, one after the other."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for one in given:
        for mine, theirs in ((requests, one.requests), (limits, one.limits)):
            for name, value in theirs.items():
                if name not in mine or quantity(value) > quantity(mine[name]):
                    mine[name] = value
    return Given(requests, limits)


def mib(size: float) -> str:
    """So many bytes as a quantity of memory, never less."""
    return f"{math.ceil(size / 2**20)}Mi"
