"""The clauses of a query, and the first of them with which a row is gone."""

from __future__ import annotations

import duckdb
import pytest
from sqlglot import exp, parse_one

from odibi.why.clauses import clauses, with_first

TABLES = """
CREATE TABLE t AS FROM (VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'a'), (4, 9, 'a'), (5, 2, NULL), (6, 3, 'c')) v(id, k, g);
CREATE TABLE u AS FROM (VALUES (1, 'one'), (2, 'two'), (3, 'three')) v(k, name);
"""


def dropped(sql: str, row: str) -> str:
    """What is said of the clause that drops the row; empty where the row is there or never was."""
    query = parse_one(sql, dialect="duckdb")
    assert isinstance(query, exp.Query)
    known = clauses(query)
    with duckdb.connect() as db:
        db.execute(TABLES)

        def there(count: int) -> bool:
            cut = with_first(query, known, count).sql("duckdb")
            return bool(db.execute(f"SELECT count(*) FROM ({cut}) WHERE {row}").fetchall()[0][0])

        counts = [there(count) for count in range(len(known) + 1)]
    assert counts[-1] == there_is(sql, row), "with all its clauses the query is what it was"
    return known[counts.index(False) - 1].said if counts[0] and False in counts else ""


def there_is(sql: str, row: str) -> bool:
    with duckdb.connect() as db:
        db.execute(TABLES)
        return bool(db.execute(f"SELECT count(*) FROM ({sql}) WHERE {row}").fetchall()[0][0])


@pytest.mark.parametrize(
    ("sql", "row", "said"),
    [
        ("SELECT * FROM t WHERE g = 'a' AND id > 1", "id = 1", "the filter id > 1 does not hold for it"),
        ("SELECT * FROM t WHERE g = 'a' AND id > 1", "id = 2", "the filter g = 'a' does not hold for it"),
        ("SELECT * FROM t WHERE g = 'a' OR id > 1", "id = 9", ""),
        ("SELECT t.id FROM t JOIN u USING (k) WHERE g = 'a'", "id = 4", "it has no match in u: JOIN u USING (k)"),
        ("SELECT t.id FROM t JOIN u USING (k) WHERE g = 'a'", "id = 5", "the filter g = 'a' does not hold for it"),
        ("SELECT t.id FROM t SEMI JOIN u ON t.k = u.k", "id = 4", "it has no match in u: SEMI JOIN u ON t.k = u.k"),
        ("SELECT t.id FROM t ANTI JOIN u ON t.k = u.k", "id = 1", "it has a match in u: ANTI JOIN u ON t.k = u.k"),
        ("SELECT g, count(*) AS n FROM t GROUP BY g HAVING count(*) > 1", "g = 'b'", "HAVING COUNT(*) > 1 does not hold for its group"),
        ("SELECT * FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY id) = 1", "id = 2", "another row of the same k was kept: ROW_NUMBER() OVER (PARTITION BY k ORDER BY id) = 1"),
        ("SELECT DISTINCT ON (k) * FROM t ORDER BY k, id", "id = 2", "another row of its key comes first: DISTINCT ON"),
        ("SELECT * FROM t ORDER BY id LIMIT 2", "id = 3", "it is not among the rows of LIMIT 2"),
        ("WITH c AS (SELECT * FROM t WHERE id < 3) SELECT * FROM c WHERE g = 'a'", "id = 3", "the filter id < 3 does not hold for it"),
        ("SELECT * FROM (SELECT id FROM t WHERE id < 3) UNION ALL SELECT k FROM u WHERE k < 3", "id = 3", "the filter k < 3 does not hold for it"),
        ("SELECT t.id FROM t LEFT JOIN u ON t.k = u.k", "id = 4", ""),
        ("SELECT t.id FROM t RIGHT JOIN u ON t.k = u.k", "id = 4", "it has no match in u: RIGHT JOIN u ON t.k = u.k"),
        ("SELECT k, g FROM t RIGHT OUTER JOIN u USING (k) WHERE g = 'a'", "k = 9", "it has no match in u: RIGHT OUTER JOIN u USING (k)"),
        ("SELECT t.id FROM t FULL JOIN u ON t.k = u.k WHERE id < 4", "id = 4", "the filter id < 4 does not hold for it"),
    ],
)  # fmt: skip
def test_the_clause_that_drops_a_row(sql: str, row: str, said: str) -> None:
    assert dropped(sql, row) == said
