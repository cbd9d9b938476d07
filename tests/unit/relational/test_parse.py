"""What a script names, what is refused and where, and what makes two scripts the same."""

from __future__ import annotations

import pytest

from odibi.relational.parse import SqlError, fingerprint, parse, volatile


@pytest.mark.parametrize(
    ("sql", "inputs"),
    [
        ("SELECT * FROM orders", ("orders",)),
        ("FROM Orders o, ORDERS p, other.orders", ("Orders", "other.orders")),
        ("TABLE orders", ("orders",)),
        ('SELECT * FROM "Two Words"', ("Two Words",)),
        ("SELECT 1", ()),
        ("SELECT * FROM range(3)", ()),
        (
            "SELECT * FROM a JOIN b USING (id) WHERE id IN (SELECT id FROM c) AND EXISTS (FROM d)",
            ("a", "b", "c", "d"),
        ),
        ("SELECT (SELECT max(x) FROM a) FROM (SELECT * FROM b UNION ALL (FROM c))", ("a", "b", "c")),
        ("SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.i = a.i)", ("a", "b")),
        ("PIVOT a ON k IN ('x') USING sum(v)", ("a",)),
        ("UNPIVOT a ON x, y INTO NAME k VALUE v", ("a",)),
        # CTEs: a name is its CTE's from the next one on, in the body, and below
        ("WITH x AS (FROM a) FROM x", ("a",)),
        ("WITH orders AS (FROM orders) FROM orders", ("orders",)),
        ("WITH x AS (FROM y), y AS (FROM a) FROM x, y", ("y", "a")),
        ("WITH X AS (FROM a) FROM x", ("a",)),
        ("FROM x JOIN (WITH x AS (FROM a) FROM x) s USING (i)", ("x", "a")),
        ("WITH x AS (WITH y AS (FROM a) FROM y) SELECT * FROM x, y", ("a", "y")),
        ("WITH x AS (FROM a) SELECT (WITH y AS (FROM x) SELECT max(i) FROM y)", ("a",)),
        ("WITH x AS (FROM a) FROM other.x", ("a", "other.x")),
        # recursion: the CTE sees itself in the second half of its UNION only, and never those after it
        ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n", ()),
        ("WITH RECURSIVE n AS (FROM n UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n", ("n",)),
        ("WITH RECURSIVE x AS (FROM x) FROM x", ("x",)),
        ("WITH RECURSIVE x AS (FROM y), y AS (SELECT 1) FROM x", ("y",)),
        # scripts: what they make is no input, unless it was read before
        ("CREATE TABLE t AS FROM a; FROM t", ("a",)),
        ("DELETE FROM a WHERE i IN (FROM b); FROM a", ("a", "b")),
        ("UPDATE a SET x = (SELECT max(y) FROM b)", ("b", "a")),
        ("INSERT INTO a SELECT * FROM b", ("a", "b")),
        ("SELECT 1 AS x; ", ()),
        ("CREATE OR REPLACE TABLE a AS SELECT * FROM a; FROM a", ("a",)),
        ("WITH x AS (FROM b) DELETE FROM a WHERE i IN (FROM x)", ("a", "b")),
    ],
)
def test_inputs_are_found_in_the_tree(sql: str, inputs: tuple[str, ...]) -> None:
    assert sorted(parse(sql).inputs) == sorted(inputs)


def test_inputs_come_in_order_of_first_use() -> None:
    assert parse("CREATE TABLE t AS FROM b; SELECT * FROM t, a, b, c").inputs == ("b", "a", "c")


@pytest.mark.parametrize(
    ("sql", "place", "message"),
    [
        ("SELECT * FROM read_csv('x.csv')", (1, 15), "table function read_csv() reads from outside"),
        ("SELECT *\nFROM a,\n  LATERAL read_text('x')", (3, 11), "table function read_text()"),
        ("SELECT (SELECT max(x) FROM read_parquet('x'))", (1, 28), "read_parquet()"),
        ("WITH x AS (FROM glob('*')) FROM x", (1, 17), "glob()"),
        ("SELECT * FROM duckdb_secrets()", (1, 15), "duckdb_secrets()"),
        ("SELECT * FROM query('SELECT 1')", (1, 15), "query()"),
        ("SELECT * FROM 'data/x.csv'", (1, 15), "'data/x.csv' is a file"),
        ("SELECT *\n FROM a WHERE i IN (FROM 'x.parquet')", (2, 26), "'x.parquet' is a file"),
        ('FROM "s3://bucket/x"', (1, 6), "is a file"),
        ("FROM 'X.CSV'", (1, 6), "is a file"),
        ("FROM other.'x.json'", (1, 6), "is a file"),
        ("FROM a.b.orders", (1, 6), "'a.b.orders' names a database"),
        ("PIVOT a ON k USING sum(v)", (1, 7), "PIVOT must declare its values"),
        ("FROM (PIVOT a ON k IN (SELECT 1) USING sum(v))", (1, 13), "PIVOT must declare its values"),
        ("SELECT 1 AS x;\nDELETE FROM a", (1, 8), "a SELECT in the middle"),
    ],
)
def test_what_reaches_outside_or_has_no_meaning_is_refused_at_its_place(
    sql: str, place: tuple[int, int], message: str
) -> None:
    with pytest.raises(SqlError, match=None) as caught:
        parse(sql).fold({"a": ()})
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == place
    assert caught.value.hint


@pytest.mark.parametrize(
    "sql",
    [
        "COPY a TO 'x'", "ATTACH 'x'", "INSTALL httpfs", "LOAD httpfs", "PRAGMA version", "SET threads = 1", "EXPORT DATABASE 'x'",
        "CREATE VIEW v AS SELECT 1", "CREATE MACRO f(x) AS x", "CREATE SCHEMA s", "DROP TABLE a", "ALTER TABLE a ADD COLUMN b INT",
        "DESCRIBE a", "SUMMARIZE a", "SHOW TABLES", "CALL pragma_version()", "BEGIN; SELECT 1", "TRUNCATE a", "VACUUM",
        "MERGE INTO a USING b ON a.i = b.i WHEN MATCHED THEN DELETE", "CREATE TABLE t (i INTEGER)", "USE other",
    ],
)  # fmt: skip
def test_other_statements_are_refused(sql: str) -> None:
    with pytest.raises(SqlError) as caught:
        parse(sql)
    assert caught.value.line == 1
    assert caught.value.hint


@pytest.mark.parametrize(
    ("sql", "place", "message"),
    [
        ("SELEC 1", (1, 1), 'at or near "SELEC"'),
        ("SELECT 1,\n  'e', 2 3", (2, 10), 'at or near "3"'),
        ("SELECT 'open", (1, 8), "unterminated"),
        ("", (1, 0), "there is no SQL here"),
        ("-- nothing\n;", (1, 0), "there is no SQL here"),
        ("SELECT reduce([1], lambda x, y: x + y)", (1, 38), "SQL that odibi cannot read"),
    ],
)
def test_a_syntax_error_is_at_its_place(sql: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(SqlError) as caught:
        parse(sql)
    assert message.lower() in caught.value.message.lower()
    assert (caught.value.line, caught.value.column) == place


def test_layout_comments_and_quotes_make_no_other_script() -> None:
    one = fingerprint(parse("SELECT a, count(*) AS n FROM t WHERE b = 'x' GROUP BY a"))
    assert one == fingerprint(
        parse("select /* how many */ \"a\",count(*) n\nfrom t -- all\nwhere b='x' group by a;")
    )


def test_another_meaning_makes_another_script() -> None:
    texts = [
        "SELECT a, count(*) AS n FROM t WHERE b = 'x' GROUP BY a",
        "SELECT a, count(*) AS n FROM t WHERE b = '' GROUP BY a",
        "SELECT a, count(*) AS n FROM t WHERE b = 0 GROUP BY a",
        "SELECT a, count(*) AS n FROM t WHERE b = '0' GROUP BY a",
        "SELECT a, count(*) AS n FROM t WHERE b = false GROUP BY a",
        "SELECT a, count(*) AS n FROM t WHERE b = true GROUP BY a",
        "SELECT a, count(*) AS n FROM t WHERE b = x GROUP BY a",
        "SELECT a, count(DISTINCT a) AS n FROM t WHERE b = 'x' GROUP BY a",
        "SELECT a, count(*) AS m FROM t WHERE b = 'x' GROUP BY a",
        "SELECT a, count(*) AS n FROM t WHERE b = 'x' GROUP BY a ORDER BY a",
        "SELECT a, count(*) AS n FROM t WHERE b = 'x' GROUP BY a ORDER BY a DESC",
        "SELECT a, count(*) AS n FROM t WHERE b = 'x' GROUP BY a ORDER BY a NULLS FIRST",
        "DELETE FROM t; SELECT a, count(*) AS n FROM t WHERE b = 'x' GROUP BY a",
    ]
    assert len({fingerprint(parse(text)) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    "expression",
    [
        "now()", "today()", "current_date", "current_timestamp", "current_localtimestamp()", "get_current_timestamp()",
        "random()", "uuid()", "gen_random_uuid()", "uuidv7()", "nextval('s')", "age(d)", "localtime", "localtimestamp",
    ],
)  # fmt: skip
def test_the_clock_and_chance_are_seen(expression: str) -> None:
    assert volatile(parse(f"SELECT * FROM a WHERE x < (SELECT {expression})"))
    assert volatile(parse(f"CREATE TABLE t AS SELECT {expression} AS v; SELECT 1 AS x"))


def test_a_sample_is_chance() -> None:
    assert volatile(parse("SELECT * FROM a USING SAMPLE 10 ROWS"))
    assert volatile(parse("SELECT * FROM a TABLESAMPLE 10%"))


@pytest.mark.parametrize(
    "sql", ["SELECT age(d, e), 'now()', \"random\", date '2024-01-01' FROM a", "FROM a LIMIT 1"]
)
def test_what_depends_on_the_inputs_alone_is_not_volatile(sql: str) -> None:
    assert not volatile(parse(sql))
