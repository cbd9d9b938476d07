"""Who computes: DuckDB, pandas and Spark behind one protocol."""

from __future__ import annotations

from typing import Any

from odibi.registry import Registry

__all__ = ["ENGINES"]

ENGINES: Registry[Any] = Registry(
    "engine",
    {
        "duckdb": "odibi.engines.duckdb:DuckDB",
        "pandas": "odibi.engines.pandas:Pandas",
        "spark": "odibi.engines.spark:Spark",
    },
    extras={"spark": "spark"},
)
"""Engine name to a factory taking the run's :class:`~odibi.engines.database.Database`."""
