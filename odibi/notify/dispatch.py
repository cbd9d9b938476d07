"""Calls hooks: off the walk's thread, in order, each within its limit; blocking ones before the run goes on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from odibi.notify.bus import Payload, Registered

__all__ = ["Dispatcher"]

WAITING = 10_000
"""Events that may wait for hooks; those beyond are not told."""

LONGEST = 500
"""Characters of a warning."""


class Dispatcher:
    """Tells the hooks of one run.

    Args:
        hooks: in the order in which they are told.
        stop: ends the run, with the reason.

    Attributes:
        warnings: what hooks did wrong, each once.
    """

    def __init__(self, hooks: Sequence[Registered], stop: Callable[[str], None]) -> None:
        self.warnings: dict[str, None] = {}
        self._hooks, self._stop = hooks, stop
        self._events = frozenset(hook.event for hook in hooks)
        self._given_up: set[int] = set()
        self._lost = 0
        self._over = threading.Event()
        self._one = threading.Lock()  # steps and checkpoints are told of by threads of their own
        self._waiting: queue.Queue[tuple[str, Payload] | None] = queue.Queue(WAITING)
        self._caller, self._blocking = _Caller(), _Caller()
        self._thread = threading.Thread(target=self._work, daemon=True, name="odibi-hooks")
        self._thread.start()

    def wants(self, event: str) -> bool:
        """Whether anybody is to be told of the event."""
        return event in self._events or "*" in self._events

    def tell(self, event: str, payload: Payload) -> None:
        """Tell of an event: quick and blocking hooks now, the others as soon as their turn comes."""
        for hook in self._of(event):
            if hook.quick:
                hook.told(payload)
            elif hook.blocking:
                with self._one:
                    wrong = self._called(self._blocking, hook, payload)
                if wrong:
                    self._stop(wrong)
        try:
            self._waiting.put_nowait((event, payload))
        except queue.Full:
            self._lost += 1

    def finish(self, deadline: float) -> None:
        """Let the hooks be told of what waits, until ``deadline`` on the monotonic clock."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=max(0.0, deadline - time.monotonic()))
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._over.set()
        left = self._lost + (self._waiting.qsize() if self._thread.is_alive() else 0)
        if left:
            self._warn(f"{left} event{'s' * (left != 1)} could not be told: the hooks took too long")
        self._caller.leave()
        self._blocking.leave()

    def _of(self, event: str) -> Iterable[Registered]:
        return (
            hook for hook in self._hooks if hook.event in (event, "*") and id(hook.told) not in self._given_up
        )

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            event, payload = waiting
            for hook in self._of(event):
                if self._over.is_set():
                    return
                if not (hook.blocking or hook.quick):
                    self._called(self._caller, hook, payload)

    def _called(self, caller: _Caller, hook: Registered, payload: Payload) -> str:
        """What went wrong with the hook; one that takes too long is not called again."""
        wrong = caller.call(hook, payload)
        if wrong is None:
            return ""
        if isinstance(wrong, TimeoutError):
            self._given_up.add(id(hook.told))  # for all events
            said = (
                f"hook {hook.name!r} took longer than {hook.timeout:g} s and is not called again in this run"
            )
        else:
            said = _cut(f"hook {hook.name!r} failed: {type(wrong).__name__}: {wrong}")
        self._warn(said)
        return said

    def _warn(self, said: str) -> None:
        self.warnings.setdefault(said)


class _Caller:
    """Calls functions on a thread of its own, which is left to any that does not return in time."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] | None = None

    def call(self, hook: Registered, payload: Payload) -> BaseException | None:
        """What the hook raised; a TimeoutError if it has not returned in time."""
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=_works, args=(self._jobs,), daemon=True, name="odibi-hook").start()
        job = _Job(hook, payload)
        self._jobs.put(job)
        if job.done.wait(hook.timeout):
            return job.raised
        self.leave()
        return TimeoutError()

    def leave(self) -> None:
        """Let the thread end as soon as it can."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None


class _Job:
    def __init__(self, hook: Registered, payload: Payload) -> None:
        self.hook, self.payload = hook, payload
        self.done = threading.Event()
        self.raised: BaseException | None = None


def _works(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        try:
            job.hook.told(dict(job.payload))  # its own, to do with what it wants
        except BaseException as error:  # noqa: BLE001 - the code of users, of which a run must not fail
            job.raised = error
        job.done.set()


def _cut(text: str) -> str:
    """The text on one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
