"""The main job, against an independent computation in plain Python."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from tests.flow.helpers import odibi
from tests.oracle.shop import KEYS, shop

ROOT = Path(__file__).parents[2]
DATES = [f"2026-01-0{day}" for day in range(1, 6)]


def rows_of(table: Path) -> list[dict[str, Any]]:
    """All rows of a Delta table, read without odibi."""
    files = DeltaTable(str(table)).file_uris()
    relation = duckdb.sql(f"SELECT * FROM read_parquet({files!r}, hive_partitioning=true)")
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def comparable(
    rows: list[dict[str, Any]], columns: list[str], keys: tuple[str, ...]
) -> list[tuple[Any, ...]]:
    """Rows in key order, doubles at 12 digits, decimals without their scale."""

    def value(cell: Any) -> Any:
        if isinstance(cell, float):
            return float(f"{cell:.12g}")
        return cell.normalize() if isinstance(cell, Decimal) else cell

    def order(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(row[key]) for key in keys)

    return [tuple(value(row[column]) for column in columns) for row in sorted(rows, key=order)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, as a newcomer has it after cloning."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(ROOT / "steps", folder / "steps")
    return folder


def assert_as_expected(project: Path, dates: list[str]) -> None:
    expected = shop(project / "configs/data/shop", dates)
    lake = project / ".odibi/lake"
    layers = {path.name: path.parent.name for path in lake.glob("*/*") if path.is_dir()}
    for table, rows in expected.items():
        if table not in layers:
            continue  # handed over, not kept
        found = rows_of(lake / layers[table] / table)
        columns = list(rows[0])
        assert found, table
        assert set(columns) == set(found[0]), table
        assert comparable(found, columns, KEYS[table]) == comparable(rows, columns, KEYS[table]), table
    assert {"revenue_by_day", "customer_value", "customer_segments"} <= set(layers)


def test_every_table_equals_the_plain_python_computation(project: Path) -> None:
    done = odibi("run", "configs/daily.yaml", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_as_expected(project, DATES[-1:])
    done = odibi("run", "configs/daily.yaml", cwd=project)
    assert done.returncode == 0
    assert "all 18 steps reused" in done.stdout, "with the CSV file, and the result that is only handed on"
    assert_as_expected(project, DATES[-1:])
    for date in DATES[:-1]:
        assert odibi("run", "configs/daily.yaml", "--date", date, cwd=project).returncode == 0
    assert_as_expected(project, DATES)
    stories = list((project / ".odibi/stories/daily").glob("*.html"))
    assert len(stories) == 6


def test_a_corrected_file_replaces_the_rows_of_its_date(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(ROOT / "steps", tmp_path / "steps")
    for date in DATES[2:]:
        assert odibi("run", "configs/daily.yaml", "--date", date, cwd=tmp_path).returncode == 0
    payments = tmp_path / "configs/data/shop/payments" / f"{DATES[3]}.ndjson"
    lines = payments.read_text("utf-8").splitlines()
    payments.write_text("\n".join(lines[:-5]) + "\n", "utf-8")
    assert odibi("run", "configs/daily.yaml", "--date", DATES[3], cwd=tmp_path).returncode == 0
    assert_as_expected(tmp_path, DATES[2:])
    bronze = rows_of(tmp_path / ".odibi/lake/bronze/raw_payments")
    assert sum(str(row["_logical_date"]) == DATES[3] for row in bronze) == len(lines) - 5
