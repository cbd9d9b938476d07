"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from odibi.errors import Permanent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A busy machine is no failure: no property is timed.
settings.register_profile("odibi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("odibi")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where the services must be there (CI), a skipped test is a failed one."""
    report = yield
    if os.environ.get("ODIBI_REQUIRE_SERVICES") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but ODIBI_REQUIRE_SERVICES is set: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the project's own .odibi, whatever the environment says."""
    monkeypatch.setenv("ODIBI_HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("ODIBI_STATE", "ODIBI_TARGET", "ODIBI_DEBUG"):
        monkeypatch.delenv(name, raising=False)


def pytest_configure(config: pytest.Config) -> None:
    """With ``-n``, tests of one group go to one worker. JVMs of tests end before they pay for more than C1."""
    quick = (
        "--driver-memory 1g --driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC' pyspark-shell"
    )
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", quick)
    if config.getoption("numprocesses", None) and config.getoption("dist") == "load":
        config.option.dist = "loadgroup"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need Spark are one group: a second JVM beside the first costs more than it gives."""
    for item in items:
        if "needs_spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("spark"))


@pytest.fixture(scope="session")
def needs_spark() -> None:
    """Skips the test, loudly, where Spark cannot be started."""
    pytest.importorskip("pyspark", reason="PYSPARK IS NOT INSTALLED: pip install 'odibi[spark]'")
    from odibi.engines.jars import delta_jars
    from odibi.engines.launch import refuse_java

    try:
        refuse_java()
        delta_jars()
    except Permanent as error:
        pytest.skip(f"SPARK CANNOT BE STARTED: {error}")


@pytest.fixture(scope="session")
def spark_session(needs_spark: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One session with Delta Lake for the whole suite, as somebody else has started it, with Spark's own settings."""
    from odibi.engines.launch import launched

    session, stop = launched(tmp_path_factory.mktemp("spark"), {})
    yield session
    stop()
