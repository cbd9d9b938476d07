"""What is asked of a cluster: one Job, as a value that knows nothing of manifests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from odibi.config.runtime import Kubernetes, Mount, SecretKey, WorkloadClass

__all__ = ["JobRequest", "of_cluster"]


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """One Job with one pod, or with several that do the same.

    Attributes:
        name: of the Job, a DNS label.
        namespace: empty where whoever submits it knows.
        command: in place of the image's own; empty leaves that.
        env: environment variables of the container.
        secrets: variables whose values are keys of Secrets of the cluster.
        requests: what a pod is sure to get, by name of the resource (``cpu``, ``memory``, ``ephemeral-storage``).
        limits: the most that a pod may take.
        backoff_limit: how many pods that failed are followed by another.
        ttl: seconds that it stays after its end; None keeps it.
        deadline: seconds after which it is ended; None lets it take as long as it takes.
        parallelism: how many of its pods run at a time; None is one.
        completions: how many of its pods must succeed; None is one.
        token: whether its pods talk to the cluster, as the service account.
        node_selector: labels that the nodes of its pods must have.
        node_selectors: such labels by workload class, in place of the profile's.
        profile: ``seed`` places pods by workload class.
        excluded_nodes: names of nodes where its pods should not run, if there are others.
        postgres: the image of a PostgreSQL beside it, which shares its password; empty for none.
        ports: that its pods listen on, by name.
        working_dir: of the container; empty is the image's own.
    """

    name: str
    image: str
    namespace: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Mount, ...] = ()
    backoff_limit: int = 3
    ttl: int | None = 3600
    deadline: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    service_account: str = "odibi"
    token: bool = False
    workload_class: WorkloadClass = "ComputeIntensive"
    priority: Literal["critical", "high", "normal", "low"] | None = None
    parallelism: int | None = None
    completions: int | None = None
    excluded_nodes: tuple[str, ...] = ()
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_selectors: Mapping[WorkloadClass, Mapping[str, str]] = field(default_factory=dict)
    profile: Literal["none", "seed"] = "none"
    postgres: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    working_dir: str = ""


def of_cluster(cluster: Kubernetes) -> JobRequest:
    """What all pods of a pipeline are given alike; who asks for some lays the rest over it."""
    return JobRequest(
        name="",
        image=cluster.image,
        namespace=cluster.namespace or "",
        env=cluster.env,
        secrets=cluster.secrets,
        volumes=cluster.volumes,
        ttl=cluster.ttl_seconds,
        service_account=cluster.service_account,
        priority=cluster.priority,
        pull_policy=cluster.pull_policy,
        node_selector=cluster.node_selector,
        node_selectors=cluster.node_selectors,
        profile=cluster.profile,
    )
