"""SQL databases: what is read has the types it had there, what is written is there once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from odibi.config.load import load
from odibi.errors import ConfigError
from odibi.home import Home
from odibi.orchestrator import Result, plan, run
from tests import services


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with services.postgres() as url:
        yield url


@pytest.fixture
def postgres(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return services.postgres_schema(server)


@pytest.fixture(params=["postgres", "sqlite"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return request.getfixturevalue("postgres") if request.param == "postgres" else "sqlite:///data/w.db"


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last statement."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(exist_ok=True)
        with sqlite3.connect(path) as connection:
            found = [connection.execute(statement).fetchall() for statement in statements]
        connection.close()
        return found[-1]
    import psycopg

    with psycopg.connect(url) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def made(url: str, steps: str, engine: str = "duckdb", day: str = "2024-01-15") -> Result:
    write_config(url, steps, engine)
    return run(load("p.yaml", date=day), keep_final=True)


def write_config(url: str, steps: str, engine: str = "duckdb") -> None:
    Path("p.yaml").write_text(
        f"pipeline: p\nengine: {engine}\nmax_retries: 0\nconnections:\n  warehouse: {{url: '{url}'}}\nsteps:\n{steps}\n"
    )


TYPED = (
    "create table typed (id int, big bigint, price numeric(10,2), ratio double precision, name text, "
    "sold date, at timestamp, ok boolean)"
)
ROWS = "insert into typed values (1, 9007199254740993, 2.50, 0.1, 'a''b', '2024-01-15', '2024-01-15 01:02:03', true), (2, null, null, null, null, null, null, null)"


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_a_table_is_read_with_its_types(warehouse: str, engine: str) -> None:
    execute(warehouse, TYPED, ROWS)
    result = made(
        warehouse, "  - {name: typed, layer: bronze, read: {from: warehouse, table: typed}}", engine
    )
    assert result.success, result.error
    assert result.final_result.sort_by("id").to_pylist() == [
        {
            "id": 1, "big": 9007199254740993, "price": Decimal("2.50"), "ratio": 0.1, "name": "a'b",
            "sold": date(2024, 1, 15), "at": datetime(2024, 1, 15, 1, 2, 3), "ok": True,
        },
        {"id": 2, "big": None, "price": None, "ratio": None, "name": None, "sold": None, "at": None, "ok": None},
    ]  # fmt: skip


def test_spark_reads_and_writes_tables(postgres: str, spark_session: object) -> None:
    execute(postgres, TYPED, ROWS)
    steps = (
        "  - {name: typed, layer: bronze, read: {from: warehouse, table: typed}}\n"
        "  - {name: doubled, layer: gold, sql: 'select id, price * 2 as price, sold from typed',"
        " write: {to: warehouse, table: doubled}}"
    )
    result = made(postgres, steps, "spark")
    assert result.success, result.error
    rows = execute(postgres, "select * from doubled order by id")
    assert rows == [(1, Decimal("5.00"), date(2024, 1, 15)), (2, None, None)]


def test_what_only_postgresql_has_is_read_as_text(postgres: str) -> None:
    execute(
        postgres,
        "create table odd (u uuid, j jsonb, a int[], n numeric, z timestamptz)",
        "insert into odd values ('00000000-0000-0000-0000-000000000001', '{\"a\": 1}', '{1,2}', 1.5,"
        " '2024-01-15 01:00:00+02')",
    )
    result = made(postgres, "  - {name: odd, layer: bronze, read: {from: warehouse, table: odd}}")
    assert result.final_result.to_pylist() == [
        {
            "u": "00000000-0000-0000-0000-000000000001",
            "j": '{"a": 1}',
            "a": "{1,2}",
            "n": Decimal("1.5"),
            "z": datetime(2024, 1, 14, 23, tzinfo=UTC),
        }
    ]


def test_a_number_that_no_decimal_holds_is_an_error(postgres: str) -> None:
    execute(postgres, "create table odd (n numeric)", "insert into odd values (1), ('NaN')")
    result = made(postgres, "  - {name: odd, layer: bronze, read: {from: warehouse, table: odd}}")
    assert "step 'odd' failed: a value does not fit the type that its column is read as" in result.error


def test_two_steps_write_to_one_database_at_once(warehouse: str) -> None:
    Path("orders.csv").write_text("id,price,name\n1,1,a\n")
    each = (
        "  - {{name: {0}, layer: bronze, read: {{path: orders.csv}}, write: {{to: warehouse, table: {0}}}}}\n"
    )
    result = made(warehouse, "".join(each.format(name) for name in ("one", "two", "three")))
    assert result.success, result.error
    assert execute(warehouse, "select count(*) from odibi_ledger") == [(3,)]


def test_a_query_is_read(warehouse: str) -> None:
    execute(
        warehouse,
        "create table campaigns (id int, quarter text, year int)",
        "insert into campaigns values (1, 'Q1', 2024), (2, 'Q2', 2024), (3, 'Q1', 2023)",
    )
    steps = """\
  - name: campaigns
    layer: bronze
    read: {from: warehouse, query: "SELECT * FROM campaigns WHERE quarter='Q1' AND year=2024"}
"""
    assert made(warehouse, steps).final_result.to_pylist() == [{"id": 1, "quarter": "Q1", "year": 2024}]


def test_tables_are_read_for_one_day(warehouse: str) -> None:
    for name in ("eu", "us", "asia"):
        execute(
            warehouse,
            f"create table {name} (shop text, day date)",
            f"insert into {name} values ('{name}', '2024-01-14'), ('{name}', '2024-01-15'), ('{name}', '2024-01-16')",
        )
    steps = """\
  - name: sales
    layer: bronze
    read: {from: warehouse, tables: [eu, us, asia], partition_column: day, partition_date: "{{ date }}"}
"""
    rows = made(warehouse, steps).final_result.to_pylist()
    assert sorted((row["shop"], str(row["day"])) for row in rows) == [
        (name, "2024-01-15") for name in ("asia", "eu", "us")
    ]


@pytest.mark.parametrize("column", ["id", "day"])
def test_ranges_read_each_row_once(warehouse: str, column: str) -> None:
    days = ", ".join(f"({number}, '2024-01-{number % 28 + 1:02}')" for number in range(100))
    execute(
        warehouse,
        "create table many (id int, day date)",
        f"insert into many values {days}, (null, null)",
    )
    steps = f"  - {{name: many, layer: bronze, read: {{from: warehouse, table: many, partition_column: {column}, ranges: 7}}}}"
    result = made(warehouse, steps)
    if column == "day" and warehouse.startswith("sqlite"):  # its dates are texts
        assert "is no number and no date" in result.error
        return
    found = result.final_result.column("id").to_pylist()
    assert sorted(found, key=lambda each: -1 if each is None else each) == [None, *range(100)]


ORDERS = """\
  - {name: orders, layer: bronze, read: {path: orders.csv}}
  - {name: paid, layer: gold, sql: "select id, price::decimal(10,2) as price, upper(name) as name from orders",
     write: {to: warehouse, table: paid, mode: MODE}}
"""


def test_an_overwrite_replaces_the_rows_and_an_equal_one_is_not_written(warehouse: str) -> None:
    Path("orders.csv").write_text("id,price,name\n1,2.5,o'x\n2,,\n")
    steps = ORDERS.replace("MODE", "overwrite")
    assert made(warehouse, steps).success
    assert execute(warehouse, "select id, name from paid order by id") == [(1, "O'X"), (2, None)]
    again = made(warehouse, steps.replace("layer: gold", "layer: gold, cache: false"))
    assert again.success
    (paid,) = (step for step in again.run.steps if step.name == "paid")
    assert [write.note for write in paid.writes] == ["it holds these rows already"]
    Path("orders.csv").write_text("id,price,name\n3,1,z\n")
    assert made(warehouse, steps).success
    assert execute(warehouse, "select id, name from paid order by id") == [(3, "Z")]
    assert execute(warehouse, "select count(*) from odibi_ledger") == [(1,)]


def test_an_append_is_there_once_for_each_date(warehouse: str) -> None:
    steps = ORDERS.replace("MODE", "append")
    for day, rows in (
        ("2024-01-14", "1,1,a"),
        ("2024-01-15", "2,2,b"),
        ("2024-01-14", "1,1,a"),
        ("2024-01-15", "3,3,c"),
    ):
        Path("orders.csv").write_text(f"id,price,name\n{rows}\n")
        result = made(warehouse, steps, day=day)
        assert result.success, result.error
    rows = execute(warehouse, "select id, cast(_logical_date as text) from paid order by id")
    assert rows == [(1, "2024-01-14"), (3, "2024-01-15")]


def test_rows_that_somebody_else_wrote_stay(warehouse: str) -> None:
    Path("orders.csv").write_text("id,price,name\n1,1,a\n")
    execute(
        warehouse,
        "create table paid (id bigint, price numeric(10,2), name text, _logical_date date)",
        "insert into paid values (9, 9, 'x', '2024-01-15')",
    )
    result = made(warehouse, ORDERS.replace("MODE", "append"))
    assert "holds rows of 2024-01-15 that p/paid/2024-01-15 did not write" in result.error
    assert execute(warehouse, "select id from paid") == [(9,)]


def test_a_table_of_other_columns_is_left_alone(warehouse: str) -> None:
    Path("orders.csv").write_text("id,price,name\n1,1,a\n")
    execute(
        warehouse,
        "create table paid (id int, price date, name text)",
        "insert into paid values (9, null, 'x')",
    )
    result = made(warehouse, ORDERS.replace("MODE", "overwrite"))
    assert "column 'id' is" in result.error or "column 'price' is DATE there" in result.error
    assert execute(warehouse, "select id from paid") == [(9,)]


def test_a_publish_step_stores_a_dataset_in_several_places(warehouse: str) -> None:
    import fsspec

    Path("orders.csv").write_text("id,price,name\n1,1,a\n2,2,b\n")
    folder = Path.cwd().name
    steps = """\
  - {name: orders, layer: bronze, read: {path: orders.csv}}
  - {name: to_file, layer: publish, type: config_op, inputs: [orders], value: out/orders.parquet, params: {}}
  - {name: to_bucket, layer: publish, type: config_op, inputs: [orders], value: "memory://FOLDER/orders.csv"}
  - {name: to_warehouse, layer: publish, type: config_op, inputs: [orders], value: exported, params: {to: warehouse}}
""".replace("FOLDER", folder)
    result = made(warehouse, steps)
    assert result.success, result.error
    assert Path("out/orders.parquet").is_file()
    with fsspec.open(f"memory://{folder}/orders.csv", "rt") as file:
        assert file.read() == "id,price,name\n1,1,a\n2,2,b\n"
    assert execute(warehouse, "select count(*) from exported") == [(2,)]


def test_rows_that_break_a_rule_do_not_reach_the_database(warehouse: str) -> None:
    Path("orders.csv").write_text("id,price\n1,10\n2,20\n3,-1\n")

    def with_(*checks: str) -> Result:
        return made(
            warehouse,
            "  - {name: orders, layer: bronze, read: {path: orders.csv}, write: {to: warehouse, table: orders}, "
            f"checks: [{', '.join(checks)}]}}",
        )

    for check, said in (
        ("{between: {column: price, min: 0}}", "price is not at least 0: 1 of 3 rows"),
        ("{row_count: {min: 4}}", "3 records, minimum required: 4"),
    ):
        failed = with_(check)
        assert not failed.success
        assert said in str(failed.error)
        with pytest.raises(Exception, match="orders"):
            execute(warehouse, "select * from orders")
    taken = with_("{between: {column: price, min: 0}, on_fail: quarantine}", "{row_count: {max: 2}}")
    assert taken.success, taken.error
    assert execute(warehouse, "select id from orders order by id") == [(1,), (2,)]
    (beside,) = (Home.find().path / "quarantine").iterdir()
    (file,) = beside.rglob("*.parquet")
    assert pq.read_table(file).column("id").to_pylist() == [3]


def test_names_are_quoted(warehouse: str) -> None:
    Path("orders.csv").write_text('id,"a ""b"\n1,x\n')
    steps = """\
  - {name: orders, layer: bronze, read: {path: orders.csv}, write: {to: warehouse, table: 'x"; drop table y; --'}}
"""
    assert made(warehouse, steps).success
    assert execute(warehouse, 'select "a ""b" from "x""; drop table y; --"') == [("x",)]


def test_a_value_of_another_type_in_sqlite_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    execute("sqlite:///w.db", "create table t (n integer)", "insert into t values (1), ('many')")
    result = made("sqlite:///w.db", "  - {name: t, layer: bronze, read: {from: warehouse, table: t}}")
    assert result.error.startswith("step 't' failed: column 'n' is declared BIGINT and holds another value")


@pytest.mark.parametrize(
    ("read", "says"),
    [
        ("table: t, query: select 1", "is read by one of table, tables and query"),
        ("table: t, partition_date: 2024-01-15", "need partition_column"),
        ("table: t, partition_column: n", "partition_column needs partition_date, or ranges"),
        ("table: t, partition_column: n, partition_date: soon", "partition_date"),
        ("table: t, header: true", "'header' is not an option of 'warehouse', which is a database"),
        ("table: nowhere", "nowhere"),
        ("query: select nope from t", "nope"),
    ],
)
def test_what_cannot_be_read_is_said_before_the_run(warehouse: str, read: str, says: str) -> None:
    execute(warehouse, "create table t (n int)")
    write_config(warehouse, f"  - {{name: t, layer: bronze, read: {{from: warehouse, {read}}}}}")
    with pytest.raises(ConfigError, match=says):
        plan(load("p.yaml"))


def test_a_plan_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("orders.csv").write_text("id,price,name\n1,1,a\n")
    write_config("sqlite:///w.db", ORDERS.replace("MODE", "overwrite"))
    plan(load("p.yaml"))
    assert not Path("w.db").exists()
