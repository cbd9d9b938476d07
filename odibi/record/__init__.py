"""What is remembered of runs: the records, the store that keeps them, and their JSON form.

Importing this package is cheap: SQLAlchemy is loaded when a store is opened.
"""

from __future__ import annotations

from odibi.record.export import from_json, to_json
from odibi.record.model import (
    AttemptRecord,
    ColumnLineage,
    ColumnRecord,
    ErrorRecord,
    RunRecord,
    RunStatus,
    SampleRecord,
    StepRecord,
    StepStatus,
    WriteRecord,
)
from odibi.record.store import RunStore, open_store

__all__ = [
    "AttemptRecord",
    "ColumnLineage",
    "ColumnRecord",
    "ErrorRecord",
    "RunRecord",
    "RunStatus",
    "RunStore",
    "SampleRecord",
    "StepRecord",
    "StepStatus",
    "WriteRecord",
    "from_json",
    "open_store",
    "to_json",
]
