"""Tests of steps as they are run: every kind of step and of write, on every engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from odibi.config.load import load
from odibi.errors import ConfigError
from odibi.testing.columns import known_plan
from odibi.testing.model import CaseResult, Changed, Difference
from odibi.testing.suite import cases_of
from odibi.testing.trial import Asked, run_case

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OTHER = """\
pipeline: other
connections: {lake: {url: absent/other}}
steps:
  - name: rates
    layer: bronze
    read: {path: absent/r.csv, schema: {currency: VARCHAR, rate: DOUBLE}}
    write: {to: lake}
"""

FUNCTION = """\
import pandas as pd
from odibi.operations.python import step


@step(schema={"id": "BIGINT", "seen": "VARCHAR"})
def mark(orders: pd.DataFrame, context) -> pd.DataFrame:
    seen = context.now.isoformat() + " " + context.logical_date
    return pd.DataFrame({"id": orders["order_id"].astype("int64"), "seen": [seen] * len(orders)})
"""

CONFIG = """\
pipeline: shop
connections: {lake: {url: absent/lake}}
steps:
  - name: undeclared
    layer: bronze
    read: {path: absent/x.csv}
    write: {to: lake}
  - name: raw
    layer: bronze
    read: {path: absent/y.csv, schema: {order_id: VARCHAR, price: "DECIMAL(18,2)", currency: VARCHAR}}
    write: {to: lake, mode: append}
  - name: orders
    layer: silver
    inputs: [raw]
    transform:
      - deduplicate: {keys: [order_id], order_by: [price desc]}
      - derive: {day: current_date, at: "cast(now() as timestamp)", on: "'{{ date }}'"}
    write: {to: lake, mode: merge, keys: [order_id], exclude: [currency], delete_when: "currency = 'gone' or day > today()"}
    tests:
      - name: the newest wins
        date: 2026-01-02
        now: 2026-01-03 08:30
        given:
          raw: [{order_id: a, price: 5}, {order_id: a, price: 7}, {order_id: d, currency: gone}]
          orders: [{order_id: a, price: 1}, {order_id: c, price: 4.10}, {order_id: d}]
        expect:
          - {order_id: c, price: 4.1, day: null}
          - {order_id: a, price: 7, day: 2026-01-03, at: 2026-01-03 08:30:00, on: 2026-01-02}
  - name: people
    layer: silver
    inputs: [undeclared]
    transform: [{filter: id is not null}]
    write: {to: lake, mode: scd2, keys: [id]}
    tests:
      - name: the day before becomes history
        date: 2026-01-02
        given: {undeclared: [{id: 1, name: b}], people: [{id: 1, name: a}]}
        expect:
          - {id: 1, name: a, valid_from: 2026-01-01, valid_to: 2026-01-02, is_current: false}
          - {id: 1, name: b, valid_from: 2026-01-02, is_current: true}
      - name: the table as it stands
        date: 2026-01-02
        given:
          undeclared: [{id: 1, name: b}]
          people: [{id: 1, name: a, valid_from: 2025-06-01, is_current: true}]
        types: {people: {valid_to: DATE}}
        expect:
          - {id: 1, name: a, valid_to: 2026-01-02}
          - {id: 1, name: b}
  - name: log
    layer: silver
    inputs: [raw]
    transform: [{select: [order_id, price]}]
    checks:
      - between: {column: price, min: 0, on_fail: quarantine}
      - references: {column: order_id, to: orders.order_id}
      - row_count: 1
      - expression: "order_id <> 'late' or '{{ date }}' < '2026-01-02'"
    write: {to: lake, mode: append}
    tests:
      - name: bad rows go aside
        date: 2026-01-02
        given: {raw: [{order_id: a, price: 1}, {order_id: b, price: -1}], log: [{order_id: z}], orders: [{order_id: a}, {order_id: b}]}
        expect: [{order_id: z, _logical_date: 2026-01-01}, {order_id: a, price: 1, _logical_date: 2026-01-02}]
        expect_quarantine: [{order_id: b, _odibi_rules: between(price)}]
      - name: nothing is too little
        given: {raw: [], orders: []}
        expect_error: "Dataset is empty: 0 records"
      - name: the clock is that of the test
        date: 2026-01-02
        given: {raw: [{order_id: late, price: 1}], orders: [{order_id: late}]}
        expect_error: "not so: order_id <> 'late'"
  - name: arrived
    layer: silver
    inputs: [{from: raw, rows: new}]
    transform: [{select: [order_id]}]
    write: {to: lake, mode: append}
    tests:
      - name: what is given is new
        given: {raw: [{order_id: b}], arrived: [{order_id: a}]}
        expect: [{order_id: a}, {order_id: b}]
  - name: euro
    layer: gold
    sql: "select order_id, price * rate as eur, {{ timestamp }} as ts from raw join other.rates using (currency)"
    tests:
      - name: rows of a file
        date: 2026-01-02
        given: {raw: rows.csv, rates: rates.json}
        expect: [{order_id: "007", eur: 11, ts: 1767312000}]
  - name: marked
    layer: gold
    inputs: {orders: raw}
    function: steps.marking:mark
    write: {to: lake, format: csv}
    tests:
      - name: what it knows of the run
        date: 2026-01-02
        given: {orders: [{order_id: 4}]}
        expect: {marked: [{id: 4, seen: "2026-01-02T00:00:00+00:00 2026-01-02"}]}
  - name: two
    layer: gold
    sql: |
      create table dear as select * from raw where price > 1;
      create table counts as select count(*) as n from raw;
    outputs: [dear, counts]
    write: {to: lake}
    tests:
      - name: both
        given: {raw: [{price: 1}, {price: 2}]}
        expect: {dear: [{price: 2}], counts: [{n: 2}]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    files = {
        "shop.yaml": CONFIG,
        "other.yaml": OTHER,
        "steps/marking.py": FUNCTION,
        "rows.csv": "order_id,price,currency\n007,5.5,EUR\n2,,USD\n",
        "rates.json": '[{"currency": "EUR", "rate": 2}]',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def results(folder: Path, engine: str | None = None, steps: Sequence[str] = ()) -> list[CaseResult]:
    asked = Asked("shop.yaml", engine=engine)
    loaded = load(asked.config, engine=engine)
    plan = known_plan(loaded, folder / "known")
    chosen = frozenset(steps or (step.name for step in loaded.pipeline.steps))
    return [run_case(asked, case, plan) for case in cases_of(loaded, plan, chosen)]


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_every_kind_of_step_and_write(project: Path, engine: str) -> None:
    before = sorted(project.rglob("*"))
    found = results(project, engine)
    assert [(each.test, each.differences, each.error) for each in found if not each.passed] == []
    assert len(found) == 10
    assert [
        path for path in sorted(project.rglob("*")) if path not in before and "__pycache__" not in str(path)
    ] == []


def test_the_same_on_spark(project: Path, spark_session: SparkSession) -> None:
    with pytest.raises(ConfigError, match="is not portable to Spark"):
        results(project, "spark", ["orders"])  # as in a run
    steady = CONFIG.replace("day: current_date", "day: \"date '2026-01-03'\"").replace(
        " or day > today()", ""
    )
    steady = steady.replace("cast(now() as timestamp)", "timestamp '2026-01-03 08:30:00'")
    (project / "shop.yaml").write_text(steady)
    found = results(project, "spark", ["orders", "euro"])
    assert [(each.test, each.differences, each.error) for each in found if not each.passed] == []
    assert len(found) == 2


def a_test(project: Path, step: str, text: str) -> list[CaseResult]:
    """The results of the step's tests where it has just these."""
    head, _, rest = CONFIG.partition(f"  - name: {step}\n")
    body, _, after = rest.partition("    tests:\n")
    _, mark, other = after.partition("\n  - name:")
    (project / "shop.yaml").write_text(f"{head}  - name: {step}\n{body}    tests: [{text}]{mark}{other}")
    return results(project, steps=[step])


def test_rows_that_differ_are_told_by_their_keys(project: Path) -> None:
    text = (
        "{name: n, given: {raw: [{order_id: a, price: 5}, {order_id: b, price: 1}]}, "
        "expect: [{order_id: a, price: 7}, {order_id: c, price: 1}]}"
    )
    (found,) = a_test(project, "orders", text)
    assert found.differences == (
        Difference(
            "orders",
            missing=({"order_id": "'c'", "price": "1.00"},),
            unexpected=({"order_id": "'b'", "price": "1.00"},),
            changed=(Changed({"order_id": "'a'"}, {"price": ("7.00", "5.00")}),),
        ),
    )
    assert not found.passed


def test_a_row_is_told_without_keys_where_there_is_but_one(project: Path) -> None:
    text = "{name: n, given: {raw: [{price: 1}, {price: 2}]}, expect: {counts: [{n: 3}], dear: [{price: 3, currency: null}]}}"
    (found,) = a_test(project, "two", text)
    assert {each.dataset: each for each in found.differences} == {
        "counts": Difference("counts", missing=({"n": "3"},), unexpected=({"n": "2"},)),
        "dear": Difference("dear", changed=(Changed({"currency": "NULL"}, {"price": ("3.00", "2.00")}),)),
    }


def differences(project: Path, expected: str) -> list[str]:
    text = f"{{name: n, given: {{raw: [{{price: 1}}, {{price: 2, order_id: x}}]}}, {expected}}}"
    (found,) = a_test(project, "two", text)
    return [
        each.said
        or f"{len(each.missing)} missing, {len(each.unexpected)} more, {len(each.changed)} otherwise"
        for each in found.differences
    ]


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ("expect: {dear: [{prices: 2}]}", ["it has no column 'prices'; did you mean 'price'?"]),
        ("expect: {dear: [{price: many}]}", ["expected row 1: price is DECIMAL(18,2), and 'many' is none"]),
        ("expect: {counts: [{n: 2.5}]}", ["expected row 1: n is BIGINT, and 2.5 is no whole number"]),
        ("expect: {dear: []}", ["0 missing, 1 more, 0 otherwise"]),
        ("expect: {dear: [{price: 2}]}", []),
        ("expect: {dear: [{price: 2}]}, partial: false", ["0 missing, 0 more, 1 otherwise"]),
        ("expect: {dear: [{price: 2, order_id: x}]}, partial: false", []),
        ("expect: {dear: absent.csv}", ["there is no file 'absent.csv'"]),
    ],
)
def test_what_is_compared(project: Path, expected: str, said: list[str]) -> None:
    assert differences(project, expected) == said


def test_the_order_counts_where_it_is_asked_for(project: Path) -> None:
    sql = "  - name: euro\n    layer: gold\n    sql: select order_id from raw order by price\n    tests:\n"
    text = sql + "".join(
        f"      - {{name: {name}, given: {{raw: [{{order_id: a, price: 2}}, {{order_id: b, price: 1}}]}}, "
        f"expect: [{{order_id: a}}, {{order_id: b}}], ordered: {name}}}\n"
        for name in ("true", "false")
    )
    head = CONFIG.partition("  - name: euro\n")[0]
    (project / "shop.yaml").write_text(
        head + text.replace("name: true", "name: in order").replace("name: false", "name: in any")
    )
    found = results(project, steps=["euro"])
    assert [[each.said for each in one.differences] for one in found] == [
        ["it has the rows in another order"],
        [],
    ]


def test_a_step_that_fails_or_does_not_is_told(project: Path) -> None:
    text = (
        "{name: a, given: {raw: [], orders: []}, expect: []}, "
        "{name: b, given: {raw: [], orders: []}, expect_error: other}, "
        "{name: c, given: {raw: [{order_id: a, price: 1}], orders: [{order_id: a}]}, expect_error: empty}"
    )
    errors = [each.error for each in a_test(project, "log", text)]
    said = "a check fails: row_count: Dataset is empty: 0 records, minimum required: 1"
    assert errors[0].endswith(said)
    assert errors[1] == f"it fails otherwise: {errors[0]}"
    assert errors[2] == "it does not fail, and was to say: empty"


WRONG = {
    ("orders", "{name: n, given: {raws: []}, expect: []}"): [
        "given names 'raws', which the step neither takes nor makes (did you mean 'raw'?)",
        "it gives no rows of the input 'raw' (raw: [] if it is to be empty)",
    ],
    ("orders", "{name: n, given: {raw: [{prize: 1}]}, expect: []}"): [
        "raw: row 1: there is no column 'prize' (did you mean 'price'?)"
    ],
    ("orders", "{name: n, given: {raw: [{price: x}]}, expect: []}"): [
        "raw: row 1: price is DECIMAL(18,2), and 'x' is none"
    ],
    ("people", "{name: n, given: {undeclared: []}, expect: []}"): [
        "undeclared: nothing tells its columns (give a row, or types: {dataset: {column: TYPE}})"
    ],
    ("people", "{name: n, given: {undeclared: []}, types: {undeclared: {id: INTEGR}}, expect: []}"): [
        (
            "undeclared: types: id has type 'INTEGR', which DuckDB does not know "
            "(such as BIGINT, VARCHAR or DECIMAL(18,2))"
        )
    ],
    ("orders", "{name: n, given: {raw: []}, expect: {order: []}}"): [
        "the step does not make 'order' (did you mean 'orders'?)"
    ],
    ("orders", "{name: n, given: {raw: []}, expect_quarantine: []}"): [
        "no check of the step sends rows to quarantine"
    ],
    ("two", "{name: n, given: {raw: []}, expect: []}"): [
        "the step makes dear, counts (give expect: {dataset: rows})"
    ],
    ("euro", "{name: n, given: {raw: [], rates: [], euro: []}, expect: []}"): [
        "the step has no write, so 'euro' holds nothing before"
    ],
}


@pytest.mark.parametrize(("step", "text"), WRONG)
def test_what_a_test_gets_wrong_is_a_problem_of_the_config(project: Path, step: str, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        a_test(project, step, text)
    said = [str(problem).partition(f"test '{step}: n': ")[2] for problem in error.value.problems]
    assert sorted(said) == sorted(WRONG[step, text])
    assert all(problem.line for problem in error.value.problems)


def test_a_step_that_reads_files_cannot_be_tested(project: Path) -> None:
    text = CONFIG.replace(
        "    read: {path: absent/x.csv}\n",
        "    read: {path: absent/x.csv}\n    tests: [{name: n, expect: []}]\n",
    )
    (project / "shop.yaml").write_text(text)
    with pytest.raises(ConfigError, match="a step that reads files has no inputs to give"):
        results(project, steps=["undeclared"])


def test_tests_in_a_file_of_their_own(project: Path) -> None:
    head, _, rest = CONFIG.partition("    tests:\n")
    after = rest.partition("\n  - name:")[2]
    (project / "shop.yaml").write_text(f"{head}    tests: tests/orders.yaml\n  - name:{after}")
    (project / "tests").mkdir()
    file = project / "tests/orders.yaml"
    file.write_text("tests:\n  - {name: a, given: {raw: [{order_id: x}]}, expect: [{order_id: x}]}\n")
    assert [each.passed for each in results(project, steps=["orders"])] == [True]
    file.write_text(
        "tests:\n  - {name: a, givn: {raw: []}, expect: []}\n  - {name: a, given: {raw: []}}\nmore: 1\n"
    )
    with pytest.raises(ConfigError) as error:
        results(project, steps=["orders"])
    said = {(problem.line, problem.message) for problem in error.value.problems}
    assert (2, "unknown key 'givn'") in said
    assert (3, "it expects nothing: give expect, expect_quarantine or expect_error") in said
    assert (4, "unknown key 'more'") in said


def test_rows_that_its_table_cannot_hold_are_the_fault_of_the_test(project: Path) -> None:
    text = "{name: n, given: {undeclared: [{id: 1}], people: [{id: 1}, {id: 1, n: x}, {id: null}]}, expect_error: e}"
    (found,) = a_test(project, "people", text)
    print(found.error)
    assert found.error.startswith("the rows given for people cannot be a table: ")
