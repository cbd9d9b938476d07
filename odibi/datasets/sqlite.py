"""SQLite by Python's own module. Its columns hold anything, so a value that is not of the declared type is an error."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.datasets.database import arrow_of, quoted_table
from odibi.errors import DatabaseError, NotFound, Permanent, SchemaMismatch, SourceError, Transient
from odibi.relational.schema import Column, Schema, quote

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SQLite"]

ROWS = 50_000

_DECLARED = (
    (r"BOOL", "BOOLEAN"),
    (r"DATETIME|TIMESTAMP", "TIMESTAMP"),
    (r"DATE", "DATE"),
    (r"INT", "BIGINT"),
    (r"CHAR|CLOB|TEXT", "VARCHAR"),
    (r"BLOB", "BLOB"),
    (r"REAL|FLOA|DOUB", "DOUBLE"),
)
"""By what a declared type has in its name: https://sqlite.org/datatype3.html#determination_of_column_affinity."""

_NAMES = {
    "BOOLEAN": "BOOLEAN",
    "TINYINT": "INTEGER",
    "SMALLINT": "INTEGER",
    "INTEGER": "INTEGER",
    "BIGINT": "INTEGER",
    "FLOAT": "REAL",
    "DOUBLE": "REAL",
    "VARCHAR": "TEXT",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "BLOB": "BLOB",
}


class SQLite:
    """A session of a SQLite file; one that is not there is made by the first write."""

    def __init__(self, url: str) -> None:
        self._path = url.partition("://")[2].partition("?")[0].removeprefix("/")
        if not self._path:
            raise Permanent(
                f"{url} names no file", hint="write sqlite:///file.db, or sqlite:////folder/file.db"
            )

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        """Opened when first asked for something, because that makes the file."""
        # DuckDB asks for the rows on threads of its own, on one at a time.
        return sqlite3.connect(self._path, isolation_level=None, timeout=30, check_same_thread=False)

    @staticmethod
    @contextmanager
    def errors(url: str) -> Iterator[None]:
        """What SQLite raises, as errors that say which database."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Transient(f"{url}: {error}") from error
            raise DatabaseError(f"{url}: {error}") from error
        except sqlite3.Error as error:
            raise DatabaseError(f"{url}: {error}") from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a small answer, none of a statement."""
        return self._connection.execute(re.sub(r"\$(\d+)", r"?\1", sql) if values else sql, values).fetchall()

    def columns(self, query: str) -> Schema:
        """The columns of a query: as declared where it takes them from a table, else as their values are."""
        if not Path(self._path).is_file():
            raise NotFound(f"there is no file {self._path!r}")
        self.rows(f"CREATE TEMP VIEW odibi_view AS {query}")
        try:
            told = self.rows("PRAGMA table_info(odibi_view)")
        finally:
            self.rows("DROP VIEW temp.odibi_view")
        return tuple(Column(row[1], _declared(row[2]) or self._of_values(query, row[1])) for row in told)

    def _of_values(self, query: str, name: str) -> str:
        found = {row[0] for row in self.rows(f"SELECT DISTINCT typeof({quote(name)}) FROM ({query})")} - {
            "null"
        }
        if found and found <= {"integer", "real"}:
            return "BIGINT" if found == {"integer"} else "DOUBLE"
        return "BLOB" if found == {"blob"} else "VARCHAR"

    def batches(self, query: str, schema: Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query."""
        import pyarrow as pa

        names = ", ".join(quote(column.name) for column in schema)
        cursor = self._connection.execute(f"SELECT {names} FROM ({query})")
        while rows := cursor.fetchmany(ROWS):
            columns = zip(*rows, strict=True)
            arrays = [_array(column, values) for column, values in zip(schema, columns, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, names=[column.name for column in schema])

    def shared(self) -> str:
        """Nothing: a file is read by one session, in a transaction that sees it as it is now."""
        self.rows("BEGIN")
        return ""

    def join(self, shared: str) -> None:
        """Nothing: no session shares."""
        del shared

    def has(self, table: str) -> bool:
        """Whether there is a table of that name."""
        if not Path(self._path).is_file():
            return False
        *above, name = table.split(".")
        master = f"{quote(above[0])}.sqlite_master" if above else "sqlite_master"
        return bool(self.rows(f"SELECT 1 FROM {master} WHERE name = $1 COLLATE NOCASE", (name,)))

    def type_of(self, kind: str) -> str:
        """The declared type for one of DuckDB's."""
        decimal = re.fullmatch(r"DECIMAL\((\d+),\d+\)", kind)
        if decimal and int(decimal[1]) <= 15:
            return kind
        if kind not in _NAMES:
            more = " of more than 15 digits" * bool(decimal)
            message = f"a table of SQLite cannot hold type {kind}{more}"
            raise SchemaMismatch(message, hint="cast it to VARCHAR")
        return _NAMES[kind]

    def lock(self, name: str) -> None:
        """Begin a transaction that writes: there is one at a time."""
        del name
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        if not self._connection.in_transaction:
            self.rows("BEGIN IMMEDIATE")

    def insert(self, table: str, reader: pa.RecordBatchReader) -> None:
        """Add rows; instants and decimals as the texts that SQLite's own functions understand."""
        names = ", ".join(quote(name) for name in reader.schema.names)
        marks = ", ".join("?" * len(reader.schema.names))
        insert = f"INSERT INTO {quoted_table(table)} ({names}) VALUES ({marks})"
        for batch in reader:
            columns = ([_written(value) for value in column.to_pylist()] for column in batch.columns)
            self._connection.executemany(insert, zip(*columns, strict=True))

    def commit(self) -> None:
        """End the transaction with what was done in it."""
        self._connection.commit()

    def close(self) -> None:
        """End the connection, if there is one."""
        if "_connection" in vars(self):
            self._connection.close()


def _declared(kind: str) -> str:
    """The type that a declaration means, empty where it says nothing."""
    upper = kind.upper()
    if found := re.search(r"(?:DECIMAL|NUMERIC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", upper):
        return f"DECIMAL({found[1]},{found[2] or 0})" if int(found[1]) <= 38 else "VARCHAR"
    return next((duck for part, duck in _DECLARED if re.search(part, upper)), "")


def _array(column: Column, values: Sequence[Any]) -> pa.Array[Any]:
    import pyarrow as pa

    target = arrow_of(column.type)
    try:
        if column.type in ("DATE", "TIMESTAMP"):
            return pa.array(values, pa.string()).cast(target)
        read = _READ.get(column.type.partition("(")[0])
        return pa.array(
            [None if value is None else read(value) for value in values] if read else values, target
        )
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        ArithmeticError,
        TypeError,
    ) as error:
        message = f"column {column.name!r} is declared {column.type} and holds another value: {error}"
        raise SourceError(message[:300], hint="select it with a CAST in read.query") from error


def _truth(value: Any) -> bool:
    if value in (0, 1):
        return bool(value)
    raise TypeError(f"{value!r} is not 0 or 1")


_READ: dict[str, Callable[[Any], Any]] = {
    "BOOLEAN": _truth,
    "DECIMAL": lambda value: Decimal(str(value)),
    "DOUBLE": lambda value: float(value) if isinstance(value, int) else value,
}


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
