"""``odibi worker``: the steps of a task, computed as any run computes them; who submitted it is told what came of it.

Nobody else is: hooks, metrics, checkpoints and locks are with the run that the task is a part of.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from odibi import orchestrator
from odibi.config.alerts import Alerts
from odibi.config.lineage import LineageTo
from odibi.config.load import load
from odibi.config.loaded import Loaded
from odibi.datasets.delta import Fence
from odibi.errors import ConfigError, OdibiError, Permanent, Problem
from odibi.home import Home
from odibi.kubernetes import exchange
from odibi.kubernetes.driver import in_cluster, lead
from odibi.kubernetes.result import WorkerResult, lines, of_run
from odibi.kubernetes.task import Task, parsed
from odibi.orchestrator import Result
from odibi.places import is_remote
from odibi.plan import Plan
from odibi.record.model import StepRecord
from odibi.run.retry import with_retries

__all__ = ["work"]

_QUIET = {
    "runtime": "local",
    "hooks": (),
    "alerts": Alerts(),
    "metrics": None,
    "lineage": LineageTo(),
    "enable_checkpoints": False,
    "enable_cache": False,
}
"""What of a pipeline is the business of the run that submits."""


class Report(Protocol):
    """Who is told how a run goes."""

    def planned(self, the_plan: Plan) -> None:
        """It is about to start."""

    def changed(self, record: StepRecord) -> None:
        """A step has changed."""

    def ended(self, result: Result, code: int) -> None:
        """It is over."""


def work(
    url: str,
    code_of: Callable[[Result], int],
    report_of: Callable[[Loaded], AbstractContextManager[Report]],
    environ: MutableMapping[str, str] = os.environ,
) -> tuple[int, bool]:
    """Do the task at ``url``, and leave the result beside it.

    Args:
        url: of the task.
        code_of: the exit code of a run.
        report_of: gives who is told how the run goes.
        environ: names the pod and its node; Spark is told by it where its settings are.

    Returns:
        The exit code, and whether a thread of a step still runs.

    Raises:
        ConfigError: there is no such task, or it is one that this worker cannot do.
        OdibiError: it may pass.
    """
    try:
        return _work(url, code_of, report_of, environ)
    except ConfigError:
        raise
    except Permanent as error:
        # Another pod would come to the same, and the exit code of a wrong config says that.
        raise ConfigError([Problem(url, 0, 0, error.message, error.hint)]) from error


def _work(
    url: str,
    code_of: Callable[[Result], int],
    report_of: Callable[[Loaded], AbstractContextManager[Report]],
    environ: MutableMapping[str, str],
) -> tuple[int, bool]:
    begun = datetime.now(UTC)
    text = exchange.get(url)
    if text is None:
        raise Permanent(f"there is no task at {url}", hint="is the volume mounted that tasks names?")
    task = parsed(text, url)
    pod = environ.get("POD_NAME", f"process-{os.getpid()}")
    about: dict[str, Any] = {
        "task": task.task,
        "pod": pod,
        "node": environ.get("NODE_NAME", ""),
        "started_at": begun,
    }
    place = f"{url.rpartition('/')[0]}/{exchange.result_of(pod)}"
    with (
        tempfile.TemporaryDirectory(prefix="odibi-task-") as folder,
        _home(Path(folder), task, url, pod, environ) as home,
    ):
        try:
            loaded = _loaded(task, Path(folder), environ)
            if task.spark and loaded.pipeline.kubernetes is not None:
                lead(loaded.pipeline.kubernetes, task, Path(folder) / "spark", environ)
            with report_of(loaded) as report:

                def planned(plan: Plan) -> None:
                    _same(task, plan)
                    report.planned(plan)

                result = orchestrator.run(
                    loaded,
                    chosen=task.steps,
                    full_refresh=task.rebuild,
                    no_cache=task.fresh,
                    fence=Fence(*task.fence) if task.fence is not None else None,
                    home=home,
                    planned=planned,
                    listener=report.changed,
                )
                code = code_of(result)
                report.ended(replace(result, story=None), code)  # the one of this pod goes with it
        except OdibiError as error:
            said = "; ".join(map(str, error.problems)) if isinstance(error, ConfigError) else error.message
            about |= {"ended_at": datetime.now(UTC), "exit_code": 2 if isinstance(error, Permanent) else 3}
            exchange.put(place, lines(WorkerResult(**about, error=said)))
            raise
    exchange.put(
        place, lines(of_run(result.run, task.steps, **about, ended_at=datetime.now(UTC), exit_code=code))
    )
    return code, result.stuck


SCRATCH = "scratch-"
"""How the folder of a pod is called that its executors share, beside the task."""


@contextmanager
def _home(folder: Path, task: Task, url: str, pod: str, environ: Mapping[str, str]) -> Iterator[Home]:
    """What odibi keeps for itself, of this pod only: another may do the same task later.

    Executors write into it what steps hand over, so that it has to be where they and the driver see the same files:
    beside the task, unless that is in an object store.
    """
    own = folder / "home"
    state = {"ODIBI_STATE": f"sqlite:///{own / 'state.db'}"}
    if not (task.spark and in_cluster(environ)) or is_remote(url):
        yield Home.find({"ODIBI_HOME": str(own), **state})
        return
    beside = Path(url.removeprefix("file://")).parent
    for left in beside.glob(f"{SCRATCH}*"):  # of a pod that was killed
        shutil.rmtree(left, ignore_errors=True)
    shared = beside / f"{SCRATCH}{pod}"
    own.mkdir()
    try:
        yield Home.find({"ODIBI_HOME": str(shared), **state})
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def _loaded(task: Task, folder: Path, environ: Mapping[str, str]) -> Loaded:
    """The pipeline of the task, from texts that are put down in ``folder``."""
    for name, text in task.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise Permanent(f"the task has a file {name!r}, which is not below its config")
        file = folder / "config" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    loaded = load(
        folder / "config" / task.config,
        date=task.logical_date,
        target=task.target,
        params=task.params,
        engine=task.engine,
        run_id=task.run_id,
        environ=environ,
    )
    steps = tuple(
        with_retries(step, task.retries.get(step.name)).model_copy(update={"runtime": None})
        for step in loaded.pipeline.steps
    )
    pipeline = loaded.pipeline.model_copy(update={**_QUIET, "steps": steps})
    return replace(loaded, pipeline=pipeline)


def _same(task: Task, plan: Plan) -> None:
    """Raises Permanent where a step is not the one the run was planned with: its function is in the image."""
    for planned in plan.steps:
        if task.code.get(planned.name, planned.code) != planned.code:
            raise Permanent(
                f"step {planned.name!r} is another one here than where the run was planned: its code differs",
                hint="build the image again, so that it has the functions of now",
            )
