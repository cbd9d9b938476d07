"""Everybody who is told of a run: the log, OpenLineage, metrics, hooks and alerts, and the story.

The run is done and recorded whether anybody hears of it or not: what cannot be told is a warning.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from odibi.config.secrets import Redactor, Secrets
from odibi.errors import ConfigError, OdibiError
from odibi.logs.lines import Log, wanted
from odibi.record.model import RunRecord, StepRecord

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.datasets.staging import Intents
    from odibi.home import Home
    from odibi.notify.bus import EventBus
    from odibi.notify.telling import Telling
    from odibi.openlineage import Emitter
    from odibi.record.store import RunStore

__all__ = ["Audience", "all_of"]

Listener = Callable[[StepRecord], None]
"""Told of every change of a step."""


class Audience:
    """Who hears of one run; a context manager, so that what is on its way arrives before it ends.

    Most pipelines have few of them, and need not import what tells the others.

    Args:
        loaded: the config, which names them.
        redactor: learns what their references give, and masks it.
        bus: hooks registered in Python.
        log_format: that of the log, where it is not the config's.

    Raises:
        ConfigError: one of them cannot be told, with its place in the config.
        Permanent: the log cannot be written.
        MissingExtra: what tells one of them is not installed.
    """

    def __init__(
        self, loaded: Loaded, redactor: Redactor, bus: EventBus | None = None, log_format: str | None = None
    ) -> None:
        self._loaded, self._redactor = loaded, redactor
        self._hooks = _hooks(loaded, redactor, bus)
        self._emitter = self._openlineage()
        self._log_to = wanted(loaded, log_format)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._log = self._stack.enter_context(Log(self._log_to))
        if self._emitter is not None:
            self._stack.enter_context(self._emitter)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def begin(
        self,
        record: RunRecord,
        stop: queue.SimpleQueue[tuple[str, object]],
        lineage: Callable[[StepRecord], StepRecord],
    ) -> Listener:
        """The run begins; what is to be told of every change of a step.

        Args:
            record: the run before its first step.
            stop: where a hook that blocks may ask the run to end.
            lineage: gives the record of a step what it reads and makes.
        """
        self._log.begun(record)
        if self._emitter is not None:
            self._emitter.begin(record, lineage)
        hooks = self._hooks.begin(record, stop) if self._hooks is not None else None
        return all_of(self._log, self._emitter.step if self._emitter is not None else None, hooks)

    def saved(self, reason: str, number: int) -> None:
        """A checkpoint was saved."""
        if self._hooks is not None:
            self._hooks.saved(reason, number)

    def ended(self, record: RunRecord, store: RunStore, intents: Intents) -> None:
        """The run has ended, whatever it was, and is recorded."""
        self._log.ended(record)
        if self._emitter is not None:
            self._emitter.end(record)
        if self._loaded.pipeline.metrics is not None:
            from odibi.metrics.export import exported

            for sentence in exported(store, self._loaded, record, self._redactor, intents.aside):
                _warn(sentence)

    def over(
        self, record: RunRecord, store: RunStore, home: Home, intents: Intents
    ) -> tuple[RunRecord, Path | None]:
        """The story, and hooks told where it is; what they did not get stands in the record and the story."""
        tracked = self._loaded.pipeline.enable_tracker
        story = _story(store, record, home, intents) if tracked else None
        if warnings := self.hooks_over(record, store, home, story):
            record = record.model_copy(update={"warnings": warnings})
            store.finish_run(record)
            story = _story(store, record, home, intents) if story is not None else None
        return record, story

    def hooks_over(
        self, record: RunRecord, store: RunStore, home: Home, story: Path | None = None
    ) -> tuple[str, ...]:
        """Tell the hooks, and hold the alerts against the runs there are; what went wrong with that."""
        if self._hooks is None:
            return ()
        from odibi.story.text import sentence

        told = self._hooks.over(record, store, home, sentence=sentence(record), story=str(story or ""))
        said = tuple(map(self._redactor.mask, told))  # a function may have said anything
        for warning in said:
            _warn(warning)
        return said

    def _openlineage(self) -> Emitter | None:
        config = self._loaded.pipeline.lineage.openlineage
        if config is None:
            return None
        from odibi.openlineage import Emitter

        secrets = Secrets(self._loaded.pipeline.secrets, self._loaded.environ, self._redactor)
        try:
            return Emitter(config, secrets, lambda text: _warn(self._redactor.mask(text)))
        except OdibiError as error:
            problem = self._loaded.problem(("lineage", "openlineage"), error.message, error.hint)
            raise ConfigError([problem]) from error


def _hooks(loaded: Loaded, redactor: Redactor, bus: EventBus | None) -> Telling | None:
    if not loaded.pipeline.hooks and not loaded.pipeline.alerts.rules and (bus is None or not bus.hooks):
        return None
    from odibi.notify.telling import Telling

    return Telling(loaded, redactor, bus)


def _story(store: RunStore, record: RunRecord, home: Home, intents: Intents) -> Path | None:
    """The story of the run, None if it could not be written."""
    from odibi import story

    try:
        previous = store.last_run(record.pipeline, before=record)
        path = story.write(record, home.stories, previous, intents.aside)
        story.write_index(store.runs(limit=200), home.stories, intents.aside)
    except (OSError, OdibiError) as error:
        _warn(f"the story could not be written: {error}")
        return None
    return path


def all_of(*given: Listener | None) -> Listener:
    """Tells all of them of every change of a step."""
    listeners = [listener for listener in given if listener is not None]

    def told(record: StepRecord) -> None:
        for listener in listeners:
            listener(record)

    return told


def _warn(text: str) -> None:
    print(f"odibi: {text}", file=sys.stderr)  # noqa: T201
