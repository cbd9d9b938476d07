"""One in-memory DuckDB per run.

The default engine computes in it, and every engine's files are sniffed, digested and exported with it.

Bounded memory, a spill directory that goes away with it, UTC, no Python variables as tables.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from odibi.boundaries import cross
from odibi.places import beside
from odibi.relational.schema import Column, Schema

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from odibi.engines.routes import Routes

__all__ = ["Database"]


class Database:
    """A DuckDB for one run; use it as a context manager.

    Each thread works on its own cursor. ``scratch`` is a folder for what spills and for results
    that are only handed on; it is created when needed and removed at the end.
    """

    def __init__(self, scratch: Path, memory_limit: str | None = None, threads: int | None = None) -> None:
        import duckdb

        self.scratch = scratch
        config: dict[str, Any] = {
            "python_enable_replacements": "false",
            "preserve_insertion_order": "false",
            "temp_directory": str(scratch / "spill"),
        }
        if memory_limit:
            config["memory_limit"] = memory_limit
        if threads:
            config["threads"] = str(threads)
        self._db = duckdb.connect(":memory:", config=config)
        self._db.execute("SET GLOBAL TimeZone='UTC'")  # of every cursor there will be
        self._local = threading.local()
        self._cursors: dict[duckdb.DuckDBPyConnection, int] = {}  # and the thread each was opened for
        self._routes: dict[str, Routes] = {}  # by scheme
        # Re-entrant: a stream that nobody read to its end gives its cursor back at any moment.
        self._lock = threading.RLock()
        self._names = 0
        self._abandoned = False
        self._at_close: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's cursor."""
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = self._opened()
        return cursor

    def computing(self) -> duckdb.DuckDBPyConnection:
        """This thread's cursor for work that may spill: DuckDB makes its folder, but not those above."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self.cursor

    def new_cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of one's own for such work: an open stream blocks every other query on its cursor."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self._opened()

    def _opened(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            cursor = self._db.cursor()
            self._cursors[cursor] = threading.get_ident()
        return cursor

    def release(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Close a cursor of one's own, and what was registered on it."""
        with self._lock:
            self._cursors.pop(cursor, None)
        cursor.close()

    def columns(self, schema: pa.Schema) -> Schema:
        """Arrow columns as DuckDB spells them."""
        import pyarrow as pa

        cursor = self.cursor
        cursor.register("odibi_columns", pa.Table.from_batches([], schema=schema))
        try:
            rows = cursor.execute("DESCRIBE SELECT * FROM odibi_columns").fetchall()
        finally:
            cursor.unregister("odibi_columns")
        return tuple(Column(str(row[0]), str(row[1])) for row in rows)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""
        found: list[tuple[Any, ...]] = self.cursor.execute(sql).fetchall()
        return found

    def reach(self, *urls: str) -> None:
        """Make files at URLs such as ``memory://x.csv`` readable: fsspec serves their schemes.

        Raises:
            Permanent: one was reached with other options before.
        """
        for url in urls:
            self._reach(url, table=False)

    def reach_table(self, url: str) -> None:
        """Make all files below the folder of a Delta table readable.

        Raises:
            Permanent: it was reached with other options before.
        """
        self._reach(beside(url.rstrip("/"), url), table=True)  # as the names of files below begin

    def _reach(self, url: str, *, table: bool) -> None:
        scheme = url.split("://", 1)[0] if "://" in url else ""
        if not scheme or scheme == "file":
            return
        with self._lock:
            if scheme not in self._routes:
                from odibi.engines.routes import Routes

                self._routes[scheme] = Routes(scheme)
                self._db.register_filesystem(self._routes[scheme])
            self._routes[scheme].add(url, table=table)

    @property
    def places(self) -> tuple[str, ...]:
        """Every URL that :meth:`reach` was asked for."""
        with self._lock:
            return tuple(url for routes in self._routes.values() for url in routes.places.values())

    @property
    def tables(self) -> tuple[str, ...]:
        """The URL of every Delta table that :meth:`reach_table` was asked for."""
        with self._lock:
            return tuple(url for routes in self._routes.values() for url in routes.tables.values())

    def lend(self, database: duckdb.DuckDBPyConnection) -> None:
        """Let another database read what this one reaches."""
        with self._lock:
            for routes in self._routes.values():
                database.register_filesystem(routes)

    def new_name(self) -> str:
        """A table or folder name nobody has used in this run."""
        with self._lock:
            self._names += 1
            return f"odibi_{self._names}"

    def interrupt(self, thread: int | None = None) -> None:
        """Stop the queries that run for a thread, or all; the threads get InterruptException."""
        with self._lock:
            cursors = [cursor for cursor, of in self._cursors.items() if thread in (None, of)]
        for cursor in cursors:
            with suppress(Exception):  # a cursor may be closed by its thread just now
                cursor.interrupt()

    def abandon(self) -> None:
        """Leave the database to the end of the process: a thread that cannot be stopped uses it."""
        self._abandoned = True

    def at_close(self, work: Callable[[], None]) -> None:
        """Have something done when the database is closed, before its files go."""
        self._at_close.append(work)

    def close(self) -> None:
        """Close every cursor and the database, and remove what it spilled."""
        if self._abandoned:
            return
        while self._at_close:
            self._at_close.pop()()
        with self._lock:
            for cursor in self._cursors:
                cursor.close()
            self._cursors.clear()
            self._db.close()
        cross("before removal of scratch")
        shutil.rmtree(self.scratch, ignore_errors=True)
        cross("after removal of scratch")
