"""Commands as steps: rows by files, no shell, exit codes, and an end with the attempt."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from odibi.errors import ConfigError
from odibi.record.model import StepStatus
from tests.unit.run.project import KEPT, Project, read, statuses, step_of

DOUBLE = """
    import json, os, sys
    import pyarrow.parquet as pq

    table = pq.read_table(os.environ["ODIBI_INPUT_RAW_ORDERS"])
    print("rows", table.num_rows, json.loads(os.environ["ODIBI_PARAMS"])["unit"], os.environ["ODIBI_LOGICAL_DATE"])
    column = [n * int(sys.argv[1]) for n in table["n"].to_pylist()]
    pq.write_table(table.append_column("times", [column]), os.environ["ODIBI_OUTPUT"])
"""


def steps(*command: Any, **more: Any) -> list[dict[str, Any]]:
    step: dict[str, Any] = {"name": "made", "layer": "gold", "inputs": ["raw_orders"], "write": KEPT, **more}
    return [
        read("raw_orders", "orders.csv"),
        {**step, "command": list(command)} if command else step,
    ]


@pytest.fixture
def orders(project: Project) -> Project:
    project.csv("in/orders.csv", "n,s", (1, "a b"), (2, ""))
    return project


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_rows_go_over_and_come_back_and_what_is_unchanged_is_not_run_again(
    orders: Project, engine: str
) -> None:
    orders.write("steps/double.py", DOUBLE)
    config = orders.config(steps("python", "double.py", 2, params={"unit": "a;b|c"}), engine=engine)
    first = orders.run(config)
    assert first.success, first.error
    assert step_of(first, "made").operation == "command"
    assert orders.rows("gold/made") == [(1, "a b", 2), (2, None, 4)]
    assert orders.run(config).cached == 2
    orders.write("steps/double.py", DOUBLE.replace("n * int", "-n * int"))
    assert statuses(orders.run(config)) == {"raw_orders": StepStatus.REUSED, "made": StepStatus.COMPLETED}
    assert orders.rows("gold/made") == [(1, "a b", -2), (2, None, -4)]


def test_exit_codes_feed_the_retry_rules_and_the_last_words_are_kept(orders: Project) -> None:
    orders.write(
        "steps/shaky.py",
        """
        import os, sys
        from pathlib import Path
        tried = Path("tried")
        tried.write_text(tried.read_text() + "x" if tried.exists() else "x")
        if len(tried.read_text()) < 3:
            print("busy, come later", file=sys.stderr)
            sys.exit(75)
        print("disk on fire")
        sys.exit(3)
        """,
    )
    rules = [{"exit_code": 75, "then": "retry"}, {"exit_code": 3, "then": "escalate"}]
    result = orders.run(
        steps(script="python steps/shaky.py"), retry_rules=rules, retry_delay=0.01, max_retries=5
    )
    step = step_of(result, "made")
    assert [each.error.exit_code for each in step.attempts if each.error] == [75, 75, 3]
    assert step.error is not None
    assert step.error.kind == "CommandFailed"
    assert step.error.message.endswith("ended with exit code 3: disk on fire")
    assert step.error.log == ("disk on fire",)


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(orders: Project) -> None:
    orders.write(
        "steps/slow.py",
        """
        import subprocess, sys, time
        from pathlib import Path
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("pid").write_text(str(child.pid))
        time.sleep(600)
        """,
    )
    step = step_of(orders.run(steps("python", "slow.py", timeout=6.0), max_retries=0), "made")
    assert step.error is not None
    assert step.error.kind == "Timeout"
    status = Path("/proc", (orders.root / "pid").read_text("utf-8"), "status")
    for _ in range(100):
        if not status.exists() or "State:\tZ" in status.read_text("utf-8"):
            break
        time.sleep(0.05)
    else:
        raise AssertionError("what the command started still runs")


def test_a_command_that_writes_nothing_or_no_parquet_fails(orders: Project) -> None:
    step = step_of(orders.run(steps("true"), max_retries=0), "made")
    assert step.error is not None
    assert step.error.message == "true wrote no rows"
    orders.write("steps/text.py", "import os; open(os.environ['ODIBI_OUTPUT'], 'w').write('n\\n1\\n')")
    step = step_of(orders.run(steps("python", "text.py"), max_retries=0), "made")
    assert step.error is not None
    assert "out.parquet" in step.error.message + step.error.where


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"command": ["python", "slwo.py"]}, "there is no file 'slwo.py' (did you mean 'slow.py'?)"),
        ({"command": ["no-such-program"]}, "there is no program 'no-such-program'"),
        ({"command": "python slow.py"}, "one line of text is a script"),
        ({"command": []}, "expected a list of arguments"),
        ({"script": "cat x | sort"}, "'|' is for a shell, and there is none"),
        ({"script": "echo 'x"}, "is no command: no closing quotation"),
        ({"script": "true", "sql": "SELECT 1"}, "a step does one thing"),
        (
            {"command": ["true"], "inputs": {"a-b": "raw_orders", "a_b": "raw_orders"}},
            "are both ODIBI_INPUT_A_B to the command",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_before(orders: Project, more: dict[str, Any], message: str) -> None:
    orders.write("steps/slow.py", "")
    with pytest.raises(ConfigError) as caught:
        orders.plan(steps(**more))
    assert message in str(caught.value)


def test_without_inputs_a_command_is_run_every_time(orders: Project) -> None:
    orders.write(
        "steps/fetch.py",
        """
        import os
        import pyarrow as pa, pyarrow.parquet as pq
        pq.write_table(pa.table({"n": [1]}), os.environ["ODIBI_OUTPUT"])
        """,
    )
    fetch = [{"name": "made", "layer": "bronze", "script": "python fetch.py", "write": KEPT}]
    assert orders.run(fetch).success
    assert orders.run(fetch).cached == 0


def test_segments_are_analyzed_by_five_workers_as_by_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = ["vip", "active", "sleeping", "prospect", "new", "lost"]
    rows = [(n, segments[n % 6], f"{n * 1.25:.2f}") for n in range(60)]
    project.csv("in/segments.csv", "customer_id,segment,net_eur", *rows)
    shipped = Path(__file__).parents[3] / "steps" / "analyze_segments.py"
    project.write("steps/analyze_segments.py", shipped.read_text("utf-8"))
    schema = {"customer_id": "INTEGER", "segment": "VARCHAR", "net_eur": "DECIMAL(18,2)"}
    config = [
        read("segments", "segments.csv", read={"from": "in", "path": "segments.csv", "schema": schema}),
        {
            "name": "made",
            "layer": "gold",
            "inputs": ["segments"],
            "script": "python analyze_segments.py",
            "write": KEPT,
        },
    ]
    assert project.run(config).success
    whole = project.rows("gold/made")
    assert [(segment, count) for segment, count, *_ in whole] == [(each, 10) for each in sorted(segments)]
    assert sum(row[2] for row in whole) == sum(round(n * 125) for n in range(60)) / 100
    monkeypatch.setenv("TOTAL_WORKERS", "5")
    parts: list[Any] = []
    for index in range(5):
        monkeypatch.setenv("WORKER_INDEX", str(index))
        config[1]["params"] = {"worker": index}
        assert project.run(config).success
        parts += project.rows("gold/made")
    assert sorted(parts, key=str) == whole
