"""Entries as lines: for people or for programs, to stderr, to a file, or to whoever listens to ``logging``.

Lines are written by the standard library's ``logging``. Where neither the config nor the environment
asks for a log, entries go to the logger ``odibi``, if the program that odibi is a part of has set one up.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from odibi.config.telling import Logging
from odibi.errors import Permanent, nearest
from odibi.logs.entries import Entry, of_run_end, of_run_start, of_step
from odibi.record.model import RunRecord, StepRecord

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["VARIABLE", "Log", "human", "json_line", "wanted"]

VARIABLE = "ODIBI_LOG_FORMAT"
"""The environment variable that asks for a log in a format, whatever the config says."""

_FORMATS = ("human", "json")
_UTF8, _ASCII = json.JSONEncoder(ensure_ascii=False), json.JSONEncoder()
_NEVER = logging.CRITICAL + 1

TOGETHER = 0.05
"""Seconds in which entries are gathered: a thread that wakes for each is in the way of those that work."""


def wanted(loaded: Loaded, format: str | None = None) -> Logging | None:
    """The log that is wanted: by ``format``, by the environment or by the config, in this order.

    Raises:
        Permanent: the environment names a format that there is not.
    """
    named = format or loaded.environ.get(VARIABLE)
    given = loaded.pipeline.logging
    if not named:
        return given
    if named not in _FORMATS:
        raise Permanent(f"{VARIABLE}: found {named!r}", hint=nearest(named, _FORMATS, "formats"))
    return (given or Logging()).model_copy(update={"format": named})


def human(entry: Entry) -> str:
    """``time - LEVEL - message``, and below it what the process printed last."""
    return _Human().format(_record(entry))


def json_line(entry: Entry, ascii: bool = False) -> str:
    """An object on one line; ``ascii`` for readers that know nothing else."""
    return (_ASCII if ascii else _UTF8).encode(entry.as_data())


class Log:
    """Writes the entries of a run as they come; a context manager, and a listener of steps.

    It writes on a thread of its own: who waits for a disk or a pipe must not be the one that starts steps.

    Args:
        to: where and how; None for the logger ``odibi``.

    Raises:
        Permanent: the file cannot be written.
    """

    def __init__(self, to: Logging | None) -> None:
        parent = logging.getLogger("odibi")
        # None that logging knows by name: runs that go on at the same time must not share its handlers.
        self._logger = logging.Logger("odibi.run")  # noqa: LOG001
        self._logger.parent = parent
        self._handler: logging.StreamHandler[IO[str]] | None = None
        self._run: RunRecord | None = None
        self._told: set[tuple[str, str, int | None]] = set()
        self._waiting: queue.SimpleQueue[tuple[StepRecord | RunRecord, datetime] | None] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="odibi-log", daemon=True)
        if to is None:
            self._on = parent.hasHandlers()
            return
        self._on = True
        self._logger.propagate = False
        self._logger.setLevel(to.level)
        self._handler = _File(_opened(to.file)) if to.file is not None else _Stderr()
        self._handler.setFormatter(_Json(self._handler) if to.format == "json" else _Human())
        self._logger.addHandler(self._handler)

    def __enter__(self) -> Self:
        if self._on:
            self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._finish()
        if self._handler is not None:
            self._handler.close()

    def begun(self, run: RunRecord) -> None:
        """The run has begun."""
        self._run = run
        self._write(of_run_start(run))

    def __call__(self, step: StepRecord) -> None:
        """A step has changed."""
        if self._on:
            self._waiting.put((step, datetime.now(UTC)))

    def ended(self, run: RunRecord) -> None:
        """The run has ended; when this returns, all of it is written."""
        self._waiting.put((run, datetime.now(UTC)))
        self._finish()

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._ending.set()
            self._thread.join()

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            record, at = waiting
            with suppress(Exception):  # of a handler that the program around us has set up
                self._write(of_run_end(record, at)) if isinstance(record, RunRecord) else self._tell(
                    record, at
                )
            if self._waiting.empty():
                self._ending.wait(TOGETHER)

    def _tell(self, step: StepRecord, at: datetime) -> None:
        for entry in of_step(self._run, step, at) if self._run is not None else ():
            key = (entry.step, entry.reason, entry.attempt)
            if key not in self._told:
                self._told.add(key)
                self._write(entry)

    def _write(self, entry: Entry) -> None:
        if self._on and self._logger.isEnabledFor(getattr(logging, entry.level)):
            self._logger.handle(_record(entry))


def _record(entry: Entry) -> logging.LogRecord:
    """The entry as ``logging`` knows it; its values are attributes of the record."""
    record = logging.LogRecord("odibi.run", getattr(logging, entry.level), "", 0, entry.message, (), None)
    record.created = entry.at.timestamp()
    record.msecs = entry.at.microsecond // 1000
    record.entry = entry
    return record


class _Human(logging.Formatter):
    """``2026-01-06 02:00:03,120 - INFO - daily: step orders completed in 26 ms``, in UTC."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s - %(levelname)s - %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        entry: Entry = record.entry  # type: ignore[attr-defined]
        printed = "".join(f"\n    | {_plain(line)}" for line in entry.log)
        record.msg = _plain(entry.message)
        return super().format(record) + printed


class _Json(logging.Formatter):
    def __init__(self, handler: logging.StreamHandler[IO[str]]) -> None:
        super().__init__()
        self._handler = handler

    def format(self, record: logging.LogRecord) -> str:
        encoding = getattr(self._handler.stream, "encoding", None) or "utf-8"
        return json_line(record.entry, not encoding.lower().startswith("utf"))  # type: ignore[attr-defined]


class _Quiet(logging.StreamHandler[IO[str]]):
    """Whose reader may go away: then it writes no more, and the run goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging gives it
        if isinstance(sys.exc_info()[1], OSError | ValueError):
            self.setLevel(_NEVER)
        else:
            super().handleError(record)


class _Stderr(_Quiet):
    """Writes to what stderr is at that moment: a live display stands in for it while it is drawn."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    @property
    def stream(self) -> IO[str]:
        return sys.stderr

    @stream.setter
    def stream(self, _: IO[str]) -> None:
        pass


class _File(_Quiet):
    def close(self) -> None:
        with suppress(OSError, ValueError):  # of a full disk, which was noticed when it was written
            self.stream.close()
        super().close()


def _opened(file: str) -> IO[str]:
    path = Path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is no character is written as an escape, which is one in JSON too.
        return path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise Permanent(
            f"the log cannot be written to {path}: {error.strerror}", hint="see file of logging"
        ) from error


def _plain(text: str) -> str:
    """The text on one line: no line break or control character of data makes a line of its own."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
