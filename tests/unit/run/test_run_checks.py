"""Checks in a run: what is published, what goes to quarantine, what stops a step; and what becomes of it later."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from odibi.errors import ConfigError
from odibi.record.model import CheckRecord, StepStatus
from tests.flow.helpers import odibi
from tests.unit.run.project import KEPT, Project, read, reasons, sql, statuses, step_of

SCHEMA = {"id": "BIGINT", "customer": "VARCHAR", "price": "DOUBLE", "status": "VARCHAR", "email": "VARCHAR"}
HEADER = ",".join(SCHEMA)
GOOD = (
    (1, "c1", 10, "open", "a@b.de"),
    (2, "c2", 20, "open", "b@c.de"),
    (3, "c1", 30, "closed", "c@d.de"),
)


def raw(**more: Any) -> dict[str, Any]:
    """A step that reads orders of a day."""
    found = read("raw", "orders.csv", **more)
    return {**found, "read": {**found["read"], "schema": SCHEMA}}


def orders(*checks: Any, **more: Any) -> dict[str, Any]:
    """A silver step with checks."""
    return sql("orders", "SELECT * FROM raw", **{"checks": list(checks), **more})


def check_of(result: Any, name: str, step: str = "orders") -> CheckRecord:
    """What came of a rule."""
    return next(check for check in step_of(result, step).checks if check.name == name)


def quarantined(project: Project, table: str = "silver/orders_quarantine") -> list[tuple[Any, ...]]:
    """The keys and rules of rows in quarantine."""
    names = [field.name for field in DeltaTable(str(project.root / "lake" / table)).schema().fields]
    at = names.index("_odibi_rules")
    return sorted((row[0], row[at]) for row in project.rows(table))


BROKEN = [
    ({"not_null": ["email"]}, (4, "c1", 1, "open", None), "email is missing"),
    ({"unique": ["id"]}, (3, "c1", 30, "closed", "c@d.de"), "id is there already"),
    ({"accepted": {"column": "status", "values": ["open", "closed"]}}, (4, "c1", 1, "lost", "a@b"), "status is none of open, closed"),
    ({"matches": {"column": "email", "pattern": "@"}}, (4, "c1", 1, "open", "nope"), "email does not match @"),
    ({"between": {"column": "price", "min": 0}}, (4, "c1", -1, "open", "a@b"), "price is not at least 0"),
    ({"between": {"column": "price", "max": 99}}, (4, "c1", "nan", "open", "a@b"), "price is not at most 99"),
    ({"references": {"column": "customer", "to": "customers.id"}}, (4, "c9", 1, "open", "a@b"), "customer is not in customers.id"),
    ({"expression": "price * 2 < 100"}, (4, "c1", 50, "open", "a@b"), "not so: price * 2 < 100"),
    ({"function": "steps_of_checks:cheap"}, (4, "c1", 50, "open", "a@b"), "cheap() says it is not right"),
    (
        {"json_schema": {"schema": {"type": "array", "items": {"properties": {"email": {"type": "string", "format": "email"}}}}}},
        (4, "c1", 50, "open", "nope"),
        "email must be email",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "bad", "said"), BROKEN, ids=lambda value: next(iter(value)) if isinstance(value, dict) else ""
)
@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_a_row_that_breaks_a_rule_fails_warns_or_goes_to_quarantine(
    project: Project, check: dict[str, Any], bad: tuple[Any, ...], said: str, engine: str
) -> None:
    project.write(
        "steps_of_checks.py",
        "import pandas as pd\n\n\ndef cheap(rows: pd.DataFrame):\n    return rows['price'] < 50\n",
    )
    project.csv("in/customers.csv", "id", ["c1"], ["c2"])
    project.csv("in/orders.csv", HEADER, *GOOD, bad)
    ((rule, asked),) = check.items()
    steps = [read("customers", "customers.csv"), raw()]

    def with_(on_fail: str) -> list[Any]:
        return [*steps, orders({rule: asked, "on_fail": on_fail})]

    failed = project.run(with_("error"), engine=engine)
    assert statuses(failed)["orders"] is StepStatus.FAILED
    error = step_of(failed, "orders").error
    assert error is not None
    assert error.kind == "DataValidationFailed"
    assert f"{said}: 1 of 4 rows" in error.message
    (found,) = step_of(failed, "orders").checks
    assert (found.rows, found.broken, found.left, found.status) == (4, 1, 1, "failed")
    assert not (project.root / "lake/silver/orders/_delta_log/00000000000000000000.json").exists()

    warned = project.run(with_("warn"), engine=engine)
    assert warned.success
    assert step_of(warned, "orders").checks[0].status == "warned"
    assert len(project.rows("silver/orders")) == 4

    taken = project.run(with_("quarantine"), engine=engine)
    assert taken.success
    quality = step_of(taken, "orders").quality
    assert quality is not None
    assert (quality.before, quality.after, quality.quarantined) == (0.75, 1.0, 1)
    assert [row[0] for row in project.rows("silver/orders")] == [1, 2, 3]
    ((key, rules),) = quarantined(project)
    assert (key, rules) == (bad[0], step_of(taken, "orders").checks[0].name)
    assert project.rows("silver/orders_quarantine")[0][6] == said.replace(": 1 of 4 rows", "")


TABLE_RULES = [
    ({"row_count": {"min": 4}}, "3 records, minimum required: 4"),
    ({"row_count": {"max": 2}}, "3 records, maximum allowed: 2"),
    ({"sql": "SELECT customer FROM orders GROUP BY customer HAVING count(*) > 1"}, "the query finds 1 rows"),
    ({"sql": "SELECT o.id FROM orders o ANTI JOIN customers c ON o.customer = c.id"}, "the query finds 1 rows"),
    ({"columns": {"id": "INTEGER", "gone": None}}, "gone is missing; id is BIGINT, not INTEGER"),
    ({"columns": {"columns": ["id", "customer", "price", "status"], "others": "refuse"}}, "email is not declared"),
    ({"volume": {"max_rows": 2}}, "3 rows, at most 2 are allowed"),
    ({"volume": {"max_bytes": 10}}, "at most 10 are allowed"),
    ({"freshness": {"column": "price", "within": "6h"}}, "price is no time"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "said"), TABLE_RULES)
def test_a_rule_about_the_table_publishes_nothing_where_it_is_broken(
    project: Project, check: dict[str, Any], said: str
) -> None:
    project.csv("in/customers.csv", "id", ["c1"])
    project.csv("in/orders.csv", HEADER, *GOOD)
    ((rule, asked),) = check.items()
    steps = [read("customers", "customers.csv"), raw()]
    failed = project.run([*steps, orders({rule: asked})])
    error = step_of(failed, "orders").error
    assert error is not None
    assert said in error.message
    warned = project.run([*steps, orders({rule: asked, "on_fail": "warn"})])
    assert warned.success
    assert step_of(warned, "orders").checks[0].status == "warned"


def test_what_is_right_passes_and_is_told(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD)
    checks = [
        {"not_null": ["id", "email"]},
        {"unique": "id"},
        {"row_count": {"min": 1, "max": 3}},
        {"columns": {"id": "BIGINT", "price": "double"}},
        {"volume": {"large": 2}},
        {"sql": "SELECT * FROM orders WHERE price < 0"},
        {"quality_score": 1.0},
        "schema_change",
    ]
    result = project.run([raw(), orders(*checks)])
    assert result.success
    assert {check.status for check in step_of(result, "orders").checks} == {"passed"}
    assert check_of(result, "volume").message.startswith("large: 3 rows in ")
    assert step_of(result, "orders").quality is not None


def test_the_score_is_measured_before_and_after(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", None))
    between = {"between": {"column": "price", "min": 0}, "on_fail": "quarantine"}
    result = project.run([raw(), orders(between, {"not_null": "email"}, {"quality_score": 0.9})])
    assert result.success, "the row without email is in quarantine for its price"
    quality = step_of(result, "orders").quality
    assert quality is not None
    assert (quality.before, quality.after) == (0.75, 1.0)
    low = project.run([raw(), orders({"not_null": "email", "on_fail": "warn"}, {"quality_score": 0.9})])
    assert step_of(low, "orders").error is not None
    assert check_of(low, "quality_score").message == "0.750 is below 0.9"


def test_a_rule_set_gives_rules_their_weight(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", "a@b"))
    steps = [raw(), orders({"between": {"column": "price", "min": 0}}, {"row_count": 9})]
    assert not project.run(steps, validation_rules="strict").success
    standard = project.run(steps, validation_rules="standard")
    assert standard.success
    assert [check.status for check in step_of(standard, "orders").checks] == ["quarantined", "warned"]
    own = {"money": {"rows": "warn", "checks": [{"not_null": "email"}]}}
    found = project.run([raw(), orders(validation_rules="money")], rule_sets=own)
    assert check_of(found, "not_null(email)").on_fail == "warn"


def test_rows_that_are_good_enough_come_back_when_the_rule_changes(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", "a@b"))

    def steps(least: int) -> list[Any]:
        between = {"between": {"column": "price", "min": least}, "on_fail": "quarantine"}
        return [raw(), orders(between), sql("total", "SELECT sum(price) AS total FROM orders")]

    assert project.run(steps(0)).success
    assert project.rows("silver/total") == [(60.0,)]
    again = project.run(steps(0))
    assert set(statuses(again).values()) == {StepStatus.REUSED}
    assert reasons(project.plan(steps(-1)))["orders"] == "checks changed"
    project.run(steps(-1))
    assert project.rows("silver/total") == [(59.0,)]
    assert project.rows("silver/orders_quarantine") == []


def test_a_reference_that_arrives_lets_rows_in(project: Project) -> None:
    project.csv("in/customers.csv", "id", ["c1"])
    project.csv("in/orders.csv", HEADER, *GOOD)
    known = {"references": {"column": "customer", "to": "customers.id"}, "on_fail": "quarantine"}
    steps = [read("customers", "customers.csv"), raw(), orders(known)]
    project.run(steps)
    assert quarantined(project) == [(2, "references(customers.id)")]
    project.csv("in/customers.csv", "id", ["c1"], ["c2"])
    project.run(steps)
    assert quarantined(project) == []
    assert [row[0] for row in project.rows("silver/orders")] == [1, 2, 3]


def test_of_rows_with_one_key_the_good_one_is_kept(project: Project) -> None:
    project.csv(
        "in/orders.csv",
        HEADER,
        (1, "c1", -1, "open", "a"),
        (1, "c1", 5, "open", "b"),
        (1, "c1", 6, "open", "c"),
    )
    unique = {"unique": {"columns": "id", "order_by": "price desc"}, "on_fail": "quarantine"}
    between = {"between": {"column": "price", "min": 0}, "on_fail": "quarantine"}
    project.run([raw(), orders(unique, between)])
    assert [row[2] for row in project.rows("silver/orders")] == [6.0]
    assert quarantined(project) == [(1, "unique(id)"), (1, "unique(id); between(price)")]


def test_a_key_that_the_table_has_already_is_a_repeat(project: Project) -> None:
    unique = {"unique": "id", "on_fail": "quarantine"}
    steps = [raw(), orders(unique, write={**KEPT, "mode": "append"})]
    project.csv("in/orders.csv", HEADER, *GOOD)
    project.run(steps, date="2026-01-01")
    project.csv("in/orders.csv", HEADER, GOOD[0], (9, "c1", 1, "open", "x"))
    project.run(steps, date="2026-01-02")
    assert sorted(row[0] for row in project.rows("silver/orders")) == [1, 2, 3, 9]
    assert quarantined(project) == [(1, "unique(id)")]
    project.run(steps, date="2026-01-02")
    assert sorted(row[0] for row in project.rows("silver/orders")) == [1, 2, 3, 9]


@pytest.mark.parametrize(
    "write",
    [
        {"mode": "merge", "keys": ["id"]},
        {"mode": "scd2", "keys": ["id"]},
        {"mode": "append"},
        {"mode": "replace_partitions", "partition_by": ["status"]},
        {"mode": "replace_where", "where": "id > 0"},
        {"partition_by": ["status"]},
        {"format": "csv"},
    ],
    ids=lambda write: write.get("mode") or next(iter(write)),
)
def test_every_way_of_writing_has_a_quarantine(project: Project, write: dict[str, Any]) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", "a@b"))
    between = {"between": {"column": "price", "min": 0}, "on_fail": "quarantine"}
    steps = [raw(), orders(between, {"row_count": {"max": 3}}, write={**KEPT, **write})]
    result = project.run(steps)
    assert result.success, step_of(result, "orders").error
    place = project.root / "lake/silver"
    if write.get("format") == "csv":
        assert duckdb.sql(f"SELECT count(*) FROM '{place}/orders.csv'").fetchall() == [(3,)]
    else:
        assert sorted(row[0] for row in project.rows("silver/orders")) == [1, 2, 3]
    assert quarantined(project) == [(4, "between(price)")]
    written = step_of(result, "orders").writes[0]
    assert written.rows == 3
    again = project.run([raw(), orders(between, write={**KEPT, **write})])
    assert again.success
    assert quarantined(project) == [(4, "between(price)")]


def test_a_repeat_in_a_merged_table_fails_as_nobody_can_tell_which_row_to_take(project: Project) -> None:
    unique = {"unique": "email", "on_fail": "quarantine"}
    steps = [raw(), orders(unique, write={**KEPT, "mode": "merge", "keys": ["id"]})]
    project.csv("in/orders.csv", HEADER, *GOOD)
    assert project.run(steps, date="2026-01-01").success
    project.csv("in/orders.csv", HEADER, (9, "c1", 1, "open", "a@b.de"))
    result = project.run(steps, date="2026-01-02")
    assert check_of(result, "unique(email)").status == "failed"
    assert sorted(row[0] for row in project.rows("silver/orders")) == [1, 2, 3]


def test_a_step_that_is_not_kept_may_be_checked_and_not_quarantined(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", "a@b"))
    lazy = {**orders({"between": {"column": "price", "min": 0}}), "write": None}
    steps = [
        raw(),
        {k: v for k, v in lazy.items() if v is not None},
        sql("n", "SELECT count(*) AS n FROM orders"),
    ]
    assert statuses(project.run(steps)) == {
        "raw": StepStatus.COMPLETED,
        "orders": StepStatus.FAILED,
        "n": StepStatus.NOT_RUN,
    }
    steps[1]["checks"][0]["on_fail"] = "quarantine"
    with pytest.raises(ConfigError, match="quarantine stands beside the table that a step writes"):
        project.plan(steps)


def test_a_failed_check_leaves_the_table_and_the_quarantine_as_they_were(project: Project) -> None:
    between = {"between": {"column": "price", "min": 0}, "on_fail": "quarantine"}
    steps = [raw(), orders(between, {"not_null": "email"})]
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", "a@b"))
    project.run(steps)
    before = project.rows("silver/orders"), project.rows("silver/orders_quarantine")
    project.csv("in/orders.csv", HEADER, (5, "c1", 1, "open", None), (6, "c1", -1, "open", "a@b"))
    assert not project.run(steps).success
    assert (project.rows("silver/orders"), project.rows("silver/orders_quarantine")) == before


def test_a_change_of_columns_is_told_and_can_be_refused(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD)
    project.run([raw(), orders("schema_change")])
    changed = sql(
        "orders", "SELECT * EXCLUDE (email), price::INTEGER AS n FROM raw", checks=["schema_change"]
    )
    result = project.run([raw(), changed])
    assert not result.success
    assert check_of(result, "schema_change").message == "n is new; email is gone"
    allowed = {**changed, "checks": [{"schema_change": ["added", "removed"]}]}
    assert project.run([raw(), allowed]).success


def test_an_old_file_is_stale_and_time_alone_can_break_a_rule(project: Project) -> None:
    import os
    import time

    file = project.csv("in/orders.csv", HEADER, *GOOD)
    steps = [raw(checks=[{"freshness": "6h"}])]
    assert project.run(steps).success
    assert statuses(project.run(steps)) == {"raw": StepStatus.COMPLETED}, "it is asked in every run"
    os.utime(file, (time.time() - 7 * 3600,) * 2)
    stale = project.run(steps)
    assert not stale.success
    assert check_of(stale, "freshness", "raw").message.startswith("stale: the newest is of ")


def test_sensitive_columns_are_masked_in_the_examples(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", "s3cret@b"))
    between = {"between": {"column": "price", "min": 0}, "on_fail": "warn"}
    result = project.run([raw(), orders(between)], sensitive=["email"])
    examples = step_of(result, "orders").checks[0].examples
    assert examples is not None
    assert examples.rows == (("4", "c1", "-1.0", "open", "***"),)
    assert "s3cret" not in result.run.model_dump_json()


PROBLEMS = [
    ({"not_null": ["emial"]}, "not_null(emial): there is no column 'emial' (did you mean 'email'?)"),
    ({"between": {"column": "email", "min": 0}}, "between(email): the column is text, and 0 is a number"),
    ({"matches": {"column": "email", "pattern": "("}}, "is no regular expression: missing )"),
    ({"expression": "price >> 'x' FROM"}, "expression(price >> 'x' FROM)"),
    ({"expression": "price + 1"}, "it is DOUBLE, not true or false"),
    ({"expression": "sum(price) > 1"}, "expression(sum(price) > 1)"),
    ({"references": {"column": "id", "to": "customers.nope"}}, "customers has no column 'nope'"),
    ({"references": {"column": "id", "to": "nobody.id"}}, "unknown input 'nobody'"),
    ({"sql": "SELECT nope FROM orders"}, "column 'nope' not found"),
    ({"columns": {"id": "BIGNT"}}, "columns: id has type 'BIGNT', which DuckDB does not know"),
    ({"function": "steps_of_checks:nobody"}, "has no function 'nobody'"),
    ({"function": {"function": "steps_of_checks:cheap", "params": {"x": 1}}}, "cheap() has no parameter 'x'"),
    ({"json_schema": "nowhere.json"}, "there is no file 'nowhere.json'"),
    ({"json_schema": {"schema": {"type": "nonsense"}}}, "this is no JSON schema"),
    ({"freshness": "6h"}, "freshness needs a column here"),
    ({"freshness": {"column": "id", "within": "99999999999d"}}, "is longer than any span of time"),
    ({"between": {"column": "id", "min": "many"}}, "between(id): Could not convert string 'many'"),
    ({"between": {"column": "id", "min": [1]}}, "min and max of between are one value each"),
    (
        {"accepted": {"column": "price", "values": [1, "cheap"]}},
        "accepted(price): Could not convert string 'cheap'",
    ),
    ({"not_nul": ["email"]}, "unknown rule 'not_nul'; did you mean 'not_null'?"),
    ({"expression": "random() < price"}, "it depends on the clock or on chance"),
    ({"json_schema": {"schema": {"$ref": "file:///etc/passwd"}}}, "a schema reads no other"),
    ({"json_schema": {"schema": {"properties": {"id": {"pattern": "("}}}}}, "this is no JSON schema"),
]


@pytest.mark.parametrize(
    ("check", "said"), PROBLEMS, ids=lambda value: next(iter(value)) if isinstance(value, dict) else ""
)
def test_a_check_that_means_nothing_is_refused_before_anything_runs(
    project: Project, check: dict[str, Any], said: str
) -> None:
    project.write("steps_of_checks.py", "def cheap(rows):\n    return True\n")
    project.csv("in/customers.csv", "id", ["c1"])
    project.csv("in/orders.csv", HEADER, *GOOD)
    with pytest.raises(ConfigError) as caught:
        project.plan([read("customers", "customers.csv"), raw(), orders(check)])
    assert said in str(caught.value)
    assert len(caught.value.problems) == 1
    assert not (project.root / "lake").exists()


ANSWERS = {
    "True": None,
    "False": "says it is not right: 3 of 3 rows",
    "[True, False, None]": "1 of 3 rows",
    "rows['price'] > 10": "1 of 3 rows",
    "[True]": "returned 1 answers for 3 rows",
    "['yes'] * 3": "returned 'yes' for a row",
    "None": "returned NoneType",
}


@pytest.mark.parametrize(("answer", "said"), ANSWERS.items())
def test_what_a_function_may_answer(project: Project, answer: str, said: str | None) -> None:
    project.write(
        "steps_of_checks.py",
        f"import pandas as pd\n\n\ndef right(rows: pd.DataFrame):\n    return {answer}\n",
    )
    project.csv("in/orders.csv", HEADER, *GOOD)
    result = project.run([raw(), orders({"function": "steps_of_checks:right"})])
    error = step_of(result, "orders").error
    assert (error is None) if said is None else (error is not None and said in error.message)


def test_what_a_check_names_is_watched(project: Project) -> None:
    """A run with nothing to do is told from files that changed; those of checks are among them."""
    project.csv("in/orders.csv", HEADER, *GOOD)
    project.write("steps_of_checks.py", "def right(rows):\n    return True\n")
    project.write("order.json", '{"required": ["id"]}')
    config = project.config(
        [raw(), orders({"function": "steps_of_checks:right"}, {"json_schema": "order.json"})]
    )
    for _ in range(3):
        assert odibi("run", config, cwd=project.root).returncode == 0
    project.write("order.json", '{"required": ["nothing"]}')
    assert odibi("run", config, cwd=project.root).returncode == 1
    project.write("order.json", '{"required": ["id"]}')
    assert odibi("run", config, cwd=project.root).returncode == 0
    project.write("steps_of_checks.py", "def right(rows):\n    return False\n")
    assert odibi("run", config, cwd=project.root).returncode == 1


def test_a_gate_stops_who_reads_it_and_who_waits_for_it(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", "a@b"))

    def steps(least: int) -> list[Any]:
        gate = {
            "name": "gate",
            "layer": "silver",
            "inputs": ["raw"],
            "quality_check": [{"between": {"column": "price", "min": least}}],
        }
        return [
            raw(),
            gate,
            sql("n", "SELECT count(*) AS n FROM gate"),
            sql("m", "SELECT 1 AS m", depends_on=["gate"]),
        ]

    shut = statuses(project.run(steps(0)))
    assert (shut["gate"], shut["n"], shut["m"]) == (StepStatus.FAILED, StepStatus.NOT_RUN, StepStatus.NOT_RUN)
    assert project.run(steps(-1)).success
    assert project.rows("silver/n") == [(4,)]


def test_who_reads_only_what_is_new_judges_its_quarantine_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from odibi.datasets import writing

    known = {"references": {"column": "customer", "to": "customers.id"}, "on_fail": "quarantine"}
    merged = {**KEPT, "mode": "merge", "keys": ["id"], "sequence_by": "price"}
    new = {"name": "orders", "layer": "silver", "inputs": [{"from": "raw", "rows": "new"}], "checks": [known]}
    new |= {"transform": [{"drop": ["_logical_date"]}], "write": merged}
    steps = [read("customers", "customers.csv"), raw(write={**KEPT, "mode": "append"}), new]
    project.csv("in/customers.csv", "id", ["c1"])
    project.csv("in/orders.csv", HEADER, *GOOD)
    assert project.run(steps, date="2026-01-01").success
    assert quarantined(project) == [(2, "references(customers.id)")]
    project.csv("in/orders.csv", HEADER, (5, "c7", 1, "open", "a@b"), (6, "c1", 1, "open", "a@b"))

    def die(*_: Any, **__: Any) -> int:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_published", die)
        assert not project.run(steps, "orders", "raw", date="2026-01-02", max_retries=0).success
    for _ in range(2):
        assert project.run(steps, date="2026-01-02").success
        assert [key for key, _ in quarantined(project)] == [2, 5]
        assert [row[0] for row in project.rows("silver/orders")] == [1, 3, 6]
    project.csv("in/customers.csv", "id", ["c1"], ["c2"])
    again = project.run(steps, date="2026-01-02")
    assert "2 rows that were in quarantine are judged again" in step_of(again, "orders").warnings
    assert [key for key, _ in quarantined(project)] == [5]
    assert [row[0] for row in project.rows("silver/orders")] == [1, 2, 3, 6]
    without = {**new, "write": {**merged, "sequence_by": None}}
    with pytest.raises(ConfigError, match="give the write a sequence_by"):
        project.plan([*steps[:2], without])


@pytest.mark.parametrize(
    "name", ["bad", "f0", "odibi_flag_bad", "a b", "select", "file_row_number", "r.p", "it's"]
)
def test_columns_may_be_called_anything(project: Project, name: str) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c1", -1, "open", "a@b"))
    between = {"between": {"column": name, "min": 0}, "on_fail": "quarantine"}
    renamed = sql("orders", f'SELECT id, price AS "{name}", price > 9 AS f1 FROM raw', checks=[between])
    result = project.run([raw(), renamed])
    assert check_of(result, f"between({name})").broken == 1
    assert [row[0] for row in project.rows("silver/orders")] == [1, 2, 3]
    assert quarantined(project) == [(4, f"between({name})")]


@pytest.mark.parametrize(
    ("name", "check", "needs"),
    [
        ("_odibi_reason", {"not_null": "id", "on_fail": "quarantine"}, "quarantine"),
        ("odibi_part", {"json_schema": {"schema": {}}}, "json_schema"),
    ],
)
def test_columns_called_as_those_which_are_added_are_refused(
    project: Project, name: str, check: dict[str, Any], needs: str
) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD)
    with pytest.raises(ConfigError, match=f"a column '{name}', a name that {needs} needs for itself"):
        project.plan([raw(), sql("orders", f"SELECT id, price AS {name} FROM raw", checks=[check])])


def test_null_among_accepted_values_accepts_nothing_else(project: Project) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD)
    accepted = {"accepted": {"column": "status", "values": ["open", None]}, "on_fail": "quarantine"}
    project.run([raw(), orders(accepted)])
    assert quarantined(project) == [(3, "accepted(status)")]


def test_a_value_that_json_schema_cannot_calculate_with_is_wrong_and_long_ones_are_cut(
    project: Project,
) -> None:
    project.csv("in/orders.csv", HEADER, *GOOD, (4, "c" * 5000, "inf", "open", "a@b"))
    even = {"json_schema": {"schema": {"properties": {"price": {"multipleOf": 10}}}}, "on_fail": "warn"}
    (check,) = step_of(project.run([raw(), orders(even)]), "orders").checks
    assert "cannot be held against the schema" in check.message
    assert check.examples is not None
    assert max(len(cell) for cell in check.examples.rows[0]) == 200


@pytest.mark.parametrize(
    "ids", [(1, 2, 3), (1, 1, 3), (-5, 10**15, 10**15), (0, 10**15, -(10**15)), (7, "", "")]
)
def test_whole_numbers_near_and_far_from_each_other_are_told_apart(project: Project, ids: Any) -> None:
    project.csv("in/orders.csv", HEADER, *[(number, "c", 1, "open", "e") for number in ids])
    result = project.run([raw(), orders({"unique": "id", "on_fail": "warn"})])
    known = [number for number in ids if number != ""]
    assert check_of(result, "unique(id)").broken == len(known) - len(set(known))


def test_no_rows_break_no_rule_about_rows(project: Project) -> None:
    project.csv("in/orders.csv", HEADER)
    asked = [{"not_null": "id"}, {"unique": "id"}, {"between": {"column": "price", "min": 0}}]
    result = project.run([raw(), orders(*[{**each, "on_fail": "quarantine"} for each in asked])])
    assert result.success
    assert [(check.rows, check.broken, check.left) for check in step_of(result, "orders").checks] == [
        (0, 0, 0)
    ] * 3
