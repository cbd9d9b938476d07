"""DuckDB's meaning in Spark SQL: a query in DuckDB's spelling becomes one that Spark answers alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from odibi.errors import Permanent
from odibi.relational.schema import Schema

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["NotPortable", "to_spark"]


class NotPortable(Permanent):
    """What the query asks for cannot be made equal on Spark; the message says what, and what to write instead."""


def to_spark(query: exp.Query, tables: Mapping[str, Schema], schema: Schema) -> exp.Query:
    """The query whose ``.sql("spark")`` answers as DuckDB does, with columns named and typed as ``schema``.

    ``tables`` are the inputs' columns under the names that the query uses, and the answer keeps those names.

    Raises:
        NotPortable: a function or construct that Spark cannot answer alike.
    """
    del tables
    return _closed(query.copy(), schema)


def _closed(query: exp.Query, schema: Schema) -> exp.Query:
    """The query with every column cast and named as DuckDB's binder says."""
    from sqlglot import exp

    inner = [f"c{number}" for number, _ in enumerate(schema)]
    columns = [
        exp.alias_(exp.cast(exp.column(name, quoted=True), exp.DataType.build(column.type, dialect="duckdb")), column.name, quoted=True)
        for name, column in zip(inner, schema, strict=True)
    ]
    alias = exp.TableAlias(this=exp.to_identifier("answer"), columns=[exp.to_identifier(n) for n in inner])
    return exp.select(*columns).from_(exp.Subquery(this=query, alias=alias))
