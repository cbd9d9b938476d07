"""What chaos says is wrong, over what real runs leave and what somebody does to it."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from odibi.chaos import verdict
from odibi.chaos.holdings import recorded
from odibi.chaos.place import Asked, Unfit, home_in, moved
from odibi.chaos.points import Point, found, spread, timed
from odibi.chaos.verdict import Undisturbed
from odibi.orchestrator import plan, run

CONFIG = """
pipeline: small
date: "2026-01-05"
connections: {lake: {url: lake}}
steps:
  - {name: numbers, layer: bronze, sql: "SELECT range AS n, DATE '{{ date }}' AS day FROM range(3)", write: {to: lake, mode: append}}
  - {name: narrow, layer: silver, sql: SELECT n FROM numbers}
  - {name: latest, layer: silver, sql: "SELECT n, 0 AS gone FROM narrow", write: {to: lake, mode: merge, keys: [n], sequence_by: gone, delete_when: n = 1}}
  - {name: sums, layer: gold, sql: SELECT sum(n) AS n FROM latest, write: {to: lake, format: [delta, csv]}}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Asked, Undisturbed]:
    """A folder in which the pipeline has run once; what that leaves."""
    folder = tmp_path_factory.mktemp("chaos")
    (folder / "small.yaml").write_text(CONFIG)
    asked = Asked(str(folder / "small.yaml"))
    home = folder / "moved"
    assert run(moved(asked, None, home), home=home_in(home)).success
    the_plan = plan(moved(asked, None, home), home=home_in(home))
    executed = verdict.executed(recorded(home).runs[0])
    return home, asked, Undisturbed(verdict.held(the_plan, home), executed, frozenset({"sums"}))


def wrong(folder: Path, asked: Asked, expected: Undisturbed) -> list[str]:
    """All that is wrong in the folder after its last run, as if its first had been killed."""
    the_plan = plan(moved(asked, None, folder), home=home_in(folder))
    first, last = recorded(folder).runs[-1], recorded(folder).runs[0]
    wreck = verdict.Wreck((first.run_id,), frozenset({"numbers", "latest", "sums"}))
    return [
        *verdict.rows(expected, verdict.held(the_plan, folder)),
        *verdict.records(folder, (), killed=True),
        *verdict.redone(expected, the_plan, wreck, last),
        *verdict.left_over(the_plan, folder),
    ]


def _stray(folder: Path) -> None:
    (folder / "lake/lake/gold/sums/part-1.parquet").write_bytes(b"x")


def _aside(folder: Path) -> None:
    (folder / "home/stories/small/.story.html.77").write_bytes(b"x")


def _lock(folder: Path) -> None:
    with sqlite3.connect(folder / "home/state.db") as db:
        db.execute("UPDATE locks SET run_id = 'somebody'")
    db.close()


def _no_table(folder: Path) -> None:
    shutil.rmtree(folder / "lake/lake/gold/sums")


def _other_csv(folder: Path) -> None:
    (folder / "lake/lake/gold/sums.csv").write_text("n\n4\n")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_stray, "left behind: lake/lake/gold/sums/part-1.parquet"),
        (_aside, "left behind: home/stories/small/.story.html.77"),
        (_lock, "the lock 'small for 2026-01-05 (dev)' is still held"),
        (_no_table, "lake/gold/sums is missing"),
        (_other_csv, "lake/gold/sums.csv holds other rows (1 rows) than it should (1 rows)"),
    ],
)
def test_what_somebody_does_to_a_table_is_told(
    harm: Callable[[Path], None], said: str, ran: tuple[Path, Asked, Undisturbed], tmp_path: Path
) -> None:
    home, asked, expected = ran
    folder = Path(shutil.copytree(home, tmp_path / "moved"))
    assert run(moved(asked, None, folder), home=home_in(folder)).success
    assert wrong(folder, asked, expected) == []
    harm(folder)
    assert wrong(folder, asked, expected) == [said]


def test_rows_written_again_are_told(ran: tuple[Path, Asked, Undisturbed], tmp_path: Path) -> None:
    home, asked, expected = ran
    folder = Path(shutil.copytree(home, tmp_path / "moved"))
    assert run(moved(asked, None, folder), home=home_in(folder), full_refresh=True).success
    assert wrong(folder, asked, expected) == [
        "lake/bronze/numbers was written 2 times instead of 1",
        "lake/silver/latest was written 2 times instead of 1",
        "lake/gold/sums was written 2 times instead of 1",
        "step 'latest' ran again, though it was committed before",
        "step 'numbers' ran again, though it was committed before",
    ]
    fewer = {
        place: held and replace(held, rows="h:2:0", beside="1:2") for place, held in expected.held.items()
    }
    told = verdict.rows(replace(expected, held=fewer), expected.held)
    assert "lake/bronze/numbers holds other rows (3 rows) than it should (2 rows)" in told
    assert "lake/silver/latest remembers something else beside its rows than it should" in told


def test_points() -> None:
    every = [Point("2026-01-05", f"before commit: a/b #{n}") for n in range(1, 11)]
    assert [each.kind for each in every[:1]] == ["before commit"]
    assert spread(every, None, random.Random(1)) == every
    some = spread(every, 5, random.Random(1))
    assert [every.index(point) // 2 for point in some] == [0, 1, 2, 3, 4]
    assert sorted(map(str, spread(every, 20, random.Random(1)))) == sorted(2 * list(map(str, every)))
    assert found("2026-01-05 before commit: a/b #3", every) == every[2]
    (late,) = timed({"2026-01-05": 2.0}, 1, random.Random(1))
    assert 0 <= (late.milliseconds or -1) <= 2000
    run, pod = timed({"2026-01-05": 2.0}, 2, random.Random(1), ("", "pod"))
    assert (run.victim, run.kind, pod.victim, pod.kind) == ("", "at any time", "pod", "pod at any time")
    assert found(str(pod), [*every, run]) == pod
    assert found(str(late), every) == late
    with pytest.raises(Unfit, match="no run comes to 'x'"):
        found("x", every)
