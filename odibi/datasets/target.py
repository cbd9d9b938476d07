"""Writing: stage, check, commit. What a write means, whoever computed the rows.

The engine stages Parquet parts nobody reads, the guard compares schemas, and one atomic act
publishes: a Delta commit, or the rename of a file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from odibi.config.models import Format, SchemaPolicy, Write, WriteMode
from odibi.datasets import files
from odibi.datasets.delta import Commit, Table, create_table, last_commit, open_table
from odibi.datasets.digest import Digest, Sample, measure
from odibi.datasets.guard import guard
from odibi.datasets.staging import Intents
from odibi.engines.base import Engine, Frame, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import literal, scan
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
        formats = write.formats or (
            (told,) if told in ("parquet", "csv", "json") else (default_format or "delta",)
        )
        append = write.mode is WriteMode.APPEND
        policy: SchemaPolicy = write.schema_policy or ("exact" if append or ingest else "replace")
        targets = []
        for format in sorted(set(formats), key=lambda f: (f != "delta", f)):
            if format == "delta":
                if files.is_remote(path):
                    raise Permanent(f"Delta tables at {path.split('://')[0]}:// URLs are not available in this version",
                                    hint="write Delta to a local folder, or another format")  # fmt: skip
                url = path
            else:
                if append and write.partition_by:
                    raise Permanent(f"append with partition_by needs format delta, not {format}")
                url = path if Path(path).suffix == f".{format}" else f"{_bare(path)}.{format}"
            targets.append(
                Target(
                    url,
                    format,
                    write.mode,
                    write.partition_by,
                    policy,
                    write.logical_date_column if append else None,
                )
            )
        return tuple(targets)

    @property
    def folder(self) -> bool:
        """Whether it is a folder of files rather than one."""
        return self.format == "delta" or bool(self.partition_by) or self.mode is WriteMode.APPEND


def _bare(path: str) -> str:
    return str(Path(path).with_suffix("")) if Path(path).suffix in (".csv", ".json", ".parquet") else path


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
    first = targets[0]
    if first.format == "delta":
        return _write_delta(db, engine, intents, frame, schema, targets, handle, job)
    scratch = str(db.scratch / db.new_name())
    staged = engine.stage(frame, schema, scratch, () if first.format != "parquet" else first.partition_by)
    for target in targets:
        _export(db, staged, target, job)
    found, sample = measure(db, staged.location, rounded=job.rounded, sample=job.sample, masked=job.masked)
    return Written(targets, staged, schema, str(found), None, None, sample)


def _write_delta(
    db: Database, engine: Engine, intents: Intents, frame: Frame, schema: Schema, targets: tuple[Target, ...],
    handle: Table | None, job: Job,
) -> Written:  # fmt: skip
    target = targets[0]
    frame, incoming, partitions = _dated(engine, frame, schema, target, job)
    change = guard(incoming, handle.schema if handle else None, target.policy, target.url)
    if change.widened and handle is not None:
        # Old files keep their narrow types for every reader only if they are written again.
        frame, incoming = _rewritten(engine, frame, incoming, handle, change.schema, target, job)
    staged = engine.stage(frame, incoming, intents.folder(target.url), partitions)
    _refuse_empty_partitions(staged)
    added, sample = measure(db, staged.location, rounded=job.rounded, sample=job.sample, masked=job.masked)
    whole, replaced = _whole(added, handle, target, job)
    rows = staged.rows if replaced == "all" or whole is None else whole.rows
    note = {
        "key": job.key,
        "parts": dict(job.parts),
        "digest": str(whole) if whole else "",
        "written": str(added),
        "rows": rows,
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
            added=() if change.widened or target.policy == "replace" else change.added,
        )
    for other in targets[1:]:
        _export(db, staged, other, job)
    # An overwrite's table is its parts; only an append's readers see more than what was staged.
    table = open_table(target.url, version) if target.mode is WriteMode.APPEND else None
    text = str(whole) if whole else f"{target.url}@{version}"
    return Written(targets, staged, change.schema, text, table, version, sample)


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
    frame = engine.query(exp.select(*columns, date).from_("rows"), {"rows": frame})
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
    if partition_by and len(partition_by) == len(names):
        raise SchemaMismatch(f"{url}: partition_by names every column; one must be left for the files")


def _rewritten(
    engine: Engine, frame: Frame, incoming: Schema, handle: Table, schema: Schema, target: Target, job: Job
) -> tuple[Frame, Schema]:
    """The table's rows that stay and the new ones, in the widened types."""
    from sqlglot import exp

    from odibi.datasets.source import frame_of

    def projected(source: str, have: Schema) -> exp.Select:
        names = {column.name for column in have}
        return exp.select(
            *(
                exp.cast(
                    exp.column(c.name, quoted=True) if c.name in names else exp.null(),
                    c.type,
                    dialect="duckdb",
                ).as_(c.name, quoted=True)
                for c in schema
            )
        ).from_(source)

    old = projected("kept", handle.schema)
    if target.date_column:
        date = exp.cast(exp.Literal.string(job.logical_date), "DATE")
        old = old.where(exp.NullSafeNEQ(this=exp.column(target.date_column, quoted=True), expression=date))
    else:
        old = old.where(exp.false())
    query = exp.union(old, projected("incoming", incoming), distinct=False)
    return engine.query(query, {"kept": frame_of(engine, handle), "incoming": frame}), schema


def _whole(
    added: Digest, handle: Table | None, target: Target, job: Job
) -> tuple[Digest | None, Literal["all"] | list[tuple[str, str, Any]] | None]:
    """The digest of the table after the commit (None if unknown), and what the commit replaces."""
    if target.mode is WriteMode.OVERWRITE:
        return added, "all"
    if handle is None:
        return added, None
    before = last_commit(handle.url)
    known = before.note.get("digest") if before is not None and before.version == handle.version else None
    total = Digest.parse(known).plus(added) if known else None
    previous = handle.transaction(job.app_id)
    if previous is None:
        return total, None
    if target.date_column is None:
        raise Permanent(
            f"{handle.url} already holds other rows of {job.app_id}, and without a column for the "
            "logical date odibi cannot tell which",
            hint="leave logical_date_column at its default, or remove those rows first",
        )
    mine = previous.note.get("written")
    if total is not None:
        total = total.minus(Digest.parse(mine)) if mine else None
    return total, [(target.date_column, "=", job.logical_date)]


def _refuse_empty_partitions(staged: Staged) -> None:
    """Delta reads an empty partition value as NULL, which would change the rows."""
    for part in staged.parts:
        for name, value in part.partition.items():
            if value == "":
                raise SchemaMismatch(
                    f"partition_by column {name!r} holds an empty text, which Delta cannot tell from NULL",
                    hint=f"replace it in the step: nullif({name}, '')",
                )


# --- files ---------------------------------------------------------------------------------------


def _export(db: Database, staged: Staged, target: Target, job: Job) -> None:
    """Publish staged rows as plain files: written aside, flushed to disk, renamed."""
    local = str(db.scratch / db.new_name()) if files.is_remote(target.url) else _aside(target.url, job)
    source = scan(staged.location)
    try:
        if target.partition_by:
            _copy(source, local, target.format, target.partition_by)
        else:
            _copy(source, local, target.format)
        final = target.url
        if target.mode is WriteMode.APPEND:
            final = f"{target.url}/part-{job.app_id.replace('/', '-')}.{target.format}"
        if files.is_remote(final):
            _upload(local, final)
        else:
            _publish(Path(local), Path(final))
    finally:
        if Path(local).is_dir():
            shutil.rmtree(local, ignore_errors=True)
        else:
            Path(local).unlink(missing_ok=True)


def _aside(url: str, job: Job) -> str:
    path = Path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    return str(path.parent / f".{path.name}.{job.run_id[:8]}.tmp")


_COPY = {"parquet": "FORMAT parquet", "csv": "FORMAT csv, HEADER true", "json": "FORMAT json, ARRAY true"}


def _copy(source: str, to: str, format: str, partition_by: tuple[str, ...] = ()) -> None:
    import duckdb

    options = _COPY[format]
    if partition_by:
        columns = ", ".join(quote(column) for column in partition_by)
        options = options.replace(", ARRAY true", "")
        options += f", PARTITION_BY ({columns}), FILENAME_PATTERN 'part-{{i}}'"
    # A database of its own: files for people keep the order of a sort, which the run's does not.
    with duckdb.connect(":memory:", config={"threads": "1"}) as database:
        database.execute("SET TimeZone='UTC'")
        database.execute(f"COPY ({source}) TO {literal(to)} ({options})")


def _publish(new: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    if new.is_file():
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        if final.is_dir():
            raise Permanent(
                f"{final} is a folder, and the step writes a file", hint="remove it or choose another path"
            )
        new.replace(final)
        return
    if final.exists():
        old = final.with_name(f".{final.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)  # not atomic together with the next line: docs/critiques.md
        new.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    else:
        new.rename(final)


def _upload(local: str, url: str) -> None:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url)
    if Path(local).is_dir():
        system.put(local, path, recursive=True)
        return
    system.makedirs(system._parent(path), exist_ok=True)
    aside = f"{path}.tmp"
    system.put_file(local, aside)
    system.mv(aside, path)
