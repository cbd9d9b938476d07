"""The programs of the project's own cluster, to be killed and stopped one by one. ``cluster.py serve`` starts them again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cluster import cluster
from tests.cluster.kube import kubectl, wait_until

__all__ = ["is_ready", "kill", "process", "restarted", "stopped"]


def process(name: str) -> int:
    """The process id of a program, 0 while it does not run."""
    wanted = str(cluster.BIN / name)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str((folder / "exe").readlink()) == wanted:
                return int(folder.name)
    return 0


def kill(words: str) -> None:
    """Kill the processes in whose command line these words are, in pods as well."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            said = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if words in said:
                os.kill(int(folder.name), signal.SIGKILL)


def restarted(name: str) -> None:
    """Kill a program, and wait until it runs again."""
    before = process(name)
    os.kill(before, signal.SIGKILL)
    wait_until(30, lambda: process(name) not in (0, before), f"{name} again")


@contextmanager
def stopped(name: str) -> Iterator[None]:
    """Let a program do nothing for a while."""
    pid = process(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if process(name) == pid:
            os.kill(pid, signal.SIGCONT)


def is_ready() -> bool:
    """Whether the control plane holds the node for alive."""
    path = "jsonpath={.items[0].status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "nodes", f"--output={path}", check=False).stdout == "True"
