"""DuckDB's meaning in Spark SQL: a query in DuckDB's spelling becomes one that Spark answers alike.

The main sequence: write out its names, ask DuckDB's binder for the type of everything in it,
give every node to the rule for it, cast the columns.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from odibi.relational.functions import portable
from odibi.relational.schema import Schema
from odibi.relational.spark.build import spark_type
from odibi.relational.spark.names import resolved
from odibi.relational.spark.refusal import NotPortable, refuse
from odibi.relational.spark.scopes import typed
from odibi.relational.spark.translate import translated
from odibi.relational.types import rebuilt

__all__ = ["NotPortable", "to_spark"]


def to_spark(query: exp.Query, tables: Mapping[str, Schema], schema: Schema) -> exp.Query:
    """The query whose ``.sql("spark")`` answers as DuckDB does, with columns named and typed as ``schema``.

    Args:
        query: in DuckDB's spelling; it is not changed.
        tables: the inputs' columns under the names that the query uses. The answer keeps those names.
        schema: the query's columns as DuckDB's binder says.

    Raises:
        NotPortable: a function or construct that Spark cannot be made to answer alike.
    """
    for name in portable(query):
        refuse(f"{name}()", "it is not among the portable functions", "see docs/functions.md")
    tree = resolved(query, tables)
    columns = typed(tree, tables)
    if [_alike(kind) for _, kind in columns] != [_alike(column.type) for column in schema]:
        found = ", ".join(kind for _, kind in columns)
        wanted = ", ".join(column.type for column in schema)
        refuse("the query", f"its columns were read as {found}, and are {wanted}", "write it in plainer SQL")
    return _closed(translated(tree), schema)


def _alike(kind: str) -> str:
    """The type in one spelling: versions of DuckDB differ in which names of fields they quote."""
    return rebuilt(kind, str).lower()


def _closed(query: exp.Expr, schema: Schema) -> exp.Query:
    """The query with every column cast and named as DuckDB's binder says."""
    inner = [f"c{at}" for at, _ in enumerate(schema)]
    columns = [
        exp.alias_(
            exp.Cast(this=exp.column(name), to=spark_type(column.type).copy()), column.name, quoted=True
        )
        for name, column in zip(inner, schema, strict=True)
    ]
    alias = exp.TableAlias(
        this=exp.to_identifier("answer"), columns=[exp.to_identifier(name) for name in inner]
    )
    return exp.select(*columns).from_(exp.Subquery(this=query, alias=alias))
