"""Hooks are called in order, each within its limit, and what they do wrong harms nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from odibi import EventBus, EventPriority
from odibi.errors import Permanent
from odibi.notify.bus import Registered
from odibi.notify.dispatch import Dispatcher

LATER = 60.0


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets hooks return that hang."""
    event = threading.Event()
    yield event
    event.set()


def told(bus: EventBus, *events: str, patience: float = LATER) -> tuple[list[str], list[str]]:
    """Tell a bus of events: what was warned of, and why the run was to end."""
    stopped: list[str] = []
    dispatcher = Dispatcher(bus.hooks, stopped.append)
    for event in events:
        dispatcher.tell(event, {"event_type": event})
    dispatcher.finish(time.monotonic() + patience)
    return list(dispatcher.warnings), stopped


def notes(into: list[str], name: str) -> Callable[[Any], None]:
    return lambda _payload: into.append(name)


def test_they_fire_by_priority_and_then_as_registered() -> None:
    bus, fired = EventBus(), list[str]()
    bus.register_hook("node_error", notes(fired, "low"), EventPriority.LOW)
    bus.register_hook("node_error", notes(fired, "critical 1"), priority=EventPriority.CRITICAL)
    bus.register_hook("node_error", notes(fired, "default"))
    bus.register_hook("node_error", notes(fired, "high"), EventPriority.HIGH)
    bus.register_hook("*", notes(fired, "critical 2"), EventPriority.CRITICAL)
    bus.register_hook("node_error", notes(fired, "medium"), EventPriority.MEDIUM)
    assert told(bus, "node_error", "node_complete") == ([], [])
    assert fired == ["critical 1", "critical 2", "high", "default", "medium", "low", "critical 2"]


def test_an_event_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(Permanent, match="unknown event 'node_eror'; did you mean 'node_error'"):
        EventBus().register_hook("node_eror", print)


def test_a_hook_that_raises_or_hangs_keeps_no_other_from_being_told(release: threading.Event) -> None:
    bus, fired, hung = EventBus(), list[str](), list[str]()

    def broken(payload: Any) -> None:
        raise ValueError("no more")

    bus.register_hook("*", broken, name="broken")

    def slow(_: Any) -> None:
        hung.append("slow")
        release.wait(LATER)

    for event in ("node_start", "node_complete"):
        bus.register_hook(event, slow, name="slow", timeout=0.05)
    bus.register_hook("*", notes(fired, "told"))
    warnings, stopped = told(bus, "node_start", "node_start", "node_complete")
    assert (fired, hung) == (["told"] * 3, ["slow"])
    assert stopped == []
    assert warnings == [
        "hook 'broken' failed: ValueError: no more",
        "hook 'slow' took longer than 0.05 s and is not called again in this run",
    ]


def test_who_only_notes_what_it_is_told_waits_behind_nobody(release: threading.Event) -> None:
    fired = list[str]()
    hooks = [
        Registered("*", lambda _: release.wait(LATER), EventPriority.CRITICAL, "slow", timeout=LATER),
        Registered("node_error", notes(fired, "pager"), EventPriority.LOW, "pager", quick=True),
    ]
    dispatcher = Dispatcher(hooks, notes([], "stop"))
    for event in ("node_start", "node_start", "node_error"):
        dispatcher.tell(event, {})
    assert fired == ["pager"]
    release.set()
    dispatcher.finish(time.monotonic() + LATER)
    assert fired == ["pager"]


def test_what_waits_when_the_time_is_over_is_not_told(release: threading.Event) -> None:
    bus = EventBus()
    bus.register_hook("*", lambda _: release.wait(LATER), timeout=LATER)
    warnings, _ = told(bus, "node_start", "node_error", "node_error", patience=0.05)
    assert warnings == ["2 events could not be told: the hooks took too long"]


def test_a_blocking_hook_is_waited_for_and_ends_the_run_if_it_fails(release: threading.Event) -> None:
    bus, fired = EventBus(), list[str]()
    bus.register_hook("node_complete", notes(fired, "gate"), blocking=True)
    stopped: list[str] = []
    dispatcher = Dispatcher(bus.hooks, stopped.append)
    dispatcher.tell("node_complete", {})
    assert fired == ["gate"]  # before the walk goes on
    dispatcher.finish(time.monotonic() + LATER)

    def few(payload: Any) -> None:
        raise ValueError("too few rows")

    bus.register_hook("node_complete", few, name="rows", blocking=True)
    assert told(bus, "node_complete")[1] == ["hook 'rows' failed: ValueError: too few rows"]
    assert fired == ["gate", "gate"]
