"""The rows to try: real ones, and rows made for the types of their columns, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from odibi.prove.ask import Bench
from odibi.prove.edges import edges
from odibi.prove.model import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

__all__ = ["Chosen", "Hints", "Pool", "hints", "pools", "trials"]

ALONE = 120  # rows with one edge in them
ALIKE = 25  # rows with the keys of another input's rows
TWICE = 4  # rows that come again
HANDFULS = 4
HANDFUL = 6

Chosen = Mapping[str, Sequence[int]]
"""Rows of each input, by their position in its pool."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Rows of one input to choose from; the first ``real`` of them are no edges."""

    table: Table
    real: int


@dataclass(frozen=True, slots=True)
class Hints:
    """What a query says about the rows worth trying: its constants, and columns it holds to be equal."""

    literals: tuple[str, ...] = ()
    equal: frozenset[frozenset[str]] = frozenset()


def hints(query: exp.Query) -> Hints:
    """The hints of a query."""
    from sqlglot import exp

    literals = dict.fromkeys(str(node.this) for node in query.find_all(exp.Literal))
    equal = frozenset(
        frozenset((node.left.name.lower(), node.right.name.lower()))
        for node in query.find_all(exp.EQ)
        if isinstance(node.left, exp.Column) and isinstance(node.right, exp.Column)
    )
    using = (name for join in query.find_all(exp.Join) for name in join.args.get("using") or ())
    return Hints(tuple(literals)[:12], equal | {frozenset((name.name.lower(),)) for name in using})


def pools(bench: Bench, samples: Mapping[str, Table], hints: Hints, random: Random) -> dict[str, Pool]:
    """A pool for each input: its sample, then edge rows, some with the keys of the inputs before it."""
    found: dict[str, Pool] = {}
    for name, sample in samples.items():
        rows = _Rows(bench, sample, hints, random)
        for other in found.values():
            rows.match(other.table)
        found[name] = Pool(rows.made(), len(sample))
    return found


class _Rows:
    """Rows put together from columns of values: the sample's, NULL, the type's edges, other inputs' keys."""

    def __init__(self, bench: Bench, sample: Table, hints: Hints, random: Random) -> None:
        import pyarrow as pa

        self.random, self.hints, self.sample = random, hints, sample
        self.values: list[list[pa.Array[Any]]] = []
        self.edges: list[list[int]] = []
        for column, array in zip(sample.schema, sample.rows.columns, strict=True):
            made = bench.arrays(column.type, edges(column.type, hints.literals)).cast(array.type)
            self.values.append([*array.chunks, pa.nulls(1, array.type), *made.chunks])
            self.edges.append(list(range(len(sample), len(sample) + 1 + len(made))))
        real = [[row] * len(self.edges) for row in range(len(sample))]
        self.rows: list[list[int]] = [*real, *self._all_edges()]
        self.rows += self._one_edge(self.rows[:])
        self.rows += [random.choice(self.rows) for _ in range(TWICE)]
        self.rows.append([len(sample)] * len(self.edges))

    def _all_edges(self) -> list[list[int]]:
        """Rows of nothing but edges: every edge of every column at least once."""
        shuffled = [self.random.sample(one, len(one)) for one in self.edges]
        most = max(map(len, shuffled), default=0)
        return [[one[row % len(one)] for one in shuffled] for row in range(most)]

    def _one_edge(self, rows: Sequence[list[int]]) -> Iterator[list[int]]:
        """Rows as those given, with an edge in one place: what the other columns decide is still as it was."""
        places = [(at, edge) for at, one in enumerate(self.edges) for edge in one]
        real = rows[: len(self.sample)] or rows
        for at, edge in self.random.sample(places, min(ALONE, len(places))):
            row = list(self.random.choice(real))
            row[at] = edge
            yield row

    def match(self, other: Table) -> None:
        """Add rows whose keys are those of rows of another input."""
        keys = {
            at: self._added(at, other.rows.column(number))
            for at, mine in enumerate(self.sample.schema)
            for number, its in enumerate(other.schema)
            if mine.type == its.type and self._alike(mine.name.lower(), its.name.lower())
        }
        for number in self.random.sample(range(len(other)), min(ALIKE, len(other))) if keys else ():
            row = list(self.random.choice(self.rows))
            for at, start in keys.items():
                row[at] = start + number
            self.rows.append(row)

    def _alike(self, mine: str, its: str) -> bool:
        return mine == its or frozenset((mine, its)) in self.hints.equal

    def _added(self, at: int, values: pa.ChunkedArray[Any]) -> int:
        start = sum(map(len, self.values[at]))
        self.values[at] += values.cast(self.values[at][-1].type).chunks
        return start

    def made(self) -> Table:
        """The rows."""
        import pyarrow as pa

        columns = [
            pa.chunked_array(values).take(pa.array([row[at] for row in self.rows], pa.int64()))
            for at, values in enumerate(self.values)
        ]
        return Table(self.sample.schema, pa.Table.from_arrays(columns, schema=self.sample.rows.schema))


def trials(found: Mapping[str, Pool], random: Random) -> list[Chosen]:
    """Which rows to try together: a few at random, the real ones, none of one input, none at all, and all.

    Where a step sums up, one NaN hides the rest, and what a few rows show is soon shrunk: hence the few.
    """
    every: Chosen = {name: range(len(pool.table)) for name, pool in found.items()}
    if not found:
        return [every]
    few = [
        {name: random.sample(rows, min(HANDFUL, len(rows))) for name, rows in every.items()}
        for _ in range(HANDFULS)
    ]
    real = {name: range(pool.real) for name, pool in found.items()}
    without = [{**every, name: ()} for name in found] if len(found) > 1 else []
    return [*few, *([real] if any(real.values()) else []), *without, dict.fromkeys(found, ()), every]
