"""Connections as a run opens them: references resolved, the account told once, credentials sent nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from odibi.config.loaded import Loaded
from odibi.config.models import Connection
from odibi.config.secrets import references
from odibi.errors import Permanent
from odibi.observe.notes import Notes
from odibi.places import Url, beside, is_remote, options_of

__all__ = ["opened", "refuse_outside", "reopened"]

_PASSWORD = re.compile(r"(postgres(?:ql)?://[^:/@]*):(.*)@([^@]*)")
_AZURE = ("abfs", "abfss", "az")


def opened(notes: Notes, name: str, connection: Connection) -> Connection | None:
    """The connection with its references resolved; its url has the options. None and problems if it cannot be opened."""
    at: tuple[Any, ...] = ("connections", name)
    written, password = _apart(connection.url)
    url = notes.resolved((*at, "url"), written)
    before = len(notes.problems)
    options = {key: _given(notes, (*at, "options", key), value) for key, value in connection.options.items()}
    if password is not None:
        found = notes.resolved((*at, "url"), password if references(password) else unquote(password))
        notes.redactor.hide(found or "")
        options = {"password": found, **options}
    if url is None or len(notes.problems) > before:
        return None
    if options and not is_remote(url):
        message = f"connection {name!r} is a local folder, which has no options"
        notes.problem((*at, "options"), message, "remove them")
        return None
    account, given = _account(url), options.get("account_name")
    if account and given and account != given:
        message = f"connection {name!r}: its url names the account {account!r}, its options {given!r}"
        notes.problem((*at, "url"), message, "give the account of the url")
        return None
    return connection.model_copy(update={"url": Url(url, options) if options else url})


def reopened(loaded: Loaded, url: str) -> str:
    """A place that a record names, with the options of the connection it is of; a record has none."""
    notes = Notes(loaded)
    for name, connection in loaded.pipeline.connections.items() if is_remote(url) else ():
        found = opened(notes, name, connection)
        if found is not None and url.startswith(f"{found.url.rstrip('/')}/"):
            return beside(url, found.url)
    return url


def _apart(url: str) -> tuple[str, str | None]:
    """A database's URL without its password, and that as it was written: the URL is kept and shown.

    They are told apart before references are resolved, for a password may have any character.
    """
    found = _PASSWORD.fullmatch(url)
    return (f"{found[1]}@{found[3]}", found[2]) if found else (url, None)


def _given(notes: Notes, at: tuple[Any, ...], value: Any) -> Any:
    """An option's value with the references in its texts resolved."""
    if isinstance(value, str):
        return notes.resolved(at, value)
    if isinstance(value, Mapping):
        return {key: _given(notes, (*at, key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_given(notes, (*at, index), item) for index, item in enumerate(value)]
    return value


def _account(url: str) -> str:
    """The storage account that one of Azure's URLs names, empty where it names none."""
    split = urlsplit(url)
    return (split.hostname or "").split(".")[0] if split.scheme in _AZURE and split.username else ""


def refuse_outside(path: str, name: str | None, url: str) -> None:
    """Raise Permanent where a path is a place of its own that the connection's credentials and account are not of."""
    alone = is_remote(path) or (bool(options_of(url)) and path.startswith("/"))
    if name is None or not alone:
        return
    theirs, ours = urlsplit(path), urlsplit(url)
    other = _account(path) != _account(url) and theirs.scheme in _AZURE and ours.scheme in _AZURE
    if other or (options_of(url) and (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc)):
        raise Permanent(
            f"{path!r} is not a place of connection {name!r}, which is {url!r}",
            hint="give the path below its url, or a connection of that place",
        )
