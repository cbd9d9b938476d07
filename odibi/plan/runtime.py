"""Where a step runs: as it says, as is said for its layer or the pipeline, or by the size of what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from odibi.config.models import Pipeline, Step
from odibi.operations.memory import size_of

__all__ = ["Place", "may_leave", "runtime_of"]

Place = Literal["local", "kubernetes"]


def runtime_of(pipeline: Pipeline, step: Step, size: int | None = None) -> Place:
    """Where a step that reads ``size`` bytes runs; ``auto`` is here where nobody knows how many these are."""
    for_all = pipeline.runtime
    said = for_all.get(step.layer, "local") if isinstance(for_all, Mapping) else for_all
    named = step.runtime or said
    if named != "auto":
        return named
    if pipeline.kubernetes is None or size is None:
        return "local"
    return "kubernetes" if size > size_of(pipeline.kubernetes.threshold) else "local"


def may_leave(pipeline: Pipeline) -> bool:
    """Whether any step may run in the cluster."""
    said = pipeline.runtime.values() if isinstance(pipeline.runtime, Mapping) else (pipeline.runtime,)
    return any(each not in (None, "local") for each in (*said, *(step.runtime for step in pipeline.steps)))
