"""Stories on disk, and their index."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from odibi.record.model import OperationRecord, StepStatus, WriteRecord
from odibi.story import render, write, write_index
from odibi.story.summaries import summaries


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
    (told,) = summaries(run(*steps)).values()
    assert (told["total_files"], told["successful_transformations"], told["status"]) == (2, 1, "partial")
    report = told["reports"][0]
    assert (report["file"], report["input_records"], report["output_records"]) == ("per_user", 5000, 90)
    assert report["transformations_applied"] == 3
    assert [each["rows_out"] for each in report["operations"]] == [4500, 90, 90]
    assert report["cleaning_operations_applied"] == ["remove_nulls"]
    assert [each["name"] for each in told["reports"][1]["operations"]] == ["filter", "join"]
    assert summaries(run(steps[1]))["transformation-summary.json"]["status"] == "completed"
    assert summaries(run(steps[0])) == {}
