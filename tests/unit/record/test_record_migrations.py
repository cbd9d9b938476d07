"""The schema changes in order, once, and all or nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from odibi.errors import Permanent
from odibi.record import RunStore, open_store
from odibi.record.migrations import MIGRATIONS, Migration, migrate, version
from tests.unit.record.records import a_run

NEXT = Migration(
    MIGRATIONS[-1].version + 1,
    "who pays",
    ("ALTER TABLE runs ADD COLUMN payer TEXT NOT NULL DEFAULT ''", "UPDATE runs SET payer = pipeline"),
)


def _select(store: RunStore, statement: str) -> list[tuple[object, ...]]:
    with store.database.read() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_the_versions_count_from_one() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_a_later_version_changes_the_schema_and_keeps_the_runs(store: RunStore) -> None:
    store.start_run(a_run())
    for _ in range(2):  # the second time there is nothing to do
        migrate(store.database, [*MIGRATIONS, NEXT])
    assert _select(store, "SELECT run_id, payer FROM runs") == [("20260301-aaaa", "daily")]
    assert _select(store, "SELECT version, name FROM schema_migrations ORDER BY version") == [
        (migration.version, migration.name) for migration in [*MIGRATIONS, NEXT]
    ]
    assert store.run("20260301-aaaa") == a_run()


def test_a_migration_that_fails_half_way_leaves_nothing(store: RunStore) -> None:
    broken = Migration(NEXT.version, "broken", (NEXT.statements[0], "UPDATE nowhere SET x = 1"))
    with pytest.raises(Permanent, match="nowhere"):
        migrate(store.database, [*MIGRATIONS, broken])
    with store.database.read() as connection:
        assert version(connection) == MIGRATIONS[-1].version
    migrate(store.database, [*MIGRATIONS, NEXT])  # the column of the first statement is not there
    assert _select(store, "SELECT payer FROM runs") == []


def test_a_store_of_a_newer_odibi_is_refused_and_left_alone(url: str) -> None:
    with open_store(url) as store:
        store.start_run(a_run())
        migrate(store.database, [*MIGRATIONS, NEXT])
        with pytest.raises(Permanent) as refused:
            open_store(url)
        assert f"version {NEXT.version}, this odibi knows {MIGRATIONS[-1].version}" in str(refused.value)
        assert "pip install -U odibi" in refused.value.hint
        assert _select(store, "SELECT payer FROM runs") == [("daily",)]


def test_tables_of_somebody_else_are_not_touched(url: str) -> None:
    with open_store(url) as store:
        with store.database.write() as connection:
            for table in ("attempts", "steps", "runs", "schema_migrations"):
                connection.execute(text(f"DROP TABLE {table}"))
            connection.execute(text("CREATE TABLE runs (kilometres INTEGER)"))
        with pytest.raises(Permanent, match=r"runs.* already exists"):
            open_store(url)
        assert _select(store, "SELECT * FROM runs") == []
