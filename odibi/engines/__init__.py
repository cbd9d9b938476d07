"""Who computes: DuckDB now, pandas and Spark behind the same protocol later."""

from __future__ import annotations

from typing import Any

from odibi.registry import Registry

__all__ = ["ENGINES"]

ENGINES: Registry[Any] = Registry("engine", {"duckdb": "odibi.engines.duckdb:DuckDB"})
"""Engine name to a factory taking the run's :class:`~odibi.engines.database.Database`."""
