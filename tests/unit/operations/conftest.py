"""A project with functions for every test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from odibi.engines.database import Database
from tests.unit.operations.calls import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty project and a database."""
    with Database(tmp_path / "scratch", threads=2) as db:
        bench = Bench(tmp_path, db)
        yield bench
        bench.close()
