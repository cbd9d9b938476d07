"""What of a pipeline's runs is in a cluster, for those who want to kill it there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from odibi.config.runtime import Kubernetes
from odibi.errors import Unavailable
from odibi.kubernetes import names
from odibi.kubernetes.client import Api
from odibi.kubernetes.follow import is_executor

__all__ = ["Victims"]

PATIENCE = 60.0
"""Seconds in which a cluster must say what there is."""

PAUSE = 1.0
"""Seconds before it is asked again."""


class Victims:
    """The pods and Jobs of a pipeline.

    Args:
        config: of the cluster.
        pipeline: its name.
        spark: whether any of its steps has executors.

    Raises:
        KubernetesError: no cluster is described.
    """

    def __init__(self, config: Kubernetes, pipeline: str, *, spark: bool) -> None:
        self.victims: tuple[str, ...] = ("executor", "pod") if spark else ("pod",)
        self._api = Api(config)
        self._labels = {names.PIPELINE: names.label_value(pipeline)}

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()

    def kill(self, victim: str) -> bool:
        """Delete one that works, at once: the pod of a Job, or an executor. False while there is none.

        Raises:
            KubernetesError: the cluster refuses to list or to delete pods.
        """
        try:
            for pod in self._api.pods(self._labels):
                phase = pod.status.phase if pod.status is not None else ""
                if phase == "Running" and is_executor(pod) == (victim == "executor"):
                    return self._api.end(str(pod.metadata.name))
        except Unavailable:  # it may answer the next time; the run is told of that itself
            pass
        return False

    def alive(self) -> list[str]:
        """The Jobs and pods there are, whatever they do.

        Raises:
            KubernetesError: the cluster refuses to list them.
            Unavailable: it does not answer for a minute.
        """
        found = [
            (kind, one)
            for kind, listed in (("Job", self._api.jobs), ("pod", self._api.pods))
            for one in self._patiently(listed)
        ]
        return [f"{kind} {one.metadata.name}" for kind, one in found]

    def _patiently(self, listed: Callable[[Mapping[str, str]], list[Any]]) -> list[Any]:
        """What is listed, asked for again while the cluster does not answer."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return listed(self._labels)
            except Unavailable:
                if time.monotonic() > until:
                    raise
            time.sleep(PAUSE)
