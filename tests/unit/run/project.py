"""A project in a folder of its own, as small as a test needs it."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb
import yaml
from deltalake import DeltaTable

from odibi import orchestrator
from odibi.config.load import load
from odibi.config.loaded import Loaded
from odibi.orchestrator import Result
from odibi.plan import Plan
from odibi.record.model import StepRecord, StepStatus

Row = tuple[Any, ...]
Steps = Sequence[Mapping[str, Any]] | str

KEPT = {"to": "lake"}


@dataclass(frozen=True)
class Project:
    """Writes configs, files and code, plans and runs them, and reads tables without odibi."""

    root: Path

    def write(self, path: str, text: str) -> Path:
        """A file below the project's folder."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), "utf-8")
        return file

    def csv(self, path: str, header: str, *rows: Sequence[Any]) -> Path:
        """A CSV file with a header such as ``id,name``."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(header.split(","))
            writer.writerows(rows)
        return file

    def config(self, steps: Sequence[Mapping[str, Any]], name: str = "shop", **fields: Any) -> str:
        """A config in the project's folder, with the connections ``in`` and ``lake``."""
        data = {
            "pipeline": name,
            "date": "2026-01-05",
            "enable_tracker": False,
            "connections": {
                "in": {"url": str(self.root / "in")},
                "lake": {"url": str(self.root / "lake"), "format": "delta"},
            },
            **fields,
            "steps": list(steps),
        }
        return str(self.write(f"{name}.yaml", yaml.safe_dump(data, sort_keys=False)))

    def load(self, steps: Steps, date: str | None = None, **fields: Any) -> Loaded:
        """The config of the steps, or at the path, loaded."""
        path = steps if isinstance(steps, str) else self.config(steps, **fields)
        return load(path, date=date)

    def plan(
        self, steps: Steps, *select: str, exclude: Sequence[str] = (),
        date: str | None = None, **fields: Any,
    ) -> Plan:  # fmt: skip
        """What a run would do."""
        return orchestrator.plan(self.load(steps, date, **fields), chosen=select, excluded=exclude)

    def run(
        self, steps: Steps, *select: str, exclude: Sequence[str] = (),
        date: str | None = None, workers: int | None = None, fail_fast: bool | None = None,
        full_refresh: bool = False, **fields: Any,
    ) -> Result:  # fmt: skip
        """A run in this process."""
        return orchestrator.run(
            self.load(steps, date, **fields),
            chosen=select,
            excluded=exclude,
            workers=workers,
            fail_fast=fail_fast,
            full_refresh=full_refresh,
        )

    def rows(self, table: str) -> list[Row]:
        """All rows of a Delta table below ``lake/``, sorted as text; read without odibi."""
        handle = DeltaTable(str(self.root / "lake" / table))
        files = handle.file_uris()
        if not files:
            return []
        columns = ", ".join(f'"{field.name}"' for field in handle.schema().fields)
        found = duckdb.sql(
            f"SELECT {columns} FROM read_parquet({files!r}, hive_partitioning=true, union_by_name=true)"
        ).fetchall()
        return sorted(found, key=str)

    def version(self, table: str) -> int:
        """The newest version of a Delta table below ``lake/``."""
        return int(DeltaTable(str(self.root / "lake" / table)).version())

    def tree(self) -> dict[str, tuple[int, int]]:
        """Every file below the project's folder with its size and modification time."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }

    def python(self, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Python in a process of its own, in the project's folder."""
        import os

        return subprocess.run(
            [sys.executable, "-c", dedent(code)],
            cwd=self.root, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environ},
        )  # fmt: skip


def read(name: str, path: str, **more: Any) -> dict[str, Any]:
    """A step that reads a file of the connection ``in`` and keeps it."""
    return {"name": name, "layer": "bronze", "read": {"from": "in", "path": path}, "write": KEPT, **more}


def sql(name: str, query: str, *, kept: bool = True, **more: Any) -> dict[str, Any]:
    """A SQL step."""
    return {"name": name, "layer": "silver", "sql": query, **({"write": KEPT} if kept else {}), **more}


def step_of(result: Result, name: str) -> StepRecord:
    """What became of a step."""
    return next(step for step in result.run.steps if step.name == name)


def statuses(result: Result) -> dict[str, StepStatus]:
    """How every step ended."""
    return {step.name: step.status for step in result.run.steps}


def actions(plan: Plan) -> dict[str, str]:
    """What is to be done with every step."""
    return {step.name: str(step.decision.action) for step in plan.steps}


def reasons(plan: Plan) -> dict[str, str]:
    """Why."""
    return {step.name: step.decision.reason for step in plan.steps}
