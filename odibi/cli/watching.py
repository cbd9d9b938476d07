"""Looking again and again, until there is nothing more to see or Ctrl-C is pressed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["again"]


def again(look: Callable[[], bool], every: float) -> None:
    """Look, and as long as that says there will be more, look again every so many seconds.

    Ctrl-C ends it between two looks, so that nothing is left half-way; a second one at once.
    """
    asked = waiting = False

    def heard(*_: object) -> None:
        nonlocal asked
        if waiting or asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, heard)
    try:
        with suppress(KeyboardInterrupt):
            while look():
                waiting = True
                if asked:
                    break
                time.sleep(every)
                waiting = False
    finally:
        signal.signal(signal.SIGINT, before)
