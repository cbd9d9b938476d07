"""A step computed over given rows in a scratch folder, by the orchestrator and its committer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.config.loaded import Loaded
from odibi.config.models import Step, Write, WriteMode
from odibi.datasets.modes import CURRENT, FROM, TO
from odibi.datasets.source import Source, look, read
from odibi.datasets.target import Target
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB
from odibi.errors import ConfigError
from odibi.orchestrator import Result, run
from odibi.plan.model import PlannedStep
from odibi.prove.model import Table
from odibi.quality.quarantine import quarantine_of
from odibi.record.model import StepStatus
from odibi.relational.schema import Column
from odibi.testing.columns import others_of
from odibi.testing.rows import RowError
from odibi.testing.scratch import SCRATCH, home_in, in_scratch, moved, reading, tested

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Computed", "bookkeeping", "compute"]


@dataclass(frozen=True, slots=True)
class Computed:
    """What a step made of its inputs: tables by dataset, and its quarantine; or why it failed."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    quarantine: Table | None = None
    error: str = ""


def bookkeeping(step: Step) -> tuple[str, ...]:
    """The columns that the write of a step adds to those it computes."""
    if step.write is None:
        return ()
    if step.write.mode is WriteMode.SCD2:
        return (FROM, TO, CURRENT)
    column = step.write.logical_date_column
    return (column,) if step.write.mode is WriteMode.APPEND and column is not None else ()


def compute(
    loaded: Loaded, planned: PlannedStep, given: Mapping[str, Table], folder: Path, db: Database, *, forced: bool
) -> Computed:  # fmt: skip
    """Run a step over the rows of its inputs, and over those that its own tables hold before.

    Args:
        loaded: its pipeline, as it really is.
        planned: the step, with all the inputs it has.
        given: rows by dataset.
        folder: the scratch folder.
        db: a database to write and read them with.
        forced: it runs on the pipeline's engine even if it names another one.

    Raises:
        RowError: the rows cannot be made tables.
        Permanent: an engine cannot be had.
        KeyboardInterrupt: a signal has ended the run.
    """
    index = next(at for at, step in enumerate(loaded.pipeline.steps) if step.name == planned.name)
    step, kept = loaded.pipeline.steps[index], _kept(loaded)
    files = {
        dataset: _file(db, table, folder / "given" / f"{n}.parquet")
        for n, (dataset, table) in enumerate(given.items())
    }
    outputs = tuple(step.outputs.values())
    if before := {dataset: files[dataset] for dataset in outputs if dataset in files}:
        _hold_before(loaded, index, step, before, given, folder)
    others = _others(loaded, [d for d in planned.inputs.values() if "." in d], files, folder)
    inputs = [
        (
            index,
            reading(
                f"given_{dataset}",
                dataset,
                "bronze",
                files[dataset],
                Write(to=SCRATCH) if dataset in kept else None,
            ),
        )
        for dataset in dict.fromkeys(planned.inputs.values())
        if "." not in dataset
    ]
    moving = in_scratch(loaded, [(index, tested(loaded, step, forced=forced)), *inputs], folder, others)
    if forced:
        moving = replace(moving, pipeline=moving.pipeline.model_copy(update={"engines": {}}))
    try:
        result = run(moving, home=home_in(folder), keep_final=True)
    except ConfigError as error:
        return Computed(error="; ".join(_said(p.message, p.hint) for p in error.problems))
    if result.stopped:
        raise KeyboardInterrupt
    if why := _error(result, step.name):
        return Computed(error=why)
    final = result.final_result
    tables = final if len(outputs) > 1 else {outputs[0]: final}
    return Computed(
        {dataset: _table(db, rows) for dataset, rows in tables.items()},
        _quarantine(step, outputs[0], loaded, folder, db) if planned.declared.quarantines else None,
    )


def _kept(loaded: Loaded) -> set[str]:
    """The datasets that are tables: their readers see what was committed."""
    return {d for step in loaded.pipeline.steps if step.write is not None for d in step.outputs.values()}


def _file(db: Database, table: Table, path: Path) -> Path:
    """The rows as a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cursor, name = db.computing(), db.new_name()
    cursor.register(name, table.rows)
    try:
        cursor.sql(f"FROM {name}").write_parquet(str(path))
    finally:
        cursor.unregister(name)
    return path


def _hold_before(
    loaded: Loaded, index: int, step: Step, files: Mapping[str, Path], given: Mapping[str, Table], folder: Path
) -> None:  # fmt: skip
    """Let the step's tables hold rows, as written the day before.

    Rows with the columns that the write adds are the table as it stands; without them they are written in the
    step's own mode, which adds them.
    """
    write = step.write or Write(to=SCRATCH)
    own = bookkeeping(step)
    steps = []
    for dataset, file in files.items():
        names = {column.name for column in given[dataset].schema}
        partitions = tuple(name for name in (*own, *write.partition_by) if write.mode is WriteMode.APPEND)
        changes: dict[str, object] = {"mode": WriteMode.OVERWRITE, "keys": (), "sequence_by": None}
        changes["partition_by"] = partitions or write.partition_by
        if own and not names.intersection(own):
            changes = {}
        changes |= {
            "delete_when": None,
            "where": None,
            "exclude": (),
            "on_code_change": None,
            "schema_policy": None,
        }
        seed = moved(loaded, write).model_copy(update=changes)
        steps.append((index, reading(f"before_{dataset}", dataset, step.layer, file, seed)))
    day_before = replace(loaded, logical_date=loaded.logical_date - timedelta(days=1))
    _must_succeed(run(in_scratch(day_before, steps, folder), home=home_in(folder)), files)


def _others(
    loaded: Loaded, datasets: Iterable[str], files: Mapping[str, Path], folder: Path
) -> Mapping[str, Loaded]:
    """The other pipelines whose tables are inputs, with these tables written."""
    wanted: dict[str, list[str]] = {}
    for dataset in datasets:
        wanted.setdefault(dataset.rpartition(".")[0], []).append(dataset)
    found = {}
    for name, other in others_of(loaded).items():
        steps = [
            (
                0,
                reading(
                    f"given_{n}", dataset.rpartition(".")[2], "bronze", files[dataset], Write(to=SCRATCH)
                ),
            )
            for n, dataset in enumerate(wanted.get(name, ()))
        ]
        if steps:
            found[name] = in_scratch(other, steps, folder / "others" / name)
            _must_succeed(run(found[name], home=home_in(folder)), wanted[name])
    return found


def _must_succeed(result: Result, names: Iterable[str]) -> None:
    failed = [step.error for step in result.run.steps if step.error is not None]
    if failed:
        raise RowError(f"the rows given for {', '.join(names)} cannot be a table: {failed[0].message}")


def _error(result: Result, name: str) -> str:
    """Why the step failed; empty if it did not."""
    records = {step.name: step for step in result.run.steps}
    if records[name].status is StepStatus.COMPLETED:
        return ""
    failed = next(
        (step.error for step in result.run.steps if step.status is StepStatus.FAILED and step.error), None
    )
    if failed is None:
        return records[name].reason or str(records[name].status)
    return f"{failed.kind}: {failed.message}"


def _said(message: str, hint: str) -> str:
    return f"{message} ({hint})" if hint else message


def _table(db: Database, rows: pa.Table) -> Table:
    """Arrow rows as DuckDB sees them, whoever made them."""
    cursor, name = db.computing(), db.new_name()
    cursor.register(name, rows)
    try:
        schema = tuple(Column(str(row[0]), str(row[1])) for row in db.rows(f"DESCRIBE FROM {name}"))
        return Table(schema, cursor.sql(f"FROM {name}").to_arrow_table())
    finally:
        cursor.unregister(name)


def _quarantine(step: Step, dataset: str, loaded: Loaded, folder: Path, db: Database) -> Table | None:
    """What the quarantine of the step's table holds; an empty table where it has none yet."""
    if step.write is None:
        return None
    write = moved(loaded, step.write)
    target = Target.all_of(write, str(folder / "lake"), f"{step.layer}/{dataset}", None, ingest=False)[0]
    source = Source(quarantine_of(target).url, "delta")
    seen = look(db, source)
    if seen is None:
        return _table(db, db.cursor.sql("SELECT 1 AS odibi_none WHERE false").to_arrow_table())
    frame, _ = read(DuckDB(db), source, seen)
    return _table(db, db.cursor.sql(frame.sql).to_arrow_table())
