"""What the cluster would refuse, or a pod could not do: told with the plan, before anything runs. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from odibi.config.runtime import Kubernetes
from odibi.errors import Permanent
from odibi.kubernetes import sidecar
from odibi.kubernetes.jobs import given_to
from odibi.plan.model import PlannedStep
from odibi.plan.runtime import places

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.errors import Problem

__all__ = ["objections"]

_SHARED = "keep it in object storage, or below the mount of a claim or host_path in kubernetes.volumes"


def objections(
    loaded: Loaded, steps: Sequence[PlannedStep], makers: Mapping[str, PlannedStep]
) -> Iterator[Problem]:
    """A problem for each thing that keeps steps from running in the cluster.

    Args:
        loaded: the config.
        steps: those that are to run there.
        makers: the steps of the plan, by the datasets that they make.
    """
    cluster = loaded.pipeline.kubernetes
    if cluster is None:  # a check of the config asks for one
        return
    if not _is_reached(cluster, cluster.tasks):
        message = f"tasks: pods and who starts the run must both reach {cluster.tasks!r}"
        yield loaded.problem(("kubernetes", "tasks"), message, _SHARED)
    for planned in steps:
        at, name = ("steps", planned.index), planned.name
        for url in dict.fromkeys(places(planned, makers)):
            if not _is_reached(cluster, url):
                message = f"step {name!r} runs on kubernetes, where nothing is mounted at {url}"
                yield loaded.problem(at, message, _SHARED)
        if planned.engine == "spark" and cluster.spark_image is None:
            message = f"step {name!r} runs on kubernetes and needs Spark, and no image with it is named"
            yield loaded.problem(at, message, "give kubernetes.spark_image")
        if sidecar.is_beside(planned, cluster) and sidecar.PASSWORD not in cluster.secrets:
            message = (
                f"step {name!r} runs on kubernetes with PostgreSQL beside it, and has no password for that"
            )
            hint = f"give kubernetes.secrets.{sidecar.PASSWORD}: {{secret: ..., key: ...}}"
            yield loaded.problem(at, message, hint)
        try:
            given_to(planned, cluster.spark)
        except Permanent as error:
            message = f"step {name!r} runs on kubernetes: {error.message}"
            yield loaded.problem((*at, "resources"), message, error.hint)


def _is_reached(cluster: Kubernetes, url: str) -> bool:
    """Whether pods see the same there as everybody: it is a URL, or below what pods share."""
    path = url.removeprefix("file://")
    if "://" in path:
        return True
    whole = PurePosixPath(posixpath.normpath(path))
    return any(whole.is_relative_to(mount.mount) for mount in cluster.volumes if mount.shared)
