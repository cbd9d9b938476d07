"""Queries held against engines that truly differ: found, shrunk to three rows, shown side by side."""

from __future__ import annotations

import pytest
from sqlglot import exp

from odibi.prove import Difference, Failure, StepProof, Table, Verdict, prove_query
from odibi.prove.ask import Bench
from odibi.prove.compare import rows_of
from odibi.prove.query import ordered_by
from odibi.relational.bind import Binder
from odibi.relational.compile import compile_script
from odibi.relational.parse import SqlError, parse
from odibi.relational.schema import Relation, schema_of
from tests.unit.prove.conftest import Benches, lenient, without_rules

T = schema_of(
    {"i": "INTEGER", "j": "INTEGER", "d": "DOUBLE", "s": "VARCHAR", "at": "TIMESTAMP WITH TIME ZONE"}
)
U = schema_of({"k": "INTEGER", "label": "VARCHAR", "n": "INTEGER"})


def differs(proof: StepProof) -> Difference:
    """The one difference of a proof, on three rows at most."""
    assert proof.verdict is Verdict.DIFFERENT
    (difference,) = proof.differences
    assert (difference.reference, difference.engine) == ("duckdb", "other")
    assert sum(map(len, difference.inputs.values())) <= 3
    return difference


def rows(difference: Difference, engine: str) -> list[object]:
    answer = difference.answers[engine]
    assert isinstance(answer, Table)
    return list(rows_of(answer))


FOUND = [
    ("SELECT s FROM t ORDER BY s", ["default_null_order = 'nulls_first'"]),
    ("SELECT i, s FROM t ORDER BY s", ["default_order = 'DESC'"]),
    ("SELECT row_number() OVER (ORDER BY i) AS r, i FROM t", ["default_null_order = 'nulls_first'"]),
    ("SELECT CAST(at AS DATE) AS day FROM t", ["TimeZone = 'America/New_York'"]),
    ("SELECT date_trunc('month', at) AS m, count(*) AS n FROM t GROUP BY m", ["TimeZone = 'Asia/Tokyo'"]),
    ("SELECT CAST(i / j AS DOUBLE) AS q FROM t", ["integer_division = true"]),
    ("SELECT s, count(*) AS n FROM t GROUP BY s", ["default_collation = 'NOCASE'"]),
    ("SELECT max(s) AS m FROM t", ["default_collation = 'NOCASE'"]),
    ("SELECT t.i, u.label FROM t JOIN u ON t.s = u.label", ["default_collation = 'NOCASE'"]),
    ("SELECT i FROM t WHERE s = 'Paid'", ["default_collation = 'NOCASE'"]),
    ("SELECT i FROM t WHERE s NOT IN (SELECT label FROM u)", ["default_collation = 'NOCASE'"]),
]


@pytest.mark.parametrize(("sql", "settings"), FOUND)
def test_what_an_engine_does_otherwise_is_found_and_shrunk(
    bench: Benches, sql: str, settings: list[str]
) -> None:
    found = differs(prove_query(sql, {"t": T, "u": U}, bench(*settings)))
    assert found.said.startswith(("lacks", "has", "orders"))


@pytest.mark.parametrize(("sql", "settings"), FOUND)
def test_what_is_found_is_no_false_alarm(bench: Benches, sql: str, settings: list[str]) -> None:
    del settings
    proof = prove_query(sql, {"t": T, "u": U}, bench())
    assert proof.verdict is Verdict.PROVED
    assert proof.rows == proof.edges > 50
    assert proof.trials >= 6


def test_the_rows_are_what_the_difference_is_about(bench: Benches) -> None:
    found = differs(
        prove_query("SELECT i, j // 2 AS h FROM t WHERE i = 41", {"t": T}, bench(rewrite=_off_by_one))
    )
    (row,) = rows_of(found.inputs["t"])
    assert row[0] == 41
    assert row[2:] == (None, None, None)  # what does not matter is NULL
    assert rows(found, "duckdb") != rows(found, "other")


def _off_by_one(query: exp.Query) -> exp.Query:
    """Two for three: a rewriting that is wrong."""
    return query.transform(lambda n: exp.Literal.number(3) if n == exp.Literal.number(2) else n)


def test_where_only_the_reference_fails(bench: Benches) -> None:
    found = differs(prove_query("SELECT CAST(s AS INTEGER) AS n FROM t", {"t": T}, bench(rewrite=lenient)))
    assert found.said == "answers where that fails"
    assert isinstance(found.answers["duckdb"], Failure)
    assert rows(found, "other") == [(None,)]


def test_where_only_the_other_fails(bench: Benches) -> None:
    def strict(query: exp.Query) -> exp.Query:
        return query.transform(lambda n: exp.Cast(this=n.this, to=n.to) if isinstance(n, exp.TryCast) else n)

    found = differs(prove_query("SELECT TRY_CAST(s AS INTEGER) AS n FROM t", {"t": T}, bench(rewrite=strict)))
    assert found.said == "fails"
    failure = found.answers["other"]
    assert isinstance(failure, Failure)
    assert failure.kind == "ConversionException"
    assert rows(found, "duckdb") == [(None,)]


def test_rows_on_which_both_fail_are_dropped_and_counted(bench: Benches) -> None:
    proof = prove_query("SELECT CAST(s AS INTEGER) AS n FROM t", {"t": T}, bench())
    assert proof.verdict is Verdict.PROVED
    assert proof.dropped > 50
    assert proof.rows > 10  # texts that are numbers are left


def test_rows_that_fail_only_together_are_dropped_too(bench: Benches) -> None:
    proof = prove_query("SELECT sum(b) AS n FROM t", {"t": schema_of({"b": "BIGINT"})}, bench())
    assert proof.verdict is Verdict.PROVED


def test_the_rules_are_what_makes_engines_equal(bench: Benches) -> None:
    found = differs(prove_query("SELECT i // j AS q FROM t", {"t": T}, bench(rewrite=without_rules)))
    assert rows_of(found.inputs["t"])[0][1] == 0


def test_an_answer_that_hangs_on_the_order_of_rows_says_so(bench: Benches) -> None:
    def turned(query: exp.Query) -> exp.Query:
        table = next(iter(query.find_all(exp.Table)))
        table.replace(exp.select("*").from_(table.copy()).order_by("d DESC", "i").subquery("t"))
        return query

    sql = "SELECT i, row_number() OVER (ORDER BY j) AS r FROM t"
    found = differs(prove_query(sql, {"t": T}, bench(rewrite=turned)))
    assert found.ordered


def test_samples_are_tried_beside_edges(bench: Benches) -> None:
    made = bench(rewrite=lambda q: q.transform(lambda n: exp.Literal.number(9) if n.name == "5" else n))
    sample = made.made(T, [[987_654, 1, 0.5, "x", None]])
    proof = prove_query("SELECT i + 5 AS n FROM t WHERE i > 900000 AND i < 2000000", {"t": sample}, made)
    found = differs(proof)
    assert proof.rows - proof.edges == 1
    assert rows(found, "duckdb") == [(987_659,)]


def test_answers_that_multiply_are_tried_with_fewer_rows(bench: Benches) -> None:
    proof = prove_query("SELECT a.i FROM t a, t b, t c, u", {"t": T, "u": U}, bench())
    assert proof.verdict is Verdict.PROVED


def test_functions_that_only_one_engine_has_are_refused(bench: Benches) -> None:
    proof = prove_query("SELECT first(i) AS f, histogram(j) AS h FROM t", {"t": T}, bench())
    assert proof.verdict is Verdict.REFUSED
    first, second = sorted(proof.problems)
    assert first.message == "first() is none of the functions that mean the same on every engine"
    assert "arg_min(value, order)" in first.hint
    assert second.hint == "odibi docs functions lists those that do"


def test_what_duckdb_refuses_is_an_error(bench: Benches) -> None:
    with pytest.raises(SqlError, match="'x' not found"):
        prove_query("SELECT x FROM t", {"t": T}, bench())


def test_a_query_without_inputs_is_asked_once(bench: Benches) -> None:
    proof = prove_query("SELECT 1 AS x", {}, bench())
    assert (proof.verdict, proof.rows, proof.trials) == (Verdict.PROVED, 0, 1)


@pytest.mark.parametrize(
    ("sql", "keys"),
    [
        ("SELECT i, s FROM t ORDER BY s, i DESC", ("s", "i")),
        ("SELECT i AS n FROM t ORDER BY n", ("n",)),
        ("SELECT i, s FROM t ORDER BY s, i + 1", ("s",)),
        ("SELECT i FROM t ORDER BY lower(s)", ()),
        ("SELECT i FROM (SELECT i FROM t ORDER BY i)", ()),
    ],
)
def test_the_order_that_counts_is_that_of_columns(sql: str, keys: tuple[str, ...]) -> None:
    binder = Binder()
    compiled = compile_script(parse(sql), {"t": Relation("t", T)}, binder)["data"]
    binder.close()
    assert ordered_by(compiled) == keys


def test_equal_seeds_find_the_same(bench: Benches) -> None:
    def found(one: Bench) -> list[object]:
        proof = prove_query("SELECT CAST(i / j AS DOUBLE) AS q FROM t", {"t": T}, one, seed="7")
        return rows_of(differs(proof).inputs["t"])  # type: ignore[return-value]

    assert found(bench("integer_division = true")) == found(bench("integer_division = true"))
