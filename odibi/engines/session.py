"""The SparkSession that the engines of this process share.

One that is there already (given, or active) is reused: it is set up for parity, put back as it was
afterwards, and never stopped. Otherwise one is created, and ended after its last user.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.boundaries import cross
from odibi.engines.launch import launched, refuse_java
from odibi.errors import Permanent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["PINNED", "acquire", "is_connect", "ready", "release", "session_folder", "use_session"]

PINNED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.mapKeyDedupPolicy": "EXCEPTION",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # It makes invalid plans of unions of what one table gives twice, as scd2 does (Spark 4.2).
    "spark.sql.optimizer.excludedRules": "org.apache.spark.sql.catalyst.optimizer.RemoveRedundantAliases",
    # SQL is read as it stands: nothing in quotes is a variable, a pattern or a name.
    "spark.sql.variable.substitute": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.parser.quotedRegexColumnNames": "false",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.ansi.enforceReservedKeywords": "false",
    # Files are read to the last row, and written as all readers know them.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.writeLegacyFormat": "false",
    "spark.sql.parquet.binaryAsString": "false",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    # Users' functions get Arrow's types, or an error.
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.pyspark.fallback.enabled": "false",
}
"""Settings on which the meaning of a query or of a file depends."""


@dataclass
class _Open:
    """The session in use, how many engines use it, and what is done after the last one."""

    session: SparkSession
    users: int
    end: Callable[[], None]


_lock = threading.RLock()
_given: SparkSession | None = None
_open: _Open | None = None


def use_session(session: SparkSession | None) -> None:
    """Let the runs of this process compute in that session; None takes it back.

    For sessions that odibi does not find by itself: one of several, or one of Spark Connect. It is
    never stopped::

        from odibi.engines.session import use_session

        use_session(spark)
    """
    global _given  # noqa: PLW0603 - one session per process is Spark's own rule
    with _lock:
        _given = session


def session_folder(scratch: Path) -> Path:
    """What a session that the run of this scratch folder creates spills to: it may outlive that run."""
    return scratch.with_name(f"spark-{scratch.name}")


def is_connect(session: SparkSession) -> bool:
    """Whether the session is a client of a Spark Connect server rather than in a JVM beside us."""
    return type(session).__module__.startswith("pyspark.sql.connect")


def ready() -> None:
    """Check what a session needs, without starting one.

    Raises:
        Permanent: there is no session, and no Java to start one with.
    """
    with _lock:
        if _open is None and _found() is None and not _from_outside():
            refuse_java()


def acquire(scratch: Path, stores: Collection[str] = ()) -> SparkSession:
    """The session, found or created; :func:`release` it after use.

    Args:
        scratch: a folder of the run; what a created session spills goes beside it.
        stores: schemes of URLs at which a created session shall read and write.

    Raises:
        Permanent: none can be created, or the one there is cannot be set up.
    """
    global _open  # noqa: PLW0603
    with _lock:
        if _open is None:
            # pyspark says so at its first call, whether anybody uses pandas with it or not.
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
            _quiet()
            found = _found()
            _hush(quiet=True)
            _open = _created(scratch, stores) if found is None else _Open(found, 0, _pinned(found))
        _open.users += 1
        return _open.session


def _quiet() -> None:
    """Errors are raised and told in one sentence: nobody needs them on stderr as JSON as well."""
    from pyspark.logger import PySparkLogger

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)


def release() -> None:
    """Let go of the session: after its last user it is as it was before the first, or gone."""
    global _open
    with _lock:
        if _open is None:
            return
        _open.users -= 1
        if _open.users == 0:
            left, _open = _open, None
            left.end()
            _hush(quiet=False)


def _hush(*, quiet: bool) -> None:
    """Whether pyspark prints each error of a query as JSON, before anybody can handle it."""
    from pyspark.logger import PySparkLogger

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = quiet


def _found() -> SparkSession | None:
    """The session that was given, else the active one, in whatever thread that is."""
    if _given is not None:
        return _given
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    try:
        return SparkSession.active()
    except PySparkException:
        return None


def _from_outside() -> bool:
    """Whether the environment names the session: that of a server, or of the spark-submit above us."""
    return bool(os.environ.get("SPARK_REMOTE") or os.environ.get("PYSPARK_GATEWAY_PORT"))


def _created(scratch: Path, stores: Collection[str]) -> _Open:
    if _from_outside():
        from pyspark.sql import SparkSession

        session = SparkSession.builder.appName("odibi").getOrCreate()
        _pinned(session)
        return _Open(session, 0, session.stop)
    folder = session_folder(scratch.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    cross("before start of Spark")
    try:
        session, stop = launched(folder, PINNED, stores)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise

    cross("after start of Spark")

    def end() -> None:
        cross("before end of Spark")
        stop()
        cross("after end of Spark")
        shutil.rmtree(folder, ignore_errors=True)

    return _Open(session, 0, end)


def _pinned(session: SparkSession) -> Callable[[], None]:
    """Set what differs; what puts it back."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    before: dict[str, str | None] = {}

    def put_back() -> None:
        for name, value in before.items():
            with suppress(PySparkException, Py4JError):  # its owner may have stopped it meanwhile
                session.conf.unset(name) if value is None else session.conf.set(name, value)

    for name, value in PINNED.items():
        has = session.conf.get(name, None)
        if has is not None and has.lower() == value.lower():
            continue
        try:
            session.conf.set(name, value)
        except PySparkException as error:
            put_back()
            raise Permanent(
                f"the Spark session has {name}={has} and does not let it be set to {value}, "
                "without which it gives other answers",
                hint="start the session with that setting",
            ) from error
        before[name] = has
    return put_back
