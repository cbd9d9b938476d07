"""Pipelines from Python, and what a run gives back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from odibi import Orchestrator, Step, load
from odibi.config.load import from_steps
from odibi.config.models import Node
from odibi.errors import ConfigError, Permanent
from odibi.home import Home
from odibi.orchestrator import plan, validate
from odibi.record.model import RunRecord
from odibi.record.store import open_store
from tests.unit.run.project import Project, read, sql, statuses, step_of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    found = Project(tmp_path)
    found.csv("in/sales.csv", "id,amount,region", (1, 100, "north"), (2, 40, "south"), (3, 70, "north"))
    return found


def ex1(root: Path) -> list[Step]:
    """Steps as the guide of the first example writes them."""
    return [
        Step(layer="ingest", name="read_sales", type="config_op", engine="duckdb", value=str(root / "in/sales.csv"),
             params={"header": True}, outputs={"data": "raw_sales"}),
        Step(layer="transform", name="only_big", type="sql", value="SELECT * FROM bronze WHERE amount > 50",
             inputs={"bronze": "raw_sales"}, outputs={"data": "filtered_sales"}),
        Step(layer="transform", name="add_tax", type="sql", value="SELECT *, amount * 0.1 AS tax FROM bronze",
             inputs={"bronze": "filtered_sales"}, outputs={"data": "final_sales"}),
        Step(layer="store", name="keep", type="config_op", value=str(root / "out/sales.parquet"), params={},
             inputs={"data": "final_sales"}),
    ]  # fmt: skip


EX2 = [
    ("ingest_customers", "bronze", "config_op", {}, {"data": "raw"}, Node.INGEST),
    ("store_bronze", "bronze", "config_op", {"data": "raw"}, {}, Node.STORE),
    ("clean_customers", "silver", "sql", {"bronze": "raw"}, {"data": "clean"}, Node.TRANSFORM),
    ("deduplicate", "silver", "sql", {"bronze": "clean"}, {"data": "unique_ones"}, Node.TRANSFORM),
    ("store_silver", "silver", "config_op", {"data": "unique_ones"}, {}, Node.STORE),
    ("summarize", "gold", "sql", {"bronze": "unique_ones"}, {"data": "summary"}, Node.TRANSFORM),
    ("store_gold", "gold", "config_op", {"data": "summary"}, {}, Node.STORE),
    ("send_report", "publish", "config_op", {"data": "summary"}, {}, Node.PUBLISH),
]


def ex2(root: Path) -> list[Step]:
    values = {"ingest_customers": str(root / "in/sales.csv"), "summarize": "SELECT count(*) AS n FROM bronze"}
    return [
        Step(
            name=name, layer=layer, type=kind, inputs=inputs, outputs=outputs,
            value=values.get(name, "SELECT * FROM bronze" if kind == "sql" else str(root / "out" / name)),
            params={"format": "delta"} if kind == "config_op" and inputs else {},
        )
        for name, layer, kind, inputs, outputs, _ in EX2
    ]  # fmt: skip


def test_a_pipeline_of_the_guide_runs_and_its_last_output_is_the_result(project: Project) -> None:
    result = Orchestrator(steps=ex1(project.root), engine_type="duckdb", enable_tracker=False).execute()
    assert result.success, result.error
    table = result.final_result
    assert isinstance(table, pa.Table)
    assert table.column_names == ["id", "amount", "region", "tax"]
    assert sorted(table["tax"].to_pylist()) == [7.0, 10.0]
    assert (project.root / "out/sales.parquet").is_file()
    assert result.story is None


def test_the_kind_of_a_step_follows_from_its_shape(project: Project) -> None:
    steps = ex2(project.root)
    assert [step.node for step in steps] == [node for *_, node in EX2]
    result = Orchestrator(steps=steps, enable_tracker=False).execute()
    assert result.success, result.error
    kinds = {step.name: step.node for step in result.run.steps}
    assert kinds == {name: str(node) for name, *_, node in EX2}
    assert step_of(result, "store_silver").operation == "store"
    assert step_of(result, "ingest_customers").operation == "read"


def test_a_store_changes_no_dataset_and_others_may_wait_for_it(project: Project) -> None:
    steps = ex1(project.root)
    alone = Orchestrator(steps=steps[:3], enable_tracker=False).execute().final_result
    reader = Step(name="after_it", layer="gold", sql="SELECT * FROM final_sales", depends_on=("keep",))
    result = Orchestrator(steps=[*steps, reader], enable_tracker=False).execute()
    assert result.success, result.error
    assert step_of(result, "after_it").started_at >= step_of(result, "keep").ended_at  # type: ignore[operator]
    assert result.final_result.sort_by("id") == alone.sort_by("id")
    with pytest.raises(ConfigError, match="unknown input"):
        Orchestrator(
            steps=[*steps, Step(name="r", layer="gold", type="sql", value="SELECT * FROM keep")]
        ).plan()


def test_steps_of_other_shapes_that_mean_nothing_are_refused(project: Project) -> None:
    file = str(project.root / "in/sales.csv")
    with pytest.raises(ConfigError, match="has nothing to publish"):
        Orchestrator(
            steps=[Step(name="p", layer="publish", type="config_op", value=file, outputs={"data": "x"})]
        ).plan()
    raw = Step(name="raw", layer="bronze", type="config_op", value=file, outputs={"data": "raw"})
    two = Step(name="s", layer="store", type="config_op", value="x", inputs={"a": "raw", "b": "other"})
    other = Step(name="other", layer="bronze", sql="SELECT 1 AS x")
    with pytest.raises(ConfigError, match="stores one dataset, and has the inputs a, b"):
        Orchestrator(steps=[raw, other, two]).plan()
    with pytest.raises(ConfigError, match="makes no dataset"):
        Orchestrator(
            steps=[Step(name="x", layer="gold", type="sql", value="SELECT 1 AS x", outputs={})]
        ).plan()
    with pytest.raises(ConfigError, match=r"unknown key 'fromat' .did you mean 'format'"):
        Orchestrator(
            steps=[
                raw,
                Step(
                    name="s",
                    layer="store",
                    type="config_op",
                    value="x",
                    inputs={"a": "raw"},
                    params={"fromat": "csv"},
                ),
            ]
        ).plan()


def test_more_outputs_than_a_step_makes_are_refused(project: Project) -> None:
    two = {"data": "first", "more": "second"}
    file = str(project.root / "in/sales.csv")
    with pytest.raises(ConfigError, match="makes one dataset, and outputs names first, second"):
        Orchestrator(
            steps=[Step(name="raw", layer="bronze", type="config_op", value=file, outputs=two)]
        ).plan()
    with pytest.raises(ConfigError, match="the script makes data, but outputs names"):
        Orchestrator(
            steps=[Step(name="x", layer="gold", type="sql", value="SELECT 1 AS x", outputs=two)]
        ).plan()


def test_a_connect_step_reads_as_its_shape_says(project: Project) -> None:
    step = Step(
        name="sales",
        layer="connect",
        type="config_op",
        value=str(project.root / "in/sales.csv"),
        outputs={"data": "sales"},
    )
    result = Orchestrator(steps=[step], enable_tracker=False).execute()
    assert (result.success, result.final_result.num_rows, step_of(result, "sales").node) == (
        True,
        3,
        "Connect",
    )


def test_a_publish_step_writes(project: Project) -> None:
    steps = [
        *ex1(project.root)[:3],
        Step(
            name="send",
            layer="publish",
            type="config_op",
            value=str(project.root / "out/r.csv"),
            inputs={"data": "final_sales"},
        ),
    ]
    result = Orchestrator(steps=steps, enable_tracker=False).execute()
    assert result.success, result.error
    assert (project.root / "out/r.csv").read_text().startswith("id,amount,region,tax")


def test_python_and_yaml_give_the_same_plan(project: Project) -> None:
    steps = [
        read("raw", "sales.csv"),
        sql("clean", "SELECT * FROM raw"),
        {
            "name": "op",
            "layer": "gold",
            "inputs": ["clean"],
            "transform": [{"filter": "amount > 50"}],
            "write": {"to": "lake"},
        },
    ]
    by_file = plan(project.load(steps))
    places = {
        "in": {"url": str(project.root / "in")},
        "lake": {"url": str(project.root / "lake"), "format": "delta"},
    }
    by_python = plan(
        from_steps([Step(**step) for step in steps], pipeline="shop", date="2026-01-05", connections=places)
    )
    assert [(s.step, s.key, s.decision, s.schemas, s.targets) for s in by_file.steps] == [
        (s.step, s.key, s.decision, s.schemas, s.targets) for s in by_python.steps
    ]


# --- parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["schedule"])
def test_parameters_of_later_versions_are_refused_by_name(project: Project, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name!r} is not available in this version"):
        Orchestrator(steps=ex1(project.root), **{name: True})


def test_unknown_parameters_are_refused_with_the_nearest(project: Project) -> None:
    with pytest.raises(ConfigError, match="distributed_max_workers"):
        Orchestrator(steps=ex1(project.root), distributed_max_worker=3)
    with pytest.raises(ConfigError, match="engine"):
        Orchestrator(steps=ex1(project.root), engine_type="duckdbb")


def test_parameters_mean_the_same_in_python_and_in_yaml(project: Project) -> None:
    fields: dict[str, Any] = {"distributed": False, "distributed_max_workers": 3, "enable_tracker": False}
    by_python = Orchestrator(steps=ex1(project.root), engine_type="duckdb", **fields).loaded.pipeline
    by_file = project.load([sql("x", "SELECT 1 AS x")], engine_type="duckdb", **fields).pipeline
    for name in (*fields, "engine"):
        assert getattr(by_python, name) == getattr(by_file, name)


def test_a_pipeline_or_steps_but_not_both(project: Project) -> None:
    path = project.config([sql("x", "SELECT 1 AS x")])
    for wrong in ({}, {"pipeline": path, "steps": []}):
        with pytest.raises(Permanent, match="either a pipeline or steps"):
            Orchestrator(**wrong)  # type: ignore[arg-type]
    with pytest.raises(Permanent, match="samples belong into the pipeline's file"):
        Orchestrator(path, samples=3)
    with pytest.raises(Permanent, match="loaded already"):
        Orchestrator(load(path), engine_type="duckdb")
    assert Orchestrator(path, engine_type="duckdb").execute().success
    assert Orchestrator(load(path)).execute().success


# --- results --------------------------------------------------------------------------------------------


def test_both_styles_of_access_agree(project: Project) -> None:
    result = Orchestrator(steps=ex1(project.root), enable_tracker=False).execute()
    for name in ("success", "nodes_executed", "failed_nodes", "cached", "skipped", "error", "story"):
        assert result[name] == getattr(result, name)
    assert result["tracker"] is result.tracker is result.run is result["run"]
    assert result["final_result"] == result.final_result
    assert (result["success"], result["nodes_executed"], result["failed_nodes"], result["error"]) == (
        True,
        4,
        [],
        "",
    )
    with pytest.raises(KeyError, match="did you mean 'success'"):
        result["succes"]


def test_several_last_steps_give_a_mapping_and_a_second_run_the_same(project: Project) -> None:
    steps = [
        read("raw", "sales.csv"),
        sql("kept", "SELECT id FROM raw"),
        sql("unkept", "SELECT count(*) AS n FROM raw", kept=False),
        sql("listed", "SELECT region FROM raw WHERE id = 2", write={"to": "lake", "path": "listed.csv"}),
    ]
    first = Orchestrator(project.load(steps)).execute()
    second = Orchestrator(project.load(steps)).execute()
    assert statuses(second)["kept"] == "reused"
    for result in (first, second):
        found = result.final_result
        assert found.keys() == {"kept", "unkept", "listed"}
        assert sorted(found["kept"]["id"].to_pylist()) == [1, 2, 3]
        assert found["unkept"].to_pylist() == [{"n": 3}]
        assert found["listed"].to_pylist() == [{"region": "south"}]
    assert (second.nodes_executed, second.cached) == (0, 4)


def test_the_result_of_a_reused_last_step_is_its_table(project: Project) -> None:
    steps = [read("raw", "sales.csv"), sql("kept", "SELECT id FROM raw")]
    Orchestrator(project.load(steps)).execute()
    result = Orchestrator(project.load(steps)).execute()
    assert (result.nodes_executed, result.cached) == (0, 2)
    assert result.final_result.num_rows == 3


def test_the_result_of_a_table_is_read_when_asked_for_at_the_version_of_the_run(project: Project) -> None:
    steps = [read("raw", "sales.csv"), sql("kept", "SELECT id FROM raw")]
    first = Orchestrator(project.load(steps)).execute()
    Orchestrator(project.load([steps[0], sql("kept", "SELECT id FROM raw WHERE id = 1")])).execute()
    assert first.final_result.num_rows == 3


def test_of_several_outputs_each_is_told_by_its_name(project: Project) -> None:
    script = "CREATE TABLE a AS SELECT 1 AS x; CREATE TABLE b AS SELECT 2 AS y"
    step = Step(name="split", layer="silver", type="sql", value=script, outputs={"a": "first", "b": "second"})
    found = Orchestrator(steps=[step], enable_tracker=False).execute().final_result
    assert {name: table.to_pylist() for name, table in found.items()} == {
        "first": [{"x": 1}],
        "second": [{"y": 2}],
    }


def test_where_a_last_step_failed_the_others_still_come_as_a_mapping(project: Project) -> None:
    steps = [
        Step(name="good", layer="gold", sql="SELECT 1 AS x"),
        Step(name="bad", layer="gold", sql="SELECT CAST(v AS INTEGER) AS x FROM (VALUES ('a')) AS t(v)"),
    ]
    result = Orchestrator(steps=steps, enable_tracker=False).execute()
    assert result.failed_nodes == ["bad"]
    assert list(result.final_result) == ["good"]
    alone = Orchestrator(steps=steps[1:], enable_tracker=False).execute()
    assert alone.final_result is None
    assert "bad" in alone.error


def test_selected_steps_are_executed(project: Project) -> None:
    orchestrator = Orchestrator(steps=ex1(project.root), enable_tracker=False)
    result = orchestrator.execute(select=["+only_big"])
    assert statuses(result) == {
        "read_sales": "completed",
        "only_big": "completed",
        "add_tax": "skipped",
        "keep": "skipped",
    }
    assert result.final_result.num_rows == 2
    with pytest.raises(ConfigError, match="only_big"):
        orchestrator.execute(select=["only_bigg"])
    with pytest.raises(ConfigError, match="leaves no step"):
        orchestrator.execute(select=["keep"], exclude=["keep"])


def test_without_a_tracker_there_is_no_story_but_a_record(project: Project) -> None:
    quiet = Orchestrator(steps=ex1(project.root), enable_tracker=False).execute()
    told = Orchestrator(steps=ex1(project.root)).execute()
    assert quiet.story is None
    assert told.story is not None
    assert told.story.read_text().startswith("<!doctype html>")
    assert len(list(Home.find().stories.rglob(f"*{quiet.run.run_id}*"))) == 0
    with open_store(Home.find().state) as store:
        assert {run.run_id for run in store.runs()} == {quiet.run.run_id, told.run.run_id}
    assert told.run.steps[1].lineage
    assert not quiet.run.steps[1].lineage


def test_validate_tells_every_problem_and_gives_the_plan_of_a_sound_pipeline(project: Project) -> None:
    problems, found = validate(project.load([sql("step_1", "SELECT 1 AS x")]))
    assert found is not None
    assert [problem.level for problem in problems] == ["warning"]
    assert validate(project.load([sql("step_1", "SELECT 1 AS x")]), strict=True)[1] is None
    problems, found = validate(project.load([sql("step_1", "SELECT y FROM raw"), read("raw", "sales.csv")]))
    assert found is None
    assert sorted(problem.level for problem in problems) == ["error", "warning"]


# --- the record -----------------------------------------------------------------------------------------------


def test_the_record_holds_what_happened(project: Project) -> None:
    project.write("steps/code.py", "def f(clean, *, n=1):\n    raise ValueError('no')\n")
    steps = [
        read("raw", "sales.csv", description="Sales.", owner="me", tags=["x"]),
        sql("clean", "SELECT id, upper(region) AS region FROM raw WHERE id > 1"),
        {"name": "bad", "layer": "gold", "function": "steps.code:f"},
    ]
    result = project.run(steps, owner="shop", description="The shop.", sensitive=["REG*"])
    run = result.run
    assert (run.pipeline, run.logical_date, run.engine, run.target, run.owner) == (
        "shop",
        "2026-01-05",
        "duckdb",
        "dev",
        "shop",
    )
    assert run.versions.keys() >= {"odibi", "python", "duckdb"}
    assert run.config_hash
    assert run.command
    assert run.started_at <= run.ended_at  # type: ignore[operator]
    raw, clean, bad = run.steps
    assert (raw.description, raw.owner, raw.tags, raw.operation) == ("Sales.", "me", ("x",), "read")
    assert (clean.rows_in, clean.rows_out, clean.upstream) == ({"raw": 3}, 2, ("raw",))
    assert [(c.name, c.type) for c in clean.columns] == [("id", "BIGINT"), ("region", "VARCHAR")]
    assert "upper" in clean.sql
    assert "SELECT" in clean.sql_run
    (write,) = clean.writes
    assert (write.format, write.mode, write.rows, write.version) == ("delta", "overwrite", 2, 0)
    assert write.bytes
    assert write.files == 1
    assert clean.sample is not None
    assert clean.sample.masked == ("region",)
    assert {row[1] for row in clean.sample.rows} == {"***"}
    assert {row[0] for row in clean.sample.rows} == {"2", "3"}
    assert raw.peak_memory
    assert raw.peak_memory > 1_000_000
    assert [attempt.number for attempt in clean.attempts] == [1]
    assert (bad.rows_in, bad.status) == ({}, "failed")
    assert bad.error is not None
    assert "ValueError" in bad.error.detail
    with open_store(Home.find().state) as store:
        kept = store.run(run.run_id)
    assert RunRecord.model_validate_json(kept.model_dump_json()) == kept == run


def test_sensitive_fields_inside_columns_are_masked_too(project: Project) -> None:
    query = "SELECT {'Name': 'Ann', 'city': 'Bonn'} AS person, [{'e_mail': 'a@b.c'}] AS mails, 'x' AS other"
    result = project.run([sql("nested", query)], sensitive=["name", "E_MAIL"])
    sample = step_of(result, "nested").sample
    assert sample is not None
    assert sample.masked == ("person", "mails")
    assert sample.rows == (("***", "***", "x"),)


def test_nothing_secret_is_kept_or_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ODIBI_SECRET_VAULT", "hunter-2222")
    monkeypatch.setenv("FOLDER", "plain-folder")
    places = {
        "in": {"url": str(project.root / "in")},
        "lake": {"url": str(project.root) + "/${secret:vault}/lake"},
    }
    project.write(
        "steps/code.py",
        "def f(raw):\n    raise ValueError('cannot reach s3://hunter-2222@host, user:hunter-2222')\n",
    )
    steps = [
        read("raw", "sales.csv"),
        sql("listed", "SELECT * FROM raw", write={"to": "lake", "path": "${env:FOLDER}/x.csv"}),
        {"name": "bad", "layer": "gold", "function": "steps.code:f"},
    ]
    result = project.run(steps, connections=places, enable_tracker=True)
    assert statuses(result) == {"raw": "completed", "listed": "completed", "bad": "failed"}
    assert (project.root / "hunter-2222/lake/plain-folder/x.csv").is_file()
    assert "***" in step_of(result, "raw").writes[0].uri
    assert "hunter" not in result.run.model_dump_json()
    assert "hunter" not in result.error
    assert result.story is not None
    home = Path(os.environ["ODIBI_HOME"])
    for file in home.rglob("*"):
        assert not file.is_file() or b"hunter" not in file.read_bytes(), file
    missing = [read("raw", "none.csv", read={"from": "lake", "path": "none.csv"})]
    with pytest.raises(ConfigError) as refused:
        project.run(missing, connections=places)
    assert "hunter" not in str(refused.value)
    assert "***/lake/none.csv" in str(refused.value)
    assert "hunter" not in "".join(capfd.readouterr())


def test_a_password_that_stands_in_a_url_is_not_kept(project: Project) -> None:
    places = {
        "in": {"url": str(project.root / "in")},
        "lake": {"url": str(project.root / "lake")},
        "db": {"url": "memory://me:hunter2@host/x"},
    }
    steps = [
        read("raw", "sales.csv"),
        sql("listed", "SELECT * FROM raw", write={"to": "db", "path": "x.csv"}),
    ]
    result = project.run(steps, connections=places)
    assert "hunter2" not in result.run.model_dump_json()


def test_a_run_that_breaks_is_not_left_running(project: Project) -> None:
    from odibi import orchestrator

    def broken(record: object) -> None:
        raise OSError("the pipe is closed")

    loaded = project.load([read("raw", "sales.csv")])
    with pytest.raises(OSError, match="the pipe is closed"):
        orchestrator.run(loaded, listener=broken)
    with open_store(Home.find().state) as store:
        run = store.run(loaded.run_id)
    assert run.status == "Failed"
    assert run.error == "the run was ended by OSError: the pipe is closed"
    assert not (project.root / "lake").exists()


def test_the_home_that_cannot_be_written_is_refused_before_anything_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project.write("occupied", "x")
    monkeypatch.setenv("ODIBI_HOME", str(file))
    with pytest.raises(Permanent, match="odibi cannot write to"):
        project.run([read("raw", "sales.csv")])
    assert not (project.root / "lake").exists()


def test_nothing_is_left_in_the_home_but_the_record(project: Project) -> None:
    steps = [
        read("raw", "sales.csv"),
        sql("a", "SELECT * FROM raw", kept=False),
        sql("b", "SELECT * FROM a"),
        sql("c", "SELECT * FROM a"),
    ]
    project.run(steps, enable_cache=False, enable_checkpoints=False)
    home = Path(os.environ["ODIBI_HOME"])
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()) == ["state.db"]
