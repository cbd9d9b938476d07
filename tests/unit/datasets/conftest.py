from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.datasets.lake import Lake, lake


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Lake]:
    """A lake of one's own."""
    with lake(tmp_path) as found:
        yield found
