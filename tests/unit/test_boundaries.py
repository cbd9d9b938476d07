"""Crossings: counted by name, written down or deadly, and nothing at all where nobody asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from odibi.boundaries import VARIABLE, arm

CROSSINGS = """
from odibi.boundaries import cross
for table in ("/a/lake/silver/orders", "lake/silver/orders", "lake/gold/sums"):
    cross("before commit", table)
    cross("after commit", table)
cross("before removal of scratch")
"""


@pytest.mark.parametrize(
    ("how", "code", "names"),
    [
        ("", 0, None),
        ("list names", 0, 7),
        ("kill before commit: lake/silver/orders #2", -signal.SIGKILL, None),
        ("kill 7", -signal.SIGKILL, None),
        ("kill 8", 0, None),
        ("kill before commit: lake/silver/orders #3", 0, None),
    ],
)
def test_an_armed_process(how: str, code: int, names: int | None, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])} | ({VARIABLE: how} if how else {})
    done = subprocess.run([sys.executable, "-c", CROSSINGS], cwd=tmp_path, env=environ, check=False)
    assert done.returncode == code
    if names is not None:
        lines = (tmp_path / "names").read_text().splitlines()
        assert len(lines) == names
        assert lines[2] == "before commit: lake/silver/orders #2"
        assert lines[-1] == "before removal of scratch #1"


def test_a_word_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        arm("explode")
