"""Small tables, what engines answered about them, and what that says of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from odibi.errors import Problem
from odibi.relational.schema import Schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Answer", "Difference", "Failure", "Proof", "StepProof", "Table", "Verdict"]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows in memory: an Arrow table whose columns are those of ``schema``."""

    schema: Schema
    rows: pa.Table

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def take(self, indices: Sequence[int]) -> Table:
        """The rows at ``indices``, in that order."""
        import pyarrow as pa

        return Table(self.schema, self.rows.take(pa.array(indices, pa.int64())))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an engine gave no rows: the kind of error and the first line of what it said."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


Answer = Table | Failure


class Verdict(StrEnum):
    """What is known of a step."""

    PROVED = "proved"
    DIFFERENT = "different"
    REFUSED = "refused"  # some engine cannot be asked the same
    FAILED = "failed"  # the reference fails whatever the rows are
    LEFT_OUT = "left out"  # there is nothing that two engines could compute


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """Inputs, as few rows as were found, on which an engine does not answer as the reference does.

    ``answers`` has the reference's and the other; where the order of rows alone decides, that is the
    reference's own answer to the rows in another order. ``said`` is what the engine does otherwise, in words; ``ordered`` that the reference itself answers otherwise where
    its input rows come in another order.
    """

    reference: str
    engine: str
    said: str
    inputs: Mapping[str, Table]
    answers: Mapping[str, Answer]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class StepProof:
    """What was tried of a step, and what came of it.

    Attributes:
        where: the step's file and line.
        rows: input rows that every engine was given, edge rows among them.
        edges: how many of these were made for their column's type.
        dropped: rows left out because the reference itself fails on them.
        trials: how often every engine was asked.
        reason: why the step was left out or failed.
        problems: why it was refused, each at its place.
    """

    verdict: Verdict
    name: str = ""
    operation: str = ""
    where: str = ""
    rows: int = 0
    edges: int = 0
    dropped: int = 0
    trials: int = 0
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved of a pipeline on which engines; ``absent`` are the others, and why."""

    engines: tuple[str, ...]
    absent: Mapping[str, str]
    versions: Mapping[str, str]
    seed: int
    steps: tuple[StepProof, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found that keeps an engine from answering alike."""
        return all(step.verdict in (Verdict.PROVED, Verdict.LEFT_OUT) for step in self.steps)

    def count(self, verdict: Verdict) -> int:
        """How many steps have that verdict."""
        return sum(step.verdict is verdict for step in self.steps)
