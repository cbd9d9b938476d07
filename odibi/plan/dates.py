"""Whether runs of a pipeline for several dates may go on at once: whether one date's result depends on another's."""

from __future__ import annotations

from collections.abc import Container

from odibi.config.models import WriteMode
from odibi.observe import Observation
from odibi.observe.increments import reads_new

__all__ = ["why_in_order"]


def why_in_order(one: Observation, other: Observation, chosen: Container[str]) -> str:
    """Why the dates have to be run one after the other; empty if they do not.

    Args:
        one: the pipeline as seen for a date.
        other: as seen for another.
        chosen: names of the steps that are run.
    """
    places = {target.url for each in other.steps for group in each.targets.values() for target in group}
    shared = {
        dataset: group[0]
        for each in one.steps
        for dataset, group in each.targets.items()
        if any(target.url in places for target in group)
    }
    for each in one.steps:
        if each.step.name not in chosen:
            continue
        if reads_new(each.step):
            return f"step {each.step.name!r} reads only what is new"
        for dataset in (dataset for dataset in each.targets if dataset in shared):
            target = shared[dataset]
            if target.mode is not WriteMode.APPEND or (target.format == "delta" and not target.date_column):
                return f"step {each.step.name!r} writes {target.mode} to one place for all dates"
        for dataset in each.inputs.values():
            if dataset in shared or dataset in one.external:
                return f"step {each.step.name!r} reads {dataset!r}, which other dates write too"
    return ""
