"""``odibi diff``: two runs against each other, down to the rows that they committed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.flow.helpers import odibi, project

CONFIG = """
    pipeline: shop
    engine: duckdb
    date: "2026-01-05"
    sensitive: [email]
    connections:
      landing: {url: data}
      lake: {url: lake, format: delta}
    steps:
      - name: raw
        layer: bronze
        read: {from: landing, path: orders.csv, schema: {id: INTEGER, email: VARCHAR, price: INTEGER}}
        write: {to: lake}
      - name: orders
        layer: silver
        inputs: [raw]
        transform: [{filter: price > 0}]
        checks: [{unique: {columns: [email], on_fail: warn}}]
        write: {to: lake, mode: merge, keys: [id], on_code_change: forward_only}
      - name: total
        layer: gold
        sql: select sum(price) as total from orders
        write: {to: lake}
"""
MONDAY = "id,email,price\n1,ann@x.eu,10\n2,bob@x.eu,20\n3,eve@x.eu,30\n"
TUESDAY = "id,email,price\n1,ann@x.eu,10\n2,bob@y.eu,25\n3,eve@x.eu,30\n4,bob@y.eu,<script>\n".replace(
    "<script>", "40"
)


def test_two_runs_are_compared_down_to_their_rows(tmp_path: Path) -> None:
    here = project(tmp_path, {"shop.yaml": CONFIG, "data/orders.csv": MONDAY})
    assert odibi("run", "shop.yaml", "-q", cwd=here).returncode == 0
    alone = odibi("diff", cwd=here)
    assert (alone.returncode, "is the first of shop" in alone.stderr) == (5, True)
    (here / "data/orders.csv").write_text(TUESDAY, "utf-8")
    text = (here / "shop.yaml").read_text("utf-8").replace("select sum(price)", "select sum(price) * 2")
    (here / "shop.yaml").write_text(text, "utf-8")
    assert odibi("run", "shop.yaml", "-q", cwd=here).returncode == 0

    told = odibi("diff", "--table", "orders", cwd=here)
    assert told.returncode == 0, told.stderr
    assert "lake/silver/orders, version 0 and 1, by id: 1 row added, 1 changed" in told.stdout
    assert "changed: email in 1 row, price in 1 row" in told.stdout
    assert "+select sum(price) * 2 as total from orders" in told.stdout
    assert "unique(email): passed, now warned" in told.stdout
    assert "@x.eu" not in told.stdout

    found = json.loads(odibi("diff", "--table", "all", "--output", "json", cwd=here).stdout)
    raw, orders, total = found["tables"]
    assert (raw["keys"], raw["added"], raw["removed"], raw["changed"]) == ([], 2, 1, 0)
    (changed,) = orders["samples"]["changed"]
    assert changed == {
        "key": {"id": "2"},
        "columns": {"email": {"before": "*****", "now": "*****"}, "price": {"before": "20", "now": "25"}},
    }
    assert orders["samples"]["added"] == [{"id": "4", "email": "*****", "price": "40"}]
    assert total["rows"] == {"before": 1, "now": 1}
    assert {step["name"] for step in found["steps"]} == {"raw", "orders", "total"}

    page = here / "page.html"
    assert odibi("diff", "--table", "orders", "-o", page, cwd=here).returncode == 0
    html = page.read_text("utf-8")
    assert "told apart by id" in html
    assert "@x.eu" not in html
    assert odibi("diff", "--table", "orders", "-o", page, cwd=here).returncode == 0
    assert page.read_text("utf-8") == html

    # A run that reused its tables is compared by the versions they had then; the config may be gone.
    assert odibi("run", "shop.yaml", "-q", cwd=here).returncode == 0
    again = odibi("diff", "--table", "orders", cwd=here).stdout
    assert "version 1 and 1, by id: the same 4 rows" in again
    (here / "shop.yaml").rename(here / "other.yaml")
    blind = odibi("diff", found["before"], found["now"], "--table", "raw", "--keys", "id", cwd=here).stdout
    assert "1 row added, 1 changed" in blind
    assert "values are hidden" in blind
    assert "25" not in blind.partition("lake/bronze/raw")[2]
    (here / "other.yaml").rename(here / "shop.yaml")

    assert odibi("vacuum", "orders", "--hours", "0", "--force", cwd=here).returncode == 0
    gone = odibi("diff", found["before"], found["now"], "--table", "orders", cwd=here)
    assert "files of version 0 were deleted by vacuum" in gone.stdout
    assert gone.returncode == 0
    unknown = odibi("diff", "--table", "ordres", cwd=here)
    assert (unknown.returncode, "did you mean 'orders'?" in unknown.stderr) == (5, True)
    wrong = odibi("diff", found["before"], found["now"], "--table", "raw", "--keys", "idd", cwd=here)
    assert (wrong.returncode, "did you mean 'id'?" in wrong.stderr) == (2, True)
