"""odibi test as people run it: pass, fail, a broken config, and a test written from live data."""

from __future__ import annotations

import json
from pathlib import Path

from tests.flow.helpers import odibi, project

CONFIG = """\
pipeline: shop
date: "2026-01-02"
sensitive: [email]
connections:
  landing: {url: data}
  lake: {url: lake}
steps:
  - name: raw_orders
    layer: bronze
    read: {from: landing, path: orders.csv, schema: {order_id: VARCHAR, email: VARCHAR, price: "DECIMAL(18,2)"}}
    write: {to: lake}
  - name: priced                # kept nowhere
    layer: silver
    inputs: [raw_orders]
    transform: [{filter: price > 0}]
  - name: orders
    layer: silver
    inputs: [priced]
    transform: [{derive: {seen: current_date}}]
    checks: [{not_null: {columns: [order_id], on_fail: quarantine}}]
    write: {to: lake, mode: merge, keys: [order_id]}
    tests:
      - name: right
        date: 2026-01-02
        given: {priced: [{order_id: a, price: 5}, {price: 1}], orders: [{order_id: b, price: 2}]}
        expect: [{order_id: a, price: 5, seen: 2026-01-02}, {order_id: b, price: 2}]
        expect_quarantine: [{price: 1}]
      - name: wrong
        given: {priced: [{order_id: a, price: 5}]}
        expect: [{order_id: a, price: 6}, {order_id: c, price: 1}]
"""
FILES = {
    "configs/shop.yaml": CONFIG,
    "data/orders.csv": "order_id,email,price\n1e5,a@b.eu,5\n2,c@d.eu,-1\n3,a@b.eu,7\n",
}


def test_tests_pass_fail_and_are_refused(tmp_path: Path) -> None:
    folder = project(tmp_path, FILES)
    before = sorted(tmp_path.rglob("*"))
    found = odibi("test", cwd=folder)
    assert found.returncode == 1, found.stderr
    assert found.stdout.splitlines() == [
        "passed  orders: right",
        "FAILED  orders: wrong  (configs/shop.yaml:28)",
        "        orders: order_id 'a': price is 5.00, expected 6.00",
        "        orders: missing: order_id 'c', price 1.00",
        "",
        "2 tests: 1 passed, 1 failed",
    ]
    assert sorted(tmp_path.rglob("*")) == before, "nothing is read or written outside of a scratch folder"

    told = odibi("test", "configs/shop.yaml", "--engine", "pandas", "--output", "json", cwd=folder)
    right, wrong = json.loads(told.stdout)
    assert (told.returncode, right["passed"], wrong["passed"]) == (1, True, False)
    assert wrong["differences"][0]["changed"] == [
        {"key": {"order_id": "'a'"}, "values": {"price": ["6.00", "5.00"]}}
    ]

    other = odibi("test", "--select", "raw_orders", cwd=folder)
    assert (other.returncode, other.stdout) == (0, "shop has no tests for these steps\n")
    (folder / "configs/shop.yaml").write_text(
        CONFIG.replace("{order_id: b, price: 2}]}", "{order_id: b, prize: 2}]}")
    )
    broken = odibi("test", cwd=folder)
    assert broken.returncode == 2
    assert "configs/shop.yaml:25:" in broken.stderr
    assert "there is no column 'prize' (did you mean 'price'?)" in broken.stderr
    for arguments, said in (
        (("--select", "order"), "did you mean 'orders'?"),
        (("--write",), "--write belongs to --create STEP"),
        (("--create", "raw_orders"), "a step that reads files has no inputs to give"),
        (("a.yaml", "b.yaml"), "expected one config"),
    ):
        refused = odibi("test", *arguments, cwd=folder)
        assert refused.returncode in (2, 3), refused.stdout
        assert said in refused.stderr


def test_a_test_is_written_from_live_data_and_passes(tmp_path: Path) -> None:
    folder = project(tmp_path, FILES)
    early = odibi("test", "--create", "orders", cwd=folder)
    assert "'raw_orders' has not been written yet" in early.stderr
    assert odibi("run", cwd=folder).returncode == 0

    printed = odibi("test", "--create", "orders", "--rows", "2", cwd=folder)
    assert printed.returncode == 0, printed.stderr
    assert "a@b.eu" not in printed.stdout, "sensitive"
    assert printed.stdout.count("email: email 1") == 4, "given and expected; equal stays equal"
    assert "order_id: '1e5'" in printed.stdout, "1e5 would be a number"

    for number in (1, 2):
        written = odibi("test", "--create", "orders", "--write", cwd=folder)
        assert written.stdout.splitlines()[0].endswith(f"added, {number} in all"), written.stderr
    head = CONFIG.partition("    tests:\n")[0]
    (folder / "configs/shop.yaml").write_text(f"{head}    tests: tests/orders.yaml\n")
    ended = odibi("test", cwd=folder)
    assert ended.stdout.splitlines() == [
        "passed  orders: as it is", "passed  orders: as it is 2", "", "2 tests: 2 passed, 0 failed",
    ]  # fmt: skip
    again = odibi("run", cwd=folder)
    assert "1 computed" not in again.stdout, "a test is no change of a step"
