"""What a read step names: a place, a format, options; looked at before the run, read in it."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import uuid4

from pydantic import Field
from sqlglot import exp

from odibi.config.base import Frozen
from odibi.config.increment import Watermark
from odibi.datasets import files
from odibi.datasets.database import Selection, columns_of
from odibi.datasets.database import read as read_database
from odibi.datasets.delta import Table, last_commit, open_table
from odibi.datasets.fetching import HTTP_OPTIONS, TIMEOUT, Land, Pagination, Remote, refuse_options
from odibi.engines.base import Engine, Frame, Location
from odibi.engines.database import Database
from odibi.errors import NotFound, Permanent, SourceError, nearest
from odibi.relational.bind import BindError
from odibi.relational.rules import REFUSED, closing_cast
from odibi.relational.schema import Column, Schema, schema_of
from odibi.relational.storage import STORABLE
from odibi.relational.types import rebuilt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi.engines.spark import Spark

__all__ = [
    "FORMATS",
    "ReadOptions",
    "Seen",
    "Source",
    "content_version",
    "declared",
    "files_version",
    "frame_of",
    "look",
    "read",
    "unread",
    "with_known_types",
]

FORMATS = ("csv", "json", "ndjson", "parquet", "delta", "excel", "binary")

_CSV = ("header", "delimiter", "quote", "escape", "null_values", "encoding", "date_format", "timestamp_format",
        "decimal_separator", "skip")  # fmt: skip
_FILES = ("schema_", "extra_columns", "filename", "files", "partition_date", "incremental")
_BELONG: Mapping[str, tuple[str, ...]] = {
    "csv": (*_FILES, *_CSV),
    "json": _FILES,
    "ndjson": _FILES,
    "parquet": _FILES,
    "delta": ("version", "incremental"),
    "excel": ("sheet", "incremental"),
    "binary": ("extension", "files", "partition_date"),
    "database": (
        "table",
        "tables",
        "query",
        "partition_date",
        "partition_column",
        "ranges",
        "incremental",
    ),
}
BINARY = (Column("file", "VARCHAR"), Column("bytes", "BIGINT"), Column("sha256", "VARCHAR"))
"""The columns of files whose bytes mean nothing to odibi."""

_ENCODINGS = {"utf-8": "utf-8", "iso8859-1": "latin-1", "utf-16": "utf-16"}
"""The encodings that DuckDB reads without an extension, by Python's name for them."""
_DUCKDB = {
    "delimiter": "delim",
    "null_values": "nullstr",
    "date_format": "dateformat",
    "timestamp_format": "timestampformat",
}


class ReadOptions(Frozen):
    """The options of a read, all formats together; :func:`Source.of` says which go together.

    ``schema`` gives each column's type in DuckDB's spelling. ``extra_columns`` says what becomes
    of a column the schema does not name: ``error`` or ``ignore``. ``filename`` is the name of a
    column to hold the path of the file each row came from.

    ``files: new`` reads each file once, and again when it has changed. ``incremental`` reads rows from
    the largest value on that was read before of a column. ``partition_date`` reads only the
    files in folders of that day, such as ``day=2026-01-05/`` or ``year=2026/month=01/day=05/``.
    Of ``binary`` files only the path, size and hash are rows; ``extension`` is how they are called where they land.
    The last ones are of servers: ``headers`` and ``params`` go with each request, ``records`` says where
    in a JSON body the rows stand, ``timeout`` how many seconds the server may be silent, ``land`` where
    its bytes are kept. With ``fallback_to_sample``, ``sample_size`` made-up rows stand in while it is
    unavailable, but never in production.
    """

    from_: str | None = Field(default=None, alias="from")
    format: Literal["csv", "json", "ndjson", "parquet", "delta", "excel", "binary"] | None = None
    schema_: dict[str, str] | None = Field(default=None, alias="schema")
    extra_columns: Literal["error", "ignore"] | None = None
    filename: str | None = None
    header: bool | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=4)
    quote: str | None = Field(default=None, max_length=1)
    escape: str | None = Field(default=None, max_length=1)
    null_values: list[str] | str | None = None
    encoding: str | None = None
    date_format: str | None = None
    timestamp_format: str | None = None
    decimal_separator: str | None = Field(default=None, min_length=1, max_length=1)
    skip: int | None = Field(default=None, ge=0)
    sheet: str | int | None = None
    extension: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_+-]+$")
    version: int | None = Field(default=None, ge=0)
    headers: dict[str, str] = {}
    params: dict[str, str | int | float | bool] = {}
    records: str | None = Field(default=None, min_length=1)
    pagination: Pagination | None = None
    timeout: float = Field(default=TIMEOUT, gt=0)
    land: Land | None = None
    fallback_to_sample: bool = False
    sample_size: int = Field(default=1000, ge=1)
    table: str | None = Field(default=None, min_length=1)
    tables: list[str] | None = Field(default=None, min_length=1)
    query: str | None = None
    partition_date: date | None = None
    partition_column: str | None = None
    ranges: int | None = Field(default=None, ge=1, le=64)
    files: Literal["new"] | None = None
    incremental: Watermark | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A resolved read: where, which format, which options; ``schema`` is what was declared.

    ``remote`` is what is asked of a server: such a source lands before it is looked at and read. ``day`` is
    the only one whose files are read, ``known`` are the files that were consumed before, None where all are
    read each time. ``watermark`` is the column by which rows are new, and ``where`` the condition that new
    rows fulfil: a database is asked for no others.
    """

    url: str
    format: str
    schema: Schema | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    extra_columns: str = "error"
    sheet: str | int | None = None
    version: int | None = None
    remote: Remote | None = None
    day: date | None = None
    known: Mapping[str, files.SourceFile] | None = None
    watermark: Watermark | None = None
    where: exp.Expr | None = None

    @staticmethod
    def of(
        path: str,
        base: str,
        given: ReadOptions,
        default_format: str | None = None,
        remote: Remote | None = None,
    ) -> Source:
        """The source a read names; ``remote`` is what is asked of the server it is on, if it is on one.

        Raises:
            Permanent: the format cannot be told, or an option does not belong to it.
        """
        url = files.join(base, path)
        told = files.format_of(url)
        if remote is not None:
            told = files.format_of(url.partition("?")[0]) or default_format
            default_format = "json" if url.lower().startswith("http") else None
        format = given.format or told or default_format
        if format is None:
            raise Permanent(
                f"the format of {path!r} is not clear from its name",
                hint=f"give format: {', '.join(FORMATS)}",
            )
        if format == "csv" and url.lower().endswith(".tsv") and given.delimiter is None:
            given = given.model_copy(update={"delimiter": "\t"})
        if remote is not None:
            refuse_options(given.model_fields_set, url, format, given.pagination)
        known = {"from_", "format", *_BELONG[format], *(HTTP_OPTIONS if remote is not None else ())}
        for name in sorted(given.model_fields_set - known):
            where = " that stand in a place without a server" if name in HTTP_OPTIONS else ""
            raise Permanent(f"{name.rstrip('_')!r} is not an option of {format} files{where}")
        if given.encoding is not None:
            given = given.model_copy(update={"encoding": _encoding(given.encoding)})
        options = {
            _DUCKDB.get(name, name): value
            for name in (*_CSV, "filename")
            if (value := getattr(given, name)) is not None
        }
        return Source(
            url,
            format,
            schema_of(given.schema_) if given.schema_ is not None else None,
            options,
            given.extra_columns or "error",
            given.sheet,
            given.version,
            remote,
            given.partition_date,
            {} if given.files is not None else None,
            given.incremental,
        )

    @staticmethod
    def of_database(name: str, url: str, given: ReadOptions) -> Source:
        """The rows of the database ``name`` at ``url`` that a read names.

        Raises:
            Permanent: options that do not belong to a database, or not together.
        """
        for option in sorted(given.model_fields_set - {"from_", *_BELONG["database"]}):
            raise Permanent(f"{option.rstrip('_')!r} is not an option of {name!r}, which is a database")
        options = {
            option: value
            for option in _BELONG["database"]
            if option != "incremental" and (value := getattr(given, option)) is not None
        }
        Selection.of(options)
        return Source(url, "database", options=options, watermark=given.incremental)

    @property
    def selection(self) -> Selection:
        """The rows of a database; those of the table in its URL where no option says which.

        SQLite keeps times as it was given them, so it is not asked to compare them.
        """
        found = Selection.of(self.options or {"table": self.url.partition("#")[2]})
        if self.where is None or self.url.startswith("sqlite"):
            return found
        return replace(found, where=self.where.sql("postgres"))


def _encoding(name: str) -> str:
    try:
        known = codecs.lookup(name).name
    except LookupError:
        known = ""
    if known.removesuffix("-sig") not in _ENCODINGS:
        raise Permanent(
            f"encoding {name!r} cannot be read", hint="convert the file to UTF-8; latin-1 and utf-16 can be"
        )
    return _ENCODINGS[known.removesuffix("-sig")]


@dataclass(frozen=True, slots=True)
class Seen:
    """A source as it was when looked at: its files or table version, and what they hold.

    ``schema`` is None where the files could not be read; ``problem`` says why, and is raised by the
    step that reads them. ``bytes`` is the size of a table where somebody asks for sizes.
    """

    version: str
    files: tuple[files.SourceFile, ...] = ()
    schema: Schema | None = None
    table_version: int | None = None
    problem: SourceError | None = None
    bytes: int = 0

    @property
    def size(self) -> int:
        """Bytes to read, as far as they are known."""
        return self.bytes + sum(file.size for file in self.files)


def look(db: Database, source: Source, expected: Schema | None = None) -> Seen | None:
    """The source as it is now; None where nothing is there. Reads headers and samples only.

    ``expected`` is what an earlier run made of it, used where no schema is declared.
    """
    if source.format == "delta":
        table = open_table(source.url, source.version)
        if table is None:
            return None
        return Seen(f"delta:{content_version(table)}", (), table.schema, table.version)
    if source.format == "database":  # it tells no version, so it may be another one each time
        return Seen(f"read:{uuid4().hex}", schema=columns_of(source.url, source.selection))
    found = files.find(source.url, source.known or {})
    if source.day is not None:
        found = tuple(file for file in found if files.of_day(file.path, source.day))
    if not found and not source.known:
        return None
    version = files_version(found, source)
    if source.format == "binary":
        return Seen(version, found if source.known is None else unread(found, source.known), BINARY)
    if source.known is not None:
        found = unread(found, source.known)
        if not found:
            return Seen(version, (), None if expected is None else _stored(_with_filename(expected, source)))
    _refuse_unknown_types(db, source.schema or ())
    known = source.schema or expected
    try:
        if known is None or source.format == "excel":
            schema = files.describe(db, found, source.format, source.options, source.sheet)
            schema = _as_text(schema) if source.format in ("csv", "json", "ndjson") else schema
        else:
            schema = _with_filename(known, source)
            if source.format != "csv":
                files.check(db, found, source.format, source.options, schema, source.extra_columns)
        return Seen(version, found, _stored(schema))
    except SourceError as error:
        return Seen(version, found, problem=error)  # other steps may run; the one that reads it fails


def unread(
    found: Sequence[files.SourceFile], known: Mapping[str, files.SourceFile]
) -> tuple[files.SourceFile, ...]:
    """The files that are not among the known ones, or are not as they were."""
    return tuple(f for f in found if f.path not in known or known[f.path].version != f.version)


def with_known_types(db: Database, source: Source) -> Source:
    """The source. Raises Permanent for a declared type that is none, or that nothing can store."""
    _refuse_unknown_types(db, source.schema or ())
    declared(source)
    return source


def declared(source: Source) -> Schema | None:
    """The columns that are declared for a source, as they will be stored; None where they are not."""
    return None if source.schema is None else _stored(_with_filename(source.schema, source))


def content_version(table: Table) -> str:
    """The data version of a Delta table: the digest it was committed with, else which version it is."""
    commit = last_commit(table.url)
    known = commit is not None and commit.version == table.version and commit.note.get("digest")
    return str(known or f"{table.handle.metadata().id}@{table.version}")


def files_version(found: Sequence[files.SourceFile], source: Source) -> str:
    """A hash of the files' contents, and of their names where those are part of the rows."""
    if len(found) == 1 and "filename" not in source.options and "=" not in found[0].path:
        return found[0].version
    text = "\n".join(f"{file.path} {file.version}" for file in found)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _refuse_unknown_types(db: Database, schema: Schema) -> None:
    import duckdb

    for column in schema:
        try:
            db.rows(f"SELECT CAST(NULL AS {column.type})")
        except duckdb.Error as error:
            raise Permanent(
                f"column {column.name!r} has type {column.type!r}, which DuckDB does not know",
                hint=nearest(column.type.upper(), sorted(STORABLE), "types"),
            ) from error


def _as_text(schema: Schema) -> Schema:
    """Sniffed columns with TEXT for types that cannot be kept: in a text file they are text anyway."""

    def leaf(kind: str) -> str:
        return "VARCHAR" if kind.upper() in REFUSED else kind

    return tuple(Column(column.name, rebuilt(column.type, leaf)) for column in schema)


def _with_filename(schema: Schema, source: Source) -> Schema:
    name = source.options.get("filename")
    if name is None or any(column.name == name for column in schema):
        return schema
    return (*schema, Column(str(name), "VARCHAR"))


def _stored(schema: Schema) -> Schema:
    try:
        return closing_cast(exp.select("1"), schema)[1]
    except BindError as error:
        raise SourceError(
            error.message, hint=f"read it as text: schema: {{{error.name}: VARCHAR, ...}}"
        ) from error


def read(engine: Engine, source: Source, seen: Seen) -> tuple[Frame, Schema]:
    """The rows of a source that was looked at, and their columns.

    Raises:
        SourceError: a file does not have the columns or types it should have.
    """
    if source.format == "delta":
        return _read_delta(engine, source, seen)
    if source.format == "table":
        from odibi.engines.catalog import named

        return named(cast("Spark", engine), source.url)  # no other engine was let through
    if source.format == "database":
        return read_database(source.url, source.selection, engine.from_arrow)
    if seen.problem is not None:
        raise seen.problem
    if source.format == "excel":
        from odibi.datasets.excel import read_excel

        table, schema = read_excel([file.path for file in seen.files], source.sheet)
        return engine.from_arrow(table.to_reader()), schema
    if source.format == "binary":
        return engine.from_arrow(files.hashed(seen.files)), BINARY
    if seen.schema is None:
        raise SourceError("its columns are not known", where=source.url)
    if not seen.files:
        return engine.read(Location("parquet", (), seen.schema)), seen.schema
    declared = _with_filename(source.schema, source) if source.schema is not None else seen.schema
    files.refuse_cut_off(seen.files, source.format)
    found = files.locations(seen.files, source.format, source.options, declared, source.extra_columns)
    frames = {f"files_{i}": engine.read(location) for i, location in enumerate(found)}
    selects = [
        exp.select(*(exp.column(column.name, quoted=True) for column in declared)).from_(name)
        for name in frames
    ]
    query = selects[0] if len(selects) == 1 else exp.union(*selects, distinct=False)
    closed, stored = closing_cast(query, declared)
    return engine.query(closed, frames, stored), stored


def _read_delta(engine: Engine, source: Source, seen: Seen) -> tuple[Frame, Schema]:
    table = open_table(source.url, seen.table_version)
    if table is None:
        raise NotFound(f"the Delta table {source.url} is gone")
    return frame_of(engine, table), table.schema


def frame_of(engine: Engine, table: Table) -> Frame:
    """The rows of a table's version. Deletion vectors and column mapping go through its own scan."""
    if table.needs_own_reader and "delta" in engine.formats:
        return engine.read(Location("delta", (table.url,), table.schema, options={"version": table.version}))
    if table.needs_own_reader:
        import pyarrow as pa

        return engine.from_arrow(pa.RecordBatchReader.from_stream(table.handle.scan()))
    location: Location = table.location()
    return engine.read(location)
