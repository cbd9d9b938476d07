"""A project of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.run.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)
