"""EXECUTE a plan: every attempt becomes an outcome, every outcome a record."""

from __future__ import annotations

from odibi.run.walk import Walk, walk

__all__ = ["Walk", "walk"]
