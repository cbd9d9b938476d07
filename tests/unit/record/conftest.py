from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odibi.record import RunStore, open_store
from tests.services import postgres, postgres_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for a run store; every test that asks for it runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'state.db'}"
    return postgres_schema(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(url: str) -> Iterator[RunStore]:
    with open_store(url) as store:
        yield store
