"""``odibi plan`` and ``odibi ls``: what would be done and why; which steps a selection means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from odibi.cli.config import load_config
from odibi.cli.exits import Exit, UsageError
from odibi.cli.runs import not_found
from odibi.cli.terminal import Cell, paint, say, say_json, table
from odibi.errors import Permanent
from odibi.plan.runtime import HERE

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.plan.model import Plan, PlannedStep

__all__ = ["as_data", "ls", "plan"]

_COLOURS = {"run": "green", "reuse": "cyan", "skip": "dim"}


def plan(
    *, config: str | None, given: Mapping[str, Any], select: Sequence[str] | None, exclude: Sequence[str] | None,
    canonical: bool, lineage: bool, output: str, full_refresh: bool = False, no_cache: bool = False,
    resume: bool = False, dry: bool = False,
) -> int:  # fmt: skip
    """Print the plan, or the config in canonical form."""
    loaded = load_config(config, **given)
    if canonical:
        _print_canonical(loaded, output)
        return Exit.SUCCESS
    from odibi.orchestrator import plan as planned

    with not_found():
        the_plan = planned(
            loaded,
            chosen=select or (),
            excluded=exclude or (),
            full_refresh=full_refresh,
            no_cache=no_cache,
            resume=resume,
        )
    origins = the_plan.lineage() if lineage else None
    if output == "json":
        say_json(as_data(loaded, the_plan) | ({"lineage": origins} if origins is not None else {}))
        return Exit.SUCCESS
    _print(loaded, the_plan)
    if origins is not None:
        say()
        say(_lineage(origins))
    if dry:
        say("dry run: nothing was run and nothing changed")
    return Exit.SUCCESS


def as_data(loaded: Loaded, the_plan: Plan) -> dict[str, Any]:
    """The plan as JSON data."""
    from odibi.plan.model import Action

    return {
        "pipeline": loaded.pipeline.pipeline,
        "config": loaded.file,
        "date": loaded.logical_date.isoformat(),
        "target": loaded.target,
        "steps": [_step(step) for step in the_plan.steps],
        "totals": {str(action): the_plan.count(action) for action in Action},
    }


def _step(step: PlannedStep) -> dict[str, Any]:
    return {
        "name": step.name,
        "layer": str(step.step.layer),
        "node": str(step.node),
        "operation": step.operation,
        "engine": step.engine,
        "runtime": step.runtime,
        "action": str(step.decision.action),
        "reason": step.decision.reason,
        "inputs": dict(step.inputs),
        "upstream": list(step.upstream),
        "outputs": {
            dataset: None if schema is None else {column.name: column.type for column in schema}
            for dataset, schema in step.schemas.items()
        },
        "writes": [target.url for group in step.targets.values() for target in group],
        "bound": list(step.bound),
        "warnings": list(step.warnings),
    }


def _print(loaded: Loaded, the_plan: Plan) -> None:
    rows: list[Sequence[Cell]] = []
    for step in the_plan.steps:
        action = str(step.decision.action)
        engine = step.engine if step.runtime == HERE else f"{step.engine} on {step.runtime}"
        rows.append((step.step.layer, step.name, (action, _COLOURS[action]), engine, step.decision.reason))
    say(table(("Layer", "Step", "Action", "Engine", "Reason"), rows))
    for step in the_plan.steps:
        if step.bound:
            say(f"note: {step.name} runs on {step.engine} only, because of {', '.join(step.bound)}")
        for warning in step.warnings:
            say(f"{paint('warning', 'yellow')}: {step.name}: {warning}")
    say()
    totals = as_data(loaded, the_plan)["totals"]
    counts = ", ".join(f"{number} to {action}" for action, number in totals.items() if number)
    say(f"{loaded.pipeline.pipeline} for {loaded.logical_date}: {counts}")


def _lineage(origins: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (dataset, column, ", ".join(found["direct"]), ", ".join(found["indirect"]))
        for dataset, columns in origins.items()
        for column, found in columns.items()
    ]
    return table(("Dataset", "Column", "Made from", "Depends on"), rows)


def _print_canonical(loaded: Loaded, output: str) -> None:
    data = loaded.pipeline.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if output == "json":
        say_json(data)
        return
    import yaml

    say(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100).rstrip())


def ls(
    *, config: str | None, given: Mapping[str, Any], select: Sequence[str] | None, exclude: Sequence[str] | None,
    output: str,
) -> int:  # fmt: skip
    """Print the names of the steps that are meant, with their layer and what they do."""
    from odibi.engines.database import Database
    from odibi.home import Home
    from odibi.observe import observe
    from odibi.plan.build import graph
    from odibi.plan.select import select as meant

    loaded = load_config(config, **given)
    with Database(Home.find().scratch(loaded.run_id), threads=1) as db:
        upstream = graph(observe(loaded, db))
    try:
        names = meant(loaded.pipeline.steps, upstream, select or (), exclude or ())
    except Permanent as error:
        raise UsageError(error.message, hint=error.hint) from error
    rows = [
        (step.name, str(step.layer), str(step.type)) for step in loaded.pipeline.steps if step.name in names
    ]
    if output == "json":
        say_json([dict(zip(("name", "layer", "type"), row, strict=True)) for row in rows])
    else:
        say(table(("Step", "Layer", "Type"), rows))
    return Exit.SUCCESS
