"""Do the secrets of a pipeline have values, and do its connections answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from odibi.config.secrets import places
from odibi.datasets import bigquery
from odibi.doctor.model import Finding, Level
from odibi.errors import OdibiError
from odibi.observe.connections import opened
from odibi.observe.notes import Notes
from odibi.places import is_remote, options_of, reaching, system

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.config.models import Connection

__all__ = ["GROUP", "asks_others", "reached", "written_to"]

GROUP = "Places"
PATIENCE = 5.0
"""Seconds that a place has to answer."""

_PORTS = {"postgresql": 5432, "postgres": 5432, "http": 80, "https": 443, "sftp": 22, "ssh": 22}
_HERE = ("", "file", "sqlite", "memory")
"""Schemes of places that are on this machine."""


def written_to(loaded: Loaded) -> list[Path]:
    """The local folders that steps write to, as far as no reference is in their names."""
    named = _targets(loaded)
    urls = [each.url for name, each in loaded.pipeline.connections.items() if name in named]
    return [Path(url.removeprefix("file://")) for url in urls if not is_remote(url) and "${" not in url]


def asks_others(loaded: Loaded) -> bool:
    """Whether a look at what the pipeline names asks another machine."""
    urls = [connection.url for connection in loaded.pipeline.connections.values()]
    urls += [step.value for step in loaded.pipeline.steps if step.ingests]
    return _vaults(loaded) or any(_scheme(url) not in _HERE or "${" in url for url in urls)


def _vaults(loaded: Loaded) -> bool:
    return any(one.provider not in ("env", "file") for one in loaded.pipeline.secrets)


def reached(loaded: Loaded, *, offline: bool) -> Iterator[Finding]:
    """Whether all references have values, and each connection answers; ``offline`` asks no other machine."""
    if offline and _vaults(loaded):
        return  # what is opened may need a secret of theirs
    notes = Notes(loaded)
    found = {
        name: opened(notes, name, connection) for name, connection in loaded.pipeline.connections.items()
    }
    for at, text in places(loaded.pipeline):
        if at[0] != "connections":
            notes.resolved(at, text)
    for problem in notes.problems:
        where = f"{problem.file}:{problem.line}"
        yield Finding("secrets", GROUP, "Do references have values?", Level.FAIL, problem.message, where, problem.hint)  # fmt: skip
    if not notes.problems:
        yield Finding("secrets", GROUP, "Do references have values?", Level.PASS, "all have")
    for name, connection in found.items():
        if connection is not None and not (offline and _scheme(connection.url) not in _HERE):
            yield _answers(loaded, name, connection, notes.redactor.mask)


def _answers(loaded: Loaded, name: str, connection: Connection, mask: Callable[[str], str]) -> Finding:
    question = f"Can connection {name} be reached?"
    file, line, _ = loaded.where(("connections", name, "url"))
    said = _objection(connection.url, name in _targets(loaded))
    if not said:
        return Finding("connection", GROUP, question, Level.PASS, mask(str(connection.url)))
    fix = "see its url, the network, and who this process is there; --offline leaves this out"
    return Finding("connection", GROUP, question, Level.FAIL, mask(said), f"{file}:{line}", fix)


def _targets(loaded: Loaded) -> set[str | None]:
    return {step.write.to for step in loaded.pipeline.steps if step.write is not None}


def _objection(url: str, written: bool) -> str:
    """Why a place cannot be reached; empty if it can."""
    scheme = _scheme(url)
    if scheme in ("", "file"):
        folder = Path(url.removeprefix("file://"))
        return "" if not url or written or folder.exists() else f"there is no folder {url}"
    if scheme == "sqlite":
        return "" if written or Path(url.partition("///")[2]).exists() else f"there is no file {url}"
    given = options_of(url)
    if scheme == "bigquery":
        return _refused(given.get("endpoint_url", bigquery.ENDPOINT))
    if scheme == "opensearch":
        return _refused(url.replace("opensearch", "http" if given.get("tls") is False else "https", 1))
    if scheme in _PORTS:
        return _refused(url)
    return _within(PATIENCE, lambda: _listed(url))


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else ""


def _refused(url: str) -> str:
    split = urlsplit(url)
    try:
        place = (split.hostname or "localhost", split.port or _PORTS[split.scheme])
    except ValueError as error:
        return f"{url}: {error}"
    try:
        socket.create_connection(place, timeout=PATIENCE).close()
    except OSError as error:
        return f"{place[0]}:{place[1]} does not answer: {error.strerror or error}"
    return ""


def _listed(url: str) -> str:
    """Why the store does not list the place; one that is not there yet is made by the first write."""
    try:
        files, path = system(url)
        with reaching(url), suppress(FileNotFoundError):
            files.info(path)
    except OdibiError as error:
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return ""


def _within(seconds: float, ask: Callable[[], str]) -> str:
    """What ``ask`` says, or that it said nothing in time: libraries of stores have timeouts of minutes."""
    said: dict[str, str] = {}
    thread = threading.Thread(target=lambda: said.update(answer=ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    return said.get("answer", f"no answer within {seconds:g} s")
