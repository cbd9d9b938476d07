"""Ends a step where it crosses a moment of its write, as a kill of its process would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from odibi import boundaries
from odibi.errors import Permanent

__all__ = ["killed"]


class Killed(Permanent):
    """Stands for the end of the process."""


@contextmanager
def killed(moment: str) -> Iterator[None]:
    """Nothing of the step that crosses the moment happens after it."""

    def watch(name: str) -> None:
        if name == moment:
            raise Killed(name)

    boundaries._watch = watch
    try:
        yield
    finally:
        boundaries._watch = None
