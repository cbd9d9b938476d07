"""What is new is the same on every engine: its readers read the files, and the state is the table's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.run.project import Project, sql, step_of

APPEND = {"to": "lake", "mode": "append"}
MERGE = {"to": "lake", "mode": "merge", "keys": ["id"], "sequence_by": "at"}


def steps() -> list[dict[str, Any]]:
    """New files appended, their rows appended again as they come, and merged by a watermark."""
    files = {"from": "in", "path": "orders/*.csv", "files": "new"}
    return [
        {"name": "raw", "layer": "bronze", "read": files, "write": APPEND},
        {
            "name": "log",
            "layer": "bronze",
            "read": {"from": "in", "path": "log.csv", "incremental": {"column": "at", "lookback": "1 day"}},
            "write": APPEND,
        },
        sql(
            "fact", "SELECT id, at FROM raw WHERE id > 0", write=APPEND,
            inputs=[{"from": "raw", "rows": "new"}],
        ),
        sql(
            "latest", "SELECT id, at FROM log", write=MERGE,
            inputs=[{"from": "log", "rows": "new", "watermark": "at"}],
        ),
    ]  # fmt: skip


def check(project: Project, engine: str) -> None:
    project.csv("in/orders/a.csv", "id,at", (1, "2026-01-01 10:00:00.25"), (2, "2026-01-02 00:00:00"))
    project.csv("in/log.csv", "id,at", (1, "2026-01-01 10:00:00.25"), (2, "2026-01-02 10:00:00.5"))
    assert project.run(steps(), date="2026-01-01", engine=engine).success
    project.csv("in/orders/b.csv", "id,at", (3, "2026-01-02 00:00:00"), (-1, "2026-01-02 00:00:00"))
    log = [(3, "2026-01-02 10:00:00.5"), (4, "2026-01-01 12:00:00"), (2, "2026-01-03 00:00:00")]
    project.csv("in/log.csv", "id,at", (1, "2026-01-01 10:00:00.25"), *log)
    done = project.run(steps(), date="2026-01-02", engine=engine)
    assert done.success
    assert [step_of(done, name).rows_out for name in ("raw", "log", "fact", "latest")] == [2, 3, 1, 2]
    ids = {
        name: [row[0] for row in project.rows(f"{layer}/{name}")]
        for layer, name in (("bronze", "raw"), ("bronze", "log"), ("silver", "fact"), ("silver", "latest"))
    }
    assert {name: sorted(found) for name, found in ids.items()} == {
        "raw": [-1, 1, 2, 3],
        "log": [1, 2, 3, 4],
        "fact": [1, 2, 3],
        "latest": [1, 2, 3],
    }
    project.csv("in/orders/a.csv", "id,at", (7, "2026-01-01 10:00:00"))
    assert project.run(steps(), "raw", date="2026-01-01", engine=engine).success
    assert sorted(row[0] for row in project.rows("bronze/raw")) == [-1, 3, 7]


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_what_is_new_is_the_same(project: Project, engine: str) -> None:
    check(project, engine)


@pytest.mark.usefixtures("spark_session")
def test_what_is_new_is_the_same_on_spark(project: Project) -> None:
    check(project, "spark")
