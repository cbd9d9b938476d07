"""A run as its hooks are told of it: from its first event to the last delivery, in bounded time."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from odibi.config.secrets import Redactor
from odibi.errors import OdibiError
from odibi.notify.alerting import Sent, check, take_back
from odibi.notify.bus import EventBus
from odibi.notify.courier import Courier
from odibi.notify.dispatch import Dispatcher
from odibi.notify.events import Events
from odibi.notify.hooks import channels_of, registered
from odibi.record.model import RunRecord, StepRecord
from odibi.record.notices import Delivery, save_deliveries

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.home import Home
    from odibi.record.store import RunStore

__all__ = ["PATIENCE", "Telling", "undelivered"]

PATIENCE = 10.0
"""Seconds after its end in which a run still tells what happened; what takes longer is not told."""


class Telling:
    """Tells the hooks of one run, and sends its alerts; with neither, it does nothing.

    Args:
        loaded: the config.
        redactor: learns what the references of hooks give.
        bus: hooks registered in Python.

    Raises:
        ConfigError: hooks that cannot be, with their place.
        MissingExtra: what speaks HTTP is not installed.
    """

    def __init__(self, loaded: Loaded, redactor: Redactor, bus: EventBus | None = None) -> None:
        self._loaded = loaded
        self._channels = channels_of(loaded, redactor)
        self._courier = Courier(redactor.mask)
        hooks = [*(bus.hooks if bus is not None else ()), *registered(self._channels, self._courier)]
        self._hooks = sorted(hooks, key=lambda hook: hook.priority)
        self._dispatcher: Dispatcher | None = None
        self._events: Events | None = None

    def begin(
        self, run: RunRecord, stop: queue.SimpleQueue[tuple[str, object]]
    ) -> Callable[[StepRecord], None] | None:
        """The run begins; what is to be told of every change of a step, None where nobody wants to know.

        A blocking hook that fails puts ``("stop", reason)`` into the queue.
        """
        if not self._hooks:
            return None
        self._dispatcher = Dispatcher(self._hooks, lambda reason: stop.put(("stop", reason)))
        self._events = Events(run, self._dispatcher.wants, self._dispatcher.tell)
        self._events.begun()
        return self._events.changed

    def saved(self, reason: str, number: int) -> None:
        """A checkpoint was saved."""
        if self._events is not None:
            self._events.saved(reason, number)

    def over(
        self, run: RunRecord, store: RunStore, home: Home, *, sentence: str, story: str = ""
    ) -> tuple[str, ...]:  # fmt: skip
        """The run has ended and is recorded: tell so, evaluate the alerts, and wait for what is on its way.

        Returns:
            What went wrong with it, for people.
        """
        deadline = time.monotonic() + PATIENCE
        warnings: dict[str, None] = {}
        if self._events is not None and self._dispatcher is not None:
            self._events.over(run, sentence, story)
            warnings = self._dispatcher.warnings
        sent: Sequence[Sent] = ()
        try:
            sent = check(
                self._loaded,
                store,
                home,
                self._channels,
                self._courier,
                datetime.now(UTC),
                warnings.setdefault,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended and is recorded
            warnings.setdefault(f"the alerts could not be checked: {error}")
        if self._dispatcher is not None:  # after the alerts, which need not wait for slow hooks
            self._dispatcher.finish(deadline)
        deliveries = self._courier.finish(deadline)
        try:
            save_deliveries(store, deliveries)
            take_back(store, sent, deliveries)
        except OdibiError as error:
            warnings.setdefault(f"what was told could not be recorded: {error.message}")
        return (*warnings, *undelivered(deliveries))


def undelivered(deliveries: Sequence[Delivery]) -> list[str]:
    """A sentence for each hook that did not get all it should have, with the last reason."""
    said: dict[str, str] = {}
    for one in deliveries:
        if one.status != "delivered":
            tries = f" after {one.attempts} attempt{'s' * (one.attempts != 1)}" if one.attempts else ""
            said[one.hook] = (
                f"hook {one.hook!r}: {one.event} was not delivered to {one.place}{tries}: {one.error}"
            )
    return list(said.values())
