"""What a read step names: a place, a format, options; looked at before the run, read in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from sqlglot import exp

from odibi.config.base import Frozen
from odibi.datasets import files
from odibi.datasets.delta import Table, open_table
from odibi.engines.base import Engine, Frame, Location
from odibi.engines.database import Database
from odibi.errors import Permanent, SourceError
from odibi.relational.rules import closing_cast
from odibi.relational.schema import Column, Schema, schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FORMATS", "ReadOptions", "Seen", "Source", "look", "read"]

FORMATS = ("csv", "json", "ndjson", "parquet", "delta", "excel")

_CSV = ("header", "delimiter", "quote", "escape", "null_values", "encoding", "date_format", "timestamp_format",
        "decimal_separator", "skip")  # fmt: skip
_BELONG: Mapping[str, tuple[str, ...]] = {
    "csv": ("schema_", "extra_columns", "filename", *_CSV),
    "json": ("schema_", "extra_columns", "filename"),
    "ndjson": ("schema_", "extra_columns", "filename"),
    "parquet": ("schema_", "filename"),
    "delta": ("version",),
    "excel": ("sheet",),
}
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
    """

    from_: str | None = Field(default=None, alias="from")
    format: Literal["csv", "json", "ndjson", "parquet", "delta", "excel"] | None = None
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
    version: int | None = Field(default=None, ge=0)


@dataclass(frozen=True, slots=True)
class Source:
    """A resolved read: where, which format, which options; ``schema`` is what was declared."""

    url: str
    format: str
    schema: Schema | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    extra_columns: str = "error"
    sheet: str | int | None = None
    version: int | None = None

    @staticmethod
    def of(path: str, base: str, given: ReadOptions, default_format: str | None = None) -> Source:
        """The source a read names.

        Raises:
            Permanent: the format cannot be told, or an option does not belong to it.
        """
        url = files.join(base, path)
        format = given.format or files.format_of(url) or default_format
        if format is None:
            raise Permanent(f"the format of {path!r} is not clear from its name", hint=f"give format: {', '.join(FORMATS)}")
        if format == "csv" and url.lower().endswith(".tsv") and given.delimiter is None:
            given = given.model_copy(update={"delimiter": "\t"})
        for name in sorted(given.model_fields_set - {"from_", "format", *_BELONG[format]}):
            raise Permanent(f"{name.rstrip('_')!r} is not an option of {format} files")
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
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A source as it was when looked at: its files or table version, and what they hold.

    ``schema`` is None where the files could not be read; the step that reads them says why.
    """

    version: str
    files: tuple[files.SourceFile, ...] = ()
    schema: Schema | None = None
    table_version: int | None = None


def look(db: Database, source: Source, expected: Schema | None = None) -> Seen | None:
    """The source as it is now; None where nothing is there. Reads headers and samples only.

    ``expected`` is what an earlier run made of it, used where no schema is declared.
    """
    if source.format == "delta":
        table = open_table(source.url, source.version)
        if table is None:
            return None
        return Seen(f"delta:{_content(table)}", (), table.schema, table.version)
    found = files.find(source.url)
    if not found:
        return None
    version = "+".join(file.version for file in found) if len(found) < 4 else _many(found)
    known = source.schema or expected
    if known is not None and source.format in ("csv", "json", "ndjson", "parquet"):
        return Seen(version, found, _with_filename(known, source))
    try:
        schema = files.describe(db, found, source.format, source.options, source.sheet)
    except SourceError:
        return Seen(version, found)  # the step that reads it tells which line is wrong
    return Seen(version, found, _storable(schema))


def _content(table: Table) -> str:
    from odibi.datasets.delta import last_commit

    commit = last_commit(table.url)
    if commit is not None and commit.version == table.version and "digest" in commit.note:
        return str(commit.note["digest"])
    return f"{table.url}@{table.version}"


def _many(found: Sequence[files.SourceFile]) -> str:
    import hashlib

    text = "\n".join(f"{file.path} {file.version}" for file in found)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _with_filename(schema: Schema, source: Source) -> Schema:
    name = source.options.get("filename")
    if name is None or any(column.name == name for column in schema):
        return schema
    return (*schema, Column(str(name), "VARCHAR"))


def _storable(schema: Schema) -> Schema:
    return closing_cast(exp.select("1"), schema)[1]


def read(engine: Engine, source: Source, seen: Seen) -> tuple[Frame, Schema]:
    """The rows of a source that was looked at, and their columns.

    Raises:
        SourceError: a file does not have the columns or types it should have.
    """
    if source.format == "delta":
        return _read_delta(engine, source, seen)
    if source.format == "excel":
        from odibi.datasets.excel import read_excel

        table, schema = read_excel([file.path for file in seen.files], source.sheet)
        return engine.from_arrow(table.to_reader()), schema
    filename = source.options.get("filename")
    schema = seen.schema or tuple(
        Column(name, "VARCHAR") for name in files.header_of(seen.files[0].path, {**files.CSV_DEFAULTS, **source.options})
    )
    held = tuple(column for column in schema if column.name != filename)
    found = files.locations(seen.files, source.format, source.options, held, source.extra_columns)
    frames = {f"files_{i}": engine.read(location) for i, location in enumerate(found)}
    selects = [_projection(name, schema) for name in frames]
    query = selects[0] if len(selects) == 1 else exp.union(*selects, distinct=False)
    return engine.query(query, frames), schema


def _projection(name: str, schema: Schema) -> exp.Select:
    columns = [
        exp.cast(exp.column(c.name, quoted=True), c.type, dialect="duckdb").as_(c.name, quoted=True) for c in schema
    ]
    return exp.select(*columns).from_(exp.to_identifier(name, quoted=True))


def _read_delta(engine: Engine, source: Source, seen: Seen) -> tuple[Frame, Schema]:
    table = open_table(source.url, seen.table_version)
    if table is None:
        raise SourceError(f"the Delta table {source.url} is gone")
    return frame_of(engine, table), table.schema


def frame_of(engine: Engine, table: Table) -> Frame:
    """The rows of a table's version. Deletion vectors and column mapping go through its own scan."""
    if table.needs_own_reader:
        import pyarrow as pa

        return engine.from_arrow(pa.RecordBatchReader.from_stream(table.handle.scan()))
    location: Location = table.location()
    return engine.read(location)
