"""Signals that a run answers: those that ask it to end, and the one that asks for a checkpoint."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from odibi.run.saving import Saver

__all__ = ["Signals", "signals"]


@dataclass
class Signals:
    """What signals reach: a queue that gets ``("stop", reason)``, and who saves a checkpoint when asked."""

    stop: queue.SimpleQueue[tuple[str, object]] = field(default_factory=queue.SimpleQueue)
    saver: Saver | None = None

    def asked(self, number: int, frame: FrameType | None) -> None:
        """Answer a signal."""
        del frame
        if number != signal.SIGUSR1:
            self.stop.put(("stop", signal.Signals(number).name))
        elif self.saver is not None:
            self.saver.request()


@contextmanager
def signals() -> Iterator[Signals]:
    """Listens to the signals that ask the process to end, or to save a checkpoint."""
    heard = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, heard.asked) for number in numbers}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
