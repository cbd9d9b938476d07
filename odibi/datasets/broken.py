"""DuckDB's errors about files in one sentence that names file, line and column."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from odibi.datasets.headers import rows_of
from odibi.engines.exact import MARK
from odibi.errors import SourceError
from odibi.places import opened

__all__ = ["explain", "said"]

SMALL = 64 * 1024 * 1024
"""Larger JSON files are not read again to find the field that is wrong."""


def said(error: Exception) -> str:
    """DuckDB's first line, or what it was told by the file system."""
    inner = re.search(r'"exception_message":("(?:[^"\\]|\\.)*")', str(error))
    return str(json.loads(inner.group(1))) if inner else str(error).splitlines()[0]


def explain(error: Exception, paths: Sequence[str] = ()) -> SourceError:
    """DuckDB's error about a file as one line: file, line, column, what was found."""
    text = str(error)
    if MARK in text:
        return _inexact(text.partition(MARK)[2])
    file = re.search(r"^\s*file = (.+)$", text, re.MULTILINE) or re.search(
        r"""(?:file|pattern) ["']([^"']+)["']|GZIP stream: (.+)$""", text, re.IGNORECASE | re.MULTILINE
    )
    path = next(filter(None, file.groups())) if file else (paths[0] if len(paths) == 1 else "")
    if "JSON" in text:
        return _json(text, path)
    line = re.search(r"CSV Error on Line: (\d+)", text)
    where = f"{path}:{line.group(1)}" if line else path
    converting = re.search(
        r"converting column \"(.+?)\"\. Could not convert string \"(.*?)\" to '(.+?)'", text, re.DOTALL
    )
    if converting:
        column, value, kind = converting.groups()
        return SourceError(
            f"column {column!r}: {value[:80]!r} is not {kind}",
            where=where,
            hint=f"correct the file, or read the column as VARCHAR: schema: {{{column}: VARCHAR}}",
        )
    counted = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if counted:
        found, expected = int(counted.group(2)), int(counted.group(1))
        return SourceError(
            f"the row has {found} column{'s' * (found != 1)}, expected {expected}",
            where=where,
            hint="correct the row in the file",
        )
    said = [part.strip() for part in text.splitlines() if part.strip()]
    if line and len(said) > 1:  # the sentence stands after the line that is quoted
        known = ("Original Line", "Possible", "*", "file =")
        said = [part for part in said[1:] if part.endswith(".") and not part.startswith(known)] or said
    sentence = re.sub(r"^[\w ]+ Error: ", "", said[0] if said else text)
    return SourceError(sentence.removesuffix(f": {path}")[:300], where=where)


def _inexact(said: str) -> SourceError:
    """The error that :mod:`odibi.engines.exact` ends a query with, and the line of the value in its file."""
    told, end = json.JSONDecoder().raw_decode(said)
    value, path = json.JSONDecoder().raw_decode(said[end:])[0]
    column, place = told["column"], ""
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError, csv.Error, SourceError):
        place = _row_of(path, told, value) if told["format"] == "csv" else _record_of(path, told, value)
    what = "column" if told["format"] == "csv" else "field"
    record = "" if place[:1].isdigit() else place
    return SourceError(
        f"{record}{what} {column!r}: {value[:80]!r} is not {told['kind']}",
        where=f"{path}:{place}" if place and not record else path,
        hint=f"correct the file, or read the {what} as VARCHAR: schema: {{{column}: VARCHAR}}",
    )


def _row_of(path: str, told: dict[str, Any], value: str) -> str:
    """The first line of a CSV file that has the value in the column."""
    for line, row in rows_of(path, told):
        if len(row) > told["index"] and row[told["index"]] == value:
            return str(line)
    return ""


def _record_of(path: str, told: dict[str, Any], value: str) -> str:
    """The line of NDJSON, or the record of a small JSON file, that has the value in the field."""

    def holds(record: Any) -> bool:
        found = record.get(told["column"]) if isinstance(record, dict) else None
        return found is not None and value in (str(found), json.dumps(found))

    if told["format"] == "ndjson":
        with opened(path, "rt", encoding="utf-8", compression="infer") as stream:
            lines = ((number, line) for number, line in enumerate(stream, 1) if line.strip())
            return next((str(number) for number, line in lines if holds(json.loads(line))), "")
    records = json.loads(_whole(path))
    return next((f"record {n}: " for n, each in enumerate(records, 1) if holds(each)), "")


def _json(text: str, path: str) -> SourceError:
    counted = re.search(r"in (record/value|line) (\d+)", text)
    unit, number = (counted.group(1), int(counted.group(2))) if counted else ("", 0)
    lines = unit == "line"
    if "Malformed" in text:
        place = _malformed(path, number if lines else 0)
        said = re.search(r"(?:value|line) \d+: (.*)", text)
        return SourceError(
            f"malformed JSON: {said.group(1).strip() if said else text.splitlines()[0]}"[:300],
            where=f"{path}:{place}" if place else path,
        )
    where = f"{path}:{number}" if lines else path
    record = "" if lines or not number else f"record {number}: "
    cast = re.search(r"Failed to cast value(?: to [\w ]+)?: (.*)", text)
    if cast:
        value = cast.group(1).strip()
        field = _field_of(path, number, value, lines=lines)
        return SourceError(
            f"{record}{f'field {field!r}: ' if field else ''}{value[:80]} does not fit the column's type",
            where=where,
            hint=f"correct the file, or read the field as VARCHAR: schema: {{{field or 'field'}: VARCHAR}}",
        )
    said = re.search(r"JSON transform error in file .*?(?:value|line) \d+: (.*)", text)
    return SourceError(
        f"{record}{said.group(1).strip() if said else text.splitlines()[0]}"[:300], where=where
    )


def _lines(path: str, start: int, stop: int) -> list[str]:
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace", compression="infer") as stream:
            return list(itertools.islice(stream, start, stop))
    except (OSError, ValueError):
        return []


def _whole(path: str) -> str:
    """The text of a small file, nothing of another."""
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace", compression="infer") as stream:
            text = str(stream.read(SMALL))
    except (OSError, ValueError):
        return ""
    return text if len(text) < SMALL else ""


def _malformed(path: str, line: int) -> str:
    """Where the JSON breaks: DuckDB's own line is sometimes the one after."""
    start = max(line - 2, 0)
    texts = dict(enumerate(_lines(path, start, line), start + 1)) if line else {1: _whole(path)}
    for place, text in texts.items():
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            if text.strip():
                return f"{place + error.lineno - 1}:{error.colno}"
        except RecursionError:
            return str(place)  # brackets in brackets
    return str(line or "")


def _field_of(path: str, number: int, value: str, *, lines: bool) -> str:
    """The path of the field that has the value in that line or record, empty if it is not found."""
    try:
        wanted = json.loads(value)
        record = (
            json.loads(_lines(path, number - 1, number)[0]) if lines else json.loads(_whole(path))[number - 1]
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return next(_paths(record, wanted), "")


def _paths(node: Any, wanted: Any) -> Iterator[str]:
    for name, value in node.items() if isinstance(node, dict) else ():
        if type(value) is type(wanted) and value == wanted:
            yield str(name)
        for inner in _paths(value, wanted):
            yield f"{name}.{inner}"
    for value in node if isinstance(node, list) else ():
        yield from _paths(value, wanted)
