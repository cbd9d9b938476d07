"""Numbers and outcomes in words."""

from __future__ import annotations

import pytest

from odibi.record.model import ErrorRecord, RunStatus, StepStatus
from odibi.story import text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, text.NONE),
        (0.0, "0 ms"),
        (0.0342, "34 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (3.44, "3.4 s"),
        (59.94, "59.9 s"),
        (59.96, "1m 00s"),
        (132, "2m 12s"),
        (3599.6, "1h 00m"),
        (3900, "1h 05m"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, said):
    assert text.duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, text.NONE),
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (999_960, "1.0 MB"),
        (4_500_000_000, "4.5 GB"),
        (7_200_000_000_000_000, "7,200.0 TB"),
    ],
)
def test_sizes_have_one_digit_and_never_four_before_it(number, said):
    assert text.size(number) == said


def test_counts_have_separators_and_the_right_noun():
    assert text.count(12_345, "row") == "12,345 rows"
    assert text.count(1, "row") == "1 row"
    assert text.count(None, "row") == text.NONE
    assert [text.delta(7, 3), text.delta(3, 1_003), text.delta(5, 5)] == ["+4", "-1,000", "0"]


def test_a_long_text_is_cut_with_an_ellipsis():
    assert text.one_line("\n\n  first  \nsecond") == "first"
    assert text.cut("abcdef", 4) == "abc…"
    assert text.cut("abcd", 4) == "abcd"


def test_the_sentence_of_a_run_that_went_well(daily):
    assert text.sentence(daily) == "daily ran for 2026-01-05 in 4.1 s: all 16 steps completed."


def test_the_sentence_of_a_failure_names_the_step_and_the_cause(broken):
    assert text.sentence(broken) == (
        "daily failed for 2026-01-05 after 2.4 s: 7 of 16 steps completed, 2 reused, 1 failed (raw_order_lines: "
        "column 'quantity' has text where a number is declared: found 'zwölf <b>'), 6 not run."
    )


@pytest.mark.parametrize(
    ("status", "steps", "said"),
    [
        (RunStatus.SUCCEEDED, ["reused"] * 3, "daily ran for 2026-01-05 in 4.1 s: all 3 steps reused."),
        (RunStatus.SUCCEEDED, ["completed"], "daily ran for 2026-01-05 in 4.1 s: its one step completed."),
        (RunStatus.SUCCEEDED, [], "daily ran for 2026-01-05 in 4.1 s: it has no steps."),
        (
            RunStatus.CANCELLED,
            ["completed", "cancelled", "not_run"],
            "daily was cancelled for 2026-01-05 after 4.1 s: 1 of 3 steps completed, 1 cancelled, 1 not run (by me).",
        ),
        (
            RunStatus.FAILED,
            ["failed", "failed", "failed"],
            "daily failed for 2026-01-05 after 4.1 s: all 3 steps failed (step_0: no rows; and 2 more).",
        ),
    ],
)
def test_the_sentence_of_other_outcomes(run, step, status, steps, said):
    records = [
        step(
            f"step_{number}",
            status=StepStatus(one),
            error=ErrorRecord(kind="E", message="no rows.\nreally") if one == "failed" else None,
        )
        for number, one in enumerate(steps)
    ]
    error = "by me" if status is RunStatus.CANCELLED else ""
    assert text.sentence(run(*records, status=status, error=error)) == said
