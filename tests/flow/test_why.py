"""``odibi why`` over three layers: CSV files, a merge that reads what is new, scd2, an aggregate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odibi.cli.app import app
from tests.flow.helpers import odibi

CONFIG = """
pipeline: shop
sensitive: [email]
connections:
  landing: {url: landing}
  lake: {url: lake, format: delta}
steps:
  - name: raw_orders
    layer: bronze
    read: {from: landing, path: "orders-{{ date }}.csv"}
    write: {to: lake, mode: append}
  - name: raw_customers
    layer: bronze
    read: {from: landing, path: customers.csv}
    write: {to: lake, mode: append}
  - name: orders
    layer: silver
    inputs: [{from: raw_orders, rows: new}]
    transform:
      - filter: quantity > 0
      - deduplicate: {keys: [order_id], order_by: [updated_at desc]}
    checks:
      - between: {column: price, min: 0, on_fail: quarantine}
    write: {to: lake, mode: merge, keys: [order_id], sequence_by: updated_at}
  - name: customers
    layer: gold
    inputs: [raw_customers]
    transform:
      - filter: "_logical_date = DATE '{{ date }}'"
      - drop: [_logical_date]
    write: {to: lake, mode: scd2, keys: [customer_id]}
  - name: paid
    layer: gold
    inputs: [orders]
    transform:
      - filter: status = 'paid'
  - name: revenue
    layer: gold
    sql: |
      SELECT CAST(p.updated_at AS DATE) AS day, count(*) AS orders, sum(p.price * p.quantity) AS revenue
      FROM paid AS p JOIN customers AS c ON c.customer_id = p.customer_id AND c.is_current
      GROUP BY 1
    write: {to: lake}
"""

ORDERS = {
    "2026-01-05": """order_id,customer_id,quantity,price,status,updated_at
1,10,2,5.00,paid,2026-01-05 08:00:00
2,11,1,7.50,open,2026-01-05 09:00:00
3,10,1,-4.00,paid,2026-01-05 09:30:00
1,10,3,5.00,paid,2026-01-05 10:00:00

4,12,1,9.00,paid,2026-01-05 11:00:00
5,99,1,9.00,paid,2026-01-05 11:30:00
6,10,0,9.00,paid,2026-01-05 11:30:00
""",
    "2026-01-06": """order_id,customer_id,quantity,price,status,updated_at
2,11,1,7.50,paid,2026-01-05 23:00:00
7,12,4,1.00,paid,2026-01-06 08:00:00
""",
}
CUSTOMERS = "customer_id,name,email\n10,Ann,ann@x.org\n11,{},b@x.org\n12,Cid,cid@x.org\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "landing").mkdir()
    (folder / "shop.yaml").write_text(CONFIG, "utf-8")
    for (date, orders), name in zip(ORDERS.items(), ("Bob", "Rob"), strict=True):
        (folder / f"landing/orders-{date}.csv").write_text(orders, "utf-8")
        (folder / "landing/customers.csv").write_text(CUSTOMERS.format(name), "utf-8")
        done = odibi("run", "shop.yaml", "--date", date, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def asked(shop: Path, *args: str) -> dict[str, Any]:
    done = odibi("why", *args, "--output", "json", cwd=shop)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def every(rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield rows
    for made in rows["made"]:
        for before in made["inputs"]:
            yield from every(before)


def lines(rows: dict[str, Any]) -> set[tuple[str, int]]:
    """The lines of files that are told."""
    places = [place for each in every(rows) if each["layer"] == "source" for place in each["places"]]
    return {(Path(place["file"]).name, number) for place in places for number in place["numbers"]}


def test_a_sum_is_followed_to_the_lines_of_the_files(shop: Path) -> None:
    found = asked(shop, "revenue", "--where", "day = '2026-01-05'")
    assert found["shown"] == [["2026-01-05", "3", "31.5"]]
    # Of order 1 the second version, of order 2 that of the next day; line 6 is empty. Bob's file has changed.
    assert lines(found) == {
        ("orders-2026-01-05.csv", 5),
        ("orders-2026-01-05.csv", 7),
        ("orders-2026-01-06.csv", 2),
        ("customers.csv", 3),
    }
    remarks = [remark for each in every(found) for made in each["made"] for remark in made["remarks"]]
    assert remarks == ["not followed further: landing/customers.csv has changed since it was read"]


def test_a_version_of_a_key_was_begun_by_one_change_and_ended_by_another(shop: Path) -> None:
    found = asked(shop, "customers", "--where", "customer_id = 11 AND NOT is_current")
    changes = {
        (row[1], row[3]) for each in every(found) if each["name"] == "raw_customers" for row in each["shown"]
    }
    assert changes == {("Bob", "2026-01-05"), ("Rob", "2026-01-06")}


def test_a_row_in_quarantine_is_followed_to_its_line(shop: Path) -> None:
    found = asked(shop, "orders_quarantine", "--where", "order_id = 3")
    assert (found["name"], found["count"]) == ("orders_quarantine", 1)
    assert lines(found) == {("orders-2026-01-05.csv", 4)}
    nothing = odibi("why", "raw_orders_quarantine", "--where", "true", cwd=shop)
    assert nothing.returncode == 5
    assert "has not been written yet" in nothing.stderr


def test_the_tree_can_be_read(shop: Path) -> None:
    done = odibi("why", "gold/revenue", "--where", "day = '2026-01-06'", "-n", "1", "--to", "paid", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert "gold/paid: 1 row" in done.stdout
    assert "silver/orders" not in done.stdout
    assert "***" in done.stdout
    assert "cid@x.org" not in done.stdout
    assert "landing/orders" not in done.stdout


def here(shop: Path, monkeypatch: pytest.MonkeyPatch, *args: str, config: str = "shop.yaml") -> int:
    """The exit code of the command in this process."""
    monkeypatch.chdir(shop)
    with pytest.raises(SystemExit) as ended:
        app(["why", "--config", config, *args])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("orders", "order_id = 3", "it is in quarantine, by the rule between(price) (price is not at least 0)"),
        ("orders", "order_id = 6", 'it was dropped: the filter "quantity" > 0 does not hold for it'),
        ("orders", "order_id = 1 AND quantity = 2", 'it was dropped: another row of the same "order_id" was kept'),
        ("orders", "order_id = 42", "no row of its inputs could have become it"),
        ("orders", "order_id = 2 AND status = 'open'", "the merge by order_id kept another row"),
        ("revenue", "day = '2026-01-06'", "it is there"),
    ],
)  # fmt: skip
def test_why_not(
    shop: Path,
    table: str,
    row: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert here(shop, monkeypatch, table, "--why-not", row) == 0
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["revenu", "--where", "true"], 5, "did you mean 'revenue'"),
        (["revenue", "--where", "dy = 1"], 2, "is no condition on"),
        (["revenue", "--where", "day = '2030-01-01'"], 5, "--why-not tells why not"),
        (["customers", "--where", "email"], 2, "it fails on some row (Conversion)"),
        (
            ["orders", "--where", "order_id in (select 1 from 'landing/customers.csv')"],
            2,
            "has a query in it",
        ),
        (["orders", "--why-not", "order_id not in (select 1)"], 2, "has a query in it"),
        (["orders", "--where", "true); COPY (select 42) TO 'out.csv'; SELECT (1"], 2, "not one expression"),
        (["orders", "--why-not", "order_id = 1", "--run", "shop"], 2, "--run is for --where"),
        (["revenue"], 2, "say which rows"),
        (["revenue", "--where", "true", "--to", "piad"], 5, "did you mean 'paid'"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    shop: Path,
    args: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert here(shop, monkeypatch, *args) == code
    told = capsys.readouterr().err
    assert said in told
    assert "@x.org" not in told
    assert not (shop / "out.csv").exists()


MERGED = """
pipeline: merged
connections:
  landing: {url: in}
  lake: {url: lake, format: delta}
steps:
  - name: raw
    layer: bronze
    read: {from: landing, path: "*.csv", files: new, filename: file}
    write: {to: lake, mode: append}
  - name: items
    layer: silver
    sql: SELECT id, x FROM raw WHERE x < 100
    write: {to: lake, mode: merge, keys: [id]}
  - name: scored
    layer: gold
    function: steps.scoring:score
    write: {to: lake}
"""


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "steps").mkdir()
    (tmp_path / "merged.yaml").write_text(MERGED, "utf-8")
    code = "import pandas as pd\n\n\ndef score(items: pd.DataFrame) -> pd.DataFrame:\n    return items.assign(s=items.x * 2)\n"
    (tmp_path / "steps/scoring.py").write_text(code, "utf-8")
    for name, rows in (("a", "id,x\n1,5\n2,7\n3,500\n"), ("b", "id,x\n4,50\n")):
        (tmp_path / f"in/{name}.csv").write_text(rows, "utf-8")
        assert odibi("run", "merged.yaml", cwd=tmp_path).returncode == 0

    found = asked(tmp_path, "scored", "--where", "id = 4")  # a function may have used any row
    assert lines(found) == {("a.csv", 2), ("a.csv", 3), ("b.csv", 2)}
    assert "a function made it" in found["made"][0]["remarks"][0]

    # Whichever files the second merge wrote again, the row is of the first one.
    assert lines(asked(tmp_path, "items", "--where", "id = 1")) == {("a.csv", 2)}

    (tmp_path / "in/b.csv").write_text("id,x\n4,51\n", "utf-8")
    found = asked(tmp_path, "raw", "--where", "id = 4")
    assert found["made"][0]["remarks"] == [
        "not followed further: in/b.csv has changed or gone since it was read"
    ]
    assert "raw has not run since" in asked(tmp_path, "items", "--why-not", "x = 51")["before"][0]["verdict"]

    assert odibi("vacuum", "raw", "--hours", "0", "--force", cwd=tmp_path).returncode == 0
    for part in (tmp_path / "lake/bronze/raw").rglob("*.parquet"):
        part.unlink()
    found = asked(tmp_path, "items", "--where", "id = 4")
    assert "was vacuumed" in found["made"][0]["remarks"][0]


CORRECTED = """
pipeline: corrected
connections:
  landing: {url: in}
  lake: {url: lake, format: delta}
steps:
  - name: raw
    layer: bronze
    read: {from: landing, path: "*.csv", files: new}
    write: {to: lake, mode: append}
  - name: prices
    layer: silver
    inputs: [{from: raw, rows: new}]
    transform: [{drop: [_logical_date, _source_file]}]
    write: {to: lake, mode: scd2, keys: [id], sequence_by: at}
  - name: cleared
    layer: gold
    sql: SELECT id, at, nullif(x, 6) AS x FROM raw
    write: {to: lake, format: csv}
  - name: others
    layer: gold
    sql: SELECT id, x FROM raw EXCEPT SELECT 1, 6
    write: {to: lake}
"""


def test_what_was_taken_back_made_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "corrected.yaml").write_text(CORRECTED, "utf-8")
    for name, row in (("a", "1,1,5"), ("b", "1,10,6"), ("c", "1,10,5")):
        (tmp_path / f"in/{name}.csv").write_text(f"id,at,x\n{row}\n", "utf-8")
        done = odibi("run", "corrected.yaml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    # What ended the version was corrected later: it goes on, and only the change that began it is left.
    found = asked(tmp_path, "prices", "--where", "x = 5 AND is_current")
    assert ("a.csv", 2) in lines(found)
    assert ("b.csv", 2) not in lines(found)

    config = "corrected.yaml"

    def said(*args: str) -> str:
        assert here(tmp_path, monkeypatch, *args, config=config) == 0
        return capsys.readouterr().out

    assert "makes no such row of it" in said("others", "--why-not", "x = 6")  # it has read it
    assert "it is there" not in said("cleared", "--why-not", "x = 6")  # its x is another than that of raw
    done = odibi("why", "cleared", "--where", "true", "--run", "corrected", cwd=tmp_path)
    assert (done.returncode, "keeps no versions" in done.stderr) == (5, True)

    assert odibi("rollback", "prices", "--to-version", "0", cwd=tmp_path).returncode == 0
    assert "version 1 was rolled back by version 3" in said("prices", "--why-not", "x = 6")
