"""Every portable function, operator and cast over the hostile table: each engine answers as DuckDB does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from odibi.relational.functions import FUNCTIONS, Function
from tests.parity.bench import NAMES, Bench, opened
from tests.parity.hostile import CALLS, COLUMNS, OPERATORS, ROWS


@pytest.fixture(scope="module", params=NAMES)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with opened(request.param, tmp_path_factory.mktemp("hostile"), request) as found:
        found.create("hostile", COLUMNS, ROWS)
        yield found


def check(bench: Bench, select: str) -> None:
    compiled = bench.compiled(select)
    found, expected = bench.answer(compiled), bench.shell(compiled)
    assert found.columns == expected.columns
    pairs = zip(sorted(found.rows, key=str), sorted(expected.rows, key=str), strict=True)
    assert found.equal_to(expected), [pair for pair in pairs if pair[0] != pair[1]]


def listed(calls: tuple[str, ...]) -> str:
    return ", ".join(f"{call} AS x{at}" for at, call in enumerate(calls))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_function(function: Function, bench: Bench) -> None:
    calls = CALLS[function.name]
    if function.group == "Aggregates":
        check(bench, f"SELECT g, {listed(calls)} FROM hostile GROUP BY g")
        check(bench, f"SELECT {listed(calls)} FROM hostile WHERE id < 0")
    elif function.name == "unnest":
        for call in calls:
            check(bench, f"SELECT id, {call} AS x FROM hostile")
    else:
        check(bench, f"SELECT id, {listed(calls)} FROM hostile")


@pytest.mark.parametrize("name", OPERATORS)
def test_operator(name: str, bench: Bench) -> None:
    check(bench, f"SELECT id, {listed(OPERATORS[name])} FROM hostile")


def test_every_function_is_called() -> None:
    assert list(CALLS) == [function.name for function in FUNCTIONS]
