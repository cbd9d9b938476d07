"""What a pipeline is for: the results of its last steps, as Arrow tables, for who runs it from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from odibi.datasets.delta import last_commit
from odibi.datasets.source import Source, look, read
from odibi.engines import ENGINES
from odibi.engines.database import Database
from odibi.errors import Permanent
from odibi.plan.model import PlannedStep
from odibi.record.model import StepRecord, StepStatus
from odibi.run.context import RunContext

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.home import Home

__all__ = ["final_result"]


def final_result(context: RunContext, records: Mapping[str, StepRecord], home: Home) -> Callable[[], Any]:
    """What gives the output of the last step; of several, a mapping from step (or dataset) to output.

    Delta tables are read when asked for, at the version this run left; what is kept nowhere is kept here.
    """
    read_on: set[str] = set()
    last: list[tuple[PlannedStep, str]] = []
    for planned in reversed(context.plan.steps):
        made = planned.step.outputs.values()
        taken_part = records[planned.name].status is not StepStatus.SKIPPED
        if taken_part:
            last += [(planned, dataset) for dataset in made if dataset not in read_on]
        if not planned.step.stores and (taken_part or not read_on.isdisjoint(made)):
            read_on.update(planned.inputs.values())
    getters = {
        planned.name if len(planned.step.outputs) == 1 else dataset: _getter(context, planned, dataset, home)
        for planned, dataset in reversed(last)
        if records[planned.name].status in (StepStatus.COMPLETED, StepStatus.REUSED)
    }
    if len(last) == 1:
        return next(iter(getters.values()), lambda: None)
    return lambda: {name: get() for name, get in getters.items()}


def _getter(context: RunContext, planned: PlannedStep, dataset: str, home: Home) -> Callable[[], pa.Table]:
    targets = planned.targets.get(dataset, ())
    if targets and targets[0].format == "delta":
        commit = last_commit(targets[0].url)
        source = Source(targets[0].url, "delta", version=commit.version if commit is not None else None)
        return partial(_kept, source, home, context.loaded.run_id)
    engine = context.engine(planned.engine)
    table: pa.Table = engine.to_arrow(context.dataset(dataset, engine).frame).read_all()
    return lambda: table


def _kept(source: Source, home: Home, run_id: str) -> pa.Table:
    with Database(home.scratch(run_id)) as db:
        engine = ENGINES.get("duckdb")(db)  # whoever wrote the table
        seen = look(db, source)
        if seen is None:
            raise Permanent(f"the table {source.url} is gone")
        frame, _ = read(engine, source, seen)
        table: pa.Table = engine.to_arrow(frame).read_all()
        return table
