"""Types from DuckDB's binder: exact column names and types of a query, before any row moves.

The binder is an in-memory DuckDB that holds one empty table per dataset and can reach nothing
else. ``DESCRIBE`` runs neither casts nor user functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING

from odibi.errors import Permanent
from odibi.relational.schema import Column, Schema, quote

if TYPE_CHECKING:
    import duckdb

__all__ = ["BindError", "Binder"]


class BindError(Permanent):
    """A query that DuckDB refuses: an unknown column or function, a type that does not fit.

    ``name`` is the name that was not found, if any; ``candidates`` the nearest DuckDB knows;
    ``position`` the 0-based offset in the query that was given, or None.
    """

    def __init__(
        self, message: str, *, name: str = "", candidates: tuple[str, ...] = (), position: int | None = None
    ) -> None:
        hint = f"did you mean {candidates[0]!r}?" if candidates else ""
        super().__init__(message, hint=hint)
        self.name = name
        self.candidates = candidates
        self.position = position


class Binder:
    """Empty tables and a question: what columns would this query have?

    Safe to use from several threads. Close it when done.
    """

    def __init__(self) -> None:
        import duckdb

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

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def _declare(self, name: str, schema: Schema) -> None:
        if self._tables.get(name.lower()) == schema:
            return
        columns = ", ".join(f"{quote(c.name)} {c.type}" for c in schema)
        self._execute(f"CREATE OR REPLACE TABLE {quote(name)} ({columns})")
        self._tables[name.lower()] = schema

    def _execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self._db.execute(sql)
        except duckdb.Error as error:
            raise _translate(error, sql) from error


def _translate(error: Exception, sql: str) -> BindError:
    """DuckDB's JSON error as a BindError; its own first sentence is kept."""
    text = str(error)
    start = text.find("{")
    try:
        found = json.loads(text[start:]) if start >= 0 else {}
    except ValueError:
        found = {}
    message = str(found.get("exception_message") or text)
    candidates = tuple(c for c in str(found.get("candidates") or "").split(",") if c)
    position = int(found["position"]) if str(found.get("position", "")).isdigit() else None
    if position is not None and sql.startswith("DESCRIBE "):
        position -= len("DESCRIBE ")
    name = str(found.get("name") or "")
    subtype = found.get("error_subtype")
    if subtype == "COLUMN_NOT_FOUND":
        message = f"column {name!r} not found"
    elif subtype == "MISSING_ENTRY" and found.get("type"):
        message = f"unknown {str(found['type']).removesuffix(' Function').lower()} {name!r}"
        if "function" in str(found["type"]).lower():
            message = f"unknown function {name!r}"
    else:
        message = message.split("\n", 1)[0].rstrip()
    return BindError(message, name=name, candidates=candidates, position=position)
