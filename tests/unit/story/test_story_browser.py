"""The page in a real browser: it renders, and its script runs without an error."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from importlib.resources import files

import pytest

from odibi.record.model import SampleRecord
from odibi.story import render, write, write_index
from odibi.story.changes import compare
from odibi.story.html import render_difference, render_index
from odibi.story.tables import ChangedRow, RunDifference, TableDifference

BROWSER = os.environ.get("ODIBI_TEST_BROWSER") or shutil.which("chromium")

pytestmark = pytest.mark.skipif(
    BROWSER is None,
    reason="NO BROWSER: the story was not opened in one; apt-get install chromium, or set ODIBI_TEST_BROWSER",
)


def dump(url, profile, *options):
    """The document as it stands after the script ran."""
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-sync", *quiet.split()]
    done = subprocess.run(
        [*command, *options, f"--user-data-dir={profile}", "--dump-dom", url],
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


def probed(page, script, folder, *options, at=""):
    """What ``script``, the body of an async function, gives in the page, which is let run it."""
    page = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    told = "document.body.append(Object.assign(document.createElement('pre'), {id: 'told', textContent: JSON.stringify(told)}))"
    run = f"addEventListener('load', async () => {{ const told = await (async () => {{ {script} }})().catch(String); {told}; }})"
    copy = folder / "probed.html"
    copy.write_text(page.replace("</head>", f"<script>{run}</script></head>"), encoding="utf-8")
    found = dump(copy.as_uri() + at, folder / "profile", "--virtual-time-budget=60000", *options)
    return json.loads(html.unescape(re.search('<pre id="told">(.*?)</pre>', found, re.DOTALL).group(1)))


AXE = """
// What nobody sees before it is opened only makes axe slow: it is tested with the smaller pages.
for (const one of document.querySelectorAll(".step:not(.current), details:not([open]) > :not(summary)")) one.remove();
const found = await axe.run(document, {resultTypes: ["violations"]});
return found.violations.map((one) => `${one.impact} ${one.id}: ${one.nodes[0].html} ${one.nodes[0].failureSummary}`);
"""


def difference(now, before):
    """Two runs and a table with everything that the page of a difference can show."""
    sample = SampleRecord(columns=("id", "email"), rows=(("1", "*****"), ("2", None)), masked=("email",))
    table = TableDifference(
        "sales", "lake/sales", (1, 2), notes=("a note",), keys=("id",), rows=(3, 4), added=2, removed=2, changed=1,
        by_column=(("price", 1),), some_added=sample, some_removed=sample, masked=("email",),
        some_changed=(ChangedRow(("3",), (("price", "1", ""), ("email", "*****", None))),),
    )  # fmt: skip
    gone = TableDifference("old", "lake/old", (None, 2), problem="files of version 1 were deleted by vacuum")
    return render_difference(before, now, RunDifference(compare(now, before), (table, gone)))


@pytest.mark.parametrize(
    ("which", "colours"),
    [
        ("daily", "light"),
        ("broken", "dark"),
        ("thousand", "light"),
        ("index", "dark"),
        ("difference", "dark"),
    ],
)
def test_nobody_is_kept_out(request, tmp_path, which, colours, daily, day_before, broken):
    """The page has no fault that axe-core knows, let alone a serious one."""
    if which == "index":
        page = render_index([daily, day_before, broken], {daily.run_id: "x.html"})
    elif which == "difference":
        page = difference(daily, day_before)
    else:
        page = render(request.getfixturevalue(which), day_before)
    axe = (files("axe_core_python") / "axe.min.js").read_text("utf-8")
    page = page.replace("</head>", f"<script>{axe}</script></head>")
    if which != "thousand":  # there axe would look at a map of a thousand steps for minutes
        page = page.replace("<details", "<details open")
    scheme = f"--blink-settings=preferredColorScheme={0 if colours == 'dark' else 1}"
    assert probed(page, AXE, tmp_path, scheme, at="#step-sales") == []


def test_search_sorting_and_columns_work(tmp_path, daily):
    script = """
    const field = document.getElementById("search");
    const shown = () => [...document.querySelectorAll(".list li:not([hidden])")].map((li) => li.innerText.split("\\n")[0].trim());
    const told = {};
    field.value = "LEFT join payments";
    field.dispatchEvent(new Event("input"));
    told.found = shown();
    told.said = document.getElementById("found").textContent;
    told.dim = document.querySelectorAll(".node.dim").length;
    field.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
    await new Promise((done) => setTimeout(done, 50));
    told.current = document.querySelector(".step.current").id;
    field.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
    told.all = shown().length;
    const [time] = document.querySelectorAll(".bars th button");
    time.click();
    told.slowest = document.querySelector(".bars tbody:last-child tr th").innerText;
    told.sorted = time.parentElement.getAttribute("aria-sort");
    time.click();
    told.first = document.querySelector(".bars tbody:last-child tr th").innerText;
    const row = [...document.querySelectorAll(".step.current .columns tr")].find((tr) => tr.innerText.startsWith("price"));
    row.querySelector("a").focus();
    told.trace = [...document.querySelectorAll(".trace li a")].map((a) => `${a.className} ${a.textContent}`);
    told.direct = [...document.querySelectorAll(".node.from-direct")].map((a) => a.getAttribute("href"));
    return told;
    """
    told = probed(render(daily), script, tmp_path)
    assert (told["found"], told["said"], told["dim"], told["all"]) == (["sales"], "1 of 16", 15, 16)
    assert told["current"] == "step-sales"
    assert (told["slowest"], told["sorted"], told["first"]) == (
        "raw_order_lines",
        "descending",
        "raw_customers",
    )
    assert told["trace"] == ["direct price", "indirect quantity"]
    assert told["direct"] == ["#step-order_lines"]
