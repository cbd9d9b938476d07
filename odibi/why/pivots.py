"""PIVOT and UNPIVOT as the SELECT that they are, for queries that are to be followed row by row."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from odibi.relational.schema import Schema
from odibi.relational.spark import NotPortable
from odibi.relational.spark.pivots import without_pivots
from odibi.why.rewrite import Untraceable

__all__ = ["unpivoted"]


def unpivoted(query: exp.Query, tables: Mapping[str, Schema]) -> exp.Query:
    """The query without PIVOT and UNPIVOT; ``tables`` are the columns of its inputs.

    Raises:
        Untraceable: one over several columns at once.
    """
    if query.find(exp.Pivot) is None:
        return query
    plain = query.copy()
    try:
        without_pivots(plain, tables)
    except NotPortable as error:
        raise Untraceable(error.message) from error
    return plain
