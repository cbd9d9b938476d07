"""What becomes of tables: appends per date, failures that leave them alone, processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from odibi.errors import ConfigError
from tests.unit.run.project import KEPT, Project, actions, read, reasons, sql, statuses, step_of


def daily(project: Project, *, gold: bool = True) -> list[dict[str, Any]]:
    for day in (1, 2, 3):
        project.csv(f"in/2026-01-0{day}.csv", "id,v", (day * 10, 1), (day * 10 + 1, 2))
    steps = [read("raw", "{date}.csv", write={"to": "lake", "mode": "append"})]
    return [*steps, sql("total", "SELECT count(*) AS n, sum(id) AS ids FROM raw")] if gold else steps


def per_day(project: Project, table: str = "bronze/raw") -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in project.rows(table):
        found.setdefault(str(row[-1]), []).append(row[0])
    return {day: sorted(ids) for day, ids in found.items()}


def test_each_date_is_appended_once_in_any_order(project: Project) -> None:
    steps = daily(project)
    for date in ("2026-01-02", "2026-01-01", "2026-01-03", "2026-01-02"):
        assert project.run(steps, date=date).success
    assert per_day(project) == {"2026-01-01": [10, 11], "2026-01-02": [20, 21], "2026-01-03": [30, 31]}
    assert project.version("bronze/raw") == 2
    assert project.rows("silver/total") == [(6, 123)]


def test_the_same_date_again_does_nothing(project: Project) -> None:
    steps = daily(project)
    project.run(steps, date="2026-01-01")
    plan = project.plan(steps, date="2026-01-01")
    assert actions(plan) == {"raw": "reuse", "total": "reuse"}
    assert project.run(steps, date="2026-01-01").nodes_executed == 0
    assert reasons(project.plan(steps, date="2026-01-02"))["raw"] == "nothing written for 2026-01-02 yet"


def test_a_corrected_file_replaces_the_rows_of_its_date_and_no_other(project: Project) -> None:
    steps = daily(project)
    for date in ("2026-01-01", "2026-01-02", "2026-01-03"):
        project.run(steps, date=date)
    project.csv("in/2026-01-02.csv", "id,v", (22, 9))
    assert reasons(project.plan(steps, date="2026-01-02"))["raw"] == "files changed"
    assert project.run(steps, date="2026-01-02").success
    assert per_day(project) == {"2026-01-01": [10, 11], "2026-01-02": [22], "2026-01-03": [30, 31]}
    assert project.rows("silver/total") == [(5, 104)]
    project.csv("in/2026-01-02.csv", "id,v")
    step = read("raw", "{date}.csv", write={"to": "lake", "mode": "append"})
    step["read"]["schema"] = {"id": "BIGINT", "v": "BIGINT"}
    assert project.run([step], date="2026-01-02").success
    assert per_day(project) == {"2026-01-01": [10, 11], "2026-01-03": [30, 31]}


def test_a_reader_sees_the_whole_table_whatever_date_it_is_run_for(project: Project) -> None:
    """A date's own commit does not say what the table holds by now."""
    steps = daily(project)
    project.run(steps, date="2026-01-01")
    project.run(steps, "raw", date="2026-01-02")
    assert project.rows("silver/total") == [(2, 21)]
    assert reasons(project.plan(steps, date="2026-01-01"))["total"] == "raw changed in id"
    project.run(steps, date="2026-01-01")
    assert project.rows("silver/total") == [(4, 62)]
    assert actions(project.plan(steps, date="2026-01-01")) == {"raw": "reuse", "total": "reuse"}
    assert actions(project.plan(steps, "total", date="2026-01-03")) == {"raw": "skip", "total": "reuse"}
    assert actions(project.plan(steps, "total", date="2026-01-02")) == {"raw": "skip", "total": "reuse"}


def test_rows_that_somebody_else_appended_are_an_input_that_changed(project: Project) -> None:
    steps = daily(project)
    project.run(steps, date="2026-01-01")
    rows = pa.table(
        {"id": [99], "v": [1], "_logical_date": pa.array([None], pa.date32())},
        schema=pa.schema([("id", pa.int64()), ("v", pa.int64()), ("_logical_date", pa.date32())]),
    )
    write_deltalake(str(project.root / "lake/bronze/raw"), rows, mode="append")
    plan = project.plan(steps, date="2026-01-01")
    assert actions(plan) == {"raw": "reuse", "total": "run"}
    project.run(steps, date="2026-01-01")
    assert project.rows("silver/total") == [(3, 120)]
    assert actions(project.plan(steps, date="2026-01-01")) == {"raw": "reuse", "total": "reuse"}


def test_two_steps_cannot_append_to_one_table(project: Project) -> None:
    steps = daily(project, gold=False)
    other = sql(
        "more", "SELECT 1 AS id, 1 AS v", write={"to": "lake", "path": "bronze/raw", "mode": "append"}
    )
    with pytest.raises(ConfigError, match="'raw' and 'more' both write"):
        project.run([*steps, other], date="2026-01-01")


def test_code_that_changes_replaces_the_rows_of_the_date_it_is_run_for(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2))
    for query in ("SELECT * FROM raw", "SELECT * FROM raw WHERE id = 2"):
        steps = [read("raw", "a.csv"), sql("kept", query, write={"to": "lake", "mode": "append"})]
        for date in ("2026-01-01", "2026-01-02") if query.endswith("raw") else ("2026-01-02",):
            assert project.run(steps, date=date).success
    assert per_day(project, "silver/kept") == {"2026-01-01": [1, 2], "2026-01-02": [2]}


# --- scripts ------------------------------------------------------------------------------------------------


def test_a_script_that_changes_its_inputs_works_on_copies(project: Project) -> None:
    file = project.csv("in/a.csv", "id,v", (1, -5), (2, 10), (3, 20))
    before = file.read_bytes()
    script = """
        DELETE FROM raw_orders WHERE v < 0;
        UPDATE raw_orders SET v = v + 1 WHERE id = 3;
        INSERT INTO raw_orders VALUES (4, 40);
    """
    steps = [
        read("raw_orders", "a.csv"),
        sql("clean", script),
        sql("named", script, outputs={"raw_orders": "cleaned"}),
        sql("untouched", "SELECT * FROM raw_orders"),
    ]
    result = project.run(steps)
    assert result.success, result.error
    assert project.rows("silver/clean") == project.rows("silver/cleaned") == [(2, 10), (3, 21), (4, 40)]
    assert (
        project.rows("silver/untouched") == project.rows("bronze/raw_orders") == [(1, -5), (2, 10), (3, 20)]
    )
    assert file.read_bytes() == before


def test_sql_in_a_file_and_in_the_config_is_the_same(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2))
    query = "SELECT id FROM raw WHERE v > 1"
    assert project.run([read("raw", "a.csv"), sql("kept", query)]).success
    project.write("steps/kept.sql", f"-- the big ones\n{query};\n")
    steps = [read("raw", "a.csv"), sql("kept", "steps/kept.sql")]
    assert actions(project.plan(steps)) == {"raw": "reuse", "kept": "reuse"}
    project.write("steps/kept.sql", "SELECT id FROM raw WHERE v > {{ least }}")
    assert project.run(steps, variables={"least": 1}).success
    assert actions(project.plan(steps, variables={"least": 1})) == {"raw": "reuse", "kept": "reuse"}
    changed = project.plan(steps, variables={"least": 0})
    assert actions(changed) == {"raw": "reuse", "kept": "run"}
    assert changed["kept"].decision.reason == "parameter least changed"


def test_two_runs_at_the_same_time_end_as_one(project: Project) -> None:
    steps = daily(project)
    steps.append(sql("listed", "SELECT id FROM raw"))
    path = project.config(steps, date="2026-01-01")
    processes = [_started(project, path) for _ in range(3)]
    for process in processes:
        process.wait(timeout=60)
    result = project.run(path)
    assert result.success, result.error
    assert per_day(project) == {"2026-01-01": [10, 11]}
    assert project.rows("silver/total") == [(2, 21)]
    codes = {process.returncode for process in processes}
    assert 0 in codes
    assert codes <= {0, 3}  # those that came while one was under way are told so


def test_a_step_that_another_run_has_just_made_is_read_at_that_version(project: Project) -> None:
    """A plan that knew of no table, or of an older one, finds what it was about to make."""
    project.csv("in/a.csv", "id", (1,))
    code = """
        from odibi import load, orchestrator
        orchestrator.run(load({path!r}), chosen=["raw", "middle"])
        """
    path = project.config(
        [read("raw", "a.csv"), sql("middle", "SELECT id FROM raw"), sql("last", "SELECT id FROM middle")]
    )
    loaded = project.load(path)
    from odibi import orchestrator

    def meanwhile(_: object) -> None:
        done = project.python(code.format(path=path), ODIBI_HOME=str(project.root / "elsewhere"))
        assert done.returncode == 0, done.stderr

    result = orchestrator.run(loaded, planned=meanwhile)
    assert result.success, result.error
    assert statuses(result) == {"raw": "completed", "middle": "reused", "last": "completed"}
    assert project.rows("silver/last") == [(1,)]


# --- failures ------------------------------------------------------------------------------------------------


BREAKS = {
    "a broken row": ("id,v\n1,2\n3\n", "the row has 1 column", "in/a.csv:3"),
    "a changed type": ("id,v\n1,2\n3,x\n", "'x' is not BIGINT", "in/a.csv:3"),
    "a missing column": ("id\n1\n", "column 'v' is missing", "in/a.csv:1"),
    "a new column": ("id,v,w\n1,2,3\n", "column 'w' is new", "in/a.csv:1"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_file_fails_its_step_and_every_table_stays_as_it_was(project: Project, name: str) -> None:
    text, said, where = BREAKS[name]
    project.csv("in/a.csv", "id,v", (1, 2), (3, 4))
    project.csv("in/b.csv", "id", (7,))
    steps = [
        read("raw", "a.csv"),
        sql("gold_a", "SELECT sum(v) AS s FROM raw"),
        read("beside", "b.csv"),
        sql("gold_b", "SELECT max(id) AS m FROM beside"),
    ]
    assert project.run(steps).success
    project.write("in/a.csv", text)
    project.csv("in/b.csv", "id", (8,))
    result = project.run(steps)
    assert statuses(result) == {
        "raw": "failed",
        "gold_a": "not_run",
        "beside": "completed",
        "gold_b": "completed",
    }
    error = step_of(result, "raw").error
    assert error is not None
    assert said in error.message
    assert error.where.startswith(where)
    assert project.rows("bronze/raw") == [(1, 2), (3, 4)]
    assert project.rows("silver/gold_a") == [(6,)]
    assert project.rows("silver/gold_b") == [(8,)]
    assert result.run.status == "Failed"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, CAST('x' || v AS INTEGER) AS v FROM raw",
        "SELECT id, error('told') AS v FROM raw",
        "SELECT id, 9223372036854775807 + v AS v FROM raw",
    ],
)
def test_a_query_that_fails_leaves_its_table_and_no_parts(project: Project, query: str) -> None:
    project.csv("in/a.csv", "id,v", (1, 2), (3, 4))
    steps = [read("raw", "a.csv"), sql("kept", "SELECT id, v FROM raw")]
    assert project.run(steps).success
    before = project.tree()
    result = project.run([steps[0], sql("kept", query)])
    assert statuses(result) == {"raw": "reused", "kept": "failed"}
    assert "SELECT" in step_of(result, "kept").sql_run
    after = project.tree()
    assert {name for name in after if name.startswith("lake")} == {
        name for name in before if name.startswith("lake")
    }
    assert project.rows("silver/kept") == [(1, 2), (3, 4)]


def test_a_table_whose_columns_the_step_may_not_change_stays_as_it_was(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 2))
    strict = {"to": "lake", "schema": "exact"}
    steps = [read("raw", "a.csv"), sql("kept", "SELECT id FROM raw", write=strict)]
    assert project.run(steps).success
    result = project.run([steps[0], sql("kept", "SELECT id, v FROM raw", write=strict)])
    error = step_of(result, "kept").error
    assert error is not None
    assert error.kind == "SchemaMismatch"
    assert project.rows("silver/kept") == [(1,)]


def test_a_table_that_got_wider_is_read_with_all_its_columns(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 2))
    wide = {"to": "lake", "schema": "widen"}
    reader = sql("reader", "SELECT id, v FROM kept")
    steps = [read("raw", "a.csv"), sql("kept", "SELECT id, v FROM raw", write=wide), reader]
    assert project.run(steps).success
    steps[1] = sql("kept", "SELECT id FROM raw", write=wide)
    result = project.run(steps)
    assert result.success, result.error
    assert project.rows("silver/reader") == [(1, None)]


# --- killed --------------------------------------------------------------------------------------------------

KILLED = """
import os
import time
from pathlib import Path

def f(big):
    mark = Path({mark!r})
    if not mark.exists():
        mark.write_text('here')
        time.sleep(60)
    return big
"""


def test_killed_and_run_again_every_table_ends_as_if_it_had_never_been(project: Project) -> None:
    project.csv("in/2026-01-05.csv", "id,v", *[(i, i % 7) for i in range(5_000)])
    mark = project.root / "mark"
    project.write("steps/code.py", KILLED.format(mark=str(mark)))
    steps = [
        read("raw", "{date}.csv", write={"to": "lake", "mode": "append"}),
        sql("big", "SELECT id, v FROM raw WHERE v > 1"),
        {"name": "slow", "layer": "gold", "function": "steps.code:f", "write": KEPT},
        sql("total", "SELECT count(*) AS n FROM slow"),
    ]
    path = project.config(steps)
    process = _started(project, path)
    _until(mark.exists)
    process.kill()
    process.wait()
    assert not (project.root / "lake/gold/slow").exists()
    orphan = _died_while_writing(project, str(project.root / "lake/silver/big"))
    assert orphan.is_dir()

    done = subprocess.run(
        [sys.executable, "-m", "odibi", "run", path], cwd=project.root, env=_environ(project), check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not orphan.exists()
    assert list((project.root / "home/intents").iterdir()) == []
    assert len(project.rows("bronze/raw")) == 5_000
    assert project.version("bronze/raw") == 0
    assert project.rows("silver/total") == [(len(project.rows("gold/slow")),)]
    assert {row[:2] for row in project.rows("bronze/raw") if row[1] > 1} == set(project.rows("gold/slow"))
    used = {str(part) for part in (project.root / "lake").rglob("part-*.parquet")}
    assert len(used) == 4


@pytest.mark.parametrize("seconds", [0.45, 0.7, 0.9])
def test_killed_at_any_instant(project: Project, seconds: float) -> None:
    project.csv("in/2026-01-05.csv", "id,v", *[(i, i % 7) for i in range(20_000)])
    steps = [read("raw", "{date}.csv", write={"to": "lake", "mode": "append"})]
    steps += [sql(f"t_{i}", f"SELECT id, v + {i} AS v FROM raw WHERE v > {i}") for i in range(4)]
    steps.append(sql("all_of_it", " UNION ALL ".join(f"SELECT * FROM t_{i}" for i in range(4))))
    path = project.config(steps)
    process = _started(project, path)
    time.sleep(seconds)
    process.kill()
    process.wait()
    for _ in range(2):
        assert project.run(path).success
    rows = [(i, i % 7) for i in range(20_000)]
    assert sorted(row[:2] for row in project.rows("bronze/raw")) == rows
    expected = sorted((i, v + n) for n in range(4) for i, v in rows if v > n)
    assert sorted(project.rows("silver/all_of_it")) == expected


def _started(project: Project, path: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "odibi", "run", path], cwd=project.root, env=_environ(project),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _died_while_writing(project: Project, target: str) -> Path:
    """The folder of a part that a process wrote and never came to commit."""
    done = project.python(
        f"""
        import os
        from pathlib import Path
        from odibi.datasets.staging import Intents
        with Intents(Path({str(project.root / "home/intents")!r}), "0" * 36) as intents:
            folder = Path(intents.folder({target!r}))
            folder.mkdir(parents=True)
            (folder / "part-0.parquet").write_bytes(b"half")
            print(folder, flush=True)
            os._exit(9)
        """
    )
    return Path(done.stdout.strip())


def _environ(project: Project) -> dict[str, str]:
    here = str(Path(__file__).parents[3])
    return {**os.environ, "ODIBI_HOME": str(project.root / "home"), "PYTHONPATH": here}


def _until(happened: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_date_in_a_template_is_no_change_of_code(project: Project) -> None:
    """Or merge would refuse every second day."""
    project.csv("in/2026-01-01.csv", "id,v", (1, 1))
    project.csv("in/2026-01-02.csv", "id,v", (1, 2), (2, 2))
    merge = {"to": "lake", "mode": "merge", "keys": ["id"]}
    steps = [
        {**read("raw", "{{ date }}.csv"), "write": merge},
        {**sql("seen", "SELECT id, '{{ date }}' AS day FROM raw"), "write": merge},
    ]
    for day in ("2026-01-01", "2026-01-02"):
        result = project.run(steps, date=day)
        assert result.success, result.error
    assert project.rows("bronze/raw") == [(1, 2), (2, 2)]
    assert project.rows("silver/seen") == [(1, "2026-01-02"), (2, "2026-01-02")]
    assert actions(project.plan(steps, date="2026-01-02")) == {"raw": "reuse", "seen": "reuse"}
