"""Which step must end before which, and in what order that leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from odibi.observe import Observation

__all__ = ["Cycle", "graph", "ordered"]


class Cycle(Exception):
    """Steps that wait for each other; ``names`` begins and ends with the same one."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(" -> ".join(names))
        self.names = names


def graph(observation: Observation) -> dict[str, tuple[str, ...]]:
    """Step name to the names of the steps that must end before it: from inputs and depends_on."""
    producer = {dataset: o.step.name for o in observation.steps for dataset in o.step.outputs.values()}
    names = {o.step.name for o in observation.steps}
    return {
        o.step.name: tuple(
            dict.fromkeys(
                name
                for name in (*(producer.get(d) for d in o.inputs.values()), *o.step.depends_on)
                if name in names
            )
        )
        for o in observation.steps
    }


def ordered(before: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of the graph so that each comes after those it needs. Raises Cycle."""
    try:
        return tuple(TopologicalSorter(before).static_order())
    except CycleError as error:
        position = {name: index for index, name in enumerate(before)}
        cycle: list[str] = error.args[1][:-1]
        start = min(range(len(cycle)), key=lambda at: position[cycle[at]])
        cycle = cycle[start:] + cycle[:start]
        raise Cycle((*cycle, cycle[0])) from None
