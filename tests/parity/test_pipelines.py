"""Small random tables through small random pipelines: every engine ends with DuckDB's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, reject, settings
from hypothesis import strategies as st

from odibi.operations.call import apply
from odibi.operations.errors import OperationError
from odibi.relational.schema import Relation
from tests.parity.bench import Bench, opened

KINDS = {
    "VARCHAR": st.sampled_from(["", "a", "B", "b", " a", "é", "10", "9", "x,y", "Straße", "NULL"]),
    "INTEGER": st.sampled_from([0, 1, -1, 2, 7, 7, 100, -100]),
    "DOUBLE": st.sampled_from([0.0, 0.5, 1.5, -2.5, 2.5, 100.0, float("nan"), float("inf")]),  # exact in binary
    "DECIMAL(9,2)": st.sampled_from([Decimal(text) for text in ("0.00", "0.05", "-0.05", "2.50", "-2.50", "99.99")]),
    "BOOLEAN": st.booleans(),
    "DATE": st.sampled_from([date(2024, 2, 29), date(2023, 12, 31), date(1969, 7, 20), date(2024, 3, 1)]),
    "TIMESTAMP": st.sampled_from([datetime(2024, 2, 29, 13, 45, 59, 123456), datetime(1999, 12, 31), datetime(1969, 7, 20, 20, 17, 40, 500000)]),
}  # fmt: skip
LEFT = {"id": "INTEGER", "g": "VARCHAR", "s": "VARCHAR", "i": "INTEGER", "d": "DOUBLE", "m": "DECIMAL(9,2)", "b": "BOOLEAN", "dt": "DATE", "ts": "TIMESTAMP"}  # fmt: skip
RIGHT = {"g": "VARCHAR", "i": "INTEGER", "w": "DOUBLE"}

OF = {
    "VARCHAR": ["upper({c})", "length({c})", "{c} || '-'", "coalesce({c}, 'none')", "substring({c}, 1, 2)", "trim({c})", "{c} LIKE '%a%'", "TRY_CAST({c} AS INTEGER)", "split_part({c}, ',', 2)", "md5({c})"],
    "INTEGER": ["{c} + 1", "{c} // 3", "{c} % 3", "{c} / 4", "{c} * 0.5", "abs({c})", "{c}::VARCHAR", "CASE WHEN {c} > 0 THEN 'up' WHEN {c} < 0 THEN 'down' END", "{c} IN (7, 100)", "{c} / 0"],
    "BIGINT": ["{c} - 1", "{c} % 2", "{c}::DOUBLE", "{c}::VARCHAR", "coalesce({c}, 0)"],
    "DOUBLE": ["round({c}, 1)", "{c} / 2", "-{c}", "floor({c})", "isnan({c})", "{c} > 1", "{c}::VARCHAR", "coalesce({c}, -1)", "TRY_CAST({c} AS INTEGER)", "sign({c})"],
    "DECIMAL(9,2)": ["{c} * 2", "round({c}, 1)", "{c}::INTEGER", "{c} + 0.005", "{c} / 3", "{c}::VARCHAR", "{c} * {c}"],
    "BOOLEAN": ["NOT {c}", "{c}::INTEGER", "{c} AND true", "{c} IS NOT TRUE", "{c}::VARCHAR"],
    "DATE": ["year({c})", "date_trunc('month', {c})", "{c} + 1", "dayofweek({c})", "date_diff('week', {c}, DATE '2024-03-01')", "strftime({c}, '%d.%m.%y')", "last_day({c})", "{c}::TIMESTAMP"],
    "TIMESTAMP": ["{c}::DATE", "date_trunc('hour', {c})", "epoch({c})", "{c} + INTERVAL 90 MINUTE", "extract(second FROM {c})", "{c}::VARCHAR", "date_diff('month', {c}, TIMESTAMP '2024-03-01 00:00:00')"],
}  # fmt: skip
"""Expressions of a column, by its type."""

TESTS = ["{c} IS NULL", "{c} IS NOT NULL", "{c} = {c}", "{c} <> {c}", "NOT ({c} = {c})"]
VALUES = ["count(*)", "count({c})", "count(DISTINCT {c})", "min({c})", "max({c})"]
NUMBERS = ["sum({c})", "avg({c})", "median({c})", "sum(DISTINCT {c})"]
RANKS = [
    "row_number()",
    "rank()",
    "dense_rank()",
    "count(*)",
    "min({c})",
    "max({c})",
    "lag({c})",
    "first_value({c})",
]

Operation = dict[str, Any]
Make = Callable[[st.DataObject, Relation], Operation]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def one(data: st.DataObject, table: Relation, *, of: Any = None) -> Any:
    """A column of the table, of certain types perhaps."""
    columns = [column for column in table.columns if of is None or column.type in of]
    return data.draw(st.sampled_from(columns)) if columns else None


def some(data: st.DataObject, table: Relation, most: int = 3) -> list[str]:
    names = [column.name for column in table.columns]
    return data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=most, unique=True))


def chosen(data: st.DataObject, templates: list[str], name: str) -> str:
    return str(data.draw(st.sampled_from(templates))).format(c=quoted(name))


def expression(data: st.DataObject, table: Relation) -> str:
    column = one(data, table)
    return chosen(data, OF.get(column.type, ["{c}"]), column.name)


def condition(data: st.DataObject, table: Relation) -> str:
    column = one(data, table)
    pool = list(TESTS)
    if column.type in ("INTEGER", "BIGINT", "DOUBLE", "DECIMAL(9,2)"):
        pool += ["{c} > 0", "{c} <= 2.5", "{c} BETWEEN -1 AND 7", "{c} NOT IN (7, 100)"]
    if column.type == "VARCHAR":
        pool += ["{c} > 'a'", "{c} <> ''", "{c} ILIKE 'B%'", "{c} IN ('a', 'é', NULL)"]
    return chosen(data, pool, column.name)


def order(data: st.DataObject, table: Relation) -> list[str]:
    return [
        quoted(name) + data.draw(st.sampled_from(["", " desc", " nulls first"]))
        for name in some(data, table, 2)
    ]


def values(data: st.DataObject, table: Relation) -> dict[str, str]:
    made = {}
    for at in range(data.draw(st.integers(1, 3))):
        column = one(data, table)
        pool = VALUES + (NUMBERS if column.type in ("INTEGER", "DOUBLE", "DECIMAL(9,2)") else [])
        made[f"v{at}"] = chosen(data, pool, column.name)
    return made


def window(data: st.DataObject, table: Relation) -> Operation:
    made: dict[str, Any] = {
        "order_by": order(data, table),
        "columns": {"w0": chosen(data, RANKS, one(data, table).name)},
    }
    if data.draw(st.booleans()):
        made["partition_by"] = some(data, table, 1)
    return {"window": made}


def pivot(data: st.DataObject, table: Relation) -> Operation:
    column = one(data, table, of=("VARCHAR", "INTEGER"))
    if column is None:
        return {"limit": 3}
    index = [name for name in some(data, table, 2) if name != column.name] or [
        c.name for c in table.columns if c.name != column.name
    ][:1]
    pivoted = [7, 1] if column.type == "INTEGER" else ["a", "é"]
    return {"pivot": {"index": index, "column": column.name, "values": pivoted, "aggregate": "count(*)"}}


OPERATIONS: dict[str, Make] = {
    "filter": lambda data, table: {"filter": condition(data, table)},
    "derive": lambda data, table: {"derive": {f"x{len(table.columns)}": expression(data, table), one(data, table).name: expression(data, table)}},
    "select": lambda data, table: {"select": some(data, table)},
    "drop": lambda data, table: {"drop": some(data, table, max(1, len(table.columns) - 1))[: len(table.columns) - 1]},
    "aggregate": lambda data, table: {"aggregate": {"by": some(data, table, 2), "values": values(data, table)}},
    "total": lambda data, table: {"aggregate": {"values": values(data, table)}},
    "deduplicate": lambda data, table: {"deduplicate": {"keys": some(data, table, 2), "order_by": order(data, table)}},
    "distinct": lambda data, table: {"deduplicate": {"keys": [column.name for column in table.columns]}},
    "limit": lambda data, table: {"limit": {"rows": data.draw(st.integers(0, 4)), "order_by": order(data, table)}},
    "window": window,
    "pivot": pivot,
    "remove_nulls": lambda data, table: {"remove_nulls": {"drop": data.draw(st.sampled_from(["rows", "fields"])), "of": some(data, table)}},
    "remove_duplicates": lambda data, table: {"remove_duplicates": {"keys": some(data, table)}},
    "normalize_formats": lambda data, table: {"normalize_formats": {one(data, table).name: data.draw(st.sampled_from(["trim", "uppercase", ["lowercase", "trim"]]))}},
    "enrich": lambda data, table: {"enrich": {f"e{len(table.columns)}": {"type": "concatenate", "fields": some(data, table)}}},
    "surrogate_key": lambda data, table: {"surrogate_key": {"name": f"k{len(table.columns)}", "columns": some(data, table)}},
    "summaries": lambda data, table: {"aggregate": {"group_by": some(data, table, 2), "aggregations": {one(data, table).name: ["count", "count_distinct", "min", "max"]}}},
    "unpivot": lambda data, table: {"unpivot": {"columns": [one(data, table).name], "name": f"n{len(table.columns)}", "value": f"u{len(table.columns)}"}},
}  # fmt: skip
WITH_RIGHT: dict[str, Make] = {
    "join": lambda data, table: {"join": {"with": "r", "on": data.draw(st.sampled_from([["g"], ["i"], ["g", "i"]])), "how": data.draw(st.sampled_from(["inner", "left", "right", "full", "semi", "anti"]))}},
    "union": lambda data, table: {"union": {"with": "r", "distinct": data.draw(st.booleans())}},
}  # fmt: skip


def rows(data: st.DataObject, columns: dict[str, str], most: int) -> list[tuple[Any, ...]]:
    row = st.tuples(*(st.none() | KINDS[kind] for kind in columns.values()))
    return data.draw(st.lists(row, max_size=most))


@contextmanager
def both(name: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Bench, Bench]]:
    with (
        opened(name, folder / name, request) as mine,
        opened("duckdb", folder / "reference", request) as reference,
    ):
        yield mine, reference


@pytest.fixture(
    scope="module", params=["pandas", pytest.param("spark", marks=pytest.mark.xdist_group("spark"))]
)
def benches(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bench, Bench]]:
    with both(request.param, tmp_path_factory.mktemp("pipelines"), request) as found:
        yield found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_pipelines_agree(benches: tuple[Bench, Bench], data: st.DataObject) -> None:
    for bench in benches:
        bench.clear()
    left, right = rows(data, LEFT, 6), rows(data, RIGHT, 4)
    tables = [(bench.create("l", LEFT, left), bench.create("r", RIGHT, right)) for bench in benches]
    ends = [table for table, _ in tables]
    for at in range(data.draw(st.integers(1, 4))):
        few = {"drop", "pivot", "unpivot"} if len(ends[0].columns) < 2 else set()
        pool = OPERATIONS | (WITH_RIGHT if at == 0 else {})
        ((name, value),) = pool[data.draw(st.sampled_from(sorted(set(pool) - few)))](data, ends[0]).items()
        note(f"{name}: {value}")
        for place, (bench, (_, other)) in enumerate(zip(benches, tables, strict=True)):
            try:
                query = apply(name, value, ends[place], {"r": other})
            except OperationError:  # two columns of one name
                reject()
            ends[place] = bench.apply(query, ends[place])
    mine, reference = (bench.read(bench.frames[end.name]) for bench, end in zip(benches, ends, strict=True))
    assert mine.equal_to(reference), f"{mine}\n{reference}"
