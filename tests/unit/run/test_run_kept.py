"""Results that no table keeps: when they stand in for a step, and when not; what checkpoints a run leaves."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from odibi import orchestrator
from odibi.cli import cache
from odibi.cli.exits import NotFound
from odibi.config.load import load
from odibi.errors import ConfigError
from odibi.orchestrator import Orchestrator
from odibi.record.checkpoints import NoCheckpoint
from odibi.record.store import open_store
from tests.unit.run.project import Project, actions, read, reasons, sql, statuses


def plain(name: str, query: str, **more: Any) -> dict[str, Any]:
    """A SQL step that writes a file, of the format its name ends in."""
    return sql(name, query, write={"to": "lake", "path": f"{name}.{name.rpartition('_')[2]}"}, **more)


@pytest.fixture
def steps(project: Project) -> list[dict[str, Any]]:
    """Nothing but plain files and results that nobody keeps."""
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2), (3, 3))
    raw = {"name": "raw", "layer": "bronze", "read": {"from": "in", "path": "a.csv"}}
    return [
        raw,
        plain("big_csv", "SELECT * FROM raw WHERE v >= 2"),
        plain("big_parquet", "SELECT * FROM big_csv", depends_on=["raw"]),
        {**plain("parts_json", "SELECT * FROM raw"), "write": {"to": "lake", "path": "parts.json", "partition_by": ["id"]}},
        sql("last", "SELECT sum(v) AS v FROM raw", kept=False),
    ]  # fmt: skip


def executed(result: orchestrator.Result) -> set[str]:
    return {name for name, status in statuses(result).items() if status == "completed"}


def test_a_second_run_of_plain_files_executes_nothing(project: Project, steps: list[dict[str, Any]]) -> None:
    first = project.run(steps)
    assert executed(first) == {step["name"] for step in steps}
    before = {path: file for path, file in project.tree().items() if path.startswith("lake")}
    second = project.run(steps)
    assert (second.nodes_executed, second.run.cache_misses) == (0, 0)
    assert second.run.cache_hits >= 4
    assert before.items() <= project.tree().items()
    run = first.run.run_id[:8]
    assert reasons(project.plan(steps))["big_csv"] == f"nothing changed since run {run}"
    assert reasons(project.plan(steps, enable_cache=False))["last"] == "its result is not kept"
    by_python = orchestrator.run(project.load(steps), keep_final=True)
    assert by_python.nodes_executed == 0
    assert by_python.final_result["last"].to_pylist() == [{"v": 6}]


def test_files_that_are_not_as_they_were_left_are_written_again(
    project: Project, steps: list[dict[str, Any]]
) -> None:
    project.run(steps)
    csv, parts = project.root / "lake/big_csv.csv", project.root / "lake/parts.json"
    os.utime(csv, (1, 1))
    assert executed(project.run(steps)) == set(), "its time has moved, its content has not"
    whole = csv.read_text()
    csv.unlink()
    assert reasons(project.plan(steps))["big_csv"] == "its result is not as it was left"
    assert executed(project.run(steps)) >= {"big_csv"}
    assert (csv.read_text(), project.tree().keys()) == (whole, project.tree().keys())
    csv.write_text(whole.replace("3", "4"))
    assert "big_csv" in executed(project.run(steps))
    assert csv.read_text() == whole
    extra = parts / "id=9"
    extra.mkdir()
    (extra / "part-0.json").write_text("{}")
    assert "parts_json" in executed(project.run(steps))
    assert not extra.exists()


def test_a_changed_byte_or_query_wakes_what_depends_on_it(
    project: Project, steps: list[dict[str, Any]]
) -> None:
    project.run(steps)
    steps[1] = plain("big_csv", "SELECT * FROM raw WHERE v > 1")
    result = project.run(steps)
    assert executed(result) == {"big_csv"}, "it came out as it was, so its reader is left alone"
    assert statuses(result)["big_parquet"] == "reused"
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2), (3, 4))
    assert executed(project.run(steps)) == {step["name"] for step in steps}
    project.csv("in/a.csv", "id,v", (1, 1), (2, 2), (3, 3))
    assert {"big_csv", "parts_json"} <= executed(project.run(steps)), "the files of then are gone"


def test_two_targets_have_results_of_their_own(project: Project, steps: list[dict[str, Any]]) -> None:
    other = {"connections": {"lake": {"url": str(project.root / "other")}}}
    path = project.config(steps, targets={"dev": {}, "test": other, "prod": {}})
    assert executed(orchestrator.run(load(path))) == {step["name"] for step in steps}
    assert {"big_csv", "parts_json"} <= executed(orchestrator.run(load(path, target="test")))
    assert (project.root / "other/big_csv.csv").read_text() == (project.root / "lake/big_csv.csv").read_text()
    for target in ("dev", "test"):
        assert executed(orchestrator.run(load(path, target=target))) == set()
    assert "big_csv" in executed(orchestrator.run(load(path, target="prod"))), "the cache is off in prod"


def test_damaged_entries_are_misses(project: Project, steps: list[dict[str, Any]]) -> None:
    project.run(steps)
    folder = Path(os.environ["ODIBI_HOME"]) / "cache/shop"
    (entry,) = folder.glob("big_csv/*/entry.json")
    entry.write_bytes(entry.read_bytes()[:-20])
    (part,) = folder.glob("last/*/*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    result = project.run(steps)
    assert {"big_csv", "last"} <= executed(result) <= {"big_csv", "last", "raw"}
    assert executed(project.run(steps)) == set()


def test_what_is_cleared_runs_again_and_nothing_else(
    project: Project, steps: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = project.config([*steps, sql("kept", "SELECT 1 AS n")])
    project.run(path)
    cache.list_(config=path, target=None, output="json")
    listed = json.loads(capsys.readouterr().out)
    assert {one["step"] for one in listed} == {step["name"] for step in steps}
    assert all(one["bytes"] > 0 for one in listed)
    cache.clear(config=path, step="big_csv", target=None)
    assert executed(project.run(path)) == {"big_csv"}
    cache.clear(config=path, step="kept", target=None)
    assert "odibi run --select kept --no-cache" in capsys.readouterr().out
    with pytest.raises(NotFound, match="big_csv"):
        cache.clear(config=path, step="big_cvs", target=None)
    cache.clear(config=path, step=None, target=None)
    cache.list_(config=path, target=None, output="text")
    assert capsys.readouterr().out.splitlines()[-1] == "The cache is empty"


def test_a_place_whose_url_holds_a_secret_is_nowhere_noted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODIBI_SECRET_PLACE", "hushhush")
    steps = [
        {**plain("out_csv", "SELECT 1 AS n"), "write": {"to": "out", "path": "out.csv"}},
        sql("other", "SELECT 2 AS n", kept=False),
    ]
    places = {"in": {"url": "in"}, "out": {"url": "memory://${secret:place}"}}
    for expected in ({"out_csv", "other"}, {"out_csv"}):
        assert executed(project.run(steps, connections=places)) == expected
    home = Path(os.environ["ODIBI_HOME"])
    files = [path for path in home.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"hushhush" in path.read_bytes()] == []


@pytest.mark.parametrize("secret", ["test", "orders", "silver", "completed", "duckdb", "id", "0", "e"])
def test_a_secret_that_is_a_word_changes_no_name(
    secret: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the password of a database on a laptop: what runs find each other's results by stays as it is."""
    monkeypatch.setenv("ODIBI_SECRET_PLACE", secret)
    steps = [sql("latest_orders", "SELECT 1 AS id"), sql("told", "SELECT count(id) AS n FROM latest_orders")]
    steps.append({**plain("out_csv", "SELECT n FROM told"), "write": {"to": "out", "path": "out.csv"}})
    places = {"lake": {"url": "lake", "format": "delta"}, "out": {"url": "memory://${secret:place}"}}
    for expected in ("completed", "reused"):
        result = project.run(steps, connections=places)
        assert set(list(statuses(result).values())[:2]) == {expected}
        with open_store(f"sqlite:///{os.environ['ODIBI_HOME']}/state.db") as store:
            step = store.run(result.run.run_id).steps[0]
        assert (step.name, step.layer, step.engine) == ("latest_orders", "silver", "duckdb")
        assert re.fullmatch("[0-9a-f]{32}", step.key)
        assert [column.name for column in step.columns] == ["id"]


def test_no_cache_and_cache_false_run_what_has_a_result(project: Project) -> None:
    project.csv("in/a.csv", "id,v", (1, 1))
    steps = [read("raw", "a.csv"), sql("kept", "SELECT * FROM raw"), plain("out_csv", "SELECT * FROM kept")]
    project.run(steps)
    loaded = project.load(steps)
    assert set(actions(orchestrator.plan(loaded, no_cache=True)).values()) == {"run"}
    result = orchestrator.run(loaded, no_cache=True)
    assert executed(result) == {"raw", "kept", "out_csv"}
    # Computed again to the rows that the table has: no new version.
    assert (project.version("silver/kept"), project.rows("silver/kept")) == (0, [(1, 1)])
    assert executed(orchestrator.run(project.load(steps), chosen=["kept"], no_cache=True)) == {"kept"}
    assert executed(project.run(steps)) == set()
    steps[1]["cache"] = False
    assert reasons(project.plan(steps))["kept"] == "cache: false"
    assert statuses(project.run(steps)) == {"raw": "reused", "kept": "completed", "out_csv": "reused"}


def test_what_the_clock_tells_is_never_cached(project: Project) -> None:
    asks = sql("asks", "SELECT current_timestamp AS at")
    loaded = project.load([asks, sql("meant", "SELECT now() AS at", cache=False)])
    (problem,), the_plan = orchestrator.validate(loaded)
    assert (problem.level, problem.line > 0, the_plan is not None) == ("warning", True, True)
    assert "'asks': it runs each time, because its answer depends on the clock" in problem.message
    assert orchestrator.validate(loaded, strict=True)[0][0].level == "error"
    steps = [plain("at_csv", "SELECT now() AS at"), sql("dice", "SELECT random() AS r", kept=False)]
    project.run(steps)
    assert executed(project.run(steps)) == {"at_csv", "dice"}
    assert reasons(project.plan(steps))["at_csv"] == "its answer depends on the clock or on chance"


def test_an_append_of_files_is_known_by_its_own_part(project: Project) -> None:
    write = {"to": "lake", "path": "log", "format": "csv", "mode": "append", "logical_date_column": None}
    steps = [sql("log", "SELECT '{{ date }}' AS day", write=write), plain("all_csv", "SELECT * FROM log")]
    for date in ("2026-01-04", "2026-01-05"):
        project.run(steps, date=date)
        assert "log" not in executed(project.run(steps, date=date))
    assert statuses(project.run(steps, date="2026-01-04"))["log"] == "reused"
    assert {*(project.root / "lake/all_csv.csv").read_text().split()} == {"day", "2026-01-04", "2026-01-05"}


# --- checkpoints ---------------------------------------------------------------------------------------


def layered(**first: Any) -> list[dict[str, Any]]:
    """Seven steps in three layers."""
    layers = ["bronze"] * 2 + ["silver"] * 3 + ["gold"] * 2
    steps = [sql(f"s{n}", f"SELECT {n} AS n" if n < 2 else f"SELECT * FROM s{n - 2}") for n in range(7)]
    return [{**step, "layer": layer, **first} for step, layer in zip(steps, layers, strict=True)]


def manifests(project: Project) -> list[dict[str, Any]]:
    """The data of every manifest, by run and number."""
    found = sorted(
        project.root.glob("points/shop/*/*.json"), key=lambda path: (path.stat().st_mtime, path.name)
    )
    return [json.loads(path.read_text("utf-8"))["data"] for path in found]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("layer", ["bronze", "silver", "gold", "final"]),
        ("AUTO", [f"s{n}" for n in range(7)] + ["final"]),
        ("MANUAL", ["final"]),
    ],
)
def test_each_mode_saves_when_it_says(project: Project, mode: str, expected: list[str]) -> None:
    place: dict[str, Any] = {
        "checkpoint_dir": str(project.root / "points"),
        "checkpoint_mode": mode,
        "distributed": False,
    }
    project.run(layered(), **place)
    found = manifests(project)
    assert sorted(one["reason"] for one in found) == sorted(expected)
    assert found[-1]["status"] == "completed"
    assert set(found[-1]["completed"]) == {f"s{n}" for n in range(7)}
    project.run(layered(), **place)
    assert [one["reason"] for one in manifests(project)[len(found) :]] == ["final"], "nothing was computed"


def test_checkpoints_are_where_they_should_be_or_nowhere(project: Project) -> None:
    project.run(layered(), enable_checkpoints=False, checkpoint_dir=str(project.root / "points"))
    home = Path(os.environ["ODIBI_HOME"])
    assert not list(project.root.glob("points*")) + list(home.glob("checkpoints*"))
    project.run(layered())
    assert len(list(home.glob("checkpoints/shop/*/*.json"))) == 1
    with pytest.raises(ConfigError, match="checkpoint_mode"):
        project.load(layered(), checkpoint_mode="SOMETIMES")


def test_an_interval_and_a_signal_save_too(project: Project) -> None:
    code = """
import os, signal, time
from pathlib import Path

import pandas as pd


def slow(fast) -> pd.DataFrame:
    for number in (1, 2):
        deadline = time.monotonic() + 20
        while len(list(Path("{points}").glob("*/*.json"))) < number and time.monotonic() < deadline:
            time.sleep(0.05)
        if number == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
    return pd.DataFrame({{"n": [1]}})
"""
    project.write("steps/waits.py", code.format(points=project.root / "points/shop"))
    steps = [
        sql("fast", "SELECT 1 AS n"),
        {"name": "slow", "layer": "silver", "function": "steps.waits:slow"},
    ]
    place: dict[str, Any] = {"checkpoint_dir": str(project.root / "points"), "checkpoint_interval": 1}
    assert project.run(steps, checkpoint_mode="INTERVAL", **place).success
    assert [one["reason"] for one in manifests(project)] == ["interval", "request", "final"]


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_a_resume_in_python_goes_on_where_the_failed_run_stopped(project: Project, engine: str) -> None:
    told = {"name": "told", "layer": "gold", "write": {"to": "lake"}}
    steps: list[dict[str, Any]] = [
        {"name": "seen", "layer": "bronze", "sql": "SELECT random() AS r", "write": {"to": "lake"}},
        {"name": "picked", "layer": "silver", "sql": "SELECT r AS p FROM seen"},
        {**told, "sql": "SELECT error('not today') AS p FROM picked"},
    ]
    place: dict[str, Any] = {
        "checkpoint_dir": f"memory://points-{engine}",
        "enable_cache": False,
        "engine": engine,
    }
    path = project.config(steps, **place)
    with pytest.raises(NoCheckpoint):
        Orchestrator(path, resume_from_checkpoint=True).execute()
    failed = Orchestrator(path).execute()
    assert (failed.failed_nodes, failed.resume) == (["told"], f"odibi retry {failed.run.run_id[:8]}")
    path = project.config([*steps[:2], {**told, "sql": "SELECT p FROM picked"}], **place)
    done = Orchestrator(path, resume_from_checkpoint=True).execute()
    assert executed(done) == {"told"}
    assert (done.success, done.resume, done.run.resumed_from) == (True, "", failed.run.run_id)
    assert project.rows("gold/told") == project.rows("bronze/seen")
    again = Orchestrator(path, resume_from_checkpoint=True).execute()
    assert executed(again) >= {"seen"}, "the last run has succeeded: this is a run like any other"


def test_what_a_full_refresh_left_undone_is_built_anew_by_the_resume(project: Project) -> None:
    append = {"to": "lake", "mode": "append"}
    made = sql("made", "SELECT '{{ date }}' AS day", write=append)
    good = {"name": "told", "layer": "gold", "sql": "SELECT day FROM made", "write": append}
    bad = {**good, "sql": "SELECT error('not today') AS day FROM made"}
    orchestrator.run(project.load([made, good], date="2026-01-04"))
    failed = orchestrator.run(project.load([made, bad]), full_refresh=True)
    assert statuses(failed) == {"made": "completed", "told": "failed"}
    done = orchestrator.run(project.load([made, good]), resume=True)
    assert statuses(done) == {"made": "reused", "told": "completed"}
    assert [row[0] for row in project.rows("gold/told")] == ["2026-01-05"]


def test_a_checkpoint_that_cannot_be_written_fails_no_run(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project.write("points", "a file, no folder")
    result = project.run(layered(), checkpoint_dir=str(file))
    assert result.success
    assert "a checkpoint could not be written" in capsys.readouterr().err
    with pytest.raises(Exception, match="cannot reach nowhere"):
        project.run(layered(), checkpoint_dir="nowhere://points")
