"""The moments at which a run changes something outside of itself, and the way to die just there.

Code calls :func:`cross` immediately before and after each such change: a commit, a rename, a transaction,
the removal of a folder. That costs nothing until a process is armed, as ``odibi chaos`` does with those
it starts (by ``ODIBI_CHAOS``, which is not for people). An armed process writes down what it crosses, or
ends at one crossing with SIGKILL, which nothing in it can see coming.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable

__all__ = ["VARIABLE", "arm", "cross"]

VARIABLE = "ODIBI_CHAOS"
"""The variable that arms a process from its start; see :func:`arm` for its values."""

_watch: Callable[[str], None] | None = None


def cross(moment: str, place: str | os.PathLike[str] = "") -> None:
    """Tell that a moment has come, such as ``before commit`` of the table at ``place``."""
    if _watch is not None:
        _watch(f"{moment}: {'/'.join(os.fspath(place).split('/')[-3:])}" if place else moment)


def arm(how: str) -> None:
    """Watch the crossings of this process from now on.

    The moments of one name are told apart by a number: ``before commit: silver/orders #1``.

    Args:
        how: ``list FILE`` to append the name of each crossing to a file, or ``kill NAME`` to end the
            process at the crossing of that name, or ``kill N`` to end it at the N-th, whatever its name.
    """
    global _watch  # noqa: PLW0603 - a process is armed once, and reading one global is what it costs the others
    verb, _, what = how.partition(" ")
    if verb not in ("list", "kill"):
        raise ValueError(f"{VARIABLE}: {how!r} is neither 'list FILE' nor 'kill NAME'")
    lock, seen = threading.Lock(), Counter[str]()

    def watch(name: str) -> None:
        with lock:
            seen[name] += 1
            numbered = f"{name} #{seen[name]}"
            if verb == "list":
                with open(what, "a", encoding="utf-8") as file:  # noqa: PTH123 - at every crossing
                    file.write(f"{numbered}\n")
            elif what in (numbered, str(seen.total())):
                os.kill(os.getpid(), signal.SIGKILL)

    _watch = watch


if VARIABLE in os.environ:
    arm(os.environ[VARIABLE])
