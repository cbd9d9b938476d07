"""Every case in ``cases/*.yaml``, and the example of every portable function, on every engine.

A case is ``{name, inputs: {table: {columns: {c: type}, rows}}, transform or sql, expected}``; the first
input is the one transformed. Rows are compared without regard to their order unless ``ordered: true``,
doubles at 12 significant digits, everything else exactly, names and types too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from odibi.config.yaml import parse as parse_yaml
from odibi.operations import OPERATIONS
from odibi.operations.call import apply, relations_in
from odibi.relational.bind import Binder
from odibi.relational.compile import compile_query, compile_script
from odibi.relational.functions import FUNCTIONS, Function
from odibi.relational.parse import parse as parse_sql
from odibi.relational.schema import Relation, Schema, quote, schema_of

ENGINES = ("duckdb",)
FILES = sorted(Path(__file__).with_name("cases").glob("*.yaml"))
CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in FILES
    for case in parse_yaml(file.read_text(encoding="utf-8"), str(file)).data["cases"]
]

Rows = list[tuple[Any, ...]]


@dataclass
class Bench:
    """An engine to run cases on, and what is needed around it."""

    engine: str
    database: duckdb.DuckDBPyConnection
    binder: Binder

    def create(self, name: str, columns: dict[str, str], rows: list[Any]) -> Relation:
        spec = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
        self.database.execute(f"CREATE OR REPLACE TABLE {quote(name)} ({spec})")
        if rows:
            marks = ", ".join("?" * len(columns))
            self.database.executemany(f"INSERT INTO {quote(name)} VALUES ({marks})", rows)
        return Relation(name, schema_of(columns))


@pytest.fixture(scope="module", params=ENGINES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with duckdb.connect(":memory:") as database, closing(Binder()) as binder:
        yield Bench(request.param, database, binder)


def run_case(case: dict[str, Any], bench: Bench) -> tuple[Schema, Rows]:
    """The columns and rows a case gives."""
    tables = {name: bench.create(name, **table) for name, table in case.get("inputs", {}).items()}
    if "sql" in case:
        compiled = compile_script(parse_sql(case["sql"]), tables, bench.binder)["data"]
        return compiled.schema, bench.database.execute(compiled.sql).fetchall()
    table = next(iter(tables.values()))
    for number, entry in enumerate(case["transform"]):
        ((name, value),) = entry.items()
        query = apply(name, value, table, {each: tables[each] for each in relations_in(name, value)})
        known = {each.name.lower(): each for each in (table, *tables.values())}
        compiled = compile_query(query, known, bench.binder)
        table = Relation(f"result {number}", compiled.schema)
        bench.database.execute(f"CREATE OR REPLACE TABLE {quote(table.name)} AS {compiled.sql}")
    return table.columns, bench.database.execute(f"SELECT * FROM {quote(table.name)}").fetchall()


def comparable(rows: Rows, *, ordered: bool) -> list[tuple[str, ...]]:
    texts = [tuple(f"{cell:.12g}" if isinstance(cell, float) else repr(cell) for cell in row) for row in rows]
    return texts if ordered else sorted(texts)


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any], bench: Bench) -> None:
    ordered = case.get("ordered", False)
    schema, found = run_case(case, bench)
    expected = bench.create("expected", **case["expected"])
    rows = bench.database.execute("SELECT * FROM expected").fetchall()
    assert schema == expected.columns
    assert comparable(found, ordered=ordered) == comparable(rows, ordered=ordered)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_function(function: Function, bench: Bench) -> None:
    sql = f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (SELECT {function.example})"
    _, ((found,),) = run_case({"sql": sql}, bench)
    assert ("NULL" if found is None else found) == function.expected


def test_every_operation_has_cases() -> None:
    assert set(OPERATIONS) <= {file.stem for file in FILES}
