"""Every command as people type it: a process, a folder, what it prints and how it ends."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import odibi as package
from tests.flow.helpers import environment, events, in_terminal, odibi, project, start

ANSI = re.compile(r"\x1b\[[0-9;]*m")
SHOP = {
    "configs/shop.yaml": """
        pipeline: shop
        date: "2026-01-02"
        sensitive: [customer]
        variables: {least: 1}
        connections: {lake: {url: .odibi/lake}}
        targets: {prod: {connections: {lake: {url: .odibi/prod}}}}
        steps:
          - {name: raw_orders, layer: bronze, read: configs/data/orders.csv, write: {to: lake}, tags: [raw]}
          - name: orders
            layer: silver
            inputs: [raw_orders]
            transform: [{filter: "quantity >= {{ least }}"}]
            write: {to: lake}
          - {name: by_customer, layer: gold, sql: steps/by_customer.sql, write: {to: lake, path: answers/sums}}
    """,
    "configs/data/orders.csv": "order_id,customer,quantity\n1,Zoë,2\n2,Bo,0\n3,Zoë,5\n",
    "steps/by_customer.sql": "SELECT customer, sum(quantity) AS quantity FROM orders GROUP BY customer",
}
BROKEN = {**SHOP, "configs/data/orders.csv": "order_id,customer,quantity\n1,Zoë,2\n2,Bo,many\n"}
BROKEN["configs/shop.yaml"] = SHOP["configs/shop.yaml"].replace(
    "read: configs/data/orders.csv",
    "read: {path: configs/data/orders.csv, schema: {order_id: INT, customer: VARCHAR, quantity: INT}}",
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project that has not run yet."""
    return project(tmp_path, SHOP)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run once; tests only look at it."""
    folder = project(tmp_path_factory.mktemp("shop"), SHOP)
    ended = odibi("run", "configs/shop.yaml", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- init ----------------------------------------------------------------------------------------


def test_init_makes_a_project_that_runs(tmp_path: Path) -> None:
    assert odibi("init", "my.shop", cwd=tmp_path).returncode == 0
    made = tmp_path / "my.shop"
    first = (made / "configs/my_shop.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../odibi.schema.json"
    assert json.loads((made / "odibi.schema.json").read_text())["title"] == "odibi pipeline"
    assert odibi("validate", "--strict", cwd=made).returncode == 0
    ran = odibi("run", cwd=made)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    answer = odibi("query", "SELECT * FROM gold.revenue_by_day", "--output", "csv", cwd=made).stdout
    assert answer == "day,order_count,revenue\n2026-01-01,2,132.00\n2026-01-02,2,180.00\n"
    again = odibi("run", cwd=made)
    assert "all 3 steps reused" in again.stdout


def test_init_never_overwrites(shop: Path) -> None:
    (shop / "README.md").write_text("mine")
    before = files_in(shop)
    assert odibi("init", cwd=shop).returncode == 0
    assert before.items() <= files_in(shop).items()


# --- validate, plan, ls --------------------------------------------------------------------------


def test_validate_tells_all_problems_of_all_files_and_changes_nothing(shop: Path) -> None:
    text = SHOP["configs/shop.yaml"]
    project(
        shop, {"configs/a.yaml": text.replace("layer: silver", "layre: silver").replace("inputs", "input")}
    )
    project(shop, {"configs/b.yaml": text.replace("[raw_orders]", "[raw_order]")})
    before = files_in(shop)
    ended = odibi("validate", "configs/a.yaml", "configs/b.yaml", "configs/shop.yaml", cwd=shop)
    assert (ended.returncode, ended.stdout) == (2, "")
    *lines, count = ended.stderr.splitlines()
    assert all(re.match(r"configs/[ab]\.yaml:\d+:\d+: ", line) for line in lines), ended.stderr
    assert any("did you mean 'raw_orders'?" in line for line in lines)
    assert {line[8] for line in lines} == {"a", "b"}
    assert count == f"{len(lines)} errors"
    assert files_in(shop) == before


def test_validate_is_strict_when_asked(shop: Path) -> None:
    project(shop, {"configs/shop.yaml": SHOP["configs/shop.yaml"].replace("name: orders", "name: step2")})
    project(shop, {"steps/by_customer.sql": "SELECT customer, sum(quantity) AS n FROM step2 GROUP BY 1"})
    lax, strict = (odibi("validate", "configs/shop.yaml", *more, cwd=shop) for more in ((), ("--strict",)))
    assert lax.returncode == 0, lax.stderr
    assert "warning: " in lax.stderr
    assert strict.returncode == 2


def test_validate_as_json(shop: Path) -> None:
    good = odibi("validate", "configs/shop.yaml", "--output", "json", cwd=shop)
    assert json.loads(good.stdout) == {"valid": True, "files": ["configs/shop.yaml"], "problems": []}
    bad = odibi("validate", "configs/none.yaml", "--output", "json", cwd=shop)
    assert bad.returncode == 2
    (problem,) = json.loads(bad.stdout)["problems"]
    assert problem["file"] == "configs/none.yaml"


def test_plan_says_what_and_why(shop: Path) -> None:
    before = files_in(shop)
    ended = odibi("plan", "configs/shop.yaml", "--select", "+orders", cwd=shop)
    assert ended.returncode == 0, ended.stderr
    lines = [line.split(maxsplit=4) for line in ended.stdout.splitlines()[:4]]
    assert lines[0] == ["Layer", "Step", "Action", "Engine", "Reason"]
    assert lines[1] == ["bronze", "raw_orders", "run", "duckdb", "nothing written yet"]
    assert lines[3] == ["gold", "by_customer", "skip", "duckdb", "not selected"]
    assert ended.stdout.splitlines()[-1] == "shop for 2026-01-02: 2 to run, 1 to skip"
    assert files_in(shop) == before


def test_plan_as_json_with_lineage(done: Path) -> None:
    ended = odibi("plan", "--output", "json", "--lineage", cwd=done)
    found = json.loads(ended.stdout)
    assert found["totals"] == {"run": 0, "reuse": 3, "skip": 0}
    assert found["steps"][2]["outputs"] == {"by_customer": {"customer": "VARCHAR", "quantity": "BIGINT"}}
    assert found["lineage"]["by_customer"]["quantity"]["direct"] == ["orders.quantity"]


def test_the_canonical_form_is_the_same_pipeline(shop: Path) -> None:
    printed = odibi("plan", "--canonical", cwd=shop).stdout
    project(shop, {"configs/shop.yaml": printed})
    assert yaml.safe_load(printed)["steps"][1]["type"] == "config_op"
    assert odibi("plan", "--canonical", cwd=shop).stdout == printed
    assert odibi("run", cwd=shop).returncode == 0


def test_date_target_and_param_reach_the_plan(shop: Path) -> None:
    options = ("--date", "2026-02-03", "--target", "prod", "--param", "least=3")
    found = json.loads(odibi("plan", *options, "--output", "json", cwd=shop).stdout)
    assert (found["date"], found["target"]) == ("2026-02-03", "prod")
    assert found["steps"][0]["writes"] == [".odibi/prod/bronze/raw_orders"]
    assert "quantity >= 3" in odibi("plan", *options, "--canonical", cwd=shop).stdout


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ((), ["raw_orders", "orders", "by_customer"]),
        (("-s", "layer:silver", "-s", "tag:raw"), ["raw_orders", "orders"]),
        (("-s", "+by_customer", "--exclude", "orders"), ["raw_orders", "by_customer"]),
    ],
)
def test_ls_lists_what_a_selection_means(shop: Path, options: tuple[str, ...], names: list[str]) -> None:
    found = json.loads(odibi("ls", "configs/shop.yaml", *options, "--output", "json", cwd=shop).stdout)
    assert [step["name"] for step in found] == names
    assert found[0] == {"name": "raw_orders", "layer": "bronze", "type": "config_op"}


# --- run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", [("configs/shop.yaml",), ("--config", "configs/shop.yaml"), ()])
def test_run_prints_a_line_per_step_and_the_story(shop: Path, spelling: tuple[str, ...]) -> None:
    ended = odibi("run", *spelling, cwd=shop)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert re.fullmatch(r"Pipeline shop started \(run [0-9a-f]{8}, date 2026-01-02, target dev\)", lines[0])
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["completed", "raw_orders", "3"],
        ["completed", "orders", "2"],
        ["completed", "by_customer", "1"],
    ]
    assert lines[4].startswith("shop ran for 2026-01-02 in ")
    assert (shop / lines[5].removeprefix("Story: ")).is_file()
    again = odibi("run", *spelling, cwd=shop).stdout.splitlines()
    assert again[1].split(maxsplit=2) == ["reused", "raw_orders", "nothing changed since version 0"]


def test_run_as_json_is_an_object_per_line(shop: Path) -> None:
    ended = odibi("run", "--output", "json", cwd=shop)
    found = events(ended.stdout)
    assert [one["event"] for one in found] == ["plan", *["step"] * (len(found) - 2), "end"]
    assert {one["step"]: one["status"] for one in found[1:-1]} == dict.fromkeys(
        ("raw_orders", "orders", "by_customer"), "completed"
    )
    assert found[-1]["steps"] == {"completed": 3}
    assert (found[-1]["status"], found[-1]["exit_code"], ended.stderr) == ("Succeeded", 0, "")


def test_a_project_may_lie_in_a_folder_with_blanks_and_accents(tmp_path: Path) -> None:
    folder = project(tmp_path / "ein Café 100%", SHOP)
    assert odibi("run", cwd=folder).returncode == 0
    project(folder, {"steps/by_customer.sql": "SELECT count(*) AS number FROM orders"})
    again = odibi("run", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert odibi("query", "FROM by_customer", "--output", "csv", cwd=folder).stdout == "number\n2\n"


def test_what_a_function_prints_does_not_disturb_the_json(shop: Path) -> None:
    function = """
        import pyarrow as pa


        def loud(orders: pa.Table) -> pa.Table:
            print("from the function")
            return orders
    """
    step = "- {name: loud, layer: gold, function: 'steps.loud:loud', inputs: [orders]}"
    config = SHOP["configs/shop.yaml"].replace("steps:\n", f"steps:\n          {step}\n")
    project(shop, {"steps/loud.py": function, "configs/shop.yaml": config})
    ended = odibi("run", "--output", "json", cwd=shop)
    assert events(ended.stdout)[-1]["success"]
    assert ended.stderr == "from the function\n"


def test_closed_streams_are_no_error(shop: Path) -> None:
    command = f"{sys.executable} -m odibi run >&- 2>&-"
    assert subprocess.run(command, shell=True, cwd=shop, env=environment(), check=False).returncode == 0


def test_a_dry_run_changes_nothing(shop: Path) -> None:
    before = files_in(shop)
    ended = odibi("run", "--dry-run", "-s", "orders", "--exclude", "nothing*", cwd=shop)
    assert ended.returncode == 2, "a selector that matches nothing is a mistake"
    ended = odibi("run", "--dry-run", cwd=shop)
    assert ended.returncode == 0
    assert "3 to run" in ended.stdout
    assert files_in(shop) == before


def test_quiet_prints_nothing_when_all_is_well(shop: Path) -> None:
    ended = odibi("run", "-q", cwd=shop)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_failed_step_is_exit_code_1_and_told_with_its_place(tmp_path: Path) -> None:
    folder = project(tmp_path, BROKEN)
    ended = odibi("run", "--fail-fast", "--parallel", "1", cwd=folder)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: step 'raw_orders': configs/data/orders.csv:3")
    assert "not run" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
    quiet = odibi("run", "-q", cwd=folder)
    assert (quiet.returncode, quiet.stdout) == (1, "")
    assert quiet.stderr.startswith("error: step 'raw_orders': ")
    assert events(odibi("run", "--output", "json", cwd=folder).stdout)[-1]["exit_code"] == 1


ENDLESS = """
    pipeline: endless
    connections: {lake: {url: .odibi/lake}}
    steps:
      - {name: wait, layer: silver, %s, write: {to: lake}}
"""
QUERY = (
    'sql: "SELECT count(*) AS n FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 1"'
)
FUNCTION = "function: steps.wait:wait"
WAIT = """
    import time

    import pandas as pd


    def wait() -> pd.DataFrame:
        time.sleep(600)
        return pd.DataFrame()
"""


@pytest.mark.parametrize(
    ("what", "number", "code"),
    [(QUERY, signal.SIGTERM, 143), (QUERY, signal.SIGINT, 130), (FUNCTION, signal.SIGTERM, 143)],
    ids=["query-term", "query-int", "function-term"],
)
def test_a_signal_cancels_the_run(tmp_path: Path, what: str, number: signal.Signals, code: int) -> None:
    """A query is interrupted at once; a function that does not return is left behind after ten seconds."""
    folder = project(tmp_path, {"configs/endless.yaml": ENDLESS % what, "steps/wait.py": WAIT})
    process = start("run", "--output", "json", cwd=folder)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("status") == "running":
            break
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (code, "")
    assert events(stdout)[-1]["exit_code"] == code
    found = json.loads(odibi("status", "-p", "endless", "--output", "json", cwd=folder).stdout)
    assert (found["status"], found["phase"]) == ("Cancelled", "Failed")
    assert found["details"][0]["status"] == "cancelled"


TAKEN = """
import signal
import sys
import threading
import time

from odibi.cli import main


def take():
    while not any(thread.name == "odibi-step" for thread in threading.enumerate()):
        time.sleep(0.01)
    time.sleep(0.5)  # then the walk waits
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


threading.Thread(target=take, daemon=True).start()
sys.argv = ["odibi", "run"]
main()
"""


def test_a_signal_that_another_thread_takes_cancels_the_run(tmp_path: Path) -> None:
    folder = project(tmp_path, {"configs/endless.yaml": ENDLESS % QUERY, "taken.py": TAKEN})
    done = subprocess.run(
        [sys.executable, "taken.py"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr


def test_a_run_is_cancelled_from_elsewhere_and_is_the_only_one(tmp_path: Path) -> None:
    folder = project(tmp_path, {"configs/endless.yaml": ENDLESS % QUERY})
    for name in ("endless", "abcd"):
        assert odibi("cancel", name, cwd=folder).returncode == 5
    process = start("run", "--output", "json", cwd=folder)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("status") == "running":
            break
    second = odibi("run", cwd=folder)
    assert second.returncode == 3
    assert re.search(
        r"^error: endless for [0-9-]+ \(dev\) is being run by \w+ \(process \d+ on", second.stderr
    )
    assert odibi("run", "--date", "2020-01-01", "--select", "nothing", cwd=folder).returncode == 2
    done = odibi("cancel", "endless", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (143, "")
    assert events(stdout)[-1]["exit_code"] == 143
    found = json.loads(odibi("status", "-p", "endless", "--output", "json", cwd=folder).stdout)
    assert found["status"] == "Cancelled"
    assert odibi("cancel", "endless", cwd=folder).returncode == 5


# --- status, show, query, story ------------------------------------------------------------------


def test_status_lists_all_and_details_one(done: Path) -> None:
    table = odibi("status", cwd=done).stdout.splitlines()
    assert table[0].split() == ["Pipeline", "Phase", "Steps", "Duration", "Started"]
    assert re.fullmatch(r"shop +Completed +3/3 +\d+\.\ds +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", table[1])
    (fields,) = json.loads(odibi("status", "--output", "json", cwd=done).stdout)
    assert list(fields.values()) == re.split(r" {2,}", table[1])
    for spelling in (("-p", "shop"), ("shop",), ("configs/shop.yaml",)):
        details = odibi("status", *spelling, cwd=done).stdout
        assert "Phase: Completed\nSteps: 3/3 completed\n" in details
        assert re.search(r"^  orders +completed in \d+ ms$", details, re.MULTILINE)


def test_status_of_nothing(tmp_path: Path) -> None:
    assert odibi("status", cwd=tmp_path).stdout == "No pipelines found\n"
    assert json.loads(odibi("status", "--output", "json", cwd=tmp_path).stdout) == []
    assert list(tmp_path.iterdir()) == []


def test_show_describes_a_table_and_masks_what_is_sensitive(done: Path) -> None:
    for name in ("by_customer", "gold/by_customer", "gold.by_customer", ".odibi/lake/answers/sums/"):
        shown = odibi("show", name, cwd=done)
        assert shown.returncode == 0, shown.stderr
        assert "version 0, written " in shown.stdout
        assert shown.stdout.splitlines()[-2:] == ["customer  quantity", "***              7"]
    found = json.loads(odibi("show", "orders", "--rows", "1", "--output", "json", cwd=done).stdout)
    assert (found["rows"], len(found["sample"]), found["logical_date"]) == (2, 1, "2026-01-02")
    assert found["columns"][1] == {"name": "customer", "type": "VARCHAR", "masked": True}


def test_the_lake_is_that_of_the_last_run(shop: Path) -> None:
    project(shop, {"configs/other.yaml": "pipeline: other\nsteps: []\n"})
    assert odibi("show", "orders", cwd=shop).returncode == 2, "two configs, and no run to choose by"
    assert odibi("show", "orders", "-c", "configs/shop.yaml", cwd=shop).returncode == 5, "not written yet"
    assert odibi("run", "configs/shop.yaml", "-t", "prod", cwd=shop).returncode == 0
    assert ".odibi/prod/silver/orders" in odibi("show", "orders", cwd=shop).stdout
    assert odibi("show", "orders", "--target", "dev", cwd=shop).returncode == 5
    next((shop / ".odibi/prod/silver/orders").rglob("*.parquet")).unlink()
    for command in (("show", "orders"), ("query", "FROM orders")):
        damaged = odibi(*command, cwd=shop)
        assert (damaged.returncode, damaged.stdout) == (3, "")
        assert damaged.stderr.startswith("error: IO Error: ")


def test_query_in_each_form(done: Path) -> None:
    sql = (
        "SELECT customer, quantity, NULL AS nothing, '' AS empty FROM silver.orders ORDER BY quantity; -- all"
    )
    text, csv, as_json = (
        odibi("query", sql, "--output", form, cwd=done).stdout for form in ("table", "csv", "json")
    )
    assert [line.split() for line in text.splitlines()[:2]] == [
        ["customer", "quantity", "nothing", "empty"],
        ["Zoë", "2", "NULL"],
    ]
    assert csv == 'customer,quantity,nothing,empty\nZoë,2,,""\nZoë,5,,""\n'
    assert json.loads(as_json)[1] == {"customer": "Zoë", "quantity": 5, "nothing": None, "empty": ""}


def test_query_keeps_the_order_of_many_rows(done: Path) -> None:
    sql = "SELECT range AS n, n % 997 AS m FROM range(200000) ORDER BY m, n DESC"
    rows = [
        tuple(map(int, line.split(",")))
        for line in odibi("query", sql, "--output", "csv", cwd=done).stdout.splitlines()[1:]
    ]
    assert len(rows) == 200_000
    assert rows == sorted(rows, key=lambda row: (row[1], -row[0]))


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP VIEW orders", "odibi query only reads, this is DROP"),
        ("COPY (SELECT 1) TO 'out.csv'", "odibi query only reads, this is COPY"),
        ("WITH x AS (COPY (SELECT 1) TO 'out.csv') SELECT 1", "must be at the top level"),
        ("SELECT 1; SELECT 2", "expected one SELECT, found 2 statements"),
        ("/* nothing */", "expected one SELECT, found no statements"),
        ("SELECT * FROM order", "syntax error"),
        ("SELECT * FROM ordres", "unknown table 'ordres' (did you mean"),
        ("SELECT nope FROM orders", '"nope" not found'),
        ("SELECT CAST(customer AS INTEGER) FROM orders", "Could not convert string 'Zoë'"),
    ],
)
def test_query_refuses(done: Path, sql: str, said: str) -> None:
    ended = odibi("query", sql, cwd=done)
    assert ended.returncode == 2, ended.stdout
    assert said in ended.stderr
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert not (done / "out.csv").exists()


def test_story_of_the_last_run_of_one_and_of_a_record(done: Path, tmp_path: Path) -> None:
    path = odibi("story", cwd=done).stdout.strip()
    assert "<html" in (done / path).read_text()
    run = Path(path).stem
    assert odibi("story", run[:8], "-o", "out/a.html", cwd=done).stdout == "out/a.html\n"
    record = odibi("story", "--json", "-", cwd=done).stdout
    assert json.loads(record)["run"]["run_id"] == run
    project(tmp_path, {"run.json": record})
    told = odibi("story", "run.json", "-o", "told.html", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "told.html").read_text() == (done / "out/a.html").read_text()


# --- schema, docs, version -----------------------------------------------------------------------


def test_schema_is_json_on_stdout_or_in_a_file(tmp_path: Path) -> None:
    printed = odibi("schema", cwd=tmp_path).stdout
    assert json.loads(printed)["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert odibi("schema", "-o", "made/schema.json", cwd=tmp_path).returncode == 0
    assert (tmp_path / "made/schema.json").read_text() == printed


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "deduplicate"),
        (("operations",), "window"),
        (("operations", "Filter"), "Keep the rows for which the condition is true"),
        (("functions", "round"), "SELECT round("),
        (("config",), "connection"),
        (("config", "write"), "overwrite | append"),
    ],
)
def test_docs(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    ended = odibi("docs", *args, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert said in ended.stdout


def test_version_and_help(tmp_path: Path) -> None:
    assert odibi("--version", cwd=tmp_path).stdout == f"odibi {package.__version__}\n"
    assert "Usage: odibi " in odibi(cwd=tmp_path).stdout + odibi(cwd=tmp_path).stderr
    script = Path(sys.executable).with_name("odibi")
    if script.exists():  # installed, not only importable
        shown = subprocess.run(
            [script, "--help"], env=environment(), capture_output=True, text=True, check=True
        )
        assert shown.stdout == odibi("--help", cwd=tmp_path).stdout


# --- how commands end ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("frobnicate",), 2, "No such command 'frobnicate'"),
        (("run", "--parallel", "0"), 2, "Invalid value for '--parallel'"),
        (("run", "configs/none.yaml"), 2, "configs/none.yaml: there is no such file"),
        (("run", "--param", "least"), 2, "--param 'least' is not KEY=VALUE"),
        (("run", "--date", "tomorrow"), 2, "tomorrow"),
        (("plan", "-s", "ordres"), 2, "nothing matches the selector 'ordres'"),
        (("ls", "-s", "orders", "--exclude", "orders"), 2, "the selection leaves no step"),
        (("status", "ship"), 5, "pipeline 'ship' not found"),
        (("show", "ordres"), 5, "did you mean 'orders'?"),
        (("story", "ffffffff"), 5, "there is no run 'ffffffff'"),
        (("story", "none.json"), 5, "there is no file 'none.json'"),
        (("docs", "operations", "flter"), 5, "did you mean 'filter'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_exit_codes(done: Path, args: tuple[str, ...], code: int, said: str) -> None:
    ended = odibi(*args, cwd=done)
    assert said in ended.stderr
    assert (ended.returncode, ended.stdout) == (code, "")
    assert "Traceback" not in ended.stderr


def test_a_home_that_cannot_be_written_is_exit_code_3(shop: Path) -> None:
    (shop / "file").touch()
    ended = odibi("run", cwd=shop, env={"ODIBI_HOME": "file/home"})
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("error: odibi cannot write to file/home: ")


@pytest.mark.parametrize("args", [("status",), ("query", "FROM range(1000000)", "--output", "csv"), ("run",)])
def test_a_closed_pipe_is_no_error(done: Path, tmp_path: Path, args: tuple[str, ...]) -> None:
    folder = project(tmp_path, SHOP) if args == ("run",) else done
    process = start(*args, cwd=folder)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == (0 if args == ("run",) else 141)
    if args == ("run",):
        assert "Phase: Completed" in odibi("status", "shop", cwd=folder).stdout


@pytest.mark.parametrize("env", [{"LANG": "C", "PYTHONIOENCODING": "ascii"}, {"LANG": "C", "LC_ALL": "C"}])
def test_other_encodings_do_not_crash(shop: Path, env: dict[str, str]) -> None:
    for args in (("run",), ("status",), ("query", "FROM orders"), ("--help",)):
        ended = subprocess.run(
            [sys.executable, "-m", "odibi", *args],
            cwd=shop,
            env=environment(env),
            capture_output=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
        if "ascii" in env.values():
            assert ended.stdout.isascii()
    code, shown = in_terminal("run", cwd=shop, env=env)
    assert code == 0, shown


# --- terminals -----------------------------------------------------------------------------------


def test_colours_are_for_terminals_that_want_them(done: Path) -> None:
    code, shown = in_terminal("status", cwd=done)
    assert code == 0
    assert "\x1b[32mCompleted" in shown
    plain = odibi("status", cwd=done).stdout
    assert "\x1b" not in plain
    assert [line.rstrip() for line in ANSI.sub("", shown).splitlines()] == plain.splitlines()
    assert "\x1b" not in in_terminal("status", cwd=done, env={"NO_COLOR": "1"})[1]
    assert "\x1b[32m" in odibi("status", cwd=done, env={"FORCE_COLOR": "1"}).stdout


def test_a_run_on_a_terminal_is_live(shop: Path) -> None:
    code, shown = in_terminal("run", cwd=shop)
    assert code == 0
    assert "\x1b[32mcompleted" in shown
    assert "\x1b[?25l" in shown, "the display hides the cursor"
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "and gives it back"
    assert "0/3" in shown
    assert "Story: " in shown
    without = in_terminal("run", cwd=shop, env={"NO_COLOR": "1"})[1]
    assert not re.search(r"\x1b\[[0-9;]*3\d", without)


def test_a_narrow_terminal_folds_tables(done: Path) -> None:
    code, shown = in_terminal("plan", cwd=done, columns=30)
    assert code == 0
    assert max(len(ANSI.sub("", line)) for line in shown.splitlines()[:-2]) <= 30


# --- imports -------------------------------------------------------------------------------------

LOADED = """
import sys
from odibi.cli import main
sys.argv = ["odibi", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def loaded_by(args: tuple[str, ...], cwd: Path) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", LOADED, *args],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ended.stderr.split())


HEAVY = {"pandas", "numpy", "pyarrow", "pyspark", "deltalake", "sqlalchemy"}


def test_help_imports_no_engine(tmp_path: Path) -> None:
    loaded = loaded_by(("--help",), tmp_path)
    assert not loaded & {*HEAVY, "duckdb", "fsspec", "sqlglot", "jinja2", "yaml", "pydantic"}


def test_validate_imports_no_engine_but_the_binder(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for name in ("configs", "steps"):
        shutil.copytree(root / name, tmp_path / name)
    loaded = loaded_by(("validate", "configs/daily.yaml"), tmp_path)
    assert "duckdb" in loaded
    assert not loaded & HEAVY
