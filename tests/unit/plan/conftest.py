"""A project of its own for every test."""

from __future__ import annotations

from tests.unit.run.conftest import project

__all__ = ["project"]
