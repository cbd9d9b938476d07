"""The walk of a plan: parallel where the graph allows, longest chain first.

A failed step stops only its dependents, unless ``fail_fast`` says otherwise. Attempts run on
daemon threads and report through one queue, which a signal can also write to, so that Ctrl-C and
SIGTERM are answered at once.
"""

from __future__ import annotations

import heapq
import queue
import random
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from odibi.config.models import Node
from odibi.errors import DependencyFailed
from odibi.plan.model import Action, Plan, PlannedStep
from odibi.record.model import AttemptRecord, ColumnRecord, ErrorRecord, StepRecord, StepStatus
from odibi.run.context import RunContext
from odibi.run.outcome import Outcome
from odibi.run.task import attempt

__all__ = ["Listener", "Walk", "first_records", "walk"]

ATTEMPTS = 5
"""Tries at a step that lost a race for a commit; each computes again."""

GRACE = 10.0
"""Seconds that running steps get to end after a stop was asked for."""

Listener = Callable[[StepRecord], None]
"""Told of every change of a step."""


@dataclass
class Walk:
    """What became of the steps; ``stopped`` names the signal that ended it early, if one did."""

    records: dict[str, StepRecord]
    stopped: str = ""
    stuck: bool = False  # a step did not end in time after a stop; its thread still runs


def first_records(plan: Plan) -> dict[str, StepRecord]:
    """Every step as it stands before the walk."""
    return {planned.name: _record(planned) for planned in plan.steps}


def _record(planned: PlannedStep) -> StepRecord:
    step = planned.step
    # What a reused step's table holds is known from its commit; a step that runs will tell anew.
    held = _held(planned) if planned.decision.action is Action.REUSE else {}
    return StepRecord(
        name=step.name,
        layer=str(step.layer),
        node=str(planned.node),
        operation=planned.operation,
        engine=planned.engine,
        upstream=planned.upstream,
        description=step.description,
        owner=step.owner,
        tags=step.tags,
        decision=str(planned.decision.action),
        reason=planned.decision.reason,
        status=StepStatus.WAITING if planned.upstream else StepStatus.PENDING,
        sql=_sql(planned),
        warnings=planned.warnings,
        rows_out=held.get("rows"),
        columns=tuple(ColumnRecord(name=name, type=kind) for name, kind in held.get("schema", ())),
        key=held.get("key", ""),
        digest=held.get("digest", ""),
    )


def _held(planned: PlannedStep) -> Mapping[str, Any]:
    """What is known of the result that stands in for a step."""
    commit = next(iter(planned.commits.values()), None)
    if commit is not None:
        return commit.note
    found = next((one for one in planned.kept if one.key == planned.key), None)
    if found is None:
        return {}
    first = next(iter(found.datasets.values()))
    return {"rows": first.rows, "schema": first.columns, "key": found.key, "digest": first.version}


def _sql(planned: PlannedStep) -> str:
    if planned.script is not None:
        return planned.script.text
    if "operations" in planned.step.params:
        import yaml

        operations = [dict(item) for item in planned.step.params["operations"]]
        return str(yaml.safe_dump(operations, sort_keys=False, allow_unicode=True, width=100))
    return "" if planned.node is Node.INGEST else planned.step.value


def walk(
    context: RunContext,
    *,
    workers: int,
    fail_fast: bool = False,
    listener: Listener,
    stop: queue.SimpleQueue[tuple[str, object]] | None = None,
) -> Walk:
    """Execute the plan of the context.

    Args:
        context: the plan and what its attempts share.
        workers: attempts at a time.
        fail_fast: stop starting steps at the first failure.
        listener: told of every change of a step, from the calling thread; what it raises ends the walk.
        stop: a queue to which ``("stop", reason)`` may be put from a signal handler.
    """
    events: queue.SimpleQueue[tuple[str, object]] = stop if stop is not None else queue.SimpleQueue()
    return _Walker(context, workers, fail_fast, listener, events).run()


class _Walker:
    def __init__(
        self, context: RunContext, workers: int, fail_fast: bool, listener: Listener,
        events: queue.SimpleQueue[tuple[str, object]],
    ) -> None:  # fmt: skip
        self.context = context
        self.plan = {planned.name: planned for planned in context.plan.steps}
        self.fail_fast = fail_fast
        self.listener = listener
        self.events = events
        self.walk = Walk(first_records(context.plan))
        self.open = {name: set(planned.upstream) for name, planned in self.plan.items()}
        self.after: dict[str, list[str]] = {name: [] for name in self.plan}
        for name, planned in self.plan.items():
            for before in planned.upstream:
                self.after[before].append(name)
        self.height = _heights(self.plan, self.after)
        self.ready: list[tuple[int, int, str]] = []
        self.jobs: queue.SimpleQueue[PlannedStep | None] = queue.SimpleQueue()
        self.workers = max(1, min(workers, len(self.plan)))
        self.running = 0
        self.halted = ""

    def run(self) -> Walk:
        for _ in range(self.workers):
            threading.Thread(target=self._work, daemon=True, name="odibi-step").start()
        try:
            self._release([name for name, before in self.open.items() if not before])
            while self.running or self.ready:
                self._start_what_can()
                kind, what = self.events.get()
                if kind == "stop":
                    self._stop(str(what))
                    break
                self._ended(*what)  # type: ignore[misc]
        except BaseException:
            self.listener = lambda _: None  # it may be what raised
            self._stop("an error")  # nothing may be written after the run has ended
            raise
        finally:
            for _ in range(self.workers):
                self.jobs.put(None)
        self._leave_the_rest()
        return self.walk

    def _work(self) -> None:
        while (planned := self.jobs.get()) is not None:
            self.events.put(("ended", (planned, *_tried(self.context, planned))))

    # --- starting ------------------------------------------------------------------------------

    def _release(self, names: Iterable[str]) -> None:
        """Let steps start whose dependencies have ended; those with nothing to do have ended with that."""
        waiting = list(names)
        while waiting and not self.halted:
            name = waiting.pop()
            planned = self.plan[name]
            if planned.decision.action is Action.RUN:
                heapq.heappush(self.ready, (-self.height[name], planned.index, name))
                if self.walk.records[name].status is StepStatus.WAITING:
                    self._update(name, status=StepStatus.PENDING)
                continue
            reused = planned.decision.action is Action.REUSE
            self._update(name, status=StepStatus.REUSED if reused else StepStatus.SKIPPED)
            waiting += self._freed(name)

    def _freed(self, name: str) -> list[str]:
        """The steps that waited for this one last."""
        for other in self.after[name]:
            self.open[other].discard(name)
        ended = {other for other in self.after[name] if self.walk.records[other].status.ended}
        return [other for other in self.after[name] if not self.open[other] and other not in ended]

    def _start_what_can(self) -> None:
        while self.ready and self.running < self.workers:
            _, _, name = heapq.heappop(self.ready)
            self._update(name, status=StepStatus.RUNNING, started_at=datetime.now(UTC))
            self.running += 1
            self.jobs.put(self.plan[name])

    # --- ending --------------------------------------------------------------------------------

    def _ended(self, planned: PlannedStep, outcome: Outcome, attempts: tuple[AttemptRecord, ...]) -> None:
        self.running -= 1
        name = planned.name
        before = self.walk.records[name]
        self._update(
            name,
            status=outcome.status,
            ended_at=attempts[-1].ended_at,
            reason=self.halted if outcome.status is StepStatus.CANCELLED else outcome.reason or before.reason,
            rows_in=dict(outcome.rows_in),
            rows_out=outcome.rows_out,
            columns=tuple(ColumnRecord(name=c.name, type=c.type) for c in outcome.columns),
            writes=outcome.writes,
            sample=outcome.sample,
            sql_run=outcome.sql_run,
            key=outcome.key,
            digest=outcome.digest,
            peak_memory=_peak_memory(),
            warnings=(*before.warnings, *outcome.warnings),
            attempts=attempts,
            error=outcome.error,
        )
        if outcome.status in (StepStatus.COMPLETED, StepStatus.REUSED):
            self._release(self._freed(name))
        elif outcome.status is StepStatus.FAILED:
            self._block_dependents(name)
            if self.fail_fast:
                self.halted = f"the run stopped because step {name!r} failed (fail_fast)"
                self.ready.clear()

    def _block_dependents(self, cause: str) -> None:
        blocked = list(self.after[cause])
        while blocked:
            name = blocked.pop()
            if self.walk.records[name].status.ended:
                continue
            if self.plan[name].decision.action is Action.SKIP:
                self._release([name])  # its readers are given what it made in an earlier run
                continue
            error = ErrorRecord(kind="DependencyFailed", message=DependencyFailed(name, cause).message)
            self._update(name, status=StepStatus.NOT_RUN, reason=f"{cause} failed", error=error)
            blocked += self.after[name]

    def _stop(self, reason: str) -> None:
        """Interrupt what runs and wait for it, not for ever."""
        self.walk.stopped = self.halted = reason
        self.context.stopped.set()
        deadline = time.monotonic() + GRACE
        while self.running:
            self.context.interrupt()
            try:
                kind, what = self.events.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() > deadline:
                    self.walk.stuck = True
                    return
                continue
            if kind == "ended":
                self._ended(*what)  # type: ignore[misc]

    def _leave_the_rest(self) -> None:
        for name, record in list(self.walk.records.items()):
            if record.status is StepStatus.RUNNING:
                self._update(
                    name, status=StepStatus.CANCELLED, ended_at=datetime.now(UTC), reason=self.walk.stopped
                )
            elif not record.status.ended:
                status = StepStatus.CANCELLED if self.walk.stopped else StepStatus.NOT_RUN
                self._update(name, status=status, reason=self.halted or "the run ended before it")

    def _update(self, name: str, **changes: object) -> None:
        # The values come from frozen models already; validating them again costs more than a step.
        record = self.walk.records[name].model_copy(update=changes)
        self.walk.records[name] = record
        self.listener(record)


def _tried(context: RunContext, planned: PlannedStep) -> tuple[Outcome, tuple[AttemptRecord, ...]]:
    """The last outcome of the step and all its attempts; only lost races are tried again."""
    attempts: list[AttemptRecord] = []
    while True:
        started = datetime.now(UTC)
        outcome = attempt(context, planned)
        number = len(attempts) + 1
        attempts.append(
            AttemptRecord(
                number=number,
                status=outcome.status,
                started_at=started,
                ended_at=datetime.now(UTC),
                error=outcome.error,
            )
        )
        transient = outcome.error is not None and not outcome.error.permanent
        if not transient or number == ATTEMPTS or context.stopped.is_set():
            return outcome, tuple(attempts)
        time.sleep(random.uniform(0.5, 1.0) * 0.05 * 2**number)  # noqa: S311 - jitter, not a secret


def _heights(plan: Mapping[str, PlannedStep], after: Mapping[str, list[str]]) -> dict[str, int]:
    """Length of the longest chain that each step starts: those with more to follow go first."""
    heights: dict[str, int] = {}
    for name in reversed(list(plan)):
        heights[name] = 1 + max((heights[other] for other in after[name]), default=0)
    return heights


def _peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
