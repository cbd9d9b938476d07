"""Checkpoints as a run goes on: when one is due, and what it says."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from odibi.record.checkpoints import Checkpoint, Checkpoints
from odibi.record.model import CheckpointRecord, RunRecord, StepRecord, StepStatus

if TYPE_CHECKING:
    from odibi.config.models import Pipeline
    from odibi.datasets.kept import Kept
    from odibi.datasets.staging import Intents

__all__ = ["Saver"]

_OF_THE_RUN = ("run_id", "pipeline", "config", "config_hash", "logical_date", "target", "engine", "params")
_COMPLETED = (StepStatus.COMPLETED, StepStatus.REUSED)
_DONE = (*_COMPLETED, StepStatus.SKIPPED)


class Saver:
    """Listens to a run and saves its checkpoints, on a thread of its own; a context manager.

    Mode LAYER saves when the last step of a layer has ended, if any of its steps was computed; AUTO after
    each step that was computed; INTERVAL every so many seconds in which something has ended; each of them
    also when asked. The last one is saved at the end, however the run ends. Without a place none is.
    ``failed`` says why a checkpoint could not be written, which does not fail the run; ``saved`` whether
    the last one was, ``taken`` which were. ``told`` is told of each, on that thread. ``asked`` are the fields
    that say what was asked of the run.
    """

    def __init__(
        self, place: Checkpoints | None, pipeline: Pipeline, record: RunRecord, noted: Mapping[str, Kept], intents: Intents,
        asked: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.failed = ""
        self.saved = False
        self.told: Callable[[str, int], None] = lambda _reason, _number: None
        self.taken: tuple[CheckpointRecord, ...] = ()
        self._place, self._intents, self._noted = place, intents, noted
        self._mode, self._interval = pipeline.checkpoint_mode, pipeline.checkpoint_interval
        self._run = {
            **record.model_dump(include={*_OF_THE_RUN}),
            **asked,
        }
        self._records = {step.name: step for step in record.steps}
        self._open: dict[str, set[str]] = {}
        for step in record.steps:
            self._open.setdefault(step.layer, set()).add(step.name)
        self._computed: set[str] = set()  # layers with a step that was computed
        self._number = 0
        self._changed = False
        self._asked: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="odibi-checkpoint")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        statuses = {record.status for record in self._records.values()}
        if raised[0] is not None or StepStatus.FAILED in statuses:
            status = "failed"
        else:
            status = "cancelled" if StepStatus.CANCELLED in statuses else "completed"
        self._ask("final", status)
        self._asked.put(None)
        self._thread.join()

    def __call__(self, record: StepRecord) -> None:
        """A step has changed."""
        before, self._records[record.name] = self._records[record.name], record
        if not record.status.ended or before.status.ended:
            return
        self._changed = True
        computed = record.status is StepStatus.COMPLETED
        waiting = self._open[record.layer]
        waiting.discard(record.name)
        if computed:
            self._computed.add(record.layer)
        if self._mode == "AUTO" and computed:
            self._ask(record.name)
        elif self._mode == "LAYER" and not waiting and record.layer in self._computed:
            ends = [step.status for step in self._records.values() if step.layer == record.layer]
            if all(status in _DONE for status in ends):
                self._ask(record.layer)

    def request(self) -> None:
        """Save one now; may be called from a signal handler."""
        self._asked.put(("request", "running"))

    def _ask(self, reason: str, status: str = "running") -> None:
        self._asked.put((reason, status))

    def _work(self) -> None:
        wait = self._interval if self._mode == "INTERVAL" else None
        while True:
            try:
                asked = self._asked.get(timeout=wait)
            except queue.Empty:
                asked = ("interval", "running")
                if not self._changed:
                    continue
            if asked is None:
                return
            self._changed = self.saved = False
            if self._place is None:
                continue
            try:
                self._place.save(now := self._now(*asked), self._intents)
                self.saved = True
                taken = CheckpointRecord(reason=now.reason, at=now.at, completed=len(now.completed))
                self.taken = (*self.taken, taken)
                self.told(asked[0], self._number)
            except OSError as error:
                self.failed = f"{error.filename or self._place.folder}: {error.strerror or error}"

    def _now(self, reason: str, status: str) -> Checkpoint:
        """How far the run has come."""
        self._number += 1
        records = list(self._records.values())

        def those(*statuses: StepStatus) -> tuple[str, ...]:
            return tuple(step.name for step in records if step.status in statuses)

        failed = [step for step in records if step.status is StepStatus.FAILED]
        ended = {*_DONE, StepStatus.FAILED}
        return Checkpoint(
            **self._run,
            number=self._number,
            reason=reason,
            status=status,
            at=datetime.now(UTC),
            completed=those(*_COMPLETED),
            pending=those(*(status for status in StepStatus if status not in ended)),
            failed=tuple(step.name for step in failed),
            skipped=those(StepStatus.SKIPPED),
            attempts={step.name: len(step.attempts) for step in records if step.attempts},
            errors={step.name: step.error.message for step in failed if step.error is not None},
            kept=tuple(dict(self._noted).values()),
        )
