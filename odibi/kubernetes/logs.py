"""What the containers of pods print: told as they do, and the last of it kept for the records of what fails."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from odibi.errors import OdibiError
from odibi.kubernetes.client import Api
from odibi.kubernetes.follow import CONTAINER, is_executor
from odibi.kubernetes.spark import EXECUTOR

__all__ = ["Logs", "say"]

LINES = 50
"""Lines that are kept of a container, and of a pod with its executors, as of a process here."""

EXECUTORS = 10
"""Executors that are listened to at a time: each takes a connection."""

REST = 5.0
"""Seconds for the last lines of pods that have ended."""

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(\S*) ")

_CHATTER = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (INFO|DEBUG|TRACE) ")
"""How lines of Spark begin that nobody needs: an executor says dozens of them a second."""

Key = tuple[str, str]


class Logs:
    """The logs of the pods of a run, by pod and container.

    Args:
        api: of the cluster.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._over = threading.Event()
        self._readers: dict[Key, threading.Thread] = {}
        self._lines: dict[Key, list[tuple[str, str]]] = {}
        self._marks: dict[Key, str] = {}

    def close(self) -> None:
        """Whatever cannot be read from now on, nobody waits for."""
        self._over.set()

    def follow(self, pod: Any, step: str) -> None:
        """Print what the containers of a pod print that have begun, as they do: ``[step executor-1] line``."""
        for container in _begun(pod):
            key = (str(pod.metadata.name), container)
            if key not in self._readers and not (is_executor(pod) and self._busy() >= EXECUTORS):
                self._marks[key] = _mark(pod, container)
                self._start(key, step, follow=True)

    def finish(self, pods: Sequence[Any], step: str, *, again: bool = False) -> None:
        """Wait for what pods that have ended have printed, in bounded time.

        ``again`` asks for the last lines of all their containers once more, for where a connection broke off.
        """
        until = time.monotonic() + REST
        for pod in pods:
            self.follow(pod, step)
        self._wait(pods, until)
        if again:
            for key in ((str(pod.metadata.name), container) for pod in pods for container in _begun(pod)):
                if key in self._readers and not self._readers[key].is_alive():
                    self._start(key, step, follow=False)
            self._wait(pods, until)

    def of(self, pods: Sequence[Any]) -> tuple[str, ...]:
        """The last lines of some pods together, in the order of time, each with its time."""
        names = {str(pod.metadata.name) for pod in pods}
        found = [
            (at, f"{self._marks[key]}{line}")
            for key, lines in list(self._lines.items())
            if key[0] in names
            for at, line in list(lines)
        ]
        last = sorted(found, key=lambda one: one[0])[-LINES:]
        return tuple(f"{_seconds(at)} {line}" if at else line for at, line in last)

    def _busy(self) -> int:
        return sum(reader.is_alive() for key, reader in list(self._readers.items()) if key[1] == EXECUTOR)

    def _wait(self, pods: Sequence[Any], until: float) -> None:
        names = {str(pod.metadata.name) for pod in pods}
        for key, reader in list(self._readers.items()):
            if key[0] in names:
                reader.join(max(0.0, until - time.monotonic()))

    def _start(self, key: Key, step: str, *, follow: bool) -> None:
        given = (key, step, follow)
        self._readers[key] = threading.Thread(
            target=self._read, args=given, daemon=True, name=f"odibi-log-{key[0]}"
        )
        self._readers[key].start()

    def _read(self, key: Key, step: str, follow: bool) -> None:
        """Print what a container prints, and keep the last of it."""
        lines, mark = self._lines.setdefault(key, []), self._marks.setdefault(key, "")
        known = lines[-1][0] if lines else ""
        whose = f"{step} {mark[1:-2]}".rstrip() if mark else step
        try:
            for line in self._api.log(*key, follow=follow, last=None if follow else LINES):
                stamp = _STAMP.match(line)
                at, said = (stamp[0].rstrip(), line[stamp.end() :]) if stamp else ("", line)
                if known and at <= known:  # told before the connection broke off
                    continue
                if key[1] == EXECUTOR and _CHATTER.match(said):
                    continue
                lines.append((at, said))
                del lines[:-LINES]
                say(f"[{whose}] {said}")
        except OdibiError as error:
            if not self._over.is_set():
                say(f"odibi: the log of pod {key[0]} could not be read: {error.message}")


def _seconds(stamp: str) -> str:
    """A time without parts of seconds."""
    return re.sub(r"\.\d+", "", stamp)


def _begun(pod: Any) -> list[str]:
    """The containers of a pod that have something to say."""
    status = pod.status
    found = (
        [*(status.initContainerStatuses or ()), *(status.containerStatuses or ())]
        if status is not None
        else []
    )
    return [
        str(one.name)
        for one in found
        if one.state is not None and (one.state.running is not None or one.state.terminated is not None)
    ]


def _mark(pod: Any, container: str) -> str:
    """What tells a container's lines from those of the Job's own: ``[executor-1] ``; empty for that."""
    number = (pod.metadata.labels or {}).get("spark-exec-id", "")
    words = [f"executor-{number}"] if is_executor(pod) else []
    words += [container] if container not in (CONTAINER, EXECUTOR) else []
    return f"[{' '.join(words)}] " if words else ""


def say(line: str) -> None:
    """Print a line for people."""
    with suppress(OSError, ValueError):  # whoever listens, the run goes on
        sys.stderr.write(f"{line}\n")
