"""Everything ``odibi doctor`` tells: the machine, the places of a pipeline, and the checklist."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from odibi.doctor import machine
from odibi.doctor.checklist import examined
from odibi.doctor.model import Case, Finding, Level
from odibi.doctor.places import asks_others, reached, written_to
from odibi.errors import ConfigError, OdibiError, Problem
from odibi.home import Home
from odibi.orchestrator import plan
from odibi.record.model import RunStatus

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.plan import Plan

__all__ = ["case_of", "examine"]


def examine(loaded: Loaded | None, home: Home, *, offline: bool = False) -> tuple[Finding, ...]:
    """Look at the machine, and at a pipeline if one is given. Changes nothing.

    Args:
        loaded: the config.
        home: where odibi keeps its own files.
        offline: ask no other machine.
    """
    folders = [home.path, *([] if loaded is None else written_to(loaded))]
    with_spark = _uses_spark(loaded) if loaded is not None else find_spec("pyspark") is not None
    asks_store = not (offline and home.state.startswith("postgres"))
    found = [
        *machine.this_python(),
        *machine.libraries(spark=with_spark),
        *(machine.spark() if with_spark else ()),
        *machine.disks(folders),
        *machine.folders(folders),
        *machine.zones(),
        *(machine.store(home) if asks_store else ()),
    ]
    if loaded is None:
        return tuple(found)
    if offline and asks_others(loaded):
        resumed = asks_store and _resumed(loaded, home)
        return (*found, *reached(loaded, offline=True), *examined(Case(loaded, resumed=resumed)))
    case, problems = case_of(loaded, home)
    return (*found, *reached(loaded, offline=offline), _planned(problems), *examined(case))


def case_of(loaded: Loaded, home: Home) -> tuple[Case, tuple[Problem, ...]]:
    """What is known of a pipeline, and why it cannot be planned, if so; then less is known."""
    resumed = _resumed(loaded, home)
    try:
        made = plan(loaded, home=home)
    except ConfigError as error:
        return Case(loaded, resumed=resumed), tuple(error.problems)
    return _seen(loaded, made, resumed=resumed), ()


def _seen(loaded: Loaded, made: Plan, *, resumed: bool) -> Case:
    return Case(
        loaded,
        columns={
            step.name: tuple(column.name for schema in step.schemas.values() for column in schema or ())
            for step in made.steps
        },
        sizes={step.name: step.seen.size for step in made.steps if step.seen is not None},
        upstream={step.name: step.upstream for step in made.steps},
        resumed=resumed,
    )


def _planned(problems: tuple[Problem, ...]) -> Finding:
    question = "Can a run be planned?"
    if not problems:
        return Finding("plan", "Places", question, Level.PASS, "it can")
    first = problems[0]
    more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
    return Finding(
        "plan", "Places", question, Level.FAIL, first.message + more, f"{first.file}:{first.line}",
        first.hint or "odibi validate tells all",
    )  # fmt: skip


def _uses_spark(loaded: Loaded) -> bool:
    pipeline = loaded.pipeline
    named = {pipeline.engine, *pipeline.engines.values(), *(step.engine for step in pipeline.steps)}
    return "spark" in named


def _resumed(loaded: Loaded, home: Home) -> bool:
    """Whether a run that went on from a checkpoint succeeded; a store that cannot be read as it is knows none."""
    if not home.has_state:
        return False
    from odibi.record.migrations import MIGRATIONS, version
    from odibi.record.store import RunStore

    try:
        with RunStore(home.state) as store:
            with store.database.read() as connection:
                if version(connection) != MIGRATIONS[-1].version:
                    return False
            runs = store.runs(loaded.pipeline.pipeline, limit=200)
    except OdibiError:
        return False
    return any(run.status is RunStatus.SUCCEEDED and run.resumed_from for run in runs)
