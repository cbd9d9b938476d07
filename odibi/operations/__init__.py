"""What a step can do to rows: plain functions from relations to a query, by name.

``shape`` works on columns, ``rows`` on rows, ``window`` beside its neighbours, ``combine`` on several
tables, ``summarize`` on groups; ``enrich`` and ``keys`` add columns, ``clean`` is the vocabulary of
cleaning. ``call`` stands between them and YAML. Names are imported on first
use, so importing this package imports no SQL parser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from odibi.registry import Registry

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["OPERATIONS", "Operation"]

Operation = Callable[..., "exp.Query"]
"""A function whose first argument is the table to transform and whose keyword-only ones are parameters."""

OPERATIONS: Registry[Operation] = Registry(
    "operation",
    {
        name: f"odibi.operations.{module}:{name}"
        for module, names in {
            "shape": ("select", "rename", "drop", "cast", "derive", "fill"),
            "rows": ("filter", "sort", "limit", "deduplicate"),
            "window": ("window",),
            "combine": ("join", "union"),
            "summarize": ("aggregate", "pivot", "unpivot"),
            "enrich": ("enrich",),
            "keys": ("surrogate_key",),
            "clean": (
                *("remove_nulls", "standardize_fields", "remove_duplicates"),
                *("handle_missing_values", "normalize_formats", "validate_constraints"),
            ),
        }.items()
        for name in names
    },
)
