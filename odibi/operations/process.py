"""What computes in a process of its own: functions that compute in Python, steps with a limit.

Rows go over as Arrow files that are mapped into memory, never pickled. A worker is a fresh interpreter
that imports nothing of the program that started it. It is used again for the next task unless it failed
in one, or was bounded; one that dies takes down its own task and no other.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from typing import IO, TYPE_CHECKING, Any

from odibi.errors import OdibiError, Permanent, ResourceExhausted, elsewhere
from odibi.operations.answer import Answer, Call, answer, opened, spool
from odibi.operations.memory import excess, peak
from odibi.operations.raised import Raised

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Aside", "Died", "InterruptException", "Workers", "serve"]

_START = "import sys; sys.path[:] = {path!r}; from odibi.operations.process import serve; serve({fd})"


LOG_LINES = 50
"""Of what a process printed, so many lines are kept for the record of its failure."""

LOOK = 0.05
"""Seconds between looks at the memory of a process."""

Task = Callable[[], Any]
"""What can be pickled, called elsewhere, and gives what can be pickled."""


class InterruptException(Exception):
    """The process was ended by :meth:`Workers.interrupt`; named as DuckDB's own."""


class Died(Permanent):
    """The process ended before it answered."""


@dataclass(frozen=True, slots=True)
class _Calling:
    """A call, the files that hold its tables, and the file for what it returns."""

    call: Call
    tables: Mapping[str, Path]
    rows: Path

    def __call__(self) -> list[str]:
        """Put the rows into their file; the warnings."""
        made = answer(self.call, {name: opened(file) for name, file in self.tables.items()}, self.rows.parent)
        spool(made.rows, self.rows)
        return made.warnings


@dataclass(frozen=True, slots=True)
class _Done:
    """What a task gave, and the most memory that its process had until then."""

    result: Any
    peak: int


# --- in the process of the run ---------------------------------------------------------------------------


class Workers:
    """Processes for tasks: as many as tasks at a time, started when needed; ``mask`` is for what they print."""

    def __init__(self, mask: Callable[[str], str] = str) -> None:
        self._mask = mask
        self._lock = threading.Lock()
        self._busy: dict[_Worker, int] = {}  # and the thread that waits for each
        self._idle: list[_Worker] = []
        self._stopped = False

    def answer(self, call: Call, tables: Mapping[str, pa.RecordBatchReader], folder: Path) -> Answer:
        """What a function makes of its tables, as :func:`odibi.operations.answer.answer` gives it.

        Args:
            call: the call.
            tables: its input.
            folder: where rows are put on their way; they are gone when they have been read.

        Raises:
            Died: the process ended instead of answering.
            InterruptException: it was ended by :meth:`interrupt`.
            Exception: whatever the function raised.
        """
        return Aside(self).answer(call, tables, folder)

    def run(self, task: Task, memory: int | None = None) -> _Done:
        """What the task gives, called in a process that may have so many bytes for it.

        Raises:
            ResourceExhausted: it took more, or the machine had no more.
            Died: the process ended instead of answering.
            InterruptException: it was ended by :meth:`interrupt`.
            Exception: whatever the task raised.
        """
        sent = pickle.dumps(task)
        with self._lock:
            if self._stopped:
                raise InterruptException
            worker = self._idle.pop() if self._idle and memory is None else _Worker(self._mask)
            self._busy[worker] = threading.get_ident()
        told: _Done | Raised | None = None
        try:
            told = worker.ask(sent, memory)
        finally:
            with self._lock:
                del self._busy[worker]
                again = isinstance(told, _Done) and memory is None and not self._stopped
                if again:
                    self._idle.append(worker)
            if not again:
                worker.end()
        if isinstance(told, _Done):
            return told
        if worker.interrupted:
            raise elsewhere(InterruptException(), log=tuple(worker.log))
        raise told.error(tuple(worker.log)) if told is not None else worker.obituary()

    def interrupt(self, thread: int | None = None) -> None:
        """End what a thread waits for at once; without one, all processes, and let no more start."""
        with self._lock:
            self._stopped = self._stopped or thread is None
            for worker, waits in self._busy.items():
                if thread in (None, waits):
                    worker.interrupted = True
                    worker.kill()

    def close(self) -> None:
        """End all processes; none may be computing."""
        self.interrupt()
        while self._idle:
            self._idle.pop().end()


@dataclass
class Aside:
    """Where one attempt computes: in processes that may have so many bytes; ``peak`` is the most one had."""

    workers: Workers
    memory: int | None = None
    peak: int | None = None

    def run(self, task: Task) -> Any:
        """What the task gives; see :meth:`Workers.run`."""
        done = self.workers.run(task, self.memory)
        self.peak = max(self.peak or 0, done.peak)
        return done.result

    def answer(self, call: Call, tables: Mapping[str, pa.RecordBatchReader], folder: Path) -> Answer:
        """What a function makes of its tables; see :meth:`Workers.answer`."""
        files = {name: folder / f"in-{number}.arrow" for number, name in enumerate(tables)}
        out = folder / "out.arrow"
        try:
            for name, rows in tables.items():
                spool(rows, files[name])
            warnings: list[str] = self.run(_Calling(call, files, out))
            return Answer(opened(out), warnings)
        except BaseException:
            rmtree(folder, ignore_errors=True)
            raise


class _Worker:
    """One process, the way to it, and the last lines it printed."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._connection, there = Pipe()
        start = _START.format(path=[str(place) for place in sys.path], fd=there.fileno())
        # A group of its own: Ctrl-C is for the run to answer, which then ends its workers.
        self.process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", start],
            pass_fds=(there.fileno(),),
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        there.close()
        self.interrupted = False
        self.exceeded = ""
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        ends = ((self.process.stdout, _where_prints_go()), (self.process.stderr, 2))
        self._readers = [threading.Thread(target=self._read, args=end, daemon=True) for end in ends]
        for reader in self._readers:
            reader.start()

    def _read(self, printed: IO[bytes], to: int | None) -> None:
        """Hand on what the process prints, line by line."""
        with printed:
            for line in printed:
                text = line.decode("utf-8", "surrogateescape")
                if (masked := self._mask(text)) != text:
                    line = masked.encode("utf-8", "surrogateescape")  # noqa: PLW2901
                self.log.append(line.decode("utf-8", "replace").rstrip("\n"))
                with suppress(OSError):  # whoever read it has gone
                    os.write(to, line) if to is not None else None

    def ask(self, sent: bytes, memory: int | None) -> _Done | Raised | None:
        """What the process says of a task; None if it died."""
        self.log.clear()
        try:
            self._connection.send_bytes(sent)
            while memory is not None and not self._connection.poll(LOOK):
                if found := excess(self.process.pid, memory):
                    self.exceeded = found
                    self.kill()
            told: _Done | Raised = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - our own
        except (EOFError, OSError):
            return None
        return told

    def kill(self) -> None:
        """End the process and those it has started."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):  # it may end just now
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Let go of the process, whatever it does, and read the last of what it printed."""
        self._connection.close()
        self.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(1.0)  # longer only where something it has started prints on

    def obituary(self) -> OdibiError:
        """How it died, once it did."""
        code = self.process.wait()
        error: OdibiError
        if self.exceeded:
            hint = "raise the memory of the step's resources, or let it take less at a time"
            error = ResourceExhausted("memory", self.exceeded, hint=hint)
        elif code >= 0:
            what = f"ended with exit code {code} instead of returning"
            error = Died(f"the process that ran the function {what}", hint="raise an error, do not exit")
        elif code == -signal.SIGKILL:
            hint = (
                "most often the machine had no memory left: "
                'take less at a time with @step(per="batch"), or lower distributed_max_workers'
            )
            said = "the process that ran the function was killed by SIGKILL"
            error = ResourceExhausted("memory", said, hint=hint)
        else:
            name = signal.Signals(-code).name
            hint = "a crash in a library it uses: run it with backend: threads to see where"
            error = Died(f"the process that ran the function was killed by {name}", hint=hint)
        return elsewhere(error, exit_code=code if code >= 0 else 128 - code, log=tuple(self.log))


def _where_prints_go() -> int | None:
    """The file that ``print`` writes to here, which may be redirected."""
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # none, or nothing that the system knows of
        return None


# --- in the worker ----------------------------------------------------------------------------------------


def serve(fd: int) -> None:
    """Answer jobs until the other side is gone, which ends this process at once, in the middle of one too."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that the last lines are known, however it ends
    connection = Connection(fd)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                jobs.put(connection.recv_bytes())
        if os.getpgrp() == os.getpid():  # what it has started ends with it
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        connection.send_bytes(pickle.dumps(_done(jobs.get())))


def _done(sent: bytes) -> _Done | Raised:
    """What becomes of a task: what it gives, or what was raised."""
    try:
        task: Task = pickle.loads(sent)  # noqa: S301 - from the process that started this one
        return _Done(task(), peak(os.getpid()))
    except BaseException as error:  # noqa: BLE001 - sys.exit() too: it is told where the run is
        return Raised.of(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
