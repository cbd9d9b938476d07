"""Delivers notices: each receiver on a thread of its own, tried again where that may help, all in bounded time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from odibi.config.hooks import Hook
from odibi.errors import OdibiError, Transient, Unavailable
from odibi.notify.channels import Sender, place_of
from odibi.notify.messages import Notice
from odibi.record.notices import Delivery

__all__ = ["Channel", "Courier"]

FIRST_WAIT = 0.5
"""Seconds before a delivery is tried again; twice as many before each further try."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A hook whose references are resolved, and what sends to it."""

    hook: Hook
    sender: Sender


_Given = tuple[Channel, Notice, str]


class Courier:
    """Takes notices and delivers them; what became of each is in :meth:`finish`.

    Args:
        mask: takes secrets out of what errors say.
        first_wait: seconds before the first retry.
    """

    def __init__(self, mask: Callable[[str], str], first_wait: float = FIRST_WAIT) -> None:
        self._mask, self._first_wait = mask, first_wait
        self._lock = threading.Lock()
        self._deliveries: dict[str, Delivery] = {}
        self._queues: dict[str, queue.SimpleQueue[_Given | None]] = {}
        self._left = threading.Condition(self._lock)
        self._over = threading.Event()

    def send(self, channel: Channel, notice: Notice) -> str:
        """Have a notice delivered; the key of its delivery. One that was given before is not sent again."""
        name = channel.hook.called
        key = f"{notice.key}-{name}"
        with self._lock:
            if key in self._deliveries:
                return key
            self._deliveries[key] = Delivery(
                key=key,
                run_id=notice.run_id,
                pipeline=notice.pipeline,
                hook=name,
                kind=channel.hook.type,
                place=self._mask(place_of(channel.hook)),
                event=notice.event,
                summary=self._mask(notice.summary),
                status="waiting",
                at=datetime.now(UTC),
            )
            if name not in self._queues:
                self._queues[name] = queue.SimpleQueue()
                thread = threading.Thread(
                    target=self._work, args=(self._queues[name],), daemon=True, name=f"odibi-tell-{name}"
                )
                thread.start()
            self._queues[name].put((channel, notice, key))
        return key

    def finish(self, deadline: float) -> tuple[Delivery, ...]:
        """All deliveries as they stand when none is open, or at ``deadline`` on the monotonic clock."""
        with self._left:
            self._left.wait_for(
                lambda: all(one.status != "waiting" for one in self._deliveries.values()),
                max(0.0, deadline - time.monotonic()),
            )
            self._over.set()
            for key, one in self._deliveries.items():
                if one.status == "waiting":
                    said = one.error or "no answer before the run ended"
                    self._deliveries[key] = replace(one, status="undelivered", error=said)
            for waiting in self._queues.values():
                waiting.put(None)
            return tuple(self._deliveries.values())

    def _work(self, waiting: queue.SimpleQueue[_Given | None]) -> None:
        while (given := waiting.get()) is not None:
            self._deliver(*given)

    def _deliver(self, channel: Channel, notice: Notice, key: str) -> None:
        wait = self._first_wait
        tries = channel.hook.retries + 1 if channel.hook.type not in ("log", "python") else 1
        for attempt in range(1, tries + 1):
            if self._over.is_set():
                return
            self._note(key, attempts=attempt)
            try:
                channel.sender(channel.hook, notice)
            except OdibiError as error:
                self._note(key, error=self._mask(error.message))
                if not isinstance(error, Transient) or attempt == tries:
                    break
                asked = error.retry_after if isinstance(error, Unavailable) else None
                self._over.wait(wait if asked is None else asked)
                wait *= 2
            except Exception as error:  # noqa: BLE001 - code of users, and what no header or stream can take
                self._note(key, error=self._mask(f"{type(error).__name__}: {error}"))
                break
            else:
                self._note(key, status="delivered", error="")
                return
        self._note(key, status="failed")

    def _note(self, key: str, **changes: object) -> None:
        with self._left:
            if not self._over.is_set():  # what was told of a delivery when the run ended stays true
                self._deliveries[key] = replace(self._deliveries[key], **changes)  # type: ignore[arg-type]
                self._left.notify_all()
