"""The lineage of a run as a document: what every step read, made and did. References and counts, never values.

The shape of the document is ``lineage.schema.json`` beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odibi.record.model import (
    AttemptRecord,
    ColumnLineage,
    ColumnRecord,
    DatasetRecord,
    RunRecord,
    StepRecord,
    StepStatus,
)

__all__ = [
    "FORMAT",
    "VERSION",
    "SchemaChange",
    "columns_of",
    "difference",
    "document",
    "schema",
    "schema_change",
    "split",
]

FORMAT = "odibi lineage"
VERSION = 1


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """The columns of a step's result against those of its inputs; ``retyped`` says from which type to which."""

    added: tuple[ColumnRecord, ...] = ()
    removed: tuple[str, ...] = ()
    retyped: tuple[tuple[str, str, str], ...] = ()


def document(run: RunRecord) -> dict[str, Any]:
    """The lineage of the run as JSON data."""
    columns = columns_of(run)
    return {
        "format": FORMAT,
        "version": VERSION,
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "logical_date": run.logical_date,
        "target": run.target,
        "status": run.status.value,
        "started_at": run.started_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at is not None else None,
        "nodes": [_node(step, columns) for step in run.steps],
    }


def schema() -> dict[str, Any]:
    """The JSON schema of the document."""
    found: dict[str, Any] = json.loads(Path(__file__).with_suffix(".schema.json").read_text("utf-8"))
    return found


def columns_of(run: RunRecord) -> dict[str, tuple[ColumnRecord, ...]]:
    """The columns of each dataset that the run knows how to make."""
    return {made.name: _columns(made, step) for step in run.steps for made in step.makes}


def schema_change(step: StepRecord, known: Mapping[str, tuple[ColumnRecord, ...]]) -> SchemaChange:
    """What a step changed of the columns it was given; ``known`` are those of the run's datasets.

    A column of several inputs counts as that of the first. What reads from outside changes the columns of its source.
    """
    before: dict[str, str] = {}
    for read in step.reads:
        for column in read.columns or known.get(read.name, ()):
            before.setdefault(column.name, column.type)
    if not step.columns or not before:
        return SchemaChange()
    now = {column.name: column.type for column in step.columns}
    return SchemaChange(
        tuple(column for column in step.columns if column.name not in before),
        tuple(name for name in before if name not in now),
        tuple((n, before[n], kind) for n, kind in now.items() if n in before and before[n] != kind),
    )


def split(reference: str, reads: Mapping[str, DatasetRecord]) -> tuple[str, str]:
    """The dataset and the column of a ``dataset.column``: both may have dots in them."""
    fitting = [name for name in reads if reference.startswith(f"{name}.")]
    name = max(fitting, key=len, default=reference.rpartition(".")[0])
    return name, reference[len(name) + 1 :]


def _columns(made: DatasetRecord, step: StepRecord) -> tuple[ColumnRecord, ...]:
    return made.columns or (step.columns if made.name == step.makes[0].name else ())


def _node(step: StepRecord, known: Mapping[str, tuple[ColumnRecord, ...]]) -> dict[str, Any]:
    rows_in = dict(step.rows_in)
    counted = [rows for rows in rows_in.values() if rows is not None]
    whole = bool(rows_in) and len(counted) == len(rows_in) and step.rows_out is not None
    change = schema_change(step, known)
    reads = {read.name: read for read in step.reads}
    made = list(dict.fromkeys(made.name for made in step.makes))
    return {
        "name": step.name,
        "layer": step.layer,
        "node": step.node,
        "operation": step.operation,
        "code": step.code,
        "engine": step.engine,
        "status": step.status.value,
        "decision": step.decision,
        "reason": step.reason,
        "cached": step.status is StepStatus.REUSED,
        "skipped": step.status is StepStatus.SKIPPED,
        "synthetic": step.synthetic,
        "started_at": step.started_at.isoformat() if step.started_at is not None else None,
        "ended_at": step.ended_at.isoformat() if step.ended_at is not None else None,
        "seconds": step.seconds,
        "rows_in": rows_in,
        "rows_out": step.rows_out,
        "rows_delta": (step.rows_out or 0) - sum(counted) if whole else None,
        "columns_in": {read.name: len(read.columns or known.get(read.name, ())) for read in step.reads},
        "columns_out": len(step.columns),
        "schema": [{"name": column.name, "type": column.type} for column in step.columns],
        "schema_change": {
            "added": [{"name": column.name, "type": column.type} for column in change.added],
            "removed": list(change.removed),
            "retyped": [{"name": n, "from": before, "to": now} for n, before, now in change.retyped],
        },
        # The values are in the story, where they are masked.
        "sample": {
            "rows": len(step.sample.rows) if step.sample is not None else 0,
            "columns": list(step.sample.columns) if step.sample is not None else [],
        },
        "params": step.params,
        "attempts": [_attempt(attempt) for attempt in step.attempts],
        "inputs": [_dataset(read) for read in step.reads],
        "outputs": [_dataset(made) for made in step.makes],
        "columns": [
            {"dataset": name, **_line(line, reads)}
            for name in made
            for line in (step.lineage if name == made[0] else _others(step, name))
        ],
    }


def _others(step: StepRecord, name: str) -> tuple[ColumnLineage, ...]:
    return next((made.lineage for made in step.makes if made.name == name), ())


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "status": attempt.status.value,
        "started_at": attempt.started_at.isoformat(),
        "ended_at": attempt.ended_at.isoformat() if attempt.ended_at is not None else None,
        "error": attempt.error.kind if attempt.error is not None else None,  # its message may quote a value
    }


def _dataset(dataset: DatasetRecord) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "uri": dataset.uri,
        "format": dataset.format,
        "version": dataset.version,
        "etag": dataset.etag,
        "pipeline": dataset.pipeline,
        "synthetic": dataset.synthetic,
        "files": dataset.files,
    }


def _line(line: ColumnLineage, reads: Mapping[str, DatasetRecord]) -> dict[str, Any]:
    def ends(references: tuple[str, ...]) -> list[dict[str, Any]]:
        pairs = [(split(reference, reads), line.kinds.get(reference, ())) for reference in references]
        return [{"dataset": d, "column": c, "kinds": list(kinds)} for (d, c), kinds in pairs]

    return {"column": line.column, "direct": ends(line.direct), "indirect": ends(line.indirect)}


# --- two runs --------------------------------------------------------------------------------------


def difference(before: RunRecord, now: RunRecord) -> list[dict[str, Any]]:
    """What is otherwise in the lineage of ``now``, step by step: ``what`` changed, and ``was`` and ``is`` of it."""
    old = {step.name: step for step in before.steps}
    found = []
    for step in now.steps:
        was = old.pop(step.name, None)
        changes = [_change("step", None, step.operation)] if was is None else list(_changes(was, step))
        found += [{"step": step.name, **change} for change in changes]
    found += [{"step": name, **_change("step", step.operation, None)} for name, step in old.items()]
    return found


def _changes(was: StepRecord, now: StepRecord) -> Iterator[dict[str, Any]]:
    if was.columns and now.columns:
        types = {column.name: column.type for column in was.columns}
        fresh = {column.name: column.type for column in now.columns}
        for name in {**types, **fresh}:
            if types.get(name) != fresh.get(name):
                yield _change(f"column {name}", types.get(name), fresh.get(name))
    for title, one, other in (("input", was.reads, now.reads), ("output", was.makes, now.makes)):
        before, after = ({_called(each) for each in side} for side in (one, other))
        yield from (_change(title, name, None) for name in sorted(before - after))
        yield from (_change(title, None, name) for name in sorted(after - before))
    lines = {line.column: _edges(line, was) for line in was.lineage}
    for line in now.lineage:
        edges = _edges(line, now)
        if line.column in lines and lines[line.column] != edges:
            gone, come = sorted(lines[line.column] - edges), sorted(edges - lines[line.column])
            what = f"lineage of {line.column}"
            yield _change(what, ", ".join(gone) or None, ", ".join(come) or None)


def _called(dataset: DatasetRecord) -> str:
    return dataset.name if dataset.format in ("", "delta") else f"{dataset.name} ({dataset.uri})"


def _edges(line: ColumnLineage, step: StepRecord) -> set[str]:
    """The edges to a column; of a source only the column, as its file may be another one each day."""
    reads = {read.name: read for read in step.reads}
    outside = {read.name for read in step.reads} if step.node == "Ingest" else set()
    found = set()
    for reference, kinds in line.kinds.items():
        dataset, column = split(reference, reads)
        found.add(f"{column if dataset in outside else reference} ({', '.join(kinds)})")
    return found


def _change(what: str, was: str | None, now: str | None) -> dict[str, Any]:
    return {"what": what, "was": was, "is": now}
