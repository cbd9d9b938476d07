"""User functions written to a file and called on rows, as a run calls them but without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa

from odibi.engines import ENGINES
from odibi.engines.base import Engine
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, DuckFrame
from odibi.operations.answer import Call
from odibi.operations.invoke import call
from odibi.operations.process import Workers
from odibi.operations.python import Context, inspect
from odibi.relational.schema import Column
from odibi.run.declared import as_declared

HEADS = """
import numpy as np
import pandas as pd
import pyarrow as pa
from odibi import step
"""


@dataclass(frozen=True)
class Bench:
    """A project with functions, and a database to call them over."""

    root: Path
    db: Database
    engines: list[Engine] = field(default_factory=list)

    def write(self, code: str, name: str = "code") -> None:
        """The module ``steps.<name>``."""
        file = self.root / "steps" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(HEADS + dedent(code), "utf-8")

    def engine(self, name: str = "duckdb") -> Engine:
        """An engine of the database, until :meth:`close`."""
        made: Engine = ENGINES.get(name)(self.db)
        self.engines.append(made)
        return made

    def close(self) -> None:
        """Close the engines, also those of calls that failed."""
        for engine in self.engines:
            engine.close()

    def call(
        self, sql: str | Mapping[str, str] = "", *, engine: str = "duckdb", function: str = "steps.code:f",
        workers: Workers | None = None, **params: Any,
    ) -> tuple[pa.Table, list[str]]:  # fmt: skip
        """What the function returns for the rows of a query (or of one per input), and the warnings."""
        found = inspect(function, [self.root])
        queries = {next(iter(found.inputs)): sql} if isinstance(sql, str) and sql else dict(sql or {})
        asked = Call(found, params, Context("run", "2026-01-05", "out", {}), as_declared)
        using = self.engine(engine)
        tables = {}
        for name, text in queries.items():
            rows = DuckDB(self.db).to_arrow(DuckFrame(text))
            described = self.db.rows(f"DESCRIBE {text}")
            tables[name] = (using.from_arrow(rows), tuple(Column(str(r[0]), str(r[1])) for r in described))
        folder = self.db.scratch / self.db.new_name()
        rows, warnings = call(using, asked, tables, folder, workers)
        assert not isinstance(rows, tuple)
        table = rows.read_all()
        using.close()
        return table, list(warnings)

    def rows(self, sql: str = "", **more: Any) -> list[tuple[Any, ...]]:
        """The rows a function returns, sorted as text."""
        table, _ = self.call(sql, **more)
        return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=repr)
