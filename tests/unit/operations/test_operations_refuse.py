"""What operations refuse, with the place in the YAML value and the hint."""

from __future__ import annotations

from typing import Any

import pytest

from odibi.errors import Permanent
from odibi.operations.call import apply
from odibi.operations.errors import OperationError
from odibi.relational.schema import Relation, schema_of

TABLE = Relation(
    "orders",
    schema_of(
        {
            "order_id": "INTEGER",
            "status": "VARCHAR",
            "price": "DECIMAL(8,2)",
            "ok": "BOOLEAN",
            "tags": "VARCHAR[]",
            "at": "TIMESTAMP",
        }
    ),
)
OTHER = Relation("customers", schema_of({"Order_ID": "BIGINT", "name": "VARCHAR", "price": "VARCHAR"}))
DATASETS = {"orders": TABLE, "customers": OTHER}


@pytest.mark.parametrize(
    ("name", "value", "path", "message"),
    [
        # parameters
        ("filter", None, (), "where takes an expression or a list of conditions, found None"),
        ("filter", {"were": "ok"}, ("were",), "has no parameter 'were' (did you mean 'where'?)"),
        ("derive", ["price"], (), "derive takes a mapping of names to an expression, found ['price']"),
        ("derive", {"x": ["price"]}, ("x",), "found ['price']"),
        ("derive", {1: "price"}, (1,), "derive: the name 1 is not text (write '1')"),
        ("derive", {}, (), "no column is named"),
        ("select", ["ok", 5], (1,), "select takes columns or named expressions, found 5"),
        ("deduplicate", {"key": "ok"}, ("key",), "has no parameter 'key' (did you mean 'keys'?)"),
        ("deduplicate", {"order_by": "ok"}, (), "needs 'keys' (keys: a column or a list of columns)"),
        ("limit", "10", (), "rows takes a whole number, found '10'"),
        ("limit", True, (), "rows takes a whole number, found True"),
        ("limit", {"rows": -1}, ("rows",), "there are no -1 rows"),
        ("join", {"with": "customers", "on": "ok", "how": "iner"}, ("how",), "did you mean 'inner'?"),
        ("join", {"with": "customer", "on": "ok"}, ("with",), "did you mean 'customers'?"),
        ("join", {"with": ["customers"], "on": "ok"}, ("with",), "with takes a dataset, found ['customers']"),
        ("union", ["customers", "x"], (1,), "unknown dataset 'x'"),
        ("union", {"with": "x"}, ("with",), "unknown dataset 'x'"),
        (
            "union",
            {"with": "customers", "distinct": "yes"},
            ("distinct",),
            "takes true or false, found 'yes'",
        ),
        # conditions as data
        ("filter", [{"field": "active", "operator": "not_null"}], (0, "field"), "unknown column 'active'"),
        ("filter", [{"field": "ok", "operator": "equal", "value": True}], (0, "operator"), "mean 'equals'?"),
        ("filter", [{"field": "ok", "operater": "equals"}], (0, "operater"), "did you mean 'operator'?"),
        ("filter", [{"field": "ok", "value": True}], (0,), "the condition needs 'operator'"),
        ("filter", [{"field": "ok", "operator": "equals"}], (0,), "equals needs a value that is not null"),
        ("filter", [{"field": "ok", "operator": "not_null", "value": 1}], (0,), "not_null has no value"),
        (
            "filter",
            [{"field": "price", "operator": "equals", "value": "5"}],
            (0, "value"),
            "column 'price' is DECIMAL(8,2) and cannot hold '5'",
        ),
        ("filter", [{"field": "status", "operator": "less_than", "value": 5}], (0, "value"), "cannot hold 5"),
        ("filter", [{"field": "ok", "operator": "in", "value": True}], (0, "value"), "a list of values"),
        ("filter", [{"field": "ok", "operator": "equals", "value": [True]}], (0, "value"), "operator: in"),
        ("filter", [{"field": "price", "operator": "contains", "value": "5"}], (0, "value"), "text in text"),
        (
            "filter",
            [{"field": "ok", "operator": "equals", "value": True, "regex": True}],
            (0, "regex"),
            "belongs to contains",
        ),
        ("filter", {"where": "ok", "on_missing": "skip"}, ("on_missing",), "belongs to a list of conditions"),
        # expressions
        ("filter", "price >", (), "syntax error"),
        ("filter", "status = 'open", (), "unterminated"),
        ("filter", "", (), "there is no expression here"),
        ("filter", "ok; DROP TABLE orders", (), "is 2 statements instead of an expression"),
        ("filter", "price > > 1", (), "syntax error"),
        ("filter", "price > 1 ORDER BY ok", (), "not one expression"),
        ("derive", {"x": "{{ date }}"}, ("x",), "syntax error"),
        ("filter", "SELECT 1", (), "syntax error"),
        ("filter", "price IN (SELECT 1)", (), "a subquery has no place here"),
        ("filter", "EXISTS (FROM customers)", (), "a subquery has no place here"),
        ("filter", "price > ?", (), "? has no value here"),
        ("filter", "status AS x", (), "not one expression"),
        ("select", ["* EXCLUDE (ok)"], (0,), "name the columns"),
        ("select", ["COLUMNS('p.*') AS x"], (0,), "name the columns"),
        ("select", ["orders.*"], (0,), "name the columns"),
        ("select", ["price * 2"], (0,), "has no name (name it: price * 2 AS name)"),
        ("select", ["statsu"], (0,), "unknown column 'statsu' (did you mean 'status'?)"),
        ("select", [{"a": "price", "b": "a + 1"}], ("b",), "'b' uses 'a', which is made in the same place"),
        ("select", ["ok", "OK"], (), "two columns are called 'ok'"),
        ("derive", {"a": "price", "b": "upper(a)"}, ("b",), "make it in an operation before this one"),
        ("derive", {"a": "1", "A": "2"}, (), "two columns are called 'A'"),
        # cleaning and enriching
        (
            "aggregate",
            {"group_by": [], "aggregations": {"price": ["sum"]}},
            ("group_by",),
            "leave group_by out",
        ),
        ("aggregate", {"aggregations": {"prize": ["sum"]}}, ("aggregations", "prize"), "mean 'price'?"),
        ("aggregate", {"aggregations": {"price": ["avg"]}}, ("aggregations", "price", 0), "found 'avg'"),
        ("aggregate", {"by": "ok", "group_by": "ok", "values": {"n": "count(*)"}}, ("group_by",), "the same"),
        ("enrich", {"x": {"type": "concat"}}, ("x",), "unknown type 'concat' (did you mean 'concatenate'?)"),
        ("enrich", {"x": {"fields": ["ok"]}}, ("x",), "it has no type"),
        ("enrich", {"x": {"type": ["constant"]}}, ("x",), "unknown type ['constant']"),
        ("enrich", {"x": {"type": "constant"}}, ("x",), "constant needs 'value'"),
        ("enrich", {"x": {"type": "timestamp", "value": 1}}, ("x", "value"), "timestamp has no 'value'"),
        (
            "enrich",
            {"x": {"type": "concatenate", "fields": ["statsu"]}},
            ("x", "fields", 0),
            "mean 'status'?",
        ),
        (
            "enrich",
            {"x": {"type": "arithmetic", "field1": "price", "field2": "status", "operation": "add"}},
            ("x", "field2"),
            "column 'status' is VARCHAR, and add needs numbers",
        ),
        (
            "enrich",
            {"x": {"type": "arithmetic", "field1": "price", "field2": "price", "operation": "div"}},
            ("x", "operation"),
            "did you mean 'divide'?",
        ),
        ("remove_nulls", "columns", (), "is known only when the rows have been read"),
        (
            "normalize_formats",
            {"status": "title"},
            ("status",),
            "trim, uppercase or lowercase, found 'title'",
        ),
        ("standardize_fields", "all", (), "standardize_fields takes no value"),
        ("handle_missing_values", {}, (), "nothing is done"),
        ("handle_missing_values", {"fill": {"ok": 1}}, ("fill", "ok"), "is BOOLEAN and cannot hold 1"),
        (
            "handle_missing_values",
            {"fill": {"status": "x"}, "drop_rows": "status"},
            ("drop_rows",),
            "'status' is filled",
        ),
        ("validate_constraints", [], (), "no constraint is named"),
        ("surrogate_key", {"name": "OK", "columns": "status"}, ("name",), "two columns are called 'OK'"),
        ("surrogate_key", {"name": "key", "columns": ["tags"]}, ("columns", 0), "'tags' is VARCHAR[]"),
        # columns
        ("rename", {"order_idd": "id"}, ("order_idd",), "did you mean 'order_id'?"),
        ("rename", {"order_id": "STATUS"}, (), "two columns are called 'status'"),
        ("rename", {"ok": "a", "OK": "b"}, (), "rename a column once"),
        ("drop", ["ok", "prise"], (1,), "did you mean 'price'?"),
        ("drop", [], (), "no column is named"),
        ("drop", ["order_id", "status", "price", "ok", "tags", "at"], (), "no column would be left"),
        ("cast", {"price": "INTEGR"}, ("price",), "unknown type 'INTEGR' (did you mean 'INTEGER'?)"),
        ("cast", {"price": "INTEGER) + (1"}, ("price",), ""),
        ("cast", {"prize": "INTEGER"}, ("prize",), "did you mean 'price'?"),
        ("fill", {"price": "none"}, ("price",), "column 'price' is DECIMAL(8,2) and cannot hold 'none'"),
        ("fill", {"price": 0.125}, ("price",), "cannot hold 0.125"),
        ("fill", {"price": float("nan")}, ("price",), "cannot hold nan"),
        ("fill", {"order_id": 1.5}, ("order_id",), "cannot hold 1.5"),
        ("fill", {"order_id": True}, ("order_id",), "cannot hold True"),
        ("fill", {"ok": 1}, ("ok",), "cannot hold 1"),
        ("fill", {"status": 5}, ("status",), "cannot hold 5"),
        ("fill", {"tags": "a"}, ("tags",), "cannot hold 'a'"),
        ("fill", {"status": None}, ("status",), "found None"),
        ("fill", {"status": {"exp": "ok"}}, ("status", "exp"), ""),
        ("fill", {"status": {}}, ("status",), "nothing to fill with"),
        ("fill", {"status": {"expr": "upper("}}, ("status", "expr"), "syntax error"),
        # order
        ("sort", "prize desc", (), "unknown column 'prize' (did you mean 'price'?)"),
        ("sort", ["price", "1"], (1,), "1 orders nothing"),
        ("sort", "price descc", (), "syntax error"),
        ("sort", [], (), "no column is named"),
        ("sort", "ALL", (), "ALL orders nothing"),
        ("deduplicate", ["order_id", "ORDER_ID"], (), "two columns are called 'order_id'"),
        (
            "deduplicate",
            {"keys": "order_id", "order_by": ["att desc"]},
            ("order_by", 0),
            "did you mean 'at'?",
        ),
        # groups and windows
        ("aggregate", {"by": [], "values": {"n": "count(*)"}}, ("by",), "leave by out for one row"),
        ("aggregate", {"by": "ok", "values": {}}, ("values",), "nothing is computed"),
        ("aggregate", {"by": "ok", "values": {"OK": "count(*)"}}, ("values",), "two columns are called 'OK'"),
        ("aggregate", {"by": {"m": "month(at)"}, "values": {"x": "max(m)"}}, ("values", "x"), "'x' uses 'm'"),
        ("aggregate", {"by": ["ok", {"y": "year("}], "values": {"n": "count(*)"}}, ("by", 1, "y"), "syntax"),
        (
            "pivot",
            {"index": "ok", "column": "status", "values": [], "aggregate": "count(*)"},
            ("values",),
            "",
        ),
        (
            "pivot",
            {"index": "ok", "column": "price", "values": [1, "x"], "aggregate": "count(*)"},
            ("values", 1),
            "column 'price' is DECIMAL(8,2) and cannot hold 'x'",
        ),
        (
            "pivot",
            {"index": "ok", "column": "status", "values": {"a": 5}, "aggregate": "count(*)"},
            ("values", "a"),
            "cannot hold 5",
        ),
        (
            "pivot",
            {"index": "ok", "column": "status", "values": ["a"], "aggregate": "upper(status)"},
            ("aggregate",),
            "has no aggregate or window function",
        ),
        (
            "pivot",
            {"index": "ok", "column": "status", "values": ["ok"], "aggregate": "count(*)"},
            ("values",),
            "two columns are called 'ok' (name it: {name: value})",
        ),
        ("unpivot", ["order_id", "status"], (1,), "column 'status' is VARCHAR and 'order_id' is INTEGER"),
        ("unpivot", {"columns": ["price"], "name": "AT"}, (), "two columns are called 'AT'"),
        ("window", {"columns": {"n": "price + 1"}}, ("columns", "n"), "has no aggregate or window function"),
        ("window", {"columns": {"n": "rank()"}}, ("columns", "n"), "needs an order (give order_by)"),
        ("window", {"columns": {"n": "sum(price) OVER ()"}}, ("columns", "n"), "OVER has no place here"),
        ("window", {"columns": {"n": "count(*)"}, "frame": "rows 1"}, ("frame",), "syntax error"),
        ("window", {"columns": {"n": "count(*)"}, "frame": "desc"}, ("frame",), "'desc' is not a frame"),
        # several tables
        ("join", "customers", (), "a join that is inner needs on"),
        ("join", {"with": "customers", "how": "cross", "on": "order_id"}, ("on",), "a cross join has no on"),
        (
            "join",
            {"with": "customers", "on": ["status"]},
            ("on", 0),
            "unknown column 'status' on the right",
        ),
        ("join", {"with": "customers", "on": "order_di"}, ("on",), "did you mean 'order_id'?"),
        ("join", {"with": "customers", "on": []}, ("on",), "no column is named"),
        ("join", {"with": "customers", "on": "price = 1"}, ("on",), "both tables have a column 'price'"),
        ("join", {"with": "customers", "on": "right.nam = 1"}, ("on",), "did you mean 'name'?"),
        (
            "join",
            {"with": "customers", "on": "order_id", "suffix": ""},
            ("suffix",),
            "two columns are called 'price' (give another suffix)",
        ),
        ("union", "customers", (), "'price' is DECIMAL(8,2) here and VARCHAR in 'customers'"),
        ("union", ["orders", "customers"], (1,), "cast one of them before"),
    ],
)
def test_refused(name: str, value: Any, path: tuple[Any, ...], message: str) -> None:
    with pytest.raises(OperationError) as caught:
        apply(name, value, TABLE, DATASETS)
    assert caught.value.path == path
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
    assert isinstance(caught.value, Permanent)


@pytest.mark.parametrize(
    ("value", "line", "column"),
    [
        ("price > ) 1", 1, 9),
        ("price > 1\n  AND ) 2", 2, 7),
        ("'open", 1, 1),
        ("été > > 1", 1, 7),
    ],
)
def test_a_syntax_error_tells_its_place_in_the_text(value: str, line: int, column: int) -> None:
    with pytest.raises(OperationError) as caught:
        apply("filter", value, TABLE, {})
    assert (caught.value.line, caught.value.column) == (line, column)


def test_an_unknown_operation_has_a_suggestion() -> None:
    with pytest.raises(Permanent, match=r"unknown operation 'filtr' \(did you mean 'filter'\?\)"):
        apply("filtr", "ok", TABLE, {})


def test_two_names_that_become_one_are_refused() -> None:
    table = Relation("t", schema_of({"A-b": "INTEGER", "a_b": "INTEGER"}))
    with pytest.raises(OperationError, match="two columns are called 'a_b'"):
        apply("standardize_fields", None, table, {})
