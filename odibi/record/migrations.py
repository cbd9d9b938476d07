"""The schema of the run store, as the ordered list of its changes.

Each change is applied in one transaction together with its line in ``schema_migrations`` (the idea
of sqlite-utils). A change that was released is never edited; a new one is added at the end. The
statements are plain SQL that SQLite and PostgreSQL both understand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from odibi.errors import Permanent
from odibi.record.rows import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from odibi.record.database import Database

__all__ = ["MIGRATIONS", "Migration", "migrate", "version"]

_LOCK = 0x0D1B1  # the name of the migration lock among PostgreSQL's advisory locks


@dataclass(frozen=True, slots=True)
class Migration:
    """One change of the schema: its number, what it is for, its statements."""

    version: int
    name: str
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(
        1,
        "runs, steps, attempts",
        (
            """
            CREATE TABLE runs (
                run_id TEXT PRIMARY KEY,
                pipeline TEXT NOT NULL,
                config TEXT NOT NULL,
                config_hash TEXT NOT NULL,
                logical_date TEXT NOT NULL,
                target TEXT NOT NULL,
                engine TEXT NOT NULL,
                status TEXT NOT NULL,
                started_at TEXT NOT NULL,
                ended_at TEXT,
                owner TEXT NOT NULL,
                command TEXT NOT NULL,
                error TEXT NOT NULL,
                host TEXT NOT NULL,
                pid BIGINT NOT NULL,
                process_start BIGINT NOT NULL,
                detail TEXT NOT NULL
            )
            """,
            "CREATE INDEX runs_by_start ON runs (started_at)",
            "CREATE INDEX runs_by_pipeline ON runs (pipeline, started_at)",
            """
            CREATE TABLE steps (
                run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
                position INTEGER NOT NULL,
                name TEXT NOT NULL,
                layer TEXT NOT NULL,
                node TEXT NOT NULL,
                operation TEXT NOT NULL,
                engine TEXT NOT NULL,
                decision TEXT NOT NULL,
                reason TEXT NOT NULL,
                status TEXT NOT NULL,
                started_at TEXT,
                ended_at TEXT,
                rows_out BIGINT,
                peak_memory BIGINT,
                key TEXT NOT NULL,
                digest TEXT NOT NULL,
                detail TEXT NOT NULL,
                PRIMARY KEY (run_id, name)
            )
            """,
            "CREATE INDEX steps_by_position ON steps (run_id, position)",
            """
            CREATE TABLE attempts (
                run_id TEXT NOT NULL,
                step TEXT NOT NULL,
                number INTEGER NOT NULL,
                status TEXT NOT NULL,
                started_at TEXT NOT NULL,
                ended_at TEXT,
                detail TEXT NOT NULL,
                PRIMARY KEY (run_id, step, number),
                FOREIGN KEY (run_id, step) REFERENCES steps (run_id, name) ON DELETE CASCADE
            )
            """,
        ),
    ),
    Migration(
        2,
        "locks of runs",
        (
            """
            CREATE TABLE locks (
                name TEXT PRIMARY KEY,
                epoch BIGINT NOT NULL,
                run_id TEXT NOT NULL,
                beats BIGINT NOT NULL,
                cancelled INTEGER NOT NULL,
                host TEXT NOT NULL,
                pid BIGINT NOT NULL,
                process_start BIGINT NOT NULL
            )
            """,
        ),
    ),
    Migration(
        3,
        "deliveries, alerts",
        (
            """
            CREATE TABLE deliveries (
                key TEXT PRIMARY KEY,
                run_id TEXT NOT NULL,
                pipeline TEXT NOT NULL,
                hook TEXT NOT NULL,
                kind TEXT NOT NULL,
                place TEXT NOT NULL,
                event TEXT NOT NULL,
                summary TEXT NOT NULL,
                status TEXT NOT NULL,
                at TEXT NOT NULL,
                attempts INTEGER NOT NULL,
                error TEXT NOT NULL
            )
            """,
            "CREATE INDEX deliveries_by_time ON deliveries (at)",
            "CREATE INDEX deliveries_by_run ON deliveries (run_id)",
            """
            CREATE TABLE alerts (
                rule TEXT NOT NULL,
                pipeline TEXT NOT NULL,
                target TEXT NOT NULL,
                firing INTEGER NOT NULL,
                subject TEXT NOT NULL,
                last_fired TEXT NOT NULL,
                PRIMARY KEY (rule, pipeline, target)
            )
            """,
        ),
    ),
    Migration(
        4,
        "totals of metrics",
        (
            """
            CREATE TABLE metric_totals (
                pipeline TEXT NOT NULL,
                step TEXT NOT NULL,
                layer TEXT NOT NULL,
                engine TEXT NOT NULL,
                tenant TEXT NOT NULL,
                amounts TEXT NOT NULL,
                PRIMARY KEY (pipeline, step, layer, engine, tenant)
            )
            """,
            "CREATE TABLE metric_runs (run_id TEXT PRIMARY KEY)",
        ),
    ),
)


def migrate(database: Database, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the schema to the newest of ``migrations``; safe when several processes do it at once.

    Raises:
        Permanent: the schema is newer than the newest of ``migrations``.
    """
    with database.read() as connection:
        found = version(connection)
    for migration in migrations:
        if migration.version > found:
            found = _apply(database, migration)
    newest = migrations[-1].version
    if found > newest:
        raise Permanent(
            f"written by a newer odibi (its schema has version {found}, this odibi knows {newest})",
            where=f"run store {database.place}",
            hint="pip install -U odibi, or keep the run store elsewhere",
        )


def version(connection: Connection) -> int:
    """The number of the last change that was applied, 0 for an empty database."""
    from sqlalchemy import inspect, text

    if not inspect(connection).has_table("schema_migrations"):
        return 0
    return connection.scalar(text("SELECT COALESCE(MAX(version), 0) FROM schema_migrations")) or 0


def _apply(database: Database, migration: Migration) -> int:
    """Apply the change unless another process was faster; the version that the schema then has."""
    from sqlalchemy import text

    with database.write("schema") as connection:  # on SQLite this is the lock
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = version(connection)
        if found >= migration.version:
            return found
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS schema_migrations "
                "(version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)"
            )
        )
        for statement in migration.statements:
            connection.execute(text(statement))
        connection.execute(
            text("INSERT INTO schema_migrations VALUES (:version, :name, :at)"),
            {"version": migration.version, "name": migration.name, "at": moment(datetime.now(UTC))},
        )
    return migration.version
