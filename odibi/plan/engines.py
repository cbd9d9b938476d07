"""Which engine computes a step: the one it names, its layer's, the pipeline's, or by the size of what it reads."""

from __future__ import annotations

from odibi.config.models import Pipeline, Step
from odibi.observe import Observation, Observed
from odibi.operations.memory import size_of

__all__ = ["Sizes", "engine_of", "shown", "size_of", "too_large"]


def shown(size: float) -> str:
    """A size for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


class Sizes:
    """The bytes that each step reads: of files and tables as they stand, else as much as made them."""

    def __init__(self, observation: Observation) -> None:
        self._producers = {d: o for o in observation.steps for d in o.step.outputs.values()}
        self._external = observation.external
        self._known: dict[str, int] = {}

    def of(self, observed: Observed) -> int:
        """The bytes a step reads."""
        name = observed.step.name
        if name not in self._known:
            self._known[name] = 0  # a cycle is told elsewhere
            own = observed.seen.size if observed.seen is not None else 0
            self._known[name] = own + sum(self._dataset(each) for each in set(observed.inputs.values()))
        return self._known[name]

    def _dataset(self, name: str) -> int:
        if name in self._external:
            return self._external[name][1].size
        producer = self._producers.get(name)
        if producer is None:
            return 0
        standing = producer.standing.get(name)
        return standing.bytes if standing is not None and standing.bytes is not None else self.of(producer)


def engine_of(pipeline: Pipeline, step: Step, size: int) -> tuple[str, str]:
    """The engine of a step that reads ``size`` bytes; why, where its size decided."""
    named = step.engine or pipeline.engines.get(step.layer) or pipeline.engine
    if named != "auto":
        return named, ""
    large = size > size_of(pipeline.engine_threshold)
    engine, than = ("spark", "above") if large else ("duckdb", "not above")
    return engine, f"on {engine}: it reads {shown(size)}, {than} {pipeline.engine_threshold}"


def too_large(pipeline: Pipeline, engine: str, size: int) -> tuple[str, ...]:
    """A warning for a step on pandas that reads more than Spark is for."""
    if engine != "pandas" or size <= size_of(pipeline.engine_threshold):
        return ()
    return (
        f"it reads {shown(size)} into memory, above {pipeline.engine_threshold}: engine auto or spark would fit",
    )
