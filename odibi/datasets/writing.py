"""A write to a Delta table: dated, guarded, fitted to the table, staged, measured, committed."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlglot import exp

from odibi.config.models import WriteMode
from odibi.datasets.delta import Commit, Table, create_table, last_commit, open_table
from odibi.datasets.digest import Digest, digest, measure
from odibi.datasets.export import export
from odibi.datasets.guard import guard
from odibi.datasets.source import frame_of
from odibi.datasets.staging import Intents, discard
from odibi.datasets.target import Job, Target, Written, part_of, refuse_partitions
from odibi.engines.base import Engine, Frame, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import literal
from odibi.errors import Permanent, SchemaMismatch
from odibi.relational.schema import Column, Schema, quote

__all__ = ["write_delta"]


def write_delta(
    db: Database, engine: Engine, intents: Intents, frame: Frame, schema: Schema, targets: tuple[Target, ...],
    handle: Table | None, job: Job,
) -> Written:  # fmt: skip
    """Stage the frame as parts of the first target's table and commit them; see :func:`odibi.datasets.target.write`."""
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
    gone = _replaced(db, handle, change.schema, previous, target, job) if handle and previous else None
    # Old files keep their narrow types for every reader only if they are written again.
    rewritten = handle if append and change.widened else None
    frame = _fitted(engine, frame, incoming, change.schema, rewritten, target, job, again=gone is not None)
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
            whole, replaced = _appended(db, written, gone, handle, change.schema, target, job)
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
            part=part_of(other, job),
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
        refuse_partitions(target.partition_by, schema, target.url)
        return frame, schema, target.partition_by
    if any(column.name.lower() == name.lower() for column in schema):
        raise SchemaMismatch(
            f"the rows have a column {name!r}, which append tables use for the logical date",
            hint="name the table's column otherwise: write: {logical_date_column: _loaded_for}",
        )
    columns = [exp.column(column.name, quoted=True) for column in schema]
    date = exp.cast(exp.Literal.string(job.logical_date), "DATE").as_(name, quoted=True)
    frame = engine.query(exp.select(*columns, date).from_("incoming"), {"incoming": frame})
    refuse_partitions(target.partition_by, schema, target.url)
    return frame, (*schema, Column(name, "DATE")), (*target.partition_by, name)


def _fitted(
    engine: Engine, frame: Frame, incoming: Schema, schema: Schema, rewritten: Table | None, target: Target, job: Job,
    *, again: bool,
) -> Frame:  # fmt: skip
    """The rows in the table's columns and types, with those of the table that stay where it is rewritten."""

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


def _replaced(
    db: Database, handle: Table, schema: Schema, previous: Commit, target: Target, job: Job
) -> Digest:
    """The digest of the rows of the job's date, which the write takes out.

    Raises:
        Permanent: there are more of them than this step wrote.
    """
    table = dataclasses.replace(handle.location(), schema=schema)
    gone = digest(db, table, rounded=job.rounded, where=_of_date(target, job))
    own = previous.note.get("written")
    if own and gone.rows > Digest.parse(own).rows:
        raise Permanent(
            f"{target.url} holds rows of {job.logical_date} that {job.app_id} did not write, "
            "and replacing that date would lose them",
            hint="let every step that appends have a table of its own",
        )
    return gone


def _appended(
    db: Database,
    added: Digest,
    gone: Digest | None,
    handle: Table,
    schema: Schema,
    target: Target,
    job: Job,
) -> tuple[Digest, list[tuple[str, str, Any]] | None]:
    """The digest of the table after an append, and the partitions that it replaces."""
    last = last_commit(handle.url)
    known = last.note.get("digest") if last is not None and last.version == handle.version else None
    before = Digest.parse(known) if known else None
    if before is None or before.hash != added.hash:  # by somebody else, or over other columns: taken anew
        before = digest(db, dataclasses.replace(handle.location(), schema=schema), rounded=job.rounded)
    rows, total = (gone.rows, gone.total) if gone is not None else (0, 0)
    whole = Digest(added.hash, before.rows - rows + added.rows, before.total - total + added.total)
    return whole, None if gone is None else [(str(target.date_column), "=", job.logical_date)]


def _refuse_empty_partitions(staged: Staged) -> None:
    """Readers take an empty partition value for NULL, DuckDB before 2.0 two more: that would change the rows."""
    import duckdb

    null = {"", "NULL", "__HIVE_DEFAULT_PARTITION__"} if duckdb.__version__.startswith("1.") else {""}
    for part in staged.parts:
        for name, value in part.partition.items():
            if value is not None and value.upper() in null:
                what = f"the text {value}" if value else "an empty text"
                raise SchemaMismatch(
                    f"partition_by column {name!r} holds {what}, which readers cannot tell from NULL",
                    hint=f"replace it in the step: nullif({name}, '{value}')",
                )
