"""Rows in and out of each operation: for nothing where they follow, counted where that is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from odibi.errors import ConfigError
from odibi.record.model import StepRecord
from tests.unit.run.project import KEPT, Project, read, step_of

ORDERS = [(n, n % 4, -1 if n < 7 else n, 0 if n == 9 else 2) for n in range(20)]


def transform(*operations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "clean",
        "layer": "silver",
        "inputs": ["orders"],
        "transform": list(operations),
        "write": KEPT,
        **more,
    }


def rows(step: StepRecord) -> list[tuple[str, int | None, int | None, int | None]]:
    return [(each.name, each.rows_in, each.rows_out, each.removed) for each in step.operations]


def run(project: Project, step: dict[str, Any], **fields: Any) -> StepRecord:
    project.csv("in/orders.csv", "id,user_id,amount,items", *ORDERS)
    result = project.run([read("orders", "orders.csv"), step], **fields)
    assert result.success, result.error
    return step_of(result, "clean")


def test_what_follows_from_the_rows_that_came_and_stayed_costs_nothing(project: Project) -> None:
    step = run(
        project,
        transform({"rename": {"items": "n"}}, {"filter": "amount >= 0"}, {"derive": {"x": "amount * 2"}}),
    )
    assert rows(step) == [("rename", 20, 20, 0), ("filter", 20, 13, 7), ("derive", 13, 13, 0)]


def test_of_several_filters_only_the_ends_are_known(project: Project) -> None:
    step = run(project, transform({"filter": "amount >= 0"}, {"filter": "user_id > 0"}))
    assert rows(step) == [("filter", 20, None, None), ("filter", None, 10, None)]


@pytest.mark.parametrize(
    "engine", ["duckdb", "pandas", pytest.param("spark", marks=pytest.mark.xdist_group("spark"))]
)
def test_every_operation_is_counted_where_that_is_asked_for(
    project: Project, engine: str, request: pytest.FixtureRequest
) -> None:
    if engine == "spark":
        request.getfixturevalue("spark_session")
    operations: list[dict[str, Any]] = [
        {"remove_nulls": "rows"},
        {"filter": [{"field": "amount", "operator": "greater_than", "value": -1}]},
        {"validate_constraints": ["user_id > 0"]},
        {"enrich": {"each": {"type": "arithmetic", "field1": "amount", "field2": "items", "operation": "divide"}}},
        {"aggregate": {"group_by": ["user_id"], "aggregations": {"each": ["count"]}}},
    ]  # fmt: skip
    step = run(project, transform(*operations, count_rows=True), engine=engine)
    assert rows(step) == [
        ("remove_nulls", 20, 20, 0),
        ("filter", 20, 13, 7),
        ("validate_constraints", 13, 10, 3),
        ("enrich", 10, 10, 0),
        ("aggregate", 10, 3, 7),
    ]
    assert step.cleaning_operations_applied == ("remove_nulls", "validate_constraints")
    assert step.warnings == ("'each' is NULL in 1 rows, where 'items' is 0",)
    assert project.rows("silver/clean") == [(1, 2), (2, 3), (3, 4)]


def test_divisions_by_zero_are_always_told_and_chance_is_never_counted(project: Project) -> None:
    each = {"type": "arithmetic", "field1": "amount", "field2": "items", "operation": "divide"}
    step = run(project, transform({"enrich": {"each": each}}))
    assert step.warnings == ("'each' is NULL in 1 rows, where 'items' is 0",)
    step = run(project, transform({"filter": "random() < 2"}, count_rows=True))
    assert rows(step) == [("filter", 20, 20, 0)]
    assert "not counted" in step.warnings[0]


def test_the_timestamp_is_the_logical_date_and_a_new_date_a_new_result(project: Project) -> None:
    steps = [
        read("orders", "orders.csv"),
        transform({"enrich": {"at": {"type": "timestamp"}}}, {"select": ["at"]}, {"remove_duplicates": None}),
    ]
    project.csv("in/orders.csv", "id,user_id,amount,items", *ORDERS)
    assert project.run(steps).cached == 0
    assert project.run(steps).cached == 2
    assert [str(at) for (at,) in project.rows("silver/clean")] == ["2026-01-05 00:00:00"]
    assert step_of(project.run(steps, date="2026-01-06"), "clean").status == "completed"
    assert [str(at) for (at,) in project.rows("silver/clean")] == ["2026-01-06 00:00:00"]


def test_only_a_transform_has_operations_to_count(project: Project) -> None:
    with pytest.raises(ConfigError, match="count_rows belongs to a transform"):
        project.load([read("orders", "orders.csv", count_rows=True)])
