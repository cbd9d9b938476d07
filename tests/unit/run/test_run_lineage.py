"""What a run tells of its datasets: places and versions, what changed, what was reused, made up or left out; no values."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema
import pytest

from odibi.cli import lineage as command
from odibi.errors import NotFound
from odibi.orchestrator import Result
from odibi.record.lineage import document, schema
from odibi.record.model import ColumnRecord, DatasetRecord, RunRecord, StepRecord, StepStatus
from odibi.record.trace import Graph, Place, makers
from tests.unit.record.records import a_run, a_step
from tests.unit.run.project import KEPT, Project, read, sql, step_of

SECRET = "anne@example.org"  # a value of the first row
SCORING = """
import functools

from odibi import step


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@logged
@logged
@step("scores", schema={"who": "INTEGER", "score": "DOUBLE"})
def score_people(totals, *, least: int, api_key: str):
    import pyarrow as pa

    return pa.table({"who": [1], "score": [0.5]})
"""


def steps(
    query: str = "SELECT who, mail, sum(price) AS total FROM sales GROUP BY ALL",
) -> list[dict[str, Any]]:
    called = {"name": "people", "layer": "gold", "function": "scores", "inputs": ["totals"], "write": KEPT}
    return [
        read("sales", "sales.csv"),
        sql("totals", query),
        {**called, "params": {"least": 1, "api_key": "k-123"}},
    ]


@pytest.fixture
def shop(project: Project) -> Project:
    project.csv("in/sales.csv", "who,mail,price", (1, SECRET, 3), (2, "bob@example.org", 4))
    project.write("steps/scoring.py", SCORING)
    return project


def run(project: Project, *args: Any, **fields: Any) -> Result:
    result = project.run(*args, enable_tracker=True, **fields)
    assert result.success, result.error
    return result


def nodes(result: Result) -> dict[str, dict[str, Any]]:
    found = document(result.run)
    jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker()).validate(
        json.loads(json.dumps(found, default=str))
    )
    return {node["name"]: node for node in found["nodes"]}


def test_the_document_of_a_run(shop: Project) -> None:
    result = run(shop, steps())
    result["tracker"].export_lineage("lineage.json")
    written = json.loads(Path("lineage.json").read_text("utf-8"))
    jsonschema.validate(written, schema())
    assert SECRET not in Path("lineage.json").read_text("utf-8"), "references, never values"
    assert [node["name"] for node in written["nodes"]] == ["sales", "totals", "people"]
    sales, totals, people = written["nodes"]
    # the versions are those that can be looked up
    (source,) = sales["inputs"]
    assert source["uri"] == f"file://{shop.root}/in/sales.csv"
    content = hashlib.sha256((shop.root / "in/sales.csv").read_bytes()).hexdigest()[:32]
    assert source["files"] == {source["uri"]: content}
    assert (sales["outputs"][0]["version"], totals["inputs"][0]["version"]) == ("0", "0")
    assert totals["inputs"][0]["uri"] == sales["outputs"][0]["uri"] == f"file://{shop.root}/lake/bronze/sales"
    # rows and columns
    assert (totals["rows_in"], totals["rows_out"], totals["rows_delta"]) == ({"sales": 2}, 2, 0)
    assert totals["schema_change"] == {
        "added": [{"name": "total", "type": "BIGINT"}],
        "removed": ["price"],
        "retyped": [],
    }
    # a function has its own name, whatever it is wrapped in, and its secrets are not told
    assert people["code"] == "steps.scoring:score_people"
    assert people["params"] == {"least": 1, "api_key": "***"}
    edge = {"dataset": "totals", "column": "*", "kinds": ["function"]}
    assert people["columns"][1] == {"dataset": "people", "column": "score", "direct": [edge], "indirect": []}


def test_reused_and_skipped_steps_are_marked_and_keep_their_lineage(shop: Project) -> None:
    first = run(shop, steps())
    again = run(shop, steps(), "totals")
    found = nodes(again)
    assert (found["totals"]["cached"], found["totals"]["skipped"]) == (True, False)
    assert (found["people"]["skipped"], found["people"]["reason"]) == (True, "not selected")
    for name in ("totals", "people"):
        before, now = step_of(first, name), step_of(again, name)
        assert now.lineage == before.lineage
        assert [(r.uri, r.version) for r in now.reads] == [(r.uri, r.version) for r in before.reads]
        assert [(m.uri, m.version) for m in now.makes] == [(m.uri, m.version) for m in before.makes]


def test_a_query_that_is_compiled_in_the_run_has_its_lineage_too(shop: Project) -> None:
    code = """
    def free(sales):
        return sales
    """
    shop.write("steps/free.py", code)
    loose = {"name": "loose", "layer": "silver", "function": "steps.free:free", "inputs": ["sales"]}
    result = run(shop, [read("sales", "sales.csv"), loose, sql("after", "SELECT price * 2 AS x FROM loose")])
    (line,) = step_of(result, "after").lineage
    assert line.kinds == {"loose.price": ("transformation",)}


def test_a_script_that_makes_two_tables(shop: Project) -> None:
    script = "CREATE TABLE a AS SELECT who FROM sales; CREATE TABLE b AS SELECT price AS p FROM sales WHERE who = 1;"
    two = {"name": "two", "layer": "silver", "sql": script, "outputs": ["a", "b"], "write": KEPT}
    result = run(shop, [read("sales", "sales.csv"), two])
    columns = nodes(result)["two"]["columns"]
    assert [(c["dataset"], c["column"]) for c in columns] == [("a", "who"), ("b", "p")]
    assert columns[1]["indirect"] == [{"dataset": "sales", "column": "who", "kinds": ["filter"]}]


def test_made_up_rows_are_marked(project: Project) -> None:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if down:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("ETag", '"v7"')
            self.end_headers()
            self.wfile.write(b'[{"id": 1}]')

        def log_message(self, *_: object) -> None:
            pass

    down: list[int] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        users = {"from": "api", "path": "users.json", "fallback_to_sample": True, "sample_size": 3}
        step = {"name": "users", "layer": "bronze", "read": users, "write": KEPT}
        more: dict[str, Any] = {
            "connections": {"api": {"url": url}, "lake": {"url": "lake", "format": "delta"}}
        }
        real = nodes(run(project, [step], **more))["users"]
        down.append(1)
        made_up = nodes(run(project, [{**step, "name": "others"}], max_retries=0, **more))["others"]
        server.shutdown()
    assert [(r["uri"], r["etag"], r["synthetic"]) for r in real["inputs"]] == [
        (f"{url}/users.json", '"v7"', False)
    ]
    assert (made_up["synthetic"], made_up["inputs"][0]["synthetic"]) == (True, True)
    assert made_up["outputs"][0]["synthetic"]


@pytest.fixture
def two(shop: Project) -> Project:
    """Two pipelines: the second reads a table of the first, once by its name and once by its place."""
    run(shop, steps())
    there = {"from": "lake", "path": "silver/totals"}
    reads = [sql("mails", "SELECT mail FROM shop.totals"), {"name": "same", "layer": "bronze", "read": there}]
    shop.config(steps(), "shop")
    run(shop, [*reads, sql("sums", "SELECT total FROM same")], name="news")
    return shop


def test_trees_over_pipelines(two: Project, capsys: pytest.CaptureFixture[str]) -> None:
    command.show(name="mails.mail", up=True, down=False, run=None, output="text")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("news.mails.mail by mails [sql] in run ")
    said = [line.partition(" by ") for line in lines[1:]]
    assert [first for first, *_ in said] == [
        "└─ shop.totals.mail (identity)",
        "   decided",
        "   └─ shop.sales.mail (group, identity)",
        "      └─ in:sales.csv.mail (identity)",
    ]
    assert said[1][2] == "shop.sales.who (group)"
    command.show(name="sales.price", up=False, down=True, run=None, output="json")
    tree = json.loads(capsys.readouterr().out)["down"]
    (totals,) = tree["branches"]
    found = {(b["dataset"], b["column"]) for b in totals["branches"]}
    assert (totals["column"], totals["kinds"]) == ("total", ["aggregation"])
    assert found == {("shop.people", "who"), ("shop.people", "score"), ("news.same", "total")}
    command.show(name="totals", up=True, down=False, run=None, output="text")
    assert "columns + total (BIGINT), - price\nrows 2 of sales 2\n" in capsys.readouterr().out
    command.show(name="sums", up=True, down=False, run=None, output="text")
    assert f"in:sales.csv at file://{two.root}/in/sales.csv, version " in capsys.readouterr().out
    with pytest.raises(NotFound, match="sales has no column 'prise'"):
        command.show(name="sales.prise", up=True, down=False, run=None, output="text")
    with pytest.raises(NotFound, match="no run knows a dataset 'sails'"):
        command.show(name="sails", up=True, down=False, run=None, output="text")


def test_what_is_otherwise_in_another_run(shop: Project, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(shop, steps())
    second = run(shop, steps("SELECT who, sum(price * 2) AS total FROM sales WHERE price > 0 GROUP BY ALL"))
    command.diff(before=first.run.run_id, after=second.run.run_id, output="json")
    found = {(c["step"], c["what"]): (c["was"], c["is"]) for c in json.loads(capsys.readouterr().out)}
    assert found[("totals", "column mail")] == ("VARCHAR", None)
    assert found[("totals", "lineage of who")] == ("sales.mail (group)", "sales.price (filter)")
    assert not [step for step, _ in found if step == "sales"]
    command.diff(before=first.run.run_id, after=second.run.run_id, output="text")
    assert "totals  - column mail" in capsys.readouterr().out
    command.diff(before=first.run.run_id, after=first.run.run_id, output="text")
    assert capsys.readouterr().out == "The lineage is the same.\n"


def test_a_file_is_found_behind_the_pattern_it_is_read_by() -> None:
    made = DatasetRecord(name="days", uri="file:///out/2026.csv", format="csv")
    seen = DatasetRecord(name="in:*.csv", uri="file:///out/*.csv", format="csv")
    writer = a_run("a" * 8, steps=(a_step("days", makes=(made,)),))
    reader = a_run(
        "b" * 8, pipeline="news", steps=(a_step("all", reads=(seen,), makes=(DatasetRecord(name="all"),)),)
    )
    graph = Graph([reader, writer])
    assert [
        branch.made.name for branch in graph.tree(graph.find("all"), up=True).branches if branch.made
    ] == ["days"]
    assert [branch.name for branch in graph.tree(graph.find("days"), up=False).branches] == ["news.all"]


def test_a_table_that_reads_itself() -> None:
    made = DatasetRecord(name="orders", uri="file:///lake/orders", format="delta")
    step = a_step("orders", reads=(made,), makes=(made,))
    graph = Graph([a_run(steps=(step,))])
    tree = graph.tree(graph.find("file:///lake/orders"), up=True)
    assert [branch.shown for branch in tree.branches] == [True], "it ends"


def test_what_did_not_make_a_table_is_not_its_maker(
    shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    good = run(shop, steps()).run
    broken = shop.run(
        steps("SELECT who, mail, error('no')::INTEGER AS total FROM sales"), enable_tracker=True
    ).run
    assert {step.name: step.status for step in broken.steps}["people"] is StepStatus.NOT_RUN
    command.show(name="people", up=True, down=False, run=None, output="json")
    tree = json.loads(capsys.readouterr().out)["up"]
    assert (tree["run_id"], tree["status"]) == (good.run_id, "completed")
    assert [(b["run_id"], b["status"]) for b in tree["branches"]] == [(good.run_id, "completed")]
    command.show(name="sales", up=True, down=False, run=None, output="json")
    assert json.loads(capsys.readouterr().out)["up"]["run_id"] == broken.run_id, "that step did its work"


def a_history(*statuses: StepStatus | None) -> list[RunRecord]:
    """Runs, the latest first, in which the one step ended so; None for one that was killed before it told."""
    made = DatasetRecord(name="orders", uri="file:///lake/orders", format="delta")
    return [
        a_run(f"run{number}", -number, steps=(a_step("orders", makes=(made,), status=status),))
        if status is not None
        else a_run(f"run{number}", -number, steps=(a_step("orders"),))
        for number, status in enumerate(statuses)
    ]


def test_earlier_runs_are_asked_until_each_dataset_has_its_maker() -> None:
    done, failed, skipped = StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED
    runs = a_history(None, failed, skipped, done, done)
    assert [each.run_id for each in makers(runs[0], iter(runs[1:]))] == ["run1", "run3"]
    long = a_history(*[failed] * 60, done)
    assert [each.run_id for each in makers(long[0], iter(long[1:]))] == ["run0"]


def test_a_table_that_no_run_has_made_says_so(shop: Project, capsys: pytest.CaptureFixture[str]) -> None:
    shop.run(steps("SELECT who, mail, error('no')::INTEGER AS total FROM sales"), enable_tracker=True)
    command.show(name="people", up=True, down=False, run=None, output="text")
    first, *_ = lines = capsys.readouterr().out.splitlines()
    assert " not run: totals failed at " in first
    (totals,) = [line for line in lines if "shop.totals" in line]
    assert " failed at " in totals


def test_a_dataset_that_the_pipeline_makes_no_more_is_not_taken_from_an_earlier_run() -> None:
    (now, before) = a_history(StepStatus.FAILED, StepStatus.COMPLETED)
    gone = a_step("old", makes=(DatasetRecord(name="old"),), status=StepStatus.COMPLETED)
    graph = Graph([now, before.model_copy(update={"steps": (*before.steps, gone)})])
    assert graph.find("orders").key == "file:///lake/orders"
    with pytest.raises(NotFound, match="'old'"):
        graph.find("old")


def test_names_with_dots_are_found() -> None:
    def making(name: str, *columns: str) -> StepRecord:
        told = tuple(ColumnRecord(name=column, type="INTEGER") for column in columns)
        return a_step(name, makes=(DatasetRecord(name=name),), columns=told, status=StepStatus.COMPLETED)

    graph = Graph([a_run(steps=(making("orders", "net.total", "v2.id", "id"), making("orders.v2", "id")))])
    for asked, column in {"orders.Net.Total": "net.total", "daily.orders.net.total": "net.total"}.items():
        assert (graph.find(asked).key, graph.find(asked).column) == ("daily.orders", column)
    assert graph.find("orders.v2.id") == Place("daily.orders.v2", "id"), "the longest dataset first"
    with pytest.raises(NotFound, match=r"^orders.v2 has no column 'idd'"):
        graph.find("orders.v2.idd")
    with pytest.raises(NotFound, match=r"^orders has no column 'net.sum'"):
        graph.find("orders.net.sum")
