"""What a pod is to do, as a document: steps, date, run, and the texts they are declared by.

It holds references, never what they stand for: secrets are looked up where the steps run. Functions are not in
it: they are in the image, and a worker that finds others than the run was planned with refuses the task.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from odibi.config.base import Frozen
from odibi.config.check import is_sql_file
from odibi.config.runtime import WorkloadClass
from odibi.errors import Permanent
from odibi.plan.model import PlannedStep
from odibi.record.rows import reason
from odibi.run.retry import policy_of

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.datasets.delta import Fence
    from odibi.run.context import RunContext

__all__ = ["VERSION", "Task", "parsed", "read_by", "task_of"]

VERSION = 2
"""The version of the document; a worker of another odibi may know only older ones.

The first had nothing of where executors go, which is all that was added since.
"""


class Task(Frozen):
    """Steps of a run, to be computed elsewhere.

    Attributes:
        version: of the document.
        task: identifies the work: the same steps, declared alike, for the same date and inputs have the same.
        config: which of ``files`` is the pipeline.
        files: texts by where they stand beside the config.
        engine: of steps that name none.
        steps: what is to be computed, by name.
        spark: whether any of them is computed by Spark.
        code: the code version that each was planned with.
        retries: how often each may be tried again there; a run that had to give them there again has fewer left.
        fence: the lock of the run that every commit carries.
        labels: of everything in the cluster that belongs to it.
        annotations: of the same.
        workload_class: by which executors are placed, as the pod of the driver is.
        excluded_nodes: where executors should not run, if there are others.
    """

    version: int = VERSION
    task: str
    pipeline: str
    run_id: str
    logical_date: str
    target: str
    params: dict[str, Any] = {}
    config: str
    config_hash: str
    files: dict[str, str]
    engine: str
    steps: tuple[str, ...]
    code: dict[str, str]
    fresh: bool = False
    rebuild: bool = False
    spark: bool = False
    retries: dict[str, int] = {}
    fence: tuple[str, int] | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    workload_class: WorkloadClass = "ComputeIntensive"
    excluded_nodes: tuple[str, ...] = ()


def task_of(
    loaded: Loaded, steps: Sequence[PlannedStep], fence: Fence | None, read: Mapping[str, str] | None = None
) -> Task:
    """The task of computing these steps of a plan.

    Args:
        loaded: the config.
        steps: in an order in which they can run.
        fence: the lock of the run.
        read: what :func:`read_by` says: with the code it tells tasks apart. Their keys do not, because a plan made
            before these datasets knows none.

    Raises:
        Permanent: a pipeline that was built in Python cannot be sent anywhere.
    """
    if not Path(loaded.file).is_file():
        raise Permanent(
            "a pipeline built in Python has no file that a worker could be given",
            hint="declare it in a file, or run it here",
        )
    config = Path(loaded.file).name
    code = {planned.name: planned.code for planned in steps}
    own = {planned.name: dict(planned.own) for planned in steps}
    fresh, rebuild = any(planned.fresh for planned in steps), any(planned.rebuild for planned in steps)
    day = loaded.logical_date.isoformat()
    params = json.loads(json.dumps(dict(loaded.params), default=str))
    to = sorted(target.url for planned in steps for group in planned.targets.values() for target in group)
    same = [
        *(loaded.pipeline.pipeline, day, loaded.target, params, code, own, dict(read or {}), fresh, rebuild),
        to,
    ]
    return Task(
        task=hashlib.blake2b(json.dumps(same, sort_keys=True).encode(), digest_size=10).hexdigest(),
        pipeline=loaded.pipeline.pipeline,
        run_id=loaded.run_id,
        logical_date=day,
        target=loaded.target,
        params=params,
        config=config,
        config_hash=loaded.config_hash,
        files=dict(_files(loaded)),
        engine=loaded.pipeline.engine,
        steps=tuple(code),
        spark=any(planned.engine == "spark" for planned in steps),
        code=code,
        fresh=fresh,
        rebuild=rebuild,
        retries={one.name: policy_of(loaded.pipeline, one.step).max_retries for one in steps},
        fence=tuple(fence) if fence is not None else None,
    )


def read_by(context: RunContext, steps: Sequence[PlannedStep]) -> dict[str, str]:
    """The data version of each dataset that the steps read and do not make, as it is now.

    What is not kept is made there once more: then the code counts that makes it, and the data that it reads.
    """
    makers = {made: planned for planned in context.plan.steps for made in planned.step.outputs.values()}
    engine = context.engine("duckdb")
    there = {dataset for planned in steps for dataset in planned.step.outputs.values()}
    found: dict[str, str] = {}
    waiting = [dataset for planned in steps for dataset in planned.inputs.values()]
    while waiting:
        dataset = waiting.pop()
        maker = makers.get(dataset)
        if dataset in found or dataset in there:
            continue
        if maker is None or maker.targets.get(dataset):
            found[dataset] = context.dataset(dataset, engine).version
        else:
            found[dataset] = maker.code
            waiting += maker.inputs.values()
    return dict(sorted(found.items()))


def _files(loaded: Loaded) -> Iterator[tuple[str, str]]:
    """The texts that declare the pipeline, by where a worker is to put them beside its config."""
    home = Path(loaded.file).parent
    origins = (document.file for document, _ in loaded.document.origins.values())
    for file in dict.fromkeys((loaded.file, *origins)):
        yield os.path.relpath(file, home), Path(file).read_text("utf-8")
    for step in loaded.pipeline.steps:
        found = loaded.find(step.value.strip()) if is_sql_file(step) else None
        if found is not None:
            yield step.value.strip(), found.read_text("utf-8")
    for other in loaded.others.values():
        yield from _files(other)


def parsed(text: str, place: str) -> Task:
    """The task of a document.

    Raises:
        Permanent: it is no task, or one of a newer odibi.
    """
    try:
        data = json.loads(text)
        version = data.get("version") if isinstance(data, Mapping) else None
        if isinstance(version, int) and version > VERSION:
            raise Permanent(
                f"{place} is a task of version {version}, this odibi knows {VERSION}",
                hint="build the image with the odibi that submits",
            )
        return Task.model_validate(data)
    except (ValueError, ValidationError) as error:
        raise Permanent(f"{place} is no task: {reason(error)}") from error
