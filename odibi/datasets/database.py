"""SQL databases as sources: a table, tables or a query, read as Arrow; types told before the run.

A database is a URL, ``postgresql://user@host/db`` or ``sqlite:///file.db``, and a table of it is that URL
with ``#schema.table``. What people write becomes names in quotes and literals that were parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from odibi.errors import OdibiError, Permanent
from odibi.places import beside
from odibi.relational.schema import Schema, quote

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Selection",
    "Session",
    "arrow_of",
    "connected",
    "drained",
    "is_database",
    "quoted_table",
    "read",
    "table_url",
]

T = TypeVar("T")

SCHEMES = ("postgresql", "postgres", "sqlite")


def is_database(url: str) -> bool:
    """Whether the URL is of a SQL database."""
    return url.partition("://")[0] in SCHEMES


def table_url(url: str, table: str) -> str:
    """The URL of a table of a database."""
    return beside(f"{url}#{table}", url)


def quoted_table(name: str) -> str:
    """``schema.table`` in quotes, whatever is in the names."""
    return ".".join(quote(part) for part in name.split("."))


class Session(Protocol):
    """An open connection to a database, in a transaction until it is committed."""

    @staticmethod
    def errors(url: str) -> AbstractContextManager[None]:
        """What the driver raises, as errors that say which database."""
        ...

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a small answer; ``$1`` stands for the first value."""
        ...

    def columns(self, query: str) -> Schema:
        """The columns of a query, in DuckDB's spelling."""
        ...

    def batches(self, query: str, schema: Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query in Arrow's types of ``schema``."""
        ...

    def shared(self) -> str:
        """What other sessions join to see the rows as this one does; empty where they cannot."""
        ...

    def join(self, shared: str) -> None:
        """See the rows as the session that shares does."""
        ...

    def has(self, table: str) -> bool:
        """Whether there is a table of that name."""
        ...

    def type_of(self, kind: str) -> str:
        """The database's own type for one of DuckDB's. Raises SchemaMismatch where there is none."""
        ...

    def lock(self, name: str) -> None:
        """Wait until no other transaction has this lock; it is let go of with the transaction."""
        ...

    def insert(self, table: str, reader: pa.RecordBatchReader) -> None:
        """Add rows whose columns are called as the table's."""
        ...

    def commit(self) -> None:
        """End the transaction with what was done in it."""
        ...

    def close(self) -> None:
        """End the connection; what was not committed is undone."""
        ...


@contextmanager
def connected(url: str) -> Iterator[Session]:
    """A connection to the database of a URL.

    Raises:
        MissingExtra: its driver is not installed.
        OdibiError: it cannot be reached, or refuses what is asked of it.
    """
    database = beside(url.partition("#")[0], url)
    session: Session
    if url.startswith("sqlite"):
        from odibi.datasets.sqlite import SQLite as Driver
    else:
        from odibi.datasets.postgres import Postgres as Driver  # type: ignore[assignment]
    with Driver.errors(database):
        session = Driver(database)
        try:
            yield session
        finally:
            session.close()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a database: those of a query, or of tables whose columns are the same.

    ``day`` and ``column`` choose the rows of one day, ``ranges`` how many parts are read at once, cut by
    ``column``. ``where`` is a condition on the rows, in the database's own words.
    """

    tables: tuple[str, ...] = ()
    query: str = ""
    column: str = ""
    day: date | None = None
    ranges: int = 1
    where: str = ""

    @staticmethod
    def of(options: Mapping[str, Any]) -> Selection:
        """The selection that options of a read mean.

        Raises:
            Permanent: options that do not go together.
        """
        given = [name for name in ("table", "tables", "query") if options.get(name)]
        if len(given) != 1:
            raise Permanent(
                "a database is read by one of table, tables and query", hint="read: {table: orders}"
            )
        day, column, ranges = (options.get(name) for name in ("partition_date", "partition_column", "ranges"))
        if (day or ranges) and not column:
            raise Permanent(
                "partition_date and ranges need partition_column: the column that tells", hint="name it"
            )
        if column and not (day or ranges):
            raise Permanent("partition_column needs partition_date, or ranges", hint="give one, or remove it")
        tables = (options["table"],) if options.get("table") else tuple(options.get("tables") or ())
        query = str(options.get("query") or "").strip().rstrip(";")
        return Selection(tables, query, str(column or ""), day, int(ranges or 1))

    def sql(self, columns: Sequence[Sequence[str]] = ()) -> str:
        """The query; ``columns`` are those of each table, where there are several."""
        if self.query:
            parts = [f"SELECT * FROM ({self.query}\n) AS q"]
        else:
            lists = [", ".join(map(quote, names)) for names in columns] or ["*"] * len(self.tables)
            parts = [
                f"SELECT {names} FROM {quoted_table(t)}" for names, t in zip(lists, self.tables, strict=True)
            ]
        if self.day is not None:
            name, after = quote(self.column), self.day + timedelta(days=1)
            parts = [f"{part} WHERE {name} >= '{self.day}' AND {name} < '{after}'" for part in parts]
        whole = "\nUNION ALL ".join(parts)
        return f"SELECT * FROM ({whole}\n) AS w WHERE {self.where}" if self.where else whole


def columns_of(url: str, selection: Selection) -> Schema:
    """The columns of what is selected, in DuckDB's spelling; nothing is read.

    Raises:
        OdibiError: the database does not know what is asked for.
        Permanent: several tables whose columns differ.
    """
    with connected(url) as session:
        return _described(session, selection)[1]


def _described(session: Session, selection: Selection) -> tuple[str, Schema]:
    """The query that selects, and its columns."""
    if len(selection.tables) < 2:
        query = selection.sql()
        return query, session.columns(query)
    found = [session.columns(f"SELECT * FROM {quoted_table(table)}") for table in selection.tables]
    for table, columns in zip(selection.tables, found, strict=True):
        if set(columns) != set(found[0]):
            names = ", ".join(sorted({column.name for column in set(columns) ^ set(found[0])}))
            raise Permanent(
                f"the tables {selection.tables[0]} and {table} differ in {names}",
                hint="read them in a step each",
            )
    query = selection.sql([[column.name for column in found[0]]] * len(found))
    return query, found[0]


def read(url: str, selection: Selection, take: Callable[[pa.RecordBatchReader], T]) -> tuple[T, Schema]:
    """What ``take`` makes of the rows of what is selected, and their columns; it reads them to the end.

    Raises:
        OdibiError: the database does not know what is asked for, or fails on the way.
    """
    with connected(url) as session:
        shared = session.shared() if selection.ranges > 1 else ""
        query, schema = _described(session, selection)
        queries = _cut(session, query, selection) if selection.ranges > 1 else [query]
        return drained(url, session, queries, schema, take, shared=shared), schema


def drained(
    url: str,
    session: Session,
    queries: Sequence[str],
    schema: Schema,
    take: Callable[[pa.RecordBatchReader], T],
    *,
    shared: str = "",
) -> T:
    """What ``take`` makes of the rows of the queries, one after the other; all at once where a snapshot is shared."""
    import pyarrow as pa

    target = pa.schema([(column.name, arrow_of(column.type)) for column in schema])
    told: list[OdibiError] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            with type(session).errors(url):  # it is read by code of others, which wraps what is raised
                if shared:
                    yield from _parallel(url, queries, schema, shared)
                else:
                    for each in queries:
                        yield from session.batches(each, schema)
        except OdibiError as error:
            told.append(error)
            raise

    try:
        return take(pa.RecordBatchReader.from_batches(target, batches()))
    except Exception as error:
        if told:
            raise told[0] from error
        raise


def _cut(session: Session, query: str, selection: Selection) -> list[str]:
    """The query in ranges of a column; the first has the rows where it is NULL."""
    name = quote(selection.column)
    ((low, high),) = session.rows(f"SELECT min({name}), max({name}) FROM ({query}) AS q")
    if low is None:
        return [query]
    if isinstance(low, bool) or not isinstance(low, int | float | date):
        message = f"partition_column {selection.column!r} is no number and no date, so it has no ranges"
        raise Permanent(message, hint="name another column, or remove ranges")
    bounds = sorted({low + (high - low) * i / selection.ranges for i in range(1, selection.ranges)})
    marks = [_literal(low, bound) for bound in bounds]
    conditions = [f"{name} < {marks[0]} OR {name} IS NULL"]
    conditions += [f"{name} >= {a} AND {name} < {b}" for a, b in pairwise(marks)]
    conditions.append(f"{name} >= {marks[-1]}")
    return [f"SELECT * FROM ({query}) AS q WHERE {condition}" for condition in conditions]


def _literal(low: Any, bound: Any) -> str:
    """A bound of a range as SQL; it is a number or a date that was computed here."""
    if isinstance(low, int):
        return str(int(bound))
    return repr(float(bound)) if isinstance(low, float) else f"'{bound}'"


def _parallel(url: str, queries: Sequence[str], schema: Schema, shared: str) -> list[pa.RecordBatch]:
    """The rows of several queries, each on a connection of its own that sees them as they are shared."""
    from concurrent.futures import ThreadPoolExecutor

    def one(query: str) -> list[pa.RecordBatch]:
        with connected(url) as session:
            session.join(shared)
            return list(session.batches(query, schema))

    with ThreadPoolExecutor(min(len(queries), 8)) as pool:
        return [batch for found in pool.map(one, queries) for batch in found]


def arrow_of(kind: str) -> pa.DataType:
    """Arrow's type for one of DuckDB's that a database gives."""
    import re

    import pyarrow as pa

    if found := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind):
        return pa.decimal128(int(found[1]), int(found[2]))
    kinds: Mapping[str, Any] = {
        "BOOLEAN": pa.bool_(),
        "SMALLINT": pa.int16(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"),
        "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
        "BLOB": pa.binary(),
    }
    found_kind: pa.DataType = kinds.get(kind, pa.string())
    return found_kind
