"""Files as sources: which there are, what version of each, what columns they hold.

A file is local or anything fsspec reaches by URL. CSV files are read with types that are known
beforehand (declared, or sniffed when the files were looked at), and each file's header is checked
by name, so that a file that changed is an error that names it, never other values.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.engines.duckdb import scan
from odibi.errors import Permanent, SourceError, nearest
from odibi.relational.schema import Column, Schema

__all__ = ["SourceFile", "describe", "explain", "find", "format_of", "header_of", "join", "locations"]

HASHED_UP_TO = 64 * 1024 * 1024
"""Larger local files are told apart by size, modification and change time instead of content."""

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".xlsx": "excel",
    ".xls": "excel",
    ".ods": "excel",
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when looked at; ``version`` changes when its content does."""

    path: str
    size: int
    version: str


def is_remote(url: str) -> bool:
    """Whether the URL names a file system other than the local one."""
    return "://" in url and not url.startswith("file://")


def join(base: str, path: str) -> str:
    """A path below a connection's URL; an absolute path or a URL stands for itself."""
    if "://" in path or Path(path).is_absolute():
        return path.removeprefix("file://")
    base = base.removeprefix("file://").rstrip("/")
    return f"{base}/{path}" if base else path


def format_of(path: str) -> str | None:
    """The format a path's ending tells, compression endings left aside; None if it tells none."""
    name = path.lower()
    for ending in (".gz", ".zst", ".bz2"):
        name = name.removesuffix(ending)
    if Path(path).is_dir() and (Path(path) / "_delta_log").is_dir():
        return "delta"
    return SUFFIXES.get(Path(name).suffix)


def find(url: str) -> tuple[SourceFile, ...]:
    """The files at a path, a glob or a folder, sorted by path; empty if there are none."""
    return _find_remote(url) if is_remote(url) else _find_local(url)


def _find_local(url: str) -> tuple[SourceFile, ...]:
    if Path(url).is_dir():
        paths = [str(path) for path in Path(url).rglob("*") if path.is_file() and not _hidden(path, Path(url))]
    elif glob.has_magic(url) and not Path(url).exists():
        paths = [path for path in glob.glob(url, recursive=True) if Path(path).is_file()]
    else:
        paths = [url] if Path(url).is_file() else []
    return tuple(_local(path) for path in sorted(paths))


def _hidden(path: Path, base: Path) -> bool:
    return any(part.startswith((".", "_")) and "=" not in part for part in path.relative_to(base).parts)


def _local(path: str) -> SourceFile:
    stat = Path(path).stat()
    if stat.st_size <= HASHED_UP_TO:
        with Path(path).open("rb") as stream:
            return SourceFile(path, stat.st_size, _digest(stream))
    return SourceFile(path, stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}")


def _find_remote(url: str) -> tuple[SourceFile, ...]:
    from fsspec.core import url_to_fs

    system, path = _filesystem(url_to_fs, url)
    scheme = url.split("://", 1)[0]
    if glob.has_magic(path):
        paths = system.glob(path)
    elif system.isdir(path):
        paths = system.find(path)
    else:
        paths = [path] if system.exists(path) else []
    found = []
    for name in sorted(paths):
        info = system.info(name)
        if info.get("type") == "directory":
            continue
        size = int(info.get("size") or 0)
        tag = next((info[key] for key in ("ETag", "etag", "md5", "content_md5") if info.get(key)), None)
        if tag is None and size <= HASHED_UP_TO:
            with system.open(name, "rb") as stream:
                tag = _digest(stream)
        found.append(SourceFile(f"{scheme}://{name}", size, str(tag or system.ukey(name))))
    return tuple(found)


def _filesystem(url_to_fs: Any, url: str) -> Any:
    try:
        return url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise Permanent(f"cannot reach {url}: {error}") from error


def _digest(stream: BinaryIO) -> str:
    # sha256 has instructions of its own on today's processors and is faster there than blake2.
    return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


# --- what the files hold ---------------------------------------------------------------------

CSV_DEFAULTS: Mapping[str, Any] = {
    "header": True,
    "delim": ",",
    "quote": '"',
    "escape": '"',
    "strict_mode": True,
    "null_padding": False,
}


def describe(
    db: Database, files: Sequence[SourceFile], format: str, options: Mapping[str, Any], sheet: Any = None
) -> Schema:
    """The columns the files hold, types sniffed.

    Raises:
        SourceError: the files cannot be read as that format.
    """
    paths = tuple(file.path for file in files)
    if format == "excel":
        from odibi.datasets.excel import read_excel

        return read_excel(paths, sheet)[1]
    given = dict(options)
    if format == "csv":
        given = {**CSV_DEFAULTS, **given, "ignore_errors": True}
    if format in ("csv", "json", "ndjson"):
        given["union_by_name"] = True
    if format in ("json", "ndjson"):
        given["format"] = "newline_delimited" if format == "ndjson" else "auto"
    import duckdb

    db.reach(paths[0])
    try:
        rows = db.rows(f"DESCRIBE {scan(Location(format, paths, options=given))}")
    except duckdb.Error as error:
        raise explain(error, paths) from error
    return tuple(Column(str(row[0]), str(row[1])) for row in rows)


def locations(
    files: Sequence[SourceFile],
    format: str,
    options: Mapping[str, Any],
    expected: Schema,
    extra_columns: str = "error",
) -> tuple[Location, ...]:
    """Where to read the files from, with the types they must have.

    CSV files are grouped by their header, because their columns are told apart by position.

    Raises:
        SourceError: a CSV file lacks an expected column or has another one.
    """
    paths = tuple(file.path for file in files)
    if format == "csv":
        given = {**CSV_DEFAULTS, **options, "auto_detect": False}
        if not given["header"]:
            return (Location("csv", paths, expected, options=given),)
        groups: dict[tuple[str, ...], list[str]] = {}
        for path in paths:
            groups.setdefault(_checked_header(path, given, expected, extra_columns), []).append(path)
        types = {column.name: column.type for column in expected}
        return tuple(
            Location("csv", tuple(group), tuple(Column(n, types.get(n, "VARCHAR")) for n in header), options=given)
            for header, group in groups.items()
        )
    if format in ("json", "ndjson"):
        how = "newline_delimited" if format == "ndjson" else "auto"
        return (Location(format, paths, expected, options={**options, "format": how}),)
    return (Location(format, paths, expected, options=dict(options)),)


def header_of(path: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The column names a CSV file begins with.

    Raises:
        SourceError: the file is not text.
    """
    from fsspec.core import open as open_url

    encoding = options.get("encoding", "utf-8-sig")
    try:
        with open_url(path, "rt", encoding=encoding, newline="", compression="infer") as stream:
            lines = itertools.islice((line for line in stream if line.strip()), options.get("skip", 0), None)
            header = next(csv.reader(lines, delimiter=options["delim"], quotechar=options["quote"]), [])
    except UnicodeDecodeError as error:
        raise SourceError("the file is not UTF-8 text", where=f"{path}:1", hint="give read.encoding") from error
    return tuple(name.strip() for name in header)


def _checked_header(path: str, options: Mapping[str, Any], expected: Schema, extra_columns: str) -> tuple[str, ...]:
    found = header_of(path, options)
    names = {column.name for column in expected}
    for name in names - set(found):
        raise SourceError(
            f"column {name!r} is missing; the file has {', '.join(found[:12])}",
            where=f"{path}:1",
            hint=nearest(name, set(found) - names, "columns nobody asked for"),
        )
    extra = [name for name in found if name not in names]
    if extra and extra_columns == "error":
        raise SourceError(
            f"column {extra[0]!r} is new; expected {', '.join(sorted(names)[:12])}",
            where=f"{path}:1:{found.index(extra[0]) + 1}",
            hint="add it to read.schema, or say extra_columns: ignore",
        )
    if len(set(found)) < len(found):
        twin = next(name for name in found if found.count(name) > 1)
        raise SourceError(f"two columns are called {twin!r}", where=f"{path}:1")
    return found


# --- what went wrong ---------------------------------------------------------------------------


def explain(error: Exception, paths: Sequence[str] = ()) -> SourceError:
    """DuckDB's error about a file as one line: file, line, column, what was found."""
    text = str(error)
    line = re.search(r"CSV Error on Line: (\d+)", text) or re.search(r"in (?:record/value|line) (\d+)", text)
    file = re.search(r"^\s*file = (.+)$", text, re.MULTILINE) or re.search(r'(?:in )?file "([^"]+)"', text)
    where = (file.group(1) if file else (paths[0] if len(paths) == 1 else "")) + (f":{line.group(1)}" if line else "")
    converting = re.search(r'converting column "(.+?)"\. Could not convert string "(.*?)" to \'(.+?)\'', text, re.DOTALL)
    counted = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    cast = re.search(r'Failed to cast value(?: to \w+)?: (.*)', text)
    if converting:
        column, value, kind = converting.groups()
        return SourceError(
            f"column {column!r}: {value[:80]!r} is not {kind}", where=where,
            hint=f"correct the file, or read the column as VARCHAR: schema: {{{column}: VARCHAR}}",
        )
    if counted:
        return SourceError(
            f"the row has {counted.group(2)} columns, expected {counted.group(1)}", where=where,
            hint="correct the row in the file",
        )
    if cast:
        return SourceError(f"a value does not fit: {cast.group(1).strip()[:120]}", where=where)
    first = next((part for part in text.splitlines() if part.strip()), text)
    return SourceError(re.sub(r"^[\w ]+ Error: ", "", first)[:300], where=where)
