"""Questions about what a run tells, and whom."""

from __future__ import annotations

from collections.abc import Iterator

from odibi.doctor.model import Case, Fault

__all__ = [
    "runs_are_tracked",
    "stories_show_rows",
]


def runs_are_tracked(case: Case) -> Iterator[Fault]:
    """Samples, lineage and a story of every run."""
    if not case.pipeline.enable_tracker:
        yield Fault("enable_tracker is false: runs have no lineage and no story", ("enable_tracker",))


def stories_show_rows(case: Case) -> Iterator[Fault]:
    """A story shows a few rows of every table, not only how many there are."""
    if not case.pipeline.samples:
        yield Fault("samples is 0: no story shows a row", ("samples",))
