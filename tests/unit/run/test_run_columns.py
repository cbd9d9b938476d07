"""A reader is woken by a change of the columns it depends on, and by no other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.run.project import KEPT, Project, read, sql, statuses

BEFORE = [(1, 100, "north", "a"), (2, 40, "south", "b"), (3, 70, "north", "c")]
NOTE = [(1, 100, "north", "x"), (2, 40, "south", "b"), (3, 70, "north", "c")]
REGION = [(1, 100, "north", "a"), (2, 40, "north", "b"), (3, 70, "north", "c")]
CROSSED = [(1, 40, "north", "a"), (2, 100, "south", "b"), (3, 70, "north", "c")]
MORE = [*BEFORE, (4, 1, "east", "d")]

READERS = {
    "projected": "SELECT id, amount FROM sales",
    "filtered": "SELECT id FROM sales WHERE region = 'north'",
    "grouped": "SELECT region, count(*) AS n FROM sales GROUP BY region",
    "counted": "SELECT count(*) AS n FROM sales",
    "ordered": "SELECT id FROM sales ORDER BY amount LIMIT 1",
    "joined": "SELECT a.id FROM sales a JOIN sales b ON a.amount = b.amount",
    "everything": "SELECT * FROM sales",
}


def steps() -> list[dict[str, Any]]:
    return [read("sales", "sales.csv"), *(sql(name, query) for name, query in READERS.items())]


def woken(project: Project, rows: list[tuple[Any, ...]], config: list[dict[str, Any]]) -> set[str]:
    project.csv("in/sales.csv", "id,amount,region,note", *rows)
    result = project.run(config)
    assert result.success, result.error
    return {name for name, status in statuses(result).items() if status == "completed"} - {"sales"}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (NOTE, {"everything"}),
        (REGION, {"everything", "filtered", "grouped"}),
        (CROSSED, {"everything", "projected", "ordered"}),  # equal columns, other rows
        (MORE, set(READERS)),
    ],
    ids=["a note", "a region", "amounts crossed", "another row"],
)
def test_who_is_woken(project: Project, after: list[tuple[Any, ...]], expected: set[str]) -> None:
    assert woken(project, BEFORE, steps()) == set(READERS)
    found = woken(project, after, steps())
    # Two amounts changed places: the join of equal amounts reads ids with them, so it is woken too.
    assert found - {"joined"} == expected - {"joined"}
    assert ("joined" in found) == (after in (CROSSED, MORE))
    assert woken(project, after, steps()) == set()


def test_the_plan_tells_it_before_anything_runs(project: Project) -> None:
    woken(project, BEFORE, steps())
    project.csv("in/sales.csv", "id,amount,region,note", *REGION)
    assert project.run(steps(), "sales").success
    plan = project.plan(steps())
    reasons = {step.name: step.decision.reason for step in plan.steps if step.decision.action == "run"}
    assert reasons == {
        "filtered": "sales changed in id or region",
        "grouped": "sales changed in region",
        "everything": "sales changed",
    }


def test_a_table_that_keeps_rows_knows_its_columns_too(project: Project) -> None:
    config = [
        read("sales", "sales.csv", write={**KEPT, "mode": "merge", "keys": ["id"]}),
        sql("amounts", READERS["projected"]),
        sql("regions", READERS["grouped"]),
    ]
    assert woken(project, BEFORE, config) == {"amounts", "regions"}
    assert woken(project, [(2, 40, "south", "z")], config) == set()
    assert woken(project, [(2, 40, "east", "z")], config) == {"regions"}
    assert woken(project, [(2, 41, "east", "z")], config) == {"amounts"}
    assert project.rows("silver/regions") == [("east", 1), ("north", 2)]


def test_a_reader_by_way_of_a_result_that_is_not_kept(project: Project) -> None:
    config = [
        read("sales", "sales.csv"),
        sql("north", "SELECT id, amount FROM sales WHERE region = 'north'", kept=False),
        sql("total", "SELECT sum(amount) AS total FROM north"),
    ]
    assert woken(project, BEFORE, config) == {"total", "north"}
    assert "total" not in woken(project, NOTE, config)
    assert "total" in woken(project, MORE, config)


def test_a_new_reader_is_woken_once_and_then_by_its_columns(project: Project) -> None:
    config = steps()[:2]
    woken(project, BEFORE, config)
    config = [*config, sql("regions", READERS["grouped"])]
    assert woken(project, BEFORE, config) == {"regions"}
    assert woken(project, BEFORE, config) == set()
    assert woken(project, REGION, config) == {"regions"}  # from now on its columns are digested
    assert woken(project, CROSSED, config) == {"projected", "regions"}
    assert woken(project, BEFORE, config) == {"projected"}
