"""The table of portable functions: every line is true in the DuckDB shell and through the parser."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from odibi.relational.functions import FUNCTIONS, GROUPS, Function, is_aggregate, portable


@pytest.fixture(scope="module")
def shell() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as database:
        yield database


def answer(shell: duckdb.DuckDBPyConnection, select: str) -> str:
    ((found,),) = shell.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({select})").fetchall()
    return "NULL" if found is None else str(found)


def query(select: str) -> exp.Query:
    tree = sqlglot.parse_one(select, read="duckdb")
    assert isinstance(tree, exp.Query)
    return tree


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_the_example_gives_the_expected_text(shell: duckdb.DuckDBPyConnection, function: Function) -> None:
    assert function.example.startswith(f"{function.name}(")
    for name in function.names:
        select = f"SELECT {name}{function.example.removeprefix(function.name)}"
        tree = query(select)
        assert answer(shell, select) == function.expected
        assert answer(shell, tree.sql("duckdb")) == function.expected, "the parser changes its meaning"
        assert portable(tree) == ()
        assert is_aggregate(_call(tree)) == (function.group in ("Aggregates", "Windows"))


def _call(tree: exp.Query) -> exp.Expr:
    node = tree.selects[0].unalias()
    return node.this if isinstance(node, exp.Window) else node


def test_names_are_unique_and_sorted() -> None:
    names = [name for function in FUNCTIONS for name in function.names]
    assert len(set(names)) == len(names)
    assert [f.name for f in FUNCTIONS] == sorted(f.name for f in FUNCTIONS)
    assert {f.group for f in FUNCTIONS} == set(GROUPS)
    assert len(FUNCTIONS) >= 90


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_each_says_what_it_is_in_a_sentence(function: Function) -> None:
    assert function.doc.endswith(".")
    assert function.doc[0].isupper() or function.doc[0] in "-ex"
    assert function.returns
    assert not function.rule.endswith(".")


@pytest.mark.parametrize(
    "select",
    [
        "SELECT a AND NOT b OR c LIKE 'x%' AND d IN (1, 2) AND e BETWEEN 1 AND 2 FROM t",
        "SELECT CAST(a AS DATE), b::INTEGER, TRY_CAST(c AS DOUBLE), DATE '2024-01-01' FROM t",
        "SELECT CASE WHEN a THEN 1 ELSE 2 END, a || b, a ** 2, -a // b, a % 2, a IS NOT NULL FROM t",
        "SELECT [1, 2], {'a': 1}, l[1], s.a, count(*) FILTER (WHERE a > 0) FROM t WHERE EXISTS (SELECT 1)",
        "SELECT date_trunc(p, d), date_trunc('month', d), extract(year FROM d), date_part('dow', d) FROM t",
        "SELECT date_diff('day', a, b), strftime(a, '%Y'), trim(s), trim(s, 'x'), substring(s, 1, 2) FROM t",
        "SELECT sum(a) OVER (PARTITION BY b ORDER BY c), lag(a IGNORE NULLS) OVER (ORDER BY c) FROM t",
        "WITH x AS (SELECT max(a) AS a FROM t) SELECT * FROM x JOIN t USING (a) ORDER BY upper(b) LIMIT 3",
        "SELECT string_agg(a, ',' ORDER BY a), quantile_cont(a, 0.5), COUNT(DISTINCT a) FROM t",
    ],
)
def test_what_is_in_the_table_is_portable(select: str) -> None:
    assert portable(query(select)) == ()


@pytest.mark.parametrize(
    ("select", "bound"),
    [
        ("SELECT now(), current_date, random() FROM t", ("current_date", "now", "random")),
        (
            "SELECT first(a), any_value(b), mode(c), list(d) FROM t",
            ("any_value", "array_agg", "first", "mode"),
        ),
        ("SELECT hash(a), My_Own(b), upper(c) FROM t", ("hash", "my_own")),
        ("SELECT list_sum(l) FROM range(3)", ("list_sum", "range")),
        ("SELECT a -> '$.x', COLUMNS('b.*') FROM t", ("columns", "json_extract")),
        ("SELECT upper(a) FROM (SELECT levenshtein(a, b) AS a FROM t)", ("levenshtein",)),
    ],
)
def test_what_is_not_in_the_table_is_named(select: str, bound: tuple[str, ...]) -> None:
    assert portable(query(select)) == bound
