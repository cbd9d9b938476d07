"""Known divergences between the engines: each is made equal by a rule, or refused before it runs.

That a divergence is one is shown too: what sqlglot makes of the words, without odibi's rules, has another
answer on Spark, another type, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import sqlglot

from odibi.config.yaml import parse as parse_yaml
from odibi.engines import ENGINES
from odibi.engines.database import Database
from odibi.errors import Permanent
from odibi.relational.bind import Binder
from odibi.relational.compile import compile_script
from odibi.relational.functions import portable
from odibi.relational.parse import parse as parse_sql
from odibi.relational.schema import Relation, Schema, schema_of
from odibi.relational.spark import NotPortable, to_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FILE = Path(__file__).with_name("divergences.yaml")
PAGE = Path(__file__).parents[2] / "docs/parity.md"
ALL = parse_yaml(FILE.read_text("utf-8"), str(FILE)).data["divergences"]
RULES = [each for each in ALL if each["verdict"] == "rule"]
REFUSED = [each for each in ALL if each["verdict"] == "refused"]

COLUMNS = schema_of(
    {
        "id": "INTEGER", "s": "VARCHAR", "p": "VARCHAR", "i": "INTEGER", "d": "DOUBLE", "m": "DECIMAL(18,3)",
        "b": "BOOLEAN", "dt": "DATE", "ts": "TIMESTAMP", "l": "INTEGER[]",
    }
)  # fmt: skip
ROWS = """
    (1, 'Ærø Straße', 'a', 7, 3.7, 12.345, true, DATE '2024-02-29', TIMESTAMP '2024-02-29 13:45:59.123456', [3, 1, 2]),
    (2, '  padded ', '%', -7, -2.5, -2.500, false, DATE '2023-12-31', TIMESTAMP '2023-12-31 00:00:00', [1, 1, NULL]),
    (3, '', 'x', 0, -0.0, 0.000, true, DATE '1969-07-20', TIMESTAMP '1969-07-20 20:17:40.5', []),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (5, 'a,b,,c', ',', 42, 2.5, 2.500, false, DATE '2021-01-03', TIMESTAMP '2021-01-03 23:59:59.999999', [5]),
    (6, '日本 text ' || chr(129414), 'text', 100, 1e15, 99999.999, true, DATE '2020-12-28', TIMESTAMP '2020-12-28 12:00:00', [9, 8]),
    (7, 'strasse', 's', 5, 'nan'::DOUBLE, 0.500, NULL, DATE '2024-03-01', TIMESTAMP '2024-03-01 00:00:00', [NULL]),
    (8, 'x', 'x', 5, 'inf'::DOUBLE, 1.500, true, DATE '2000-01-01', TIMESTAMP '1999-12-31 23:59:59', [2, 1])
"""
TABLE = "SELECT " + ", ".join(f"{c.name}::{c.type} AS {c.name}" for c in COLUMNS) + f" FROM (VALUES {ROWS}) v({', '.join(c.name for c in COLUMNS)})"  # fmt: skip

Answer = tuple[list[tuple[str, str]], list[tuple[str, ...]]]


@dataclass
class Bench:
    """Both engines over one table."""

    database: Database
    binder: Binder
    duck: Any
    spark: Any
    session: SparkSession

    def ask(self, engine: Any, sql: str) -> Answer:
        compiled = compile_script(parse_sql(sql), {"t": Relation("t", COLUMNS)}, self.binder)["data"]
        frame = engine.from_arrow(self.table().to_reader())
        inputs = {"t": frame} if "t" in compiled.inputs else {}
        return answer(
            compiled.schema, engine.to_arrow(engine.query(compiled.query, inputs, compiled.schema)).read_all()
        )

    def table(self) -> pa.Table:
        return self.database.cursor.sql(TABLE).to_arrow_table()


def answer(schema: Schema, table: pa.Table) -> Answer:
    columns = [(column.name, column.type) for column in schema]
    rows = [tuple(plain(value) for value in row.values()) for row in table.to_pylist()]
    return columns, sorted(rows)


def plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return repr(value)


@pytest.fixture(scope="module")
def bench(spark_session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("divergences")
    with Database(folder / "scratch") as database, closing(Binder()) as binder:
        spark = ENGINES.get("spark")(database)
        yield Bench(database, binder, ENGINES.get("duckdb")(database), spark, spark_session)
        spark.close()


def about(entry: dict[str, str]) -> str:
    return entry["about"]


@pytest.mark.parametrize("entry", RULES, ids=about)
def test_rules_make_it_equal(entry: dict[str, str], bench: Bench) -> None:
    assert bench.ask(bench.spark, entry["sql"]) == bench.ask(bench.duck, entry["sql"])


@pytest.mark.parametrize("entry", REFUSED, ids=about)
def test_it_is_refused_before_it_runs(entry: dict[str, str]) -> None:
    with closing(Binder()) as binder:
        compiled = compile_script(parse_sql(entry["sql"]), {"t": Relation("t", COLUMNS)}, binder)["data"]
    with pytest.raises(NotPortable) as refused:
        to_spark(compiled.query, {"t": COLUMNS}, compiled.schema)
    assert refused.value.hint, "it says what to write instead"


def test_without_rules_spark_answers_otherwise(bench: Bench) -> None:
    """All in one test, because it is the list that must be true."""
    bench.session.createDataFrame(bench.table()).createOrReplaceTempView("t")
    equal = []
    for entry in RULES:
        with suppressed():
            text = sqlglot.transpile(entry["sql"], read="duckdb", write="spark")[0]
            found = bench.session.sql(text)
            have = bench.ask(bench.duck, entry["sql"])
            rows = sorted(
                tuple(plain(value) for value in row.values()) for row in found.toArrow().to_pylist()
            )
            kinds = [kind.replace(" ", "") for _, kind in have[0]]
            same_kind = [_DUCK.get(kind, kind.upper()) for _, kind in found.dtypes] == kinds
            if rows == have[1] and same_kind:
                equal.append(entry["about"])
    assert equal == [], "; ".join(equal)


_DUCK = {
    "string": "VARCHAR", "int": "INTEGER", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
    "timestamp_ntz": "TIMESTAMP", "tinyint": "TINYINT", "array<int>": "INTEGER[]", "array<string>": "VARCHAR[]",
}  # fmt: skip


@contextmanager
def suppressed() -> Iterator[None]:
    """An expression that plain Spark refuses is a divergence as well."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Permanent):
            raise


def test_the_page_lists_them_all() -> None:
    listed = re.findall(r"^\| (.+?) \| `(.+?)` \| (equal|refused) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    words = {"rule": "equal", "refused": "refused"}
    assert listed == [(e["about"], shown(e["sql"]), words[e["verdict"]]) for e in ALL]


def shown(sql: str) -> str:
    """The expression that matters, as the page has it."""
    text = re.sub(r"^SELECT (?:id, )?(.*?)(?: AS x)? FROM t$", r"\1", sql)
    return text.replace("|", "\\|")


def test_portable_functions_are_not_among_the_refused_for_being_unknown() -> None:
    unknown = [e["about"] for e in RULES if portable(sqlglot.parse_one(e["sql"], dialect="duckdb"))]
    assert unknown == []


if __name__ == "__main__":  # the lines for docs/parity.md
    for each in ALL:
        print(
            f"| {each['about']} | `{shown(each['sql'])}` | {'equal' if each['verdict'] == 'rule' else 'refused'} |"
        )
