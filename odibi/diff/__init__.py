"""What differs between two runs: what was decided and done, and the rows of the tables they left."""

from __future__ import annotations

from odibi.diff.runs import NoTable, diff

__all__ = ["NoTable", "diff"]
