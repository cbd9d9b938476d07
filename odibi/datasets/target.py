"""Writing: stage, check, commit. What a write means, whoever computed the rows.

The engine stages Parquet parts nobody reads, the guard compares schemas, and one atomic act
publishes: a Delta commit, or the rename of a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from odibi.config.models import Format, SchemaPolicy, Write, WriteMode
from odibi.datasets import files
from odibi.datasets.broken import said
from odibi.datasets.database import table_url
from odibi.datasets.delta import Commit, Fence, Table, last_commit, open_table, refuse_path
from odibi.datasets.digest import Sample, measure
from odibi.datasets.export import export, written_as
from odibi.datasets.fetching import WAREHOUSES, is_served, refuse_connection
from odibi.datasets.ledger import write_table
from odibi.datasets.modes import CURRENT, FROM, TO
from odibi.datasets.staging import Intents
from odibi.engines.base import Engine, Frame, Location, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import copied, scan
from odibi.errors import Permanent, SchemaMismatch
from odibi.places import beside, options_of
from odibi.relational.schema import Column, Schema

__all__ = ["QUARANTINE", "Job", "Judge", "Target", "Written", "in_scratch", "judged", "ledger", "write"]


@dataclass(frozen=True, slots=True)
class Target:
    """One thing a step writes: a Delta table, a file, or a folder of files."""

    url: str
    format: Format | Literal["database"]
    mode: WriteMode
    partition_by: tuple[str, ...] = ()
    policy: SchemaPolicy = "replace"
    date_column: str | None = None  # of an append: the column that holds the logical date
    write: Write = field(default_factory=Write)
    name: str = ""  # in a catalog that Spark knows

    @staticmethod
    def all_of(
        write: Write, base: str, default_path: str, default_format: Format | None, ingest: bool
    ) -> tuple[Target, ...]:
        """The targets of a write, Delta first; ``base`` is its connection's URL.

        Raises:
            Permanent: a combination that has no honest meaning.
        """
        path = files.join(base, write.path or default_path)
        told = files.format_of(path) if write.path else None
        by_name: tuple[Format, ...] = tuple(f for f in _PLAIN if f == told)
        formats = write.formats or by_name or (default_format or "delta",)
        append = write.mode is WriteMode.APPEND
        keeps = write.mode is not WriteMode.OVERWRITE
        policy: SchemaPolicy = write.schema_policy or ("exact" if keeps or ingest else "replace")
        if keeps and policy == "replace":
            raise Permanent(
                f"{write.mode} keeps the rows there are, so schema: replace has no meaning",
                hint="schema: widen",
            )
        if keeps and not append and formats != ("delta",):
            raise Permanent(f"mode {write.mode} needs format delta, not {formats[0]}")
        if write.schema_policy is not None and "delta" not in formats:
            raise Permanent(f"schema: {policy} guards Delta tables, not {formats[0]} files")
        if is_served(path):
            _refuse_sending(path, write)
            warehouse = WAREHOUSES.get(path.partition("://")[0].lower())
            formats = (warehouse,) if warehouse is not None else write.formats or by_name or ("json",)
            return tuple(
                Target(path, format, write.mode, policy="replace", write=write) for format in formats
            )
        date_column = write.logical_date_column if append else None
        targets = []
        for format in sorted(set(formats), key=lambda f: (f != "delta", f)):
            if format == "delta":
                url = path if len(formats) == 1 else beside(_bare(path), path)
                refuse_path(url)
            else:
                if append and write.partition_by:
                    raise Permanent(f"append with partition_by needs format delta, not {format}")
                url = path if path.endswith(f".{format}") else beside(f"{_bare(path)}.{format}", path)
            targets.append(Target(url, format, write.mode, write.partition_by, policy, date_column, write))
        return tuple(targets)

    @staticmethod
    def of_table(write: Write, url: str, table: str) -> Target:
        """The target that is a table of the database at ``url``.

        Raises:
            Permanent: a mode or option that tables of databases do not have.
        """
        if write.mode not in (WriteMode.OVERWRITE, WriteMode.APPEND):
            raise Permanent(
                f"mode {write.mode} needs a Delta table, not one of a database", hint="overwrite or append"
            )
        if given := [name for name in ("formats", "partition_by", "schema_policy") if getattr(write, name)]:
            raise Permanent(f"{given[0]} has no meaning for a table of a database", hint="remove it")
        date_column = write.logical_date_column if write.mode is WriteMode.APPEND else None
        return Target(table_url(url, table), "database", write.mode, (), "exact", date_column, write)

    def columns(self, schema: Schema) -> Schema:
        """The columns that the table has where rows of ``schema`` are written to it."""
        if self.mode is WriteMode.APPEND:
            return schema if self.date_column is None else (*schema, Column(self.date_column, "DATE"))
        kept = tuple(column for column in schema if column.name not in self.write.exclude)
        if self.mode is not WriteMode.SCD2:
            return kept
        kind = self.sequence_type(schema)
        return (*kept, Column(FROM, kind), Column(TO, kind), Column(CURRENT, "BOOLEAN"))

    def sequence_type(self, schema: Schema) -> str:
        """The type of what orders the changes of a key: of ``sequence_by``, else of the logical date."""
        types = {column.name: column.type for column in schema}
        return types.get(self.write.sequence_by or "", "DATE")

    @property
    def folder(self) -> bool:
        """Whether it is a folder of files rather than one."""
        return self.format == "delta" or bool(self.partition_by) or self.mode is WriteMode.APPEND


_PLAIN: tuple[Format, ...] = ("parquet", "csv", "json")


def _bare(path: str) -> str:
    return next((path.removesuffix(f".{format}") for format in _PLAIN if path.endswith(f".{format}")), path)


def _refuse_sending(url: str, write: Write) -> None:
    """Raise Permanent for what sending rows to a server cannot mean."""
    refuse_connection(url, options_of(url))
    scheme, _, place = url.partition("://")
    if scheme.lower() in WAREHOUSES:
        _refuse_place_of_warehouse(scheme.lower(), place, write)
    elif not scheme.lower().startswith("http"):
        raise Permanent(
            f"nothing can be written at {url}", hint="write to a folder, or POST to http:// or https://"
        )
    if len(write.formats) > 1 or "delta" in write.formats:
        raise Permanent(
            f"one of json, csv and parquet can be sent to {url}, not {' and '.join(write.formats)}"
        )
    if write.mode is not WriteMode.OVERWRITE or write.partition_by or write.schema_policy is not None:
        hint = "remove mode, partition_by and schema"
        raise Permanent(f"what is sent to {url} is the whole dataset, as it is", hint=hint)


def _refuse_place_of_warehouse(scheme: str, place: str, write: Write) -> None:
    """Raise Permanent for a table of BigQuery or an index of OpenSearch that cannot be."""
    said, pattern = _PLACES[scheme]
    if not re.fullmatch(pattern, place):
        raise Permanent(
            f"{scheme}://{place} should be {scheme}://{said}", hint="see the name it is written to"
        )
    if write.formats:
        raise Permanent(f"{write.formats[0]} has no meaning for {scheme}://", hint="remove format")


_PLACES = {
    "bigquery": ("project/dataset/table", r"[\w.:-]+/\w+/[\w-]+"),
    "opensearch": ("host:port/index, with a name in small letters", r"[^/]+/[a-z0-9][a-z0-9._-]*"),
}


QUARANTINE = "quarantine"
"""What the note of a commit calls the version of the quarantine that belongs to it."""


class Judge(Protocol):
    """Who is asked whether rows may be published, between their staging and their commit."""

    def incoming(self, rows: Location, *, others: str = "", where: str = "") -> str:
        """The query of the staged rows that may stay, empty if all may.

        ``others`` is the query of what the table has beside them, ``where`` the condition of those
        that came in, where ``rows`` holds others too.
        """
        ...

    def refuse(self) -> None:
        """Raises DataValidationFailed where a row must not be as it is."""
        ...

    def table(
        self, sql: str, schema: Schema, size: int, before: Schema | None = None, *, composed: bool = False
    ) -> None:
        """Raises DataValidationFailed where the table, whose rows ``sql`` would be, may not become so."""
        ...

    def publish(self, job: Job) -> int | None:
        """Commit what was taken out; the version of the quarantine then, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Who writes what for when: the identity and the note of a write.

    ``app_id`` is ``pipeline/step/logical-date``. ``key`` identifies the result, ``parts`` are what
    the key is made of, kept so that a later plan can say what changed. ``rounded`` is for the
    digest; ``sample`` is how many rows to show and ``masked`` the columns to hide in them.
    ``consumed`` is what the steps of the table will have consumed, told by the commit; ``replaces`` is
    the condition on rows of an append that go, None where it is those of the logical date.
    ``rebuild`` lets none of the rows stay that the table has; ``fence`` is the run's lock. ``sets``
    are the columns that readers use, each digested beside the whole rows. ``go_on`` is called before
    anything is published, and raises where it may not be any more. ``judge`` is asked before that.
    """

    app_id: str
    logical_date: str
    key: str
    parts: Mapping[str, Any]
    run_id: str
    rounded: bool = False
    sample: int = 0
    masked: tuple[str, ...] = ()
    rebuild: bool = False
    fence: Fence | None = None
    sets: tuple[tuple[str, ...], ...] = ()
    consumed: Mapping[str, Any] | None = None
    replaces: str | None = None
    go_on: Callable[[], None] = lambda: None
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a write made. ``digest`` is of the whole table as a reader sees it, ``rows`` came in.

    ``sets`` are digests of some of its columns each.
    """

    targets: tuple[Target, ...]
    staged: Staged
    schema: Schema
    digest: str
    table: (
        Table | None
    )  # the Delta table at the version that was committed, where it holds more than the parts
    version: int | None
    rows: int
    sample: Sample = ()
    note: str = ""
    sets: tuple[str, ...] = ()


def ledger(target: Target, app_id: str) -> Commit | None:
    """The commit that holds this step's last write for this logical date; None if there is none.

    Only Delta tables keep a ledger. For an overwrite it is the newest commit, whoever made it: a
    foreign one has no key and so never equals ours.
    """
    if target.format != "delta":
        return None
    if target.mode is WriteMode.OVERWRITE:
        return last_commit(target.url)
    table = open_table(target.url)
    commit = None if table is None else table.transaction(app_id)
    if table is not None and commit is not None:
        undone = table.undone()
        if undone is None or any(low < commit.version < high for low, high in undone):
            return Commit(commit.version)  # a rollback has taken its rows out
    if table is None or commit is None or target.date_column not in table.partitions:
        return commit
    date = app_id.rpartition("/")[2]
    kept = table.handle.file_uris(file_pruning_predicate=[(str(target.date_column), "=", date)])
    wrote = str(commit.note.get("written", "::")).split(":")[1] != "0"
    return commit if kept or not wrote else Commit(commit.version)  # somebody has taken its rows out


def write(
    db: Database, engine: Engine, intents: Intents, frame: Frame, schema: Schema, targets: tuple[Target, ...],
    handle: Table | None, job: Job,
) -> Written:  # fmt: skip
    """Stage the frame once, check it, and publish it to every target.

    ``handle`` is the Delta target's table as opened before anything was read, None where none was.

    Raises:
        SchemaMismatch: the rows do not fit the target; nothing was published.
        LostRace: another writer committed first; nothing was published, compute again.
    """
    import duckdb

    try:
        from odibi.datasets.writing import write_delta

        if targets[0].format == "database":
            return write_table(db, engine, frame, schema, targets[0], job)
        make = write_delta if targets[0].format == "delta" else _write_files
        return make(db, engine, intents, frame, schema, targets, handle, job)
    except OSError as error:
        where = error.filename or targets[0].url
        raise Permanent(f"cannot write {where}: {error.strerror or error}") from error
    except duckdb.IOException as error:
        if not any(place in str(error) for place in (*(target.url for target in targets), str(db.scratch))):
            raise  # of a file that is read: the rows are computed while they are written
        raise Permanent(f"cannot write {targets[0].url}: {said(error)}") from error


def _write_files(
    db: Database, engine: Engine, intents: Intents, frame: Frame, schema: Schema, targets: tuple[Target, ...],
    handle: Table | None, job: Job,
) -> Written:  # fmt: skip
    del handle
    for target in targets:
        refuse_partitions(target.partition_by, schema, target.url)
    staged = in_scratch(db, engine, frame, schema, job)
    if job.judge is not None:
        job.judge.publish(job)
    for target in targets:
        job.go_on()
        if is_served(target.url):
            _send(db, staged, target, job)
            continue
        export(
            db,
            intents,
            staged.location,
            target.url,
            target.format,
            target.partition_by,
            part=part_of(target, job),
        )
    (found, *_), sample = measure(
        db, staged.location, rounded=job.rounded, sample=job.sample, masked=job.masked
    )
    return Written(targets, staged, schema, str(found), None, None, staged.rows, sample)


def in_scratch(db: Database, engine: Engine, frame: Frame, schema: Schema, job: Job) -> Staged:
    """The rows that may be published, all there will be of them, in the run's own folder.

    Raises:
        DataValidationFailed: they may not be as they are.
    """
    staged = judged(db, engine.stage(frame, schema, str(db.scratch / db.new_name()), ()), job)
    if job.judge is not None:
        job.judge.table(scan(staged.location), schema, staged.bytes)
    return staged


def judged(db: Database, staged: Staged, job: Job) -> Staged:
    """The staged rows that may stay; in scratch, if some may not."""
    query = job.judge.incoming(staged.location) if job.judge is not None else ""
    if not query:
        return staged
    place = str(db.scratch / db.new_name())
    return copied(db.computing(), query, staged.schema, place, staged.partitions)


CONTENT_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


def _send(db: Database, staged: Staged, target: Target, job: Job) -> None:
    """The rows to a server, which may take them once for each result of a date."""
    from odibi.datasets import bigquery, opensearch
    from odibi.datasets.http import post

    options, result = options_of(target.url), f"{job.app_id}/{job.key}"
    warehouse = {"bigquery": bigquery.send, "opensearch": opensearch.send}.get(target.url.partition("://")[0])
    if warehouse is not None:
        # Once for each run: another one may have written there meanwhile.
        warehouse(db, staged.location, target.url, options, _hash(f"{result}/{job.run_id}"), job.go_on)
        return
    body = written_as(db, staged.location, target.format)
    try:
        post(target.url, body, CONTENT_TYPES[target.format], options.get("headers", {}), _hash(result))
    finally:
        body.unlink()


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def part_of(target: Target, job: Job) -> str:
    """The name of the file that an append's rows of this date have in the target's folder."""
    return f"part-{job.app_id.replace('/', '-')}" if target.mode is WriteMode.APPEND else ""


def refuse_partitions(partition_by: tuple[str, ...], schema: Schema, url: str) -> None:
    """Raise SchemaMismatch where ``partition_by`` names no column, every column, or a folder above."""
    from odibi.errors import nearest

    names = {column.name for column in schema}
    for name in partition_by:
        if name not in names:
            raise SchemaMismatch(
                f"{url}: partition_by names {name!r}, which is no column", hint=nearest(name, names)
            )
        if f"/{name.lower()}=" in (url if files.is_remote(url) else str(Path(url).absolute())).lower():
            raise SchemaMismatch(
                f"{url}: its path has a folder {name}=..., the name of a partition_by column",
                hint="choose another path",
            )
    if partition_by and len(partition_by) == len(names):
        raise SchemaMismatch(f"{url}: partition_by names every column; one must be left for the files")
