"""One question proved: asked of every engine about many small tables, every difference shrunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from odibi.engines.base import Engine
from odibi.prove.ask import Bench, Question, TooMany
from odibi.prove.compare import difference
from odibi.prove.disagree import ASKS, disagreement
from odibi.prove.model import Answer, Difference, Failure, StepProof, Table, Verdict
from odibi.prove.pools import Hints, Pool, pools, trials
from odibi.prove.shrink import Budget, fewest, without

__all__ = ["prove_question"]

CULPRITS = 8
"""How many of the rows that the reference fails on are shown to the other engines."""

Item = tuple[str, int]
"""A row: its input, and its position in the pool."""
Inputs = Mapping[str, Table]


def prove_question(
    bench: Bench,
    question: Question,
    samples: Inputs,
    hints: Hints,
    *,
    seed: str = "",
    keys: Sequence[str] = (),
) -> tuple[StepProof, Answer]:
    """What every engine answers about the samples and edge rows, and the reference's own answer to most of them.

    Args:
        bench: the engines.
        question: what to ask them.
        samples: rows of each input, which may be none.
        hints: what the question is known to look at.
        seed: equal seeds try equal rows.
        keys: the columns the answer is ordered by.

    Raises:
        NotPortable: an engine refuses the question.
    """
    random = Random(seed)  # noqa: S311 - rows to try are no secret
    return _Trials(bench, question, pools(bench, samples, hints, random), keys, random).proved()


class _Trials:
    """The trials of one question; remembers the first difference of each engine."""

    def __init__(
        self, bench: Bench, question: Question, pools: Mapping[str, Pool], keys: Sequence[str], random: Random
    ) -> None:
        self.bench, self.question, self.pools, self.keys, self.random = bench, question, pools, keys, random
        self.differences: dict[str, Difference] = {}
        self.count = 0

    def proved(self) -> tuple[StepProof, Answer]:
        """All trials, one after the other."""
        every = [(name, at) for name, pool in self.pools.items() for at in range(len(pool.table))]
        every.sort(key=lambda item: item[1] >= self.pools[item[0]].real)  # real rows are kept if any are
        kept, dropped = without(every, self._fails)
        for culprit in self.random.sample(dropped, min(CULPRITS, len(dropped))):
            self._compare(self._inputs(self._with_its_like(culprit, kept)))
        if kept and self._unsteady(kept):
            failure = Failure("Unsteady", "it answers otherwise each time it is asked")
            return StepProof(Verdict.LEFT_OUT, reason=failure.message), failure
        known = {name: [at for own, at in kept if own == name] for name in self.pools}
        self.pools = {
            name: Pool(pool.table.take(known[name]), sum(at < pool.real for at in known[name]))
            for name, pool in self.pools.items()
        }
        answers = [
            self._compare({name: pool.table.take(trial[name]) for name, pool in self.pools.items()})
            for trial in trials(self.pools, self.random)
        ]
        return self._told(len(dropped), answers), answers[-1]

    def _told(self, dropped: int, answers: Sequence[Answer]) -> StepProof:
        failed = next((answer for answer in answers if isinstance(answer, Failure)), None)
        verdict, reason = Verdict.PROVED, ""
        if self.differences:
            verdict = Verdict.DIFFERENT
        elif failed is not None and all(isinstance(answer, Failure) for answer in answers):
            verdict, reason = Verdict.FAILED, str(failed)
        rows = sum(len(pool.table) for pool in self.pools.values())
        edges = rows - sum(pool.real for pool in self.pools.values())
        return StepProof(
            verdict=verdict, rows=rows, edges=edges, dropped=dropped, trials=self.count, reason=reason,
            differences=tuple(self.differences.values()),
        )  # fmt: skip

    def _with_its_like(self, culprit: Item, kept: Sequence[Item]) -> list[Item]:
        """The row and the fewest others that make the reference fail with it."""
        if self._fails([culprit]):
            return [culprit]

        def fails(items: Sequence[Item]) -> bool:
            return self._fails([*items, culprit])

        return [*(fewest(kept, fails, Budget(ASKS)) if fails(kept) else kept), culprit]

    def _unsteady(self, items: Sequence[Item]) -> bool:
        inputs, answer = self._short(self._inputs(items))
        return bool(difference(answer, self._asked(self.bench.reference, inputs)))

    # --- asking ------------------------------------------------------------------------------

    def _inputs(self, items: Sequence[Item]) -> Inputs:
        return {
            name: pool.table.take([at for own, at in items if own == name])
            for name, pool in self.pools.items()
        }

    def _fails(self, items: Sequence[Item]) -> bool:
        try:
            return isinstance(self._asked(self.bench.reference, self._inputs(items)), Failure)
        except TooMany:
            return False

    def _asked(self, engine: Engine, inputs: Inputs) -> Answer:
        return self.bench.ask(engine, self.question, inputs)

    def _compare(self, inputs: Inputs) -> Answer:
        """The reference's answer; every other engine's is held against it, unless it differed before."""
        inputs, answer = self._short(inputs)
        self.count += 1
        for engine in self.bench.others:
            if engine.name not in self.differences:
                found = disagreement(self.bench, self.question, engine, inputs, answer, self.keys)
                if found is not None:
                    self.differences[engine.name] = found
        return answer

    def _short(self, inputs: Inputs) -> tuple[Inputs, Answer]:
        """Inputs whose answer is short enough, half of the rows where it is not, and that answer."""
        while True:
            try:
                return inputs, self._asked(self.bench.reference, inputs)
            except TooMany:
                if not any(map(len, inputs.values())):
                    raise
                inputs = {
                    name: table.take(self.random.sample(range(len(table)), len(table) // 2))
                    for name, table in inputs.items()
                }
