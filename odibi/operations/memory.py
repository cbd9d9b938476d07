"""The memory of a process, as the system counts it."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["excess", "peak", "size_of"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}  # fmt: skip

OWN = 96 * 2**20
"""What a process has before it computes anything: Python, DuckDB, Arrow and pandas."""

SLACK = 1.25
"""DuckDB goes beyond its limit by some of what it reads and writes."""


def size_of(text: str) -> float:
    """``1.5MB`` as bytes."""
    number, unit = re.findall(r"([\d.]+)\s*([KMGT]i?)?B", text)[0]
    return float(number) * _UNITS[unit]


def peak(pid: int) -> int:
    """The most bytes that the process had at a time; where the system does not tell, that of this one."""
    found = _status(pid).get("VmHWM")
    if found is not None:
        return found
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def excess(pid: int, memory: int) -> str:
    """By what a process and those it started take more than ``memory`` bytes, in words; empty if nothing.

    Empty too where nobody knows. Files that are mapped into memory are not counted: the system takes them
    out again when it must.
    """
    taken = sum(_status(each).get("RssAnon", 0) for each in _family(pid)) - OWN
    if taken <= memory * SLACK:
        return ""
    return f"the step's process took {taken / 1e6:,.0f} MB, it may have {memory / 1e6:,.0f} MB"


def _family(pid: int) -> Iterator[int]:
    """The process and those it started, as far as Linux tells."""
    yield pid
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended just now
            for child in tasks.read_text("utf-8").split():
                yield from _family(int(child))


def _status(pid: int) -> dict[str, int]:
    """What Linux tells of a process in kB, in bytes; empty elsewhere, and of processes that are gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return {}
    return {
        name: int(kilobytes) * 1024
        for name, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    }
