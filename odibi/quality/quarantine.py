"""Where rows go that break a rule: a Delta table beside the step's own, written by the same committer.

A step that overwrites its table overwrites its quarantine; every other keeps the rows by logical date, so
that a date which is run again replaces what it had there. Only a run takes rows out again, never a person.

A step that reads only what is new does not read its bad rows a second time. So it takes those it has in
quarantine with the new ones (:func:`again`), and the quarantine becomes what is bad of them all. Which
version of it belongs to the step's table stands in the note of that table's commit: a run that died between
the two commits has changed nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from sqlglot import exp, parse_one

from odibi.config.models import Write, WriteMode
from odibi.datasets.delta import commit_at, last_commit, open_table
from odibi.datasets.digest import Digest
from odibi.datasets.source import frame_of
from odibi.datasets.staging import Intents
from odibi.datasets.target import QUARANTINE, Job, Target, ledger, write
from odibi.engines.base import Engine, Frame, Location, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB
from odibi.errors import Permanent
from odibi.home import Home
from odibi.places import beside
from odibi.relational.schema import Schema, quote

__all__ = ["DATE", "again", "keep", "quarantine_of"]

DATE = "_odibi_date"
"""The column of the logical date whose run took a row out."""


def quarantine_of(target: Target, *, whole: bool = False) -> Target:
    """The quarantine of a target: beside it, and called after it; of what is elsewhere and no Delta table, in odibi's home.

    It is overwritten as a ``whole`` where each run judges all that is in it again.
    """
    place = target.url.rstrip("/").removesuffix(f".{target.format}")
    if "://" in place and target.format != "delta":
        mark = hashlib.blake2b(place.encode(), digest_size=4).hexdigest()
        place = str(Home.find().path / QUARANTINE / f"{re.split('[^A-Za-z0-9_.-]', place)[-1]}-{mark}")
    url = beside(f"{place}_{QUARANTINE}", target.url if "://" in place else place)
    if target.mode is WriteMode.OVERWRITE or whole:
        return Target(url, "delta", WriteMode.OVERWRITE)
    kept = Write(path=url, mode=WriteMode.APPEND, logical_date_column=DATE)
    return Target(url, "delta", WriteMode.APPEND, policy="widen", date_column=DATE, write=kept)


def keep(db: Database, intents: Intents, target: Target, job: Job, rows: Staged | None) -> int | None:
    """Let the quarantine hold just these rows of the job's date, or none; its version then, None if it is not there.

    Raises:
        SchemaMismatch: the rows have other types than those of before, and both cannot be in one table.
    """
    engine, handle = DuckDB(db), open_table(target.url)
    owner, _, date = job.app_id.rpartition("/")
    mine = replace(
        job, app_id=f"{owner}:{QUARANTINE}/{date}", sets=(), judge=None, consumed=None, replaces=None
    )
    if rows is not None:
        frame, schema = engine.read(rows.location), rows.schema
    elif handle is not None and (job.rebuild or _holds_rows(target, mine.app_id)):
        schema = tuple(column for column in handle.schema if column.name != target.date_column)
        frame = engine.read(Location("parquet", (), schema))
    else:
        return handle.version if handle is not None else None
    return write(db, engine, intents, frame, schema, (target,), handle, mine).version


def again(engine: Engine, target: Target, version: int, schema: Schema) -> tuple[Frame, int] | None:
    """The rows in quarantine at a version, in the columns they are judged in now, and how many; None if none.

    Raises:
        Permanent: that version is gone.
    """
    place = quarantine_of(target, whole=True).url
    table = open_table(place, version)
    if table is None:
        hint = "--full-refresh builds this step's table anew from all it reads"
        raise Permanent(f"the quarantine {place} is gone, and with it rows that were read before", hint=hint)
    rows = int(commit_at(place, version).note.get("rows", 0))
    if not rows:
        return None
    have = {column.name for column in table.schema}
    columns = ", ".join(
        f"CAST({quote(c.name) if c.name in have else 'NULL'} AS {c.type}) AS {quote(c.name)}" for c in schema
    )
    query = parse_one(f"SELECT {columns} FROM kept", dialect="duckdb", into=exp.Select)
    return engine.query(query, {"kept": frame_of(engine, table)}, schema), rows


def _holds_rows(target: Target, app_id: str) -> bool:
    """Whether the last commit of this date, or of an overwritten table, left rows there."""
    last = last_commit(target.url) if target.mode is WriteMode.OVERWRITE else ledger(target, app_id)
    if last is None:
        return False
    written = str(last.note.get("written", ""))
    return not written or Digest.parse(written).rows > 0
