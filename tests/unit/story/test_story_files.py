"""Stories on disk, and their index."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest

from odibi.errors import NotFound, Permanent
from odibi.record.export import to_json, told_from
from odibi.record.model import (
    CheckRecord,
    OperationRecord,
    RunStatus,
    SampleRecord,
    StepStatus,
    WriteRecord,
)
from odibi.story import StoryGenerator, render, write, write_index
from odibi.story.summaries import as_made, summaries


def test_a_story_is_one_file_below_its_pipeline(tmp_path, daily):
    path = write(daily, tmp_path)
    assert path == tmp_path / "daily" / "20260106T020003-7f3a.html"
    assert path.read_bytes() == render(daily, at=path).encode("utf-8")
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_telling_a_run_again_replaces_its_story(tmp_path, daily, day_before):
    first = write(daily, tmp_path).read_bytes()
    again = write(daily, tmp_path, previous=day_before)
    assert again.read_bytes() != first
    assert write(daily, tmp_path).read_bytes() == first


def test_a_story_that_cannot_be_written_leaves_nothing_behind(tmp_path, daily):
    path = tmp_path / "daily" / "20260106T020003-7f3a.html"
    path.mkdir(parents=True)
    with pytest.raises(OSError, match="irectory"):
        write(daily, tmp_path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["../../up", "/root", "a/b", "...", "", "nul:x"])
def test_no_name_leads_out_of_the_folder(tmp_path, run, name):
    folder = tmp_path / "stories"
    path = write(run(run_id=name, pipeline=name), folder)
    assert path.resolve().parent.parent == folder.resolve()


def test_the_index_lists_all_runs_newest_first_and_links_what_is_there(
    tmp_path, page, daily, day_before, broken
):
    write(daily, tmp_path)
    write(broken, tmp_path)
    index = write_index([day_before, daily, broken], tmp_path)
    assert index == tmp_path / "index.html"
    found = page(index.read_text(encoding="utf-8"))
    assert [a["href"] for a in found.all("a") if not a["href"].startswith("#")] == [
        "daily/20260106T090000-0b1e.html",
        "daily/20260106T020003-7f3a.html",
    ]
    assert found.text.index("2.4 s") < found.text.index("5.4 s")
    assert "zwölf <b>" in found.text
    assert all("scope" in th for th in found.all("th"))


def test_an_index_of_nothing_says_so(tmp_path):
    assert "No run yet." in write_index([], tmp_path / "new").read_text(encoding="utf-8")


def test_plain_files_that_the_run_wrote_are_linked_from_where_the_page_is(tmp_path, page, run, step):
    report = tmp_path / "out put" / "revenue.csv"
    report.parent.mkdir()
    report.write_text("day\n", encoding="utf-8")
    written = [
        WriteRecord(uri=uri, format=kind, mode="overwrite")
        for uri, kind in ((str(report), "csv"), (str(tmp_path / "t"), "delta"), ("s3://b/x.csv", "csv"))
    ]
    path = write(run(step("a", writes=tuple(written))), tmp_path / "stories")
    found = [a["href"] for a in page(path.read_text("utf-8")).all("a") if not a["href"].startswith("#")]
    links = [link for link in found if link != "../index.html"]
    assert [(path.parent / unquote(link)).resolve() for link in links] == [report.resolve()]


def test_the_page_is_the_same_from_an_exported_record(tmp_path, daily, day_before):
    (tmp_path / "run.json").write_text(to_json(daily, day_before), "utf-8")
    path = StoryGenerator().generate_story(tmp_path / "run.json", str(tmp_path / "new" / "story.html"))
    assert path.read_text("utf-8") == render(daily, day_before, path)
    with pytest.raises(NotFound, match="there is no file"):
        StoryGenerator().generate_story(tmp_path / "none.json", path)


def test_a_run_is_told_from_its_lineage(tmp_path, page):
    def dataset(name):
        return {"name": name, "uri": f"lake/{name}", "format": "delta"}

    node = {
        "layer": "silver",
        "node": "Transform",
        "operation": "sql",
        "engine": "duckdb",
        "status": "completed",
    }
    error = {
        "number": 1,
        "status": "failed",
        "started_at": "2026-01-06T02:00:00+00:00",
        "ended_at": None,
        "error": "Lost",
    }
    edge = {"dataset": "raw", "column": "id", "kinds": ["identity"]}
    document = {
        "format": "odibi lineage", "version": 1, "run_id": "r1", "pipeline": "p", "logical_date": "2026-01-05",
        "target": "dev", "status": "Succeeded", "started_at": "2026-01-06T02:00:00+00:00", "ended_at": None,
        "nodes": [
            {**node, "name": "raw", "schema": [{"name": "id", "type": "BIGINT"}], "outputs": [dataset("raw")], "attempts": [error]},
            {**node, "name": "clean", "inputs": [dataset("raw"), dataset("file")], "outputs": [dataset("clean")],
             "columns": [{"dataset": "clean", "column": "id", "direct": [edge], "indirect": []}], "rows_in": {"raw": 3}},
        ],
    }  # fmt: skip
    file = tmp_path / "lineage.json"
    file.write_text(json.dumps(document), "utf-8")
    found = page(StoryGenerator().generate_story(file, tmp_path / "l.html").read_text("utf-8"))
    assert {"raw", "clean"} <= {name for box in found.all("a", class_="node") for name in [box["href"][6:]]}
    assert {"href": "#c-0-0"} in found.all("a")
    edge["dataset"] = "loaded"
    document["nodes"][0]["outputs"] = document["nodes"][1]["inputs"] = [dataset("loaded")]
    file.write_text(json.dumps(document), "utf-8")
    found = page(StoryGenerator().generate_story(file, tmp_path / "l.html").read_text("utf-8"))
    assert {"href": "#c-0-0"} in found.all("a"), "the dataset has another name than its step"
    for damaged in ({**document, "version": 9}, {**document, "nodes": {}}, {"format": "x"}, []):
        file.write_text(json.dumps(damaged), "utf-8")
        with pytest.raises(Permanent, match="run record"):
            StoryGenerator().generate_story(file, tmp_path / "l.html")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"outputs": None}, r"nodes\[0\].outputs: expected a list of objects"),
        ({"outputs": [{"uri": "x"}]}, r"nodes\[0\].outputs\[0\]: name: expected a text"),
        ({"name": None}, r"nodes\[0\]: name: expected a text"),
        ({"name": ["a"]}, r"nodes\[0\]: name: expected a text"),
        ({"inputs": ["raw"]}, r"nodes\[0\].inputs: expected"),
        ({"columns": [{"direct": []}]}, r"nodes\[0\].columns\[0\]: column: expected"),
        (
            {"columns": [{"column": "a", "direct": [{"column": "b"}]}]},
            r"columns\[0\].direct\[0\]: dataset: expected",
        ),
        ({"attempts": [None]}, r"nodes\[0\].attempts: expected"),
        ({"outputs": [{"name": "a", "format": []}]}, "format"),
        ({"engine": ["duckdb"]}, "engine"),
        ({"schema": None}, "columns"),
    ],
)
def test_what_is_missing_in_a_damaged_lineage_is_said(damage, said):
    node = {
        "name": "a",
        "layer": "silver",
        "node": "Transform",
        "operation": "sql",
        "engine": "",
        "status": "failed",
    }
    whole = {
        "format": "odibi lineage",
        "version": 1,
        "run_id": "r1",
        "pipeline": "p",
        "logical_date": "2026-01-05",
        "target": "dev",
        "status": "Failed",
        "started_at": "2026-01-06T02:00:00+00:00",
        "nodes": [node],
    }
    assert told_from(json.dumps(whole))[0].run_id == "r1"
    with pytest.raises(Permanent, match=f"damaged run record: .*{said}"):
        told_from(json.dumps({**whole, "nodes": [{**node, **damage}]}))


def test_the_index_sets_each_run_beside_the_one_before_it(tmp_path, page, daily, day_before):
    found = page(write_index([day_before, daily], tmp_path).read_text("utf-8"))
    rows = [sum(step.rows_out or 0 for step in run.steps) for run in (daily, day_before)]
    assert f"{rows[0] - rows[1]:+,} rows, 0.76 times as long" in found.text
    failed = daily.model_copy(update={"status": RunStatus.FAILED, "error": "step 'sales' failed: no disk"})
    light = [
        s.model_copy(update={"status": StepStatus.FAILED}) if s.name == "sales" else s for s in daily.steps
    ]
    told = page(write_index([failed.model_copy(update={"steps": tuple(light)})], tmp_path).read_text("utf-8"))
    assert "1 failed (sales: no disk)" in told.text


def test_the_summary_of_the_transforms(run, step):
    filtered = OperationRecord(name="filter", rows_in=5000, rows_out=4500)
    summed = OperationRecord(name="aggregate", rows_in=4500, rows_out=90)
    cleaned = OperationRecord(name="remove_nulls", rows_in=90, rows_out=90)
    steps = (
        step("read", node="Ingest", rows_out=5000),
        step(
            "per_user",
            node="Transform",
            rows_in={"transactions": 5000},
            rows_out=90,
            operations=(filtered, summed, cleaned),
        ),
        step("broken", node="Transform", operation="filter, join", status=StepStatus.FAILED),
    )
    told = summaries(run(*steps))["transformation-summary.json"]
    assert (told["total_files"], told["successful_transformations"], told["status"]) == (2, 1, "partial")
    report = told["reports"][0]
    assert (report["file"], report["input_records"], report["output_records"]) == ("per_user", 5000, 90)
    assert report["transformations_applied"] == 3
    assert [each["rows_out"] for each in report["operations"]] == [4500, 90, 90]
    assert report["cleaning_operations_applied"] == ["remove_nulls"]
    assert [each["name"] for each in told["reports"][1]["operations"]] == ["filter", "join"]
    assert summaries(run(steps[1]))["transformation-summary.json"]["status"] == "completed"
    assert "transformation-summary.json" not in summaries(run(steps[0]))


def test_each_stage_is_summed_up_and_the_report_has_the_real_status(run, step):
    broken = CheckRecord(
        name="not_null(id)", rule="not_null", on_fail="warn", status="warned", rows=100, broken=100, left=100,
        message="id is missing: 100 of 100 rows",
        examples=SampleRecord(columns=("id", "name"), rows=((None, "a"),)),
    )  # fmt: skip
    schema = CheckRecord(name="json_schema", rule="json_schema", on_fail="error", status="passed", rows=100)
    steps = (
        step("raw_a", node="Ingest", tags=("ingestion",), synthetic=True),
        step("raw_b", node="Ingest", tags=("ingestion",), status=StepStatus.FAILED),
        step("valid_a", node="Transform", tags=("validation",), rows_out=100, checks=(schema, broken)),
        step("told", node="Transform", tags=("analytics",), writes=(WriteRecord(uri="t.json", format="json", mode="overwrite"),)),
    )  # fmt: skip
    told = summaries(run(*steps, status=RunStatus.FAILED), {"told": {"n": 1}})
    assert told.keys() == {
        "ingestion-summary.json", "validation-summary.json", "told.json", "pipeline_summary_report.json",
    }  # fmt: skip
    ingested = told["ingestion-summary.json"]
    assert (ingested["total_sources"], ingested["successful_sources"]) == (2, 1)
    assert ingested["status"] == "partial"
    (checked,) = told["validation-summary.json"]["reports"]
    assert (checked["original_records"], checked["validated_records"], checked["schema_valid"]) == (
        100,
        100,
        True,
    )
    assert checked["schema_errors"] == []
    (wrong,) = checked["quality_errors"]
    assert (wrong["total"], wrong["examples"]) == (100, [{"id": None, "name": "a"}])
    report = told["pipeline_summary_report.json"]
    assert (report["status"], report["run_status"]) == ("partial", "Failed")
    assert report["file_counts"] == {
        "raw_files": 1, "validated_files": 0, "transformed_files": 0, "analytics_files": 1,
    }  # fmt: skip
    assert report["analytics"] == {"told": {"n": 1}}
    done = summaries(run(steps[0], status=RunStatus.SUCCEEDED))["pipeline_summary_report.json"]
    assert done["status"] == "completed"
    none = summaries(run(steps[1], status=RunStatus.FAILED))["pipeline_summary_report.json"]
    assert none["status"] == "failed"


def test_reused_steps_are_told_of_as_they_were_made(run, step):
    wrote = (WriteRecord(uri="t", format="delta", mode="overwrite"),)
    reused = run(step("a", status=StepStatus.REUSED, key="k"), step("b", status=StepStatus.REUSED, key="n"))
    before = [
        run(step("a", status=StepStatus.REUSED, key="k")),
        run(step("a", status=StepStatus.COMPLETED, key="k", writes=wrote, rows_in={"x": 5})),
        run(step("b", status=StepStatus.COMPLETED, key="old", writes=wrote)),
    ]
    made, other = as_made(reused, before).steps
    assert (made.status, made.writes, made.rows_in) == (StepStatus.REUSED, wrote, {"x": 5})
    assert other.writes == (), "that was another result"
