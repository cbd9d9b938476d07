"""Writing: stage, check, commit. What a write means, whoever computed the rows.

The engine stages Parquet parts nobody reads, the guard compares schemas, and one atomic act
publishes: a Delta commit, or the rename of a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odibi.config.models import Format, SchemaPolicy, Write, WriteMode
from odibi.datasets import files
from odibi.datasets.broken import said
from odibi.datasets.delta import Commit, Table, create_table, last_commit, open_table, refuse_path
from odibi.datasets.digest import Digest, Sample, digest, measure
from odibi.datasets.export import export
from odibi.datasets.guard import guard
from odibi.datasets.staging import Intents, discard
from odibi.engines.base import Engine, Frame, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import literal
from odibi.errors import Permanent, SchemaMismatch
from odibi.relational.schema import Column, Schema, quote

__all__ = ["Job", "Target", "Written", "ledger", "write"]


@dataclass(frozen=True, slots=True)
class Target:
    """One thing a step writes: a Delta table, a file, or a folder of files."""

    url: str
    format: Format
    mode: WriteMode
    partition_by: tuple[str, ...] = ()
    policy: SchemaPolicy = "replace"
    date_column: str | None = None  # of an append: the column that holds the logical date

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
        policy: SchemaPolicy = write.schema_policy or ("exact" if append or ingest else "replace")
        if append and policy == "replace":
            raise Permanent(
                "append keeps the rows there are, so schema: replace has no meaning", hint="schema: widen"
            )
        if write.schema_policy is not None and "delta" not in formats:
            raise Permanent(f"schema: {policy} guards Delta tables, not {formats[0]} files")
        date_column = write.logical_date_column if append else None
        targets = []
        for format in sorted(set(formats), key=lambda f: (f != "delta", f)):
            if format == "delta":
                url = path if len(formats) == 1 else _bare(path)
                _refuse_place(url)
            else:
                if append and write.partition_by:
                    raise Permanent(f"append with partition_by needs format delta, not {format}")
                url = path if path.endswith(f".{format}") else f"{_bare(path)}.{format}"
            targets.append(Target(url, format, write.mode, write.partition_by, policy, date_column))
        return tuple(targets)

    @property
    def folder(self) -> bool:
        """Whether it is a folder of files rather than one."""
        return self.format == "delta" or bool(self.partition_by) or self.mode is WriteMode.APPEND


_PLAIN: tuple[Format, ...] = ("parquet", "csv", "json")


def _bare(path: str) -> str:
    return next((path.removesuffix(f".{format}") for format in _PLAIN if path.endswith(f".{format}")), path)


def _refuse_place(url: str) -> None:
    if files.is_remote(url):
        raise Permanent(
            f"Delta tables at {url.split('://', maxsplit=1)[0]}:// URLs are not available in this version",
            hint="write Delta to a local folder, or another format",
        )
    refuse_path(url)


@dataclass(frozen=True, slots=True)
class Job:
    """Who writes what for when: the identity and the note of a write.

    ``app_id`` is ``pipeline/step/logical-date``. ``key`` identifies the result, ``parts`` are what
    the key is made of, kept so that a later plan can say what changed. ``rounded`` is for the
    digest; ``sample`` is how many rows to show and ``masked`` the columns to hide in them.
    """

    app_id: str
    logical_date: str
    key: str
    parts: Mapping[str, Any]
    run_id: str
    rounded: bool = False
    sample: int = 0
    masked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What a write made. ``digest`` is of the whole table as a reader sees it."""

    targets: tuple[Target, ...]
    staged: Staged
    schema: Schema
    digest: str
    table: Table | None  # an append's Delta table at the version that was committed
    version: int | None
    sample: Sample = ()
    note: str = ""


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
    return None if table is None else table.transaction(app_id)


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
        make = _write_delta if targets[0].format == "delta" else _write_files
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
        _known(target.partition_by, schema, target.url)
    staged = engine.stage(frame, schema, str(db.scratch / db.new_name()), ())
    for target in targets:
        export(
            db,
            intents,
            staged.location,
            target.url,
            target.format,
            target.partition_by,
            part=_part(target, job),
        )
    found, sample = measure(db, staged.location, rounded=job.rounded, sample=job.sample, masked=job.masked)
    return Written(targets, staged, schema, str(found), None, None, sample)


def _part(target: Target, job: Job) -> str:
    """The name of the file that an append's rows of this date have in the target's folder."""
    return f"part-{job.app_id.replace('/', '-')}" if target.mode is WriteMode.APPEND else ""


def _write_delta(
    db: Database, engine: Engine, intents: Intents, frame: Frame, schema: Schema, targets: tuple[Target, ...],
    handle: Table | None, job: Job,
) -> Written:  # fmt: skip
    target = targets[0]
    append = target.mode is WriteMode.APPEND
    if handle is not None:
        handle.refuse_features()
    frame, incoming, partitions = _dated(engine, frame, schema, target, job)
    change = guard(incoming, handle.schema if handle else None, target.policy, target.url)
    previous = handle.transaction(job.app_id) if handle is not None and append else None
    if previous is not None and target.date_column is None:
        raise Permanent(
            f"{target.url} already holds other rows of {job.app_id}, and without a column for the "
            "logical date odibi cannot tell which",
            hint="leave logical_date_column at its default, or remove those rows first",
        )
    # Old files keep their narrow types for every reader only if they are written again.
    rewritten = handle if append and change.widened else None
    frame = _fitted(
        engine, frame, incoming, change.schema, rewritten, target, job, again=previous is not None
    )
    folder = intents.folder(target.url)
    try:
        staged = engine.stage(frame, change.schema, folder, partitions)
        _refuse_empty_partitions(staged)
        written, sample = measure(
            db, staged.location, rounded=job.rounded, sample=job.sample, masked=job.masked
        )
        whole = written
        replaced: str | list[tuple[str, str, Any]] | None = None if handle is None else "all"
        if handle is not None and append and rewritten is None:
            whole, replaced = _appended(db, written, handle, change.schema, previous, target, job)
        if rewritten is not None and target.date_column is not None:
            written = digest(db, staged.location, rounded=job.rounded, where=_of_date(target, job))
        note = {
            "key": job.key,
            "parts": dict(job.parts),
            "digest": str(whole),
            "written": str(written),
            "rows": whole.rows,
            "schema": [[column.name, column.type] for column in change.schema],
            "run": job.run_id,
            "logical_date": job.logical_date,
        }
        if handle is None:
            version = create_table(target.url, staged, schema=change.schema, note=note, app_id=job.app_id)
        else:
            version = handle.commit(
                staged,
                schema=change.schema,
                replace=replaced,
                note=note,
                app_id=job.app_id,
                added=change.added if replaced != "all" else (),
            )
    except BaseException:
        discard(target.url, folder)
        raise
    own = _of_date(target, job) if rewritten is not None else ""
    for other in targets[1:]:
        export(
            db,
            intents,
            staged.location,
            other.url,
            other.format,
            other.partition_by,
            part=_part(other, job),
            where=own,
        )
    # An overwrite's table is its parts; only an append's readers see more than what was staged.
    table = open_table(target.url, version) if append else None
    return Written(targets, staged, change.schema, str(whole), table, version, sample)


def _of_date(target: Target, job: Job) -> str:
    """The condition on the rows of the job's date; on all where they do not tell."""
    return f"{quote(target.date_column)} = DATE {literal(job.logical_date)}" if target.date_column else "true"


def _dated(
    engine: Engine, frame: Frame, schema: Schema, target: Target, job: Job
) -> tuple[Frame, Schema, tuple[str, ...]]:
    """An append's rows with the logical date they belong to, and what the table is partitioned by."""
    name = target.date_column
    if target.mode is not WriteMode.APPEND or name is None:
        _known(target.partition_by, schema, target.url)
        return frame, schema, target.partition_by
    if any(column.name.lower() == name.lower() for column in schema):
        raise SchemaMismatch(
            f"the rows have a column {name!r}, which append tables use for the logical date",
            hint="name the table's column otherwise: write: {logical_date_column: _loaded_for}",
        )
    from sqlglot import exp

    columns = [exp.column(column.name, quoted=True) for column in schema]
    date = exp.cast(exp.Literal.string(job.logical_date), "DATE").as_(name, quoted=True)
    frame = engine.query(exp.select(*columns, date).from_("incoming"), {"incoming": frame})
    _known(target.partition_by, schema, target.url)
    return frame, (*schema, Column(name, "DATE")), (*target.partition_by, name)


def _known(partition_by: tuple[str, ...], schema: Schema, url: str) -> None:
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


def _fitted(
    engine: Engine, frame: Frame, incoming: Schema, schema: Schema, rewritten: Table | None, target: Target, job: Job,
    *, again: bool,
) -> Frame:  # fmt: skip
    """The rows in the table's columns and types, with those of the table that stay where it is rewritten."""
    from sqlglot import exp

    from odibi.datasets.source import frame_of

    def projected(source: str, have: Schema) -> exp.Select:
        names = {column.name for column in have}
        columns = [exp.column(c.name, quoted=True) if c.name in names else exp.null() for c in schema]
        return exp.select(
            *(
                exp.cast(column, c.type, dialect="duckdb").as_(c.name, quoted=True)
                for column, c in zip(columns, schema, strict=True)
            )
        ).from_(source)

    if rewritten is None:
        return (
            frame
            if incoming == schema
            else engine.query(projected("incoming", incoming), {"incoming": frame})
        )
    kept = projected("kept", rewritten.schema)
    if again:
        date = exp.cast(exp.Literal.string(job.logical_date), "DATE")
        column = exp.column(str(target.date_column), quoted=True)
        kept = kept.where(exp.NullSafeNEQ(this=column, expression=date))
    both = exp.union(kept, projected("incoming", incoming), distinct=False)
    return engine.query(both, {"kept": frame_of(engine, rewritten), "incoming": frame})


def _appended(
    db: Database,
    added: Digest,
    handle: Table,
    schema: Schema,
    previous: Commit | None,
    target: Target,
    job: Job,
) -> tuple[Digest, list[tuple[str, str, Any]] | None]:
    """The digest of the table after an append, and the partitions that it replaces."""
    table = dataclasses.replace(handle.location(), schema=schema)
    gone = Digest(added.hash, 0, 0)
    if previous is not None:
        gone = digest(db, table, rounded=job.rounded, where=_of_date(target, job))
        own = previous.note.get("written")
        if own and gone.rows > Digest.parse(own).rows:
            raise Permanent(
                f"{target.url} holds rows of {job.logical_date} that {job.app_id} did not write, "
                "and replacing that date would lose them",
                hint="let every step that appends have a table of its own",
            )
    last = last_commit(handle.url)
    known = last.note.get("digest") if last is not None and last.version == handle.version else None
    before = Digest.parse(known) if known else None
    if before is None or before.hash != added.hash:  # by somebody else, or over other columns: taken anew
        before = digest(db, table, rounded=job.rounded)
    whole = Digest(added.hash, before.rows - gone.rows + added.rows, before.total - gone.total + added.total)
    return whole, None if previous is None else [(str(target.date_column), "=", job.logical_date)]


def _refuse_empty_partitions(staged: Staged) -> None:
    """Delta reads an empty partition value as NULL, which would change the rows."""
    for part in staged.parts:
        for name, value in part.partition.items():
            if value == "":
                raise SchemaMismatch(
                    f"partition_by column {name!r} holds an empty text, which Delta cannot tell from NULL",
                    hint=f"replace it in the step: nullif({name}, '')",
                )
