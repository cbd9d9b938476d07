"""Where rows go that break a rule: a Delta table beside the step's own, written by the same committer.

A step that overwrites its table overwrites its quarantine; every other keeps the rows by logical date, so
that a date which is run again replaces what it had there. Only a run takes rows out again, never a person.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from odibi.config.models import Write, WriteMode
from odibi.datasets.delta import last_commit, open_table
from odibi.datasets.digest import Digest
from odibi.datasets.staging import Intents
from odibi.datasets.target import Job, Target, ledger, write
from odibi.engines.base import Location, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB
from odibi.home import Home

__all__ = ["DATE", "keep", "quarantine_of"]

DATE = "_odibi_date"
"""The column of the logical date whose run took a row out."""

_NAME = "quarantine"


def quarantine_of(target: Target) -> Target:
    """The quarantine of a target: beside it, and called after it; of one that is no local place, in odibi's home."""
    place = target.url.rstrip("/").removesuffix(f".{target.format}")
    if "://" in place:
        mark = hashlib.blake2b(place.encode(), digest_size=4).hexdigest()
        place = str(Home.find().path / _NAME / f"{place.rpartition('/')[2].rpartition('?')[2]}-{mark}")
    url = f"{place}_{_NAME}"
    if target.mode is WriteMode.OVERWRITE:
        return Target(url, "delta", target.mode)
    kept = Write(path=url, mode=WriteMode.APPEND, logical_date_column=DATE)
    return Target(url, "delta", WriteMode.APPEND, policy="widen", date_column=DATE, write=kept)


def keep(db: Database, intents: Intents, target: Target, job: Job, rows: Staged | None) -> None:
    """Let the quarantine hold just these rows of the job's date, or none.

    Raises:
        SchemaMismatch: the rows have other types than those of before, and both cannot be in one table.
    """
    engine, handle = DuckDB(db), open_table(target.url)
    owner, _, date = job.app_id.rpartition("/")
    mine = replace(job, app_id=f"{owner}:{_NAME}/{date}", sets=(), judge=None)
    if rows is not None:
        frame, schema = engine.read(rows.location), rows.schema
    elif handle is not None and _holds_rows(target, mine.app_id):
        schema = tuple(column for column in handle.schema if column.name != target.date_column)
        frame = engine.read(Location("parquet", (), schema))
    else:
        return
    write(db, engine, intents, frame, schema, (target,), handle, mine)


def _holds_rows(target: Target, app_id: str) -> bool:
    """Whether the last commit of this date, or of an overwritten table, left rows there."""
    last = last_commit(target.url) if target.mode is WriteMode.OVERWRITE else ledger(target, app_id)
    if last is None:
        return False
    written = str(last.note.get("written", ""))
    return not written or Digest.parse(written).rows > 0
