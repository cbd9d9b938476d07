"""Which engine computes a step: named, by layer, or by the size of what it reads."""

from __future__ import annotations

import pytest

from odibi.config.models import Pipeline, Step
from odibi.errors import ConfigError
from odibi.plan.engines import engine_of, shown, size_of, too_large
from tests.unit.run.project import Project, read, sql

STEP = Step(name="totals", layer="gold", sql="SELECT 1 AS x")


def pipeline(**fields: object) -> Pipeline:
    return Pipeline(pipeline="p", steps=(STEP,), **fields)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("10GB", 1e10), ("1.5MB", 1.5e6), ("2 KiB", 2048), ("3TiB", 3 * 2**40), ("7 kB", None)],
)
def test_sizes_are_written_as_people_do(text: str, size: float | None) -> None:
    if size is None:
        with pytest.raises(ValueError, match="engine_threshold"):
            pipeline(engine_threshold=text)
    else:
        assert size_of(pipeline(engine_threshold=text).engine_threshold) == size


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (2_100_000, "2.1 MB"), (3e13, "30 TB")]
)
def test_sizes_are_shown_as_people_read_them(size: float, text: str) -> None:
    assert shown(size) == text


def test_the_step_s_own_engine_goes_before_its_layer_s_and_that_before_the_pipeline_s() -> None:
    layers = pipeline(engine="pandas", engines={"gold": "spark"})
    assert engine_of(pipeline(engine="pandas"), STEP, 0) == ("pandas", "")
    assert engine_of(layers, STEP, 0) == ("spark", "")
    assert engine_of(layers, STEP.model_copy(update={"engine": "duckdb"}), 0) == ("duckdb", "")


def test_a_pandas_step_that_reads_too_much_is_warned_of() -> None:
    assert too_large(pipeline(), "pandas", 10**10) == ()
    (warning,) = too_large(pipeline(), "pandas", 10**10 + 1)
    assert warning == "it reads 10 GB into memory, above 10GB: engine auto or spark would fit"
    assert too_large(pipeline(), "duckdb", 10**12) == ()


def test_auto_takes_spark_where_a_step_reads_more_than_the_threshold(project: Project) -> None:
    project.csv("in/big.csv", "id,text", *((i, "x" * 100) for i in range(20_000)))
    project.csv("in/small.csv", "id", (1,), (2,))
    steps = [
        read("big", "big.csv", write={"to": "lake"}),
        read("small", "small.csv"),
        sql("few", "SELECT id FROM small"),
        sql("many", "SELECT id FROM big"),
        sql("joined", "SELECT id FROM few JOIN many USING (id)"),
        sql("named", "SELECT id FROM big", engine="duckdb"),
    ]
    plan = project.plan(steps, engine="auto", engine_threshold="1MB")
    assert {step.name: step.engine for step in plan.steps} == {
        "big": "spark", "small": "duckdb", "few": "duckdb", "many": "spark", "joined": "spark", "named": "duckdb",
    }  # fmt: skip
    assert plan["big"].decision.reason == "nothing written yet; on spark: it reads 2.15 MB, above 1MB"
    assert plan["few"].decision.reason.endswith("; on duckdb: it reads 10 B, not above 1MB")
    assert "reads" not in plan["named"].decision.reason


def test_auto_measures_a_table_that_stands_not_what_made_it(project: Project) -> None:
    project.csv("in/big.csv", "id,text", *((i, "x" * 100) for i in range(20_000)))
    steps = [read("big", "big.csv", write={"to": "lake"}), sql("many", "SELECT count(*) AS n FROM big")]
    assert project.plan(steps, engine="auto", engine_threshold="1MB")["many"].engine == "spark"
    assert project.run(steps).success
    assert project.plan(steps, engine="auto", engine_threshold="1MB")["many"].engine == "duckdb"


def test_what_spark_cannot_answer_alike_is_refused_before_anything_runs(project: Project) -> None:
    project.csv("in/t.csv", "id", (1,))
    steps = [read("t", "t.csv"), sql("odd", "SELECT approx_count_distinct(id) AS n FROM t", engine="spark")]
    with pytest.raises(ConfigError, match="approx_count_distinct"):
        project.plan(steps)
