"""Every case in ``cases/*.yaml``, and the example of every portable function, on every engine.

A case is ``{name, inputs: {table: {columns: {c: type}, rows}}, transform or sql, expected}``; the first
input is the one transformed. Rows are compared without regard to their order unless ``ordered: true``,
doubles at 12 significant digits, everything else exactly, names and types too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odibi.config.yaml import parse as parse_yaml
from odibi.operations import OPERATIONS
from odibi.operations.call import apply, relations_in
from odibi.relational.functions import FUNCTIONS, Function
from tests.parity.bench import NAMES, Answer, Bench, opened

FILES = sorted(Path(__file__).with_name("cases").glob("*.yaml"))
CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in FILES
    for case in parse_yaml(file.read_text(encoding="utf-8"), str(file)).data["cases"]
]


@pytest.fixture(scope="module", params=NAMES)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with opened(request.param, tmp_path_factory.mktemp("cases"), request) as found:
        yield found


def run_case(case: dict[str, Any], bench: Bench) -> Answer:
    """The columns and rows a case gives."""
    bench.clear()
    tables = {name: bench.create(name, **table) for name, table in case.get("inputs", {}).items()}
    if "sql" in case:
        return bench.ask(case["sql"])
    table = next(iter(tables.values()))
    for entry in case["transform"]:
        ((name, value),) = entry.items()
        table = bench.apply(
            apply(name, value, table, {each: tables[each] for each in relations_in(name, value)}), table
        )
    return bench.read(bench.frames[table.name])


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any], bench: Bench) -> None:
    found = run_case(case, bench)
    expected = bench.create("expected", **case["expected"])
    rows = bench.database.rows("SELECT * FROM expected")
    assert found.equal_to(
        Answer([(column.name, column.type) for column in expected.columns], rows),
        ordered=case.get("ordered", False),
    ), found


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_function(function: Function, bench: Bench) -> None:
    bench.clear()
    compiled = bench.compiled(f"SELECT {function.example}")
    found = bench.answer(compiled)
    assert found.equal_to(bench.shell(compiled))
    column, kind = found.columns[0]
    bench.create("found", {"value": kind}, found.rows)
    ((text,),) = bench.database.rows("SELECT CAST(value AS VARCHAR) FROM found")
    assert ("NULL" if text is None else text) == function.expected, column


def test_every_operation_has_cases() -> None:
    assert set(OPERATIONS) <= {file.stem for file in FILES}
