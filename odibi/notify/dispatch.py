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

TOGETHER = 0.2
"""Seconds in which events are gathered: to wake two threads for each costs more than most hooks do."""

LONGEST = 500
"""Characters of a warning."""


Call = tuple[Registered, Payload]


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
        self._ending = threading.Event()
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
                    wrong = self._called(self._blocking, [(hook, payload)])
                if wrong:
                    self._stop(wrong)
        try:
            self._waiting.put_nowait((event, payload))
        except queue.Full:
            self._lost += 1

    def finish(self, deadline: float) -> None:
        """Let the hooks be told of what waits, until ``deadline`` on the monotonic clock."""
        self._ending.set()
        with suppress(queue.Full):
            self._waiting.put(None, timeout=max(0.0, deadline - time.monotonic()))
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._over.set()
        left = self._lost + (self._caller.waiting if self._thread.is_alive() else 0)
        with suppress(queue.Empty):
            while True:
                left += self._waiting.get_nowait() is not None
        if left:
            self._warn(f"{left} event{'s' * (left != 1)} could not be told: the hooks took too long")
        self._caller.leave()
        self._blocking.leave()

    def _of(self, event: str) -> Iterable[Registered]:
        return (
            hook for hook in self._hooks if hook.event in (event, "*") and id(hook.told) not in self._given_up
        )

    def _work(self) -> None:
        last = False
        while not (last or self._over.is_set()):
            waiting = [self._waiting.get()]
            self._ending.wait(TOGETHER)
            with suppress(queue.Empty):
                while waiting[-1] is not None:
                    waiting.append(self._waiting.get_nowait())
            last = waiting[-1] is None
            calls = [(hook, payload) for event, payload in filter(None, waiting) for hook in self._of(event)]
            self._called(self._caller, [call for call in calls if not (call[0].blocking or call[0].quick)])

    def _called(self, caller: _Caller, calls: Sequence[Call]) -> str:
        """What went wrong last; a hook that takes too long is not called again."""
        said, left = "", list(calls)
        while left and not self._over.is_set():
            done, wrong = caller.call(left)
            for (hook, _), error in wrong:
                if isinstance(error, TimeoutError):
                    self._given_up.add(id(hook.told))  # for all events
                    said = f"hook {hook.name!r} took longer than {hook.timeout:g} s and is not called again in this run"
                else:
                    said = _cut(f"hook {hook.name!r} failed: {type(error).__name__}: {error}")
                self._warn(said)
            left = [call for call in left[done:] if id(call[0].told) not in self._given_up]
        return said

    def _warn(self, said: str) -> None:
        self.warnings.setdefault(said)


class _Caller:
    """Calls functions on a thread of its own, which is left to any that does not return in time."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] | None = None
        self._job = _Job(())

    @property
    def waiting(self) -> int:
        """How many calls nobody has begun."""
        return max(0, len(self._job.calls) - self._job.now[0] - 1)

    def call(self, calls: Sequence[Call]) -> tuple[int, list[tuple[Call, BaseException]]]:
        """Call them one after the other, up to the first that does not return in time.

        Returns:
            How many were called, and what was raised by which; a TimeoutError for one that has not returned.
        """
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=_works, args=(self._jobs,), daemon=True, name="odibi-hook").start()
        self._job = job = _Job(calls)
        self._jobs.put(job)
        while True:
            at, since = job.now
            if job.done.wait(max(0.0, since + calls[at][0].timeout - time.monotonic())):
                return len(calls), job.raised
            if job.leave((at, since)):
                self.leave()
                return at + 1, [*job.raised, (calls[at], TimeoutError())]

    def leave(self) -> None:
        """Let the thread end as soon as it can."""
        self._job.leave()
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None


class _Job:
    """Calls to be made. ``now`` is which of them is being made and since when, ``raised`` what they raised."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls, self.now = calls, (0, time.monotonic())
        self.raised: list[tuple[Call, BaseException]] = []
        self.done = threading.Event()
        self._lock, self._left = threading.Lock(), False

    def leave(self, at: tuple[int, float] | None = None) -> bool:
        """Have no further call made; whether that is so. With ``at``, only while that one is being made."""
        with self._lock:
            self._left = self._left or (at in (None, self.now) and not self.done.is_set())
            return self._left

    def work(self) -> None:
        """Make the calls."""
        for at, (hook, payload) in enumerate(self.calls):
            with self._lock:
                if self._left:
                    return
                self.now = at, time.monotonic()
            try:
                hook.told(dict(payload))  # its own, to do with what it wants
            except BaseException as error:  # noqa: BLE001 - the code of users, of which a run must not fail
                self.raised.append(((hook, payload), error))
        self.done.set()


def _works(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job.work()


def _cut(text: str) -> str:
    """The text on one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
