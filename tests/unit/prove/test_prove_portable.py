"""``validate --portable``: what only one engine could do, at its place, without an engine."""

from __future__ import annotations

from typing import Any

import pytest

from odibi import orchestrator
from odibi.errors import Problem
from tests.unit.run.project import Project

READ = {
    "name": "raw",
    "layer": "bronze",
    "read": {"from": "in", "path": "a.csv", "schema": {"id": "INTEGER", "name": "VARCHAR"}},
}
MADE = {"name": "made", "layer": "silver", "function": "steps.code:made", "inputs": ["raw"]}


@pytest.fixture
def shop(project: Project) -> Project:
    project.csv("in/a.csv", "id,name", (1, "Ada"))
    return project


def problems(shop: Project, *steps: dict[str, Any], strict: bool = False) -> tuple[Problem, ...]:
    """What is not portable; the pipeline is valid otherwise."""
    loaded = shop.load([READ, *steps])
    plain, plan = orchestrator.validate(loaded)
    assert plan is not None
    found, _ = orchestrator.validate(loaded, strict=strict, portable=True)
    return tuple(problem for problem in found if problem not in plain)


def test_what_every_engine_can_do_is_portable(shop: Project) -> None:
    sql = {"name": "n", "layer": "gold", "sql": "SELECT name, count(*) AS n FROM raw GROUP BY name"}
    chain = {"name": "c", "layer": "gold", "inputs": ["raw"], "transform": [{"derive": {"u": "upper(name)"}}]}
    assert problems(shop, sql, chain) == ()


def test_a_function_in_a_file_is_named_with_its_line(shop: Project) -> None:
    shop.write(
        "steps/n.sql", "-- the first\nSELECT id,\n       histogram(lower(name)) AS h\nFROM raw GROUP BY id"
    )
    (found,) = problems(shop, {"name": "n", "layer": "gold", "sql": "steps/n.sql"})
    assert (found.file, found.line, found.level) == ("steps/n.sql", 3, "error")
    assert found.message == "histogram() is none of the functions that mean the same on every engine"
    assert found.hint == "odibi docs functions lists those that do"


def test_a_function_in_an_operation_is_named_with_its_line(shop: Project) -> None:
    operations = [{"filter": "id > 0"}, {"derive": {"a": "id + 1", "h": "Hash(name)"}}]
    (found,) = problems(shop, {"name": "n", "layer": "gold", "inputs": ["raw"], "transform": operations})
    text = (shop.root / "shop.yaml").read_text("utf-8").splitlines()
    assert "Hash(name)" in text[found.line - 1]
    assert "md5(text)" in found.hint


@pytest.mark.parametrize(
    ("function", "instead"),
    [
        ("any_value(id)", "arg_min(value, order)"),
        ("approx_count_distinct(id)", "count(DISTINCT value)"),
        ("list(id)", "ORDER BY"),
        ("mode(id)", "arg_max"),
        ("approx_quantile(id, 0.5)", "quantile_cont"),
        ("bit_xor(id)", "odibi docs functions"),
    ],
)
def test_what_to_write_instead_is_said(shop: Project, function: str, instead: str) -> None:
    (found,) = problems(shop, {"name": "n", "layer": "gold", "sql": f"SELECT {function} AS x FROM raw"})
    assert instead in found.hint


def test_every_function_is_told_at_once(shop: Project) -> None:
    sql = "SELECT any_value(id) AS a, hash(max(name)) AS h FROM raw"
    found = problems(
        shop, {"name": "n", "layer": "gold", "sql": sql}, {"name": "m", "layer": "gold", "sql": sql}
    )
    assert len(found) == 4
    assert len({problem.line for problem in found}) == 2


@pytest.mark.parametrize(
    ("annotation", "engine"), [("duckdb.DuckDBPyRelation", "duckdb"), ("pyspark.sql.DataFrame", "spark")]
)
def test_a_function_that_takes_one_engine_s_table_is_not_portable(
    shop: Project, annotation: str, engine: str
) -> None:
    package = annotation.partition(".")[0]
    shop.write("steps/code.py", f"import {package}\n\n\ndef made(raw: {annotation}):\n    return raw\n")
    (found,) = problems(shop, {**MADE, "engine": engine})
    assert (found.file, found.line) == ("steps/code.py", 4)
    assert found.message == f"made() takes raw as a table of {engine}'s own"
    assert "pd.DataFrame" in found.hint


def test_what_only_the_run_can_tell_is_a_warning(shop: Project) -> None:
    shop.write("steps/code.py", "import pandas as pd\n\n\ndef made(raw: pd.DataFrame):\n    return raw\n")
    after = {"name": "after", "layer": "gold", "sql": "SELECT id FROM made"}
    (found,) = problems(shop, MADE, after)
    assert found.level == "warning"
    assert found.message == "step 'after' cannot be checked: the columns of made are known only in the run"
    assert found.hint == "declare the schema of the function that makes them"
    (strict,) = problems(shop, MADE, after, strict=True)
    assert strict.level == "error"


def test_no_engine_is_started(shop: Project) -> None:
    shop.load([READ, {"name": "n", "layer": "gold", "sql": "SELECT any_value(id) AS x FROM raw"}])
    code = """
    import sys
    from odibi import orchestrator
    from odibi.config.load import load
    found, _ = orchestrator.validate(load("shop.yaml"), portable=True)
    assert found, "it is not portable"
    print([name for name in ("pyspark", "py4j", "pandas") if name in sys.modules])
    """
    done = shop.python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_what_spark_cannot_be_made_to_say_is_refused_at_its_line(shop: Project) -> None:
    sql = "SELECT id,\n  string_agg(name, ',') AS names\nFROM raw GROUP BY id"
    operations = [
        {"filter": "id > 0"},
        {"aggregate": {"by": ["id"], "values": {"all": "string_agg(name, ',')"}}},
    ]
    found = problems(
        shop,
        {"name": "a", "layer": "gold", "sql": sql},
        {"name": "b", "layer": "gold", "inputs": ["raw"], "transform": operations},
    )
    text = (shop.root / "shop.yaml").read_text("utf-8").splitlines()
    assert [("string_agg" in text[each.line - 1], each.level) for each in found] == [(True, "error")] * 2
    assert all(each.message.startswith("string_agg() without ORDER BY is not portable") for each in found)
    assert all("ORDER BY" in each.hint for each in found)
