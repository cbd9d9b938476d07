"""Stories on disk, and their index."""

from __future__ import annotations

import pytest

from odibi.story import render, write, write_index


def test_a_story_is_one_file_below_its_pipeline(tmp_path, daily):
    path = write(daily, tmp_path)
    assert path == tmp_path / "daily" / "20260106T020003-7f3a.html"
    assert path.read_bytes() == render(daily).encode("utf-8")
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
