"""A plan as frozen values: the run executes it, ``odibi plan`` prints it, the story shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from odibi.config.checks import without_checked
from odibi.config.models import Node, Step
from odibi.datasets.delta import Commit
from odibi.datasets.kept import Kept
from odibi.datasets.source import Seen, Source
from odibi.datasets.target import Target
from odibi.operations.command import Command
from odibi.operations.python import Function
from odibi.quality.declared import Declared
from odibi.relational.compile import Compiled
from odibi.relational.parse import Script
from odibi.relational.schema import Schema

if TYPE_CHECKING:
    from odibi.relational.columns import Origin

__all__ = ["Action", "Decision", "Origins", "Plan", "PlannedStep"]

Origins = Mapping[str, "tuple[Origin, ...]"]
"""Of which columns each column is made, by dataset."""


class Action(StrEnum):
    """What is to be done with a step."""

    RUN = "run"
    REUSE = "reuse"  # its target already holds this very result
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Decision:
    """An action and the sentence that says why."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step, what will be done with it, and all that is known of it before the run.

    Attributes:
        inputs: table name in the step to dataset, and those that checks look things up in.
        upstream: names of the steps that must end first.
        readers: how many steps of this run read its datasets.
        code: the code version, a hash of what the step declares.
        own: versions of what it depends on beside its inputs, such as the files it reads.
        versions: ``own`` and the data version of each input, None where only the run will tell.
        key: identifies the result, None where an input's version is not known yet.
        schemas: columns of each dataset it makes, None where only the run will tell.
        compiled: its queries by output, None where binding waits for an input's columns.
        assumed: the input columns the queries were compiled for.
        origins: of which columns those of its datasets are made, where the plan had to know.
        uses: the columns that the queries depend on, of each dataset where that is known.
        sets: the columns that readers depend on, of each dataset it makes: what they are woken by.
        bound: functions that only this engine knows.
        fresh: no earlier result may stand in for it.
        kept: its results that still stand, the newest first.
        declared: its checks.
        runtime: where it runs.
        size: the bytes that it reads, as far as they can be measured before the run.
    """

    index: int
    step: Step
    engine: str
    decision: Decision
    inputs: Mapping[str, str]
    upstream: tuple[str, ...]
    readers: int
    code: str
    own: Mapping[str, str]
    versions: Mapping[str, str | None]
    key: str | None
    schemas: Mapping[str, Schema | None]
    compiled: Mapping[str, Compiled] | None
    assumed: Mapping[str, Schema]
    script: Script | None
    function: Function | None
    source: Source | None
    seen: Seen | None
    targets: Mapping[str, tuple[Target, ...]]
    commits: Mapping[str, Commit | None]
    origins: Origins = field(default_factory=dict)
    uses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    volatile: bool = False
    rebuild: bool = False
    bound: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    fresh: bool = False
    kept: tuple[Kept, ...] = ()
    command: Command | None = None
    declared: Declared = field(default_factory=Declared)
    runtime: str = "local"
    size: int | None = None

    @property
    def tables(self) -> Mapping[str, str]:
        """Its inputs without those that only its checks read."""
        return without_checked(self.inputs)

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    @property
    def node(self) -> Node:
        """What the step is in the graph."""
        return self.step.node

    @property
    def relational(self) -> bool:
        """Whether queries make its result."""
        return self.script is not None or ("operations" in self.step.params and bool(self.step.outputs))

    @property
    def operation(self) -> str:
        """What the step does, in a few words."""
        if "operations" in self.step.params:
            return ", ".join(next(iter(item)) for item in self.step.params["operations"])
        if self.step.ingests or self.step.stores:
            return "read" if self.step.ingests else "store"
        return str(self.step.type)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the graph, those that could start first in front."""

    steps: tuple[PlannedStep, ...]
    external: Mapping[str, tuple[Source, Seen]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> PlannedStep:
        """The step of that name. Raises KeyError."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def count(self, action: Action) -> int:
        """How many steps stand at ``action``."""
        return sum(step.decision.action is action for step in self.steps)

    def lineage(self) -> dict[str, dict[str, Any]]:
        """Column lineage of every dataset whose query is known: computed when asked for."""
        from odibi.relational.columns import lineage

        known: dict[str, Schema] = {d: seen.schema for d, (_, seen) in self.external.items() if seen.schema}
        found: dict[str, dict[str, Any]] = {}
        for planned in self.steps:
            known |= {name: schema for name, schema in planned.schemas.items() if schema is not None}
        for planned in self.steps:
            for dataset, compiled in (planned.compiled or {}).items():
                found[dataset] = {
                    origin.column: {"direct": list(origin.direct), "indirect": list(origin.indirect)}
                    for origin in lineage(
                        compiled.meaning, known, names=[column.name for column in compiled.schema]
                    )
                }
        return found
