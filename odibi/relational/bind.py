"""Types from DuckDB's binder: exact column names and types of a query, before any row moves.

The binder is an in-memory DuckDB that holds one empty table per dataset and can reach nothing
else. ``DESCRIBE`` runs neither casts nor user functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

from odibi.errors import Permanent
from odibi.relational.schema import Column, Schema, quote

if TYPE_CHECKING:
    import duckdb

__all__ = ["BindError", "Binder", "refusal"]


class BindError(Permanent):
    """A query that DuckDB refuses: an unknown column or function, a type that does not fit.

    ``name`` is the name that was not found, if any; ``candidates`` the nearest DuckDB knows;
    ``position`` the 0-based offset in the query's UTF-8 bytes, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        candidates: tuple[str, ...] = (),
        position: int | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint or (f"did you mean {candidates[0]!r}?" if candidates else ""))
        self.name = name
        self.candidates = candidates
        self.position = position


class Binder:
    """Empty tables and a question: what columns would this query have?

    Safe to use from several threads. Close it when done. ``now`` is the instant at which the queries
    are asked that are compiled with it, None where the clock goes on.
    """

    def __init__(self, now: datetime | None = None) -> None:
        import duckdb

        self.now = now
        config = {"errors_as_json": "true", "python_enable_replacements": "false", "threads": "1"}
        self._db = duckdb.connect(":memory:", config=config)
        self._db.execute("SET TimeZone='UTC'; SET enable_external_access=false")
        self._tables: dict[str, Schema] = {}
        self._lock = Lock()

    def describe(self, sql: str, tables: Mapping[str, Schema]) -> Schema:
        """The columns ``sql`` would return, where ``tables`` gives each dataset it may name.

        Raises:
            BindError: DuckDB refuses the query.
        """
        with self._lock:
            for name, schema in tables.items():
                self._declare(name, schema)
            rows = self._execute(f"DESCRIBE {sql}").fetchall()
        return tuple(Column(str(row[0]), str(row[1])) for row in rows)

    def try_out(self, expression: str, column: Column) -> None:
        """Compute an expression over one row with NULL in the column, as DESCRIBE runs no casts.

        Raises:
            BindError: it cannot be computed, whatever the column holds.
        """
        row = f"SELECT unnest([CAST(NULL AS {column.type})]) AS {quote(column.name)}"
        with self._lock:
            self._execute(f"SELECT ({expression}\n) FROM ({row})")

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def _declare(self, name: str, schema: Schema) -> None:
        if self._tables.get(name.lower()) == schema:
            return
        self._execute(f"CREATE OR REPLACE TABLE {quote(name)} ({_columns(schema)})")
        self._tables[name.lower()] = schema

    def _execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self._db.execute(sql)
        except duckdb.Error as error:
            raise _translate(error, len("DESCRIBE ") if sql.startswith("DESCRIBE ") else 0) from error


def _columns(schema: Schema) -> str:
    return ", ".join(f"{quote(column.name)} {column.type}" for column in schema)


def refusal(text: str, tables: Mapping[str, Schema]) -> BindError | None:
    """What DuckDB itself says of the SQL a user wrote, at its position there; None if it says nothing.

    Args:
        text: one statement or several.
        tables: the columns of each table it is given, by the name it uses (``other.orders`` too).
    """
    import duckdb

    config = {"errors_as_json": "true", "python_enable_replacements": "false", "threads": "1"}
    with duckdb.connect(":memory:", config=config) as database:
        database.execute("SET TimeZone='UTC'; SET enable_external_access=false")
        for name, schema in tables.items():
            folder, _, table = name.rpartition(".")
            if folder:
                database.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(folder)}")
            place = f"{quote(folder)}.{quote(table)}" if folder else quote(table)
            database.execute(f"CREATE TABLE {place} ({_columns(schema)})")
        try:
            statements = database.extract_statements(text)
        except duckdb.Error as error:
            return _translate(error, 0)
        offsets = _offsets(text, [statement.query for statement in statements])
        for statement, offset in zip(statements, offsets, strict=True):
            kind = str(statement.type).rsplit(".", 1)[-1]
            before = {"SELECT": "DESCRIBE ", "CREATE": ""}.get(kind, "EXPLAIN ")
            query = _without_end(statement.query)
            try:
                database.execute(f"{before}{query}" + ("" if before else "\nWITH NO DATA"))
            except duckdb.Error as error:
                return _translate(error, len(before) - offset)
    return None


def _offsets(text: str, queries: Sequence[str]) -> list[int]:
    """Where each statement begins in the text's bytes: DuckDB leaves out what stands before the first."""
    found: list[int] = []
    written, end = text.encode(), None
    for query in reversed(queries):
        end = written.rfind(query.encode(), 0, end)
        found.insert(0, end)
    return found


def _without_end(query: str) -> str:
    """The statement without its semicolon and the comments after it."""
    from sqlglot import TokenType
    from sqlglot.dialects.duckdb import DuckDB

    words = [token for token in DuckDB().tokenize(query) if token.token_type is not TokenType.SEMICOLON]
    return query[: words[-1].end + 1]


def _translate(error: Exception, shift: int) -> BindError:
    """DuckDB's JSON error as a BindError; its own first sentence is kept.

    ``shift`` is how many bytes the text that was run had before its counterpart in the given one.
    """
    text = str(error)
    start = text.find("{")
    try:
        found = json.loads(text[start:]) if start >= 0 else {}
    except ValueError:
        found = {}
    message = str(found.get("exception_message") or text)
    position = int(found["position"]) - shift if str(found.get("position", "")).isdigit() else None
    name = str(found.get("name") or "")
    subtype = found.get("error_subtype")
    candidates: tuple[str, ...] = ()
    if subtype in ("COLUMN_NOT_FOUND", "MISSING_ENTRY"):  # else they are signatures with commas in them
        candidates = tuple(c for c in str(found.get("candidates") or "").split(",") if c)
    if subtype == "COLUMN_NOT_FOUND" and name:
        message = f"column {name!r} not found"
    elif subtype == "MISSING_ENTRY" and found.get("type"):
        kind = str(found["type"]).lower()
        message = f"unknown {'function' if 'function' in kind else kind} {name!r}"
    else:
        message = message.split("\n", 1)[0].rstrip()
    return BindError(message, name=name, candidates=candidates, position=position)
