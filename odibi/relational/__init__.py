"""One meaning for an expression on every engine: DuckDB's.

A query is parsed once, its tables are resolved to datasets, the house's rules are applied, and
DuckDB's binder gives exact column names and types before any row moves.
"""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = 1
"""Raised when a rule changes what a query means; part of every fingerprint."""
