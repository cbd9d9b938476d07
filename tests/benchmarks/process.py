"""Commands run as cold processes, one at a time, with their wall time and peak memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "Measure", "in_turn", "timed"]

ROOT = Path(__file__).resolve().parents[2]


class Measure(NamedTuple):
    """Wall time and peak resident memory of one process and those it started."""

    seconds: float
    megabytes: float


def timed(command: list[str], scratch: Path, env: dict[str, str] | None = None) -> Measure:
    """Run a command to its end. Stops everything with the end of its output if it fails."""
    log = scratch / "output.log"
    full = {**os.environ, "NO_COLOR": "1", "ODIBI_HOME": str(scratch / "home"), **(env or {})}
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=full, stdout=output, stderr=subprocess.STDOUT)
        with watched(process.pid) as family:
            # This process imports no engine, because Linux lets a child's peak begin at its parent's.
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text(errors="replace").splitlines()[-20:]
        sys.exit("\n".join([f"failed with {process.returncode}: {' '.join(command)}", *tail]))
    alone = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss // 1024
    return Measure(seconds, max(family, default=alone) / 1024)


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Now and then the peaks so far, in kB and added up, of a process and of those it has started.

    Empty where it starts none that lasts, such as Spark's JVM, and where there is no /proc.
    """
    peaks: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.25):
            if started := below(pid):
                peaks.append(sum(map(peak, [pid, *started])))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()


def below(pid: int) -> list[int]:
    """The living processes that a process has started, and those that they have."""
    children: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = file.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(file.parent.name))
    found = list(children.get(pid, ()))
    for child in found:
        found += children.get(child, ())
    return found


def peak(pid: int) -> int:
    """The peak resident memory of a process in kB, 0 once it has ended."""
    with suppress(OSError):
        status = Path("/proc", str(pid), "status").read_text()
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(found[1])
    return 0


def in_turn(repeat: int, scratch: Path, *runs: Callable[[Path], Measure]) -> list[Measure]:
    """The medians of each run, measured in turn ``repeat`` times, each time in a clean folder."""
    measures: list[list[Measure]] = [[] for _ in runs]
    for _ in range(repeat):
        for run, found in zip(runs, measures, strict=True):
            folder = scratch / run.__name__
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            found.append(run(folder))
    return [
        Measure(median(m.seconds for m in found), median(m.megabytes for m in found)) for found in measures
    ]
