"""A SparkSession of odibi's own, in a JVM of its own: quiet, in one folder, ended with nothing left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.engines.jars import connector_jars, delta_jars, spark_home
from odibi.errors import Permanent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["launched", "refusal", "refuse_java"]

DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"

PATIENCE = 20.0
"""Seconds that a JVM gets to end by itself."""


def launched(
    folder: Path, settings: Mapping[str, str], stores: Collection[str] = ()
) -> tuple[SparkSession, Callable[[], None]]:
    """A new session that knows Delta Lake, and what ends it together with its JVM.

    The master and whatever else the environment or ``spark-defaults.conf`` says is left as it is.

    Args:
        folder: an empty folder for all the session writes besides tables.
        settings: what it must be set to.
        stores: schemes of URLs at which it shall read and write.

    Raises:
        Permanent: there is no Java, no connector for a store, no Delta Lake, or Spark does not start.
    """
    refuse_java()
    interrupted = signal.getsignal(signal.SIGINT)
    gateway = _jvm(folder, stores)
    end = partial(_end, gateway, _exchanged(None, None))
    try:
        session = _session(gateway, folder, settings)
    except BaseException:
        end()
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupted)  # pyspark has put its own in its place
    return session, partial(_stop, session, end)


LOG = "spark.log"
"""What the JVM prints, in the folder of its session."""


def refuse_java() -> None:
    """Raise Permanent where there is no Java, or too old a one for Spark."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    hint = "install it (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME to one"
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        where = f" in JAVA_HOME={home}" if home else ""
        raise Permanent(f"Spark needs Java 17 or newer, and there is none{where}", hint=hint) from error
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    if found is None or int(found[1]) < 17:
        has = f"is version {found[1]}" if found else "does not run"
        raise Permanent(f"Spark needs Java 17 or newer, and {java} {has}", hint=hint)


def _jvm(folder: Path, stores: Collection[str]) -> Any:
    """The gateway to a new JVM whose output is a file: it says much that is of no use on a terminal."""
    from pyspark import SparkConf
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway

    conf = SparkConf(loadDefaults=False)
    if jars := [*_configured_jars(), *map(str, (*delta_jars(), *connector_jars(stores)))]:
        conf.set("spark.jars", ",".join(jars))
    log = folder / LOG
    try:
        with log.open("wb") as output:
            # The run's note of what it stages is inheritable: it stays locked until the JVM writes no more.
            with_output = {"stdout": output, "stderr": output, "close_fds": False}
            return launch_gateway(conf, with_output)  # type: ignore[no-untyped-call]
    except (PySparkException, OSError) as error:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line[:1].strip()]
        raise _failed(lines[-1] if lines else str(error)) from error


def _configured_jars() -> list[str]:
    """The jars that spark-defaults.conf names, whose place a setting of ours would take."""
    file = Path(os.environ.get("SPARK_CONF_DIR") or spark_home() / "conf", "spark-defaults.conf")
    text = file.read_text("utf-8") if file.is_file() else ""
    found = re.search(r"^\s*spark\.jars[\s=:]+(.*?)\s*$", text, re.MULTILINE)
    return [jar.strip() for jar in found[1].split(",") if jar.strip()] if found else []


def _session(gateway: Any, folder: Path, settings: Mapping[str, str]) -> SparkSession:
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    conf = SparkConf(_jvm=gateway.jvm)  # with what the environment and spark-defaults.conf say
    local = conf.get("spark.master", "").startswith("local")
    if local:  # workers elsewhere have a Python of their own
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for name, value in _defaults(folder, local=local).items():
        conf.setIfMissing(name, value)
    for name, value in settings.items():
        conf.set(name, value)
    extensions = [name for name in conf.get("spark.sql.extensions", "").split(",") if name]
    if DELTA_EXTENSION not in extensions:
        conf.set("spark.sql.extensions", ",".join([*extensions, DELTA_EXTENSION]))
    try:
        return SparkSession(SparkContext(conf=conf, gateway=gateway))
    except Py4JError as error:
        said = re.search(r"^: (.*)$", str(error), re.MULTILINE)
        why = refusal((folder / LOG).read_text("utf-8", "replace"))
        raise _failed(why or (said[1] if said else str(error))) from error


def refusal(log: str) -> str:
    """Why a cluster has refused the last executor that Spark wanted, by what Spark says of that; empty if it has not."""
    found = re.findall(r"Failure executing: POST at: \S+/pods\. Message: (.+?)\. Received status: ", log)
    return f"an executor was refused: {found[-1]}" if found else ""


def _failed(said: str) -> Permanent:
    return Permanent(f"Spark could not be started: {said}")


def _defaults(folder: Path, *, local: bool) -> dict[str, str]:
    """What the session is set to where nobody has set it."""
    settings = {
        "spark.app.name": "odibi",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
    if not local:
        return settings
    return {
        **settings,
        "spark.ui.enabled": "false",
        "spark.local.dir": str(folder),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        # Spark's own are made for clusters: shuffles of 200 tasks, Delta's log replayed in 50.
        "spark.sql.shuffle.partitions": str(os.cpu_count() or 1),
        "spark.databricks.delta.snapshotPartitions": "2",
    }


def _stop(session: SparkSession, end: Callable[[], None]) -> None:
    from py4j.protocol import Py4JError

    try:
        with warnings.catch_warnings(), suppress(Py4JError, OSError):  # the JVM may have died before
            warnings.simplefilter("ignore", RuntimeWarning)
            session.stop()
    finally:
        end()


def _end(gateway: Any, before: tuple[Any, Any]) -> None:
    """End the JVM and wait for it; the next session starts another."""
    from py4j.protocol import Py4JError

    _exchanged(*before)
    with suppress(Py4JError, OSError):
        gateway.shutdown()
    gateway.proc.stdin.close()  # which the JVM takes as its end
    try:
        gateway.proc.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()


def _exchanged(gateway: Any, jvm: Any) -> tuple[Any, Any]:
    """Give pyspark's one gateway of the process another value; the value it had.

    A process that once had a session keeps its JVM, which has no Delta Lake and folders that are gone.
    """
    from pyspark import SparkContext

    before = SparkContext._gateway, SparkContext._jvm  # noqa: SLF001 - there is no other way
    SparkContext._gateway, SparkContext._jvm = gateway, jvm  # noqa: SLF001
    return before
