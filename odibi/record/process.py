"""Which process writes a run, and whether that process still lives.

A run that was killed cannot say so. Its record names the host, the process and when that process
started, and whoever reads it looks for the process.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["ABANDONED", "can_tell", "is_gone", "this_process"]

ABANDONED = "the process ended without finishing the run"
"""The error of a run that was killed."""


def this_process() -> dict[str, str | int]:
    """``host``, ``pid`` and ``process_start`` of the process that calls."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "process_start": _started(pid)}


def can_tell(host: str) -> bool:
    """Whether this machine can tell if a process of that host lives."""
    # On Windows os.kill(pid, 0) is not a question: it sends Ctrl-C.
    return os.name == "posix" and host == socket.gethostname()


def is_gone(host: str, pid: int, process_start: int) -> bool:
    """Whether the process has certainly ended; False where this machine cannot tell."""
    if not can_tell(host):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives and belongs to somebody else
    return process_start != 0 and _started(pid) not in (0, process_start)


def _started(pid: int) -> int:
    """When the process started, in clock ticks since boot; -1 if it is dead but not yet buried, 0 if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0  # no Linux, or the process of another user
    # The name of the program stands in parentheses and may itself hold blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    return -1 if fields[0] in "ZX" else int(fields[19])
