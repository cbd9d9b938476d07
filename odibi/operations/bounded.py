"""A query computed in a process of its own, in the memory its step may have; what does not fit is spilled."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, cast

from odibi.engines.base import Engine, Frame, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, DuckFrame
from odibi.operations.memory import size_of
from odibi.relational.schema import Schema

if TYPE_CHECKING:
    from odibi.engines.pandas import PandasFrame
    from odibi.operations.process import Aside

__all__ = ["ENGINES", "bounded", "movable"]

ENGINES = frozenset({"duckdb", "pandas"})
"""The engines whose queries can be bounded: those that DuckDB computes."""

PER_THREAD = 125e6
"""Bytes that a thread of DuckDB should have: https://duckdb.org/docs/stable/guides/performance/environment."""


@dataclass(frozen=True, slots=True)
class _Staging:
    """Computes a query over files into Parquet parts below ``folder``."""

    sql: str
    schema: Schema
    folder: str
    memory: str
    scratch: Path
    places: tuple[str, ...]
    tables: tuple[str, ...]

    def __call__(self) -> Staged:
        threads = max(1, min(os.cpu_count() or 1, int(size_of(self.memory) / PER_THREAD)))
        with Database(self.scratch, self.memory, threads) as db:
            db.reach(*self.places)
            for table in self.tables:
                db.reach_table(table)
            return DuckDB(db).stage(DuckFrame(self.sql), self.schema, self.folder)


def movable(engine: Engine, db: Database, frame: Frame, schema: Schema) -> Frame:
    """The frame itself where it is a query over files, else one that reads what it was staged to."""
    if not _query(engine, frame).here:
        return frame
    return engine.read(engine.stage(frame, schema, str(db.scratch / db.new_name()), ()).location)


def bounded(engine: Engine, db: Database, frame: Frame, schema: Schema, memory: str, aside: Aside) -> Frame:
    """The frame computed aside, as one that reads the result.

    Args:
        engine: whose frame it is, one of :data:`ENGINES`.
        db: the run's database.
        frame: a query over files: see :func:`movable`.
        schema: its columns.
        memory: what DuckDB may use, such as ``200MB``.
        aside: where it is computed.

    Raises:
        ResourceExhausted: it needs more than it may have, although it spills.
        Exception: whatever the query raises.
    """
    folder, scratch = (db.scratch / db.new_name() for _ in range(2))
    task = _Staging(_query(engine, frame).sql, schema, str(folder), memory, scratch, db.places, db.tables)
    try:
        staged: Staged = aside.run(task)
    except BaseException:
        for left in (folder, scratch):  # by a process that could not clean up
            rmtree(left, ignore_errors=True)
        raise
    return engine.read(staged.location)


def _query(engine: Engine, frame: Frame) -> DuckFrame:
    return frame if engine.name == "duckdb" else cast("PandasFrame", frame).query
