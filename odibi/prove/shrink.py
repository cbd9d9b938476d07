"""Fewer and plainer rows that still show the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from odibi.prove.ask import Bench
from odibi.prove.model import Table

__all__ = ["Budget", "fewest", "plainest", "without"]

T = TypeVar("T")

Inputs = Mapping[str, Table]

FEW = 4
"""So many rows are made plain one by one; where more are needed, fewer are sought in every combination."""


class Budget:
    """How often a question may still be asked."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self) -> bool:
        """Whether it may be asked once more."""
        self.left -= 1
        return self.left >= 0


def fewest(items: Sequence[T], shows: Callable[[Sequence[T]], bool], budget: Budget) -> list[T]:
    """Items that show what all of them show, and as few as bisection finds.

    The shortest beginning that shows it ends in an item that is needed; then the same for what is before
    that item, until the needed ones show it alone: some ten questions for each of them.

    Args:
        items: what together shows it.
        shows: whether some of the items, in their order, show it too.
        budget: how often that may be asked; what was found by then is the result.
    """
    found = _needed(items, shows, budget)
    # Where less does not always show less, what is left may only make up for each other.
    if len(found) >= FEW:
        found = _part(found, shows, budget)
    if FEW <= len(found) <= 2 * FEW:
        small = (list(some) for size in range(1, FEW) for some in combinations(found, size))
        return next((some for some in small if budget.spend() and shows(some)), found)
    return found


def _part(items: list[T], shows: Callable[[Sequence[T]], bool], budget: Budget) -> list[T]:
    """The items, or the smallest part that shows it of halves, quarters and so on."""
    size = -(-len(items) // 2)
    while 0 < size < len(items):
        for start in range(0, len(items), size):
            part = items[start : start + size]
            if budget.spend() and shows(part):
                return _part(part, shows, budget)
        size = -(-size // 2) if size > 1 else 0
    return items


def _needed(items: Sequence[T], shows: Callable[[Sequence[T]], bool], budget: Budget) -> list[T]:
    left, needed = list(items), list[T]()
    while left:
        few, many = 0, len(left)
        while few < many and budget.spend():
            middle = (few + many) // 2
            if shows([*left[:middle], *needed]):
                many = middle
            else:
                few = middle + 1
        if few < many or many == 0:
            return [*left[:many], *needed]
        needed.insert(0, left[many - 1])
        del left[many - 1 :]
    return needed


def without(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> tuple[list[T], list[T]]:
    """Items that do not fail together, as many of the first ones as can be, and the others."""
    kept: list[T] = []
    dropped: list[T] = []
    waiting = [list(items)]
    while waiting:
        part = waiting.pop()
        if not part or not fails([*kept, *part]):
            kept += part
        elif len(part) == 1:
            dropped += part
        else:
            half = len(part) // 2
            waiting += [part[half:], part[:half]]
    return kept, dropped


def plainest(
    bench: Bench, inputs: Inputs, shows: Callable[[Inputs], bool], budget: Budget
) -> dict[str, Table]:
    """The inputs with as many values as can be replaced by NULL or a plain value while ``shows`` holds.

    First the columns that do not matter become NULL, then those that do become plain, where there are few
    rows one by one.
    """
    columns = [(name, number) for name, table in inputs.items() for number in range(len(table.schema))]
    needed = fewest(columns, lambda kept: shows(_emptied(inputs, kept)), budget)
    found = _emptied(inputs, needed)
    for name, number in needed:
        every = list(range(len(found[name])))
        for rows in (every, *([row] for row in every if 1 < len(every) <= FEW)):
            for plain in _plainer(bench, found[name], number, rows):
                tried = {**found, name: plain}
                if not budget.spend():
                    return found
                if shows(tried):
                    found = tried
                    break
    return found


def _emptied(inputs: Inputs, kept: Sequence[tuple[str, int]]) -> dict[str, Table]:
    """The inputs with NULL in all columns but the kept ones."""
    import pyarrow as pa

    found = {}
    for name, table in inputs.items():
        arrays = [
            array if (name, number) in kept else pa.nulls(len(table), array.type)
            for number, array in enumerate(table.rows.columns)
        ]
        found[name] = Table(table.schema, pa.Table.from_arrays(arrays, schema=table.rows.schema))
    return found


_PLAIN = {
    "BOOLEAN": ("false",),
    "VARCHAR": ("'a'", "''", "'1'"),
    "DATE": ("'2024-01-01'",),
    "TIMESTAMP": ("'2024-01-01 00:00:00'",),
    "TIMESTAMP WITH TIME ZONE": ("'2024-01-01 00:00:00+00'",),
}


def _plainer(bench: Bench, table: Table, number: int, rows: Sequence[int]) -> Iterator[Table]:
    """The table with a column plainer in some rows: NULL there, else one plain value; nothing if it is that."""
    import pyarrow as pa

    column, old = table.schema[number], table.rows.column(number).combine_chunks()
    values = bench.arrays(column.type, _PLAIN.get(column.type, ("0", "1"))).cast(old.type)
    choices = pa.chunked_array([old, pa.nulls(1, old.type), *values.chunks])
    before = old.take(pa.array(rows, pa.int64()))
    for plain in range(len(old), len(choices)):
        at = [plain if row in rows else row for row in range(len(old))]
        new = choices.take(pa.array(at, pa.int64())).combine_chunks()
        if new.take(pa.array(rows, pa.int64())).equals(before):
            return
        yield Table(table.schema, table.rows.set_column(number, table.rows.schema.field(number), new))
