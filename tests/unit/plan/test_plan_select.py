"""Selectors, and what a selection means for steps that were not selected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi.config.models import Step
from odibi.errors import ConfigError, Permanent
from odibi.plan.select import select
from tests.unit.run.project import Project, actions, read, reasons, sql, statuses

UPSTREAM: dict[str, tuple[str, ...]] = {
    "raw_orders": (),
    "raw_items": (),
    "orders": ("raw_orders",),
    "items": ("raw_items",),
    "sales": ("orders", "items"),
    "report": ("sales",),
}
LAYERS = {"raw": "bronze", "sales": "gold", "report": "publish"}
STEPS = [
    Step(
        name=name,
        layer=LAYERS.get(name.split("_")[0], "silver"),
        sql="SELECT 1 AS x",
        tags=["daily", "fast"] if name in ("orders", "report") else ["daily"] if "item" in name else [],
    )
    for name in UPSTREAM
]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ((), set(UPSTREAM)),
        (("orders",), {"orders"}),
        (("+orders",), {"orders", "raw_orders"}),
        (("orders+",), {"orders", "sales", "report"}),
        (("+orders+",), {"raw_orders", "orders", "sales", "report"}),
        (("layer:silver",), {"orders", "items"}),
        (("layer:s*",), {"orders", "items"}),
        (("+layer:gold",), {"raw_orders", "raw_items", "orders", "items", "sales"}),
        (("tag:fast",), {"orders", "report"}),
        (("tag:fast+",), {"orders", "sales", "report"}),
        (("raw_*",), {"raw_orders", "raw_items"}),
        (("*s",), {"raw_orders", "raw_items", "orders", "items", "sales"}),
        (("orders items",), {"orders", "items"}),
        (("orders", "items"), {"orders", "items"}),
        (("tag:daily,layer:silver",), {"orders", "items"}),
        (("tag:daily,tag:fast,orders+",), {"orders", "report"}),
        (("+sales,layer:bronze", "report"), {"raw_orders", "raw_items", "report"}),
        (("orders,items", "report"), {"report"}),
    ],
)
def test_every_form_of_selector(chosen: tuple[str, ...], names: set[str]) -> None:
    assert select(STEPS, UPSTREAM, chosen) == names


@pytest.mark.parametrize(
    ("excluded", "names"),
    [
        (("raw_*",), {"orders", "items", "sales", "report"}),
        (("sales+",), {"raw_orders", "raw_items", "orders", "items"}),
        (("tag:daily layer:bronze",), {"sales"}),
        (("tag:daily,layer:silver",), {"raw_orders", "raw_items", "sales", "report"}),
    ],
)
def test_what_is_excluded_is_left_out(excluded: tuple[str, ...], names: set[str]) -> None:
    assert select(STEPS, UPSTREAM, (), excluded) == names


def test_exclusion_is_taken_from_what_was_chosen() -> None:
    assert select(STEPS, UPSTREAM, ("+sales",), ("raw_*", "items")) == {"orders", "sales"}


@pytest.mark.parametrize(
    ("selector", "message", "hint"),
    [
        ("order", "nothing matches the selector 'order'", "orders"),
        ("+ordrs+", "nothing matches", "orders"),
        ("layer:silve", "nothing matches", "silver"),
        ("tag:dayly", "nothing matches", "daily"),
        ("state:new", "unknown selector method 'state'", "layer:"),
        (",", "is empty", ""),
        ("x_*", "nothing matches", ""),
        ("+", "nothing matches", ""),
    ],
)
def test_a_selector_that_means_nothing_is_refused_with_the_nearest(
    selector: str, message: str, hint: str
) -> None:
    for arguments in ((selector,), ()), ((), (selector,)):
        with pytest.raises(Permanent) as refused:
            select(STEPS, UPSTREAM, *arguments)
        assert message in refused.value.message
        assert hint in refused.value.hint


def test_a_selection_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(Permanent, match="leaves no step"):
        select(STEPS, UPSTREAM, ("orders",), ("orders",))
    with pytest.raises(Permanent, match="leaves no step"):
        select(STEPS, UPSTREAM, ("orders,items",))


@given(names=st.sets(st.sampled_from(sorted(UPSTREAM)), min_size=1))
def test_a_closure_holds_what_its_members_need(names: set[str]) -> None:
    found = select(STEPS, UPSTREAM, tuple(f"+{name}" for name in names))
    assert names <= found
    assert all(set(UPSTREAM[name]) <= found for name in found)


# --- what is not selected ---------------------------------------------------------------------------------


def chain(project: Project, *, kept: bool) -> list[dict[str, object]]:
    project.csv("in/a.csv", "id", (1,), (2,))
    return [
        read("raw", "a.csv"),
        sql("clean", "SELECT * FROM raw WHERE id > 1", kept=kept),
        sql("total", "SELECT count(*) AS n FROM clean"),
        sql("beside", "SELECT 1 AS x"),
    ]


def test_a_step_that_is_needed_and_kept_nowhere_runs_though_not_selected(project: Project) -> None:
    steps = chain(project, kept=False)
    project.run(steps, "raw")
    plan = project.plan(steps, "total")
    assert actions(plan) == {"raw": "skip", "beside": "skip", "clean": "run", "total": "run"}
    assert reasons(plan)["clean"] == "a selected step needs it, and it is not kept"
    result = project.run(steps, "total")
    assert result.success
    assert project.rows("silver/total") == [(1,)]
    assert statuses(result)["raw"] == "skipped"
    assert (result.nodes_executed, result.skipped, result.cached) == (2, 2, 0)


def test_a_needed_table_that_was_never_written_is_a_problem_before_anything_runs(project: Project) -> None:
    steps = chain(project, kept=True)
    before = project.tree()
    with pytest.raises(ConfigError) as refused:
        project.run(steps, "total")
    (problem,) = refused.value.problems
    assert problem.message == "step 'total' reads 'clean', which is not selected and not written yet"
    assert problem.hint == "select +total as well"
    assert project.tree().keys() - before.keys() == {"shop.yaml"}
    project.run(steps, "+clean")
    assert project.run(steps, "total").success
    assert project.rows("silver/total") == [(1,)]


def test_a_table_kept_as_a_plain_file_can_be_read_by_a_selected_step(project: Project) -> None:
    steps = chain(project, kept=True)
    steps[1]["write"] = {"to": "lake", "path": "clean.csv"}
    with pytest.raises(ConfigError, match="not written yet"):
        project.run(steps, "total")
    project.run(steps, "+clean")
    assert project.run(steps, "total").success
    assert project.rows("silver/total") == [(1,)]


def test_an_unkept_step_that_was_selected_itself_runs(project: Project) -> None:
    steps = chain(project, kept=False)
    project.run(steps, "raw")
    result = project.run(steps, "clean")
    assert statuses(result)["clean"] == "completed"


def test_a_missing_source_is_no_matter_where_it_is_not_read(project: Project) -> None:
    steps = chain(project, kept=True)
    project.run(steps)
    (project.root / "in/a.csv").unlink()
    assert project.run(steps, "total").success
    with pytest.raises(ConfigError, match="there is nothing to read"):
        project.run(steps)


def test_readers_of_what_was_not_selected_are_bound_to_the_table_that_is_there(project: Project) -> None:
    steps = chain(project, kept=True)
    project.run(steps)
    changed = [*steps]
    changed[1] = sql("clean", "SELECT id AS number FROM raw")
    changed[2] = sql("total", "SELECT sum(id) AS n FROM clean")
    assert project.run(changed, "total").success
    assert project.rows("silver/total") == [(2,)]
    with pytest.raises(ConfigError, match="'id' not found"):
        project.plan(changed)


def test_the_branch_after_a_failed_step_is_not_stopped_by_one_that_was_not_selected(project: Project) -> None:
    steps = chain(project, kept=True)
    project.run(steps)
    project.write("in/a.csv", "id\n1\nx\n")
    result = project.run(steps, exclude=["clean"])
    assert statuses(result) == {"raw": "failed", "clean": "skipped", "total": "reused", "beside": "reused"}
