"""The rows in which two versions of a table differ, as they are told."""

from __future__ import annotations

from dataclasses import dataclass

from odibi.record.model import SampleRecord
from odibi.story.changes import Changes, ColumnChange
from odibi.story.text import count

__all__ = ["ChangedRow", "RunDifference", "TableDifference", "verdict"]


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row that is in both versions: its key, and (column, before, now) for what is not the same."""

    key: tuple[str | None, ...]
    values: tuple[tuple[str, str | None, str | None], ...]


@dataclass(frozen=True, slots=True)
class TableDifference:
    """The rows of a table at two of its versions.

    Rows are told apart by ``keys``; without keys a row is all its values, so that none is changed. The
    numbers are exact, the rows are some. ``by_column`` says in how many rows a column differs, ``columns``
    which columns are new, gone or of another type: such columns do not make a row a changed one unless
    they are in both versions. ``problem`` says why the rows could not be compared, ``notes`` what else
    to know.
    """

    step: str
    url: str
    versions: tuple[int | None, int | None]
    problem: str = ""
    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    rows: tuple[int, int] = (0, 0)
    added: int = 0
    removed: int = 0
    changed: int = 0
    by_column: tuple[tuple[str, int], ...] = ()
    columns: tuple[ColumnChange, ...] = ()
    some_added: SampleRecord | None = None
    some_removed: SampleRecord | None = None
    some_changed: tuple[ChangedRow, ...] = ()
    masked: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the rows are the same, as far as they could be compared."""
        return not (self.problem or self.added or self.removed or self.changed)

    @property
    def said(self) -> str:
        """``12 rows added, 4 removed, 20 changed``."""
        if self.problem:
            return self.problem
        numbers = ((self.added, "added"), (self.removed, "removed"), (self.changed, "changed"))
        first, *more = [pair for pair in numbers if pair[0]] or [(0, "")]
        if not first[0]:
            return f"the same {count(self.rows[1], 'row')}"
        return ", ".join([f"{count(first[0], 'row')} {first[1]}", *(f"{n:,} {word}" for n, word in more)])


@dataclass(frozen=True, slots=True)
class RunDifference:
    """What is not the same in two runs, and the rows of the tables that were asked for."""

    changes: Changes
    tables: tuple[TableDifference, ...] = ()


def verdict(found: RunDifference) -> str:
    """What differs, in one sentence."""
    steps, decisions = len(found.changes.steps), sum(len(names) for *_, names in found.changes.decisions)
    parts = [f"{count(steps, 'step')} did otherwise" if steps else "every step gave the same"]
    if decisions:
        parts.append(
            f"{decisions:,} ran in one of the runs only" if decisions > 1 else "1 ran in one of the runs only"
        )
    differing = [table for table in found.tables if not table.same]
    if found.tables:
        parts.append(
            f"{len(differing):,} of {count(len(found.tables), 'table')} differ{'s' * (len(differing) == 1)}"
        )
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
