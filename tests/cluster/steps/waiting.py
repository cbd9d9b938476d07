"""Steps whose end a test decides about: it opens a gate when it has done what it wants to do meanwhile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 240.0
"""Seconds after which nobody will open the gate any more."""


def hold(raw: pd.DataFrame, *, gate: str) -> pd.DataFrame:
    """The rows as they are, once there is a file ``gate``; beside it says who waits for it."""
    Path(f"{gate}.waited-for").touch()
    print(f"waiting for {gate}", flush=True)
    until = time.monotonic() + LONGEST
    while not Path(gate).exists():
        if time.monotonic() > until:
            raise TimeoutError(f"nobody opened {gate}")
        time.sleep(0.05)
    return raw


def hog(raw: pd.DataFrame, *, mib: int) -> pd.DataFrame:
    """The rows as they are, after so much memory was held."""
    print(f"taking {mib} MiB", flush=True)
    held = [bytearray(b"x" * 2**20) for _ in range(mib)]
    return raw.head(len(raw) if held else 0)
