"""Files as sources: which there are, what version of each, what columns they hold.

A file is local or anything fsspec reaches by URL. CSV files are read with types that are known
beforehand (declared, or sniffed when the files were looked at), and each file's header is checked
by name, so that a file that changed is an error that names it, never other values.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from odibi.datasets.broken import explain
from odibi.datasets.headers import Header, check_names, checked_header, header_of
from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.engines.duckdb import scan
from odibi.errors import SourceError
from odibi.places import beside, is_remote, opened, reaching, system
from odibi.relational.schema import Column, Schema
from odibi.unchanged.facts import files_at, hidden

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "SourceFile",
    "describe",
    "explain",
    "find",
    "format_of",
    "hashed",
    "header_of",
    "is_remote",
    "join",
    "locations",
    "newest",
]

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
    """A file as it was when looked at; ``version`` changes when its content does.

    ``changed`` is when a local file last changed, in nanoseconds.
    """

    path: str
    size: int
    version: str
    changed: int = 0


def of_day(path: str, day: date) -> bool:
    """Whether a file is in the folders of a day: ``day=2026-01-05``, ``2026-01-05``, or year, month and day."""
    folders = [part.partition("=")[2] or part for part in path.split("/")[:-1]]
    wanted = (str(day.year), f"{day.month:02}", f"{day.day:02}")
    triples = zip(folders, folders[1:], folders[2:], strict=False)
    padded = ((year, month.zfill(2), date_.zfill(2)) for year, month, date_ in triples)
    return day.isoformat() in folders or wanted in padded


def join(base: str, path: str) -> str:
    """A path below a connection's URL, opened as it is; an absolute path or a URL stands for itself."""
    if "://" in path or Path(path).is_absolute():
        return beside(path.removeprefix("file://"), base)
    folder = base.removeprefix("file://")
    return beside(f"{folder.rstrip('/')}/{path}" if folder else path, base)


def format_of(path: str) -> str | None:
    """The format a path's ending tells, compression endings left aside; None if it tells none."""
    if Path(path).is_dir() and (Path(path) / "_delta_log").is_dir():
        return "delta"
    name = path.lower()
    for ending in (".gz", ".zst"):
        name = name.removesuffix(ending)
    return SUFFIXES.get(Path(name).suffix)


def find(url: str, known: Mapping[str, SourceFile] = MappingProxyType({})) -> tuple[SourceFile, ...]:
    """The files at a path, a glob or a folder, sorted by path; empty if there are none.

    Local files that are as large and as old as the ``known`` one of their path are not read again.
    """
    if is_remote(url):
        return _find_remote(url)
    return tuple(_local(path, known.get(path)) for path in files_at(url))


def _local(path: str, known: SourceFile | None = None) -> SourceFile:
    stat = Path(path).stat()
    if known is not None and (known.size, known.changed) == (stat.st_size, stat.st_mtime_ns):
        return known
    if stat.st_size <= HASHED_UP_TO:
        with Path(path).open("rb") as stream:
            return SourceFile(path, stat.st_size, _digest(stream), stat.st_mtime_ns)
    version = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
    return SourceFile(path, stat.st_size, version, stat.st_mtime_ns)


def newest(files: Iterable[SourceFile]) -> datetime | None:
    """When the youngest of the files was written, None where no file system tells."""
    times = []
    for file in files:
        if is_remote(file.path):
            store, path = system(file.path)
            with suppress(NotImplementedError):
                times.append(store.modified(path))
        else:
            times.append(datetime.fromtimestamp(Path(file.path).stat().st_mtime, UTC))
    return max((t if t.tzinfo else t.replace(tzinfo=UTC) for t in times), default=None)


def _find_remote(url: str) -> tuple[SourceFile, ...]:
    store, path = system(url)
    # The names that a store gives lack the scheme, and of Azure's URLs the account.
    magic = re.search(r"[*?\[]", url)
    fixed = url[: url.rindex("/", 0, magic.start())] if magic else url
    _, above = system(beside(fixed, url))
    found = []
    with reaching(url):
        store.invalidate_cache()  # others write there too
        for name, info in sorted(_listed(store, path).items()):
            size = int(info.get("size") or 0)
            tag = next((info[key] for key in _TAGS if info.get(key)), None)
            if tag is None and size <= HASHED_UP_TO:
                with store.open(name, "rb") as stream:
                    tag = _digest(stream)
            place = beside(fixed + name.removeprefix(above), url)
            found.append(SourceFile(place, size, str(tag or store.ukey(name))))
    return tuple(found)


_TAGS = ("ETag", "etag", "md5", "content_md5")


def _listed(store: Any, path: str) -> dict[str, Any]:
    """The files of a store at a path, a glob or below a folder, with what it tells of them."""
    if glob.has_magic(path):
        found = store.glob(path, detail=True)
    elif store.isfile(path):
        return {path: store.info(path)}
    else:
        found = store.find(path, detail=True)
        found = {name: info for name, info in found.items() if not hidden(Path(name), Path(path))}
    return {name: info for name, info in found.items() if info.get("type") != "directory"}


def _digest(stream: IO[bytes]) -> str:
    # sha256 has instructions of its own on today's processors and is faster there than blake2.
    return hashlib.file_digest(stream, "sha256").hexdigest()[:32]  # type: ignore[arg-type]


# --- what the files hold ---------------------------------------------------------------------

CSV_DEFAULTS: Mapping[str, Any] = {
    "header": True,
    "delim": ",",
    "quote": '"',
    "escape": '"',
    "strict_mode": True,
    "null_padding": False,
}


def folder_keys(paths: Sequence[str]) -> tuple[str, ...]:
    """The columns whose values stand in the folder names, as ``day=2024-01-05``: the same of every file."""
    found = {
        tuple(part.split("=", 1)[0] for part in path.split("/")[:-1] if "=" in part.strip("="))
        for path in paths
    }
    return found.pop() if len(found) == 1 else ()


def hashed(files: Sequence[SourceFile]) -> pa.RecordBatchReader:
    """A row for each file: path, bytes, SHA-256.

    Raises:
        SourceError: one of them is gone.
    """
    import pyarrow as pa

    rows = []
    for found in files:
        digest, size = hashlib.sha256(), 0
        try:
            with opened(found.path) as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
                    size += len(chunk)
        except FileNotFoundError as error:
            raise SourceError("it is gone", where=found.path) from error
        rows.append({"file": found.path, "bytes": size, "sha256": digest.hexdigest()})
    shape: Any = {"file": pa.string(), "bytes": pa.int64(), "sha256": pa.string()}
    return pa.Table.from_pylist(rows, schema=pa.schema(shape)).to_reader()


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
    given, keys = dict(options), folder_keys(paths)
    if format == "csv":
        given = {**CSV_DEFAULTS, **given, "ignore_errors": True, "union_by_name": True}
        headers = [checked_header(path, given) for path in paths] if given["header"] else []
        if any(key in header.names for header in headers for key in keys):
            keys = ()
    elif format in ("json", "ndjson"):
        _refuse_byte_order_mark(paths)
        given |= {"format": _json_layout(format), "union_by_name": True, "records": "true"}
    import duckdb

    db.reach(*paths)
    try:
        rows = db.rows(f"DESCRIBE {scan(Location(format, paths, partitions=keys, options=given))}")
    except duckdb.Error as error:
        if "expected records" in str(error):
            raise SourceError(
                "there are no records to tell the columns from",
                where=paths[0],
                hint="a record is a JSON object; declare read.schema if there may be none",
            ) from error
        raise _precise(db, error, paths, given if format == "csv" else {}) from error
    return tuple(Column(str(row[0]), str(row[1])) for row in rows)


def _precise(db: Database, error: Exception, paths: tuple[str, ...], csv: Mapping[str, Any]) -> SourceError:
    """Why the columns could not be sniffed: of a CSV file, the row on which reading it as text stops."""
    import duckdb

    for path in paths if csv.get("header") else ():
        header = checked_header(path, csv)
        # By name it would be sniffed again.
        as_text = {"auto_detect": False, "ignore_errors": False, "union_by_name": False}
        options = {**csv, **as_text, "skip": header.skip}
        columns = tuple(Column(name, "VARCHAR") for name in header.names)
        try:
            db.rows(f"SELECT count(*) FROM ({scan(Location('csv', (path,), columns, options=options))})")
        except duckdb.Error as stopped:
            return explain(stopped, (path,))
    return explain(error, paths)


def _json_layout(format: str) -> str:
    return "newline_delimited" if format == "ndjson" else "auto"


def _refuse_byte_order_mark(paths: Sequence[str]) -> None:
    for path in paths:
        with opened(path) as stream:
            if stream.read(3) == b"\xef\xbb\xbf":
                raise SourceError(
                    "the file begins with a byte order mark", where=f"{path}:1", hint="save it without one"
                )


def refuse_cut_off(files: Sequence[SourceFile], format: str) -> None:
    """See that files compressed with zstd and arrays in JSON are whole: DuckDB takes what there is for all of it.

    Raises:
        SourceError: one is not.
    """
    for path in (file.path for file in files if format == "json"):
        _refuse_open_array(path)
    for path in (file.path for file in files if file.path.lower().endswith(".zst")):
        import pyarrow as pa

        try:
            with opened(path) as raw, pa.CompressedInputStream(raw, "zstd") as stream:
                while stream.read(1 << 20):
                    pass
        except OSError as error:
            raise SourceError(
                f"the compressed file cannot be read: {error}", where=path, hint="get it again"
            ) from error


def _refuse_open_array(path: str) -> None:
    with opened(path, compression="infer") as stream:
        start = stream.read(1024).lstrip()
        if start[:1] != b"[":
            return
        last, chunk = start, start
        if stream.seekable() and not path.lower().endswith((".gz", ".zst")):
            stream.seek(max(0, stream.seek(0, 2) - 1024))
        while chunk:
            last = (last + chunk)[-1024:]
            chunk = stream.read(1 << 20)
    if not last.rstrip().endswith(b"]"):
        raise SourceError("the file is cut off: its array does not end", where=path, hint="get it again")


def check(db: Database, files: Sequence[SourceFile], format: str, options: Mapping[str, Any], expected: Schema, extra_columns: str) -> None:  # fmt: skip
    """See that Parquet and JSON files have the columns they should; a CSV file's are checked when it is read.

    Raises:
        SourceError: a Parquet column that no file has, or a column that was not expected.
    """
    if not expected:
        return
    for file in files if format != "parquet" else ():
        if file.size == 1:  # of such a file DuckDB makes no rows, whatever the byte is
            with opened(file.path) as stream:
                if stream.read().strip():
                    raise SourceError("malformed JSON: a single character", where=file.path)
    keys = folder_keys([file.path for file in files])
    try:
        found = [column.name for column in describe(db, files, format, options)]
    except SourceError:
        if format == "parquet":
            raise
        return  # no records, or a broken one that the step will name
    where = files[0].path if len(files) == 1 else f"{files[0].path} and {len(files) - 1} more"
    wanted = [column.name for column in expected]
    missing = wanted if format == "parquet" else ()  # a JSON record may leave out a field
    check_names(
        [name for name in found if name in wanted or name not in keys], wanted, missing, extra_columns, where
    )


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
    wanted = {column.name for column in expected}
    keys = tuple(key for key in folder_keys(paths) if key in wanted)
    if format != "csv":
        layout = {} if format == "parquet" else {"format": _json_layout(format)}
        return (Location(format, paths, expected, keys, {**options, **layout}),)
    given = {**CSV_DEFAULTS, **options, "auto_detect": False}
    if not given["header"]:
        return (Location(format, paths, expected, keys, given),)
    groups: dict[Header, list[str]] = {}
    beside = {*keys, given.get("filename")}
    for path in paths:
        header = checked_header(path, given)
        beside -= set(header.names)
        groups.setdefault(header, []).append(path)
    inside = [column.name for column in expected if column.name not in beside]
    found = []
    for header, group in groups.items():
        check_names(header.names, inside, inside, extra_columns, group[0], line=header.skip + 1)
        types = {column.name: column.type for column in expected}
        columns = [Column(name, types.get(name, "VARCHAR")) for name in header.names]
        columns += [column for column in expected if column.name in beside]
        here = tuple(key for key in keys if key in beside)
        found.append(Location(format, tuple(group), tuple(columns), here, {**given, "skip": header.skip}))
    return tuple(found)
