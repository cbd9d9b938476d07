"""JSON bodies of servers: where the rows stand in them, and what they say of the next page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from odibi.datasets.fetching import BODY, Pagination
from odibi.errors import SourceError, nearest

__all__ = ["Asked", "following", "parsed", "rows_in", "slice_of"]

Asked = tuple[str, dict[str, str]]
"""A URL and the parameters that are added to it."""


def parsed(body: bytes, shown: str) -> Any:
    """The body as Python values.

    Raises:
        SourceError: it is no JSON.
    """
    try:
        return json.loads(body)
    except ValueError as error:
        begin = body[:200].decode("utf-8", errors="replace")
        raise SourceError(
            f"{shown} answered with something that is no JSON: {error}; it begins with {begin!r}"
        ) from error


def _at(body: Any, path: str | None) -> Any:
    """The value at a path of names; None where there is none."""
    for name in path.split(".") if path and path != BODY else ():
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def rows_in(body: Any, records: str | None, shown: str) -> int:
    """How many rows a body holds.

    Raises:
        SourceError: there is no list where the rows should be.
    """
    found = _at(body, records)
    if isinstance(found, list):
        return len(found)
    known = (
        [name for name, value in body.items() if isinstance(value, list)] if isinstance(body, dict) else ()
    )
    message = f"{shown} has no list of rows {f'at {records!r}' if records else 'as its body'}"
    hint = nearest(records or "", known, "lists in the body") if known else ""
    raise SourceError(message, hint=f"read.records: {hint}" if hint else "")


def following(
    paging: Pagination, asked: Asked, body: Any, rows: int | None, link: str | None, shown: str
) -> Asked | None:
    """What to ask for after a page; None where it was the last.

    Args:
        paging: how pages follow each other.
        asked: what gave this page.
        body: its JSON, None where it was not looked at.
        rows: how many rows it holds, None where that was not looked at.
        link: the ``next`` of its Link header.
        shown: the URL for errors.

    Raises:
        SourceError: the body does not say it in a way that has a meaning.
    """
    url, params = asked
    if paging.type == "link":
        found = _at(body, paging.field) if paging.field else link
        if not found:
            return None
        if not isinstance(found, str):
            raise SourceError(
                f"{shown}: {paging.field!r} should be the URL of the next page, found {found!r}"
            )
        return urljoin(url, found), {}
    if paging.type == "cursor":
        cursor = _at(body, paging.field)
        if cursor in (None, "", False):
            return None
        if not isinstance(cursor, str | int):
            raise SourceError(f"{shown}: {paging.field!r} should be a cursor, found {cursor!r}")
        return url, {**params, paging.name: str(cursor)}
    if not rows:
        return None
    step = 1 if paging.type == "page" else rows
    return url, {**params, paging.name: str(int(params[paging.name]) + step)}


_DECODER = json.JSONDecoder()


def slice_of(text: str, path: str, shown: str) -> str:
    """The text of the value at a path of names, exactly as it stands: no digit of a number is lost.

    Raises:
        SourceError: there is no such value.
    """
    position = _skip(text, 0)
    for name in path.split("."):
        found, names = None, []
        if text[position : position + 1] == "{":
            position = _skip(text, position + 1)
            while text[position] != "}":
                key, end = _DECODER.raw_decode(text, position)
                position = _skip(text, _skip(text, end) + 1)  # past the colon
                names.append(key)
                if key == name:
                    found = position
                _, end = _DECODER.raw_decode(text, position)
                position = _skip(text, end)
                if text[position] == ",":
                    position = _skip(text, position + 1)
        if found is None:
            raise SourceError(
                f"{shown} has nothing at records: {path!r}", hint=nearest(name, names, "there are")
            )
        position = found  # of a name that stands there twice the last one counts, as for all readers
    return text[position : _DECODER.raw_decode(text, position)[1]]


def _skip(text: str, position: int) -> int:
    """The position of the next character that is no white space."""
    while text[position : position + 1] in (" ", "\t", "\n", "\r") and position < len(text):
        position += 1
    return position
