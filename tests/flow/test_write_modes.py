"""Write modes through the command line: changes that come late or twice, code that changes, rollbacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from odibi import Orchestrator, load
from odibi.datasets.staging import Intents
from tests.flow.helpers import odibi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ENGINES = ("duckdb", "pandas")

CONFIG = """
pipeline: customers
engine: {engine}
connections: {{lake: {{url: lake, format: delta}}}}
steps:
  - name: changes
    layer: bronze
    read: {{path: "in/{{{{ date }}}}.csv", schema: {{id: BIGINT, at: BIGINT, op: VARCHAR, city: VARCHAR}}}}
    write: {{to: lake, mode: append}}
  - name: day_changes
    layer: silver
    sql: SELECT id, at, op, city FROM changes WHERE _logical_date = DATE '{{{{ date }}}}'
  - name: customers
    layer: silver
    inputs: [day_changes]
    transform: [{{derive: {{city: upper(city)}}}}]
    write: {{to: lake, mode: merge, keys: [id], sequence_by: at, delete_when: "op = 'D'", exclude: [op]}}
  - name: history
    layer: silver
    inputs: [day_changes]
    transform: [{{derive: {{city: upper(city)}}}}]
    write: {{to: lake, mode: scd2, keys: [id], sequence_by: at, delete_when: "op = 'D'", exclude: [op, at]}}
  - name: by_city
    layer: gold
    sql: SELECT city, count(*) AS customers FROM customers GROUP BY city
    write: {{to: lake}}
"""
DAYS = {
    "2024-01-01": "1,10,U,oslo\n2,10,U,rome\n3,11,U,bonn\n",
    "2024-01-02": "1,20,U,paris\n2,21,D,\n",
    "2024-01-03": "3,30,U,bonn\n4,30,U,oslo\n1,31,U,oslo\n",
}
CUSTOMERS = [(1, 31, "OSLO"), (3, 30, "BONN"), (4, 30, "OSLO")]
HISTORY = [
    (1, "OSLO", 10, 20, False),
    (1, "OSLO", 31, None, True),
    (1, "PARIS", 20, 31, False),
    (2, "ROME", 10, 21, False),
    (3, "BONN", 11, None, True),
    (4, "OSLO", 30, None, True),
]


def made(folder: Path, engine: str) -> Path:
    (folder / "in").mkdir()
    for day, lines in DAYS.items():
        (folder / "in" / f"{day}.csv").write_text(f"id,at,op,city\n{lines}", encoding="utf-8")
    (folder / "c.yaml").write_text(CONFIG.format(engine=engine), encoding="utf-8")
    return folder


@pytest.fixture(params=ENGINES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return made(tmp_path, request.param)


def rows(shop: Path, name: str, *columns: str) -> list[tuple[Any, ...]]:
    table = pa.table(DeltaTable(str(shop / "lake" / name)).scan())
    return sorted((tuple(row[c] for c in columns) for row in table.to_pylist()), key=repr)


def version(shop: Path) -> int:
    return DeltaTable(str(shop / "lake/silver/customers")).version()


def customers(shop: Path) -> list[tuple[Any, ...]]:
    return rows(shop, "silver/customers", "id", "at", "city")


def history(shop: Path) -> list[tuple[Any, ...]]:
    return rows(shop, "silver/history", "id", "city", "valid_from", "valid_to", "is_current")


def run(shop: Path, day: str, *more: str) -> dict[str, Any]:
    done = odibi("run", "c.yaml", "--date", day, "--output", "json", *more, cwd=shop)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 3, 1, 2)], ids=str)
def test_days_in_any_order_and_twice_make_one_table(shop: Path, order: tuple[int, ...]) -> None:
    for day in order:
        run(shop, f"2024-01-0{day}")
    assert customers(shop) == CUSTOMERS
    assert history(shop) == HISTORY
    assert rows(shop, "gold/by_city", "city", "customers") == [("BONN", 1), ("OSLO", 2)]
    before = version(shop)
    run(shop, f"2024-01-0{order[-1]}")
    assert version(shop) == before


@pytest.mark.xdist_group("spark")
def test_spark_keeps_rows_as_the_others_do(
    tmp_path: Path, spark_session: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = made(tmp_path, "spark")
    monkeypatch.chdir(shop)
    monkeypatch.setenv("ODIBI_HOME", str(shop / ".odibi"))
    for day in (2, 3, 3, 1, 2):
        result = Orchestrator(load("c.yaml", date=f"2024-01-0{day}")).execute()
        assert result.success, result.error
    assert customers(shop) == CUSTOMERS
    assert history(shop) == HISTORY
    assert rows(shop, "gold/by_city", "city", "customers") == [("BONN", 1), ("OSLO", 2)]


def test_a_corrected_day_is_merged_again(shop: Path) -> None:
    for day in DAYS:
        run(shop, day)
    (shop / "in/2024-01-02.csv").write_text("id,at,op,city\n1,20,U,lima\n2,21,D,\n", encoding="utf-8")
    run(shop, "2024-01-02")
    assert customers(shop) == CUSTOMERS
    assert (1, "LIMA", 20, 31, False) in history(shop)
    assert len(history(shop)) == len(HISTORY)


def test_changed_code_is_refused_until_somebody_says_what_becomes_of_the_rows(shop: Path) -> None:
    run(shop, "2024-01-01")
    config = (shop / "c.yaml").read_text()
    (shop / "c.yaml").write_text(config.replace("upper(city)", "lower(city)"))
    before = customers(shop)
    done = odibi("run", "c.yaml", "--date", "2024-01-02", cwd=shop)
    assert done.returncode == 2
    assert done.stderr.count("its code changed, and") == 2
    assert "--full-refresh builds the table anew" in done.stderr
    assert customers(shop) == before
    run(shop, "2024-01-02", "--select", "changes")
    run(shop, "2024-01-02", "--full-refresh", "--select", "customers")
    assert customers(shop) == [(1, 20, "paris")]
    forward = config.replace("upper(city)", "lower(city)").replace(
        "mode: scd2,", "mode: scd2, on_code_change: forward_only,"
    )
    (shop / "c.yaml").write_text(forward)
    run(shop, "2024-01-02")
    assert {city for _, city, *_ in history(shop)} == {"OSLO", "ROME", "BONN", "paris"}


def test_a_rollback_is_undone_by_running_the_days_again(shop: Path) -> None:
    for day in DAYS:
        run(shop, day)
    done = odibi("rollback", "customers", "--to-version", "0", "--config", "c.yaml", cwd=shop)
    assert (done.returncode, done.stdout) == (0, "customers: version 3 is what version 0 was\n")
    assert customers(shop) == [(1, 10, "OSLO"), (2, 10, "ROME"), (3, 11, "BONN")]
    for day in ("2024-01-03", "2024-01-02"):
        run(shop, day)
    assert customers(shop) == CUSTOMERS
    assert history(shop) == HISTORY
    listed = odibi("history", "customers", "--config", "c.yaml", "--output", "json", cwd=shop)
    assert [entry["version"] for entry in json.loads(listed.stdout)] == [5, 4, 3, 2, 1, 0]


def test_compacted_and_cleaned_tables_are_not_computed_again(shop: Path) -> None:
    for day in DAYS:
        run(shop, day)
    assert odibi("optimize", "--config", "c.yaml", cwd=shop).returncode == 0
    refused = odibi("vacuum", "--hours", "0", "--config", "c.yaml", cwd=shop)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    done = odibi("vacuum", "--hours", "0", "--force", "--config", "c.yaml", "--output", "json", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert all(json.loads(done.stdout)[name] for name in ("customers", "history"))
    assert customers(shop) == CUSTOMERS
    assert history(shop) == HISTORY
    before = version(shop)
    run(shop, "2024-01-03")
    assert version(shop) == before
    # What was deleted is still known: an older row that comes late stays deleted.
    (shop / "in/2024-01-04.csv").write_text("id,at,op,city\n2,15,U,kyiv\n", encoding="utf-8")
    run(shop, "2024-01-04")
    assert customers(shop) == CUSTOMERS
    assert (2, "KYIV", 15, 21, False) in history(shop)
    shutil.rmtree(shop / "lake")


# --- care ----------------------------------------------------------------------------------------


def care(shop: Path, command: str, *args: str) -> tuple[int, str]:
    """The exit code of a command and all it says."""
    done = odibi(command, *args, "--config", "c.yaml", cwd=shop)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


ONE_ENGINE = pytest.mark.parametrize("shop", ["duckdb"], indirect=True)


@ONE_ENGINE
def test_care_of_tables_that_are_not_there(shop: Path) -> None:
    absent = (5, "error: customers has not been written yet: there is no table at lake/silver/customers\n")
    assert care(shop, "history", "customers") == absent
    assert care(shop, "rollback", "customers", "--to-version", "0") == absent
    for command in ("optimize", "vacuum"):
        assert care(shop, command, "customers") == absent
        none = "none of the Delta tables that c.yaml writes has been written yet\n"
        assert care(shop, command) == (0, none)
    config = (shop / "c.yaml").read_text()
    (shop / "c.yaml").write_text(config.replace("FROM customers GROUP BY city\n    write: {to: lake}", "FROM customers GROUP BY city\n    write: {to: lake, format: csv}"))  # fmt: skip
    said = "error: by_city is written as csv, only Delta tables have versions\n"
    for command in ("history", "optimize", "vacuum"):
        assert care(shop, command, "by_city") == (2, said)
    assert care(shop, "rollback", "by_city", "--to-version", "0") == (2, said)


@ONE_ENGINE
def test_columns_to_sort_are_checked_before_any_table_is_touched(shop: Path) -> None:
    run(shop, "2024-01-01")
    before = version(shop)
    code, said = care(shop, "optimize", "--z-order", "id")
    assert code == 2
    assert said.startswith("error: lake/gold/by_city has no column 'id' to sort by (its columns: ")
    assert "name the tables to sort, if not all have it" in said
    assert version(shop) == before
    code, said = care(shop, "optimize", "customers", "--z-order", "citty")
    assert (code, said) == (
        2, "error: lake/silver/customers has no column 'citty' to sort by (did you mean 'city'?)\n"
    )  # fmt: skip
    code, said = care(shop, "optimize", "changes", "--z-order", "_LOGICAL_date")
    assert code == 2
    assert "is partitioned by '_logical_date'" in said
    assert care(shop, "optimize", "customers", "--z-order", "ID", "--z-order", "id")[0] == 0
    assert version(shop) == before + 1


@ONE_ENGINE
def test_what_vacuum_deletes_cannot_be_had_again_and_leaves_no_folders(shop: Path) -> None:
    for day in DAYS:
        run(shop, day)
    parts = shop / "lake/silver/customers/parts"
    first = {path.name for path in parts.iterdir()}
    living = Intents(shop / ".odibi/intents", "abcdabcd-living")
    with living:
        mine = Path(living.folder(str(shop / "lake/silver/customers")))
        mine.mkdir(parents=True)
        assert care(shop, "vacuum", "--hours", "0", "--force", "--dry-run")[0] == 0
        assert {path.name for path in parts.iterdir()} == {*first, mine.name}
        assert care(shop, "vacuum")[0] == 0  # they are too young
        assert {path.name for path in parts.iterdir()} == {*first, mine.name}
        assert care(shop, "vacuum", "--hours", "0", "--force")[0] == 0
    left = {path.name for path in parts.iterdir()}
    assert mine.name in left
    assert left - {mine.name} < first
    assert all(any(path.rglob("*.parquet")) for path in parts.iterdir() if path != mine)
    code, said = care(shop, "rollback", "customers", "--to-version", "0")
    assert code == 2
    assert "files of version 0 were deleted by vacuum (choose a later version, " in said
    assert customers(shop) == CUSTOMERS
