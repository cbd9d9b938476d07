"""A difference between two answers, shrunk to few and plain rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from odibi.engines.base import Engine
from odibi.prove.ask import Bench, Question, TooMany
from odibi.prove.compare import difference
from odibi.prove.model import Answer, Difference, Failure, Table
from odibi.prove.shrink import Budget, fewest, plainest

__all__ = ["ASKS", "disagreement"]

ASKS = 150
"""How often both are asked to have fewer rows, and again to have plainer ones."""

MANY = 3
"""More rows than that are no good example."""

Inputs = Mapping[str, Table]
Ask = Callable[[Inputs], Answer]


def disagreement(
    bench: Bench, question: Question, engine: Engine, inputs: Inputs, answer: Answer, keys: Sequence[str]
) -> Difference | None:
    """How an engine differs from the reference's ``answer``, on the fewest rows that show it; None if it does not."""

    def right(tried: Inputs) -> Answer:
        return bench.ask(bench.reference, question, tried)

    def other(tried: Inputs) -> Answer:
        return bench.ask(engine, question, tried)

    def turned(tried: Inputs) -> Answer:
        return right({name: table.take(range(len(table))[::-1]) for name, table in tried.items()})

    found, by_order = _Pair(right, other, keys), _Pair(right, turned, ())
    if not found.differ(inputs, answer, _asked(other, inputs)):
        return None
    found.shrink(bench)
    ordered = by_order(found.inputs)
    shown, name = found, engine.name
    if ordered and sum(map(len, found.inputs.values())) > MANY:
        # The order of rows decides, and how many it takes is up to the engines: DuckDB alone shows it with few.
        by_order.shrink(bench)
        shown, name = by_order, f"{bench.reference.name}, rows turned round"
    answers = dict(zip((bench.reference.name, name), shown.answers, strict=True))
    return Difference(bench.reference.name, engine.name, found.said, shown.inputs, answers, ordered)


class _Pair:
    """Two to ask; remembers the last inputs on which they differed, always in the same way."""

    def __init__(self, right: Ask, other: Ask, keys: Sequence[str]) -> None:
        self.right, self.other, self.keys = right, other, keys
        self.kind: tuple[bool, bool] | None = None
        self.inputs: Inputs = {}
        self.answers: tuple[Answer, ...] = ()
        self.said = ""

    def __call__(self, inputs: Inputs) -> bool:
        """Whether the two differ on these inputs."""
        try:
            right = self.right(inputs)
        except TooMany:
            return False
        return self.differ(inputs, right, _asked(self.other, inputs))

    def differ(self, inputs: Inputs, right: Answer, other: Answer) -> bool:
        """Whether the answers to these inputs differ."""
        said = difference(right, other, self.keys)
        kind = (isinstance(right, Failure), isinstance(other, Failure))
        if not said or self.kind not in (None, kind):
            return False
        self.kind, self.inputs, self.answers, self.said = kind, inputs, (right, other), said
        return True

    def shrink(self, bench: Bench) -> None:
        """Replace the inputs by fewer rows, then by plainer ones."""
        whole = self.inputs
        items = [(name, at) for name, table in whole.items() for at in range(len(table))]

        def some(items: Sequence[tuple[str, int]]) -> Inputs:
            return {n: table.take([at for own, at in items if own == n]) for n, table in whole.items()}

        fewest(items, lambda few: self(some(few)), Budget(ASKS))
        plainest(bench, self.inputs, self, Budget(ASKS))


def _asked(ask: Ask, inputs: Inputs) -> Answer:
    try:
        return ask(inputs)
    except TooMany:
        return Failure("TooMany", "it gives many more rows")
