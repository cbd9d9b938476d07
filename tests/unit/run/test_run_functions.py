"""User functions in a run: what they are given, what they may return, what becomes of what they raise."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from odibi.errors import ConfigError
from odibi.orchestrator import Result
from odibi.record.model import ErrorRecord
from tests.unit.run.project import Project, actions, read, sql, statuses, step_of

HEADS = """
import datetime as dt
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from odibi import step
"""


def called(project: Project, code: str, *, name: str = "steps.code:f", **more: Any) -> Result:
    """A run of one function over the table ``raw`` with id 1..3 and v 1.5, NULL, 4.5."""
    project.write("steps/code.py", HEADS + code)
    project.csv("in/a.csv", "id,v", (1, 1.5), (2, None), (3, 4.5))
    step = {"name": "out", "layer": "silver", "function": name, "write": {"to": "lake"}, **more}
    return project.run([read("raw", "a.csv"), step])


def error_of(result: Result, name: str = "out") -> ErrorRecord:
    error = step_of(result, name).error
    assert error is not None
    return error


@pytest.mark.parametrize(
    "code",
    [
        "def f(raw):\n    return raw",
        "def f(raw):\n    return raw.filter('true').project('*')",
        "def f(raw: duckdb.DuckDBPyRelation):\n    return raw.arrow()",
        "def f(raw: pd.DataFrame):\n    return raw",
        "def f(raw: 'pd.DataFrame'):\n    return raw[raw['id'] > 0]",
        "def f(raw: pa.Table):\n    return raw",
        "def f(raw: pa.RecordBatchReader):\n    return raw",
        "def f(raw: pa.RecordBatchReader):\n    return raw.read_all()",
        "def f(raw: pa.RecordBatchReader):\n    return pa.RecordBatchReader.from_batches(raw.schema, iter(raw))",
        "def f(raw: pa.Table):\n    return raw.to_pylist()",
        "def f(raw: pa.Table):\n    return raw.to_batches()[0]",
    ],
)
def test_rows_go_in_and_come_out_in_every_form(project: Project, code: str) -> None:
    result = called(project, code)
    assert result.success, result.error
    assert project.rows("silver/out") == [(1, 1.5), (2, None), (3, 4.5)]


def test_a_relation_larger_than_a_batch_is_handed_back_whole(project: Project) -> None:
    project.write("steps/code.py", HEADS + "def f(many):\n    return many.filter('n % 2 = 0')")
    steps = [
        sql("many", "SELECT range AS n FROM range(300000)", kept=False),
        {"name": "out", "layer": "silver", "function": "steps.code:f", "write": {"to": "lake"}},
        sql("total", "SELECT count(*) AS n, sum(n) AS s FROM out"),
    ]
    assert project.run(steps).success
    assert project.rows("silver/total") == [(150_000, sum(range(0, 300_000, 2)))]


def test_values_survive_the_way_through_pandas(project: Project) -> None:
    project.write("steps/code.py", HEADS + "def f(typed: pd.DataFrame):\n    return typed.iloc[::-1]")
    query = """
        SELECT * FROM (VALUES
          (1::BIGINT, 12.34::DECIMAL(18,2), TIMESTAMP '2024-01-01 10:00:00.123456', DATE '2024-02-29', true,
           [1, NULL], {'a': 1, 'b': 'x'}, 'ä', 'NaN'::DOUBLE, NULL::INTEGER),
          (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
        ) AS t(i, d, ts, day, b, l, s, t, nan, n)"""
    steps = [
        sql("typed", query),
        {"name": "out", "layer": "silver", "function": "steps.code:f", "write": {"to": "lake"}},
    ]
    result = project.run(steps)
    assert result.success, result.error
    found = project.rows("silver/out")
    assert repr(found) == repr(project.rows("silver/typed"))
    full = next(row for row in found if row[0] == 1)
    assert full[:8] == (
        1, Decimal("12.34"), dt.datetime(2024, 1, 1, 10, 0, 0, 123456), dt.date(2024, 2, 29), True,
        [1, None], {"a": 1, "b": "x"}, "ä",
    )  # fmt: skip
    assert full[8] != full[8]  # NaN is a number and stays one
    assert step_of(result, "out").columns == step_of(result, "typed").columns


def test_numpy_s_nan_becomes_null_and_the_story_is_told(project: Project) -> None:
    result = called(project, "def f(raw: pd.DataFrame):\n    return pd.DataFrame({'x': [1.0, float('nan')]})")
    assert project.rows("silver/out") == [(1.0,), (None,)]
    assert "NaN became NULL: x" in step_of(result, "out").warnings[0]


def test_params_have_defaults_and_the_function_cannot_change_them(project: Project) -> None:
    code = """
def f(raw: pa.Table, *, factor, offsets=(0,), label='none'):
    if isinstance(offsets, list):
        offsets.append(100)
    return pa.table({'x': [factor + sum(offsets)], 'label': [label]})
"""
    first = called(project, code, params={"factor": 2, "offsets": [1]})
    assert first.success, first.error
    assert project.rows("silver/out") == [(103, "none")]
    assert first.tracker.steps[1].status == "completed"
    assert set(statuses(called(project, code, params={"factor": 2, "offsets": [1]})).values()) == {"reused"}
    assert statuses(called(project, code, params={"factor": 3, "offsets": [1]}))["out"] == "completed"


def test_unknown_and_missing_params_and_inputs_are_problems_at_their_line(project: Project) -> None:
    with pytest.raises(ConfigError) as refused:
        called(
            project,
            "def f(row, threshold=3, *, factor):\n    return row",
            params={"facter": 2},
        )
    found = {problem.message: problem for problem in refused.value.problems}
    assert all(problem.line for problem in found.values())
    assert "factor" in found["function f() has no keyword-only parameter 'facter'"].hint
    assert "function f() needs the parameter 'factor'" in found
    assert "raw" in found["function f() wants the input 'row', which is no dataset"].hint
    assert "after a *" in found["function f() wants the input 'threshold', which is no dataset"].hint


def test_declared_inputs_must_be_the_function_s(project: Project) -> None:
    with pytest.raises(ConfigError) as refused:
        called(project, "def f(orders):\n    return orders", inputs={"orderz": "raw"})
    assert [p.message for p in refused.value.problems] == [
        "function f() needs the input 'orders'",
        "function f() has no input 'orderz'",
    ]
    assert called(project, "def f(orders):\n    return orders", inputs={"orders": "raw"}).success


def test_results_of_dependencies_come_in_the_order_of_depends_on(project: Project) -> None:
    project.write(
        "steps/code.py",
        HEADS + "def f(numerical: pa.Table, text: pa.Table):\n"
        "    return pa.table({'n': numerical['x'], 't': text['x']})",
    )
    steps = [
        sql("text_features", "SELECT 't' AS x", kept=False),
        sql("numerical_features", "SELECT 1 AS x", kept=False),
        {
            "name": "out", "layer": "silver", "function": "steps.code:f", "write": {"to": "lake"},
            "depends_on": ["numerical_features", "text_features"],
        },
    ]  # fmt: skip
    assert project.run(steps).success
    assert project.rows("silver/out") == [(1, "t")]


def test_context_tells_of_the_run_and_what_it_tells_is_part_of_the_key(project: Project) -> None:
    code = """
def f(raw, *, context):
    return [{'day': context.logical_date, 'step': context.step, 'run': len(context.run_id)}]
"""
    assert called(project, code).success
    assert project.rows("silver/out") == [("2026-01-05", "out", 36)]
    steps = str(project.root / "shop.yaml")
    assert actions(project.plan(steps)) == {"raw": "reuse", "out": "reuse"}
    other = project.plan(steps, date="2026-01-06")
    assert other["out"].decision.reason == "logical date changed"
    project.run(steps, date="2026-01-06")
    assert project.rows("silver/out") == [("2026-01-06", "out", 36)]


def test_a_function_without_inputs_is_always_called(project: Project) -> None:
    code = "def f():\n    return [{'x': 1}]"
    assert called(project, code).success
    plan = project.plan(str(project.root / "shop.yaml"))
    assert plan["out"].decision.reason == "it has no inputs, so only running it tells"


# --- what is declared --------------------------------------------------------------------------------

DECLARED = "@step(schema={'id': 'INTEGER', 'price': 'DECIMAL(10,2)'})\n"


def test_a_declared_schema_is_enforced_and_binds_what_reads_it(project: Project) -> None:
    code = DECLARED + "def f(raw: pa.Table):\n    return pa.table({'price': [1.006, 2.0], 'id': [1, 2]})"
    result = called(project, code)
    assert result.success, result.error
    assert project.rows("silver/out") == [(1, Decimal("1.01")), (2, Decimal("2.00"))]
    assert [(c.name, c.type) for c in step_of(result, "out").columns] == [("id", "INTEGER"), ("price", "DECIMAL(10,2)")]  # fmt: skip
    steps = [
        read("raw", "a.csv"),
        {"name": "out", "layer": "silver", "function": "steps.code:f"},
        sql("reader", "SELECT pric FROM out"),
    ]
    with pytest.raises(ConfigError, match="'pric' not found"):
        project.plan(steps)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("{'id': [1]}", "declares the column 'price' and did not return it"),
        ("{'id': [1], 'price': [1.0], 'x': [1]}", "returned the column 'x', which it does not declare"),
        ("{'id': [1.5], 'price': [1.0]}", "declares id INTEGER and returned 1.5"),
        ("{'id': ['a'], 'price': [1.0]}", "declares id INTEGER and returned a"),
        ("{'id': [2**40], 'price': [1.0]}", "declares id INTEGER and returned 1099511627776"),
    ],
)
def test_what_does_not_fit_the_declaration_fails_the_step(project: Project, table: str, said: str) -> None:
    result = called(project, DECLARED + f"def f(raw: pa.Table):\n    return pa.table({table})")
    error = error_of(result)
    assert said in error.message
    assert error.where.startswith("steps/code.py:")
    assert not (project.root / "lake/silver/out").exists()


# --- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("pass", "Permanent", "returned NoneType"),
        ("return 3", "Permanent", "returned int"),
        ("return raw['v']", "Permanent", "returned Series"),
        ("return []", "Permanent", "returned rows without columns"),
        ("return raw.groupby('id').sum()", "Permanent", "with the index id"),
        ("return pd.DataFrame({'x': [1, 'a']})", "Permanent", "values that are no column"),
        ("return pd.concat([raw, raw], axis=1)", "Permanent", "two columns called 'id'"),
        ("return raw.rename(columns={'v': 'ID'})", "Permanent", "two columns called 'ID'"),
        ("return pd.DataFrame({'t': pd.to_timedelta([1])})", "BindError", "INTERVAL"),
        ("raise ValueError('no such rate')", "ValueError", "no such rate"),
        ("raise KeyError('x')", "KeyError", "'x'"),
        ("import sys; sys.exit(3)", "SystemExit", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
        ("return 1 / 0", "ZeroDivisionError", "division by zero"),
        ("import no_such_package", "ModuleNotFoundError", "no_such_package"),
    ],
)
def test_what_a_function_does_wrong_fails_its_step_alone(
    project: Project, body: str, kind: str, said: str
) -> None:
    project.write("steps/code.py", HEADS + f"def f(raw: pd.DataFrame):\n    {body}\n")
    project.csv("in/a.csv", "id,v", (1, 1.5), (2, None), (3, 4.5))
    steps = [
        read("raw", "a.csv"),
        {"name": "out", "layer": "silver", "function": "steps.code:f", "write": {"to": "lake"}},
        sql("beside", "SELECT count(*) AS n FROM raw"),
        sql("after_it", "SELECT count(*) AS n FROM out"),
    ]
    result = project.run(steps)
    error = error_of(result)
    assert error.kind == kind
    assert said in error.message
    assert error.where.startswith("steps/code.py:")
    assert error.permanent
    assert statuses(result) == {
        "raw": "completed",
        "out": "failed",
        "beside": "completed",
        "after_it": "not_run",
    }
    assert not result.success
    assert result.run.status == "Failed"
    assert result.failed_nodes == ["out"]
    assert not (project.root / "lake/silver/out/_delta_log").exists()
    assert project.rows("silver/beside") == [(3,)]


def test_an_error_in_the_middle_of_a_stream_tells_the_line_of_the_function(project: Project) -> None:
    code = """
def f(raw: pa.RecordBatchReader):
    def batches():
        yield next(iter(raw))
        raise ValueError('late')
    return pa.RecordBatchReader.from_batches(raw.schema, batches())
"""
    error = error_of(called(project, code))
    assert error.message == "ValueError: late"
    assert error.where == f"steps/code.py:{len(HEADS.splitlines()) + 5}"


def test_the_place_is_the_innermost_line_of_the_project(project: Project) -> None:
    project.write("steps/rates.py", "def rate(code):\n    return {'EUR': 1}[code]\n")
    error = error_of(called(project, "from steps.rates import rate\n\ndef f(raw):\n    return rate('XXX')\n"))
    assert error.where == "steps/rates.py:2"


def test_a_function_that_writes_to_its_input_changes_nobody_else_s(project: Project) -> None:
    project.write("steps/code.py", HEADS + "def f(raw: pd.DataFrame):\n    raw['v'] = -1.0\n    raw.loc[0, 'id'] = 99\n    return raw\n")  # fmt: skip
    project.csv("in/a.csv", "id,v", (1, 1.5), (2, 2.5))
    for kept in (True, False):
        steps = [
            {**read("raw", "a.csv"), **({} if kept else {"write": None})},
            {"name": "out", "layer": "silver", "function": "steps.code:f", "write": {"to": "lake"}},
            sql("beside", "SELECT sum(v) AS s FROM raw", depends_on=["out"]),
        ]
        result = project.run(steps)
        assert result.success, result.error
        assert project.rows("silver/out") == [(2, -1.0), (99, -1.0)]
        assert project.rows("silver/beside") == [(4.0,)]


# --- code that changes while the process lives ---------------------------------------------------------------


def test_a_changed_function_is_run_as_it_is_now_in_the_same_process(project: Project) -> None:
    project.write("steps/rates.py", "RATE = 10\n")
    code = "from steps.rates import RATE\n\ndef f(raw):\n    return [{'x': RATE + 1}]\n"
    assert called(project, code).success
    assert project.rows("silver/out") == [(11,)]
    assert called(project, code.replace("+ 1", "+ 200")).success
    assert project.rows("silver/out") == [(210,)]
    project.write("steps/rates.py", "RATE = 1000\n")
    assert called(project, code.replace("+ 1", "+ 200")).success
    assert project.rows("silver/out") == [(1200,)]


def test_modules_of_the_same_name_in_two_projects_are_two(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert called(project, "def f(raw):\n    return [{'x': 1}]").success
    other = Project(tmp_path_factory.mktemp("other"))
    other.write("steps/__init__.py", "")
    monkeypatch.chdir(other.root)
    assert called(other, "def f(raw):\n    return [{'x': 22}]").success
    assert other.rows("silver/out") == [(22,)]
    monkeypatch.chdir(project.root)
    assert called(project, "def f(raw):\n    return [{'x': 333}]").success
    assert project.rows("silver/out") == [(333,)]


def test_modules_shared_by_two_functions_are_imported_once(project: Project) -> None:
    project.write(
        "steps/shared.py", "import builtins\nbuiltins.odibi_loads = getattr(builtins, 'odibi_loads', 0) + 1\n"
    )
    for name in ("one", "two"):
        project.write(
            f"steps/{name}.py",
            "import builtins\nimport steps.shared\n\ndef f():\n    return [{'n': builtins.odibi_loads}]\n",
        )
    steps = [
        {"name": name, "layer": "silver", "function": f"steps.{name}:f", "write": {"to": "lake"}}
        for name in ("one", "two")
    ]
    assert project.run(steps).success
    assert project.rows("silver/one") == project.rows("silver/two") == [(1,)]


def test_planning_imports_no_module_of_the_user(project: Project) -> None:
    project.write("steps/code.py", "raise SystemExit('imported')\n\ndef f():\n    return []\n")
    path = project.config([{"name": "out", "layer": "silver", "function": "steps.code:f"}])
    done = project.python(
        f"""
        import sys
        from odibi import load
        from odibi.orchestrator import plan, validate
        loaded = load({path!r})
        print(len(validate(loaded)[1].steps), len(plan(loaded).steps))
        names = [n for n in ("steps", "steps.code", "pandas", "pyarrow", "pyspark") if n in sys.modules]
        print(names)
        """
    )
    assert done.stdout == "1 1\n[]\n", done.stderr
