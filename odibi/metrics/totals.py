"""Metrics over all runs of a run store: totals that stand in it, and the runs that are under way.

Each run that has ended is added to the totals once, in one transaction that says so. Runs may be deleted
afterwards without a counter going down, and looking costs what has happened since somebody last looked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from odibi.metrics.families import ACTIVE, RUNNING, Labels, added, amounts_of, of_pipeline
from odibi.record.model import RunRecord, RunStatus
from odibi.record.rows import storable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from odibi.record.store import RunStore

__all__ = ["Totals", "totals"]

Totals = dict[Labels, dict[str, float]]
"""Every series of every metric."""

_OPEN = (RunStatus.QUEUED, RunStatus.RUNNING)
_LOCK = 0x0D1B2  # the name of the lock of totals among PostgreSQL's advisory locks
_COLUMNS = ", ".join(Labels._fields)
_NEW = """
SELECT run_id FROM runs WHERE NOT EXISTS (SELECT 1 FROM metric_runs WHERE metric_runs.run_id = runs.run_id)
ORDER BY started_at, run_id
"""
_CLAIM = "INSERT INTO metric_runs (run_id) VALUES (:run_id) ON CONFLICT (run_id) DO NOTHING"
_PUT = f"""
INSERT INTO metric_totals ({_COLUMNS}, amounts) VALUES (:pipeline, :step, :layer, :engine, :tenant, :amounts)
ON CONFLICT ({_COLUMNS}) DO UPDATE SET amounts = excluded.amounts
"""


def totals(store: RunStore, ended: RunRecord | None = None) -> Totals:
    """The metrics as they are now; runs that have ended since the last look are added to what is kept.

    Args:
        store: the run store.
        ended: a run that has just ended, so that it need not be read.
    """
    under_way = []
    for run in _new(store, ended):
        if run.status in _OPEN:
            under_way.append(run)
        else:
            _add(store, run)
    with store.database.read() as connection:
        if store.database.dialect == "postgresql":  # as SQLite always does: both tables as of one moment
            _execute(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        found = _kept(connection)
        new = {row["run_id"] for row in _rows(connection, _NEW)}
    for labels, amounts in found.items():
        if not labels.step:
            amounts[ACTIVE] = amounts[RUNNING] = 0
    for run in (run for run in under_way if run.run_id in new):
        for labels, more in amounts_of(run).items():
            found[labels] = added(found.get(labels, {}), more)
        active = run.status is RunStatus.RUNNING
        series = found[of_pipeline(run)]
        series[ACTIVE] = series.get(ACTIVE, 0) + active
        lasted = (datetime.now(UTC) - run.started_at).total_seconds() if active else 0
        series[RUNNING] = max(series.get(RUNNING, 0), lasted)
    return found


def _new(store: RunStore, ended: RunRecord | None) -> Iterator[RunRecord]:
    """The runs that are not in the totals yet, in the order of their start."""
    with store.database.read() as connection:
        names = [row["run_id"] for row in _rows(connection, _NEW)]
    for name in names:
        yield ended if ended is not None and ended.run_id == name else store.run(name)


def _add(store: RunStore, run: RunRecord) -> None:
    """Add a run to the totals, unless somebody else has."""
    with store.database.write("metrics") as connection:
        if store.database.dialect == "postgresql":  # on SQLite the transaction is the lock
            _execute(connection, "SELECT pg_advisory_xact_lock(:lock)", lock=_LOCK)
        if _execute(connection, _CLAIM, run_id=storable(run.run_id)).rowcount != 1:
            return
        before = _kept(connection, "WHERE pipeline = :pipeline", pipeline=run.pipeline)
        rows = [
            {**labels._asdict(), "amounts": json.dumps(added(before.get(labels, {}), more))}
            for labels, more in amounts_of(run).items()
        ]
        import sqlalchemy

        connection.execute(sqlalchemy.text(_PUT), rows)


def _kept(connection: Connection, where: str = "", **values: Any) -> Totals:
    read: Callable[[str], dict[str, float]] = json.loads
    return {
        Labels(*(row[name] for name in Labels._fields)): read(row["amounts"])
        for row in _rows(connection, f"SELECT * FROM metric_totals {where} ORDER BY {_COLUMNS}", **values)
    }


def _rows(connection: Connection, statement: str, **values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in _execute(connection, statement, **values).mappings()]


def _execute(connection: Connection, statement: str, **values: Any) -> Any:
    import sqlalchemy

    return connection.execute(sqlalchemy.text(statement), values)
