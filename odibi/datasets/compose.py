"""What a write mode makes of the incoming rows and those that the table has.

Each mode is a function from both to a :class:`Rewrite`: the rows to stage, and the files they take
the place of. Only files that hold a row which changes are written again (copy-on-write).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlglot import exp

from odibi.config.models import WriteMode
from odibi.datasets.delta import DataFile, Table
from odibi.datasets.digest import Digest, digest
from odibi.datasets.guard import Change
from odibi.datasets.modes import BESIDE, CURRENT, FROM, TO, Keyed, beside_schema, history, merged
from odibi.datasets.source import frame_of
from odibi.datasets.target import Job, Target, judged, refuse_partitions
from odibi.engines.base import Engine, Frame, Location, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import literal, scan
from odibi.errors import Permanent, SchemaMismatch, nearest
from odibi.relational.rules import apply_rules
from odibi.relational.schema import Column, Schema, quote

__all__ = ["Incoming", "Rewrite", "compose", "incoming_of"]

FILE = "odibi_file"


@dataclass(frozen=True, slots=True)
class Incoming:
    """The rows of a write. ``given`` are the columns as computed, ``schema`` those the table shall have."""

    frame: Frame
    given: Schema
    schema: Schema
    partitions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What to stage, and what it takes the place of.

    Attributes:
        removed: files that go, all of them with ``all``.
        partitions: whether those of the partitions of the staged rows go as well.
        own: a condition that tells the incoming rows among the staged ones; empty where all are.
        rows: how many came in, None where they are the staged ones.
        beside: what the table is to remember beside its rows, None where it remembers nothing.
        judged: whether the rows that came in have been held against their rules already.
    """

    frame: Frame
    removed: Sequence[DataFile] | Literal["all"] = ()
    partitions: bool = False
    own: str = ""
    rows: int | None = None
    beside: Frame | None = None
    beside_schema: Schema = field(default=())
    judged: bool = False


def incoming_of(engine: Engine, frame: Frame, schema: Schema, target: Target, job: Job) -> Incoming:
    """The rows with the columns that the mode adds: an append's logical date, scd2's validity."""
    refuse_partitions(target.partition_by, schema, target.url)
    write = target.write
    if target.mode is WriteMode.APPEND and target.date_column is not None:
        name = target.date_column
        if any(column.name.lower() == name.lower() for column in schema):
            raise SchemaMismatch(
                f"the rows have a column {name!r}, which append tables use for the logical date",
                hint="name the table's column otherwise: write: {logical_date_column: _loaded_for}",
            )
        columns = [exp.column(column.name, quoted=True) for column in schema]
        date = exp.cast(exp.Literal.string(job.logical_date), "DATE").as_(name, quoted=True)
        dated = target.columns(schema)
        frame = engine.query(exp.select(*columns, date).from_("incoming"), {"incoming": frame}, dated)
        return Incoming(frame, dated, dated, (*target.partition_by, name))
    names = [column.name for column in schema]
    for option, wanted in (
        ("keys", write.keys),
        ("exclude", write.exclude),
        ("sequence_by", (write.sequence_by,) if write.sequence_by else ()),
    ):
        for name in wanted:
            if name not in names:
                raise SchemaMismatch(
                    f"{target.url}: {option} names {name!r}, which is no column", hint=nearest(name, names)
                )
    if target.mode is WriteMode.MERGE and write.sequence_by in write.exclude:
        raise SchemaMismatch(f"{target.url}: sequence_by orders later merges too, the table must keep it")
    for name in (FROM, TO, CURRENT) if target.mode is WriteMode.SCD2 else ():
        if name in names:
            raise SchemaMismatch(
                f"the rows have a column {name!r}, which scd2 adds", hint="rename it in the step"
            )
    return Incoming(frame, schema, target.columns(schema), target.partition_by)


def compose(
    db: Database, engine: Engine, incoming: Incoming, kept: Table | None, change: Change, target: Target, job: Job
) -> Rewrite:  # fmt: skip
    """What the target's mode makes of the incoming rows; ``kept`` is the table whose rows may stay.

    Raises:
        SchemaMismatch: rows that the mode cannot place, such as two of one key; the message names one.
        Permanent: what is to be replaced is not this step's own.
    """
    if target.mode in (WriteMode.MERGE, WriteMode.SCD2):
        return _keyed(db, engine, incoming, kept, change, target, job)
    fitted = _fitted(engine, incoming.frame, incoming.given, change.schema)
    if target.mode is WriteMode.REPLACE_WHERE:
        return _where(db, engine, fitted, kept, change, target, job)
    if target.mode is WriteMode.REPLACE_PARTITIONS and not change.widened:
        return Rewrite(fitted, partitions=True)
    if kept is None:
        return Rewrite(fitted, "all")
    if job.replaces is not None and target.mode is WriteMode.APPEND:
        return _replaced(db, engine, fitted, kept, change, job.replaces, job)
    return _appended(db, engine, fitted, kept, change, target, job)


def _fitted(engine: Engine, frame: Frame, have: Schema, schema: Schema) -> Frame:
    """The rows in the table's columns and types."""
    if have == schema:
        return frame
    names = {column.name for column in have}
    columns = [
        exp.cast(
            exp.column(c.name, quoted=True) if c.name in names else exp.null(), c.type, dialect="duckdb"
        ).as_(c.name, quoted=True)
        for c in schema
    ]
    return engine.query(exp.select(*columns).from_("incoming"), {"incoming": frame}, schema)


# --- append ----------------------------------------------------------------------------------------


def _appended(
    db: Database, engine: Engine, fitted: Frame, kept: Table, change: Change, target: Target, job: Job
) -> Rewrite:
    """New rows beside the others, but in the place of those that this step wrote for the same date."""
    previous = kept.transaction(job.app_id)
    own: tuple[DataFile, ...] = ()
    if previous is not None and target.mode is WriteMode.APPEND:
        if target.date_column is None:
            raise Permanent(
                f"{target.url} already holds other rows of {job.app_id}, and without a column for the "
                "logical date odibi cannot tell which",
                hint="leave logical_date_column at its default, or remove those rows first",
            )
        own = tuple(f for f in kept.files() if f.partition.get(target.date_column) == job.logical_date)
        _refuse_foreign(db, kept, own, change.schema, previous.note.get("written"), target, job)
    if not change.widened:
        return Rewrite(fitted, own)
    # Old files keep their narrow types for every reader only if they are written again.
    others = dataclasses.replace(
        kept.location(), files=tuple(f.path for f in kept.files() if f not in own), schema=change.schema
    )
    both = exp.union(_all("kept", change.schema), _all("incoming", change.schema), distinct=False)
    frame = engine.query(both, {"kept": engine.read(others), "incoming": fitted}, change.schema)
    where = (
        f"{quote(target.date_column)} = DATE {literal(job.logical_date)}" if target.date_column else "true"
    )
    return Rewrite(frame, "all", own=where)


def _replaced(
    db: Database, engine: Engine, fitted: Frame, kept: Table, change: Change, condition: str, job: Job
) -> Rewrite:
    """New rows beside the others, but in the place of those that fulfil the condition."""
    touched = _touched(db, kept, f"({condition})", "") if condition else ()
    touched = kept.files() if change.widened else touched
    if not touched:
        return Rewrite(fitted)
    staged = _judged(db, engine, fitted, change.schema, job)
    stay = _all("kept", change.schema)
    if condition:
        stay = stay.where(exp.Not(this=exp.Paren(this=_true(condition))))
    both = apply_rules(exp.union(stay, _all("incoming", change.schema), distinct=False))
    frames = {"kept": _read(engine, kept, touched, change), "incoming": engine.read(staged.location)}
    frame = engine.query(both, frames, change.schema)
    return Rewrite(frame, "all" if change.widened else touched, rows=staged.rows, judged=True)


def _all(table: str, schema: Schema) -> exp.Select:
    return exp.select(*(exp.column(column.name, quoted=True) for column in schema)).from_(table)


def _refuse_foreign(
    db: Database, kept: Table, own: Sequence[DataFile], schema: Schema, wrote: str | None, target: Target, job: Job
) -> None:  # fmt: skip
    """Raise Permanent where the date has more rows than this step wrote: replacing them would lose some."""
    files = dataclasses.replace(kept.location(), files=tuple(f.path for f in own), schema=schema)
    found = digest(db, files, rounded=job.rounded)
    if wrote and found.rows > Digest.parse(wrote).rows:
        raise Permanent(
            f"{target.url} holds rows of {job.logical_date} that {job.app_id} did not write, "
            "and replacing that date would lose them",
            hint="let every step that appends have a table of its own",
        )


# --- replace_where ---------------------------------------------------------------------------------


def _where(
    db: Database, engine: Engine, fitted: Frame, kept: Table | None, change: Change, target: Target, job: Job
) -> Rewrite:  # fmt: skip
    """The incoming rows in the place of those that fulfil the condition; they must fulfil it too."""
    condition = str(target.write.where)
    staged = _judged(db, engine, fitted, change.schema, job)
    query = apply_rules(exp.select("*").from_("incoming").where(condition, dialect="duckdb"))
    test = query.args["where"].this.sql("duckdb")
    outside = db.rows(f"SELECT count(*) FROM ({scan(staged.location)}) WHERE ({test}) IS NOT TRUE")[0][0]
    if outside:
        raise SchemaMismatch(
            f"{outside} of {staged.rows} rows do not fulfil where: {condition}, and would be added again each time",
            hint="filter them out in the step, or widen the condition",
        )
    rows = engine.read(staged.location)
    if kept is None:
        return Rewrite(rows, "all", judged=True)
    touched = kept.files() if change.widened else _touched(db, kept, f"({test}) IS TRUE", "")
    stay = _all("kept", change.schema).where(exp.Not(this=exp.Paren(this=_true(condition))))
    both = apply_rules(exp.union(stay, _all("incoming", change.schema), distinct=False))
    return Rewrite(
        engine.query(both, {"kept": _read(engine, kept, touched, change), "incoming": rows}, change.schema),
        "all" if change.widened else touched,
        rows=staged.rows,
        judged=True,
    )


def _judged(db: Database, engine: Engine, frame: Frame, schema: Schema, job: Job) -> Staged:
    """The rows that came in, in scratch, without those that go to quarantine.

    Raises:
        DataValidationFailed: a row must not be as it is.
    """
    staged = judged(db, engine.stage(frame, schema, str(db.scratch / db.new_name()), ()), job)
    if job.judge is not None:
        job.judge.refuse()
    return staged


def _true(condition: str) -> exp.Expr:
    """Whether the condition is true, not NULL."""
    return exp.func("COALESCE", exp.condition(condition, dialect="duckdb"), exp.false())


# --- merge and scd2 --------------------------------------------------------------------------------


def _keyed(
    db: Database, engine: Engine, incoming: Incoming, kept: Table | None, change: Change, target: Target, job: Job
) -> Rewrite:  # fmt: skip
    write = target.write
    staged = _judged(db, engine, incoming.frame, incoming.given, job)
    keyed = Keyed(
        write.keys,
        write.sequence_by,
        f"DATE {literal(job.logical_date)}",
        write.delete_when or "",
        tuple(column.name for column in incoming.given if column.name not in write.exclude),
        change.schema,
    )
    rows = dataclasses.replace(staged.location, schema=incoming.given)
    _refuse_ambiguous(db, rows, keyed, target)
    files: Sequence[DataFile] = ()
    if kept is not None:
        files = kept.files() if change.widened else _touched(db, kept, "true", scan(rows), write.keys)
    remembered = _remembered(kept) if kept is not None else ()
    remembers = write.sequence_by is not None or target.mode is WriteMode.SCD2
    shape = beside_schema(keyed, target.sequence_type(incoming.given))
    frames = {"incoming": engine.read(rows)}
    frames["target"] = (
        _read(engine, kept, files, change)
        if kept is not None
        else engine.read(Location("parquet", (), change.schema))
    )
    if remembered:
        frames["beside"] = engine.read(Location("parquet", remembered, shape))
    compute = history if target.mode is WriteMode.SCD2 else merged
    result, beside = compute(keyed, beside=bool(remembered))
    return Rewrite(
        engine.query(result, _named(result, frames), change.schema),
        "all" if kept is None or change.widened else files,
        rows=staged.rows,
        judged=True,
        beside=engine.query(beside, _named(beside, frames), shape) if remembers else None,
        beside_schema=shape,
    )


def _named(query: exp.Query, frames: dict[str, Frame]) -> dict[str, Frame]:
    """The frames that the query names."""
    names = {table.name for table in query.find_all(exp.Table)}
    return {name: frame for name, frame in frames.items() if name in names}


def _refuse_ambiguous(db: Database, rows: Location, keyed: Keyed, target: Target) -> None:
    """Raise SchemaMismatch for rows without key or order, and for two that say different things at once."""
    order = (keyed.sequence,) if keyed.sequence else ()
    for name in (*keyed.keys, *order):
        missing = db.rows(f"SELECT count(*) FROM ({scan(rows)}) WHERE {quote(name)} IS NULL")[0][0]
        if missing:
            option = "keys" if name in keyed.keys else "sequence_by"
            raise SchemaMismatch(
                f"{target.url}: {missing} rows have no {name!r}, which {option} names",
                hint=f"filter them out in the step: {name} IS NOT NULL",
            )
    group = ", ".join(map(quote, (*keyed.keys, *order)))
    found = db.rows(
        f"SELECT {group}, count(*) FROM ({scan(rows)}) AS r GROUP BY {group} "
        f"HAVING count(DISTINCT hash(r)) > 1 ORDER BY {group} LIMIT 1"
    )
    if found:
        shown = ", ".join(
            f"{name} = {value}" for name, value in zip((*keyed.keys, *order), found[0], strict=False)
        )
        raise SchemaMismatch(
            f"{target.url}: {found[0][-1]} rows have {shown}, and differ",
            hint=f"deduplicate them in the step by ({group})"
            + ("" if order else ", or say which is the latest: sequence_by"),
        )


def _touched(
    db: Database, kept: Table, test: str, keys_of: str, keys: Sequence[str] = ()
) -> tuple[DataFile, ...]:
    """The files that hold a row which fulfils the test and has a key among the rows of ``keys_of``."""
    table = kept.location()
    if not table.files:
        return ()
    noted = dataclasses.replace(
        table, schema=(*kept.schema, Column(FILE, "VARCHAR")), options={**table.options, "filename": FILE}
    )
    equal = " AND ".join(f"t.{quote(key)} = k.{quote(key)}" for key in keys)
    among = f" SEMI JOIN ({keys_of}) AS k ON {equal}" if keys else ""
    found = db.rows(f"SELECT DISTINCT t.{FILE} FROM ({scan(noted)}) AS t{among} WHERE {test}")
    hit = {Path(str(row[0])).resolve() for row in found}
    return tuple(file for file in kept.files() if Path(file.path).resolve() in hit)


def _read(engine: Engine, kept: Table, files: Sequence[DataFile], change: Change) -> Frame:
    """Some files of the table, in the columns it shall have."""
    if kept.needs_own_reader:
        return frame_of(engine, kept)
    paths = tuple(file.path for file in files)
    return engine.read(dataclasses.replace(kept.location(), files=paths, schema=change.schema))


def _remembered(kept: Table) -> tuple[str, ...]:
    """The files of what the table remembers beside its rows.

    Raises:
        Permanent: the commit that names them is no longer in the log.
    """
    commit = kept.transaction(BESIDE)
    if commit is None:
        return ()
    if not commit.note:
        raise Permanent(
            f"{kept.url}: the log entry of version {commit.version}, which tells what was deleted, was cleaned up",
            hint="--full-refresh builds the table anew",
        )
    return tuple(kept.folder.path(name) for name in commit.note.get("beside", ()))
