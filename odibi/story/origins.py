"""Where the columns of a step come from, as links between the columns of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from odibi.record.model import StepRecord
from odibi.story.changes import ColumnChange

__all__ = ["Column", "Origin", "columns_of", "names_of"]

Names = Mapping[tuple[str, str], str]
"""The fragment of each column whose origin or whose use the page knows, by dataset and name."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A column that another one comes from, ``orders.price``; ``anchor`` is empty where it is on no page."""

    name: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Column:
    """An output column: its type, how that changed, what its values are made of, and what else decides them."""

    name: str
    anchor: str
    change: ColumnChange | None
    direct: tuple[Origin, ...] = ()
    indirect: tuple[Origin, ...] = ()


def names_of(steps: Sequence[StepRecord]) -> Names:
    """Fragments for the columns; none where no step knows where its columns come from."""
    if not any(step.lineage for step in steps):
        return {}
    found: dict[tuple[str, str], str] = {}
    for number, step in enumerate(steps):
        columns = dict.fromkeys([*(c.name for c in step.columns), *(line.column for line in step.lineage)])
        found |= {(_dataset(step), name): f"c-{number}-{index}" for index, name in enumerate(columns)}
    return found


def columns_of(
    step: StepRecord, changes: Sequence[ColumnChange], names: Names
) -> tuple[tuple[Column, ...], tuple[Origin, ...]]:
    """The columns of the output in order, gone ones last, then what only lineage knows; and what decides all.

    What every column depends on (the columns of a filter or a join) is told once, not with each column.
    """
    lineage = {line.column: line for line in step.lineage}
    shared: list[str] = []
    if len(lineage) > 1:
        first, *others = lineage.values()
        shared = [name for name in first.indirect if all(name in line.indirect for line in others)]

    def column(name: str, change: ColumnChange | None) -> Column:
        line = lineage.get(name)
        anchor = names.get((_dataset(step), name), "")
        if line is None:
            return Column(name, anchor, change)
        own = (other for other in line.indirect if other not in shared)
        return Column(name, anchor, change, _origins(line.direct, names), _origins(own, names))

    known = {change.name for change in changes}
    columns = [column(change.name, change) for change in changes]
    columns += [column(name, None) for name in lineage if name not in known]
    return tuple(columns), _origins(shared, names)


def _dataset(step: StepRecord) -> str:
    """What lineage calls the result whose columns are those of the step; old records do not say what a step makes."""
    return step.makes[0].name if step.makes else step.name


def _origins(found: Iterable[str], names: Names) -> tuple[Origin, ...]:
    return tuple(Origin(name, _anchor(name, names)) for name in found)


def _anchor(name: str, names: Names) -> str:
    """The fragment of ``dataset.column``, either of which may have a dot in its name."""
    parts = name.split(".")
    splits = ((".".join(parts[:at]), ".".join(parts[at:])) for at in range(1, len(parts)))
    return next((names[pair] for pair in splits if pair in names), "")
