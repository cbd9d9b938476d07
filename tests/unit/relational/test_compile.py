"""Queries and scripts compiled: the same rows as DuckDB gives, known columns, errors at their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi.relational.bind import Binder
from odibi.relational.compile import Compiled, compile_script
from odibi.relational.parse import SqlError, parse
from odibi.relational.schema import Relation, Schema, schema_of
from tests.unit.relational.corpus import QUERIES, TABLES

UNKEPT = {"HUGEINT": "BIGINT", "JSON": "VARCHAR", "UBIGINT": "DECIMAL(20,0)", '"NULL"': "INTEGER"}
"""Types of the answers that are stored as others."""


@pytest.fixture(scope="module")
def binder() -> Iterator[Binder]:
    one = Binder()
    yield one
    one.close()


@pytest.fixture(scope="module")
def shell() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as database:
        database.execute("SET TimeZone='UTC'")
        database.execute(TABLES)
        yield database


def described(shell: duckdb.DuckDBPyConnection, table: str) -> Schema:
    return schema_of([(row[0], row[1]) for row in shell.execute(f"DESCRIBE {table}").fetchall()])


def bag(rows: Sequence[Any]) -> list[str]:
    return sorted(map(repr, rows))


def compiled(
    sql: str, binder: Binder, shell: duckdb.DuckDBPyConnection, **aliases: str
) -> dict[str, Compiled]:
    script = parse(sql)
    inputs = {}
    for name in script.inputs:
        dataset = aliases.get(name, name.rsplit(".", 1)[-1].lower())
        inputs[name] = Relation(dataset, described(shell, dataset))
    return compile_script(script, inputs, binder)


@pytest.mark.parametrize("sql", QUERIES, ids=range(len(QUERIES)))
def test_a_query_gives_what_it_gives_in_the_shell(
    sql: str, binder: Binder, shell: duckdb.DuckDBPyConnection
) -> None:
    answer = shell.sql(sql)
    made = compiled(sql, binder, shell)["data"]
    assert [column.name for column in made.schema] == answer.columns
    kept = shell.sql(made.query.sql("duckdb"))
    assert kept.columns == answer.columns
    assert [str(kind) for kind in kept.types] == [column.type for column in made.schema]
    casts = [
        f'CAST("{name}" AS {UNKEPT.get(str(kind), "MAP(VARCHAR, DECIMAL(20,0))" if "UBIGINT)" in str(kind) else kind)}) AS "{name}"'
        for name, kind in zip(answer.columns, map(str, answer.types), strict=True)
        if str(kind) in UNKEPT or "UBIGINT)" in str(kind)
    ]
    if casts:  # what the closing cast is to do, done by hand
        replaced = ", ".join(casts)
        answer = shell.sql(f"SELECT * REPLACE ({replaced}) FROM ({sql})")
    assert bag(kept.fetchall()) == bag(answer.fetchall())
    if parse(sql).statements[0].args.get("order"):
        again = shell.sql(made.query.sql("duckdb")).fetchall()
        assert [repr(row) for row in again] == [repr(row) for row in answer.fetchall()]


# --- scripts -------------------------------------------------------------------------------------


def executed(sql: str, tables: dict[str, tuple[str, list[tuple[Any, ...]]]]) -> dict[str, list[str]]:
    """What DuckDB's tables hold after the script, and the answer of its last query."""
    with duckdb.connect(":memory:") as database:
        fill(database, tables)
        answer = None
        for statement in database.extract_statements(sql):
            answer = database.execute(statement.query).fetchall()
        found = {
            name: bag(database.execute(f"FROM {name}").fetchall())
            for (name,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        }
        return {**found, "data": bag(answer or [])}


def fill(database: duckdb.DuckDBPyConnection, tables: dict[str, tuple[str, list[tuple[Any, ...]]]]) -> None:
    for name, (columns, rows) in tables.items():
        database.execute(f"CREATE TABLE {name} ({columns})")
        for row in rows:
            database.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)


def folded(
    sql: str, tables: dict[str, tuple[str, list[tuple[Any, ...]]]], binder: Binder
) -> dict[str, list[str]]:
    """What the compiled queries give over the untouched tables."""
    script = parse(sql)
    with duckdb.connect(":memory:") as database:
        fill(database, tables)
        before = {name: bag(database.execute(f"FROM {name}").fetchall()) for name in tables}
        inputs = {name: Relation(name.lower(), described(database, name)) for name in script.inputs}
        made = compile_script(script, inputs, binder)
        found = {name.lower(): bag(database.execute(query.sql).fetchall()) for name, query in made.items()}
        assert before == {name: bag(database.execute(f"FROM {name}").fetchall()) for name in tables}
        return found


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 1, 2, 3, -1]),
        st.sampled_from([None, "", "a", "b", "A"]),
        st.sampled_from([None, 0.0, 0.5, -1.5, 2.0]),
        st.sampled_from([None, 2**53 + 1, 5, -7]),
    ),
    max_size=6,
)
COLUMNS = "a INTEGER, b VARCHAR, c DOUBLE, d BIGINT"
CONDITIONS = st.sampled_from(
    [
        "a > 1", "b = 'a'", "c IS NULL", "a IN (SELECT a FROM u)", "a NOT IN (SELECT a FROM u)", "a = d OR b <> 'a'",
        "EXISTS (SELECT 1 FROM u WHERE u.a = t.a)", "a > (SELECT avg(a) FROM t)", "d = (SELECT max(d) FROM t)", "true", "NULL", "a % 2 = 0",
        "(a, b) IN (SELECT a, b FROM u)", "b LIKE 'a%' AND NOT c > 0",
    ]
)  # fmt: skip
SETTERS = st.sampled_from(
    [
        "a = a + 1", "b = upper(b)", "a = d % 3, d = a", "b = 'x', a = NULL", "c = a / 2", "d = d + 0.5", "d = c * 1.1", "a = (SELECT max(a) FROM u)",
        "b = a", "c = NULL, b = b || '!'", "a = CASE WHEN b = 'a' THEN 1 ELSE a END",
    ]
)  # fmt: skip
STATEMENTS = st.one_of(
    st.builds("DELETE FROM t WHERE {}".format, CONDITIONS),
    st.just("DELETE FROM t"),
    st.builds("UPDATE t SET {} WHERE {}".format, SETTERS, CONDITIONS),
    st.builds("UPDATE t SET {}".format, SETTERS),
    st.builds("UPDATE t AS o SET a = o.a + 10 WHERE o.{}".format, st.sampled_from(["a > 0", "b = 'b'"])),
    st.builds("INSERT INTO t SELECT * FROM u WHERE {}".format, CONDITIONS.filter(lambda x: "t." not in x)),
    st.sampled_from(
        [
            "INSERT INTO t VALUES (9, 'n', 1.5, 3), (NULL, NULL, NULL, NULL)",
            "INSERT INTO t (d, a) VALUES (3.4, 5)",
            "INSERT INTO t (b, a) SELECT b, count(*) FROM t GROUP BY b",
            "INSERT INTO t BY NAME SELECT b, a FROM u",
            "INSERT INTO t WITH x AS (SELECT * FROM u) SELECT * FROM x",
            "WITH x AS (SELECT a FROM u) INSERT INTO t (a) SELECT a FROM x",
            "WITH x AS (SELECT a FROM u) DELETE FROM t WHERE a IN (FROM x)",
            "CREATE OR REPLACE TABLE v AS SELECT b, sum(a) AS s, count(*) AS n FROM t GROUP BY b",
            "CREATE TABLE IF NOT EXISTS w AS SELECT a, b FROM t",
            "CREATE OR REPLACE TEMP TABLE t2 (x, y) AS SELECT a, b FROM t",
            "DELETE FROM u WHERE a IN (SELECT a FROM t)",
            "UPDATE u SET b = 'from t' WHERE EXISTS (SELECT 1 FROM t WHERE t.a = u.a)",
        ]
    ),
)
LAST = st.sampled_from(
    [
        "", "", "SELECT b, count(*) AS n, sum(d) AS s FROM t GROUP BY b", "WITH x AS (SELECT * FROM t) SELECT x.a, u.b FROM x, u WHERE x.a = u.a",
        "SELECT * FROM T UNION ALL SELECT * FROM u", "WITH t AS (SELECT a FROM t WHERE a > 0) SELECT count(*) AS n FROM t",
    ]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(t=ROWS, u=ROWS, statements=st.lists(STATEMENTS, min_size=1, max_size=4), last=LAST)
def test_a_folded_script_leaves_what_duckdb_leaves(
    binder: Binder, t: list[Any], u: list[Any], statements: list[str], last: str
) -> None:
    tables = {"t": (COLUMNS, t), "u": (COLUMNS, u)}
    sql = ";\n".join([*statements, last] if last else statements)
    try:
        expected = executed(sql, tables)
    except duckdb.Error:
        return  # what DuckDB refuses has no answer to be equal to
    found = folded(sql, tables, binder)
    assert found == {name: expected[name] for name in found}
    assert set(found) == {"data"} if last else set(found) <= set(expected)


def test_a_made_table_can_be_changed(binder: Binder) -> None:
    sql = (
        "CREATE TABLE v AS SELECT b, sum(a) AS s FROM t GROUP BY b; INSERT INTO v VALUES ('new', 1);"
        "UPDATE v SET s = s * 2.6 WHERE s > 0; DELETE FROM v WHERE b IS NULL; INSERT INTO v SELECT b, s FROM v; SELECT * FROM v"
    )
    tables: dict[str, tuple[str, list[Any]]] = {
        "t": (COLUMNS, [(1, "a", None, None), (2, "a", None, None), (3, None, None, None)])
    }
    assert folded(sql, tables, binder)["data"] == executed(sql, tables)["data"]


def test_a_long_script_over_itself_stays_small(binder: Binder) -> None:
    statement = "DELETE FROM t WHERE a > (SELECT max(a) FROM t) - 1 AND a IN (SELECT a FROM t)"
    tables = {"t": (COLUMNS, [(i, "x", 0.0, i) for i in range(30)])}
    sql = "; ".join([statement] * 14)
    assert folded(sql, tables, binder)["t"] == executed(sql, tables)["t"]
    made = compile_script(parse(sql), {"t": Relation("t", schema_of({"a": "INTEGER"}))}, binder)
    assert len(made["t"].sql) < 10_000


def test_a_large_integer_is_not_rounded_by_the_new_value_of_another_row(binder: Binder) -> None:
    tables = {"t": (COLUMNS, [(1, "a", None, 2**53 + 1), (2, "b", None, 4)])}
    found = folded("UPDATE t SET d = d * 1.5e0 WHERE a = 2", tables, binder)["t"]
    assert found == bag([(1, "a", None, 2**53 + 1), (2, "b", None, 6)])


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("INSERT INTO t SELECT 1, 'x', 2.5, 4, 'one too many'", "needs 4 columns, found 5"),
        ("INSERT INTO t (a) VALUES (1, 2)", "needs 1 columns, found 2"),
        ("INSERT INTO t (a, a) VALUES (1, 2)", "names column 'a' twice"),
        ("INSERT INTO t (zz) VALUES (1)", "unknown column 'zz'"),
        ("INSERT INTO t BY NAME SELECT 1 AS zz", "unknown column 'zz'"),
        ("UPDATE t SET zz = 1", "unknown column 'zz'"),
        ("UPDATE t SET (a, d) = (1, 2)", "unknown column"),
        ("UPDATE t SET a = 1 FROM u WHERE t.a = u.a", "UPDATE with FROM"),
        ("UPDATE t SET a = 1 RETURNING a", "UPDATE with RETURNING"),
        ("DELETE FROM t USING u WHERE t.a = u.a", "DELETE with USING"),
        ("INSERT INTO t VALUES (1, 'a', 2, 3) ON CONFLICT DO NOTHING", "INSERT with ON CONFLICT"),
        ("INSERT OR REPLACE INTO t VALUES (1, 'a', 2, 3)", "INSERT with OR REPLACE"),
        ("INSERT INTO t DEFAULT VALUES", "INSERT with DEFAULT VALUES"),
        ("CREATE TABLE v AS SELECT 1 AS x WITH NO DATA", "is not supported in a step"),
        ("CREATE TABLE v (x DATE) AS SELECT 1", "is not supported in a step"),
        ("CREATE TABLE v AS FROM t; CREATE TABLE v AS FROM u", "table 'v' exists already"),
        ("DELETE FROM t; CREATE TABLE t AS FROM u", "table 't' exists already"),
        ("WITH t AS (SELECT 1 AS a) DELETE FROM t", "the CTE 't' has the name of the table"),
    ],
)
def test_what_a_statement_cannot_say_in_a_step_is_refused(sql: str, message: str, binder: Binder) -> None:
    schema = schema_of({"a": "INTEGER", "b": "VARCHAR", "c": "DOUBLE", "d": "BIGINT"})
    script = parse(sql)
    with pytest.raises(SqlError) as caught:
        compile_script(script, {name: Relation(name, schema) for name in ("t", "u")}, binder)
    assert message in caught.value.message
    assert caught.value.line == 1


def test_a_script_without_a_binder_says_what_it_cannot_know() -> None:
    with pytest.raises(SqlError, match="columns are not known"):
        parse("INSERT INTO t SELECT 1").fold({"t": schema_of({"a": "INTEGER"})})
    assert list(parse("DELETE FROM t").fold({"t": schema_of({"a": "INTEGER"})})) == ["t"]


# --- names ---------------------------------------------------------------------------------------


def test_an_alias_is_read_as_its_dataset(binder: Binder, shell: duckdb.DuckDBPyConnection) -> None:
    made = compiled("SELECT raw.order_id, r.status FROM raw, Raw r WHERE raw.order_id = r.order_id", binder, shell, raw="orders", Raw="orders")  # fmt: skip
    assert made["data"].inputs == ("orders",)
    assert len(shell.execute(made["data"].sql).fetchall()) == 8


def test_a_dataset_of_another_pipeline_keeps_its_name_in_columns(binder: Binder) -> None:
    schema = schema_of({"id": "INTEGER"})
    script = parse("SELECT other.orders.id, orders.id AS again FROM other.orders WHERE other.orders.id > 1")
    made = compile_script(script, {"other.orders": Relation("other.orders", schema)}, binder)["data"]
    assert made.inputs == ("other.orders",)
    assert [column.name for column in made.schema] == ["id", "again"]


def test_a_cte_that_would_hide_a_dataset_is_refused(binder: Binder, shell: duckdb.DuckDBPyConnection) -> None:
    sql = "WITH orders AS (SELECT 1 AS x),\n b AS (SELECT * FROM raw) SELECT x, order_id FROM orders, b"
    with pytest.raises(SqlError, match="a CTE has that name") as caught:
        compiled(sql, binder, shell, raw="orders")
    assert (caught.value.line, caught.value.column) == (2, 22)
    own = "WITH orders AS (SELECT * FROM raw WHERE quantity > 1) SELECT count(*) AS n FROM orders"
    made = compiled(own, binder, shell, raw="orders")["data"]
    assert shell.execute(made.sql).fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("sql", "place", "message", "hint"),
    [
        ("SELECT prce FROM orders", (1, 8), "column 'prce' not found", "did you mean 'price'?"),
        ("SELECT order_id,\n  prce\nFROM orders", (2, 3), "column 'prce' not found", "did you mean 'price'?"),
        ("SELECT 'é', prce FROM orders", (1, 13), "column 'prce' not found", "did you mean 'price'?"),
        ("-- é\nSELECT 'é',\n 'ü', prce FROM raw", (3, 7), "column 'prce' not found", "did you mean 'price'?"),
        ("SELECT o.prce FROM raw o", (1, 8), 'Table "o" does not have a column named "prce"', ""),
        ("SELECT prce FROM other.orders", (1, 8), "column 'prce' not found", "did you mean 'price'?"),
        ("SELECT fooo(price) FROM raw", (1, 8), "unknown function 'fooo'", "did you mean 'floor'?"),
        ("SELECT *\nFROM ordrs", (2, 6), "unknown table 'ordrs'", "did you mean 'orders'?"),
        ('SELECT * FROM "ordrs"', (1, 15), "unknown table 'ordrs'", "did you mean 'orders'?"),
        ("SELECT price + note FROM orders", (1, 14), "No function matches", ""),
        ("SELECT sum(price) AS s, note FROM orders", (1, 25), 'column "note" must appear in the GROUP BY', ""),
        ("SELECT z.price FROM orders", (1, 8), 'Referenced table "z" not found', ""),
        ("SELECT 1 AS a, 2 AS A", (1, 13), "two columns are called 'A'", ""),
        ("SELECT 1 AS x, 2 AS x", (1, 13), "two columns are called 'x'", ""),
        ("SELECT order_id,\n TIME '10:00' AS t FROM orders", (2, 18), "has type TIME", "cast it"),
        # in scripts, wherever the statement stands
        ("DELETE FROM orders WHERE 'é' = note;\nDELETE FROM orders WHERE prce > 1", (2, 26), "column 'prce' not found", "did you mean 'price'?"),
        ("CREATE TABLE t AS SELECT price AS p FROM raw;\nUPDATE t SET p = pp + 1;", (2, 18), "column 'pp' not found", "did you mean 'p'?"),
        ("/* first */\nUPDATE raw SET price = fooo(price);\nSELECT * FROM raw", (2, 24), "unknown function 'fooo'", "did you mean 'floor'?"),
        ("CREATE TABLE t AS SELECT 1 AS a; SELECT b FROM t", (1, 41), "column 'b' not found", "did you mean 'a'?"),
    ],
)  # fmt: skip
def test_an_error_is_at_its_place_in_the_text(
    sql: str,
    place: tuple[int, int],
    message: str,
    hint: str,
    binder: Binder,
    shell: duckdb.DuckDBPyConnection,
) -> None:
    script = parse(sql)
    schema = described(shell, "orders")
    known = {name: Relation("orders", schema) for name in script.inputs if name != "ordrs"} | {
        "orders": Relation("orders", schema)
    }
    with pytest.raises(SqlError) as caught:
        compile_script(script, known, binder)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == place
    assert hint in caught.value.hint
    assert hint or not caught.value.hint


def test_a_column_without_a_name_is_called_as_in_the_shell(
    binder: Binder, shell: duckdb.DuckDBPyConnection
) -> None:
    sql = "SELECT count(*), sum(price) / count(*), sqrt(4) FROM orders"
    made = compiled(sql, binder, shell)["data"]
    assert [column.name for column in made.schema] == shell.sql(sql).columns
    assert shell.sql(made.query.sql("duckdb")).columns == shell.sql(sql).columns
