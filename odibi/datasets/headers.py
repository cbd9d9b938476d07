"""The first line of a CSV file: the names of its columns, and where it stands."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from odibi.errors import SourceError, nearest
from odibi.places import opened

__all__ = ["Header", "check_names", "checked_header", "header_of", "rows_of"]


@dataclass(frozen=True, slots=True)
class Header:
    """The column names of a CSV file and how many lines stand before them."""

    names: tuple[str, ...]
    skip: int


def header_of(path: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The column names a CSV file begins with.

    Raises:
        SourceError: the file is not text, or compressed and not whole.
    """
    return _header(path, options).names


def _header(path: str, options: Mapping[str, Any]) -> Header:
    skip = int(options.get("skip", 0))
    try:
        with _text(path, str(options.get("encoding", "utf-8"))) as stream:
            before = [stream.readline() for _ in range(skip)]
            line = stream.readline()
            while line and not line.strip():
                before.append(line)
                line = stream.readline()
            skip = len(before)
            names = tuple(name.strip() for name in _split(line, stream, options))
            after = stream.readline() if line.endswith("\r") else ""
            ends = {_end(each) for each in (*before, line, *([after] if after == "\r\n" else []))}
            if len(ends - {""}) > 1:  # DuckDB would find no rows
                message = f"its lines end in different ways: {' and '.join(map(repr, sorted(ends - {''})))}"
                raise SourceError(message, where=f"{path}:{skip + 1}", hint="save it with one kind")
            "".join(names).encode()  # raises where the header itself is no text; DuckDB names a later line
            return Header(names, skip)
    except UnicodeError as error:
        hint = "give read.encoding: latin-1 or utf-16, or save it as UTF-8"
        raise SourceError(
            f"the file is not {options.get('encoding', 'UTF-8')} text", where=f"{path}:{skip + 1}", hint=hint
        ) from error
    except (EOFError, OSError, zlib.error) as error:
        if not path.lower().endswith((".gz", ".zst")):
            raise
        message = f"the compressed file cannot be read: {error}"
        raise SourceError(message, where=path, hint="get it again") from error


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :] if line.strip() else line.lstrip(" \t")


def rows_of(path: str, options: Mapping[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file as text, each with the line it ends on; the header is one of them.

    Raises:
        TypeError: its delimiter is longer than the csv module knows.
    """
    with _text(path, str(options.get("encoding") or "utf-8")) as stream:
        before = [stream.readline() for _ in range(int(options.get("skip") or 0))]
        quote, escape = options.get("quote"), options.get("escape")
        reader = csv.reader(
            stream,
            delimiter=options.get("delim") or ",",
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            doublequote=escape == quote,
            escapechar=escape if escape and escape != quote else None,
        )
        for row in reader:
            yield len(before) + reader.line_num, row


def _split(line: str, rest: IO[str], options: Mapping[str, Any]) -> list[str]:
    delimiter, quote, escape = options["delim"], options["quote"], options["escape"]
    if len(delimiter) > 1:  # DuckDB reads such files, the csv module does not
        return (
            [name.strip().strip(quote or None) for name in line.rstrip("\r\n").split(delimiter)]
            if line
            else []
        )

    def lines() -> Iterator[str]:
        yield line
        yield from rest

    reader = csv.reader(
        lines(),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        doublequote=escape == quote,
        escapechar=escape if escape and escape != quote else None,
    )
    return next(reader, []) if line else []


@contextmanager
def _text(path: str, encoding: str) -> Iterator[IO[str]]:
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with opened(path, compression="gzip" if path.lower().endswith(".gz") else None) as raw:
        if path.lower().endswith(".zst"):
            import pyarrow as pa

            raw = io.BufferedReader(pa.CompressedInputStream(raw, "zstd"))  # noqa: PLW2901
        yield io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="")


def checked_header(path: str, options: Mapping[str, Any]) -> Header:
    """The header of a file that has a proper one.

    Raises:
        SourceError: an empty file, a column without a name, two with the same one.
    """
    header = _header(path, options)
    where = f"{path}:{header.skip + 1}"
    if not header.names:
        raise SourceError("the file is empty: it has no header", where=f"{path}:1")
    seen: set[str] = set()
    for place, name in enumerate(header.names, 1):
        if not name:
            raise SourceError(f"column {place} has no name", where=f"{where}:{place}")
        if name.lower() in seen:
            raise SourceError(f"two columns are called {name!r}", where=f"{where}:{place}")
        seen.add(name.lower())
    return header


def _short(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:12])


def check_names(
    found: Sequence[str],
    expected: Sequence[str],
    needed: Collection[str],
    extra_columns: str,
    path: str,
    line: int = 0,
) -> None:
    """See that the columns ``found`` in a file are the expected ones.

    Raises:
        SourceError: a needed column is missing, or there is another one and ``extra_columns`` is ``error``.
    """
    where = f"{path}:{line}" if line else path
    for name in expected:
        if name in needed and name not in found:
            raise SourceError(
                f"column {name!r} is missing; the file has {_short(found)}",
                where=where,
                hint=nearest(name, set(found) - set(expected), "columns nobody asked for"),
            )
    for place, name in enumerate(found, 1):
        if name not in expected and extra_columns == "error":
            raise SourceError(
                f"column {name[:80]!r} is new; expected {_short(expected)}",
                where=f"{where}:{place}" if line else where,
                hint="add it to read.schema, or say extra_columns: ignore",
            )
