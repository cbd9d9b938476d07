"""Engines that truly differ from DuckDB: DuckDB itself under other settings, or with other queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from sqlglot import exp

from odibi.engines import ENGINES
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, DuckFrame
from odibi.prove.ask import Bench
from odibi.relational.schema import Schema
from tests.unit.run.project import Project

Rewrite = Callable[[exp.Query], exp.Query]


class Other(DuckDB):
    """DuckDB in a database of its own, with settings and a rewriting of every query."""

    name = "other"

    def __init__(self, database: Database, *settings: str, rewrite: Rewrite = lambda query: query) -> None:
        self.database = Database(database.scratch.with_name(f"{database.scratch.name}-other"), threads=1)
        for setting in settings:
            self.database.cursor.execute(f"SET GLOBAL {setting}")
        super().__init__(self.database)
        self.rewrite = rewrite

    def query(self, select: exp.Query, inputs: Mapping[str, DuckFrame], schema: Schema) -> DuckFrame:
        return super().query(self.rewrite(select.copy()), inputs, schema)

    def close(self) -> None:
        self.database.close()


def lenient(query: exp.Query) -> exp.Query:
    """NULL instead of an error where a value does not fit its type."""
    return query.transform(
        lambda node: exp.TryCast(this=node.this, to=node.to) if type(node) is exp.Cast else node
    )


def without_rules(query: exp.Query) -> exp.Query:
    """Divisions as DuckDB has them by itself."""
    return query.transform(lambda node: node.this if isinstance(node, exp.Nullif) else node)


Benches = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Benches]:
    """Makes a bench of DuckDB and another with these settings."""
    open_: list[Other] = []
    with Database(tmp_path / "scratch", threads=1) as database:

        def made(*settings: str, rewrite: Rewrite = lambda query: query) -> Bench:
            open_.append(Other(database, *settings, rewrite=rewrite))
            return Bench(database, {"duckdb": DuckDB(database), "other": open_[-1]})

        yield made
        for one in open_:
            one.close()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench of DuckDB alone, to make and look at rows."""
    with Database(tmp_path_factory.mktemp("bench"), threads=1) as database:
        yield Bench(database, {"duckdb": DuckDB(database)})


@pytest.fixture
def other_engine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Registers an engine ``other`` with these settings for the length of a test."""

    def register(*settings: str, rewrite: Rewrite = lambda query: query) -> None:
        things = {**ENGINES._things, "other": lambda database: Other(database, *settings, rewrite=rewrite)}
        monkeypatch.setattr(ENGINES, "_things", things)

    return register


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)
