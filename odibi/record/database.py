"""A database that several processes share: how it is opened, how it fails.

SQLite runs with a write-ahead log, so that readers never wait, and every writing transaction takes
the write lock when it begins (``BEGIN IMMEDIATE``), so that none fails half-way for want of it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.boundaries import cross
from odibi.errors import (
    AuthenticationFailed,
    DatabaseError,
    MissingExtra,
    OdibiError,
    Permanent,
    Transient,
    nearest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

__all__ = ["Damaged", "Database", "first_line", "set_aside"]

LOCK_WAIT = 30  # seconds until a lock held by another process is an error

_MOVE_AWAY = (
    "move it away, with its -wal and -shm, and odibi starts a new one; "
    "only the history of runs is in it, no data of any table"
)
_ELSEWHERE = "make the folder and the file writable for this user, or keep the run store elsewhere"
_SQLITE = {  # by the beginning of SQLite's name of the error
    "SQLITE_NOTADB": ("it is not a SQLite database", _MOVE_AWAY),
    "SQLITE_CORRUPT": ("the file is damaged", _MOVE_AWAY),
    "SQLITE_READONLY": ("it cannot be written", _ELSEWHERE),
    "SQLITE_CANTOPEN": ("it cannot be opened or created", _ELSEWHERE),
    "SQLITE_PERM": ("it cannot be opened or created", _ELSEWHERE),
    "SQLITE_FULL": ("the disk is full", "free some space"),
}
# PostgreSQL: connection lost, out of resources, shutting down, deadlock or serialization failure.
_PASSING = ("08", "53", "57P", "40")


class Damaged(DatabaseError):
    """The file is there, and is no run store any more."""


class Database:
    """A SQLite file or a PostgreSQL database; ``place`` names it without its password."""

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self.dialect: str = parsed.get_backend_name()
        self.place = parsed.database if self.dialect == "sqlite" else parsed.render_as_string()
        self._lock = threading.Lock()
        self._engine = _sqlite(parsed) if self.dialect == "sqlite" else _postgresql(parsed)
        self._writer = self._engine.execution_options(odibi_write=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._errors_told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self, what: str = "other") -> Iterator[Connection]:
        """A transaction that writes ``what``: all or nothing. Threads queue here, for SQLite's own wait is polling."""
        with self._lock, self._errors_told():
            cross(f"before transaction {what}")
            with self._writer.begin() as connection:
                yield connection
                cross(f"amid transaction {what}")
            cross(f"after transaction {what}")

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:  # SQLAlchemy does not wrap what fails on connect
            raise self._told(error) from error

    def _told(self, error: Exception) -> OdibiError:
        from sqlalchemy.exc import OperationalError

        cause = getattr(error, "orig", None) or error
        said = first_line(cause)
        name = getattr(cause, "sqlite_errorname", "") or ""
        where = f"run store {self.place}"
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Transient(f"locked by another process for {LOCK_WAIT} s", where=where)
        for prefix, (message, hint) in _SQLITE.items():
            if name.startswith(prefix):
                kind = Damaged if hint is _MOVE_AWAY else DatabaseError
                return kind(message, where=where, hint=hint)
        state = getattr(cause, "sqlstate", None)
        if self.dialect == "postgresql" and isinstance(error, OperationalError) and state is None:
            # No state: the connection failed. FATAL is the server's no, to a wrong name or password.
            state = "28000" if "FATAL:" in said and "the database system is" not in said else "08000"
        if (state or "").startswith(_PASSING):
            return Transient(said, where=where, hint="is the PostgreSQL server running?")
        if (state or "").startswith("28"):
            return AuthenticationFailed("PostgreSQL", said, where=where)
        return DatabaseError(said, where=where)


def set_aside(url: str) -> Path:
    """Give the file of a damaged run store, with its log, another name; that name.

    Raises:
        Permanent: it cannot be renamed.
    """
    path = Path(_parse(url).database or "")
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    try:
        for suffix in ("-wal", "-shm", ""):  # the store itself last: until then it is known to be damaged
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    except OSError as error:
        raise Permanent(
            f"it is damaged and cannot be set aside: {error.strerror}",
            where=f"run store {path}",
            hint=_ELSEWHERE,
        ) from error
    return aside


def first_line(error: BaseException) -> str:
    """What the error says, without the details."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _parse(url: str) -> URL:
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if "://" not in url:
        return URL.create("sqlite", database=str(Path(url).expanduser()))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # a port that is no number
        # What make_url says may hold a part of the password.
        raise Permanent(
            "the URL of the run store cannot be read",
            hint="sqlite:///path or postgresql://user@host:port/database, with special characters as %40",
        ) from error
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        known = nearest(backend, ["sqlite", "postgresql"], "known")
        raise Permanent(f"the run store cannot be kept in {backend!r}", hint=known)
    if parsed.database in (None, "", ":memory:"):
        raise Permanent(
            "a run store in memory would forget its runs", hint="name a file: sqlite:///.odibi/state.db"
        )
    return parsed.set(drivername="sqlite")


def _sqlite(url: URL) -> Engine:
    from sqlalchemy import create_engine, event

    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Permanent(
            f"the folder {path.parent} cannot be created: {error.strerror}",
            where=f"run store {path}",
            hint=_ELSEWHERE,
        ) from error
    engine = create_engine(url, connect_args={"timeout": LOCK_WAIT})

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # Python must not begin transactions of its own
        try:
            _use_write_ahead_log(connection)
            connection.execute(
                "PRAGMA synchronous = NORMAL"
            )  # safe against a kill; fsync at checkpoints only
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            connection.close()  # the pool forgets a connection that fails here
            raise

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("odibi_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the log on. Unlike a statement, the switch does not wait for other processes: so wait here."""
    deadline = time.monotonic() + LOCK_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _postgresql(url: URL) -> Engine:
    from sqlalchemy import create_engine

    patience = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
    try:
        return create_engine(url, pool_pre_ping=True, connect_args=patience)
    except ImportError as error:
        raise MissingExtra("psycopg", "postgres") from error
