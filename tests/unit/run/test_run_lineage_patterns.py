"""Column lineage of the patterns that pipelines are made of equals the edges written here by hand.

Each line of an expectation is ``column = dataset.column:kinds ...``; of the kinds, by their first letters, capitals
give the value (Identity, Transformation, Aggregation, Function) and small ones decide about it (filter, join, group,
sort, window, condition). ``o``, ``c`` and ``r`` are the datasets orders, customers and rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odibi.plan import Plan
from odibi.record.model import ColumnLineage, StepRecord
from odibi.run.lineage import Lineage
from odibi.run.walk import first_records
from tests.unit.run.project import KEPT, Project

LETTERS = {
    "I": "identity", "T": "transformation", "A": "aggregation", "F": "function",
    "f": "filter", "j": "join", "g": "group", "s": "sort", "w": "window", "c": "condition",
}  # fmt: skip
NAMES = {"o": "orders", "c": "customers", "r": "rates"}

SOURCES = {
    "orders": {"id": "INTEGER", "who": "INTEGER", "amount": "INTEGER", "day": "DATE",
               "tags": "VARCHAR[]", "place": "STRUCT(city VARCHAR, zip VARCHAR)"},
    "customers": {"who": "INTEGER", "name": "VARCHAR", "since": "DATE"},
    "rates": {"day": "DATE", "rate": "INTEGER"},
}  # fmt: skip

SQL = {
    "projection": ("SELECT id, amount FROM orders", "id = o.id:I; amount = o.amount:I"),
    "alias": ("SELECT amount AS euro FROM orders", "euro = o.amount:I"),
    "expression": ("SELECT amount * 2 + id AS x FROM orders", "x = o.amount:T o.id:T"),
    "cast in sql": ("SELECT CAST(amount AS DOUBLE) AS x FROM orders", "x = o.amount:T"),
    "constant": ("SELECT 1 AS x, id FROM orders", "x =; id = o.id:I"),
    "case": ("SELECT CASE WHEN who > 1 THEN amount ELSE 0 END AS x FROM orders", "x = o.amount:T o.who:c"),
    "where": ("SELECT id FROM orders WHERE amount > 1", "id = o.amount:f o.id:I"),
    "group by": (
        "SELECT who, sum(amount) AS x, count(*) AS n FROM orders GROUP BY who",
        "who = o.who:Ig; x = o.amount:A o.who:g; n = o.who:g",
    ),
    "group by all": ("SELECT who, max(amount) AS x FROM orders GROUP BY ALL", "who = o.who:Ig; x = o.amount:A o.who:g"),
    "having": (
        "SELECT who FROM orders GROUP BY who HAVING sum(amount) > 9",
        "who = o.amount:f o.who:Ig",
    ),
    "rollup": (
        "SELECT who, day, count(*) AS n FROM orders GROUP BY ROLLUP (who, day)",
        "who = o.day:g o.who:Ig; day = o.day:Ig o.who:g; n = o.day:g o.who:g",
    ),
    "aggregate with filter": ("SELECT sum(amount) FILTER (WHERE who = 1) AS x FROM orders", "x = o.amount:A o.who:f"),
    "ordered aggregate": ("SELECT list(amount ORDER BY day) AS x FROM orders", "x = o.amount:A o.day:s"),
    "expression of aggregates": ("SELECT sum(amount) / count(id) AS x FROM orders", "x = o.amount:A o.id:A"),
    "inner join": (
        "SELECT o.id, c.name FROM orders o JOIN customers c ON o.who = c.who",
        "id = c.who:j o.id:I o.who:j; name = c.name:I c.who:j o.who:j",
    ),
    "left join using": (
        "SELECT who, name FROM orders LEFT JOIN customers USING (who)",
        "who = c.who:j o.who:Ij; name = c.name:I c.who:j o.who:j",
    ),
    "full join using": ("SELECT who FROM orders FULL JOIN customers USING (who)", "who = c.who:Ij o.who:Ij"),
    "semi join": ("SELECT id FROM orders SEMI JOIN customers USING (who)", "id = c.who:j o.id:I o.who:j"),
    "anti join": ("SELECT id FROM orders ANTI JOIN customers USING (who)", "id = c.who:j o.id:I o.who:j"),
    "asof join": (
        "SELECT id, rate FROM orders o ASOF JOIN rates r ON o.day >= r.day",
        "id = o.day:j o.id:I r.day:j; rate = o.day:j r.day:j r.rate:I",
    ),
    "cross join": ("SELECT id, rate FROM orders, rates", "id = o.id:I; rate = r.rate:I"),
    "self join": (
        "SELECT a.id, b.amount FROM orders a JOIN orders b ON a.id = b.who",
        "id = o.id:Ij o.who:j; amount = o.amount:I o.id:j o.who:j",
    ),
    "distinct": ("SELECT DISTINCT who, day FROM orders", "who = o.day:g o.who:Ig; day = o.day:Ig o.who:g"),
    "distinct on": (
        "SELECT DISTINCT ON (who) amount FROM orders ORDER BY day",
        "amount = o.amount:I o.day:s o.who:g",
    ),
    "window": (
        "SELECT id, sum(amount) OVER (PARTITION BY who ORDER BY day) AS x FROM orders",
        "id = o.id:I; x = o.amount:A o.day:s o.who:w",
    ),
    "lag": ("SELECT lag(amount) OVER (ORDER BY day, id) AS x FROM orders", "x = o.amount:T o.day:s o.id:s"),
    "qualify": (
        "SELECT id FROM orders QUALIFY row_number() OVER (PARTITION BY who ORDER BY day) = 1",
        "id = o.day:s o.id:I o.who:w",
    ),
    "order by limit": ("SELECT id FROM orders ORDER BY amount LIMIT 3", "id = o.amount:s o.id:I"),
    "union all": ("SELECT who FROM orders UNION ALL SELECT who FROM customers", "who = c.who:I o.who:I"),
    "union": ("SELECT who FROM orders UNION SELECT who FROM customers", "who = c.who:Ig o.who:Ig"),
    "union by name": (
        "SELECT who, id FROM orders UNION ALL BY NAME SELECT name, who FROM customers",
        "who = c.who:I o.who:I; id = o.id:I; name = c.name:I",
    ),
    "intersect": ("SELECT who FROM orders INTERSECT SELECT who FROM customers", "who = c.who:If o.who:If"),
    "except": ("SELECT who FROM orders EXCEPT SELECT who FROM customers", "who = c.who:f o.who:If"),
    "cte": (
        "WITH big AS (SELECT id, amount * 2 AS x FROM orders WHERE amount > 9) SELECT x FROM big",
        "x = o.amount:Tf",
    ),
    "recursive cte": (
        ("WITH RECURSIVE t AS (SELECT id, who FROM orders UNION ALL"
        " SELECT o.id, o.who FROM t JOIN orders o ON o.who = t.id) SELECT id FROM t"),
        "id = o.id:Ij o.who:j",
    ),
    "scalar subquery": (
        "SELECT id, (SELECT max(rate) FROM rates) AS x FROM orders",
        "id = o.id:I; x = r.rate:A",
    ),
    "correlated subquery": (
        "SELECT (SELECT max(rate) FROM rates r WHERE r.day = o.day) AS x FROM orders o",
        "x = o.day:f r.day:f r.rate:A",
    ),
    "exists": (
        "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.who = o.who)",
        "id = c.who:f o.id:I o.who:f",
    ),
    "in": ("SELECT id FROM orders WHERE who IN (SELECT who FROM customers)", "id = c.who:f o.id:I o.who:f"),
    "lateral": (
        "SELECT o.id, l.x FROM orders o, LATERAL (SELECT max(rate) AS x FROM rates r WHERE r.day = o.day) AS l",
        "id = o.day:f o.id:I r.day:f; x = o.day:f r.day:f r.rate:A",
    ),
    "unnest": ("SELECT id, unnest(tags) AS tag FROM orders", "id = o.id:I o.tags:j; tag = o.tags:Tj"),
    "pivot": (
        "SELECT * FROM (SELECT who, id, amount FROM orders) PIVOT (sum(amount) FOR id IN (1, 2) GROUP BY who)",
        "who = o.who:Ig; 1 = o.amount:A o.id:f o.who:g; 2 = o.amount:A o.id:f o.who:g",
    ),
    "unpivot": (
        "SELECT * FROM (SELECT id, who, amount FROM orders) UNPIVOT (v FOR n IN (who, amount))",
        "id = o.amount:f o.id:I o.who:f; n = o.amount:f o.who:f; v = o.amount:If o.who:If",
    ),
    "struct": ("SELECT place, orders.place AS x FROM orders", "place = o.place:I; x = o.place:I"),
    "struct field": (
        "SELECT place.city AS x, orders.place.zip AS y, place['zip'] AS z FROM orders",
        "x = o.place:T; y = o.place:T; z = o.place:T",
    ),
    "struct unfolded": ("SELECT place.* FROM orders", "city = o.place:T; zip = o.place:T"),
    "star": ("SELECT * FROM rates", "day = r.day:I; rate = r.rate:I"),
    "exclude and replace": (
        "SELECT * EXCLUDE (name) REPLACE (who + 1 AS who) FROM customers",
        "who = c.who:T; since = c.since:I",
    ),
    "columns": ("SELECT COLUMNS('^r') FROM rates", "rate = r.rate:I"),
    "values": ("SELECT v.x, id FROM orders JOIN (VALUES (1), (2)) AS v(x) ON v.x = who", "x = o.who:j; id = o.id:I o.who:j"),
}  # fmt: skip

OPERATIONS: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "filter": (["rates"], {"filter": "rate > 1"}, "day = r.day:I r.rate:f; rate = r.rate:If"),
    "select": (["orders"], {"select": {"id": "id", "x": "amount * 2"}}, "id = o.id:I; x = o.amount:T"),
    "derive": (["rates"], {"derive": {"x": "rate * 2"}}, "day = r.day:I; rate = r.rate:I; x = r.rate:T"),
    "drop": (["rates"], {"drop": ["day"]}, "rate = r.rate:I"),
    "rename": (["rates"], {"rename": {"day": "on"}}, "on = r.day:I; rate = r.rate:I"),
    "cast": (["rates"], {"cast": {"rate": "DOUBLE"}}, "day = r.day:I; rate = r.rate:T"),
    "fill": (["rates"], {"fill": {"rate": 0}}, "day = r.day:I; rate = r.rate:T"),
    "enrich": (
        ["customers"],
        {"enrich": {"x": {"type": "concatenate", "fields": ["name", "who"]}}},
        "who = c.who:I; name = c.name:I; since = c.since:I; x = c.name:T c.who:T",
    ),
    "clean": (
        ["customers"],
        {"handle_missing_values": {"fill": {"name": "none"}, "drop_rows": ["who"]}},
        "who = c.who:If; name = c.name:T c.who:f; since = c.since:I c.who:f",
    ),
    "surrogate key": (
        ["rates"], {"surrogate_key": {"name": "key", "columns": ["day"]}},
        "day = r.day:I; rate = r.rate:I; key = r.day:Tc",
    ),
    "join operation": (
        ["customers", "orders"],
        {"join": {"with": "orders", "on": ["who"], "how": "semi"}},
        "who = c.who:Ij o.who:j; name = c.name:I c.who:j o.who:j; since = c.since:I c.who:j o.who:j",
    ),
    "aggregate": (
        ["orders"], {"aggregate": {"by": ["who"], "values": {"x": "sum(amount)"}}},
        "who = o.who:Ig; x = o.amount:A o.who:g",
    ),
    "deduplicate": (
        ["rates"], {"deduplicate": {"keys": ["day"], "order_by": ["rate desc"]}},
        "day = r.day:Iw r.rate:s; rate = r.day:w r.rate:Is",
    ),
    "window operation": (
        ["rates"], {"window": {"partition_by": ["day"], "order_by": ["rate"], "columns": {"x": "max(rate)"}}},
        "day = r.day:I; rate = r.rate:I; x = r.day:w r.rate:As",
    ),
    "union operation": (
        ["customers", "rates"], {"union": "rates"},
        "who = c.who:I; name = c.name:I; since = c.since:I; day = r.day:I; rate = r.rate:I",
    ),
    "sort and limit": (["rates"], {"limit": 3}, "day = r.day:I; rate = r.rate:I"),
}  # fmt: skip

STEPS: dict[str, tuple[dict[str, Any], str]] = {
    "read": (
        {"layer": "bronze", "read": {"from": "in", "path": "rates.ndjson", "schema": SOURCES["rates"]}},
        "day = in:rates.ndjson.day:I; rate = in:rates.ndjson.rate:I",
    ),
    "read with the name of the file": (
        {"layer": "bronze", "read": {"from": "in", "path": "rates.ndjson", "filename": "of"}},
        "day = in:rates.ndjson.day:I; rate = in:rates.ndjson.rate:I; of =",
    ),
    "append": (
        {"layer": "silver", "sql": "SELECT who FROM customers", "write": {"to": "lake", "mode": "append"}},
        "who = c.who:I; _logical_date =",
    ),
    "merge": (
        {"layer": "silver", "sql": "SELECT id, amount, day, who FROM orders",
         "write": {"to": "lake", "mode": "merge", "keys": ["id"], "sequence_by": "day",
                   "delete_when": "who = 0", "exclude": ["who"]}},
        "id = o.day:s o.id:Ij o.who:f; amount = o.amount:I o.day:s o.id:j o.who:f; day = o.day:Is o.id:j o.who:f",
    ),
    "scd2": (
        {"layer": "silver", "sql": "SELECT who, name, since FROM customers",
         "write": {"to": "lake", "mode": "scd2", "keys": ["who"], "sequence_by": "since"}},
        ("who = c.since:s c.who:Ij; name = c.name:I c.since:s c.who:j; since = c.since:Is c.who:j;"
        " valid_from = c.since:Is c.who:j; valid_to = c.since:Ts c.who:j; is_current = c.since:s c.who:j"),
    ),
    "quarantine": (
        {"layer": "silver", "sql": "SELECT id FROM orders", "write": KEPT,
         "checks": [{"not_null": ["id"], "on_fail": "quarantine"}]},
        "id = o.id:If",
    ),
    "new rows by a watermark": (
        {"layer": "silver", "sql": "SELECT day, rate FROM rates", "write": {"to": "lake", "mode": "append"},
         "inputs": [{"from": "rates", "rows": "new", "watermark": "day"}]},
        "day = r.day:If; rate = r.day:f r.rate:I; _logical_date = r.day:f",
    ),
    "function": (
        {"layer": "gold", "function": "steps.own:scored", "inputs": ["customers", "rates"]},
        "score = c.*:F r.*:F",
    ),
    "command": (
        {"layer": "gold", "command": ["python", "x.py"], "inputs": ["rates"], "write": KEPT},
        "* = r.*:F",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    project = Project(tmp_path_factory.mktemp("patterns"))
    project.write("x.py", "")
    project.write(
        "steps/own.py",
        """
        from odibi import step

        @step(schema={"score": "DOUBLE"})
        def scored(customers, rates):
            return customers
        """,
    )
    steps: list[dict[str, Any]] = []
    for name, schema in SOURCES.items():
        project.write(f"in/{name}.ndjson", '{"day": "2026-01-01", "rate": 1}\n' if name == "rates" else "")
        options = {"from": "in", "path": f"{name}.ndjson", "schema": schema}
        steps.append({"name": name, "layer": "bronze", "read": options, "write": KEPT})
    steps += [{"name": called(n), "layer": "silver", "sql": query} for n, (query, _) in SQL.items()]
    steps += [
        {"name": called(name), "layer": "silver", "inputs": inputs, "transform": [operation]}
        for name, (inputs, operation, _) in OPERATIONS.items()
    ]
    steps += [{"name": called(name), **step} for name, (step, _) in STEPS.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        yield project.plan(steps)


@pytest.fixture(scope="module")
def told(plan: Plan) -> dict[str, StepRecord]:
    lineage = Lineage(plan)
    return {name: lineage.told(record) for name, record in first_records(plan).items()}


def called(pattern: str) -> str:
    return f"the_{pattern.replace(' ', '_')}"


def written(line: ColumnLineage) -> str:
    letters = {kind: letter for letter, kind in LETTERS.items()}
    short = {name: letter for letter, name in NAMES.items()}
    edges = []
    for base, kinds in line.kinds.items():
        dataset, _, column = base.rpartition(".")
        said = "".join(sorted(letters[kind] for kind in kinds))
        edges.append(f"{short.get(dataset, dataset)}.{column}:{said}")
    return f"{line.column} = {' '.join(sorted(edges))}".rstrip()


EXPECTED = {
    **{name: edges for name, (_, edges) in SQL.items()},
    **{name: edges for name, (*_, edges) in OPERATIONS.items()},
    **{name: edges for name, (_, edges) in STEPS.items()},
}


@pytest.mark.parametrize("pattern", EXPECTED)
def test_edges(told: dict[str, StepRecord], pattern: str) -> None:
    step = told[called(pattern)]
    assert [written(line) for line in step.lineage] == [part.strip() for part in EXPECTED[pattern].split(";")]
    for line in step.lineage:  # what gives a value, and what decides, is one or the other or both, never none
        assert set(line.kinds) == {*line.direct, *line.indirect}


def test_there_are_forty_patterns_and_more() -> None:
    assert len(EXPECTED) >= 40


def test_what_a_step_reads_is_told_by_its_place(told: dict[str, StepRecord], plan: Plan) -> None:
    (read,) = told["orders"].reads
    root = Path(next(iter(plan["orders"].targets["orders"])).url).parents[2]
    assert (read.name, read.uri) == ("in:orders.ndjson", f"file://{root}/in/orders.ndjson")
    assert read.files == {read.uri: read.version}
    assert [made.uri for made in told["orders"].makes] == [f"file://{root}/lake/bronze/orders"]
    assert [read.uri for read in told[called("where")].reads] == [f"file://{root}/lake/bronze/orders"]
    assert [made.uri for made in told[called("where")].makes] == [""]
