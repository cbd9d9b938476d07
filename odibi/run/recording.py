"""The record of a run as it goes on: begun, kept up to date, ended; nothing secret gets into it."""

from __future__ import annotations

import platform
import queue
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from odibi.config.base import texts_of
from odibi.config.loaded import Loaded
from odibi.config.models import Layer
from odibi.config.retry import Success, needed_of
from odibi.config.secrets import Redactor
from odibi.engines.packages import versions
from odibi.errors import OdibiError
from odibi.home import command
from odibi.plan import Plan
from odibi.record.model import (
    RunRecord,
    RunStatus,
    StageRecord,
    StepRecord,
    StepStatus,
)
from odibi.run.lineage import Lineage
from odibi.run.walk import Listener, Walk, first_records

if TYPE_CHECKING:
    from odibi.record.store import RunStore

__all__ = ["Hide", "Recorder", "begun", "broken", "ended", "hiding"]

Hide = Callable[[Any], Any]
"""From a record to one of the same kind without secrets."""


class Recorder:
    """Keeps what changes, so that ``status`` can show it: many changes in one transaction.

    Saving happens on a thread of its own, because a commit takes longer than a trivial step.
    """

    def __init__(self, store: RunStore, run_id: str, listener: Listener | None, hide: Hide) -> None:
        self._store, self._run_id, self._listener, self._hide = store, run_id, listener, hide
        self._changes: queue.SimpleQueue[StepRecord | None] = queue.SimpleQueue()
        self._error: OdibiError | None = None
        self._thread = threading.Thread(target=self._save, name="odibi-record")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._changes.put(None)
        self._thread.join()
        if self._error is not None and raised[0] is None:
            raise self._error

    def __call__(self, record: StepRecord) -> None:
        """Keep a step as it is now, and tell who listens."""
        record = self._hide(record)
        if record.status is StepStatus.RUNNING or record.status.ended:
            self._changes.put(record)
        if self._listener is not None:
            self._listener(record)

    def _save(self) -> None:
        ended = False
        while not ended:
            waiting = [self._changes.get()]
            while not self._changes.empty():
                waiting.append(self._changes.get())
            ended = None in waiting
            changed = {record.name: record for record in waiting if record is not None}
            try:
                self._store.save_steps(self._run_id, changed.values())
            except OdibiError as error:
                self._error = error


def hiding(loaded: Loaded, redactor: Redactor) -> Hide:
    """What takes secrets out of a record: those of references, and passwords in URLs."""
    with_user = any("@" in connection.url for connection in loaded.pipeline.connections.values())

    def hidden(value: Any) -> Any:
        if isinstance(value, str):
            return (
                redactor.mask(value) if type(value) is str else value
            )  # the words of an enum are odibi's own
        if isinstance(value, BaseModel):
            texts = {name: getattr(value, name) for name in texts_of(type(value))}
            masked = {name: hidden(text) for name, text in texts.items()}
            return value.model_copy(update={k: text for k, text in masked.items() if text != texts[k]})
        if isinstance(value, dict):
            return {hidden(key): hidden(item) for key, item in value.items()}
        return tuple(hidden(item) for item in value) if isinstance(value, list | tuple) else value

    def hide(record: Any) -> Any:
        known = bool(redactor) or with_user  # asked each time: functions get secrets while they run
        return hidden(record) if known else record

    return hide


def begun(loaded: Loaded, plan: Plan, version: str) -> RunRecord:
    """The record of a run before its first step; ``version`` is odibi's."""
    pipeline = loaded.pipeline
    engines = {"duckdb", *(step.engine for step in plan.steps)}
    return RunRecord(
        run_id=loaded.run_id,
        pipeline=pipeline.pipeline,
        config=loaded.file,
        config_hash=loaded.config_hash,
        logical_date=loaded.logical_date.isoformat(),
        target=loaded.target,
        engine=pipeline.engine,
        status=RunStatus.RUNNING,
        started_at=datetime.now(UTC),
        description=pipeline.description,
        owner=pipeline.owner,
        runbook=pipeline.runbook,
        command=command(),
        params=dict(loaded.params),
        versions={"odibi": version, "python": platform.python_version(), **versions(sorted(engines))},
        steps=tuple(first_records(plan).values()),
    )


def broken(record: RunRecord, error: BaseException) -> RunRecord:
    """The record of a run that odibi, or who listened to it, could not finish; its steps stay as they were saved."""
    text = f"the run was ended by {type(error).__name__}: {error}"
    return record.model_copy(
        update={"steps": (), "status": RunStatus.FAILED, "ended_at": datetime.now(UTC), "error": text}
    )


def ended(
    record: RunRecord,
    done: Walk,
    plan: Plan,
    *,
    lineage: Lineage | None,
    success: Success | Mapping[Layer, Success] = "all",
) -> RunRecord:
    """The record of a run whose walk has ended, with ``lineage`` where that is kept.

    ``success`` says how many of a layer's sources must have succeeded: where enough have, the run has not
    failed for the others.
    """
    steps = {n: s if lineage is None else lineage.told(s) for n, s in done.records.items()}
    now = datetime.now(UTC)
    stages = _stages(plan, steps, success, now)
    enough = {stage.layer for stage in stages if stage.status == "completed"}
    optional = {step.name for step in plan.steps if step.step.ingests and str(step.step.layer) in enough}
    bad = [step for step in steps.values() if step.status is StepStatus.FAILED]
    failed = [step for step in bad if step.name not in optional]
    error = ""
    if failed and (why := failed[0].error) is not None:
        place = f"{why.where}: " if why.where else ""
        error = f"step {failed[0].name!r} failed: {place}{why.message}"
    if done.stopped:
        error = done.stopped if done.timed_out else f"the run was stopped by {done.stopped}"
    status = RunStatus.CANCELLED if done.stopped else RunStatus.FAILED if failed else RunStatus.SUCCEEDED
    status = RunStatus.TIMEOUT if done.timed_out else status
    changes = {
        "steps": tuple(steps.values()),
        "status": status,
        "ended_at": now,
        "error": error,
        "stages": stages,
    }
    return record.model_copy(update=changes)


def _stages(
    plan: Plan, steps: Mapping[str, StepRecord], success: Success | Mapping[Layer, Success], now: datetime
) -> tuple[StageRecord, ...]:
    """The layers that have sources, as they came out."""
    layers: dict[Layer, list[StepRecord]] = {}
    for planned in plan.steps:
        # What a rule has left out was optional.
        if planned.step.ingests and steps[planned.name].status is not StepStatus.SKIPPED:
            layers.setdefault(planned.step.layer, []).append(steps[planned.name])
    found = []
    for layer, sources in layers.items():
        said = success.get(layer, "all") if isinstance(success, Mapping) else success
        good = sum(step.status in (StepStatus.COMPLETED, StepStatus.REUSED) for step in sources)
        needed = needed_of(said, len(sources))
        found.append(
            StageRecord(
                layer=str(layer),
                timestamp=max((step.ended_at for step in sources if step.ended_at), default=now),
                total_sources=len(sources),
                successful_sources=good,
                needed=needed,
                status="completed" if good >= needed else "failed",
            )
        )
    return tuple(found)
