"""One run per pipeline, target and logical date: a lock in the run store that a dead process does not hold.

On the machine of the holder it is the process that counts; from elsewhere it is whether its heart still
beats, counted in beats and watched with this machine's own clock, so that no clock need agree with another
(as in https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html, with its fencing tokens:
each holder has a greater epoch than those before it).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from odibi.errors import OdibiError, Permanent
from odibi.record.process import ABANDONED, can_tell, is_gone, this_process
from odibi.record.rows import storable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Connection

    from odibi.record.store import RunStore

__all__ = ["Busy", "Lock", "abandoned", "cancel", "free_epoch", "take"]

BEAT = 2.0  # seconds between beats
SILENCE = 30.0  # seconds without a beat after which a process elsewhere is taken for dead

_FIND = "SELECT * FROM locks WHERE name = :name"
_TAKE = """
INSERT INTO locks (name, epoch, run_id, beats, cancelled, host, pid, process_start)
VALUES (:name, :epoch, :run_id, 0, 0, :host, :pid, :process_start)
ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, run_id = excluded.run_id, beats = 0, cancelled = 0,
    host = excluded.host, pid = excluded.pid, process_start = excluded.process_start
"""
_BEAT = "UPDATE locks SET beats = beats + 1 WHERE name = :name AND epoch = :epoch RETURNING cancelled"
_CLOSE = "UPDATE runs SET status = 'Failed', error = :error WHERE run_id = :run_id AND status = 'Running'"
_RELEASE = "UPDATE locks SET run_id = '' WHERE name = :name AND epoch = :epoch"
_CANCEL = "UPDATE locks SET cancelled = 1 WHERE run_id = :run_id RETURNING host, pid, process_start"


class Busy(Permanent):
    """Another run holds the lock."""


def free_epoch(store: RunStore, name: str) -> int:
    """The epoch of the last holder, 0 if there was none. Raises Busy while a process that lives has the lock."""
    with store.database.read() as connection:
        row = _found(connection, name)
    if row is None:
        return 0
    if row["run_id"] and can_tell(row["host"]) and not _gone(row):
        raise _busy(name, row)
    return int(row["epoch"])


def take(store: RunStore, name: str, run_id: str, *, silence: float = SILENCE) -> Lock:
    """Take the lock. Waits only where a process elsewhere may be dead: until a beat of it, or ``silence`` seconds.

    Raises:
        Busy: another run holds it.
    """
    heard: tuple[int, int] | None = None
    deadline = time.monotonic() + silence
    while True:
        with store.database.write("lock") as connection:
            row = _found(connection, name)
            silent = time.monotonic() > deadline
            if row is None or not row["run_id"] or _gone(row) or (silent and heard == _heart(row)):
                if row is not None and row["run_id"] not in ("", run_id):
                    # Elsewhere nobody can see that its process is gone.
                    _run(connection, _CLOSE, run_id=row["run_id"], error=ABANDONED)
                return _taken(connection, store, name, run_id, int(row["epoch"]) if row else 0)
        if can_tell(row["host"]) or (heard is not None and heard != _heart(row)):
            raise _busy(name, row)
        heard = _heart(row)
        time.sleep(min(BEAT, silence) / 4)


def abandoned(store: RunStore) -> tuple[tuple[str, str], ...]:
    """The locks that dead processes of this machine hold, each with the run; the next run takes them."""
    with store.database.read() as connection:
        rows = _run(connection, "SELECT * FROM locks WHERE run_id <> ''")
    return tuple((row["name"], row["run_id"]) for row in rows if _gone(row))


def cancel(store: RunStore, run_id: str) -> bool:
    """Ask the run to end, wherever it is; False if no run of that id holds a lock."""
    with store.database.write("cancel") as connection:
        rows = _run(connection, _CANCEL, run_id=storable(run_id))
    return any(not _gone(row) for row in rows)


class Lock:
    """The lock while it is held. As a context it beats, and lets go at the end.

    ``previous`` is the epoch of the holder before. ``told`` is called once, from another thread, with
    ``"cancelled"`` or ``"lost"``.
    """

    def __init__(self, store: RunStore, name: str, run_id: str, epoch: int, previous: int) -> None:
        self.name = name
        self.run_id = run_id
        self.epoch = epoch
        self.previous = previous
        self.told: Callable[[str], None] = lambda _: None
        self._store = store
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="odibi heartbeat")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.release()

    def release(self) -> None:
        """Let the next one have it."""
        with self._store.database.write("lock release") as connection:
            _run(connection, _RELEASE, name=storable(self.name), epoch=self.epoch)

    def beat(self) -> str:
        """Show that the holder lives: ``"lost"`` or ``"cancelled"`` where it should not go on, else empty."""
        with self._store.database.write("heartbeat") as connection:
            rows = _run(connection, _BEAT, name=storable(self.name), epoch=self.epoch)
        return "lost" if not rows else "cancelled" if rows[0]["cancelled"] else ""

    def _live(self) -> None:
        while not self._over.wait(BEAT):
            try:
                news = self.beat()
            except OdibiError:  # the store is away: it is asked again, and the epoch guards the tables
                continue
            if news:
                self.told(news)
                return


def _taken(connection: Connection, store: RunStore, name: str, run_id: str, previous: int) -> Lock:
    # Tables keep epochs longer than a run store may live: a new one goes on from the clock.
    epoch = max(previous + 1, time.time_ns() // 1_000_000)
    process = this_process()
    _run(connection, _TAKE, name=storable(name), epoch=epoch, run_id=storable(run_id), **process)
    return Lock(store, name, run_id, epoch, previous)


def _found(connection: Connection, name: str) -> dict[str, Any] | None:
    rows = _run(connection, _FIND, name=storable(name))
    return rows[0] if rows else None


def _gone(row: dict[str, Any]) -> bool:
    return is_gone(row["host"], row["pid"], row["process_start"])


def _heart(row: dict[str, Any]) -> tuple[int, int]:
    return int(row["epoch"]), int(row["beats"])


def _busy(name: str, row: dict[str, Any]) -> Busy:
    return Busy(
        f"{name} is being run by {row['run_id'][:8]} (process {row['pid']} on {row['host']})",
        hint=f"wait for it, or end it: odibi cancel {row['run_id'][:8]}",
    )


def _run(connection: Connection, statement: str, **values: Any) -> list[dict[str, Any]]:
    import sqlalchemy

    result = connection.execute(sqlalchemy.text(statement), values)
    return [dict(row) for row in result.mappings()] if result.returns_rows else []
