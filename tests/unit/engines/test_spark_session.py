"""The session: found or started, set up for parity, put back or ended; and what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

import odibi
from odibi.engines import session as sessions
from odibi.engines.database import Database
from odibi.engines.launch import refusal, refuse_java
from odibi.errors import Permanent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytest.importorskip("pyspark", reason="PYSPARK IS NOT INSTALLED: pip install 'odibi[spark]'")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "scratch") as database:
        yield database


def python(script: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own, which knows nothing of the session of the tests."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(script)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(odibi.__file__).parents[1]), **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# --- one that is there -----------------------------------------------------------------------------


def test_a_session_that_is_there_is_reused_set_up_and_put_back(
    spark_session: SparkSession, db: Database
) -> None:
    from odibi.engines.spark import Spark

    mine = {
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.parquet.outputTimestampType": "INT96",
        "spark.sql.caseSensitive": "true",
        "spark.sql.shuffle.partitions": "7",
    }
    before = {name: spark_session.conf.get(name) for name in mine}
    for name, value in mine.items():
        spark_session.conf.set(name, value)
    try:
        one, two = Spark(db), Spark(db)
        assert one.session() is spark_session
        assert two.session() is spark_session
        assert {name: spark_session.conf.get(name) for name in sessions.PINNED} == sessions.PINNED
        assert spark_session.conf.get("spark.sql.shuffle.partitions") == "7"
        one.close()
        one.close()
        assert spark_session.conf.get("spark.sql.session.timeZone") == "UTC"
        two.close()
        assert {name: spark_session.conf.get(name) for name in mine} == mine
        assert spark_session.range(3).count() == 3
    finally:
        for name, value in before.items():
            spark_session.conf.set(name, value)


def test_a_given_session_comes_before_the_active_one(spark_session: SparkSession, db: Database) -> None:
    from odibi.engines.spark import Spark

    other = spark_session.newSession()
    sessions.use_session(other)
    try:
        engine = Spark(db)
        assert engine.session() is other
        engine.close()
    finally:
        sessions.use_session(None)
    engine = Spark(db)
    assert engine.session() is spark_session
    engine.close()


def test_an_engine_leaves_no_view_behind(spark_session: SparkSession, db: Database) -> None:
    from odibi.engines.base import Location
    from odibi.engines.spark import Spark
    from odibi.relational.parse import parse
    from odibi.relational.schema import schema_of

    before = spark_session.catalog.listTables()
    engine = Spark(db)
    schema = schema_of({"a": "INTEGER"})
    frame = engine.read(Location("parquet", (), schema))
    (statement,) = parse("SELECT a FROM t").statements
    engine.query(statement, {"t": frame}, schema)  # type: ignore[arg-type]
    assert len(spark_session.catalog.listTables()) == len(before) + 1
    engine.close()
    assert spark_session.catalog.listTables() == before


# --- one of our own --------------------------------------------------------------------------------


def test_a_session_of_our_own_leaves_nothing_and_may_be_followed_by_another(
    tmp_path: Path, needs_spark: None
) -> None:
    done = python(
        """
        import sys
        from pathlib import Path
        from odibi.engines.database import Database
        from odibi.engines.spark import Spark
        from odibi.engines.session import PINNED

        def children():
            return Path("/proc/self/task").glob("*/children")

        def javas():
            found = [pid for file in children() for pid in file.read_text().split()]
            return [pid for pid in found if "java" in Path(f"/proc/{pid}/cmdline").read_text().split("\\0")[0]]

        for number in range(2):
            with Database(Path("home/tmp/run")) as db:
                engine = Spark(db)
                assert not javas()
                session = engine.session()
                assert len(javas()) == 1
                assert {name: session.conf.get(name) for name in PINNED} == PINNED
                assert session.conf.get("spark.ui.enabled") == "false"
                assert session.conf.get("spark.driver.host") == "127.0.0.1"
                session.sql("CREATE TABLE t USING parquet AS SELECT 1 AS a")
                engine.close()
                assert not javas()
        print("done")
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert list((tmp_path / "home/tmp").iterdir()) == []


def test_what_the_configuration_says_stays(tmp_path: Path, needs_spark: None) -> None:
    with zipfile.ZipFile(tmp_path / "mine.jar", "w") as jar:
        jar.writestr("hello.txt", "")
    settings = {
        "spark.master": "local[1]",
        "spark.sql.shuffle.partitions": "5",
        "spark.app.name": "mine",
        "spark.jars": f"file://{tmp_path}/mine.jar",
    }
    text = "".join(f"{name} {value}\n" for name, value in settings.items())
    (tmp_path / "spark-defaults.conf").write_text(text, "utf-8")
    done = python(
        """
        from pathlib import Path
        from odibi.engines.base import Location
        from odibi.engines.database import Database
        from odibi.engines.spark import Spark
        from odibi.relational.schema import schema_of

        with Database(Path("home/tmp/run")) as db:
            engine = Spark(db)
            session = engine.session()
            for name in ("spark.master", "spark.sql.shuffle.partitions", "spark.app.name"):
                print(session.conf.get(name))
            print(session.conf.get("spark.jars").split(",")[0])
            frame = engine.read(Location("parquet", (), schema_of({"a": "INTEGER"})))
            session.sparkContext._gateway.proc.kill()  # as a system does that is short of memory
            for _ in range(2):
                try:
                    engine.stage(frame, frame.schema, "parts")
                except Exception as error:
                    print(error)
            engine.interrupt()
            engine.close()
        """,
        tmp_path,
        SPARK_CONF_DIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    said = "Spark's JVM has ended (mostly for lack of memory: set spark.driver.memory)"
    assert done.stdout.splitlines() == [*settings.values(), said, said]
    assert list((tmp_path / "home/tmp").iterdir()) == []


def test_why_spark_does_not_start_is_one_sentence(tmp_path: Path, needs_spark: None) -> None:
    done = python(
        """
        from pathlib import Path
        from odibi.engines.database import Database
        from odibi.engines.spark import Spark
        from odibi.errors import Permanent

        with Database(Path("home/tmp/run")) as db:
            for _ in range(2):
                try:
                    Spark(db).session()
                except Permanent as error:
                    print(error)
        """,
        tmp_path,
        PYSPARK_SUBMIT_ARGS="--master nowhere pyspark-shell",
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert all(line.startswith("Spark could not be started: ") for line in done.stdout.splitlines())
    assert "Master must" in done.stdout
    assert list((tmp_path / "home/tmp").iterdir()) == []


# --- what it needs ---------------------------------------------------------------------------------


def fake_java(folder: Path, version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n", "utf-8")
    (folder / "java").chmod(0o755)


def test_java_17_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(Permanent, match=r"Spark needs Java 17 or newer, and there is none \(install it"):
        refuse_java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    with pytest.raises(Permanent, match=r"there is none in JAVA_HOME="):
        refuse_java()
    for version, told in (("1.8.0_402", "is version 8"), ("11.0.2", "is version 11")):
        fake_java(tmp_path / "jdk/bin", version)
        with pytest.raises(Permanent, match=told):
            refuse_java()
    for version in ("17.0.15", "21-ea", "25"):
        fake_java(tmp_path / "jdk/bin", version)
        refuse_java()
    (tmp_path / "jdk/bin/java").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(Permanent, match="java does not run"):
        refuse_java()


def test_without_java_the_engine_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    done = python(
        """
        from pathlib import Path
        from odibi.engines import ENGINES
        from odibi.engines.database import Database

        try:
            with Database(Path("scratch")) as db:
                ENGINES.get("spark")(db)
        except Exception as error:
            print(type(error).__name__, error)
        """,
        tmp_path,
        JAVA_HOME=str(tmp_path / "none"),
    )
    assert done.stdout.startswith("Permanent Spark needs Java 17 or newer, and there is none in JAVA_HOME=")
    assert done.stderr == ""


def test_without_pyspark_the_engine_says_what_to_install(tmp_path: Path) -> None:
    done = python(
        """
        import sys

        class NotInstalled:
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] in ("pyspark", "py4j", "delta"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, NotInstalled())
        import odibi
        from odibi.engines import ENGINES
        from odibi.errors import MissingExtra

        ENGINES.get("duckdb")
        try:
            ENGINES.get("spark")
        except MissingExtra as error:
            print(error)
        """,
        tmp_path,
    )
    assert done.stdout == "pyspark (for engine 'spark') is not installed (pip install 'odibi[spark]')\n", (
        done.stderr
    )


REFUSED = """\
26/01/05 02:00:01 ERROR ExecutorPodsAllocator: Failed to create executor pod 1. Total failures: 1
io.fabric8.kubernetes.client.KubernetesClientException: Failure executing: POST at: https://10.0.0.1:443/api/v1/namespaces/etl/pods. Message: pods "far-x-exec-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1. Received status: Status(apiVersion=v1, code=403).
\tat io.fabric8.kubernetes.client.KubernetesClientException.copyAsCause(KubernetesClientException.java:238)
"""


def test_why_a_cluster_refuses_executors_is_found_in_the_log() -> None:
    said = 'an executor was refused: pods "far-x-exec-{}" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'
    assert refusal(REFUSED) == said.format(1)
    assert refusal(REFUSED + REFUSED.replace("exec-1", "exec-2")) == said.format(2)
    assert refusal("ERROR SparkContext: Error initializing SparkContext.") == ""
