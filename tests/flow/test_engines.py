"""The same shop on every engine, and what Spark must not do to the process, the session and the machine."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import odibi as package
from tests.flow.helpers import odibi, project, start
from tests.flow.test_daily import ROOT, assert_as_expected

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DATES = ["2026-01-04", "2026-01-05"]

SLOW = {
    "c.yaml": """
        pipeline: slow
        engine: spark
        connections: {lake: {url: lake, format: delta}}
        steps:
          - {name: few, layer: bronze, read: few.csv, write: {to: lake}}
          - {name: endless, layer: silver, write: {to: lake}, sql: "SELECT sum(a.i + b.i + c.i + d.i) AS s FROM few a, few b, few c, few d"}
    """,
    "few.csv": "i\n" + "".join(f"{i}\n" for i in range(1000)),
}


def javas(home: Path) -> Iterator[int]:
    """The Java processes that a command with this home has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"ODIBI_HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if ours and b"java" in (folder / "cmdline").read_bytes().split(b"\0")[0]:
                yield int(folder.name)
        except OSError:
            continue  # it has just ended, or is somebody else's


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the example, as a newcomer has it after cloning."""
    for name in ("configs", "steps"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_shop_is_the_same_on_pandas(shop: Path) -> None:
    for date in DATES:
        done = odibi("run", "configs/daily.yaml", "--engine", "pandas", "--date", date, cwd=shop)
        assert done.returncode == 0, done.stdout + done.stderr
    assert_as_expected(shop, DATES)


def test_the_shop_is_the_same_on_spark_in_a_session_of_its_own_and_in_a_given_one(
    shop: Path, spark_session: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shop / ".odibi"
    before = {path.name for path in shop.iterdir()}
    arguments = ("run", "configs/daily.yaml", "--engine", "spark", "--date", DATES[0])
    done = odibi(*arguments, cwd=shop, env={"ODIBI_HOME": str(home)}, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert list(javas(home)) == []
    assert {path.name for path in shop.iterdir()} - before == {".odibi"}
    assert list((home / "tmp").iterdir()) == []
    assert_as_expected(shop, DATES[:1])

    monkeypatch.chdir(shop)
    monkeypatch.setenv("ODIBI_HOME", str(home))
    spark_session.conf.set("spark.sql.session.timeZone", "America/New_York")
    views = spark_session.catalog.listTables()
    try:
        result = package.Orchestrator(
            package.load("configs/daily.yaml", date=DATES[1], engine="spark")
        ).execute()
        assert result.success, result.error
        assert spark_session.conf.get("spark.sql.session.timeZone") == "America/New_York"
        assert spark_session.range(3).count() == 3
        assert spark_session.catalog.listTables() == views
    finally:
        spark_session.conf.unset("spark.sql.session.timeZone")
    assert_as_expected(shop, DATES)


def test_a_failed_step_fails_the_run_with_a_sentence_and_leaves_no_java(
    tmp_path: Path, needs_spark: None
) -> None:
    home = tmp_path / ".odibi"
    project(
        tmp_path,
        {
            "c.yaml": """
                pipeline: failing
                engine: spark
                connections: {lake: {url: lake, format: delta}}
                steps:
                  - {name: words, layer: bronze, read: words.csv}
                  - {name: numbers, layer: silver, sql: "SELECT CAST(word AS INTEGER) AS n FROM words", write: {to: lake}}
            """,
            "words.csv": "word\n1\nx\n",
        },
    )
    done = odibi("run", "c.yaml", cwd=tmp_path, env={"ODIBI_HOME": str(home)}, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "'x'" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not [path for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    assert list(javas(home)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_run_that_is_stopped_ends_with_its_signal_and_leaves_no_java(
    tmp_path: Path, needs_spark: None, number: signal.Signals
) -> None:
    home = tmp_path / ".odibi"
    process = start(
        "run", "c.yaml", "--output", "json", cwd=project(tmp_path, SLOW), env={"ODIBI_HOME": str(home)}
    )
    with process:
        for line in process.stdout or ():
            if '"endless"' in line and '"running"' in line:
                break
        time.sleep(3)  # it is to be in the middle of its job
        assert len(list(javas(home))) == 1
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output + errors
    assert '"cancelled"' in output
    assert "Traceback" not in errors
    assert list(javas(home)) == []
    assert list((home / "tmp").iterdir()) == []
    assert not (tmp_path / "lake/silver/endless/_delta_log").exists()


def test_without_java_nothing_is_run(tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="PYSPARK IS NOT INSTALLED: pip install 'odibi[spark]'")
    done = odibi("run", "c.yaml", cwd=project(tmp_path, SLOW), env={"JAVA_HOME": str(tmp_path / "none")})
    assert done.returncode == 3
    assert done.stderr.startswith("error: Spark needs Java 17 or newer, and there is none in JAVA_HOME=")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "lake").exists()


def test_a_run_on_duckdb_or_pandas_needs_no_pyspark(tmp_path: Path) -> None:
    blocked = """
        import sys

        class NotInstalled:
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] in ("pyspark", "py4j", "delta"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, NotInstalled())
    """
    config = """
        pipeline: small
        connections: {lake: {url: lake, format: delta}}
        steps:
          - {name: few, layer: bronze, read: few.csv}
          - {name: sum, layer: gold, sql: "SELECT sum(i) AS s FROM few", write: {to: lake}}
    """
    project(tmp_path, {"c.yaml": config, "few.csv": "i\n1\n2\n", "without/sitecustomize.py": blocked})
    env = {"PYTHONPATH": f"{tmp_path}/without:{ROOT}"}
    for engine in ("duckdb", "pandas"):
        done = odibi("run", "c.yaml", "--engine", engine, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    done = odibi("run", "c.yaml", "--engine", "spark", cwd=tmp_path, env=env)
    assert done.returncode == 3
    assert "pyspark (for engine 'spark') is not installed (pip install 'odibi[spark]')" in done.stderr
