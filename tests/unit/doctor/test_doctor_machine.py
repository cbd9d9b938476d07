"""What ``odibi doctor`` finds on a machine and at the places of a pipeline, and how the command ends."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlalchemy import text

from odibi.cli.doctor import doctor
from odibi.config.load import load
from odibi.doctor import Finding, Level, examine, machine
from odibi.doctor.places import reached
from odibi.home import Home
from odibi.record.migrations import MIGRATIONS
from odibi.record.store import open_store

ROOT = Path(__file__).parents[3]
NOTHING = {"strict": False, "offline": True, "output": "text"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ODIBI_HOME", raising=False)
    monkeypatch.delenv("ODIBI_STATE", raising=False)
    return tmp_path


def wrong(found: Iterable[Finding]) -> dict[str, Finding]:
    return {one.id: one for one in found if one.level is not Level.PASS}


def test_this_machine_has_what_the_tests_need() -> None:
    home = Home.find()
    found = [*machine.this_python(), *machine.libraries(spark=False), *machine.zones(), *machine.store(home)]
    assert wrong([*found, *machine.folders([home.path])]) == {}
    assert not home.path.exists(), "looking makes nothing"


def test_versions_that_do_not_fit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = [
        "duckdb>=1.5",
        "pandas<1",
        "no-such-thing>=1",
        "also-absent>=1; extra == 'x'",
        "pytest<1; extra == 'dev'",
    ]
    monkeypatch.setattr(machine, "requires", lambda _: needed)
    (found,) = machine.libraries(spark=False)
    assert found.level is Level.FAIL
    assert "no-such-thing is missing; pandas is " in found.said
    assert "pytest is" in found.said
    assert "also-absent" not in found.said
    assert "duckdb" not in found.said


def test_java_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    (found,) = machine.spark()
    assert (found.level, found.fix[:7]) == (Level.FAIL, "install")


def test_a_full_disk_and_a_shut_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "TOO_LITTLE", 10**18)
    monkeypatch.setattr(machine, "LITTLE", 10**18)
    (found,) = machine.disks([here / "a", here / "b"])
    assert found.level is Level.FAIL
    (here / "file").touch()
    assert "file" in wrong(machine.folders([here / "file" / "below", here]))["folders"].said


def test_what_dead_runs_left_and_a_store_of_a_newer_odibi(here: Path) -> None:
    home = Home.find()
    home.intents.mkdir(parents=True)
    (home.intents / "dead.jsonl").touch()
    host = socket.gethostname()
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)  # fmt: skip
    with open_store(home.state) as store, store.database.write() as connection:
        values = f"('shop', 1, 'c5f799b9-0000', 0, 0, '{host}', {ended.stdout}, 0)"
        connection.execute(text(f"INSERT INTO locks VALUES {values}"))
    found = wrong(machine.store(home))
    assert set(found) == {"intents", "locks"}
    assert found["locks"].said == "shop by c5f799b9"
    with open_store(home.state) as store, store.database.write() as connection:
        newer = MIGRATIONS[-1].version + 1
        connection.execute(text(f"INSERT INTO schema_migrations VALUES ({newer}, 'x', '2026-01-01')"))
    assert wrong(machine.store(home))["store"].level is Level.FAIL
    (here / ".odibi/state.db").write_bytes(b"no database, whatever its name says")
    assert wrong(machine.store(home))["store"].level is Level.FAIL


def test_places_that_do_not_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    Path("p.yaml").write_text(
        f"""pipeline: p
connections:
  gone: {{url: no/such/folder}}
  silent: {{url: "http://127.0.0.1:{port}/v1"}}
  search: {{url: "opensearch://127.0.0.1:{port}/orders"}}
  odd: {{url: "http://127.0.0.1:port"}}
  locked: {{url: "sftp://127.0.0.1", options: {{password: "${{secret:none}}"}}}}
  here: {{url: .}}
  memory: {{url: "memory://doctor"}}
steps:
  - {{name: one, layer: gold, sql: select 1 as n, write: {{to: here}}}}
""",
        "utf-8",
    )
    loaded = load("p.yaml")
    found = [one for one in reached(loaded, offline=False) if one.level is Level.FAIL]
    said = [(one.where, one.said) for one in found]
    assert said[0] == ("p.yaml:7", "secret 'none' is not set")
    assert said[1] == ("p.yaml:3", "there is no folder no/such/folder")
    assert said[2][1].startswith(f"127.0.0.1:{port} does not answer")
    assert said[3][1] == said[2][1]
    assert said[4][1].startswith("http://127.0.0.1:port: Port could not be cast")
    assert len(said) == 5
    assert not any("silent" in one.question for one in reached(loaded, offline=True))
    assert not any(one.id == "plan" for one in examine(loaded, Home.find(), offline=True)), (
        "it may look there"
    )


def test_the_command_fails_only_where_it_is_to_be_strict(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "configs/data", here / "configs/data")
    shutil.copy(Path(__file__).parent / "poor.yaml", here / "configs/poor.yaml")
    given = {"config": "configs/poor.yaml", "given": {}, "offline": True}
    assert doctor(**given, strict=False, output="text") == 0
    printed = capsys.readouterr().out
    assert "  fail  tracker: Are runs tracked? enable_tracker is false" in printed
    assert "        configs/poor.yaml:10: enable_tracker: true, which is the default" in printed
    assert doctor(**given, strict=True, output="json") == 1
    told = json.loads(capsys.readouterr().out)
    counts = told["counts"]
    assert counts["warn"] + counts["fail"] >= 30
    assert sum(counts.values()) == len(told["findings"])
    assert doctor(config=None, given={}, **NOTHING) == 0  # type: ignore[arg-type]
