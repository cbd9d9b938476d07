"""What differs between two runs."""

from __future__ import annotations

from odibi.record.model import ColumnRecord, StepStatus
from odibi.story.changes import compare, compare_columns
from odibi.story.text import NONE


def columns(text):
    return tuple(ColumnRecord(name=pair.split(":")[0], type=pair.split(":")[1]) for pair in text.split())


def test_columns_added_removed_and_retyped_are_told_apart():
    found = compare_columns(columns("a:INTEGER b:BIGINT d:DATE"), columns("a:INTEGER b:INTEGER c:DATE"))
    assert [(column.name, column.kind, column.said) for column in found] == [
        ("a", "same", ""),
        ("b", "retyped", "was INTEGER"),
        ("d", "added", "new"),
        ("c", "removed", "gone"),
    ]


def test_without_an_earlier_schema_nothing_is_new():
    assert {column.kind for column in compare_columns(columns("a:INTEGER b:DATE"), ())} == {"same"}


def test_a_run_like_the_one_before_has_no_changes(daily):
    changes = compare(daily, daily)
    assert changes.steps == ()
    assert changes.facts == (("duration", "4.1 s", "4.1 s"),)


def test_each_kind_of_change_lists_the_step(daily, day_before):
    changes = {change.name: change for change in compare(daily, day_before).steps}
    assert changes["raw_orders"].before.rows_out == 48_089  # rows
    assert [column.name for column in changes["sales"].columns if column.kind == "removed"] == ["voucher"]
    assert "customer_value" in changes  # time
    assert changes["finance_export"].before is None  # a new step
    assert changes["old_report"].now is None  # a step that is gone
    assert "orders" not in changes


def test_facts_of_the_run_that_differ_are_listed(daily, day_before):
    facts = {what: (before, now) for what, before, now in compare(daily, day_before).facts}
    assert facts == {
        "duration": ("5.4 s", "4.1 s"),
        "logical date": ("2026-01-04", "2026-01-05"),
        "config hash": ("77aa0a7be44d", "9c1f0a7be44d"),
    }
    other = daily.model_copy(update={"params": {}, "versions": {**daily.versions, "duckdb": "2.0.0"}})
    facts = {what: (before, now) for what, before, now in compare(other, daily).facts}
    assert facts["version of duckdb"] == ("1.5.1", "2.0.0")
    assert facts["parameter region"] == ("emea", NONE)


def test_a_step_that_failed_is_listed_but_its_missing_schema_is_no_change(run, step):
    before = run(step("a", columns=columns("x:DATE")))
    now = run(step("a", status=StepStatus.FAILED))
    (change,) = compare(now, before).steps
    assert change.columns == ()


def test_small_differences_in_time_are_no_news(run, step):
    assert compare(run(step("a", at=(0, 0.3))), run(step("a", at=(0, 0.1)))).steps == ()
    assert compare(run(step("a", at=(0, 10.0))), run(step("a", at=(0, 9.0)))).steps == ()
    assert len(compare(run(step("a", at=(0, 3.0))), run(step("a", at=(0, 1.0)))).steps) == 1
