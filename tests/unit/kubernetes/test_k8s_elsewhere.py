"""Steps that are done elsewhere by real workers: same rows, same keys, same decisions as here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from odibi import orchestrator
from odibi.errors import ConfigError, Permanent, Unavailable
from odibi.kubernetes import exchange, worker
from odibi.kubernetes.result import parsed as result_of
from odibi.kubernetes.task import parsed, task_of
from odibi.orchestrator import Result
from odibi.run.remote import RUNTIMES
from tests.unit.kubernetes.elsewhere import Processes, worked
from tests.unit.run.project import KEPT, Project, read, sql

APPEND = {"to": "lake", "mode": "append"}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RUNTIMES._things, "kubernetes", Processes)
    Processes.given, Processes.broken, Processes.killed = [], [], []
    project = Project(tmp_path)
    project.csv("in/sales.csv", "who,price", ("ann", 3), ("bob", 4), ("ann", 5))
    return project


def far(project: Project, **said: Any) -> dict[str, Any]:
    """The keys of a config that names a cluster."""
    volumes = [{"name": "all", "host_path": str(project.root), "mount": str(project.root)}]
    cluster = {"image": "odibi:1", "tasks": str(project.root / "tasks"), "volumes": volumes}
    return {"kubernetes": cluster, "runtime": {"silver": "kubernetes"}, **said}


def steps(query: str = "SELECT who, price FROM sales WHERE price > 3", **of_big: Any) -> list[dict[str, Any]]:
    return [
        read("sales", "sales.csv"),
        sql("big", query, layer="silver", write=APPEND) | of_big,
        sql("totals", "SELECT who, sum(price) AS total FROM big GROUP BY who", layer="silver"),
        sql("best", "SELECT max(total) AS best FROM totals", layer="gold"),
    ]


def statuses(result: Result) -> dict[str, str]:
    return {step.name: str(step.status) for step in result.run.steps}


def test_a_layer_goes_as_one_and_the_run_goes_on(shop: Project) -> None:
    result = shop.run(steps(), **far(shop))
    assert result.success, result.error
    assert Processes.given == [["big", "totals"]]
    assert shop.rows("gold/best") == [(5,)]
    big = result.run.steps[1]
    assert (big.rows_out, big.writes[0].rows, len(big.attempts), big.key != "") == (2, 2, 1, True)
    totals = result.run.steps[2]  # each has its own time, though both were given there at once
    assert big.started_at < big.ended_at <= totals.started_at < totals.ended_at  # type: ignore[operator]
    # nothing is done again, neither there nor here, wherever the steps run
    again = shop.run(steps(), **far(shop))
    assert set(statuses(again).values()) == {"reused"}
    here = shop.run(steps(), **far(shop, runtime="local"))
    assert set(statuses(here).values()) == {"reused"}
    assert len(Processes.given) == 1


def test_rows_are_those_of_a_run_here(shop: Project, tmp_path: Path) -> None:
    assert shop.run(steps(), **far(shop)).success
    other = Project(tmp_path / "here")
    other.csv("in/sales.csv", "who,price", ("ann", 3), ("bob", 4), ("ann", 5))
    assert other.run(steps()).success
    for table in ("silver/big", "silver/totals", "gold/best"):
        assert shop.rows(f"{table}") == other.rows(f"{table}")


def test_a_step_that_names_its_runtime_goes_alone(shop: Project) -> None:
    named = steps()
    named[1]["runtime"] = "kubernetes"
    assert shop.run(named, **far(shop, runtime="local")).success
    assert Processes.given == [["big"]]


def test_a_layer_goes_once_whenever_its_sources_end(shop: Project) -> None:
    """As it was planned, and as `odibi k8s render` shows it: a Job takes longer to start than a file to read."""
    shop.csv("in/other.csv", "who,price", ("cy", 1))
    slow = "SELECT count(*) AS n FROM range(1000000) a, range(5) b WHERE hash(a.range, b.range) % 7 = 1"
    given = [
        read("sales", "sales.csv"),
        sql("late", slow, layer="bronze"),
        sql("a", "SELECT * FROM sales", layer="silver"),
        sql("b", "SELECT n FROM late", layer="silver"),
        sql("pairs", "SELECT n, price FROM a, b", layer="silver"),
    ]
    result = shop.run(given, **far(shop))
    assert result.success, result.error
    assert Processes.given == [["a", "b", "pairs"]]


def test_what_its_layer_waits_for_in_vain_does_not_hold_a_step_back(shop: Project) -> None:
    given = [
        read("sales", "sales.csv"),
        sql("broken", "SELECT CAST('x' AS INTEGER) AS n FROM range(1)", layer="bronze"),
        sql("a", "SELECT * FROM sales", layer="silver"),
        sql("b", "SELECT n FROM broken", layer="silver"),
    ]
    result = shop.run(given, **far(shop))
    assert statuses(result) == {"sales": "completed", "broken": "failed", "a": "completed", "b": "not_run"}
    assert Processes.given == [["a"]]


def test_what_waits_for_a_step_here_goes_later(shop: Project) -> None:
    given = [
        read("sales", "sales.csv"),
        sql("a", "SELECT * FROM sales", layer="silver"),
        sql("middle", "SELECT * FROM a", layer="gold"),
        sql("b", "SELECT * FROM middle", layer="silver"),
    ]
    assert shop.run(given, **far(shop)).success
    assert Processes.given == [["a"], ["b"]]


def test_what_is_not_kept_is_made_again_where_it_is_read(shop: Project) -> None:
    given = [
        read("sales", "sales.csv"),
        sql("tidy", "SELECT upper(who) AS who, price FROM sales", layer="silver", write=None),
        sql("kept", "SELECT * FROM tidy WHERE price > 3", layer="silver"),
        sql("total", "SELECT sum(price) AS total FROM tidy", layer="gold"),
    ]
    both = {"silver": "kubernetes", "gold": "kubernetes"}
    assert shop.run(given, **far(shop, runtime=both)).success
    assert Processes.given == [["tidy", "kept"], ["total"]]
    assert shop.rows("gold/total") == [(12,)]


def test_what_a_second_pod_need_not_make_again_holds_nobody_up(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processes, "pods", 2)
    given = [
        read("sales", "sales.csv"),
        sql("tidy", "SELECT upper(who) AS who, price FROM sales", layer="silver", write=None),
        sql("kept", "SELECT * FROM tidy WHERE price > 3", layer="silver"),
        sql("total", "SELECT sum(price) AS total FROM tidy", layer="gold"),
    ]
    result = shop.run(given, **far(shop, runtime={"silver": "kubernetes", "gold": "kubernetes"}))
    assert result.success
    assert statuses(result) == {"sales": "completed", "tidy": "skipped", "kept": "reused", "total": "reused"}
    assert shop.rows("gold/total") == [(12,)]


def test_tasks_that_write_elsewhere_or_read_what_is_made_otherwise_are_others(shop: Project) -> None:
    def task(query: str, lake: str) -> str:
        given = [
            read("sales", "sales.csv"),
            sql("tidy", query, layer="silver", write=None),
            sql("total", "SELECT sum(price) AS total FROM tidy", layer="gold", runtime="kubernetes"),
        ]
        connections = {
            "lake": {"url": str(shop.root / lake), "format": "delta"},
            "in": {"url": str(shop.root / "in")},
        }
        assert shop.run(given, **far(shop, connections=connections)).success
        (last,) = (shop.root / "tasks").glob(f"*-{len(Processes.given)}")
        return last.name.partition("-")[0]

    one = task("SELECT price FROM sales", "lake")
    other, third = (
        task("SELECT price FROM sales", "other"),
        task("SELECT price + 1 AS price FROM sales", "third"),
    )
    assert len({one, other, third}) == 3


def test_a_step_that_fails_there_fails_here(shop: Project) -> None:
    result = shop.run(steps("SELECT who, CAST(who AS INTEGER) AS price FROM sales"), **far(shop))
    assert not result.success
    assert statuses(result) == {"sales": "completed", "big": "failed", "totals": "not_run", "best": "not_run"}
    (big,) = (step for step in result.run.steps if step.name == "big")
    assert big.error is not None
    assert "Could not convert string 'ann'" in big.error.message
    mended = shop.run(steps(), **far(shop))
    assert mended.success
    assert shop.rows("gold/best") == [(5,)]


def test_what_could_not_be_given_is_tried_again(shop: Project) -> None:
    Processes.broken = [Unavailable("the cluster cannot be reached")]
    result = shop.run(steps(), retry_delay=0, **far(shop))
    assert result.success
    assert Processes.given == [["big", "totals"], ["big", "totals"]]
    assert [attempt.status for attempt in result.run.steps[1].attempts] == ["failed", "completed"]
    assert [attempt.status for attempt in result.run.steps[2].attempts] == ["completed"]


def test_the_step_that_a_pod_was_killed_at_is_tried_again_with_its_settings(shop: Project) -> None:
    """What is known of the pod goes with all its steps; what one of them has committed is not its failure."""
    Processes.killed = [1]
    given = steps()
    given[2] |= {"write": KEPT, "retry": {"max_retries": 1, "retry_delay": 0}}
    result = shop.run(given, max_retries=0, **far(shop))
    assert result.success, result.error
    assert Processes.given == [["big", "totals"], ["big", "totals"]]
    big, totals = result.run.steps[1:3]
    assert [(str(one.status), one.error) for one in big.attempts] == [("reused", None)]
    assert [str(one.status) for one in totals.attempts] == ["failed", "completed"]
    error = totals.attempts[0].error
    assert error is not None
    assert (error.kind, error.permanent, error.exit_code, len(error.log)) == ("Transient", False, 137, 50)
    assert [pod.name for pod in big.pods] == [pod.name for pod in totals.pods] == ["pod-1"]
    assert shop.rows("gold/best") == [(5,)]


def side_by_side(**of_a: Any) -> list[dict[str, Any]]:
    query = "SELECT * FROM sales"
    return [
        read("sales", "sales.csv"),
        sql("a", query, layer="silver") | of_a,
        sql("b", query, layer="silver"),
    ]


def test_what_was_given_together_is_tried_again_together_and_after_the_wait(shop: Project) -> None:
    Processes.killed = [0, 0]
    result = shop.run(side_by_side(), retry_delay=0.5, retry_backoff=False, **far(shop))
    assert result.success, result.error
    assert Processes.given == [["a", "b"]] * 3
    a, b = result.run.steps[1:]
    assert [round(attempt.delay, 1) for attempt in a.attempts] == [0, 0.5, 0.5]
    assert [pod.name for pod in b.pods] == ["pod-1", "pod-2"]


def test_a_step_that_is_given_up_holds_the_others_up_no_longer(shop: Project) -> None:
    Processes.killed = [0, 0]
    result = shop.run(side_by_side(), max_retries=1, retry_delay=0, **far(shop))
    assert statuses(result) == {"sales": "completed", "a": "failed", "b": "completed"}
    assert Processes.given == [["a", "b"], ["a", "b"], ["b"]]
    a = result.run.steps[1]
    assert (len(a.attempts), [pod.name for pod in a.pods]) == (2, ["pod-1", "pod-2"])
    assert a.error is not None
    assert (a.error.exit_code, a.error.log[-1]) == (137, "line 49")


def test_attempts_in_a_pod_and_pods_are_counted_together(shop: Project) -> None:
    """One owner of retries: four attempts, wherever they were made."""
    Processes.killed = [0, 0]
    fails = sql("fails", "SELECT CAST(who AS INTEGER) AS n FROM sales", layer="silver")
    fails["retry"] = {"retry_delay": 0.01, "retry_rules": [{"message": "could not convert", "then": "retry"}]}
    result = shop.run([read("sales", "sales.csv"), fails], **far(shop))
    step = result.run.steps[1]
    assert [(one.which, one.error.kind) for one in step.attempts if one.error is not None] == [
        *(("1 of 4", "Transient"), ("2 of 4", "Transient")),
        *(("3 of 4", "ConversionException"), ("4 of 4", "ConversionException")),
    ]
    assert all(one.delay for one in step.attempts[1:])
    assert Processes.given == [["fails"]] * 3


def test_a_rule_about_an_exit_code_is_about_pods_too(shop: Project) -> None:
    Processes.killed = [0]
    rule = {"retry_rules": [{"exit_code": 137, "then": "escalate"}]}
    result = shop.run(side_by_side(retry=rule), retry_delay=0, **far(shop))
    assert statuses(result)["a"] == "failed"
    assert Processes.given == [["a", "b"], ["b"]]
    error = result.run.steps[1].error
    assert error is not None
    assert error.permanent


def test_an_error_of_the_runtime_is_that_of_the_step(shop: Project) -> None:
    Processes.broken = [Permanent("cannot create jobs.batch in namespace etl")]
    result = shop.run(steps(), **far(shop))
    assert statuses(result) == {"sales": "completed", "big": "failed", "totals": "not_run", "best": "not_run"}
    assert "cannot create jobs.batch" in result.error


def test_other_code_in_the_image_is_refused(shop: Project) -> None:
    shop.write("steps/own.py", "def score(sales):\n    return sales\n")
    scored = {"name": "scored", "layer": "silver", "function": "steps.own:score", "write": KEPT}
    loaded = shop.load([read("sales", "sales.csv"), scored], **far(shop))
    assert orchestrator.run(loaded, chosen=["sales"]).success
    plan = orchestrator.plan(loaded)
    task = task_of(loaded, [step for step in plan.steps if step.runtime != "local"], None)
    url = str(shop.root / "tasks/one/task.json")
    exchange.put(url, task.model_dump_json())
    image = shop.root / "image"
    image.mkdir()
    for body, said in (("    return sales.head(1)\n", "is another one here"), ("    return sales\n", "")):
        shop.write("image/steps/own.py", f"def score(sales):\n{body}")
        code, result, printed = worked(url, image)
        assert result is not None, printed
        assert said in result.error
        assert code == (2 if said else 0), printed
    assert len(shop.rows("silver/scored")) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no task at"),
        ("{", "is no task: Expecting property name"),
        ('{"version": 99}', "a task of version 99, this odibi knows 2"),
        ('{"version": 1, "task": "x"}', "is no task: pipeline: Field required"),
        ('{"steps": "../../etc", "password": 1}', "is no task"),
    ],
)
def test_a_task_that_is_none(tmp_path: Path, text: str | None, said: str) -> None:
    url = str(tmp_path / "task.json")
    if text is not None:
        exchange.put(url, text)
    code, result, printed = worked(url, tmp_path / "home")
    assert (code, result) == (2, None), "another pod would find no other"
    assert said in printed
    assert "Traceback" not in printed


def test_a_driver_and_its_executors_share_what_is_handed_over(shop: Project) -> None:
    """Beside the task: in a folder of the driver's pod, executors would write what nobody reads."""
    task = task_of(loaded := shop.load(steps(), **far(shop)), orchestrator.plan(loaded).steps, None)
    place, own = shop.root / "tasks" / "one", shop.root / "pod"
    (place / "scratch-dead").mkdir(parents=True)
    own.mkdir()

    def home_of(spark: bool, environ: dict[str, str], url: str = str(place / "task.json")) -> Path:
        with worker._home(own, task.model_copy(update={"spark": spark}), url, "p1", environ) as home:
            home.path.mkdir(exist_ok=True)
            assert str(own) in home.state  # no database on a file system of many machines
            return home.path

    inside = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert home_of(True, inside) == place / "scratch-p1"
    assert not list(place.glob("scratch-*"))
    shutil.rmtree(own)
    own.mkdir()
    assert (
        home_of(True, {})
        == home_of(False, inside)
        == home_of(True, inside, "s3://b/task.json")
        == own / "home"
    )


def test_a_task_cannot_write_outside_of_its_folder(shop: Project) -> None:
    loaded = shop.load(steps(), **far(shop))
    task = task_of(loaded, orchestrator.plan(loaded).steps[:1], None)
    url = str(shop.root / "tasks/evil/task.json")
    for name in ("/tmp/x.sql", "../x.sql"):
        exchange.put(
            url, task.model_copy(update={"files": {**task.files, name: "select 1"}}).model_dump_json()
        )
        code, result, _ = worked(url, shop.root / "home")
        assert code == 2
        assert result is not None
        assert "which is not below its config" in result.error


def test_equal_work_has_the_same_identity_whatever_run_it_is_of(shop: Project) -> None:
    def identity(query: str = "SELECT 1 AS a", **fields: Any) -> str:
        loaded = shop.load([sql("one", query, layer="silver")], **far(shop, **fields))
        return task_of(loaded, orchestrator.plan(loaded).steps, None).task

    assert identity() == identity("SELECT  1 as a -- the same")
    assert (
        len({identity(), identity("SELECT 2 AS a"), identity(date="2026-01-06"), identity(name="other")}) == 4
    )


def test_the_task_of_a_run_that_died_is_that_of_the_one_that_goes_on(shop: Project) -> None:
    """Whether what it reads was made by that run or stands already."""

    def identity(read: str = "1") -> str:
        loaded = shop.load(steps(), **far(shop))
        given = [step for step in orchestrator.plan(loaded).steps if step.runtime != "local"]
        return task_of(loaded, given, None, {"sales": read}).task

    before = identity()
    assert orchestrator.run(shop.load(steps(), **far(shop)), chosen=["sales"]).success
    assert identity() == before
    assert identity("2") != before


def test_a_runtime_that_says_nothing_is_not_asked_for_ever(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processes, "attempt", lambda _self, _steps, _stopped: {})
    result = shop.run(steps(), **far(shop))
    assert "does not say what became of 'big'" in result.error


def test_a_task_holds_references_and_no_secret(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "sentinel-value")
    connections = {
        "in": {"url": str(shop.root / "in")},
        "lake": {"url": str(shop.root / "lake"), "format": "delta"},
        "api": {"url": "https://localhost/orders", "options": {"headers": {"X-Token": "${env:SHOP_TOKEN}"}}},
    }
    loaded = shop.load(steps(), **far(shop, connections=connections))
    text = task_of(loaded, orchestrator.plan(loaded).steps, None).model_dump_json()
    assert "sentinel-value" not in text
    assert "${env:SHOP_TOKEN}" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kubernetes": None}, "runtime kubernetes: the pipeline names no cluster"),
        ({"volumes": []}, "where nothing is mounted at"),
        ({"unkept": True}, "which 'big' makes on kubernetes and keeps nowhere"),
    ],
)
def test_what_could_not_run_there_is_refused_before_anything_runs(
    shop: Project, change: dict[str, Any], said: str
) -> None:
    fields, given = far(shop), steps()
    if "volumes" in change:
        fields["kubernetes"]["volumes"] = []
    elif "unkept" in change:
        del given[1]["write"]
        given[3]["sql"] = "SELECT max(price) AS best FROM big"
    else:
        fields |= change
    with pytest.raises(ConfigError, match=said):
        shop.run(given, **fields)
    assert not (shop.root / "lake").exists()


def test_a_result_that_was_cut_off_is_none(tmp_path: Path) -> None:
    whole = '{"format": "odibi result", "version": 1, "task": "t", "pod": "p", "node": "", "started_at": "2026-01-05T00:00:00+00:00"}\n'
    end = '{"end": {"ended_at": "2026-01-05T00:00:01+00:00", "exit_code": 0, "error": ""}}\n'
    assert result_of(whole + end, "r").exit_code == 0
    for text in ("", whole, whole + end[:-10], end + whole, whole.replace("result", "story") + end):
        with pytest.raises(Permanent, match="r is "):
            result_of(text, "r")
    newer = whole.replace('"version": 1', '"version": 2')
    with pytest.raises(Permanent, match="version 2, which this odibi does not know"):
        result_of(newer + end, "r")


def test_a_worker_that_is_told_to_end_says_so(shop: Project) -> None:
    shop.write("steps/own.py", "import time\n\ndef wait(sales):\n    time.sleep(60)\n    return sales\n")
    waits = {"name": "waits", "layer": "silver", "function": "steps.own:wait", "write": KEPT}
    loaded = shop.load([read("sales", "sales.csv"), waits], **far(shop))
    assert orchestrator.run(loaded, chosen=["sales"]).success
    task = task_of(loaded, [s for s in orchestrator.plan(loaded).steps if s.runtime != "local"], None)
    url = str(shop.root / "tasks/one/task.json")
    exchange.put(url, task.model_dump_json())
    env = {**os.environ, "POD_NAME": "pod-1", "ODIBI_HOME": str(shop.root / "home"), "PYTHONUNBUFFERED": "1"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "odibi", "worker", url],
        cwd=shop.root,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert "started" in worker.stdout.readline()
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert worker.returncode == 128 + signal.SIGTERM
    found = result_of(exchange.get(str(shop.root / "tasks/one/result-pod-1.ndjson")) or "", "r")
    assert (found.exit_code, [str(step.status) for step in found.steps]) == (143, ["cancelled"])


def test_parsed_task_is_the_task(shop: Project) -> None:
    loaded = shop.load(steps(), **far(shop))
    task = task_of(loaded, orchestrator.plan(loaded).steps, None)
    assert parsed(task.model_dump_json(), "t") == task
    assert json.loads(task.model_dump_json())["version"] == 2
