"""The walk of a plan: parallel where the graph allows, longest chain first.

A failed step stops only its dependents, unless ``fail_fast`` says otherwise. Attempts run on
daemon threads and report through one queue, which a signal can also write to, so that Ctrl-C and
SIGTERM are answered at once. A step that waits for its next attempt waits in no thread.
"""

from __future__ import annotations

import heapq
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from odibi.config.models import Node
from odibi.config.secrets import Redactor, is_secret
from odibi.errors import DependencyFailed, Timeout
from odibi.operations.memory import peak
from odibi.plan.model import Action, Plan, PlannedStep
from odibi.plan.runtime import HERE, groups, together
from odibi.record.model import (
    AttemptRecord,
    ColumnRecord,
    ErrorRecord,
    PodRecord,
    StepRecord,
    StepStatus,
)
from odibi.run.context import Permit, RunContext
from odibi.run.outcome import Outcome, failed
from odibi.run.retries import Retries
from odibi.run.retry import Strategy, policy_of, with_retries
from odibi.run.task import attempt, attempt_elsewhere, timed_out

__all__ = ["Listener", "Walk", "first_records", "walk"]

GRACE = 10.0
"""Seconds that running steps get to end after a stop was asked for."""

PAUSE = 0.2
"""Seconds between interrupts of what does not end."""

LOOK_UP = 1.0
"""Seconds that the walk waits at a time: a signal that another thread takes does not wake it."""

Listener = Callable[[StepRecord], None]
"""Told of every change of a step."""


@dataclass
class Walk:
    """What became of the steps; ``stopped`` names the signal that ended it early, if one did."""

    records: dict[str, StepRecord]
    stopped: str = ""
    stuck: bool = False  # a step did not end in time after a stop; its thread still runs
    timed_out: bool = False  # what ended it early is the limit of its time


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
        code=_code(planned),
        params=_params(planned.step.params),
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


def _code(planned: PlannedStep) -> str:
    """The function by its real name, or the command; empty for what is no code of the user's."""
    function = planned.function
    if function is not None:
        return f"{function.module}:{function.name}"
    return planned.step.value if planned.command is not None else ""


def _params(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a step but for its operations; those that speak of a secret without their value."""
    return {
        key: Redactor.MASK if is_secret(key) else _params(value) if isinstance(value, Mapping) else value
        for key, value in given.items()
        if key != "operations"
    }


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


@dataclass
class _Running:
    """An attempt that is under way, at one step or elsewhere at several; ``deadline`` is on the monotonic clock."""

    steps: tuple[PlannedStep, ...]
    started_at: datetime
    deadline: float
    permit: Permit = field(default_factory=Permit)
    given_up: bool = False  # another thread works in the place of the one that hangs in it

    @property
    def far(self) -> bool:
        """Whether it is made elsewhere, so that this process only waits."""
        return self.steps[0].runtime != HERE


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
        far = any(planned.runtime != HERE for planned in self.plan.values())
        self.groups = {
            planned.name: group for group in groups(context.plan.steps) if far for planned in group
        }
        self.ready: list[tuple[int, int, str]] = []
        self.jobs: queue.SimpleQueue[_Running | None] = queue.SimpleQueue()
        self.workers = max(1, min(workers, len(self.plan)))
        self.running: dict[str, _Running] = {}
        self.retries = Retries(context.loaded.pipeline)
        self.threads = 0
        limit = context.loaded.pipeline.timeout_seconds
        self.deadline = time.monotonic() + limit if limit is not None else math.inf
        self.halted = ""

    def run(self) -> Walk:
        for _ in range(self.workers):
            self._hire()
        try:
            self._release([name for name, before in self.open.items() if not before])
            while self.running or self.ready or self.retries.waiting:
                if time.monotonic() >= self.deadline:
                    self._end_in_time()
                    break
                self._do_what_is_due()
                self._start_what_can()
                with suppress(queue.Empty):
                    kind, what = self.events.get(timeout=self._until_something_is_due())
                    if kind == "stop":
                        self._stop(str(what))
                        break
                    self._ended(*what)  # type: ignore[misc]
        except BaseException:
            self.listener = lambda _: None  # it may be what raised
            self._stop("an error")  # nothing may be written after the run has ended
            raise
        finally:
            for _ in range(self.threads):
                self.jobs.put(None)
        self._leave_the_rest()
        return self.walk

    def _hire(self) -> None:
        self.threads += 1
        threading.Thread(target=self._work, daemon=True, name="odibi-step").start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.permit.thread = threading.get_ident()
            outcomes = self._tried(job)
            job.permit.thread = 0
            self.events.put(("ended", (job, outcomes, datetime.now(UTC))))
            if job.given_up:
                return

    def _tried(self, job: _Running) -> Mapping[str, Outcome]:
        """What became of the steps of an attempt."""
        try:
            if job.far:
                return attempt_elsewhere(self.context, job.steps)
            return {job.steps[0].name: attempt(self.context, job.steps[0], job.permit)}
        except BaseException as error:  # noqa: BLE001 - odibi's own fault: the walk would wait for ever
            return {job.steps[0].name: failed(error)}

    def _wait(self, job: _Running) -> None:
        """Wait for what is made elsewhere, on a thread of its own: it takes no worker's place."""
        self.events.put(("ended", (job, self._tried(job), datetime.now(UTC))))

    # --- time ----------------------------------------------------------------------------------

    def _until_something_is_due(self) -> float:
        """Seconds until a wait, an attempt or the run is over, or until a signal may have come unheard."""
        limits = (job.deadline for job in self.running.values())
        due = min(self.deadline, *self.retries.waiting.values(), *limits, math.inf)
        overdue = any(job.permit.withdrawn.is_set() for job in self.running.values())
        return min(LOOK_UP, max(PAUSE if overdue else 0.0, due - time.monotonic()))

    def _do_what_is_due(self) -> None:
        """Start the attempts that were waited for, and interrupt those that take too long."""
        for name in self.retries.due():
            heapq.heappush(self.ready, (-self.height[name], self.plan[name].index, name))
        now = time.monotonic()
        for job in [job for job in self.running.values() if job.deadline <= now]:
            job.permit.withdrawn.set()
            self.context.interrupt(job.permit.thread)
            if now > job.deadline + GRACE:
                # It may not publish any more; its thread is left to whatever it hangs in.
                self.walk.stuck = job.given_up = True
                self._hire()
                (planned,) = job.steps
                self._ended(job, {planned.name: timed_out(planned)}, datetime.now(UTC))

    def _end_in_time(self) -> None:
        self.walk.timed_out = True
        limit = self.context.loaded.pipeline.timeout_seconds or 0
        self._stop(Timeout("the run", limit).message)

    # --- starting ------------------------------------------------------------------------------

    def _release(self, names: Iterable[str]) -> None:
        """Let steps start whose dependencies have ended; those with nothing to do have ended with that."""
        waiting = list(names)
        while waiting and not self.halted:
            name = waiting.pop()
            planned = self.plan[name]
            if name in self.running:  # it is made elsewhere together with what it waited for
                continue
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
        later = []
        while self.ready:
            first = heapq.heappop(self.ready)
            name, now = first[-1], datetime.now(UTC)
            planned = self.plan[name]
            if name in self.running:  # it went elsewhere with another step
                continue
            if planned.runtime == HERE:
                if sum(not job.far for job in self.running.values()) >= self.workers:
                    later.append(first)
                    continue
                permit = Permit(number=len(self.walk.records[name].attempts) + 1)
                job = _Running((planned,), now, time.monotonic() + (planned.step.timeout or math.inf), permit)
                self.jobs.put(job)
            elif self._is_waited_for(name):
                later.append(first)
                continue
            else:
                done = {each for each, record in self.walk.records.items() if record.status.ended}
                group = together(self.plan, name, done, self.running.keys())
                if any(each.name in self.retries.waiting for each in group):
                    later.append(first)  # the attempt that failed was at all of them, and so is the next
                    continue
                job = _Running(tuple(map(self._with_what_is_left, group)), now, math.inf)
                threading.Thread(target=self._wait, args=(job,), daemon=True, name=f"odibi-{name}").start()
            for each in job.steps:
                self.running[each.name] = job
                if not self.walk.records[each.name].attempts:
                    self._update(each.name, status=StepStatus.RUNNING, started_at=now)
        for entry in later:
            heapq.heappush(self.ready, entry)
        if later and not self.running and not self.retries.waiting:
            self.groups.clear()  # what these were planned to go with does not come any more
            self._start_what_can()

    def _with_what_is_left(self, planned: PlannedStep) -> PlannedStep:
        """The step with the retries it has left, for it may be tried again elsewhere as well."""
        failures = len(self.walk.records[planned.name].attempts)
        left = policy_of(self.context.loaded.pipeline, planned.step).max_retries - failures
        return replace(planned, step=with_retries(planned.step, max(0, left))) if failures else planned

    def _is_waited_for(self, name: str) -> bool:
        """Whether the steps that are planned to go elsewhere with this one still need something of others."""
        group = self.groups.get(name, ())
        names = {planned.name for planned in group}
        return any(
            self.open[planned.name] - names
            for planned in group
            if planned.name not in self.running and not self.walk.records[planned.name].status.ended
        )

    # --- ending --------------------------------------------------------------------------------

    def _ended(self, job: _Running, outcomes: Mapping[str, Outcome], at: datetime) -> None:
        for planned in (self.plan[given.name] for given in job.steps):
            if self.running.get(planned.name) is not job:
                continue  # it was given up before
            del self.running[planned.name]
            outcome = outcomes.get(planned.name, Outcome(StepStatus.WAITING))
            record = self.walk.records[planned.name]
            if outcome.status.ended:
                self._ended_step(job, planned, outcome, at)
            elif not record.status.ended:
                # Nobody came to it: it waits again for what it needs, which failed and may be tried again.
                pods = _pods(record, outcome)
                self._update(planned.name, status=StepStatus.WAITING, started_at=None, pods=pods)
                if not self.open[planned.name]:
                    self._release([planned.name])

    def _ended_step(self, job: _Running, planned: PlannedStep, outcome: Outcome, at: datetime) -> None:
        name = planned.name
        before = self.walk.records[name]
        own = AttemptRecord(
            number=1,
            of=policy_of(self.context.loaded.pipeline, planned.step).max_retries + 1,
            status=outcome.status,
            started_at=job.started_at,
            ended_at=at,
            delay=self.retries.delay(name),
            config_hash=self.context.loaded.config_hash,
            error=outcome.error,
        )
        first, *more = outcome.attempts or (own,)  # what was waited before it is known only here
        made = enumerate((first.model_copy(update={"delay": own.delay}), *more), len(before.attempts) + 1)
        numbered = (one.model_copy(update={"number": number, "of": own.of}) for number, one in made)
        attempts, pods = (*before.attempts, *numbered), _pods(before, outcome)
        then, why = Strategy.ESCALATE, ""
        if outcome.status is StepStatus.FAILED and not self.halted and not outcome.attempts:
            then, why = self.retries.after(planned.step, attempts, outcome.failure)
        if then is Strategy.RETRY:
            self._update(name, attempts=attempts, pods=pods)
            return
        skipped = then is Strategy.SKIP or outcome.left_out
        if skipped and outcome.error is not None:
            why = f"left out after {outcome.error.kind}: {outcome.error.message}"
        reason = self.halted if outcome.status is StepStatus.CANCELLED else why or outcome.reason
        began, over = _when(job, before, outcome, at)
        self._update(
            name,
            status=StepStatus.SKIPPED if skipped else outcome.status,
            started_at=began,
            ended_at=over,
            reason=reason or before.reason,
            rows_in=dict(outcome.rows_in),
            rows_out=outcome.rows_out,
            reads=outcome.reads,
            operations=outcome.operations,
            columns=tuple(ColumnRecord(name=c.name, type=c.type) for c in outcome.columns),
            writes=outcome.writes,
            sample=outcome.sample,
            sql_run=outcome.sql_run,
            key=outcome.key,
            digest=outcome.digest,
            synthetic=outcome.synthetic,
            peak_memory=outcome.peak_memory or peak(os.getpid()),
            checks=outcome.checks,
            quality=outcome.quality,
            pods=pods,
            warnings=(*before.warnings, *outcome.warnings),
            attempts=attempts,
            error=None if skipped else outcome.error,
        )
        if skipped:
            self._leave_dependents(name, failed=False)
        elif outcome.status in (StepStatus.COMPLETED, StepStatus.REUSED, StepStatus.SKIPPED):
            self._release(self._freed(name))
        elif outcome.status is StepStatus.FAILED:
            self._failed(name)

    def _failed(self, name: str) -> None:
        """Nothing that needs the step is run, and with ``fail_fast`` nothing at all."""
        self._leave_dependents(name, failed=True)
        if self.fail_fast and not self.halted:
            self.halted = f"the run stopped because step {name!r} failed (fail_fast)"
            self.ready.clear()
            self.retries.waiting.clear()
            for other, record in list(self.walk.records.items()):
                if record.attempts and not record.status.ended and other not in self.running:
                    last = record.attempts[-1]  # it has failed, and is not tried again
                    self._update(other, status=StepStatus.FAILED, ended_at=last.ended_at, error=last.error)
                    self._leave_dependents(other, failed=True)

    def _leave_dependents(self, cause: str, *, failed: bool) -> None:
        """Leave out what needs a step that failed or was skipped."""
        blocked = list(self.after[cause])
        while blocked:
            name = blocked.pop()
            if self.walk.records[name].status.ended:
                continue
            if self.plan[name].decision.action is Action.SKIP:
                self._release([name])  # its readers are given what it made in an earlier run
                continue
            if failed:
                error = ErrorRecord(kind=DependencyFailed.type, message=DependencyFailed(name, cause).message)
                self._update(name, status=StepStatus.NOT_RUN, reason=f"{cause} failed", error=error)
            else:
                self._update(name, status=StepStatus.SKIPPED, reason=f"{cause} was skipped")
            blocked += self.after[name]

    def _stop(self, reason: str) -> None:
        """Interrupt what runs and wait for it, not for ever."""
        self.walk.stopped = self.halted = reason
        self.context.stopped.set()
        deadline = time.monotonic() + GRACE
        while self.running:
            self.context.interrupt()
            try:
                kind, what = self.events.get(timeout=PAUSE)
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


def _when(
    job: _Running, before: StepRecord, outcome: Outcome, at: datetime
) -> tuple[datetime | None, datetime]:
    """When a step began and ended. One that was given elsewhere with others has times of its own there.

    They are by another clock, and lie between those at which it was given there and its outcome came.
    """
    if not job.far or (outcome.error is not None and not outcome.attempts):
        return before.started_at, at
    if not outcome.attempts:  # it had nothing to do there
        return None, at
    first, last = outcome.attempts[0].started_at, outcome.attempts[-1].ended_at or at
    began, over = (min(max(one, job.started_at), at) for one in (first, last))
    return (before.started_at if before.attempts else began), over


def _pods(before: StepRecord, outcome: Outcome) -> tuple[PodRecord, ...]:
    """The pods of all attempts; of one that outlived an attempt what is known now."""
    return tuple({pod.name: pod for pod in (*before.pods, *outcome.pods)}.values())


def _heights(plan: Mapping[str, PlannedStep], after: Mapping[str, list[str]]) -> dict[str, int]:
    """Length of the longest chain that each step starts: those with more to follow go first."""
    heights: dict[str, int] = {}
    for name in reversed(list(plan)):
        heights[name] = 1 + max((heights[other] for other in after[name]), default=0)
    return heights
