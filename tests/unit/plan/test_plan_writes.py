"""What a write may not ask for: one problem at its place in the config, and the same sentence in the run."""

from __future__ import annotations

from typing import Any

import pytest

from odibi.errors import ConfigError
from odibi.record.model import StepStatus
from tests.unit.run.project import Project, read, sql, step_of

MERGE = {"mode": "merge", "keys": ["id"]}
SCD2 = {"mode": "scd2", "keys": ["id"]}
COLUMNS = "id, v, [id] AS li, {'a': id} AS st"


def steps(columns: str, write: dict[str, Any]) -> list[dict[str, Any]]:
    """A step that writes these columns of rows that have ``id`` and ``v``."""
    out = sql("out", f"SELECT {columns} FROM raw")
    return [read("raw", "a.csv"), {**out, "write": {"to": "lake", **write}}]


@pytest.fixture
def shop(project: Project) -> Project:
    project.csv("in/a.csv", "id,v", (1, "a"), (2, "b"))
    return project


def problem(shop: Project, columns: str, write: dict[str, Any]) -> str:
    """The one problem, with the line of the config that it is about."""
    with pytest.raises(ConfigError) as caught:
        shop.plan(steps(columns, write))
    (found,) = caught.value.problems
    line = (shop.root / "shop.yaml").read_text().splitlines()[found.line - 1]
    return f"{line.strip()} | {found.message} | {found.hint}"


@pytest.mark.parametrize("write", [MERGE, SCD2], ids=["merge", "scd2"])
@pytest.mark.parametrize(
    "name", ["odibi_deleted", "Odibi_Sequence", "ODIBI_ROW", "odibi_old", "odibi_new", "odibi_file"]
)
def test_names_that_a_mode_needs_for_itself(shop: Project, name: str, write: dict[str, Any]) -> None:
    said = problem(shop, f"id, 1 AS {name}", write)
    assert said.startswith(f"mode: {write['mode']} | the rows have a column '{name}'")
    assert said.endswith("rename it in the step")
    shop.plan(steps(f"id, 1 AS {name}", {}))  # to other modes they are names like others


@pytest.mark.parametrize("name", ["valid_from", "Valid_To", "IS_CURRENT"])
def test_names_that_scd2_adds(shop: Project, name: str) -> None:
    assert f"the rows have a column '{name}', which scd2 adds" in problem(shop, f"id, 1 AS {name}", SCD2)


@pytest.mark.parametrize(
    ("name", "write"), [("_Logical_Date", {}), ("Day", {"logical_date_column": "day"})], ids=str
)
def test_the_name_of_an_append_s_logical_date(shop: Project, name: str, write: dict[str, Any]) -> None:
    append = {"mode": "append", **write}
    assert f"the rows have a column '{name}', which append" in problem(shop, f"id, 1 AS {name}", append)
    shop.plan(steps(f"id, 1 AS {name}", {**append, "logical_date_column": None}))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("id + 1", "'id + 1' is BIGINT, not true or false"),
        ("v", "'v' is VARCHAR, not true or false"),
        ("count(*) > 1", "cannot contain aggregates"),
        ("sum(id) over () > 1", "cannot contain window functions"),
        ("id in (select id from raw)", "a subquery has no place here"),
        ("raw.id > 1", '"raw" not found'),
        ("ids > 1", "column 'ids' not found | did you mean 'id'?"),
        ("1=1) or (1=1", "syntax error"),
        ("id > 1 as big", "not one expression"),
        (" ", "there is no expression here"),
    ],
)
@pytest.mark.parametrize("option", ["delete_when", "where"])
def test_a_condition_is_about_one_row(shop: Project, option: str, condition: str, message: str) -> None:
    write = MERGE if option == "delete_when" else {"mode": "replace_where"}
    said = problem(shop, "id, v", {**write, option: condition})
    assert said.startswith(f"{option}: ")
    assert message in said


@pytest.mark.parametrize("condition", ["id > 1", "v is null or not (v = 'x') -- said", "true", "v like 'a%'"])
def test_conditions_about_one_row(shop: Project, condition: str) -> None:
    for write in ({**MERGE, "delete_when": condition}, {"mode": "replace_where", "where": condition}):
        shop.plan(steps("id, v", write))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        ({"partition_by": ["id", "id"]}, "- id | partition_by names 'id' twice"),
        ({"partition_by": ["li"]}, "- li | partition_by names 'li', a BIGINT[]"),
        ({"partition_by": ["st"]}, "- st | partition_by names 'st', a STRUCT(a BIGINT)"),
        ({**MERGE, "exclude": ["v"], "partition_by": ["v"]}, "- v | exclude names 'v', which partition_by"),
        ({**MERGE, "exclude": ["v"], "sequence_by": "v"}, "- v | exclude names 'v': sequence_by orders"),
        ({**MERGE, "keys": ["id", "id"]}, "- id | keys names 'id' twice"),
        ({**MERGE, "sequence_by": "vv"}, "sequence_by: vv | sequence_by names 'vv', which is no column"),
    ],
    ids=str,
)
def test_columns_that_a_write_names(shop: Project, write: dict[str, Any], said: str) -> None:
    assert problem(shop, COLUMNS, write).startswith(said)


@pytest.mark.parametrize(
    "write", [{"partition_by": ["id", "v"]}, {**MERGE, "exclude": ["v"], "partition_by": ["id"]}], ids=str
)
def test_one_column_is_left_for_the_files(shop: Project, write: dict[str, Any]) -> None:
    assert "partition_by names every column; one must be left for the files" in problem(shop, "id, v", write)
    shop.plan(steps("id, v, 1 AS w", write))


def test_what_the_plan_cannot_see_is_refused_in_the_run(shop: Project) -> None:
    shop.write("steps/code.py", "def f(raw):\n    return raw.assign(odibi_deleted=False)\n")
    function = {
        "name": "out",
        "layer": "silver",
        "engine": "pandas",
        "inputs": ["raw"],
        "function": "steps.code:f",
        "write": {"to": "lake", **MERGE},
    }
    out = step_of(shop.run([read("raw", "a.csv"), function]), "out")
    assert out.status is StepStatus.FAILED
    assert "the rows have a column 'odibi_deleted'" in str(out.error)
    assert not (shop.root / "lake/silver/out").exists()
