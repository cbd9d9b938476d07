"""The page: complete, self-contained, escaped, and the same every time."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from odibi.record.model import (
    AttemptRecord,
    CheckpointRecord,
    CheckRecord,
    ColumnLineage,
    ColumnRecord,
    DatasetRecord,
    ErrorRecord,
    PodRecord,
    RunStatus,
    SampleRecord,
    StepStatus,
)
from odibi.story import render
from odibi.story.sql import highlight
from tests.unit.story.conftest import START

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 1234 * 5678 }}"


@pytest.fixture
def hostile(run, step):
    """A run in which everything a person or a file may write is an attack."""
    return run(
        step(
            HOSTILE,
            HOSTILE,
            operation=HOSTILE,
            description=HOSTILE,
            owner=HOSTILE,
            tags=(HOSTILE,),
            reason=HOSTILE,
            at=(0, 1),
            upstream=(HOSTILE + "2",),
            rows_in={HOSTILE: 3},
            columns=(ColumnRecord(name=HOSTILE, type=HOSTILE),),
            lineage=(ColumnLineage(column=HOSTILE, direct=(HOSTILE,), indirect=(HOSTILE,)),),
            sql=f"select '{HOSTILE}' -- {HOSTILE}\n, {HOSTILE}",
            sql_run=HOSTILE,
            sample=SampleRecord(columns=(HOSTILE,), rows=((HOSTILE,),)),
            warnings=(HOSTILE,),
            error=ErrorRecord(kind=HOSTILE, message=HOSTILE, where=HOSTILE, hint=HOSTILE, detail=HOSTILE),
            status=StepStatus.FAILED,
        ),
        step(HOSTILE + "2", "silver", upstream=(), at=(0, 1)),
        pipeline=HOSTILE,
        description=HOSTILE,
        command=HOSTILE,
        error=HOSTILE,
        warnings=(HOSTILE,),
        params={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        status=RunStatus.FAILED,
    )


@pytest.mark.parametrize("which", ["daily", "broken", "thousand", "hostile"])
def test_every_step_has_a_page_a_box_and_a_line(request, page, which):
    record = request.getfixturevalue(which)
    found = page(render(record))
    assert found.open == []
    pages = [article["id"] for article in found.all("article", class_="step")]
    assert len(pages) == len(set(pages)) == len(record.steps)
    assert sorted(box["href"] for box in found.all("a", class_="node")) == sorted("#" + one for one in pages)
    for one in record.steps:
        assert one.name in found.text
    ids = Counter(attributes["id"] for _, attributes in found.elements if "id" in attributes)
    assert [name for name, number in ids.items() if number > 1] == []
    targets = {a["href"][1:] for a in found.all("a") if a["href"].startswith("#")}
    assert targets <= set(ids)


@pytest.mark.parametrize("which", ["daily", "broken", "hostile"])
def test_the_page_needs_no_network(request, page, which):
    html = render(request.getfixturevalue(which))
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert "url(" not in html
    found = page(html)
    for tag, attributes in found.elements:
        assert tag not in ("iframe", "object", "embed", "form", "base", "img", "audio", "video")
        for name in ("href", "src", "srcset", "action", "poster", "xlink:href", "data"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:,")) or value == "../index.html", (tag, name, value)


def test_what_people_and_files_write_is_never_markup(page, hostile):
    html = render(hostile, hostile)
    found = page(html)
    assert len(found.all("script")) == 1
    assert found.all("img") == []
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert found.text.count(HOSTILE) > 20
    assert str(1234 * 5678) not in html


def test_only_the_page_s_own_script_may_run(page, daily):
    html = render(daily)
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL).group(1)
    (policy,) = [
        meta["content"] for meta in page(html).all("meta") if "content" in meta and "src" in meta["content"]
    ]
    digest = re.search(r"script-src 'sha256-([^']+)'", policy).group(1)
    assert hashlib.sha256(script.encode()).digest() == base64.b64decode(digest)
    assert policy.startswith("default-src 'none';")


def test_text_of_any_language_round_trips(page, run, step):
    names = ("straße", "数量", "naïve_été", "Ω", "\N{ROCKET}", "עברית")
    record = run(
        step("a", columns=tuple(ColumnRecord(name=name, type="VARCHAR") for name in names)),
    )
    html = render(record)
    assert html.encode("utf-8").decode("utf-8") == html
    found = page(html)
    assert found.all("meta", charset="utf-8")
    assert html.index("charset") < 1024
    for name in names:
        assert name in found.text


def test_text_that_turns_the_line_around_stays_in_its_place(page, run, step):
    turned = "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe \N{HEBREW LETTER ALEF}\N{SMILING FACE WITH SUNGLASSES}"
    sample = SampleRecord(columns=(turned,), rows=((turned,),))
    html = render(
        run(step(turned, sample=sample, description=turned, sql=f"select '{turned}'"), description=turned)
    )
    assert page(html).text.count(turned) >= 8
    style = html[html.index("<style>") : html.index("</style>")]
    assert "unicode-bidi: isolate" in style
    assert "td, dd, .message, .sentence, .description { unicode-bidi: plaintext; }" in style


def test_the_run_tells_how_it_can_go_on_and_where_it_came_from(page, broken):
    found = page(
        render(
            broken.model_copy(
                update={
                    "resumed_from": "20260105T-aaaa",
                    "resume": "odibi retry 20260106",
                    "checkpoints": (CheckpointRecord(reason="bronze", at=broken.started_at, completed=6),),
                }
            )
        )
    )
    for part in (
        "odibi retry 20260106",
        "20260105T-aaaa",
        "bronze; 6 steps in the last",
        "Why steps ran, or did not",
    ):
        assert part in found.text
    assert "its target already holds this result (version 41)" in found.text


def test_checks_that_were_broken_are_told_with_their_steps_first_of_all(page, run, step):
    good = CheckRecord(name="not_null(id)", rule="not_null", on_fail="fail", status="passed", rows=9)
    bad = CheckRecord(
        name="unique(id)", rule="unique", on_fail="warn", status="warned", rows=9, broken=2, message="twice"
    )
    html = render(run(step("a", checks=(good,)), step("b", checks=(good, bad))))
    section = html[html.index('id="checks"') : html.index('id="changes"')]
    assert section.index("2 passed") < section.index("1 warned") < section.index("unique(id)")
    assert "not_null(id)" not in section
    assert 'id="checks"' not in render(run(step("a")))


def test_columns_are_linked_to_those_they_come_from(page, run, step):
    one = ColumnRecord(name="x.y", type="BIGINT")
    made = ColumnLineage(column="z", direct=("a.b.x.y",), indirect=("a.b.k",))
    other = ColumnLineage(column="w", direct=("elsewhere.q",), indirect=("a.b.k", "a.b.x.y"))
    html = render(
        run(
            step("a.b", columns=(one, ColumnRecord(name="k", type="BIGINT"))),
            step("c", lineage=(made, other)),
        )
    )
    found = page(html)
    assert {"href": "#c-0-0"} in found.all("a")
    article = html[html.index('id="step-c"') :]
    assert (
        'Which rows there are is decided by</span> <span class="origin indirect"><a href="#c-0-1">a.b.k</a></span>'
        in article
    )
    assert '<span class="elsewhere">elsewhere.q</span>' in article


def test_columns_are_linked_where_a_dataset_has_another_name_than_its_step(run, step):
    same = ColumnRecord(name="id", type="BIGINT")
    made = ColumnLineage(column="id", direct=("clean.id", "rest.id", "load.id"))
    makes = (DatasetRecord(name="clean"), DatasetRecord(name="rest", columns=(same,)))
    html = render(
        run(step("load", columns=(same,), makes=makes), step("c", columns=(same,), lineage=(made,)))
    )
    assert '<a href="#c-0-0">clean.id</a>' in html
    assert '<span class="elsewhere">rest.id</span>' in html, "its columns are not on the page"
    assert '<span class="elsewhere">load.id</span>' in html, "that is no dataset"


def test_more_steps_than_can_be_drawn_large_are_told_as_layers_first(page, thousand, daily):
    found = page(render(thousand))
    assert len(found.all("ol", class_="layers")) == 1
    assert "675 links from bronze" in found.text
    assert len(found.all("details", class_="group")) == 4
    assert page(render(daily)).all("ol", class_="layers") == []


def test_masked_columns_show_nothing_even_if_the_record_does(page, run, step):
    sample = SampleRecord(
        columns=("id", "email"), rows=(("1", "ann@example.org"), ("2", None)), masked=("email",)
    )
    found = page(render(run(step("a", sample=sample))))
    assert "ann@example.org" not in found.text
    assert len(found.all("span", class_="hidden-value")) == 2
    assert len(found.all("span", class_="masked")) == 1


def test_null_empty_and_text_that_says_null_differ(page, run, step):
    sample = SampleRecord(columns=("x",), rows=((None,), ("",), ("NULL",), ("x" * 900,)))
    found = page(render(run(step("a", sample=sample))))
    assert len(found.all("span", class_="null")) == 2
    assert "x" * 399 + "…" in found.text
    assert "x" * 401 not in found.text


def test_a_failure_is_told_at_the_top_and_its_step_comes_first(page, broken):
    html = render(broken)
    found = page(html)
    assert html.index("What went wrong") < html.index('id="graph-section"')
    assert found.all("article")[0]["id"] == "step-raw_order_lines"
    assert found.all("div", class_="pages")[0]["data-first"] == "step-raw_order_lines"
    for part in ("zwölf <b>", "2026-01-05.csv:8812:4", "correct the file and run again", "line 8812: 10877"):
        assert part in found.text
    assert "the table was committed to by another writer" in found.text  # of an earlier attempt
    assert "its target already holds this result (version 41)" in found.text
    assert "it needs 'raw_order_lines', which failed" in found.text


def test_a_status_is_a_shape_and_a_word_not_only_a_colour(page, broken):
    found = page(render(broken))
    shapes = {symbol["id"] for symbol in found.all("symbol")}
    assert shapes == {f"s-{status.value}" for status in StepStatus}
    labels = {box["href"]: box["aria-label"] for box in found.all("a", class_="node")}
    assert labels["#step-raw_order_lines"] == "raw_order_lines, bronze, failed, 1.7 s"
    assert labels["#step-sales"] == "sales, silver, not run"
    assert labels["#step-raw_products"] == "raw_products, bronze, reused, 1,186 rows"


def test_the_page_of_a_step_says_all_that_is_known(page, daily, day_before):
    html = render(daily, day_before)
    article = html[html.index('id="step-sales"') :]
    found = page("<article " + article[: article.index("</article>")] + "</article>")
    for part in (
        "Order lines with the customer",
        "payments has 12 orders",
        "its input raw_orders has new rows",
        "order_lines 129,455",
        "rows out 129,455",
        "520 ms",
        ".odibi/lake/silver/sales",
        "4.8 MB",
        "DECIMAL(12,2)",
        "was SMALLINT",
        "customers.street",
        "Lindenstraße 4",
        "LEFT JOIN payments",
        "SQL as run",
        "critical path",
    ):
        assert part in found.text, part
    assert all("scope" in th for th in found.all("th"))


def test_links_to_needed_steps_and_to_none_elsewhere(page, run, step):
    found = page(render(run(step("a"), step("b", upstream=("a", "other.table")))))
    assert len(found.all("span", class_="elsewhere")) == 1
    assert {"href": "#step-b"} in found.all("a")


def test_names_that_look_alike_have_anchors_of_their_own(page, run, step):
    found = page(render(run(step("a b"), step("a/b"), step("a-b"))))
    assert [one["id"] for one in found.all("article")] == ["step-a-b", "step-a-b-2", "step-a-b-3"]


def test_a_run_without_steps_and_one_without_an_end_are_told(page, run, step):
    assert (
        "The run has no steps." in page(render(run(status=RunStatus.CANCELLED, error="stopped early"))).text
    )
    waiting = run(step("a", status=StepStatus.WAITING), status=RunStatus.RUNNING, ended_at=None)
    assert "daily is running for 2026-01-05: all 1" not in page(render(waiting)).text


def test_a_cancelled_run_says_what_stopped_it(page, run, step):
    record = run(
        step("a", at=(0, 1)),
        step("b", upstream=("a",), at=(1, 1), status=StepStatus.CANCELLED),
        step("c", upstream=("b",), status=StepStatus.NOT_RUN),
        status=RunStatus.CANCELLED,
        error="interrupted by SIGTERM",
    )
    found = page(render(record))
    assert "daily was cancelled" in found.text
    assert "interrupted by SIGTERM" in found.text
    assert found.all("article")[0]["id"] == "step-b"


def test_who_was_not_told_is_told(page, run, step):
    assert "Who was not told" not in page(render(run(step("a", "silver", at=(0, 1))))).text
    said = "hook 'slack': pipeline_error was not delivered to https://hooks.example"
    found = page(render(run(step("a", "silver", at=(0, 1)), warnings=(said,)))).text
    assert "Who was not told" in found
    assert said in found


def test_every_table_has_a_header_and_every_section_a_name(page, daily, day_before):
    found = page(render(daily, day_before))
    assert all("scope" in th for th in found.all("th"))
    assert all("aria-labelledby" in one or "aria-label" in one for one in found.all("section"))
    assert len(found.all("main")) == len(found.all("h1")) == 1
    for button in found.all("button"):
        assert button["type"] == "button"


def test_the_same_record_is_the_same_page_in_any_process(tmp_path, daily, day_before):
    for name, record in (("now", daily), ("before", day_before)):
        (tmp_path / name).write_text(record.model_dump_json(), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path\n"
        "from odibi.record.model import RunRecord; from odibi.story import render\n"
        "now, before = (RunRecord.model_validate_json(Path(p).read_bytes()) for p in sys.argv[1:])\n"
        "sys.stdout.buffer.write(render(now, before).encode())"
    )
    pages = {
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / "now", tmp_path / "before"],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert pages == {render(daily, day_before).encode()}


def test_a_thousand_steps_make_a_page_of_a_few_megabytes(thousand):
    html = render(thousand, thousand)
    assert len(html) < 5_000_000


def test_importing_the_package_imports_no_engine():
    heavy = "duckdb pandas pyarrow pyspark sqlalchemy fast_sugiyama odibi.run odibi.plan"
    code = f"import sys, odibi.story; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("sql", "html"),
    [
        ("select 1", '<span class="t-k">select</span> <span class="t-n">1</span>'),
        ("'it''s <b>'", '<span class="t-s">&#39;it&#39;&#39;s &lt;b&gt;&#39;</span>'),
        ("-- from x", '<span class="t-c">-- from x</span>'),
        ('"order" a<b', '<span class="t-q">&#34;order&#34;</span> a&lt;b'),
        ("selected", "selected"),
        ("'open", "&#39;open"),
    ],
)
def test_sql_is_highlighted_and_escaped(sql, html):
    assert highlight(sql) == html


def test_the_pods_of_a_step_with_what_they_printed_last(run, step, page) -> None:
    """What an attempt's error has told already is not told again."""
    error = ErrorRecord(kind="Timeout", message="too long", exit_code=143, log=("first", "told"))
    pods = (
        PodRecord(name="p1", job="j1", node="n1", status="Deleted", reason="exit code 143", log=error.log),
        PodRecord(name="p2", job="j2", status="Failed", reason="PodGC: node lost", log=("the last word",)),
    )
    attempts = (AttemptRecord(number=1, status=StepStatus.FAILED, started_at=START, error=error),)
    html = render(
        run(step("big", at=(0, 1), status=StepStatus.FAILED, attempts=attempts, error=error, pods=pods))
    )
    found = page(html)
    for said in (
        "p1",
        "n1",
        "Deleted: exit code 143",
        "p2",
        "Failed: PodGC: node lost",
        "Last lines it printed",
    ):
        assert said in found.text
    assert html.count("first\ntold") == 2, "at the top, and with its step"
    assert html.count("the last word") == 1
