"""YAML values become arguments: which datasets they name, what they may be, what editors are told."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

import jsonschema
import pytest
from sqlglot import exp

from odibi.operations import OPERATIONS
from odibi.operations.call import apply, describe, parameters_schema, relations_in
from odibi.operations.errors import OperationError
from odibi.operations.signature import expected, parameters_of
from odibi.relational.schema import Relation, schema_of

TABLE = Relation("t", schema_of({"A": "INTEGER", "order": "VARCHAR"}))
OTHER = Relation("u", schema_of({"a": "INTEGER", "c": "VARCHAR"}))
DATASETS = {"t": TABLE, "u": OTHER}


def sql(name: str, value: Any) -> str:
    return apply(name, value, TABLE, DATASETS).sql("duckdb")


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("join", {"with": "u", "on": "a"}, ("u",)),
        ("join", "u", ("u",)),
        ("union", "u", ("u",)),
        ("union", ["u", "t", "u"], ("u", "t")),
        ("union", {"with": ("u", "v"), "distinct": True}, ("u", "v")),
        ("union", {"with": "u"}, ("u",)),
        ("filter", "a > 0", ()),
        ("deduplicate", {"keys": "a"}, ()),
        ("join", {"with": 5, "on": "a"}, ()),
        ("join", {"on": "a"}, ()),
        ("join", None, ()),
    ],
)
def test_the_datasets_an_operation_names(name: str, value: Any, found: tuple[str, ...]) -> None:
    assert relations_in(name, value) == found


@pytest.mark.parametrize(
    ("name", "short", "long"),
    [
        ("deduplicate", ["a"], {"keys": ["A"]}),
        ("deduplicate", "a", {"keys": ("a",)}),
        ("limit", 3, {"rows": 3}),
        ("union", "u", {"with": ["u"], "distinct": False}),
        ("unpivot", ["A"], {"columns": ["a"], "name": "name", "value": "value"}),
    ],
)
def test_a_value_that_is_no_mapping_is_the_first_parameter(name: str, short: Any, long: Any) -> None:
    assert sql(name, short) == sql(name, long)


def test_columns_are_quoted_and_spelled_as_the_table_spells_them() -> None:
    assert sql("filter", "a > 1 AND order = 'x' AND other IS NULL AND s.b = 1") == (
        """SELECT "A", "order" FROM "t" WHERE "A" > 1 AND "order" = 'x' AND other IS NULL AND s.b = 1"""
    )


def test_words_that_sql_keeps_for_itself_may_be_columns_but_not_break_sql() -> None:
    assert sql("derive", {"x": "upper(order)"}) == 'SELECT "A", "order", UPPER("order") AS "x" FROM "t"'
    assert sql("sort", "order desc") == 'SELECT "A", "order" FROM "t" ORDER BY "order" DESC, "A"'
    with pytest.raises(OperationError, match="syntax error"):
        sql("derive", {"x": "count(*) over (order by)"})


def test_a_name_that_differs_in_case_alone_is_renamed() -> None:
    assert sql("rename", {"a": "a"}) == 'SELECT "A" AS "a", "order" FROM "t"'


def test_a_json_key_with_a_dot_is_one_key() -> None:
    assert "'a.b'" in sql("derive", {"x": "order ->> 'a.b'"})


def test_a_query_does_not_share_nodes_with_the_next() -> None:
    first = apply("window", {"columns": {"x": "sum(a)", "y": "max(a)"}, "order_by": "a"}, TABLE, {})
    before = first.sql("duckdb")
    apply("window", {"columns": {"x": "sum(a)"}, "order_by": "a"}, TABLE, {}).set("expressions", [])
    assert first.sql("duckdb") == before
    assert all(node.parent is not None for node in first.walk() if node is not first)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_what_is_told_of_an_operation(name: str) -> None:
    doc = describe(name)
    assert doc.summary.endswith(".")
    assert doc.example.startswith("inputs: [")
    assert all(parameter.doc for parameter in doc.parameters)
    assert all(parameter.takes != "a value" or name == "fill" for parameter in doc.parameters)
    assert [p.key for p in doc.parameters] == [p.key for p in parameters_of(OPERATIONS.get(name))]


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("filter", "a > 0", True),
        ("filter", ["a"], False),
        ("select", ["a", {"b": "c", "d": 1}], True),
        ("select", [["a"]], False),
        ("derive", {"a": 1, "b": True, "c": "x"}, True),
        ("derive", {"a": None}, False),
        ("fill", {"a": {"expr": "b"}, "c": 0}, True),
        ("fill", {"a": {"exp": "b"}}, False),
        ("deduplicate", ["a"], True),
        ("deduplicate", {"keys": "a", "order_by": ["b desc"]}, True),
        ("deduplicate", {"order_by": "b"}, False),
        ("deduplicate", {"keys": "a", "orderby": "b"}, False),
        ("limit", 3, True),
        ("limit", "3", False),
        ("join", {"with": "u", "on": "a", "how": "left"}, True),
        ("join", {"with": "u", "how": "outer"}, False),
        ("union", ["u"], True),
        ("union", {"with": "u", "distinct": True}, True),
        ("pivot", {"index": "a", "column": "b", "values": [1, None], "aggregate": "sum(c)"}, True),
        ("pivot", {"index": "a", "column": "b", "values": [1]}, False),
        ("pivot", "a", False),
    ],
)
def test_the_schema_says_what_a_value_may_be(name: str, value: Any, valid: bool) -> None:
    schema = parameters_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(value) is valid


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str, "text"),
        (int | None, "a whole number"),
        (list[str] | bool, "a list of text or true or false"),
        (dict[str, float], "a mapping of names to a number"),
        (Literal["a", "b"], "one of a, b"),
        (Relation, "a dataset"),
        (list[Relation], "a dataset or a list of datasets"),
        (bytes, "a value"),
    ],
)
def test_types_in_words(annotation: Any, words: str) -> None:
    assert expected(annotation) == words


def test_an_operation_of_ones_own() -> None:
    def tail(table: Relation, *, rows: int = 1, with_: Relation) -> exp.Query:
        """Its own."""
        return (
            exp.select("*").from_(exp.to_identifier(with_.name, quoted=True)).limit(rows + len(table.names))
        )

    def nothing(table: Relation) -> exp.Query:
        return exp.select("*").from_(table.name)

    OPERATIONS.register("tail", tail)
    OPERATIONS.register("nothing", nothing)
    try:
        assert sql("tail", {"with": "u"}) == 'SELECT * FROM "u" LIMIT 3'
        assert relations_in("tail", {"with": "u"}) == ("u",)
        assert parameters_schema("tail")["required"] == ["with"]
        assert sql("nothing", None) == "SELECT * FROM t"
        with pytest.raises(OperationError, match="nothing takes no value, found 5"):
            sql("nothing", 5)
    finally:
        for name in ("tail", "nothing"):
            del OPERATIONS._things[name]


def test_importing_the_operations_imports_no_parser_and_no_engine() -> None:
    code = (
        "import sys, odibi.operations; print({'sqlglot', 'duckdb', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
