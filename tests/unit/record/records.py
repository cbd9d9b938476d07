"""Short ways to make records for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from odibi.record import AttemptRecord, RunRecord, RunStatus, StepRecord, StepStatus

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_step(name: str = "orders", **fields: Any) -> StepRecord:
    given: dict[str, Any] = {"layer": "silver", "node": "Transform", "operation": "sql", "engine": "duckdb"}
    return StepRecord(name=name, **given | fields)


def a_run(run_id: str = "20260301-aaaa", minute: int = 0, **fields: Any) -> RunRecord:
    given: dict[str, Any] = {
        "pipeline": "daily",
        "config": "configs/daily.yaml",
        "config_hash": "c0ffee",
        "logical_date": "2026-03-01",
        "target": "dev",
        "engine": "duckdb",
        "status": RunStatus.RUNNING,
        "started_at": NOON + timedelta(minutes=minute),
        "steps": (a_step("raw_orders"), a_step("orders", upstream=("raw_orders",))),
    }
    return RunRecord(run_id=run_id, **given | fields)


def an_attempt(number: int = 1, status: StepStatus = StepStatus.COMPLETED) -> AttemptRecord:
    return AttemptRecord(
        number=number, status=status, started_at=NOON, ended_at=NOON + timedelta(microseconds=1)
    )
