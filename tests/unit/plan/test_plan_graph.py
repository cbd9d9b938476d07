"""The graph: from inputs, SQL, functions and depends_on alike; refused where it is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi.errors import ConfigError
from odibi.plan import Plan
from tests.unit.run.project import Project, actions, read, sql, statuses, step_of


def shape(plan: Plan) -> list[Any]:
    return [
        (s.name, s.operation, s.decision, set(s.upstream), dict(s.inputs), s.schemas, s.key)
        for s in plan.steps
    ]


def four(**extra: dict[str, Any]) -> list[dict[str, Any]]:
    steps = [
        read("raw", "a.csv"),
        sql("big", "SELECT * FROM raw WHERE v > 1"),
        sql("small", "SELECT * FROM raw WHERE v <= 1"),
        sql("merged", "SELECT * FROM big UNION ALL SELECT * FROM small"),
    ]
    return [{**step, **extra.get(step["name"], {})} for step in steps]


def test_one_pipeline_declared_in_three_ways_gives_one_plan(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2))
    inferred = project.plan(four())
    keys = project.plan(
        four(
            big={"inputs": {"raw": "raw"}},
            small={"inputs": ["raw"]},
            merged={"inputs": ["big", {"from": "small", "as": "small"}]},
        )
    )
    ordered = project.plan(
        four(big={"depends_on": ["raw"]}, small={"dependsOn": "raw"}, merged={"depends_on": ["big", "small"]})
    )
    mixed = project.plan(four(big={"depends_on": ["raw"]}, merged={"inputs": ["big", "small"]}))
    assert shape(inferred) == shape(keys) == shape(ordered) == shape(mixed)
    assert inferred.steps[0].name == "raw"
    assert inferred["merged"].upstream == ("big", "small")


def test_the_order_of_the_file_does_not_matter(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2))
    result = project.run(list(reversed(four())))
    assert result.success
    assert project.rows("silver/merged") == [(1, 1), (2, 2)]


def test_depends_on_orders_steps_that_share_no_data(project: Project) -> None:
    steps = [
        sql("second", "SELECT 2 AS x", depends_on=["first"]),
        sql("first", "SELECT 1 AS x"),
    ]
    result = project.run(steps, workers=2)
    assert step_of(result, "second").started_at >= step_of(result, "first").ended_at  # type: ignore[operator]


def test_tables_in_sql_are_found_whatever_their_case(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 1))
    steps = [sql("kept", "SELECT * FROM RAW_Orders"), read("raw_orders", "a.csv")]
    plan = project.plan(steps)
    assert plan["kept"].upstream == ("raw_orders",)
    assert dict(plan["kept"].inputs) == {"RAW_Orders": "raw_orders"}
    assert project.run(steps).success


def test_a_cycle_found_in_sql_is_one_problem_that_prints_it(project: Project) -> None:
    steps = [
        sql("one", "SELECT * FROM three"),
        sql("two", "SELECT * FROM one"),
        sql("three", "SELECT * FROM two"),
    ]
    with pytest.raises(ConfigError) as refused:
        project.plan(steps)
    (problem,) = refused.value.problems
    assert "one -> two -> three -> one" in problem.message
    assert problem.line > 1


def test_a_step_that_reads_what_it_makes_is_a_cycle(project: Project) -> None:
    with pytest.raises(ConfigError, match="orders -> orders"):
        project.plan([sql("orders", "SELECT * FROM orders")])


def test_an_unknown_table_is_told_at_its_place_in_the_sql_file(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 1))
    project.write("steps/kept.sql", "SELECT *\nFROM\n  row_orders\n")
    steps = [read("raw_orders", "a.csv"), sql("kept", "steps/kept.sql")]
    with pytest.raises(ConfigError) as refused:
        project.plan(steps)
    (problem,) = refused.value.problems
    assert problem.where == "steps/kept.sql:3:3"
    assert "unknown input 'row_orders'" in problem.message
    assert "raw_orders" in problem.hint


def test_aliases_name_tables_and_two_of_them_can_be_joined(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 10), (2, 20))
    project.csv("in/b.csv", "id,w", (2, 5))
    steps = [
        read("first", "a.csv"),
        read("second", "b.csv"),
        sql(
            "joined", "SELECT l.id, v + w AS s FROM l JOIN r USING (id)", inputs={"l": "first", "r": "second"}
        ),
        sql("alone", "SELECT * FROM bronze", inputs={"bronze": "joined"}),
    ]
    assert project.run(steps).success
    assert project.rows("silver/joined") == project.rows("silver/alone") == [(2, 25)]


def test_an_alias_that_is_another_dataset_s_name_wins(project: Project) -> None:
    project.csv("in/a.csv", "id", (1,))
    project.csv("in/b.csv", "id", (2,))
    steps = [
        read("a", "a.csv"),
        read("b", "b.csv"),
        sql("crossed", "SELECT * FROM a", inputs={"a": "b"}),
    ]
    plan = project.plan(steps)
    assert plan["crossed"].upstream == ("b",)
    assert project.run(steps).success
    assert project.rows("silver/crossed") == [(2,)]


def test_a_declared_input_that_the_sql_does_not_use_still_orders(project: Project) -> None:
    project.csv("in/a.csv", "id", (1,))
    plan = project.plan([sql("x", "SELECT 1 AS one", inputs=["raw"]), read("raw", "a.csv")])
    assert plan["x"].upstream == ("raw",)


def test_tables_of_another_pipeline_file_are_inputs(project: Project) -> None:
    project.csv("in/a.csv", "id", (1,), (2,))
    other = project.config([read("orders", "a.csv")], name="other")
    steps = [
        sql("declared", "SELECT * FROM orders", inputs=["other.orders"]),
        sql("in_sql", "SELECT o.id FROM other.orders AS o JOIN Other.Orders USING (id)"),
        {"name": "op", "layer": "silver", "inputs": ["declared"], "transform": [{"union": "other.orders"}], "write": {"to": "lake"}},
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"'other.orders' has not been written yet .run .*other.yaml first"):
        project.plan(steps[:1])
    beside = sql("beside", "SELECT 1 AS x")
    assert project.run([*steps[:1], beside], "beside").success
    assert project.run(other).success
    assert project.run(steps).success
    assert project.rows("silver/declared") == project.rows("silver/in_sql") == [(1,), (2,)]
    assert project.rows("silver/op") == [(1,), (1,), (2,), (2,)]
    assert set(actions(project.plan(steps)).values()) == {"reuse"}
    project.csv("in/a.csv", "id", (3,))
    project.run(other)
    assert set(actions(project.plan(steps)).values()) == {"run"}
    project.run(steps)
    assert project.rows("silver/in_sql") == [(3,)]


def test_an_unknown_or_unkept_table_of_another_file_is_a_problem(project: Project) -> None:
    project.config([sql("orders", "SELECT 1 AS id", kept=False)], name="other")
    with pytest.raises(ConfigError, match="is not kept"):
        project.plan([sql("x", "SELECT * FROM other.orders")])
    with pytest.raises(ConfigError, match=r"unknown input 'other\.order'"):
        project.plan([sql("x", "SELECT * FROM other.order")])
    with pytest.raises(ConfigError, match=r"unknown input 'nobody\.orders'"):
        project.plan([sql("x", "SELECT * FROM nobody.orders")])


@st.composite
def dags(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """For each node the nodes before it that it reads."""
    size = draw(st.integers(2, 9))
    return [
        tuple(sorted(draw(st.sets(st.integers(0, node - 1), max_size=3)))) if node else ()
        for node in range(size)
    ]


@settings(
    max_examples=15, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(dag=dags(), shuffled=st.randoms(use_true_random=False), workers=st.integers(1, 4))
def test_no_step_starts_before_its_dependencies_have_ended(
    project: Project, dag: list[tuple[int, ...]], shuffled: Any, workers: int
) -> None:
    steps = []
    for node, before in enumerate(dag):
        query = " UNION ALL ".join([f"SELECT {node} AS n", *(f"SELECT n FROM s_{other}" for other in before)])
        steps.append(sql(f"s_{node}", query, kept=False))
    shuffled.shuffle(steps)
    result = project.run(steps, workers=workers, enable_cache=False, enable_checkpoints=False)
    assert set(statuses(result).values()) == {"completed"}, result.error
    by_name = {step.name: step for step in result.run.steps}
    for node, before in enumerate(dag):
        for other in before:
            assert by_name[f"s_{other}"].ended_at <= by_name[f"s_{node}"].started_at  # type: ignore[operator]
