"""PostgreSQL by ADBC: Arrow all the way; see https://arrow.apache.org/adbc/current/driver/postgresql.html."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as encoded

from odibi.datasets.database import arrow_of, quoted_table
from odibi.errors import (
    AuthenticationFailed,
    DatabaseError,
    MissingExtra,
    NetworkTimeout,
    SchemaMismatch,
    SourceError,
)
from odibi.places import options_of
from odibi.relational.schema import Column, Schema, quote

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Postgres"]

_TYPES = {
    "bool": "BOOLEAN",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "bytea": "BLOB",
}
_NAMES = {
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "FLOAT": "real",
    "DOUBLE": "double precision",
    "VARCHAR": "text",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "BLOB": "bytea",
}
INCOMING = "odibi_incoming"


class Postgres:
    """A session of PostgreSQL; all else but the types of ``_TYPES`` and NUMERIC is read as text."""

    def __init__(self, url: str) -> None:
        try:
            from adbc_driver_postgresql import dbapi
        except ImportError as error:
            raise MissingExtra("what reads postgresql://", "sql") from error
        self._connection = dbapi.connect(_with_password(url))
        self.rows("SET TimeZone TO 'UTC'")

    @staticmethod
    @contextmanager
    def errors(url: str) -> Iterator[None]:
        """What the driver raises, as errors that say which database."""
        try:
            from adbc_driver_manager import Error, OperationalError
        except ImportError as error:
            raise MissingExtra("what reads postgresql://", "sql") from error
        try:
            yield
        except Error as error:
            text, state = _sentence(str(error)), str(error.sqlstate or "")
            if "authentication failed" in text or state.startswith("28"):
                raise AuthenticationFailed(
                    url, text, hint="see the url and options of the connection"
                ) from error
            if isinstance(error, OperationalError) or state[:2] in ("08", "40", "57"):
                raise NetworkTimeout(url, text) from error
            raise DatabaseError(f"{url}: {text}") from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a small answer, none of a statement."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(values) or None)
            return list(cursor.fetchall()) if cursor.description else []

    def columns(self, query: str) -> Schema:
        """The columns of a query."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) AS q LIMIT 0")
            return tuple(Column(field.name, _duck(field)) for field in cursor.fetch_record_batch().schema)

    def batches(self, query: str, schema: Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query; the driver gives NUMERIC as an opaque text, so it is cast to one."""
        import pyarrow as pa

        native = {*_TYPES.values()}
        names = (
            quote(c.name) if c.type in native else f"CAST({quote(c.name)} AS text) AS {quote(c.name)}"
            for c in schema
        )
        target = pa.schema([(column.name, arrow_of(column.type)) for column in schema])
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(names)} FROM ({query}\n) AS q")
            for batch in cursor.fetch_record_batch():
                try:
                    yield batch.cast(target)
                except pa.ArrowInvalid as error:
                    message = f"a value does not fit the type that its column is read as: {error}"
                    raise SourceError(message[:300], hint="select it with a cast in read.query") from error

    def shared(self) -> str:
        """The snapshot of this transaction: https://www.postgresql.org/docs/current/sql-set-transaction.html."""
        self.rows("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return str(self.rows("SELECT pg_export_snapshot()")[0][0])

    def join(self, shared: str) -> None:
        """Take over the snapshot of another transaction."""
        self.rows("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.rows(f"SET TRANSACTION SNAPSHOT '{shared}'")

    def has(self, table: str) -> bool:
        """Whether there is a table of that name."""
        return bool(self.rows("SELECT to_regclass($1) IS NOT NULL", (quoted_table(table),))[0][0])

    def type_of(self, kind: str) -> str:
        """The type for one of DuckDB's."""
        if re.fullmatch(r"DECIMAL\(\d+,\d+\)", kind):  # and no list of them
            return kind.replace("DECIMAL", "numeric")
        if kind not in _NAMES:
            raise SchemaMismatch(f"a table of PostgreSQL cannot hold type {kind}", hint="cast it to VARCHAR")
        return _NAMES[kind]

    def lock(self, name: str) -> None:
        """Wait for an advisory lock of the transaction."""
        self.rows("SELECT pg_advisory_xact_lock(hashtext($1))", (name,))

    def insert(self, table: str, reader: pa.RecordBatchReader) -> None:
        """Add rows by way of a table of this session, so that each type becomes the table's."""
        names = ", ".join(quote(name) for name in reader.schema.names)
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(INCOMING, reader, mode="create", temporary=True)
        self.rows(f"INSERT INTO {quoted_table(table)} ({names}) SELECT {names} FROM pg_temp.{INCOMING}")
        self.rows(f"DROP TABLE pg_temp.{INCOMING}")

    def commit(self) -> None:
        """End the transaction with what was done in it."""
        self._connection.commit()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _with_password(url: str) -> str:
    """The URL as libpq takes it, with what the options add."""
    text, given = str(url), dict(options_of(url))
    extra = "&".join(f"{name}={encoded(str(value), safe='')}" for name, value in given.items())
    return f"{text}{'&' if '?' in text else '?'}{extra}" if extra else text


def _duck(field: pa.Field[Any]) -> str:
    told = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    name, mark = told.get("POSTGRESQL:type", ""), int(told.get("POSTGRESQL:typmod", -1))
    if name != "numeric":
        return _TYPES.get(name, "VARCHAR")
    if mark < 4:
        return "DECIMAL(38,18)"  # of any precision; what does not fit is an error
    precision, scale = (mark - 4) >> 16 & 0xFFFF, (mark - 4) & 0x7FF
    return f"DECIMAL({precision},{scale})" if precision <= 38 and scale <= precision else "VARCHAR"


def _sentence(text: str) -> str:
    found = re.search(r"(?:ERROR|FATAL):\s+(.*)", text) or re.search(r"\] (.*)", text)
    return (found[1] if found else text.splitlines()[0]).strip()[:400]
