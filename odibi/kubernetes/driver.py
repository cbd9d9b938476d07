"""The worker as the driver of Spark: what its session is set to, in the file that Spark looks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from odibi.config.runtime import Kubernetes
from odibi.errors import Permanent
from odibi.kubernetes.spark import conf, executor_pod
from odibi.kubernetes.task import Task

__all__ = ["in_cluster", "lead"]


def lead(cluster: Kubernetes, task: Task, folder: Path, environ: MutableMapping[str, str]) -> None:
    """Let the next session of this process have executors in the cluster; outside of a pod it has its own as ever.

    Args:
        cluster: what the config says of executors.
        task: whose steps they compute.
        folder: for Spark's settings, and the template of executors.
        environ: the environment of the pod; it is told where the settings are.

    Raises:
        Permanent: the pod does not know who it is, or names no image for executors.
    """
    if not in_cluster(environ):
        return
    if cluster.spark_image is None:
        raise Permanent("no image with Spark is named", hint="give kubernetes.spark_image")
    folder.mkdir(parents=True)
    template = folder / "executor.json"  # JSON is YAML
    pod = executor_pod(
        cluster,
        labels=task.labels,
        annotations=task.annotations,
        workload_class=task.workload_class,
        excluded_nodes=task.excluded_nodes,
    )
    template.write_text(json.dumps(pod), "utf-8")
    settings = conf(
        cluster.spark,
        image=cluster.spark_image,
        template=str(template),
        environ=environ,
        pull_policy=cluster.pull_policy,
    )
    (folder / "spark-defaults.conf").write_text(
        _before(environ) + "".join(f"{name} {value}\n" for name, value in settings.items()), "utf-8"
    )
    environ["SPARK_CONF_DIR"] = str(folder)


def in_cluster(environ: Mapping[str, str]) -> bool:
    """Whether this is a process of a pod."""
    return "KUBERNETES_SERVICE_HOST" in environ


def _before(environ: MutableMapping[str, str]) -> str:
    """What the image says already, such as where its jars are."""
    home = environ.get("SPARK_HOME")
    place = environ.get("SPARK_CONF_DIR") or (f"{home}/conf" if home else None)
    file = Path(place or "/nowhere", "spark-defaults.conf")
    return file.read_text("utf-8").rstrip("\n") + "\n" if file.is_file() else ""
