"""The time line: bars, the chain that set the pace, and how well workers were used."""

from __future__ import annotations

from itertools import pairwise

import pytest

from odibi.record.model import RunStatus, StepStatus
from odibi.story.model import story_view
from odibi.story.timeline import critical_path, timeline


@pytest.fixture
def diamond(step):
    """a -> b, c -> d, where the way over c is longer, and a long step that nobody needs."""
    return (
        step("a", at=(0, 1)),
        step("b", upstream=("a",), at=(1, 1)),
        step("c", upstream=("a",), at=(1, 3)),
        step("d", upstream=("b", "c"), at=(4, 1)),
        step("alone", at=(0, 4)),
    )


def test_the_critical_path_is_the_longest_chain(diamond):
    assert critical_path(diamond) == ("a", "c", "d")


def test_one_long_step_may_be_the_critical_path(diamond, step):
    assert critical_path((*diamond, step("slow", at=(0, 9)))) == ("slow",)


def test_steps_that_did_not_run_are_not_on_the_path(step):
    steps = (
        step("a", at=(0, 2)),
        step("kept", upstream=("a",), status=StepStatus.REUSED),
        step("b", upstream=("kept", "elsewhere"), at=(2, 1)),
    )
    assert critical_path(steps) == ("a", "b")


def test_the_order_of_the_record_does_not_matter(diamond):
    assert critical_path(diamond[::-1]) == ("a", "c", "d")


def test_among_equal_chains_the_first_in_the_plan_wins(step):
    assert critical_path([step("x", at=(0, 2)), step("y", at=(0, 2))]) == ("x",)


def test_figures_of_the_run(run, diamond):
    line = timeline(run(*diamond, ended_at=diamond[3].ended_at))
    assert line.span == 5
    assert line.critical_seconds == 5
    assert line.busy == 10
    assert line.peak == 3
    assert line.at_once == 2
    assert line.efficiency == pytest.approx(10 / 15)
    assert line.slowest is not None
    assert line.slowest.name == "alone"


def test_bars_stand_where_the_steps_ran(run, diamond):
    bars = {bar.name: bar for bar in timeline(run(*diamond, ended_at=diamond[3].ended_at)).bars}
    assert (bars["c"].left, bars["c"].width, bars["c"].critical) == (20, 60, True)
    assert (bars["alone"].left, bars["alone"].width, bars["alone"].critical) == (0, 80, False)


def test_a_worker_handed_on_at_the_same_instant_is_one_worker(run, step):
    line = timeline(run(step("a", at=(0, 1)), step("b", at=(1, 1)), step("c", at=(2, 1))))
    assert line.peak == 1
    assert len(line.lanes) == 1


def test_lanes_hold_every_bar_and_no_two_at_once(thousand):
    line = timeline(thousand)
    assert sorted(bar.name for lane in line.lanes for bar in lane) == sorted(
        one.name for one in thousand.steps
    )
    for lane in line.lanes:
        for bar, after in pairwise(lane):
            assert bar.left + bar.width <= after.left + 0.01
    assert len(line.lanes) == line.peak


def test_of_very_many_bars_the_critical_and_the_most_costly_are_named(thousand):
    view = story_view(thousand)
    named = {bar.name for bar in view.listed}
    assert 30 <= len(named) <= 3 * 30 + len(view.timeline.critical)
    assert named >= set(view.timeline.critical)
    by_rows = sorted(thousand.steps, key=lambda step: step.rows_out)
    assert by_rows[-1].name in named
    assert by_rows[0].name not in named


def test_a_running_step_reaches_to_what_is_known_of_the_run(run, step):
    running = step("r", status=StepStatus.RUNNING, at=(1, 1)).model_copy(update={"ended_at": None})
    line = timeline(run(step("a", at=(0, 4)), running, status=RunStatus.RUNNING, ended_at=None))
    assert {bar.name: bar.width for bar in line.bars} == {"a": 100, "r": 75}


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        (3.2, ["0", "1 s", "2 s", "3 s"]),
        (0.05, ["0", "10 ms", "20 ms", "30 ms", "40 ms", "50 ms"]),
        (132, ["0", "30 s", "1m 00s", "1m 30s", "2m 00s"]),
        (9000, ["0", "30m 00s", "1h 00m", "1h 30m", "2h 00m", "2h 30m"]),
    ],
)
def test_the_axis_has_round_marks(run, step, span, labels):
    one = step("a", at=(0, span))
    assert [tick.label for tick in timeline(run(one, ended_at=one.ended_at)).ticks] == labels


def test_a_run_in_which_nothing_ran_has_no_bars(run, step):
    assert timeline(run(step("a", status=StepStatus.REUSED))).bars == ()
    assert timeline(run()).bars == ()
