"""Python functions in a pipeline: alike on every engine, in threads and in processes of their own."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from tests.flow.helpers import environment, odibi, project, start

CONFIG = """
    pipeline: sales
    date: "2026-01-05"
    connections:
      landing: {url: data}
      lake: {url: lake, format: delta}
    steps:
      - name: raw
        layer: bronze
        read: {from: landing, path: sales.csv, schema: {id: BIGINT, region: VARCHAR, amount: "DECIMAL(18,2)", rate: DOUBLE}}
        write: {to: lake}
      - {name: whole, layer: silver, inputs: [raw], function: "steps.code:whole", params: {factor: 2}, write: {to: lake}}
      - {name: streamed, layer: silver, inputs: [raw], function: "steps.code:streamed", write: {to: lake}}
      - {name: batched, layer: silver, inputs: [raw], function: "steps.code:batched", write: {to: lake}}
      - {name: by_region, layer: silver, inputs: [raw], function: "steps.code:by_region", write: {to: lake}}
      - {name: summed, layer: gold, sql: "select region, n, total + 1 as total from by_region", write: {to: lake}}
"""

CODE = """
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    from odibi import step
    from steps.tax import TAX


    def whole(raw: pd.DataFrame, *, factor: int) -> pd.DataFrame:
        raw["amount"] = raw["amount"] * factor
        raw["kind"] = np.where(raw["id"] > 2, "late", "early")
        raw["share"] = np.where(raw["id"] > 3, 0.5, np.nan)
        return raw


    def streamed(raw: pa.RecordBatchReader):
        return pa.RecordBatchReader.from_batches(raw.schema, (batch.slice(0, 3) for batch in raw))


    @step(per="batch", schema={"id": "INTEGER", "taxed": "DECIMAL(18,2)", "missing": "BOOLEAN"})
    def batched(raw: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"taxed": raw["amount"] * TAX, "missing": raw["rate"].isna(), "id": raw["id"]})


    @step(per=["region"], schema={"region": "VARCHAR", "n": "BIGINT", "total": "DECIMAL(18,2)", "rate": "DOUBLE"})
    def by_region(raw: pa.Table):
        return [{"region": raw["region"][0].as_py(), "n": len(raw), "total": pc.sum(raw["amount"]).as_py(),
                 "rate": pc.max(raw["rate"]).as_py()}]
"""

ROWS = [
    (1, "north", "10.50", "0.5"),
    (2, "", "7.25", ""),
    (3, "south", "", "nan"),
    (4, "north", "1.00", "1.5"),
    (5, "", "2", ""),
]
FILES = {
    "sales.yaml": CONFIG,
    "steps/code.py": CODE,
    "steps/tax.py": "TAX = 2\n",
    "data/sales.csv": "id,region,amount,rate\n" + "".join(",".join(map(str, row)) + "\n" for row in ROWS),
}  # fmt: skip

TABLES = (
    "bronze/raw",
    "silver/whole",
    "silver/streamed",
    "silver/batched",
    "silver/by_region",
    "gold/summed",
)


def tables(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Columns and rows of every table, read without odibi."""
    found = {}
    for name in TABLES:
        table = DeltaTable(str(folder / "lake" / name))
        columns = [f"{field.name} {field.type}" for field in table.schema().fields]
        rows = duckdb.sql(f"SELECT * FROM read_parquet({table.file_uris()!r})").fetchall()
        found[name] = (columns, sorted(map(repr, rows)))
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[str], list[str]]]:
    folder = project(tmp_path_factory.mktemp("reference"), FILES)
    done = odibi("run", "sales.yaml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found = tables(folder)
    assert found["silver/batched"][0] == [
        "id PrimitiveType(\"integer\")", "taxed PrimitiveType(\"decimal(18,2)\")", "missing PrimitiveType(\"boolean\")",
    ]  # fmt: skip
    assert found["silver/by_region"][1] == [
        "('north', 2, Decimal('11.50'), 1.5)",
        "('south', 1, None, nan)",
        "(None, 2, Decimal('9.25'), None)",
    ]
    return found


@pytest.mark.parametrize(
    ("engine", "backend"), [("duckdb", "PROCESS_POOL"), ("pandas", "THREAD_POOL"), ("pandas", "processes")]
)
def test_every_engine_and_backend_gives_the_same_tables(
    tmp_path: Path, reference: dict[str, Any], engine: str, backend: str
) -> None:
    folder = project(tmp_path, {**FILES, "sales.yaml": CONFIG + f"    backend: {backend}\n"})
    done = odibi("run", "sales.yaml", "--engine", engine, "--output", "json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables(folder) == reference
    told = {
        line["step"]: line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "step"
    }
    assert told["whole"]["status"] == "completed"
    (story,) = (folder / ".odibi" / "stories" / "sales").glob("*.html")
    assert "NumPy columns were converted, NaN became NULL: share" in story.read_text("utf-8")
    assert not list((folder / ".odibi" / "tmp").glob("*"))


def test_the_engine_may_change_from_step_to_step(tmp_path: Path, reference: dict[str, Any]) -> None:
    config = CONFIG
    for name, engine in (
        ("whole", "pandas"),
        ("by_region", "pandas"),
        ("summed", "duckdb"),
        ("raw", "pandas"),
    ):
        config = config.replace(f"name: {name}\n", f"name: {name}\n        engine: {engine}\n")
        config = config.replace(f"{{name: {name},", f"{{name: {name}, engine: {engine},")
    folder = project(tmp_path, {**FILES, "sales.yaml": config})
    done = odibi("run", "sales.yaml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables(folder) == reference


def test_an_unannotated_function_gets_the_engine_s_own_table(tmp_path: Path) -> None:
    code = "def f(raw):\n    return [{'kind': type(raw).__name__}]\n"
    step = '      - {name: out, layer: silver, inputs: [raw], function: "steps.kind:f", write: {to: lake}}\n'
    folder = project(tmp_path, {**FILES, "steps/kind.py": code, "sales.yaml": CONFIG + step})
    for engine, kind in (("duckdb", "DuckDBPyRelation"), ("pandas", "DataFrame")):
        assert odibi("run", "sales.yaml", "--engine", engine, cwd=folder).returncode == 0
        files = DeltaTable(str(folder / "lake/silver/out")).file_uris()
        assert duckdb.sql(f"SELECT kind FROM read_parquet({files!r})").fetchall() == [(kind,)]


# --- refused before anything runs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "more", "said"),
    [
        (
            "from pyspark.sql import DataFrame\ndef f(raw: DataFrame):\n    return raw\n", "",
            "f() takes 'raw' as pyspark.sql.DataFrame, and the step runs on duckdb (engine: spark for this step, or annotate",
        ),
        (
            "import duckdb\ndef f(raw: duckdb.DuckDBPyRelation):\n    return raw\n", "engine: pandas",
            "f() takes 'raw' as duckdb.DuckDBPyRelation, and the step runs on pandas (engine: duckdb for this step",
        ),
        (
            "def f(raw):\n    return raw\n", "backend: processes",
            "f() takes 'raw' as the engine's own table, which cannot go to another process (annotate pd.DataFrame, pa.Table",
        ),
        (
            "import pandas as pd\ndef f(raw: pd.DataFrame):\n    return raw\n", "backend: PROCESS_POOL\n    engine: spark",
            "backend: processes cannot be had with engine spark: a session cannot cross processes",
        ),
        (
            "import pandas as pd\nfrom odibi import step\n@step(per=['regin'], schema={'a': 'INTEGER'})\ndef f(raw: pd.DataFrame):\n    return raw\n", "",
            "f() is called per 'regin', which is no column of its input (did you mean 'region'?)",
        ),
        (
            "import pandas as pd\nfrom odibi import step\n@step(per='batch')\ndef f(raw: pd.DataFrame):\n    return raw\n", "",
            "f() is called per batch and does not declare what it returns (add schema=",
        ),
        ("def f(raw):\n    return raw\n", "backend: process", "backend"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_refused_with_what_to_do(
    tmp_path: Path, code: str, more: str, said: str
) -> None:
    step = '      - {name: out, layer: silver, inputs: [raw], function: "steps.out:f", write: {to: lake}}\n'
    config = CONFIG.replace('    date: "2026-01-05"\n', f'    date: "2026-01-05"\n    {more}\n') + step
    folder = project(tmp_path, {**FILES, "steps/out.py": code, "sales.yaml": config})
    for verb in ("validate", "run"):
        done = odibi(verb, "sales.yaml", cwd=folder)
        assert done.returncode == 2
        assert said in " ".join((done.stdout + done.stderr).split())
    assert not (folder / "lake").exists()


def test_the_plan_says_what_is_collected_on_spark(tmp_path: Path) -> None:
    folder = project(tmp_path, FILES)
    done = odibi("plan", "sales.yaml", "--engine", "spark", cwd=folder)
    text = " ".join((done.stdout + done.stderr).split())
    for name in ("whole", "streamed"):
        assert f"{name}() collects raw to the driver: declare @step(per=" in text
    for name in ("batched", "by_region"):
        assert f"{name}() collects" not in text


# --- processes ------------------------------------------------------------------------------------------

TWO = """
    pipeline: two
    backend: processes
    connections: {lake: {url: lake, format: delta}}
    steps:
      - {name: ping, layer: bronze, function: "steps.work:ping", write: {to: lake}}
      - {name: pong, layer: bronze, function: "steps.work:pong", write: {to: lake}}
"""

WORK = """
    import os
    import time
    from pathlib import Path


    def both(mine, other):
        started = time.monotonic_ns()
        Path(mine).write_text(f"{os.getpid()}\\n")
        print(f"{mine} is at work")
        while not Path(other).exists():
            sum(range(1000))
        return [{"pid": os.getpid(), "started": started, "ended": time.monotonic_ns()}]


    def ping():
        return both("ping.pid", "pong.pid")


    def pong():
        return both("pong.pid", "ping.pid")
"""


def told(path: Path, process: subprocess.Popen[str]) -> int:
    """The process id that a function of the run wrote, once it has."""
    while not (path.exists() and path.read_text().endswith("\n")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return int(path.read_text())


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_two_functions_compute_at_the_same_time_each_in_its_process(tmp_path: Path) -> None:
    folder = project(tmp_path, {"two.yaml": TWO, "steps/work.py": WORK})
    done = odibi("run", "two.yaml", "--output", "json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()][-1] == "end"
    assert "ping.pid is at work" in done.stderr
    runs = []
    for name in ("ping", "pong"):
        files = DeltaTable(str(folder / "lake/bronze" / name)).file_uris()
        runs += duckdb.sql(f"SELECT pid, started, ended FROM read_parquet({files!r})").fetchall()
    (left, start_left, end_left), (right, start_right, end_right) = runs
    assert left != right
    assert max(start_left, start_right) < min(end_left, end_right)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_workers_at_once(tmp_path: Path, number: signal.Signals) -> None:
    work = WORK.replace('both("ping.pid", "pong.pid")', 'both("ping.pid", "never")')
    work = work.replace('both("pong.pid", "ping.pid")', 'both("pong.pid", "never")')
    folder = project(tmp_path, {"two.yaml": TWO, "steps/work.py": work})
    process = start("run", "two.yaml", cwd=folder)
    pids = [told(folder / f"{name}.pid", process) for name in ("ping", "pong")]
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output + errors
    assert "Traceback" not in output + errors
    assert all(gone(pid) for pid in pids)
    assert not (folder / "lake/bronze/ping/_delta_log").exists()
    assert output.count("\ncancelled  p") == 2


def test_a_worker_that_is_killed_fails_its_step_alone(tmp_path: Path) -> None:
    work = WORK.replace('both("ping.pid", "pong.pid")', "os.kill(os.getpid(), 9)")
    work = work.replace('both("pong.pid", "ping.pid")', "[{'a': 1}]")
    once = TWO.replace("backend:", "max_retries: 0\n    backend:")
    folder = project(tmp_path, {"two.yaml": once, "steps/work.py": work})
    done = odibi("run", "two.yaml", cwd=folder)
    assert done.returncode == 1
    text = " ".join((done.stdout + done.stderr).split())
    assert "the process that ran the function was killed by SIGKILL" in text
    assert "no memory left" in text
    assert (folder / "lake/bronze/pong/_delta_log").exists()
    assert not (folder / "lake/bronze/ping/_delta_log").exists()


def test_an_error_in_a_process_names_the_line_of_the_function(tmp_path: Path) -> None:
    work = WORK.replace('both("ping.pid", "pong.pid")', "1 / 0").replace(
        'both("pong.pid", "ping.pid")', "[{'a': 1}]"
    )
    folder = project(tmp_path, {"two.yaml": TWO, "steps/work.py": work})
    line = next(number for number, text in enumerate(work.splitlines()) if "1 / 0" in text)
    seen = []
    for backend in ("processes", "threads"):
        shutil.rmtree(folder / "lake", ignore_errors=True)
        (folder / "two.yaml").write_text((folder / "two.yaml").read_text().replace("processes", backend))
        done = odibi("run", "two.yaml", cwd=folder)
        assert done.returncode == 1
        assert f"steps/work.py:{line}" in done.stdout + done.stderr
        seen.append([text for text in (done.stdout + done.stderr).splitlines() if "error:" in text])
    assert seen[0] == seen[1] != []


# --- what is imported ---------------------------------------------------------------------------------------


def test_pandas_is_not_imported_for_functions_that_take_arrow(tmp_path: Path) -> None:
    code = "def f(raw: 'pyarrow.Table'):\n    return raw.slice(1)\n"
    step = '      - {name: out, layer: silver, inputs: [raw], function: "steps.out:f", write: {to: lake}}\n'
    config = CONFIG[: CONFIG.index("      - {name: whole")] + step
    folder = project(tmp_path, {**FILES, "steps/out.py": code, "sales.yaml": config})
    script = (
        "import sys; from odibi import Orchestrator; "
        "result = Orchestrator('sales.yaml', engine_type=sys.argv[1]).execute(); "
        "print(result.success, sorted({'pandas', 'pyspark', 'py4j'} & set(sys.modules)))"
    )
    for engine in ("duckdb", "pandas"):
        done = subprocess.run(
            [sys.executable, "-c", script, engine], cwd=folder, env=environment(), capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.stdout == "True []\n", done.stdout + done.stderr
