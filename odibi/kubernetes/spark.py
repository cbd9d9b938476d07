"""Spark in the cluster: the driver in the pod of a Job, executors as pods that it starts and owns. Pure.

The driver is started in client mode by the worker itself: executors find it by the address of its pod, so that no
Service and no DNS is needed, and go when its pod goes, because they belong to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from odibi.config.runtime import Kubernetes, SparkPods, WorkloadClass
from odibi.errors import Permanent
from odibi.kubernetes import names
from odibi.kubernetes.manifest import labels as labels_of
from odibi.kubernetes.manifest import placed, variables
from odibi.kubernetes.pods import container_security, mounts, pod_security, volumes
from odibi.kubernetes.request import of_cluster

__all__ = ["CREDENTIALS", "EXECUTOR", "PORTS", "conf", "executor_pod"]

Json = dict[str, Any]

PORTS = {"driver": 7078, "block-manager": 7079}
"""Where a driver listens: fixed, so that a network policy can name them."""

EXECUTOR = "executor"
"""The name of the executor's container."""

CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds what it needs to talk to the cluster."""

_NEEDED = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "POD_IP", "POD_NAME", "POD_NAMESPACE")


def conf(
    pods: SparkPods,
    *,
    image: str,
    template: str,
    environ: Mapping[str, str],
    pull_policy: str = "IfNotPresent",
) -> dict[str, str]:
    """The settings of a session whose driver is this process.

    Args:
        pods: how many executors, and how large.
        image: of the executors.
        template: a file that holds :func:`executor_pod`.
        environ: the environment of the driver's pod.
        pull_policy: of the image.

    Raises:
        Permanent: this is no pod, or one that was not told who it is.
    """
    if missing := [name for name in _NEEDED if not environ.get(name)]:
        raise Permanent(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: this is not a pod that odibi made",
            hint="a Spark driver runs in the pod of its Job",
        )
    found = {
        **_cluster(environ),
        **_driver(pods, environ),
        **_executors(pods, image, template, environ, pull_policy),
        **_resilience(pods),
        # The log of a Delta table is replayed in that many tasks, by default 50: too many for few small executors.
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    return found | pods.conf


def _cluster(environ: Mapping[str, str]) -> dict[str, str]:
    host = environ["KUBERNETES_SERVICE_HOST"]
    address = f"[{host}]" if ":" in host else host
    return {
        "spark.master": f"k8s://https://{address}:{environ['KUBERNETES_SERVICE_PORT']}",
        "spark.submit.deployMode": "client",
        "spark.kubernetes.namespace": environ["POD_NAMESPACE"],
        "spark.kubernetes.authenticate.caCertFile": f"{CREDENTIALS}/ca.crt",
        "spark.kubernetes.authenticate.oauthTokenFile": f"{CREDENTIALS}/token",
    }


def _driver(pods: SparkPods, environ: Mapping[str, str]) -> dict[str, str]:
    return {
        "spark.kubernetes.driver.pod.name": environ["POD_NAME"],  # the owner of the executors
        "spark.driver.host": environ["POD_IP"],
        "spark.driver.bindAddress": "0.0.0.0",  # noqa: S104 - of the pod
        "spark.driver.port": str(PORTS["driver"]),
        "spark.blockManager.port": str(PORTS["block-manager"]),
        "spark.driver.memory": pods.driver_memory,
    }


def _executors(
    pods: SparkPods, image: str, template: str, environ: Mapping[str, str], pull_policy: str
) -> dict[str, str]:
    found = {
        "spark.kubernetes.container.image": image,
        "spark.kubernetes.container.image.pullPolicy": pull_policy,
        "spark.kubernetes.executor.podNamePrefix": names.prefix(environ["POD_NAME"]),
        "spark.kubernetes.executor.podTemplateFile": template,
        "spark.kubernetes.executor.podTemplateContainerName": EXECUTOR,
        "spark.kubernetes.allocation.batch.delay": "1s",
        "spark.executor.cores": str(pods.cores),
        "spark.executor.memory": pods.memory,
        "spark.executor.instances": str(pods.executors),
    }
    if pods.max_executors is None:
        return found
    return found | {
        "spark.dynamicAllocation.enabled": "true",
        # There is no shuffle service in a cluster: executors whose shuffle files are needed stay.
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.initialExecutors": str(pods.executors),
        "spark.dynamicAllocation.minExecutors": str(pods.executors),
        "spark.dynamicAllocation.maxExecutors": str(pods.max_executors),
    }


def _resilience(pods: SparkPods) -> dict[str, str]:
    """Executors come and go: their blocks move on in time, but where all fail there is an end of it."""
    return {
        "spark.decommission.enabled": "true",
        "spark.kubernetes.decommission.script": "/opt/decommission.sh",
        "spark.storage.decommission.enabled": "true",
        "spark.storage.decommission.rddBlocks.enabled": "true",
        "spark.storage.decommission.shuffleBlocks.enabled": "true",
        "spark.executor.maxNumFailures": str(max(4, 2 * (pods.max_executors or pods.executors))),
        "spark.executor.failuresValidityInterval": "10m",
        "spark.task.maxFailures": "6",
    }


def executor_pod(
    cluster: Kubernetes,
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    workload_class: WorkloadClass,
    excluded_nodes: Sequence[str] = (),
) -> Json:
    """The template of an executor's pod; Spark adds its image, its arguments, its resources and its owner.

    Args:
        cluster: what the pods of the pipeline are given: mounts, variables, nodes.
        labels: of the Job whose driver it is.
        annotations: of that Job.
        workload_class: of its steps.
        excluded_nodes: where it should not run, if there are others.
    """
    request = replace(
        of_cluster(cluster),
        labels=labels,
        annotations=annotations,
        workload_class=workload_class,
        excluded_nodes=tuple(excluded_nodes),
    )
    container: Json = {
        "name": EXECUTOR,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": variables(request),
        "securityContext": container_security(),
        "volumeMounts": mounts(cluster.volumes),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": labels_of(request), "annotations": dict(annotations)},
        "spec": {
            "serviceAccountName": cluster.service_account,
            "automountServiceAccountToken": False,  # executors talk to the driver only
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 30,  # in which what a lost executor holds moves to others
            "securityContext": pod_security(),
            "containers": [container],
            "volumes": volumes(cluster.volumes),
            **placed(request),
        },
    }
