"""Records as OpenLineage events. Pure; importing the classes of the standard takes half a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent

__all__ = ["PRODUCER", "run_event", "step_event"]

PRODUCER = "https://github.com/odibi/odibi"

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

Columns = Mapping[str, tuple[ColumnRecord, ...]]


def run_event(run: RunRecord, namespace: str) -> RunEvent:
    """The run as it begins, or as it ended."""
    from openlineage.client.event_v2 import Run

    facets = _run_facets(run)
    if run.error:
        facets["errorMessage"] = _error(run.error)
    at = run.ended_at or run.started_at
    job = _job(namespace, run.pipeline, "PIPELINE", run.description, run.owner)
    return _event(_RUN.get(run.status, "FAIL"), at, Run(run_id(run.run_id), facets), job)


def step_event(
    step: StepRecord, run: RunRecord, namespace: str, columns: Columns, *, starts: bool = False
) -> RunEvent:
    """A step as it begins, or as it ended.

    Args:
        step: the step with what it reads and makes.
        run: the run it is a step of.
        namespace: of the jobs.
        columns: of the datasets of the run, as far as they are known.
        starts: tell its start, although it has ended: an earlier result stood for it.
    """
    from openlineage.client.event_v2 import Run
    from openlineage.client.facet_v2 import RunFacet, sql_job

    facets = _run_facets(run, parent=True, namespace=namespace)
    facets["odibi"] = RunFacet().with_additional_properties(
        decision=step.decision,
        reason=step.reason,
        cached=step.status is StepStatus.REUSED,
        synthetic=step.synthetic,
        engine=step.engine,
        attempts=len(step.attempts),
    )
    if step.error is not None and not starts:
        facets["errorMessage"] = _error(f"{step.error.kind}: {step.error.message}")
    kind = "START" if starts else _STEP.get(step.status, "ABORT")
    at = (step.started_at if kind == "START" else step.ended_at) or datetime.now(UTC)
    job = _job(namespace, f"{run.pipeline}.{step.name}", step.node.upper(), step.description, step.owner)
    if step.operation == "sql" and job.facets is not None:
        job.facets["sql"] = sql_job.SQLJobFacet(query=step.sql, dialect="duckdb")
    names = {read.name: _named(read, run, namespace) for read in step.reads}
    known = {**columns, **{read.name: read.columns for read in step.reads if read.columns}}
    done = kind != "START"
    inputs = [_input(read, names[read.name], known, step) for read in step.reads]
    outputs = [_output(made, run, namespace, step, names, known) for made in step.makes] if done else []
    return _event(kind, at, Run(step_id(run.run_id, step.name), facets), job, inputs, outputs)


def _event(
    kind: str, at: datetime, run: Any, job: Job, inputs: Iterable[InputDataset] = (),
    outputs: Iterable[OutputDataset] = (),
) -> RunEvent:  # fmt: skip
    from openlineage.client.event_v2 import RunEvent, RunState

    return RunEvent(
        eventType=RunState[kind], eventTime=at.isoformat(), run=run, job=job, inputs=list(inputs),
        outputs=list(outputs), producer=PRODUCER,
    )  # fmt: skip


def _run_facets(run: RunRecord, *, parent: bool = False, namespace: str = "") -> dict[str, Any]:
    from openlineage.client.facet_v2 import nominal_time_run, parent_run, processing_engine_run

    version = run.versions.get("odibi", "")
    facets: dict[str, Any] = {
        "nominalTime": nominal_time_run.NominalTimeRunFacet(f"{run.logical_date}T00:00:00Z"),
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            run.versions.get(run.engine, version), run.engine, version
        ),
    }
    if parent:
        above, job = run_id(run.run_id), (namespace, run.pipeline)
        facets["parent"] = parent_run.ParentRunFacet(
            parent_run.Run(above),
            parent_run.Job(*job),
            parent_run.Root(parent_run.RootRun(above), parent_run.RootJob(*job)),
        )
    return facets


def _job(namespace: str, name: str, kind: str, description: str, owner: str) -> Job:
    from openlineage.client.event_v2 import Job
    from openlineage.client.facet_v2 import documentation_job, job_type_job, ownership_job

    facets: dict[str, Any] = {"jobType": job_type_job.JobTypeJobFacet("BATCH", "ODIBI", kind)}
    if description:
        facets["documentation"] = documentation_job.DocumentationJobFacet(description)
    if owner:
        facets["ownership"] = ownership_job.OwnershipJobFacet([ownership_job.Owner(owner)])
    return Job(namespace, name, facets)


def _error(message: str) -> Any:
    from openlineage.client.facet_v2 import error_message_run

    return error_message_run.ErrorMessageRunFacet(message, "PYTHON")


def _named(dataset: DatasetRecord, run: RunRecord, namespace: str) -> tuple[str, str]:
    return dataset_name(dataset.uri, namespace, f"{run.pipeline}.{dataset.name}")


def _facets(
    dataset: DatasetRecord, name: tuple[str, str], columns: tuple[ColumnRecord, ...]
) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset, datasource_dataset, schema_dataset

    facets: dict[str, Any] = {}
    if columns:
        fields = [schema_dataset.SchemaDatasetFacetFields(column.name, column.type) for column in columns]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields)
    if dataset.uri:
        facets["dataSource"] = datasource_dataset.DatasourceDatasetFacet(name[0], dataset.uri)
    if dataset.version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version)
    return facets


def _input(dataset: DatasetRecord, name: tuple[str, str], known: Columns, step: StepRecord) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import input_statistics_input_dataset

    rows = step.rows_in.get(dataset.name)
    statistics = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rows)
    more: dict[str, Any] = {} if rows is None else {"inputStatistics": statistics}
    facets = _facets(dataset, name, known.get(dataset.name, ()))
    return InputDataset(*name, more, facets=facets)


def _output(
    dataset: DatasetRecord, run: RunRecord, namespace: str, step: StepRecord,
    names: Mapping[str, tuple[str, str]], known: Columns,
) -> OutputDataset:  # fmt: skip
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import column_lineage_dataset, output_statistics_output_dataset

    name, own = _named(dataset, run, namespace), dataset.name == step.makes[0].name
    facets = _facets(dataset, name, dataset.columns or (step.columns if own else ()))
    lines = step.lineage if own else dataset.lineage
    fields = {line.column: _fields(line, step, names, known) for line in lines if line.column != "*"}
    if fields and step.status is not StepStatus.FAILED:
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(fields)
    write = next((write for write in step.writes if dataset.format == write.format), None)
    more: dict[str, Any] = {}
    if write is not None or (own and step.rows_out is not None and step.status is StepStatus.COMPLETED):
        more["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            step.rows_out if write is None else write.rows,
            None if write is None else write.bytes,
            None if write is None else write.files,
        )
    return OutputDataset(*name, more, facets=facets)


def _fields(
    line: ColumnLineage, step: StepRecord, names: Mapping[str, tuple[str, str]], known: Columns
) -> Any:
    """The columns that one is made of; code that cannot be looked into may have used any."""
    from openlineage.client.facet_v2 import column_lineage_dataset as facet

    reads = {read.name: read for read in step.reads}
    found = []
    for reference, kinds in line.kinds.items():
        dataset, column = split(reference, reads)
        if dataset not in names:
            continue
        how = [facet.Transformation("DIRECT", _DIRECT[kind]) for kind in kinds if kind in _DIRECT]
        how += [facet.Transformation("INDIRECT", _INDIRECT[kind]) for kind in kinds if kind in _INDIRECT]
        columns = [each.name for each in known.get(dataset, ())] if column == "*" else [column]
        found += [facet.InputField(*names[dataset], each, how) for each in columns]
    return facet.Fields(found)
