"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


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
