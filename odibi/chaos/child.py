"""A run in a process of its own, which may be killed. Everything about it is real: process, files, signal."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from odibi.boundaries import arm
from odibi.chaos.place import Asked, home_in, moved
from odibi.errors import OdibiError
from odibi.orchestrator import run

__all__ = ["LOST", "PATIENCE", "Ended", "Job", "processes", "run_in_child"]

PATIENCE = 600.0
"""Seconds after which a child that does not end is taken for stuck."""

BETWEEN = 0.2
"""Seconds between looks for something to kill."""

LOST = 255
"""What multiprocessing says of a child where it could not read how that has ended; odibi never ends so."""

MARK = "ODIBI_CHAOS_TRIAL"
"""The variable by which processes that a child has started are known."""

QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Options of a JVM that lives for seconds: compiling once and lightly halves what a run of a trial costs."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run: what, for which date, in which folder, and how it is to be watched or killed (see ``arm``).

    ``fresh`` asks for a new interpreter instead of the copy of one that has imported everything.
    ``kill_after`` is a number of seconds after which the child is killed from outside.
    """

    asked: Asked
    date: str
    folder: Path
    arm: str = ""
    fresh: bool = False
    kill_after: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: ``code`` is None where it did not and had to be killed; ``hit`` if a part of it elsewhere was."""

    code: int | None
    said: str
    hit: bool = False

    @property
    def killed(self) -> bool:
        """Whether the kill that was asked for came in time. If it is not known it did: the record tells."""
        return self.hit or self.code in (-signal.SIGKILL, LOST)


def run_in_child(job: Job, strike: Callable[[], bool] | None = None) -> Ended:
    """Run the job in a child process and wait for it.

    With ``strike`` it is not the child that is killed: this is called until it says that it has killed something.
    """
    hit = False
    log = job.folder / "log"
    if job.fresh:
        child: BaseProcess = multiprocessing.get_context("spawn").Process(target=_child, args=(job, str(log)))
    else:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["odibi.chaos.warm"])
        child = context.Process(target=_child, args=(job, str(log)))
    child.start()
    try:
        child.join(PATIENCE if job.kill_after is None else job.kill_after)
        if strike is not None:
            while child.is_alive() and not (hit := strike()):
                child.join(BETWEEN)
            child.join(PATIENCE)
        stuck = child.is_alive() and (job.kill_after is None or strike is not None)
    finally:
        child.kill()
        child.join()
    said = log.read_text("utf-8", "replace") if log.exists() else ""
    return Ended(None if stuck else child.exitcode, said, hit)


def processes(folder: Path) -> list[str]:
    """What is still alive of the processes that children of this folder have started, such as a JVM."""
    mark = f"{MARK}={folder}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                found.append(f"{process.name} {command[:60]}".strip())
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def _child(job: Job, log: str) -> None:
    """Run the job in this process, whose output goes to the log."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.environ[MARK] = str(job.folder)
    os.environ.setdefault("JAVA_TOOL_OPTIONS", QUICK_JVM)
    if job.arm:
        arm(job.arm)
    try:
        result = run(moved(job.asked, job.date, job.folder), home=home_in(job.folder))
    except OdibiError as error:
        sys.exit(f"error: {error}")
    sys.exit(f"error: {result.error}" if not result.success else 0)
