"""A write to a table of a SQL database: one transaction, and once for the same step, date and key.

The ledger is a table beside the others, ``odibi_ledger``: which step wrote to which table for which date,
and the key of what it wrote. It is changed in the transaction that changes the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from odibi.config.models import WriteMode
from odibi.datasets.database import Session, arrow_of, connected, quoted_table
from odibi.datasets.digest import measure
from odibi.errors import Permanent, SchemaMismatch
from odibi.relational.schema import Schema, quote
from odibi.relational.storage import same_type, widens

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.datasets.target import Job, Target, Written
    from odibi.engines.base import Engine, Frame
    from odibi.engines.database import Database

__all__ = ["last_version", "write_table"]

LEDGER = "odibi_ledger"
_LEDGER = (
    "CREATE TABLE IF NOT EXISTS odibi_ledger (target text, app text, result text, digest text, rows_written bigint, "
    "run text, written_at text, PRIMARY KEY (target, app))"
)


def write_table(
    db: Database, engine: Engine, frame: Frame, schema: Schema, target: Target, job: Job
) -> Written:
    """Compute the frame, and publish it to the table in one transaction.

    Raises:
        SchemaMismatch: the table has other columns.
        Permanent: rows of this date are there that the step did not write, or may not replace.
        DataValidationFailed: the rows break a rule; nothing was published.
    """
    from odibi.datasets.target import Written, in_scratch

    staged = in_scratch(db, engine, frame, schema, job)
    if job.judge is not None:
        job.judge.publish(job)
    (found, *_), sample = measure(
        db, staged.location, rounded=job.rounded, sample=job.sample, masked=job.masked
    )
    dated = target.date_column if target.mode is WriteMode.APPEND else None
    table = target.url.partition("#")[2]
    columns = target.columns(schema)
    with connected(target.url) as session:
        session.lock(table)
        if not session.has(LEDGER):
            session.lock(LEDGER)  # two that make it at once would fail
            session.rows(_LEDGER)
        before = session.rows(f"SELECT app, result, digest FROM {LEDGER} WHERE target = $1", (table,))
        mine = next((entry[1:] for entry in before if entry[0] == job.app_id), None)
        if mine == (job.key, str(found)) and session.has(table) and not job.rebuild:
            job.go_on()
            return Written((target,), staged, schema, str(found), None, None, staged.rows, sample, _SAME)
        if session.has(table):
            _refuse_other_columns(session, table, columns, target.url)
            _clear(session, table, target, job, known=mine is not None)
        else:
            listed = ", ".join(f"{quote(c.name)} {session.type_of(c.type)}" for c in columns)
            session.rows(f"CREATE TABLE {quoted_table(table)} ({listed})")
        session.insert(table, _rows(engine, engine.read(staged.location), schema, dated, job))
        own = "" if target.mode is WriteMode.OVERWRITE else " AND app = $2"
        session.rows(f"DELETE FROM {LEDGER} WHERE target = $1{own}", (table, job.app_id)[: 2 if own else 1])
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = (table, job.app_id, job.key, str(found), staged.rows, job.run_id, now)
        session.rows(f"INSERT INTO {LEDGER} VALUES ($1, $2, $3, $4, $5, $6, $7)", entry)
        job.go_on()
        session.commit()
    return Written((target,), staged, schema, str(found), None, None, staged.rows, sample)


_SAME = "it holds these rows already"


def _rows(engine: Engine, frame: Frame, schema: Schema, dated: str | None, job: Job) -> pa.RecordBatchReader:
    """The rows as Arrow, with the logical date where the table keeps it."""
    import pyarrow as pa

    fields = [(column.name, arrow_of(column.type)) for column in schema]
    target = pa.schema(fields + ([(dated, pa.date32())] if dated else []))
    plain = pa.schema(fields)

    def batches() -> Iterator[pa.RecordBatch]:
        day = datetime.fromisoformat(job.logical_date).date()
        for batch in engine.to_arrow(frame):
            arrays = list(batch.cast(plain).columns)
            arrays += [pa.array([day] * batch.num_rows, pa.date32())] if dated else []
            yield pa.RecordBatch.from_arrays(arrays, schema=target)

    return pa.RecordBatchReader.from_batches(target, batches())


def _refuse_other_columns(session: Session, table: str, columns: Schema, url: str) -> None:
    """See that the table can hold the columns, each exactly."""
    there = {column.name: column.type for column in session.columns(f"SELECT * FROM {quoted_table(table)}")}
    for column in columns:
        if column.name not in there:
            raise SchemaMismatch(
                f"{url} has no column {column.name!r}", hint="add it to the table, or leave it out"
            )
        stored = there[column.name]
        alike = same_type(column.type, stored) or widens(column.type, stored)
        if not alike and session.type_of(column.type) != session.type_of(stored):
            message = f"{url}: column {column.name!r} is {stored} there, the step writes {column.type}"
            raise SchemaMismatch(message, hint="cast it in the step")


def _clear(session: Session, table: str, target: Target, job: Job, *, known: bool) -> None:
    """Take out the rows that the incoming ones replace."""
    if target.mode is WriteMode.OVERWRITE or job.rebuild:
        session.rows(f"DELETE FROM {quoted_table(table)}")
        return
    if target.date_column is None:
        if known:
            raise Permanent(
                f"{target.url} already holds other rows of {job.app_id}, and without a column for the logical "
                "date they cannot be told apart",
                hint="name a logical_date_column",
            )
        return
    where = f"{quoted_table(table)} WHERE {quote(target.date_column)} = '{job.logical_date}'"
    if not known and session.rows(f"SELECT count(*) FROM {where}")[0][0]:
        raise Permanent(
            f"{target.url} holds rows of {job.logical_date} that {job.app_id} did not write",
            hint="write to another table, or remove those rows",
        )
    session.rows(f"DELETE FROM {where}")


def last_version(url: str) -> str | None:
    """The digests of what odibi wrote to a table, empty for a table it did not write; None where none is."""
    table = url.partition("#")[2]
    with connected(url) as session:
        if not session.has(table):
            return None
        if not session.has(LEDGER):
            return ""
        rows = session.rows(f"SELECT digest FROM {LEDGER} WHERE target = $1 ORDER BY app", (table,))
        return " ".join(str(row[0]) for row in rows)
