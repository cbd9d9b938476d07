"""What was told of runs, and when alerts fired last: kept in the run store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from odibi.record.rows import moment, storable

if TYPE_CHECKING:
    from odibi.record.store import RunStore

__all__ = [
    "AlertState",
    "Delivery",
    "States",
    "alert_states",
    "change_alerts",
    "deliveries",
    "restore_alert",
    "save_deliveries",
]


KEPT_DAYS = 90
"""Days that deliveries are remembered."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice on its way to one receiver.

    ``status`` is delivered, failed (the receiver refused it, or every attempt failed) or undelivered (there
    was no time left); ``place`` is where it went, without anything secret; ``at`` when it was given.
    """

    key: str
    run_id: str
    pipeline: str
    hook: str
    kind: str
    place: str
    event: str
    summary: str
    status: str
    at: datetime
    attempts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class AlertState:
    """How a rule stands for a pipeline: whether it fires, about which run, and when it was told last."""

    rule: str
    pipeline: str
    target: str
    firing: bool
    subject: str
    last_fired: datetime


States = Mapping[tuple[str, str], AlertState]
"""By rule and pipeline, of one target."""

_DELIVERY = tuple(field.name for field in fields(Delivery))
_SAVE = f"INSERT INTO deliveries ({', '.join(_DELIVERY)}) VALUES ({', '.join(f':{name}' for name in _DELIVERY)}) ON CONFLICT (key) DO NOTHING"
_KEEP = """
INSERT INTO alerts (rule, pipeline, target, firing, subject, last_fired)
VALUES (:rule, :pipeline, :target, :firing, :subject, :last_fired)
ON CONFLICT (rule, pipeline, target)
DO UPDATE SET firing = excluded.firing, subject = excluded.subject, last_fired = excluded.last_fired
"""
_FORGET = "DELETE FROM alerts WHERE rule = :rule AND pipeline = :pipeline AND target = :target"


def save_deliveries(store: RunStore, found: Iterable[Delivery]) -> None:
    """Record what became of deliveries. Raises OdibiError where the store cannot be written."""
    from sqlalchemy import text

    rows = [_row(one) for one in found]
    if rows:
        with store.database.write("notices") as connection:
            connection.execute(text(_SAVE), rows)
            oldest = datetime.now(UTC) - timedelta(days=KEPT_DAYS)
            connection.execute(text("DELETE FROM deliveries WHERE at < :oldest"), {"oldest": moment(oldest)})


def deliveries(store: RunStore, limit: int = 50) -> tuple[Delivery, ...]:
    """The newest deliveries, newest first."""
    from sqlalchemy import text

    asked = text(f"SELECT {', '.join(_DELIVERY)} FROM deliveries ORDER BY at DESC, key LIMIT :limit")
    with store.database.read() as connection:
        rows = connection.execute(asked, {"limit": limit}).mappings().all()
    return tuple(Delivery(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows)


def alert_states(store: RunStore, target: str) -> States:
    """How the rules stand in a target."""
    with store.database.read() as connection:
        return _states(connection, target)


def change_alerts(
    store: RunStore, target: str, change: Callable[[States], Iterable[AlertState]]
) -> dict[tuple[str, str], AlertState | None]:
    """Change how rules stand, in one transaction, so that of two processes only one tells an alert.

    Args:
        store: the run store.
        target: of which target.
        change: from how they stand to those that stand differently.

    Returns:
        How those that were changed stood before, None where nothing was known.
    """
    from sqlalchemy import text

    with store.database.write("alerts") as connection:
        if store.database.dialect == "postgresql":  # on SQLite every writing transaction is alone
            connection.execute(text("LOCK TABLE alerts IN SHARE ROW EXCLUSIVE MODE"))
        before = _states(connection, target)
        changed = list(change(before))
        if changed:
            connection.execute(text(_KEEP), [_row(one) for one in changed])
    return {(one.rule, one.pipeline): before.get((one.rule, one.pipeline)) for one in changed}


def restore_alert(store: RunStore, now: AlertState, before: AlertState | None) -> None:
    """Take back a change that nobody could be told of, unless another process has made one since."""
    from sqlalchemy import text

    with store.database.write("alerts") as connection:
        if _states(connection, now.target).get((now.rule, now.pipeline)) != now:
            return
        connection.execute(text(_FORGET if before is None else _KEEP), _row(before or now))


def _states(connection: Any, target: str) -> dict[tuple[str, str], AlertState]:
    from sqlalchemy import text

    asked = "SELECT rule, pipeline, target, firing, subject, last_fired FROM alerts WHERE target = :target"
    return {
        (row["rule"], row["pipeline"]): AlertState(
            **{**row, "firing": bool(row["firing"]), "last_fired": datetime.fromisoformat(row["last_fired"])}
        )
        for row in connection.execute(text(asked), {"target": target}).mappings()
    }


def _row(one: Delivery | AlertState) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return moment(value)
        return int(value) if isinstance(value, bool) else storable(value) if isinstance(value, str) else value

    return {name: plain(value) for name, value in asdict(one).items()}
