"""A step that looks after its table: few files, the same rows, nothing redone, nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from odibi.datasets.upkeep import tend
from odibi.errors import ConfigError
from odibi.home import Home
from tests.unit.run.project import Project, read, step_of


def files(url: Path) -> int:
    return len(DeltaTable(str(url)).file_uris())


def test_fifty_small_files_become_one_with_the_same_rows(tmp_path: Path) -> None:
    url = tmp_path / "t"
    for n in range(50):
        write_deltalake(str(url), pa.table({"n": [n, -n]}), mode="append")
    rows = sorted(DeltaTable(str(url)).to_pyarrow_table()["n"].to_pylist())
    assert tend(str(url), 60, None) == ""
    assert tend(str(url), 10, None) == "50 files are 1 now"
    assert sorted(DeltaTable(str(url)).to_pyarrow_table()["n"].to_pylist()) == rows


def merge(**optimize: Any) -> list[dict[str, Any]]:
    write = {"to": "lake", "mode": "merge", "keys": ["id"], **optimize}
    return [
        read("raw", "orders.csv"),
        {
            "name": "orders",
            "layer": "silver",
            "inputs": ["raw"],
            "transform": [{"filter": "id > 0"}],
            "write": write,
        },
    ]


def test_a_step_compacts_its_table_and_no_step_runs_again_for_it(project: Project) -> None:
    url = project.root / "lake" / "silver" / "orders"
    for day in range(1, 5):
        project.csv("in/orders.csv", "id,amount", (day, day * 10))
        result = project.run(merge(), date=f"2026-01-0{day}")
        assert result.success, result.error
    assert files(url) == 4
    project.csv("in/orders.csv", "id,amount", (5, 50), (1, 11))
    done = step_of(project.run(merge(optimize=2), date="2026-01-05"), "orders")
    assert [write.note for write in done.writes] == ["4 files are 1 now"]
    assert project.rows("silver/orders") == [(1, 11), (2, 20), (3, 30), (4, 40), (5, 50)]
    again = project.run(merge(optimize={"max_files": 2, "vacuum_hours": 168}), date="2026-01-05")
    assert again.cached == 2, "how a table is looked after is no change of code"
    assert list(Home.find().scratch(again.run.run_id).parent.iterdir()) == []


def test_what_cannot_be_asked_for(project: Project) -> None:
    project.csv("in/orders.csv", "id", (1,))
    for optimize, message in (({}, "max_files or vacuum_hours"), ({"vacuum_hours": 1}, "168"), (0, "1")):
        with pytest.raises(ConfigError, match=message):
            project.load(merge(optimize=optimize))
    files = {"to": "lake", "format": "csv", "optimize": 5}
    with pytest.raises(ConfigError, match="optimize is for Delta tables, this is written as csv"):
        project.plan([read("raw", "orders.csv", write=files)])
