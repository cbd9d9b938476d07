"""The condition of a question: one expression, and nothing that reaches beyond the row."""

from __future__ import annotations

import duckdb
import pytest

from odibi.why.condition import BadCondition, condition_of
from odibi.why.rows import without_values


@pytest.mark.parametrize(
    "text",
    [
        "true); COPY (select 42) TO '/tmp/x.csv'; SELECT (1",
        "COPY (select 42) TO '/tmp/x.csv'",
        "id in (select 1 from '/tmp/secret.csv')",
        "id in (values (1))",
        "exists(from t)",
        "id = any(from t)",
        "(from '/tmp/secret.csv')",
        "1=1) OR (1=1",
        "a; b",
        "a; -- b",
        "a = 1 as b",
        "set x = 1",
        "pragma x",
        "",
        "-- nothing",
        "read_text('/tmp/secret') = 'x'",
        "unnest([1]) = 1",
        "error('x')",
        "'x'.error()",
        "main.\"error\"('x')",
        "getvariable('x') = 1",
        "$$it's$$ = s",
        "E'\\\\' = '; COPY (select 42) TO ''/tmp/x.csv'''",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(BadCondition):
        condition_of(text)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a = 1 -- the first", True),
        ("day = '2026-01-05' AND NOT b", True),
        ("a IN (1, 2) OR s LIKE 'it''s%'", True),
        ("list_contains(l, 3) AND l[1] = 2", False),
        ("len(list_filter(l, lambda x: x > 1)) = 2", True),
        ("CASE WHEN b IS NULL THEN a > 1 ELSE day + INTERVAL 1 DAY > DATE '2026-01-05' END", True),
        ("s = '\\'", False),
    ],
)
def test_a_condition_means_what_it_meant(text: str, holds: bool) -> None:
    row = "(SELECT 1 AS a, false AS b, DATE '2026-01-05' AS day, 'it''s' AS s, [2, 4] AS l)"
    with duckdb.connect() as db:
        for written in (f"{text}\n", condition_of(text)):
            assert db.execute(f"SELECT ({written}) FROM {row}").fetchall() == [(holds,)]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT CAST(s AS INTEGER) FROM (VALUES ('ada@x.com')) v(s)", "it fails on some row (Conversion)"),
        ("SELECT error(s) FROM (VALUES ('ada@x.com')) v(s)", "it fails on some row (InvalidInput)"),
        ("SELECT nosuch('x')", "Catalog Error: Scalar Function with name nosuch does not exist!"),
        ("SELECT b FROM (VALUES ('ada@x.com')) v(s)", 'Binder Error: Referenced column "b" not found in FROM clause!'),
    ],
)  # fmt: skip
def test_an_error_is_told_without_the_values_of_rows(sql: str, said: str) -> None:
    with duckdb.connect() as db, pytest.raises(duckdb.Error) as failed:
        db.execute(sql).fetchall()
    assert without_values(failed.value) == said
