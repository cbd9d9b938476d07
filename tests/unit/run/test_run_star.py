"""Clean data as people ask for it: a star schema, cleaning whatever the format, business filters, models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.run.project import KEPT, Project, read, sql, step_of

STEPS = Path(__file__).parents[3] / "steps"

CUSTOMERS = [(n, f" Customer {n} ") for n in range(1, 6)]
ORDERS = [(n, n % 5 + 1 if n % 4 else None, f"2026-01-0{n % 5 + 1}") for n in range(1, 13)]
ITEMS = [
    (order, number, f"P{(order + number) % 3}", number * 2) for order in range(1, 13) for number in (1, 2)
]


def transform(name: str, inputs: list[str], *operations: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "layer": "gold", "inputs": inputs, "transform": list(operations), "write": KEPT}


def key(name: str, column: str) -> dict[str, Any]:
    return {"surrogate_key": {"name": name, "columns": [column]}}


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_every_fact_finds_its_dimensions(project: Project, engine: str) -> None:
    project.csv("in/customers.csv", "customer_id,name", *CUSTOMERS)
    project.csv("in/orders.csv", "order_id,customer_id,day", *ORDERS)
    project.csv("in/items.csv", "order_id,line,product_id,quantity", *ITEMS)
    steps = [
        read("customers", "customers.csv"),
        read("orders", "orders.csv"),
        read("items", "items.csv"),
        transform("dim_customer", ["customers"], key("customer_key", "customer_id"), {"normalize_formats": {"name": "trim"}}),
        transform("dim_product", ["items"], {"select": ["product_id"]}, {"remove_duplicates": None}, key("product_key", "product_id")),
        transform(
            "fact_items",
            ["items", "orders"],
            {"join": {"with": "orders", "on": "order_id"}},
            key("customer_key", "customer_id"),
            key("product_key", "product_id"),
            {"select": ["order_id", "line", "customer_key", "product_key", "quantity"]},
        ),
        sql(
            "orphans",
            """
            SELECT f.* FROM fact_items f
            LEFT JOIN dim_customer c USING (customer_key) LEFT JOIN dim_product p USING (product_key)
            WHERE (c.customer_id IS NULL AND f.customer_key IS NOT NULL) OR p.product_id IS NULL
            """,
        ),
    ]  # fmt: skip
    result = project.run(steps, engine=engine)
    assert result.success, result.error
    facts = project.rows("gold/fact_items")
    assert len(facts) == len(ITEMS)
    assert project.rows("silver/orphans") == []
    customers = {made: (number, name) for number, name, made in project.rows("gold/dim_customer")}
    assert sorted(customers.values()) == [(number, name.strip()) for number, name in CUSTOMERS]
    of_order = {order: customer for order, customer, _ in ORDERS}
    for order, _, customer_key, _, _ in facts:
        assert (customers[customer_key][0] if customer_key else None) == of_order[order]


def test_blanks_of_csv_and_nulls_of_json_are_cleaned_alike(project: Project) -> None:
    rows = [(1, "Ann", 1.5), (None, "Bo", 2.5), (3, None, 2.5), (4, "Cy", None), (5, "Di", 4.5)]
    project.csv("in/people.csv", "User Id,full-name,score", *rows, (6, "Ed", "NaN"))
    names = ("User Id", "full-name", "score")
    project.write("in/people.json", json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    schema = {"User Id": "INTEGER", "full-name": "VARCHAR", "score": "DOUBLE"}
    steps: list[dict[str, Any]] = []
    for kind in ("csv", "json"):
        raw = read(kind, "", read={"from": "in", "path": f"people.{kind}", "schema": schema})
        steps += [
            raw,
            transform(f"from_{kind}", [kind], {"remove_nulls": "rows"}, {"standardize_fields": None}),
        ]
    result = project.run(steps)
    assert result.success, result.error
    assert (
        project.rows("gold/from_csv") == project.rows("gold/from_json") == [(1, "Ann", 1.5), (5, "Di", 4.5)]
    )
    columns = [column.name for column in step_of(result, "from_csv").columns]
    assert columns == ["user_id", "full_name", "score"]


def test_what_business_filters_remove_is_told(project: Project) -> None:
    orders = [(n, -5.0 if n < 7 else 5.0) for n in range(40)]
    events = [(n, None if n < 5 else n) for n in range(30)]
    project.csv("in/orders.csv", "id,total_amount", *orders)
    project.csv("in/events.csv", "id,user_id", *events)
    known = [{"field": "user_id", "operator": "not_null"}]
    result = project.run(
        [
            read("raw_orders", "orders.csv"),
            read("raw_events", "events.csv"),
            transform("orders", ["raw_orders"], {"filter": "total_amount >= 0"}),
            transform("events", ["raw_events"], {"filter": known}),
        ]
    )
    assert result.success, result.error
    removed = {
        name: [each.removed for each in step_of(result, name).operations] for name in ("orders", "events")
    }
    assert removed == {"orders": [7], "events": [5]}
    assert [row for row in project.rows("gold/orders") if row[1] < 0] == []
    assert [row for row in project.rows("gold/events") if row[1] is None] == []


def test_the_best_model_is_found_in_the_run_and_changes_with_the_data(project: Project) -> None:
    for name in ("models.py", "metrics.py"):
        project.write(f"steps/{name}", (STEPS / name).read_text("utf-8"))
    step = {
        "name": "models",
        "layer": "gold",
        "inputs": {"samples": "points"},
        "function": "steps.models:train_regressors",
        "params": {"features": ["x"]},
        "write": KEPT,
    }
    best = {}
    for name, made in (("straight", lambda x: 3 * x), ("bent", lambda x: (x - 20) ** 2)):
        project.csv("in/points.csv", "id,x,target", *[(x, float(x), float(made(x))) for x in range(40)])
        result = project.run([read("points", "points.csv"), step], backend="processes")
        assert result.success, result.error
        best[name] = [row[0] for row in project.rows("gold/models") if row[-1]]
    assert best == {"straight": ["linear"], "bent": ["nearest_neighbours"]}


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_what_a_function_does_to_its_rows_others_do_not_see(project: Project, engine: str) -> None:
    project.write(
        "steps/spoil.py",
        """
        import pandas as pd

        def spoil(points: pd.DataFrame) -> pd.DataFrame:
            points["x"] = points["x"] * 0
            points.loc[0, "id"] = 99
            del points["x"]
            return points
        """,
    )
    project.csv("in/points.csv", "id,x", (1, 5), (2, 7))
    points = {key: value for key, value in read("points", "points.csv").items() if key != "write"}
    spoilt = {"name": "spoilt", "layer": "gold", "function": "steps.spoil:spoil", "write": KEPT}
    after = sql("after", "SELECT p.* FROM points p WHERE (SELECT count(*) FROM spoilt) = 2")
    result = project.run([points, spoilt, after], engine=engine)
    assert result.success, result.error
    assert project.rows("silver/after") == [(1, 5), (2, 7)]
    assert project.rows("gold/spoilt") == [(2,), (99,)]
