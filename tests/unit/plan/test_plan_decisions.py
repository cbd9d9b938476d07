"""What is done again and what is not, and the sentence that says why; a run does what its plan said."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import rmtree
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from odibi.errors import ConfigError
from odibi.plan import Plan
from tests.unit.run.project import Project, actions, read, reasons, sql, statuses, step_of

KEPT = {"to": "lake"}
OPERATION = {
    "name": "op",
    "layer": "silver",
    "inputs": ["raw"],
    "transform": [{"derive": {"w": "v * 2"}}, {"filter": "w > 2"}],
    "write": KEPT,
}


@pytest.fixture
def steps(project: Project) -> list[dict[str, Any]]:
    """A read, SQL, an unkept step, operations and a function, all of them run once."""
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2), (3, 3))
    project.write("steps/code.py", "def f(big, *, factor=2):\n    return big\n")
    steps = [
        read("raw", "a.csv"),
        sql("big", "SELECT * FROM raw WHERE v >= 2"),
        sql("lazy", "SELECT id + 1 AS id FROM big", kept=False),
        sql("total", "SELECT count(*) AS n FROM lazy"),
        OPERATION,
        {
            "name": "scored",
            "layer": "gold",
            "function": "steps.code:f",
            "params": {"factor": 3},
            "write": KEPT,
        },
    ]
    first = project.plan(steps)
    assert set(actions(first).values()) == {"run"}
    assert reasons(first)["raw"] == "nothing written yet"
    assert reasons(first)["lazy"] == "its result is not kept"
    assert project.run(steps).success
    return steps


def running(plan: Plan) -> dict[str, str]:
    return {step.name: step.decision.reason for step in plan.steps if step.decision.action == "run"}


def test_nothing_changed_means_nothing_runs(project: Project, steps: list[dict[str, Any]]) -> None:
    plan = project.plan(steps)
    assert running(plan) == {}
    assert reasons(plan)["big"] == "nothing changed since version 0"
    assert reasons(plan)["lazy"] == "no step that runs needs it"
    result = project.run(steps)
    assert (result.nodes_executed, result.cached, result.skipped, result.success) == (0, 5, 1, True)
    assert project.version("silver/big") == 0


def test_the_plan_changes_nothing_and_the_run_does_what_it_said(
    project: Project, steps: list[dict[str, Any]]
) -> None:
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2), (3, 30))
    path, home = project.config(steps), Path(os.environ["ODIBI_HOME"])
    before = project.tree(), sorted(home.rglob("*"))
    plan = project.plan(path)
    assert (project.tree(), sorted(home.rglob("*"))) == before
    result = project.run(path)
    expected = {"run": {"completed", "reused"}, "reuse": {"reused"}, "skip": {"skipped"}}
    for name, action in actions(plan).items():
        assert statuses(result)[name] in expected[action], name


SHORT = """
pipeline: shop
date: "2026-01-05"
connections: {in: {url: in}, lake: {url: lake, format: delta}}
steps:
  - {name: raw, layer: bronze, read: {from: in, path: a.csv}, write: {to: lake}}
  - {name: big, layer: silver, sql: "SELECT * FROM raw WHERE v >= 2", write: {to: lake}}
  - name: op
    layer: silver
    inputs: raw
    transform: [{derive: {w: v * 2, u: "concat('a  b', v)"}}, {filter: w > 2 and v > 0}]
    write: {to: lake}
"""
LONG = """
# All the same, told otherwise.
connections:
  lake:
    format: 'delta'
    url: "lake"
  in: {url: in, description: where files arrive}
description: A shop.
steps:
  - read:           # from the landing zone
      path: a.csv
      from: in
    layer: bronze
    name: raw
    tags: [new]
    write: {to: lake}
  - write: {to: lake}
    sql: |
      -- the big ones
      select
        *   /* every column */
      from raw
      where "v">=2;
    layer: silver
    name: big
    owner: somebody
  - name: op
    layer: silver
    type: config_op
    value: transform
    inputs: {raw: raw}
    params:
      operations:
        - derive:
            u: "concat('a  b',v)"
            w: "v*2  -- twice"
        - filter: |
            w > 2
              and v > 0
    write: {to: lake}
date: "2026-01-05"
pipeline: shop
"""


def test_layout_comments_order_of_keys_and_descriptions_wake_nobody(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2), (3, 3))
    path = str(project.write("shop.yaml", SHORT))
    assert project.run(path).success
    project.write("shop.yaml", LONG)
    assert running(project.plan(path)) == {}
    assert project.rows("silver/op") == [(2, 2, 4, "a  b2"), (3, 3, 6, "a  b3")]


def test_the_order_of_keys_wakes_nobody(project: Project, steps: list[dict[str, Any]]) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert running(project.plan([turned(step) for step in steps])) == {}


@pytest.mark.parametrize(
    ("step", "key", "value"),
    [
        ("big", "sql", "SELECT * FROM raw WHERE v >= 3"),
        ("big", "sql", "SELECT *, 'a  b' AS t FROM raw WHERE v >= 2"),
        ("op", "transform", [{"derive": {"w": "v * 3"}}, {"filter": "w > 2"}]),
        ("op", "transform", [{"filter": "v > 2"}, {"derive": {"w": "v * 2"}}]),
        ("raw", "read", {"from": "in", "path": "a.csv", "schema": {"id": "BIGINT", "v": "BIGINT"}, "null_values": ["", "-"]}),
        ("scored", "params", {"factor": 4}),
        ("big", "write", {"to": "lake", "partition_by": ["id"]}),
    ],
)  # fmt: skip
def test_a_change_of_what_a_step_says_runs_it_again(
    project: Project, steps: list[dict[str, Any]], step: str, key: str, value: Any
) -> None:
    changed = [{**each, key: value} if each["name"] == step else each for each in steps]
    assert running(project.plan(changed))[step] == "its code changed"


def test_white_space_in_a_value_is_not_layout(project: Project) -> None:
    project.csv("in/a.csv", "id,t", (1, None))
    for text in ("a  b", "a b"):
        op = {
            "name": "op",
            "layer": "silver",
            "inputs": ["raw"],
            "transform": [{"fill": {"t": text}}],
            "write": KEPT,
        }
        project.run(
            [
                read(
                    "raw",
                    "a.csv",
                    read={"from": "in", "path": "a.csv", "schema": {"id": "INT", "t": "VARCHAR"}},
                ),
                op,
            ]
        )
        assert project.rows("silver/op") == [(1, text)]
    for text in ("'x  y'", "'x y'"):
        op = {
            "name": "op2",
            "layer": "silver",
            "inputs": ["raw"],
            "transform": [{"derive": {"t": text}}],
            "write": KEPT,
        }
        project.run(
            [
                read(
                    "raw",
                    "a.csv",
                    read={"from": "in", "path": "a.csv", "schema": {"id": "INT", "t": "VARCHAR"}},
                ),
                op,
            ]
        )
        assert project.rows("silver/op2") == [(1, text.strip("'"))]


def test_a_delimiter_is_not_layout(project: Project) -> None:
    project.write("in/a.txt", "id\tname\n1 x\ty\n")
    for delimiter, names in (("\t", ["id", "name"]), (" ", ["id\tname"])):
        step = {
            "name": "raw",
            "layer": "bronze",
            "read": {"from": "in", "path": "a.txt", "delimiter": delimiter},
            "write": {"to": "lake", "schema": "replace"},
        }
        result = project.run([step])
        if delimiter == "\t":
            assert [c.name for c in step_of(result, "raw").columns] == names
        else:
            assert statuses(result)["raw"] != "reused"


def test_a_changed_function_or_module_it_calls_runs_again_layout_does_not(
    project: Project, steps: list[dict[str, Any]]
) -> None:
    project.write(
        "steps/code.py", "# about\ndef f(big, *,\n      factor=2):\n    '''Says what.'''\n    return big\n"
    )
    assert running(project.plan(steps)) == {}
    project.write("steps/helper.py", "def same(x):\n    return x\n")
    project.write(
        "steps/code.py", "from steps.helper import same\n\ndef f(big, *, factor=2):\n    return same(big)\n"
    )
    assert running(project.plan(steps)) == {"scored": "its code changed"}
    assert project.run(steps).success
    assert running(project.plan(steps)) == {}
    project.write("steps/helper.py", "def same(x):\n    return x.filter('id > 2')\n")
    assert running(project.plan(steps)) == {"scored": "its code changed"}
    project.run(steps)
    assert project.rows("gold/scored") == [(3, 3)]


def test_a_function_of_the_same_module_by_another_name_is_another(
    project: Project, steps: list[dict[str, Any]]
) -> None:
    project.write(
        "steps/code.py",
        "def f(big, *, factor=2):\n    return big\n\ndef g(big, *, factor=2):\n    return big\n",
    )
    project.run(steps)
    steps[-1]["function"] = "steps.code:g"
    assert running(project.plan(steps)) == {"scored": "its code changed"}


def test_changed_files_run_their_readers_and_those_after(
    project: Project, steps: list[dict[str, Any]]
) -> None:
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2), (3, 30))
    plan = project.plan(steps)
    assert reasons(plan) | {"lazy": ""} == {
        "raw": "files changed",
        "big": "raw may change",
        "op": "raw may change",
        "lazy": "",
        "total": "lazy may change",
        "scored": "big may change",
    }
    assert project.run(steps).success
    assert project.rows("silver/big") == [(2, 2), (3, 30)]


def test_an_upstream_that_comes_out_equal_wakes_nobody(project: Project, steps: list[dict[str, Any]]) -> None:
    project.csv("in/a.csv", "id,v", (1, 0), (2, 2), (3, 3))
    result = project.run(steps)
    assert statuses(result) == {
        "raw": "completed", "big": "completed", "lazy": "completed", "total": "reused", "op": "completed",
        "scored": "reused",
    }  # fmt: skip
    assert step_of(result, "total").reason == "its inputs came out as they were"
    assert project.version("silver/total") == 0
    assert running(project.plan(steps)) == {}


def test_a_table_that_somebody_else_changed_is_made_again(
    project: Project, steps: list[dict[str, Any]]
) -> None:
    rows = pa.table({"id": pa.array([9], pa.int64()), "v": pa.array([9], pa.int64())})
    write_deltalake(str(project.root / "lake/silver/big"), rows, mode="append")
    plan = project.plan(steps)
    assert reasons(plan)["big"] == "its table was changed by somebody else"
    result = project.run(steps)
    assert project.rows("silver/big") == [(2, 2), (3, 3)]
    assert statuses(result)["total"] == "reused"


def test_a_table_of_another_pipeline_that_somebody_changed_is_an_input_that_changed(project: Project) -> None:
    project.csv("in/a.csv", "id", (1,))
    other = project.config([read("orders", "a.csv")], name="other")
    project.run(other)
    steps = [sql("mine", "SELECT * FROM other.orders")]
    project.run(steps)
    write_deltalake(
        str(project.root / "lake/bronze/orders"), pa.table({"id": pa.array([2], pa.int64())}), mode="append"
    )
    assert reasons(project.plan(steps))["mine"] == "other.orders changed"
    project.run(steps)
    assert project.rows("silver/mine") == [(1,), (2,)]
    assert actions(project.plan(steps)) == {"mine": "reuse"}


def test_a_deleted_table_is_made_again(project: Project, steps: list[dict[str, Any]]) -> None:
    rmtree(project.root / "lake/silver/big")
    assert running(project.plan(steps))["big"] == "nothing written yet"
    result = project.run(steps)
    assert project.rows("silver/big") == [(2, 2), (3, 3)]
    assert statuses(result)["scored"] == "reused"


def test_plain_files_are_always_written_again_without_the_cache(
    project: Project, steps: list[dict[str, Any]]
) -> None:
    steps.append(sql("listed", "SELECT id FROM big", write={"to": "lake", "path": "out/listed.csv"}))
    assert project.run(steps, enable_cache=False).success
    assert running(project.plan(steps, enable_cache=False)) == {
        "listed": "plain files do not tell what they hold"
    }
    assert (project.root / "lake/out/listed.csv").read_text().split() == ["id", "2", "3"]


@pytest.mark.parametrize(
    "step",
    [
        sql("now", "SELECT now() AS t"),
        sql("now", "SELECT random() AS t"),
        sql("now", "SELECT CURRENT_DATE AS t"),
        {**OPERATION, "name": "now", "inputs": ["raw"], "transform": [{"derive": {"t": "uuid()"}}]},
    ],
)
def test_what_depends_on_the_clock_or_on_chance_always_runs(project: Project, step: dict[str, Any]) -> None:
    project.csv("in/a.csv", "id", (1,))
    steps = [read("raw", "a.csv"), step, sql("reader", "SELECT * FROM now")]
    project.run(steps)
    assert running(project.plan(steps)) == {
        "now": "its answer depends on the clock or on chance",
        "reader": "now may change",
    }
    assert running(project.plan([steps[0], {**step, "write": None}, steps[2]]))["reader"] == "now may change"
    unkept = [steps[0], {**step, "write": None}, steps[2]]
    for _ in range(2):
        assert statuses(project.run(unkept))["reader"] == "completed"


def test_chance_behind_columns_that_only_the_run_knows_is_noticed_too(project: Project) -> None:
    project.write("steps/code.py", "def f():\n    return [{'x': 1}]\n")
    steps = [
        {"name": "made", "layer": "bronze", "function": "steps.code:f"},
        {"name": "op", "layer": "silver", "inputs": ["made"], "transform": [{"derive": {"r": "random()"}}]},
        {
            "name": "kept_op",
            "layer": "silver",
            "inputs": ["made"],
            "transform": [{"derive": {"r": "random()"}}],
            "write": KEPT,
        },
        sql("reader", "SELECT * FROM op"),
    ]
    seen = set()
    for _ in range(2):
        assert project.run(steps).success
        seen |= {project.rows("silver/reader")[0], project.rows("silver/kept_op")[0]}
    assert len(seen) == 4


def test_two_steps_cannot_write_one_target(project: Project) -> None:
    project.csv("in/a.csv", "id", (1,))
    steps = [
        sql("one", "SELECT 1 AS x", write={"to": "lake", "path": "same", "mode": "append"}),
        sql("two", "SELECT 2 AS x", write={"path": f"{project.root}/other/../lake/same"}),
    ]
    with pytest.raises(ConfigError, match="steps 'one' and 'two' both write"):
        project.plan(steps)
    steps = [read("raw", "a.csv"), sql("two", "SELECT * FROM raw", write={"to": "in", "path": "a.csv"})]
    with pytest.raises(ConfigError, match="the file that step 'raw' reads"):
        project.plan(steps)


# --- columns that only the run knows -----------------------------------------------------------------------


def unknown(code: str) -> list[dict[str, Any]]:
    return [
        {"name": "made", "layer": "bronze", "function": "steps.code:f", "write": KEPT},
        sql("reader", code),
        sql("last", "SELECT * FROM reader"),
    ]


def test_columns_that_only_the_run_knows_are_bound_in_it_and_known_afterwards(project: Project) -> None:
    project.write("steps/code.py", "def f():\n    return [{'x': 1, 'y': 'a'}]\n")
    steps = unknown("SELECT x + 1 AS z FROM made")
    plan = project.plan(steps)
    assert plan["reader"].compiled is None
    assert plan["reader"].warnings == (
        "its columns are bound in the run: those of made are not known before",
    )
    assert plan["reader"].schemas == {"reader": None}
    assert project.run(steps).success
    assert project.rows("silver/last") == [(2,)]
    plan = project.plan(steps)
    assert [c.name for c in plan["made"].schemas["made"] or ()] == ["x", "y"]
    assert [c.type for c in plan["last"].schemas["last"] or ()] == ["BIGINT"]
    assert plan["reader"].warnings == ()


def test_an_unknown_column_is_told_in_the_run_where_only_the_run_can(project: Project) -> None:
    project.write("steps/code.py", "def f():\n    return [{'x': 1, 'y': 'a'}]\n")
    result = project.run(unknown("SELECT xx FROM made"))
    assert statuses(result) == {"made": "completed", "reader": "failed", "last": "not_run"}
    error = step_of(result, "reader").error
    assert error is not None
    assert "'xx' not found" in error.message


def test_a_function_that_returns_a_new_column_does_not_stop_its_new_readers(project: Project) -> None:
    project.write("steps/code.py", "def f():\n    return [{'x': 1}]\n")
    assert project.run(unknown("SELECT x FROM made")).success
    project.write("steps/code.py", "def f():\n    return [{'x': 1, 'y': 2}]\n")
    steps = unknown("SELECT y FROM made")
    plan = project.plan(steps)
    (warning,) = plan["reader"].warnings
    assert "'y' not found" in warning
    assert "as made was in the last run" in warning
    assert project.run(steps).success
    assert project.rows("silver/last") == [(2,)]


def test_the_targets_of_a_multi_output_script_are_decided_together(project: Project) -> None:
    project.csv("in/a.csv", "id", (1,), (2,), (3,))
    script = "CREATE TABLE low AS SELECT * FROM raw WHERE id < 2; CREATE TABLE high AS SELECT * FROM raw WHERE id >= 2"
    both = {
        "name": "split",
        "layer": "silver",
        "sql": script,
        "outputs": {"low": "small_ones", "high": "big_ones"},
        "write": KEPT,
    }
    steps = [
        read("raw", "a.csv"),
        both,
        sql("reader", "SELECT * FROM small_ones UNION ALL SELECT * FROM big_ones"),
    ]
    result = project.run(steps)
    assert result.success, result.error
    assert project.rows("silver/small_ones") == [(1,)]
    assert project.rows("silver/big_ones") == [(2,), (3,)]
    assert project.rows("silver/reader") == [(1,), (2,), (3,)]
    assert len(step_of(result, "split").writes) == 2
    assert set(actions(project.plan(steps)).values()) == {"reuse"}
    rmtree(project.root / "lake/silver/big_ones")
    assert running(project.plan(steps))["split"] == "nothing written yet"
    assert project.run(steps).success
    assert project.rows("silver/big_ones") == [(2,), (3,)]
