"""What is known of a pipeline's inputs and columns without a look at anything outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from sqlglot import exp

from odibi.config.check import is_sql_file
from odibi.config.load import beside
from odibi.config.loaded import Loaded
from odibi.config.models import Step, StepType
from odibi.datasets.source import Seen, Source
from odibi.engines.database import Database
from odibi.errors import OdibiError
from odibi.observe import Observed, observe
from odibi.plan import Plan, build
from odibi.relational.bind import Binder
from odibi.relational.rules import closing_cast
from odibi.relational.schema import Schema, schema_of
from odibi.testing.scratch import home_in, in_scratch, moved

__all__ = ["known_plan", "others_of"]


def known_plan(loaded: Loaded, folder: Path) -> Plan:
    """The plan of the pipeline if nothing were there but what its config declares.

    Its steps have their inputs, and the columns of their datasets where a declared ``schema:`` or the
    binder tells them.

    Raises:
        ConfigError: a step is wrong.
    """
    steps = [(at, _unread(loaded, step, folder)) for at, step in enumerate(loaded.pipeline.steps)]
    others = others_of(loaded)
    plain = in_scratch(loaded, steps, folder, others)
    with (
        Database(home_in(folder).scratch(plain.run_id), threads=1) as db,
        closing(Binder(loaded.now)) as binder,
    ):
        seen = observe(plain, db)
        found = tuple(
            _declared(observed, step)
            for observed, step in zip(seen.steps, loaded.pipeline.steps, strict=True)
        )
        external = {dataset: _external(dataset, others, folder) for dataset in (*seen.external, *seen.absent)}
        return build(plain, replace(seen, steps=found, external=external, absent={}), binder=binder)


def others_of(loaded: Loaded) -> Mapping[str, Loaded]:
    """The pipelines that inputs or queries name, moved to where nothing is."""
    found = dict(loaded.others)
    texts = " ".join(_sql(loaded, step) for step in loaded.pipeline.steps if step.type is StepType.SQL)
    for name in loaded.neighbours():
        if name not in found and re.search(rf"\b{re.escape(name)}\"?\s*\.", texts):
            with suppress(OdibiError):  # then it is something else that is called so
                other = beside(loaded, name)
                found |= {name: other} if other is not None else {}
    return {name: in_scratch(other, _written_nowhere(other), Path("absent")) for name, other in found.items()}


def _written_nowhere(other: Loaded) -> list[tuple[int, Step]]:
    return [
        (at, step if step.write is None else step.model_copy(update={"write": moved(other, step.write)}))
        for at, step in enumerate(other.pipeline.steps)
    ]


def _sql(loaded: Loaded, step: Step) -> str:
    file = loaded.find(step.value.strip()) if is_sql_file(step) else None
    return step.value if file is None else file.read_text("utf-8", errors="replace")


def _unread(loaded: Loaded, step: Step, folder: Path) -> Step:
    """The step writing to the folder, and reading what is not there."""
    changes: dict[str, object] = {"write": moved(loaded, step.write)} if step.write is not None else {}
    if step.ingests:
        changes |= {"value": str(folder / "absent" / f"{step.name}.parquet"), "params": {}}
    if step.stores:
        changes |= {"value": str(folder / "absent" / step.name), "params": {}}
    return step.model_copy(update=changes)


def _declared(observed: Observed, step: Step) -> Observed:
    """What was observed of a read, with the columns that its config declares."""
    if not step.ingests:
        return observed
    schema: Schema | None = None
    declared, filename = step.params.get("schema"), step.params.get("filename")
    if isinstance(declared, Mapping):
        named = {**declared, **({str(filename): "VARCHAR"} if filename else {})}
        with suppress(OdibiError):  # a type that there is not: said by odibi validate
            schema = closing_cast(exp.select("1"), schema_of(named))[1]
    return replace(observed, missing=None, seen=Seen("", schema=schema))


def _external(dataset: str, others: Mapping[str, Loaded], folder: Path) -> tuple[Source, Seen]:
    """Another pipeline's table as far as its own config tells."""
    name, _, table = dataset.rpartition(".")
    schema: Schema | None = None
    if name in others:
        with suppress(OdibiError):  # what is wrong there is said where that pipeline is validated
            plan = known_plan(others[name], folder / name)
            schemas = {d.lower(): s for step in plan.steps for d, s in step.schemas.items()}
            schema = schemas.get(table.lower())
    return Source("", "parquet"), Seen("", schema=schema)
