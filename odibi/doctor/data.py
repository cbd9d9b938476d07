"""Questions about the data: what is asked of it, and how it is kept and computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from odibi.config.checks import Check, ColumnTypes, Freshness, RowCount, SchemaChange, checks_of
from odibi.config.models import Layer, Node, Step, WriteMode
from odibi.datasets.database import is_database
from odibi.datasets.fetching import is_served
from odibi.datasets.files import format_of
from odibi.doctor.model import Case, Fault
from odibi.places import is_remote
from odibi.plan.engines import shown
from odibi.plan.graph import ordered

__all__ = [
    "drift_is_noticed",
    "empty_is_noticed",
    "formats_large",
    "growing_is_partitioned",
    "memory_is_bounded",
    "parallel_where_possible",
    "results_are_tested",
    "schemas_declared",
    "stale_is_noticed",
    "tables_are_delta",
]

LARGE = 10**9
"""From how many bytes on text is slow to read."""

C = TypeVar("C", bound=Check)
_TEXT = ("csv", "json")
_PUBLISHED = (Layer.GOLD, Layer.PUBLISH, Layer.STORE)


def schemas_declared(case: Case) -> Iterator[Fault]:
    """Text says nothing of its types, so the config does."""
    for at, step in _reading(case):
        declared = "schema" in step.params or _asked(case, step, ColumnTypes)
        if not declared and _format_read(case, step) not in ("delta", "parquet", "database"):
            yield Fault("nobody declared the columns", at, step.name)


def empty_is_noticed(case: Case) -> Iterator[Fault]:
    """A source that delivers nothing is told."""
    for at, step in _reading(case):
        if not any(check.min > 0 for check in _asked(case, step, RowCount)):
            yield Fault("nobody hears of it if no row comes", at, step.name)


def stale_is_noticed(case: Case) -> Iterator[Fault]:
    """A source that delivers what it delivered before is told."""
    for at, step in _reading(case):
        if not _asked(case, step, Freshness):
            yield Fault("nobody hears of it if the data is old", at, step.name)


def drift_is_noticed(case: Case) -> Iterator[Fault]:
    """Tables that others read do not change their columns unnoticed."""
    for at, step in case.steps:
        write = step.write
        if write is None or not (step.ingests or step.layer in _PUBLISHED):
            continue
        kept = step.ingests or write.mode is not WriteMode.OVERWRITE
        policy = write.schema_policy or ("exact" if kept else "replace")
        if policy == "replace" and not _asked(case, step, SchemaChange):
            yield Fault("nobody hears of it if the columns change", (*at, "write"), step.name)


def results_are_tested(case: Case) -> Iterator[Fault]:
    """Computed tables have tests: rows in, rows expected."""
    for at, step in case.steps:
        if step.node is Node.TRANSFORM and step.write is not None and not (step.tests or step.tests_file):
            yield Fault("no test", at, step.name)


def formats_large(case: Case) -> Iterator[Fault]:
    """Columns, compressed and typed, rather than text."""
    for at, step in case.steps:
        if step.write is not None and set(_formats(case, step)) <= set(_TEXT):
            yield Fault("kept as text only", (*at, "write"), step.name)
        size = case.sizes.get(step.name, 0)
        if size > LARGE and (found := _format_read(case, step)) in _TEXT:
            yield Fault(f"{step.name} reads {shown(size)} of {found}", at)


def growing_is_partitioned(case: Case) -> Iterator[Fault]:
    """A table that every date adds rows to has a folder for each."""
    for at, step in case.steps:
        write = step.write
        if write is not None and write.mode is WriteMode.APPEND and not write.partition_by:
            yield Fault("rows are added to one folder for ever", (*at, "write"), step.name)


def parallel_where_possible(case: Case) -> Iterator[Fault]:
    """Steps that do not wait for each other run at the same time."""
    pipeline = case.pipeline
    alone = "distributed is false" if not pipeline.distributed else "distributed_max_workers is 1"
    if (not pipeline.distributed or pipeline.distributed_max_workers == 1) and _independent(case):
        key = "distributed_max_workers" if pipeline.distributed else "distributed"
        yield Fault(f"{alone}, and some steps do not wait for each other", (key,))


def tables_are_delta(case: Case) -> Iterator[Fault]:
    """What others read is replaced at once or not at all. Text is asked about elsewhere."""
    for at, step in case.steps:
        formats = _formats(case, step)
        if step.write is not None and "parquet" in formats and "delta" not in formats:
            yield Fault("kept as Parquet files, which readers may see half", (*at, "write"), step.name)


def memory_is_bounded(case: Case) -> Iterator[Fault]:
    """A run that wants too much memory spills, and does not take the machine with it."""
    if case.pipeline.memory_limit is None:
        yield Fault("no memory_limit bounds what a run may take", ("memory_limit",))


def _reading(case: Case) -> Iterator[tuple[tuple[Any, ...], Step]]:
    return ((at, step) for at, step in case.steps if step.ingests)


def _asked(case: Case, step: Step, kind: type[C]) -> list[C]:
    return [check for check in checks_of(case.pipeline, step) if isinstance(check, kind)]


def _format_read(case: Case, step: Step) -> str | None:
    """The format that an ingest reads, as far as the config tells it."""
    connection = case.pipeline.connections.get(str(step.params.get("from")))
    if connection is not None and is_database(connection.url):
        return "database"
    told = step.params.get("format") or (format_of(step.value) if not is_remote(step.value) else None)
    return told or (connection.format if connection is not None else None)


def _formats(case: Case, step: Step) -> tuple[str, ...]:
    """The formats of a step's tables; empty where it writes to a database or a server."""
    write = step.write
    if write is None:
        return ()
    connection = case.pipeline.connections.get(str(write.to))
    if connection is not None and (is_database(connection.url) or is_served(connection.url)):
        return ("elsewhere",)
    default = connection.format if connection is not None else None
    told = format_of(write.path) if write.path else None
    return tuple(write.formats) or (told or default or "delta",)


def _independent(case: Case) -> bool:
    """Whether two steps stand at the same depth of the graph."""
    depths: dict[str, int] = {}
    for name in ordered(case.upstream):
        depths[name] = 1 + max((depths[before] for before in case.upstream[name]), default=-1)
    return len(set(depths.values())) < len(depths)
