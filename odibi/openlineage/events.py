"""Records as OpenLineage events, JSON values as version 2-0-2 of the standard wants them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from odibi.openlineage.names import dataset_name, run_id, step_id
from odibi.record.lineage import split
from odibi.record.model import (
    ColumnLineage,
    ColumnRecord,
    DatasetRecord,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
)

__all__ = ["PRODUCER", "run_event", "step_event"]

PRODUCER = "https://github.com/odibi/odibi"

_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs"

_VERSIONS = {
    "NominalTimeRun": "1-0-1",
    "ProcessingEngineRun": "1-1-1",
    "ParentRun": "1-2-0",
    "ErrorMessageRun": "1-0-1",
    "JobTypeJob": "2-0-4",
    "DocumentationJob": "1-1-0",
    "OwnershipJob": "1-0-1",
    "SQLJob": "1-1-0",
    "SchemaDataset": "1-2-0",
    "DatasetVersionDataset": "1-0-1",
    "DatasourceDataset": "1-0-1",
    "ColumnLineageDataset": "1-2-0",
    "InputStatisticsInputDataset": "1-0-0",
    "OutputStatisticsOutputDataset": "1-0-2",
}
"""The facets that odibi sends, and the version of the schema of each."""

_SCHEMAS = {
    name: f"{_SPEC}/facets/{version}/{name}Facet.json#/$defs/{name}Facet"
    for name, version in _VERSIONS.items()
}

_DIRECT = {
    "identity": "IDENTITY",
    "transformation": "TRANSFORMATION",
    "aggregation": "AGGREGATION",
    "function": "TRANSFORMATION",
}
_INDIRECT = {
    "filter": "FILTER",
    "join": "JOIN",
    "group": "GROUP_BY",
    "sort": "SORT",
    "window": "WINDOW",
    "condition": "CONDITIONAL",
}
_RUN = {
    RunStatus.RUNNING: "START",
    RunStatus.SUCCEEDED: "COMPLETE",
    RunStatus.CANCELLED: "ABORT",
}
_STEP = {
    StepStatus.RUNNING: "START",
    StepStatus.COMPLETED: "COMPLETE",
    StepStatus.REUSED: "COMPLETE",
    StepStatus.FAILED: "FAIL",
}

Json = dict[str, Any]
Columns = Mapping[str, tuple[ColumnRecord, ...]]


def run_event(run: RunRecord, namespace: str) -> Json:
    """The run as it begins, or as it ended."""
    facets = _run_facets(run)
    if run.error:
        facets["errorMessage"] = _error(run.error)
    at = run.ended_at or run.started_at
    job = _job(namespace, run.pipeline, "PIPELINE", run.description, run.owner)
    return _event(_RUN.get(run.status, "FAIL"), at, {"runId": run_id(run.run_id), "facets": facets}, job)


def step_event(
    step: StepRecord, run: RunRecord, namespace: str, columns: Columns, *, starts: bool = False
) -> Json:
    """A step as it begins, or as it ended.

    Args:
        step: the step with what it reads and makes.
        run: the run it is a step of.
        namespace: of the jobs.
        columns: of the datasets of the run, as far as they are known.
        starts: tell its start, although it has ended: an earlier result stood for it.
    """
    above = {"run": {"runId": run_id(run.run_id)}, "job": {"namespace": namespace, "name": run.pipeline}}
    facets = _run_facets(run)
    facets["parent"] = _facet("ParentRun", **above, root=above)
    facets["odibi"] = {
        "_producer": PRODUCER,
        "_schemaURL": f"{_EVENT}/RunFacet",
        "decision": step.decision,
        "reason": step.reason,
        "cached": step.status is StepStatus.REUSED,
        "synthetic": step.synthetic,
        "engine": step.engine,
        "attempts": len(step.attempts),
    }
    if step.error is not None and not starts:
        facets["errorMessage"] = _error(f"{step.error.kind}: {step.error.message}")
    kind = "START" if starts else _STEP.get(step.status, "ABORT")
    at = (step.started_at if kind == "START" else step.ended_at) or datetime.now(UTC)
    job = _job(namespace, f"{run.pipeline}.{step.name}", step.node.upper(), step.description, step.owner)
    if step.operation == "sql":
        job["facets"]["sql"] = _facet("SQLJob", query=step.sql, dialect="duckdb")
    names = {read.name: _named(read, run, namespace) for read in step.reads}
    known = {**columns, **{read.name: read.columns for read in step.reads if read.columns}}
    inputs = [_input(read, names[read.name], known, step) for read in step.reads]
    makes = step.makes if kind != "START" else ()
    outputs = [_output(made, run, namespace, step, names, known) for made in makes]
    return _event(kind, at, {"runId": step_id(run.run_id, step.name), "facets": facets}, job, inputs, outputs)


def _event(
    kind: str, at: datetime, run: Json, job: Json, inputs: Iterable[Json] = (), outputs: Iterable[Json] = ()
) -> Json:
    return {
        "eventType": kind,
        "eventTime": at.isoformat(),
        "run": run,
        "job": job,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "producer": PRODUCER,
        "schemaURL": f"{_EVENT}/RunEvent",
    }


def _facet(schema: str, **values: Any) -> Json:
    return {"_producer": PRODUCER, "_schemaURL": _SCHEMAS[schema], **values}


def _run_facets(run: RunRecord) -> Json:
    version = run.versions.get("odibi", "")
    return {
        "nominalTime": _facet("NominalTimeRun", nominalStartTime=f"{run.logical_date}T00:00:00Z"),
        "processing_engine": _facet(
            "ProcessingEngineRun",
            version=run.versions.get(run.engine, version),
            name=run.engine,
            openlineageAdapterVersion=version,
        ),
    }


def _job(namespace: str, name: str, kind: str, description: str, owner: str) -> Json:
    facets = {"jobType": _facet("JobTypeJob", processingType="BATCH", integration="ODIBI", jobType=kind)}
    if description:
        facets["documentation"] = _facet("DocumentationJob", description=description)
    if owner:
        facets["ownership"] = _facet("OwnershipJob", owners=[{"name": owner}])
    return {"namespace": namespace, "name": name, "facets": facets}


def _error(message: str) -> Json:
    return _facet("ErrorMessageRun", message=message, programmingLanguage="PYTHON")


def _named(dataset: DatasetRecord, run: RunRecord, namespace: str) -> tuple[str, str]:
    return dataset_name(dataset.uri, namespace, f"{run.pipeline}.{dataset.name}")


def _dataset(dataset: DatasetRecord, name: tuple[str, str], columns: tuple[ColumnRecord, ...]) -> Json:
    facets: Json = {}
    if columns:
        fields = [{"name": column.name, "type": column.type} for column in columns]
        facets["schema"] = _facet("SchemaDataset", fields=fields)
    if dataset.uri:
        facets["dataSource"] = _facet("DatasourceDataset", name=name[0], uri=dataset.uri)
    if dataset.version:
        facets["version"] = _facet("DatasetVersionDataset", datasetVersion=dataset.version)
    return {"namespace": name[0], "name": name[1], "facets": facets}


def _input(dataset: DatasetRecord, name: tuple[str, str], known: Columns, step: StepRecord) -> Json:
    rows = step.rows_in.get(dataset.name)
    counted = (
        {} if rows is None else {"inputStatistics": _facet("InputStatisticsInputDataset", rowCount=rows)}
    )
    return {**_dataset(dataset, name, known.get(dataset.name, ())), "inputFacets": counted}


def _output(
    dataset: DatasetRecord, run: RunRecord, namespace: str, step: StepRecord,
    names: Mapping[str, tuple[str, str]], known: Columns,
) -> Json:  # fmt: skip
    own = dataset.name == step.makes[0].name
    columns = dataset.columns or (step.columns if own else ())
    found = _dataset(dataset, _named(dataset, run, namespace), columns)
    lines = step.lineage if own else dataset.lineage
    fields = {line.column: _fields(line, step, names, known) for line in lines if line.column != "*"}
    if fields and step.status is not StepStatus.FAILED:
        found["facets"]["columnLineage"] = _facet("ColumnLineageDataset", fields=fields)
    counts: dict[str, int | None] = {}
    if write := next((write for write in step.writes if dataset.format == write.format), None):
        counts = {"rowCount": write.rows, "size": write.bytes, "fileCount": write.files}
    elif own and step.status is StepStatus.COMPLETED:
        counts = {"rowCount": step.rows_out}
    counts = {name: value for name, value in counts.items() if value is not None}
    statistics = {"outputStatistics": _facet("OutputStatisticsOutputDataset", **counts)} if counts else {}
    return {**found, "outputFacets": statistics}


def _fields(
    line: ColumnLineage, step: StepRecord, names: Mapping[str, tuple[str, str]], known: Columns
) -> Json:
    """The columns that one is made of; code that cannot be looked into may have used any."""
    reads = {read.name: read for read in step.reads}
    found = []
    for reference, kinds in line.kinds.items():
        dataset, column = split(reference, reads)
        if dataset not in names:
            continue
        how = [{"type": "DIRECT", "subtype": _DIRECT[kind]} for kind in kinds if kind in _DIRECT]
        how += [{"type": "INDIRECT", "subtype": _INDIRECT[kind]} for kind in kinds if kind in _INDIRECT]
        columns = [each.name for each in known.get(dataset, ())] if column == "*" else [column]
        namespace, name = names[dataset]
        found += [
            {"namespace": namespace, "name": name, "field": each, "transformations": how} for each in columns
        ]
    return {"inputFields": found}
