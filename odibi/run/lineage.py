"""Where the datasets of a run come from: what each step reads and makes, and of which columns each column is made.

References only: a name, a place, a version, never a value. What a query says is completed by what else decides
which rows a reader sees: the keys of a merge, rows that are read only if they are new, rows that a check turns away.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from odibi.config.models import WriteMode
from odibi.datasets.landing import metadata_of
from odibi.datasets.modes import CURRENT, FROM, TO
from odibi.places import uri_of
from odibi.plan.columns import origins_of
from odibi.record.model import ColumnLineage, ColumnRecord, DatasetRecord, StepRecord, StepStatus

if TYPE_CHECKING:
    from pathlib import Path

    from odibi.datasets.source import Seen, Source
    from odibi.datasets.target import Target
    from odibi.plan.model import Origins, Plan, PlannedStep
    from odibi.relational.compile import Compiled
    from odibi.relational.schema import Schema

__all__ = ["Lineage", "landed", "source_name", "source_record"]

FEW = 50
"""Files of a source whose hashes are kept one by one; of more only that of all together."""

DIRECT = frozenset({"identity", "transformation", "aggregation", "function"})

Kinds = dict[str, frozenset[str]]
"""The base columns of one column, and how it depends on each."""


class Lineage:
    """The lineage of a plan's steps, told one after the other; may be asked by several threads."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[str, Schema] = {d: s.schema for d, (_, s) in plan.external.items() if s.schema}
        for planned in plan.steps:
            self._known |= {name: schema for name, schema in planned.schemas.items() if schema is not None}
        self._makers = {d: planned for planned in plan.steps for d in planned.step.outputs.values()}
        self._steps = {planned.name: planned for planned in plan.steps}
        self._compiled: dict[str, tuple[Mapping[str, Compiled], Mapping[str, Schema]]] = {}
        self._origins: dict[str, Origins] = {}
        self._versions: dict[str, str] = {}
        self._told_last: dict[str, tuple[StepRecord, StepRecord]] = {}
        self._lock = threading.Lock()

    def note(self, name: str, queries: Mapping[str, Compiled], schemas: Mapping[str, Schema]) -> None:
        """Remember the queries of a step that could be compiled only in the run, and the columns of its inputs."""
        with self._lock:
            self._compiled[name] = queries, schemas
            self._origins.pop(name, None)  # of a step that was told as it started

    def told(self, record: StepRecord) -> StepRecord:
        """The record of a step with what it reads and, unless it still runs, makes, as far as that is known by now.

        Told in the order in which the steps ended, so that what one made is what the next one read.
        """
        with self._lock:
            before, told = self._told_last.get(record.name, (None, record))
            if before is not record:  # several want to know of it
                told = self._told(record)
                self._told_last[record.name] = record, told
            return told

    def _told(self, record: StepRecord) -> StepRecord:
        planned = self._steps[record.name]
        reads = tuple(
            read if read.version else read.model_copy(update={"version": self._versions.get(read.name, "")})
            for read in record.reads or self._reads(planned)
        )
        if record.status is StepStatus.RUNNING:
            return record.model_copy(update={"reads": reads})
        first, *others = planned.step.outputs.values() or (record.name,)
        lineage = self._columns(planned, first, record, reads)
        makes = list(_makes(planned, first, record))
        for dataset in others:
            columns = self._known.get(dataset, ())
            more = next(iter(_makes(planned, dataset, record)))
            lines = self._columns(planned, dataset, record, reads)
            makes.append(more.model_copy(update={"columns": _records(columns), "lineage": lines}))
        self._versions |= {made.name: made.version for made in reversed(makes)}
        return record.model_copy(update={"reads": reads, "makes": tuple(makes), "lineage": lineage})

    def _reads(self, planned: PlannedStep) -> Iterator[DatasetRecord]:
        """What the step reads, by what the plan knows."""
        if planned.source is not None:
            yield source_record(planned, planned.source, planned.seen)
        for dataset in dict.fromkeys(planned.tables.values()):
            yield self.input(dataset)

    def input(self, dataset: str, version: str | None = None) -> DatasetRecord:
        """A dataset that is read; ``version`` is that of the Delta table as it was opened."""
        if dataset in self._plan.external:
            source, seen = self._plan.external[dataset]
            number = seen.table_version
            return DatasetRecord(
                name=dataset,
                uri=uri_of(source.url),
                format=source.format,
                version=version or (seen.version if number is None else str(number)),
                pipeline=dataset.rpartition(".")[0],
                columns=_records(seen.schema or ()),
            )
        maker = self._makers[dataset]
        target = next(iter(maker.targets.get(dataset, ())), None)
        if target is None:
            return DatasetRecord(name=dataset)
        commit = maker.commits.get(dataset)
        standing = "" if commit is None or maker.decision.action == "run" else str(commit.version)
        return DatasetRecord(
            name=dataset, uri=uri_of(target.url), format=target.format, version=version or standing
        )

    def _columns(
        self, planned: PlannedStep, dataset: str, record: StepRecord, reads: Iterable[DatasetRecord]
    ) -> tuple[ColumnLineage, ...]:
        own = dataset == next(iter(planned.step.outputs.values()), record.name)
        names = [column.name for column in record.columns] if own else []
        names = names or [column.name for column in self._known.get(dataset, ())]
        found = self._made(planned, dataset, names, tuple(reads))
        target = next(iter(planned.targets.get(dataset, ())), None)
        deciding = dict(_deciding(planned, target, found))
        if target is not None:
            found = _written(target, found)
        return tuple(_line(column, _union(kinds, deciding)) for column, kinds in found.items())

    def _made(
        self, planned: PlannedStep, dataset: str, names: list[str], reads: tuple[DatasetRecord, ...]
    ) -> dict[str, Kinds]:
        """The columns as they are computed, before they are written."""
        if planned.relational:
            origins = self._origins_of(planned).get(dataset, ())
            return {o.column: {c: frozenset(kinds) for c, kinds in o.kinds.items()} for o in origins}
        if planned.function is not None or planned.command is not None:
            whole = {f"{name}.*": frozenset({"function"}) for name in planned.tables.values()}
            return dict.fromkeys(names or ["*"], whole)
        file = planned.source.options.get("filename") if planned.source is not None else None
        source = next((read.name for read in reads), "")
        if not names and planned.step.stores:
            names = [column.name for column in self._known.get(source, ())]
        alike = frozenset({"identity"})
        return {name: {} if name == file else {f"{source}.{name}": alike} for name in names}

    def _origins_of(self, planned: PlannedStep) -> Origins:
        if planned.name not in self._origins:
            queries, schemas = self._compiled.get(planned.name) or (planned.compiled or {}, self._known)
            found = planned.origins if queries is planned.compiled else {}
            self._origins[planned.name] = found or origins_of(queries, schemas)
        return self._origins[planned.name]


def source_name(planned: PlannedStep) -> str:
    """What lineage calls the source of a step: its connection, and what is read there."""
    given, place = planned.step.params, planned.step.value
    place = place or str(given.get("table") or "query")
    return f"{given['from']}:{place}" if given.get("from") else place


def source_record(planned: PlannedStep, source: Source, seen: Seen | None) -> DatasetRecord:
    """What a step reads from outside, as it was looked at; its server is named, not where its answer landed."""
    named = planned.source or source
    files = seen.files if seen is not None and len(seen.files) <= FEW else ()
    version = ""
    if seen is not None:
        version = seen.version if seen.table_version is None else str(seen.table_version)
    place = named.remote.shown if named.remote is not None else named.url
    return DatasetRecord(
        name=source_name(planned),
        uri=place if named.format == "table" else uri_of(place),  # the name of a catalog's table is no path
        format=named.format,
        version=version,
        files={uri_of(file.path): file.version for file in files},
        columns=_records(seen.schema or ()) if seen is not None else (),
    )


def landed(record: DatasetRecord, folder: Path, *, synthetic: bool) -> DatasetRecord:
    """What is read from a server, with what stands beside its answer; made-up rows are told apart."""
    told = metadata_of(folder) or {}
    etag = "" if synthetic else told.get("validators", {}).get("If-None-Match", "")
    return record.model_copy(update={"synthetic": synthetic, "etag": etag})


def _makes(planned: PlannedStep, dataset: str, record: StepRecord) -> Iterator[DatasetRecord]:
    """Where the dataset is kept, the first place first; only its name where it is handed over."""
    group = planned.targets.get(dataset, ())
    if not group:
        yield DatasetRecord(name=dataset, version=record.digest, synthetic=record.synthetic)
    written = {write.uri: write for write in record.writes}
    commit = planned.commits.get(dataset) if record.status is not StepStatus.FAILED else None
    for target in group:
        write = written.get(target.url)
        version = write.version if write is not None else None
        if version is None and target.format == "delta" and commit is not None:
            version = commit.version
        digest = record.digest if target.format != "delta" and record.status is StepStatus.COMPLETED else ""
        yield DatasetRecord(
            name=dataset,
            uri=uri_of(target.url),
            format=target.format,
            version=digest if version is None else str(version),
            synthetic=record.synthetic,
        )


def _deciding(
    planned: PlannedStep, target: Target | None, made: Mapping[str, Kinds]
) -> Iterator[tuple[str, frozenset[str]]]:
    """What decides which of the computed rows readers see, beside the query."""
    columns = [(name, "filter") for name in _quarantining(planned)]
    if target is not None:
        write = target.write
        columns += [(name, "join") for name in write.keys]
        columns += [(write.sequence_by, "sort")] if write.sequence_by else []
        columns += [(name, "filter") for text in (write.delete_when, write.where) for name in _named(text)]
    folded = {name.lower(): kinds for name, kinds in made.items()}
    found: dict[str, set[str]] = {}
    for name, kind in columns:
        for base in folded.get(name.lower(), ()):
            found.setdefault(base, set()).add(kind)
    if planned.source is not None and planned.source.watermark is not None:
        found.setdefault(f"{source_name(planned)}.{planned.source.watermark.column}", set()).add("filter")
    for alias, rows in planned.step.incremental.items():
        if rows.watermark is not None:
            found.setdefault(f"{planned.inputs.get(alias, alias)}.{rows.watermark}", set()).add("filter")
    yield from ((base, frozenset(kinds)) for base, kinds in found.items())


def _quarantining(planned: PlannedStep) -> Iterator[str]:
    """The columns by which checks turn rows away."""
    for check in planned.declared.checks:
        if check.on_fail == "quarantine":
            said = vars(check)
            yield from said.get("columns") or ([said["column"]] if said.get("column") else ())
            yield from _named(said.get("expression"))


def _named(text: str | None) -> list[str]:
    """The columns that a condition names."""
    if not text:
        return []
    import sqlglot
    from sqlglot import exp

    return [column.name for column in sqlglot.parse_one(text, read="duckdb").find_all(exp.Column)]


def _written(target: Target, made: Mapping[str, Kinds]) -> dict[str, Kinds]:
    """The columns as the table has them."""
    gone = set(target.write.exclude)
    found = {name: kinds for name, kinds in made.items() if name not in gone}
    if target.date_column is not None:
        found.setdefault(target.date_column, {})
    if target.mode is WriteMode.SCD2:
        by = made.get(target.write.sequence_by or "", {})
        ordered: Kinds = {
            base: kinds - {"identity"} | {"transformation"} if kinds & DIRECT else kinds
            for base, kinds in by.items()
        }
        found |= {FROM: dict(by), TO: ordered, CURRENT: {}}
    return found


def _union(kinds: Kinds, more: Kinds) -> Kinds:
    if not more:
        return kinds
    return {base: kinds.get(base, frozenset()) | more.get(base, frozenset()) for base in {**kinds, **more}}


def _line(column: str, kinds: Kinds) -> ColumnLineage:
    ordered = {base: tuple(sorted(kinds[base])) for base in sorted(kinds)}
    return ColumnLineage(
        column=column,
        direct=tuple(base for base, how in ordered.items() if not DIRECT.isdisjoint(how)),
        indirect=tuple(base for base, how in ordered.items() if not DIRECT.issuperset(how)),
        kinds=ordered,
    )


def _records(schema: Schema) -> tuple[ColumnRecord, ...]:
    return tuple(ColumnRecord(name=column.name, type=column.type) for column in schema)
