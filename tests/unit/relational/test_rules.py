"""The rules executed: where the house's meaning is not DuckDB's, and what a step may store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi.relational.bind import Binder, BindError
from odibi.relational.compile import compile_script
from odibi.relational.parse import SqlError, parse
from odibi.relational.rules import apply_rules, closing_cast
from odibi.relational.schema import Column, Relation, schema_of
from odibi.relational.types import nested, rebuilt

ROW = {
    "i": ("INTEGER", 7), "z": ("INTEGER", 0), "d": ("DOUBLE", 2.5), "dz": ("DOUBLE", 0.0), "n": ("INTEGER", None),
    "m": ("DECIMAL(10,2)", 9.75), "mz": ("DECIMAL(10,2)", 0), "neg": ("DOUBLE", -4.0), "t": ("VARCHAR", "x"),
    "v": ("INTERVAL", "10 days"),
}  # fmt: skip


@pytest.fixture(scope="module")
def binder() -> Iterator[Binder]:
    one = Binder()
    yield one
    one.close()


@pytest.fixture(scope="module")
def shell() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as database:
        columns = ", ".join(f"CAST({value!r} AS {kind}) AS {name}" for name, (kind, value) in ROW.items())
        database.execute(f"CREATE TABLE r AS SELECT {columns.replace('None', 'NULL')}")
        yield database


def value(expression: str, binder: Binder, shell: duckdb.DuckDBPyConnection) -> Any:
    relation = Relation("r", schema_of({name: kind for name, (kind, _) in ROW.items()}))
    made = compile_script(parse(f"SELECT {expression} AS x FROM r"), {"r": relation}, binder)["data"]
    ((found,),) = shell.execute(made.query.sql("duckdb")).fetchall()
    return found


@pytest.mark.parametrize(
    "expression",
    [
        "i / z", "i // z", "i % z", "d / dz", "d // dz", "d % dz", "m / mz", "m % mz", "i / 0", "i // 0", "1 % 0", "1.0 / 0.0",
        "mod(i, z)", "divide(i, z)", "fdiv(d, dz)", "fmod(d, dz)", "i / -z", "i / (z)", "i / (1 - 1)", "i / nullif(z, 5)", "0 / 0",
        "i / '0'", "CAST(i / z AS VARCHAR)", "sum(i) / sum(z)", "i / z / 2", "ln(z)", "ln(neg)", "log(z)", "log10(neg)", "log2(0)",
        "log(2, z)", "log(z, 5)", "log(neg, 5)", "log(1, 5)", "ln(ln(1))", "ln(i / z)", "sqrt(neg)", "sqrt(-1)", "sqrt(i / z)", "n / i",
        "sqrt(n)", "ln(n)", "sum(i) OVER () / z", "CASE WHEN i > 0 THEN 1 / z END", "list_sum([i % z])", "i / z + 1", "isnan(sqrt(neg))",
    ],
)  # fmt: skip
def test_outside_the_domain_is_null(
    expression: str, binder: Binder, shell: duckdb.DuckDBPyConnection
) -> None:
    assert value(expression, binder, shell) is None


@pytest.mark.parametrize(
    "expression",
    [
        "i / 2", "i // 2", "i % 4", "d / 2", "d // 1", "m / 3", "m % 3", "i / '2'", "i / nullif(i, 0)", "-i // 2", "-i % 4", "i / -2",
        "ln(i)", "log(100)", "log10(1000)", "log2(8)", "log(2, 8)", "log(d, i)", "sqrt(i)", "sqrt(0)", "sqrt(4) / 2", "mod(i, 4)",
        "fmod(d, 2)", "divide(i, 2)", "7 / 2 / 2", "sqrt('nan'::DOUBLE)", "ln('inf'::DOUBLE)", "d / 'inf'::DOUBLE", "i ** 2", "sum(i) / count(*)",
        "(i + 1) % (i - 4)", "- i / 2",
    ],
)  # fmt: skip
def test_inside_the_domain_nothing_changes(
    expression: str, binder: Binder, shell: duckdb.DuckDBPyConnection
) -> None:
    ((plain,),) = shell.execute(f"SELECT {expression} FROM r").fetchall()
    found = value(expression, binder, shell)
    assert repr(found) == repr(plain)


@settings(deadline=None, max_examples=60)
@given(a=st.integers(-20, 20), b=st.integers(-20, 20), c=st.integers(-5, 5))
def test_rules_touch_only_division_by_zero(a: int, b: int, c: int) -> None:
    query = parse(f"SELECT ({a}) // ({b}) AS x, ({a}) % ({b}) AS y, ({a} + {b}) % {abs(c)} AS z").statements[
        0
    ]
    ((x, y, z),) = duckdb.sql(apply_rules(query).sql("duckdb")).fetchall()  # type: ignore[arg-type]
    assert (x is None, y is None, z is None) == (b == 0, b == 0, c == 0)
    if b:
        assert x == int(a / b)
        assert y == a - b * int(a / b)


def test_a_sum_of_integers_is_a_bigint_and_overflow_is_an_error(binder: Binder) -> None:
    schema = schema_of({"i": "BIGINT"})
    made = compile_script(parse("SELECT sum(i) AS s FROM t"), {"t": Relation("t", schema)}, binder)["data"]
    assert made.schema == (Column("s", "BIGINT"),)
    with duckdb.connect(":memory:") as database:
        database.execute("CREATE TABLE t AS SELECT 9223372036854775807 AS i")
        assert database.execute(made.sql).fetchall() == [(2**63 - 1,)]
        database.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(duckdb.ConversionException):
            database.execute(made.sql).fetchall()


STORED = [
    ("1::HUGEINT", "BIGINT", 1), ("1::UHUGEINT", "DECIMAL(38,0)", 1), ("18446744073709551615::UBIGINT", "DECIMAL(20,0)", 2**64 - 1),
    ("4294967295::UINTEGER", "BIGINT", 2**32 - 1), ("65535::USMALLINT", "INTEGER", 2**16 - 1), ("255::UTINYINT", "SMALLINT", 255),
    ("TIMESTAMP_NS '2024-01-01 00:00:00.123456001'", "TIMESTAMP", datetime(2024, 1, 1, 0, 0, 0, 123456)),
    ("TIMESTAMP_S '2024-01-01 00:00:01'", "TIMESTAMP", datetime(2024, 1, 1, 0, 0, 1)), ("TIMESTAMP_MS '2024-01-01 00:00:00.5'", "TIMESTAMP", datetime(2024, 1, 1, 0, 0, 0, 500000)),
    ("'b0c0f4b0-0000-4000-8000-000000000000'::UUID", "VARCHAR", "b0c0f4b0-0000-4000-8000-000000000000"), ("'{\"a\": 1}'::JSON", "VARCHAR", '{"a": 1}'),
    ("'101'::BIT", "VARCHAR", "101"), ("NULL", "INTEGER", None), ("'a'::ENUM('a', 'b,)', 'c''')", "VARCHAR", "a"), ("[1::UINTEGER]", "BIGINT[]", [1]),
    ("[1, 2]::INTEGER[2]", "INTEGER[]", [1, 2]), ("[[1::HUGEINT]]", "BIGINT[][]", [[1]]), ("[NULL]", "INTEGER[]", [None]), ("[]", "INTEGER[]", []),
    ("{'a': 1::UTINYINT, 'b c': ['x'::ENUM('x')]}", 'STRUCT(a SMALLINT, "b c" VARCHAR[])', {"a": 1, "b c": ["x"]}),
    ("MAP {1::UTINYINT: uuid() IS NULL}", "MAP(SMALLINT, BOOLEAN)", {1: False}), ("histogram(1)", "MAP(INTEGER, DECIMAL(20,0))", {1: 1}),
    ("{'end': {'x': 1::HUGEINT}}", 'STRUCT("end" STRUCT(x BIGINT))', {"end": {"x": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "kind", "expected"), STORED)
def test_types_that_cannot_be_kept_become_others(
    expression: str, kind: str, expected: Any, binder: Binder
) -> None:
    made = compile_script(parse(f"SELECT {expression} AS x"), {}, binder)["data"]
    assert made.schema == (Column("x", kind),)
    answer = duckdb.sql(made.sql)
    assert [str(found) for found in answer.types] == [kind]
    found = answer.fetchall()[0][0]
    assert found == expected


KEPT = [
    "TRUE", "1::TINYINT", "1::SMALLINT", "1::INTEGER", "1::BIGINT", "1::FLOAT", "1::DOUBLE", "1::DECIMAL(38,10)", "'x'", "'x'::BLOB", "DATE '2024-01-01'",
    "TIMESTAMP '2024-01-01'", "TIMESTAMPTZ '2024-01-01'", "[1]", "{'a': 1, 'B c': [{'d': 'x'}]}", "MAP {'a': [1]}",
]  # fmt: skip


@pytest.mark.parametrize("expression", KEPT)
def test_types_that_can_be_kept_stay(expression: str, binder: Binder) -> None:
    made = compile_script(parse(f"SELECT {expression} AS x"), {}, binder)["data"]
    assert [column.type for column in made.schema] == [
        str(kind) for kind in duckdb.sql(f"SELECT {expression}").types
    ]
    assert "result" not in made.sql


@pytest.mark.parametrize(
    "expression",
    [
        "TIME '10:00'", "TIMETZ '10:00+01'", "INTERVAL 1 DAY", "union_value(a := 1)", "[TIME '10:00']", "{'a': {'t': INTERVAL 1 DAY}}",
        "MAP {'a': TIME '10:00'}", "row(1, 'a')",
    ],
)  # fmt: skip
def test_types_without_an_honest_place_are_refused_with_the_column(expression: str, binder: Binder) -> None:
    with pytest.raises(SqlError, match=r"column 'x' has type .* which a Delta table cannot hold") as caught:
        compile_script(parse(f"SELECT 1 AS a,\n {expression} AS x"), {}, binder)
    assert caught.value.line == 2
    assert "CAST(x AS VARCHAR)" in caught.value.hint


def test_a_closing_cast_can_rename() -> None:
    query = parse("SELECT 1 AS a, 2::HUGEINT AS b").statements[0]
    closed, schema = closing_cast(query, schema_of({"a": "INTEGER", "b": "HUGEINT"}), ["x", "b"])  # type: ignore[arg-type]
    assert schema == schema_of({"x": "INTEGER", "b": "BIGINT"})
    assert duckdb.sql(closed.sql("duckdb")).columns == ["x", "b"]
    with pytest.raises(BindError, match="column 'x'"):
        closing_cast(query, schema_of({"x": "STRUCT(INTEGER, VARCHAR)"}))  # type: ignore[arg-type]


TYPES = st.recursive(
    st.sampled_from(
        ["INTEGER", "DECIMAL(10,2)", "TIMESTAMP WITH TIME ZONE", "VARCHAR", "ENUM('a', 'b],(''')"]
    ),
    lambda inner: st.one_of(
        inner.map("{}[]".format),
        st.builds("MAP({}, {})".format, st.sampled_from(["VARCHAR", "INTEGER"]), inner),
        st.lists(
            st.tuples(st.sampled_from(["a", "B_1", '"b c"', '"end"', '"x"",("', '"é"']), inner),
            min_size=1,
            max_size=3,
            unique_by=lambda field: field[0],
        ).map(lambda fields: f"STRUCT({', '.join(f'{name} {kind}' for name, kind in fields)})"),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(TYPES)
def test_a_type_is_taken_apart_and_put_together_again(kind: str) -> None:
    assert rebuilt(kind, str) == kind
    found = nested(kind)
    assert (found is None) == (not kind.endswith("]") and not kind.startswith(("STRUCT", "MAP")))
    assert "BLOB" in rebuilt(kind, lambda _: "BLOB")
    assert "INTEGER" not in rebuilt(kind, lambda _: "BLOB")
