"""The event bus: functions that are told of a run's events, in the order of their priority."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from odibi.config.hooks import event_named
from odibi.errors import Permanent

__all__ = ["EventBus", "EventPriority", "Payload", "Registered", "Told"]

Payload = Mapping[str, Any]
"""What is told of an event: JSON values by key."""

Told = Callable[[Payload], object]
"""Is told of an event; what it returns is nobody's business."""

TIMEOUT = 5.0
"""Seconds that a function may take that says nothing else."""


class EventPriority(IntEnum):
    """Who is told first; of the same priority, who was registered first."""

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


@dataclass(frozen=True, slots=True)
class Registered:
    """A function that wants to be told of an event, ``*`` for all.

    One that is ``quick`` only notes what it is told, so that nothing it waits behind can keep it.
    """

    event: str
    told: Told
    priority: EventPriority
    name: str
    timeout: float = TIMEOUT
    blocking: bool = False
    quick: bool = False


class EventBus:
    """What is to be told of events; given to a run, it serves for any number of them."""

    def __init__(self) -> None:
        self._hooks: list[Registered] = []

    def register_hook(
        self,
        event: str,
        fn: Told,
        priority: EventPriority = EventPriority.MEDIUM,
        *,
        name: str = "",
        timeout: float = TIMEOUT,
        blocking: bool = False,
    ) -> None:
        """Have a function told of an event.

        Args:
            event: its name, or ``*`` for all events.
            fn: called with the payload, a mapping, on another thread than the run's.
            priority: who is told first.
            name: what warnings call it; the function's own name if not given.
            timeout: seconds after which it is left alone, and not called again in this run.
            blocking: call it before the run goes on; if it raises or takes too long, the run ends.

        Raises:
            Permanent: there is no such event.
        """
        try:
            event_named(event)
        except ValueError as error:
            raise Permanent(str(error)) from error
        called = name or str(getattr(fn, "__qualname__", type(fn).__name__))
        self._hooks.append(Registered(event, fn, EventPriority(priority), called, timeout, blocking))

    @property
    def hooks(self) -> tuple[Registered, ...]:
        """Those that are registered, in the order in which they are told."""
        return tuple(sorted(self._hooks, key=lambda hook: hook.priority))  # a stable sort
