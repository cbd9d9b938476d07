"""User functions in processes of their own, for those that compute in Python.

Rows go over as Arrow files that are mapped into memory, never pickled. A worker is a fresh interpreter
that imports nothing of the program that started it. It is used again for the next call; one that dies
takes down its own call and no other.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.errors import OdibiError, Permanent
from odibi.operations.answer import Answer, Call, answer, opened, spool

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["InterruptException", "Workers", "serve"]

_START = "import sys; sys.path[:] = {path!r}; from odibi.operations.process import serve; serve({fd})"


class InterruptException(Exception):
    """The process was ended by :meth:`Workers.interrupt`; named as DuckDB's own."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A call, the files that hold its tables, and the file for what it returns."""

    call: Call
    tables: Mapping[str, Path]
    rows: Path


@dataclass(frozen=True, slots=True)
class _Raised:
    """An exception as it can be told to a process that knows none of the user's classes."""

    name: str
    module: str
    known: type[BaseException]
    text: str
    said: Mapping[str, str]
    traceback: str

    @staticmethod
    def of(error: BaseException) -> _Raised:
        """What is to be told of an exception."""
        kind = type(error)
        known = next(each for each in kind.__mro__ if _is_known(each))
        said = {
            name: str(value) for name, value in vars(error).items() if name in ("message", "where", "hint")
        }
        told = "".join(traceback.format_exception(error))
        return _Raised(kind.__name__, kind.__module__, known, str(error), said, told)

    def error(self) -> BaseException:
        """An exception of that name and kind, which tells where it was raised."""
        text = self.text
        fields: dict[str, Any] = {"__module__": self.module}
        if not issubclass(self.known, OdibiError):
            fields["__str__"] = lambda _: text
        kind: type[BaseException] = type(self.name, (self.known,), fields)
        error = kind.__new__(kind)
        vars(error).update(self.said)
        error.add_note(f"In the process that ran it:\n\n{self.traceback}")
        return error


def _is_known(kind: type) -> bool:
    """Whether any process has it, and can make one without arguments."""
    return kind.__module__.split(".")[0] in ("builtins", "odibi") and not issubclass(kind, BaseExceptionGroup)


# --- in the process of the run ---------------------------------------------------------------------------


class Workers:
    """Processes for calls of functions: as many as calls at a time, started when needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._stopped = False

    def answer(self, call: Call, tables: Mapping[str, pa.RecordBatchReader], folder: Path) -> Answer:
        """What a function makes of its tables, as :func:`odibi.operations.answer.answer` gives it.

        Args:
            call: the call.
            tables: its input.
            folder: where rows are put on their way; they are gone when they have been read.

        Raises:
            Permanent: the process died.
            InterruptException: it was ended by :meth:`interrupt`.
            Exception: whatever the function raised.
        """
        files = {name: folder / f"in-{number}.arrow" for number, name in enumerate(tables)}
        for name, rows in tables.items():
            spool(rows, files[name])
        out = folder / "out.arrow"
        job = pickle.dumps(_Job(call, files, out))
        with self._worker() as worker:
            told = worker.ask(job)
        if isinstance(told, _Raised):
            raise told.error()
        return Answer(opened(out), told)

    def interrupt(self) -> None:
        """End all processes at once, and let no more start."""
        with self._lock:
            self._stopped = True
            for worker in self._all:
                worker.kill()

    def close(self) -> None:
        """End all processes; none may be computing."""
        self.interrupt()
        while self._all:
            self._all.pop().end()

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        """A process for one call, which goes on living for the next unless it died in this one."""
        with self._lock:
            if self._stopped:
                raise InterruptException
            worker = self._idle.pop() if self._idle else _Worker()
            self._all.add(worker)
        try:
            yield worker
        except _Died as died:
            with self._lock:
                self._all.discard(worker)
            worker.end()
            if self._stopped:
                raise InterruptException from died
            raise worker.obituary() from died
        with self._lock:
            self._idle.append(worker)


class _Died(Exception):
    """The process is gone."""


class _Worker:
    """One process and the way to it."""

    def __init__(self) -> None:
        self._connection, there = Pipe()
        start = _START.format(path=[str(place) for place in sys.path], fd=there.fileno())
        # A group of its own: Ctrl-C is for the run to answer, which then ends its workers.
        self.process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", start],
            pass_fds=(there.fileno(),),
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=_where_prints_go(),
        )
        there.close()

    def ask(self, job: bytes) -> list[str] | _Raised:
        """What the process says of a job: the warnings, or what was raised. Raises _Died."""
        try:
            self._connection.send_bytes(job)
            said = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise _Died from error
        told: list[str] | _Raised = pickle.loads(said)  # noqa: S301 - from a process of our own
        return told

    def kill(self) -> None:
        """End the process and those it has started."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):  # it may end just now
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Let go of the process, whatever it does."""
        self._connection.close()
        self.kill()
        self.process.wait()

    def obituary(self) -> Permanent:
        """How it died, once it did."""
        code = self.process.wait()
        if code >= 0:
            what = f"ended with exit code {code} instead of returning"
            return Permanent(f"the process that ran the function {what}", hint="raise an error, do not exit")
        name = signal.Signals(-code).name
        hint = "a crash in a library it uses: run it with backend: threads to see where"
        if name == "SIGKILL":
            hint = (
                "most often the machine had no memory left: "
                'take less at a time with @step(per="batch"), or lower distributed_max_workers'
            )
        return Permanent(f"the process that ran the function was killed by {name}", hint=hint)


def _where_prints_go() -> int | None:
    """The file that ``print`` writes to here, which may be redirected."""
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # none, or nothing that the system knows of
        return None


# --- in the worker ----------------------------------------------------------------------------------------


def serve(fd: int) -> None:
    """Answer jobs until the other side is gone, which ends this process at once, in the middle of one too."""
    connection = Connection(fd)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                jobs.put(connection.recv_bytes())
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        connection.send_bytes(pickle.dumps(_done(jobs.get())))


def _done(sent: bytes) -> list[str] | _Raised:
    """What becomes of a job: its rows in their file and the warnings, or what was raised."""
    try:
        job: _Job = pickle.loads(sent)  # noqa: S301 - from the process that started this one
        made = answer(job.call, {name: opened(file) for name, file in job.tables.items()}, job.rows.parent)
        spool(made.rows, job.rows)
    except BaseException as error:  # noqa: BLE001 - sys.exit() too: it is told where the run is
        return _Raised.of(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return made.warnings
