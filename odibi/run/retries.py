"""The steps of a run that wait for their next attempt: for how long, and how many more there may be."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from odibi.config.models import Pipeline, Step
from odibi.record.model import AttemptRecord
from odibi.run.retry import Failure, Strategy, policy_of

__all__ = ["LONGEST_WAIT", "RACES", "Retries"]

RACES = 5
"""Attempts at a step that loses races for a commit; they are not counted as retries."""

LONGEST_WAIT = 3600.0
"""Seconds that a server may ask for with Retry-After; what is beyond is tried after these."""


class Retries:
    """Who waits and until when.

    Args:
        pipeline: what it says about retries.
        clock: seconds that only go forward.
        chance: a number from 0 to 1, another one each time.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.waiting: dict[str, float] = {}
        self._pipeline = pipeline
        self._clock = clock
        self._chance = chance
        self._budget = pipeline.retry_budget
        self._delays: dict[str, float] = {}

    def after(self, step: Step, attempts: Sequence[AttemptRecord], failure: Failure) -> tuple[Strategy, str]:
        """What is done about the last of the attempts, which failed, and why if that needs to be said.

        A step that is tried again waits from now on.
        """
        lost = sum(_lost_race(attempt) for attempt in attempts)
        if _lost_race(attempts[-1]):
            if lost >= RACES:
                return Strategy.ESCALATE, ""
            delay = 0.05 * 2**lost * (0.5 + 0.5 * self._chance())
        else:
            policy, failures = policy_of(self._pipeline, step), len(attempts) - lost
            strategy = policy.strategy(failure, failures)
            if strategy is not Strategy.RETRY:
                return strategy, ""
            if self._budget == 0:
                return (
                    Strategy.ESCALATE,
                    f"the run has used up its retry_budget of {self._pipeline.retry_budget}",
                )
            if self._budget is not None:
                self._budget -= 1
            delay = policy.delay(failures, self._chance())
            if failure.retry_after is not None:  # the server knows better
                delay = min(failure.retry_after, LONGEST_WAIT)
        self._delays[step.name] = delay
        self.waiting[step.name] = self._clock() + delay
        return Strategy.RETRY, ""

    def due(self) -> list[str]:
        """The steps whose wait is over; they wait no more."""
        now = self._clock()
        names = [name for name, until in self.waiting.items() if until <= now]
        for name in names:
            del self.waiting[name]
        return names

    def delay(self, name: str) -> float:
        """The seconds that were waited before the attempt at the step that has just ended."""
        return self._delays.pop(name, 0.0)


def _lost_race(attempt: AttemptRecord) -> bool:
    return attempt.error is not None and attempt.error.kind == "LostRace"
