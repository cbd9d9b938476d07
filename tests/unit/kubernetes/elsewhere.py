"""A runtime of tests: tasks are done by real workers, in processes of this machine instead of pods."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from odibi.errors import KubernetesError, Transient, elsewhere
from odibi.kubernetes import exchange
from odibi.kubernetes.outcomes import outcomes
from odibi.kubernetes.result import WorkerResult, parsed
from odibi.kubernetes.task import read_by, task_of
from odibi.plan.model import PlannedStep
from odibi.record.model import PodRecord
from odibi.run.context import RunContext
from odibi.run.outcome import Outcome
from odibi.run.task import undone

__all__ = ["Processes", "worked"]


def worked(url: str, home: Path, **environ: str) -> tuple[int, WorkerResult | None, str]:
    """A worker in a process of its own, in an empty folder: its exit code, what it left, and what it printed."""
    home.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "POD_NAME": "pod-1", "ODIBI_HOME": str(home / "odibi"), **environ}
    done = subprocess.run(
        [sys.executable, "-m", "odibi", "worker", url], cwd=home, env=env, capture_output=True, text=True, check=False
    )  # fmt: skip
    place = f"{url.rpartition('/')[0]}/{exchange.result_of('pod-1')}"
    text = exchange.get(place)
    return done.returncode, parsed(text, place) if text is not None else None, done.stdout + done.stderr


class Processes:
    """Instead of a cluster. ``given`` are the steps of each task, in the order in which they were given.

    With more than one of ``pods`` the last of them finds what the others have done, and nobody was told of that.
    A number in ``killed`` is how many of its steps the next worker has done when it is killed.
    """

    pods: ClassVar[int] = 1

    given: ClassVar[list[list[str]]] = []
    broken: ClassVar[list[Exception]] = []
    killed: ClassVar[list[int]] = []

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.folder = context.loaded.pipeline.kubernetes

    def attempt(self, steps: Sequence[PlannedStep], stopped: Callable[[], bool]) -> Mapping[str, Outcome]:
        self.given.append([planned.name for planned in steps])
        if self.broken:
            raise self.broken.pop()
        assert self.folder is not None
        if self.killed:
            return self._killed(steps)
        return self._worked(steps)

    def _killed(self, steps: Sequence[PlannedStep]) -> Mapping[str, Outcome]:
        if done := steps[: self.killed.pop(0)]:
            self._worked(done)
        lines = tuple(f"line {number}" for number in range(50))
        pod = PodRecord(
            name=f"pod-{len(self.given)}", job="j", status="Failed", reason="Error, exit code 137", exit_code=137, log=lines
        )  # fmt: skip
        error = elsewhere(Transient(f"{pod.name} failed: exit code 137"), exit_code=137, log=lines)
        return undone(self.context, steps, error, (pod,))

    def _worked(self, steps: Sequence[PlannedStep]) -> Mapping[str, Outcome]:
        assert self.folder is not None
        task = task_of(self.context.loaded, steps, self.context.fence, read_by(self.context, steps))
        folder = f"{self.folder.tasks}/{task.task}-{len(self.given)}"
        exchange.put(f"{folder}/{exchange.TASK}", task.model_dump_json())
        for number in range(self.pods):
            code, result, printed = worked(f"{folder}/{exchange.TASK}", Path(folder) / f"home-{number}")
        if result is None or result.error:
            raise KubernetesError(f"exit code {code}: {result.error if result is not None else printed}")
        return outcomes(steps, result, ())

    def close(self) -> None:
        pass
