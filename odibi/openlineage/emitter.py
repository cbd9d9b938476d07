"""Delivery of events: on a thread of its own, so that a server that is slow or gone costs the run nothing.

What could not be delivered is told at the end, and is no failure of the run.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from uuid import uuid4

from odibi.config.lineage import OpenLineage
from odibi.config.secrets import Secrets, resolve
from odibi.datasets.http import sending
from odibi.errors import MissingExtra, OdibiError, Permanent, Transient
from odibi.openlineage.events import run_event, step_event
from odibi.record.model import ColumnRecord, RunRecord, RunStatus, StepRecord, StepStatus

__all__ = ["Emitter"]

ENOUGH = 3
"""Failures in a row after which a place is not tried any more."""

_WAITS = (0.2, 0.4)
"""Seconds before an event is sent again."""

_JSON = "application/json"

Deliver = Callable[[str], None]
"""Brings an event, as JSON, to a place."""


class Emitter:
    """Tells one run to the places a config names.

    Args:
        config: where, with its references.
        secrets: what these references give.
        warn: is told at the end what could not be delivered.

    Raises:
        MissingExtra: what speaks HTTP is not installed, and there is a server to be told.
        Permanent: a reference has no value.
    """

    def __init__(
        self,
        config: OpenLineage,
        secrets: Secrets,
        warn: Callable[[str], None],
    ) -> None:
        if config.url is not None and find_spec("httpx2") is None:
            raise MissingExtra("httpx2", "http")

        def value(text: str | None) -> str | None:
            return None if text is None else resolve(text, secrets.environ, secrets=secrets)

        self._url, self._file, self._key = value(config.url), value(config.file), value(config.api_key)
        if self._url is not None and not re.match(r"https?://[^/\s]", self._url):
            raise Permanent(f"{self._url!r} is no URL of a server", hint="url: http://localhost:5000")
        self._folder = Path.cwd()  # the current one, before anybody changes it
        self._headers = {name: value(text) or "" for name, text in config.headers.items()}
        self._config, self._warn = config, warn
        self._told: Callable[[StepRecord], StepRecord] = lambda step: step
        self._waiting: queue.SimpleQueue[RunRecord | StepRecord | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="odibi-openlineage", daemon=True)
        self._failed: dict[str, tuple[int, str]] = {}
        self._in_a_row: dict[str, int] = {}
        self._run: RunRecord | None = None
        self._ended = False
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._run is not None and not self._ended:
            said = f"{type(error).__name__}: {error}" if error is not None else "the run was not ended"
            self.end(
                self._run.model_copy(
                    update={"status": RunStatus.FAILED, "ended_at": datetime.now(UTC), "error": said}
                )
            )
        self._over.set()
        self._waiting.put(None)
        self._thread.join(self._config.timeout)
        for place, (count, why) in self._failed.items():
            self._warn(f"{count} OpenLineage event{'s' * (count != 1)} did not reach {place}: {why}")
        if self._thread.is_alive():
            self._warn(f"OpenLineage events were still on their way after {self._config.timeout:g} s")

    def begin(self, record: RunRecord, told: Callable[[StepRecord], StepRecord]) -> None:
        """Tell the start of the run; ``told`` gives a step's record with what it reads and makes."""
        self._run, self._told = record, told
        self._waiting.put(record)

    def end(self, record: RunRecord) -> None:
        """Tell how the run ended."""
        self._ended = True
        self._waiting.put(record)

    def step(self, record: StepRecord) -> None:
        """Tell a step that begins or has ended; all else is no event."""
        if record.status is StepStatus.RUNNING or record.status.ended:
            self._waiting.put(record)

    def _deliver(self) -> None:
        try:
            self._tell()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on, and is told of it at its end
            for place in filter(None, (self._file, self._url)):
                self._lost(place, error)

    def _tell(self) -> None:
        with ExitStack() as open_until_the_end:
            self._tell_all(self._places(open_until_the_end))

    def _tell_all(self, places: Mapping[str, Deliver]) -> None:
        run: RunRecord | None = None
        columns: dict[str, tuple[ColumnRecord, ...]] = {}
        started: set[str] = set()
        while (record := self._waiting.get()) is not None:
            if self._waiting.empty():
                self._over.wait(0.2)
            if isinstance(record, RunRecord):
                run = run or record
                self._send(
                    run_event(record, self._config.namespace), places, last=record.ended_at is not None
                )
                continue
            if run is None or (record.status is StepStatus.RUNNING and record.name in started):
                continue
            if record.status.ended and record.name not in started and record.status is not StepStatus.REUSED:
                continue  # nothing was done
            told = self._told(record)
            columns |= {made.name: made.columns or told.columns for made in reversed(told.makes)}
            if record.name not in started and record.status.ended:
                self._send(step_event(told, run, self._config.namespace, columns, starts=True), places)
            started.add(record.name)
            self._send(step_event(told, run, self._config.namespace, columns), places)

    def _places(self, stack: ExitStack) -> Mapping[str, Deliver]:
        found: dict[str, Deliver] = {}
        if self._file is not None:
            found[self._file] = _to_file(self._folder / self._file, stack)
        if self._url is not None:
            url = f"{self._url.rstrip('/')}/{self._config.endpoint.lstrip('/')}"
            key = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
            headers = {**key, **self._headers}
            send = stack.enter_context(sending(url, _JSON, headers, self._url, self._config.timeout))
            found[self._url] = _again(send)
        return found

    def _send(self, event: Mapping[str, Any], places: Mapping[str, Deliver], *, last: bool = False) -> None:
        """Send an event; the last one is tried wherever, so that nobody takes the run for one that goes on."""
        line = json.dumps(event, ensure_ascii=False)
        for place, deliver in places.items():
            if self._in_a_row.get(place, 0) >= ENOUGH and not last:
                self._lost(place)
                continue
            try:
                deliver(line)
                self._in_a_row[place] = 0
            except (OSError, OdibiError) as error:
                self._in_a_row[place] = self._in_a_row.get(place, 0) + 1
                self._lost(place, error)

    def _lost(self, place: str, error: Exception | None = None) -> None:
        count, why = self._failed.get(place, (0, ""))
        if error is not None:
            why = (str(error).splitlines() or [type(error).__name__])[0][:300]
        self._failed[place] = count + 1, why


def _again(send: Callable[[bytes, str], None]) -> Deliver:
    """Sends an event, again where that may help; it is the same event by its key."""

    def deliver(line: str) -> None:
        body, key = line.encode(), str(uuid4())
        for wait in _WAITS:
            try:
                return send(body, key)
            except Transient:
                time.sleep(wait)
        return send(body, key)

    return deliver


def _to_file(path: Path, stack: ExitStack) -> Deliver:
    """Append events to a file, a line each."""
    file: IO[str] | None = None

    def deliver(line: str) -> None:
        nonlocal file
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(
                path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")
            )
        file.write(line + "\n")
        file.flush()

    return deliver
