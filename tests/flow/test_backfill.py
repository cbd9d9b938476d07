"""``odibi backfill``: the example of a daily load, a range that stops and goes on, a signal that ends it."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from tests.flow.helpers import odibi, project, start

CONFIGS = Path(__file__).parents[2] / "configs"

TOTALS = """
SELECT CAST(sold_at AS DATE) AS date, product_id, sum(amount) AS total_amount, count(*) AS sale_count
FROM 'configs/data/sales_by_day/*.parquet' GROUP BY ALL ORDER BY ALL
"""

MERGED = {
    "configs/shop.yaml": """
        pipeline: shop
        max_retries: 0
        connections: {lake: {url: lake, format: delta}}
        steps:
          - {name: raw, layer: bronze, read: "in/{{ date }}.csv", write: {to: lake, mode: append}}
          - name: latest
            layer: silver
            inputs: [{from: raw, rows: new}]
            sql: select id, v from raw
            write: {to: lake, mode: merge, keys: [id]}
        """,
    "in/2026-01-01.csv": "id,v\n1,1\n2,1\n",
    "in/2026-01-03.csv": "id,v\n1,3\n",
}

SLOW = {
    "configs/shop.yaml": """
        pipeline: shop
        connections: {lake: {url: lake, format: delta}}
        steps:
          - {name: slow, layer: bronze, function: "steps.slow:slow", write: {to: lake}}
        """,
    "steps/slow.py": """
        import time
        from pathlib import Path

        def slow():
            Path("begun").touch()
            time.sleep(60)
            return [{"a": 1}]
        """,
}


def test_the_daily_totals_of_three_dates_are_filled_in_and_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    shutil.copy(CONFIGS / "ex4_daily_cloud.yaml", tmp_path / "configs")
    shutil.copytree(CONFIGS / "data/sales_by_day", tmp_path / "configs/data/sales_by_day")
    asked = ("backfill", "--from", "2026-01-01", "--to", "2026-01-03")
    done = odibi(*asked, "--parallel", 2, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "ex4_daily_cloud: 3 of 3 dates done, 2026-01-01 to 2026-01-03"
    table = DeltaTable(str(tmp_path / ".odibi/lake/ex4/gold/daily_totals"))
    assert table.metadata().partition_columns == ["date", "_logical_date"]
    files = [str(file) for file in table.file_uris()]
    columns = "CAST(date AS DATE), product_id, total_amount, sale_count"
    found = duckdb.sql(f"SELECT {columns} FROM read_parquet({files!r}, hive_partitioning=true) ORDER BY ALL")
    expected = duckdb.sql(TOTALS.replace("configs/data", str(tmp_path / "configs/data")))
    assert found.fetchall() == expected.fetchall()
    again = odibi(*asked, "--output", "json", cwd=tmp_path)
    assert [each["steps"] for each in json.loads(again.stdout)["dates"]] == [{"reused": 1, "skipped": 1}] * 3
    table.update_incremental()
    assert table.version() == 2


def test_a_range_whose_dates_need_each_other_stops_and_goes_on(tmp_path: Path) -> None:
    project(tmp_path, MERGED)
    asked = ("backfill", "--from", "2026-01-01", "--to", "2026-01-03", "--parallel", 3)
    stopped = odibi(*asked, cwd=tmp_path)
    assert stopped.returncode == 1
    assert "one date at a time: step 'latest' reads only what is new" in stopped.stderr
    assert "there is nothing to read at 'in/2026-01-02.csv'" in stopped.stderr
    assert "Not done: 2026-01-02, 2026-01-03." in stopped.stdout
    (tmp_path / "in/2026-01-02.csv").write_text("id,v\n1,2\n2,2\n")
    assert odibi(*asked, cwd=tmp_path).returncode == 0
    rows = DeltaTable(str(tmp_path / "lake/silver/latest")).to_pyarrow_table().to_pylist()
    assert sorted((row["id"], row["v"]) for row in rows) == [(1, 3), (2, 2)]


def test_a_signal_ends_the_runs_too(tmp_path: Path) -> None:
    project(tmp_path, SLOW)
    process = start("backfill", "--from", "2026-01-01", "--to", "2026-01-09", cwd=tmp_path)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert out.startswith("2026-01-01  cancelled")
    assert "0 of 9 dates done" in out
    assert "running" not in odibi("status", "shop", cwd=tmp_path).stdout.lower()


def test_a_range_that_is_none_is_refused(tmp_path: Path) -> None:
    project(tmp_path, MERGED)
    for first, last, message in (
        ("2026-01-03", "2026-01-01", "--from 2026-01-03 comes after --to 2026-01-01"),
        ("January", "2026-01-01", "--from 'January' is not a date"),
    ):
        refused = odibi("backfill", "--from", first, "--to", last, cwd=tmp_path)
        assert refused.returncode == 2
        assert message in refused.stderr
