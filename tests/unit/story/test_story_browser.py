"""The page in a real browser: it renders, and its script runs without an error."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from odibi.story import write, write_index

BROWSER = os.environ.get("ODIBI_TEST_BROWSER") or shutil.which("chromium")

pytestmark = pytest.mark.skipif(
    BROWSER is None,
    reason="NO BROWSER: the story was not opened in one; apt-get install chromium, or set ODIBI_TEST_BROWSER",
)


def dump(url, profile):
    """The document as it stands after the script ran."""
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-sync", *quiet.split()]
    done = subprocess.run(
        [*command, f"--user-data-dir={profile}", "--dump-dom", url],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return done.stdout.decode("utf-8")


def test_the_page_works_in_a_browser(tmp_path, page, broken, daily):
    story = write(broken, tmp_path / "stories", previous=daily)
    found = page(dump(f"{story.as_uri()}#step-payments", tmp_path / "profile"))
    (root,) = found.all("html")
    assert "data-error" not in root
    assert root["data-ready"] == "true"
    assert [one["id"] for one in found.all("article", class_="current")] == ["step-payments"]
    assert [a["href"] for a in found.all("a") if a.get("aria-current")] == ["#step-payments"] * 2
    assert "hidden" not in found.all("button", id="theme")[0]
    assert "zwölf" in found.text


def test_a_thousand_steps_and_the_index_work_in_a_browser(tmp_path, page, thousand):
    story = write(thousand, tmp_path / "stories")
    index = write_index([thousand], tmp_path / "stories")
    for path, current in ((story, ["step-model_0777"]), (index, [])):
        found = page(dump(path.as_uri(), tmp_path / "profile"))
        (root,) = found.all("html")
        assert "data-error" not in root
        assert root["data-ready"] == "true"
        assert [one["id"] for one in found.all("article", class_="current")] == current
