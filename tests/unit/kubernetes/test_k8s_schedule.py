"""The times of a CronJob: what Kubernetes takes, and nothing else."""

from __future__ import annotations

import pytest

from odibi.kubernetes.schedule import wrong_in


@pytest.mark.parametrize(
    "schedule",
    [
        "0 2 * * *", "*/5 * * * *", "0 0-6/2,22 1,15 jan-MAR mon-fri", "59 23 31 12 6", "5/10 ? ? * Sun", "00 02 * * *",
    ],
)  # fmt: skip
def test_what_is_one(schedule: str) -> None:
    assert wrong_in(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("0 2", "it has 2 of the five fields minute, hour, day, month, weekday"),
        ("0 2 * * * *", "it has 6 of the five fields"),
        ("99 2 * * *", "minute '99' is none: 0 to 59, such as */2, 1-5 or 58,59"),
        ("0 24 * * *", "hour '24'"),
        ("0 2 0 * *", "day '0'"),
        ("0 2 * 13 *", "month '13'"),
        ("0 2 * * 7", "weekday '7'"),
        ("0 2 * * jan", "weekday 'jan'"),
        ("*/0 2 * * *", "minute '*/0'"),
        ("5-1 2 * * *", "minute '5-1'"),
        ("1,, 2 * * *", "minute '1,,'"),
        ("-1 2 * * *", "minute '-1'"),
        ("0 2 * fri-mon *", "month 'fri-mon'"),
    ],
)
def test_what_is_none(schedule: str, said: str) -> None:
    assert said in wrong_in(schedule)
