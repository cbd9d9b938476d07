"""The command line: thin commands over the verbs of :mod:`odibi.orchestrator`.

``app`` says what can be typed, one module per command does it, ``terminal`` prints, ``exits`` turns
errors into messages and exit codes. Importing any of them imports no engine.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command of ``sys.argv`` and end the process with its exit code (docs/cli.md)."""
    from odibi.cli.app import app
    from odibi.cli.terminal import close_streams, open_streams

    # Records and plans have no cycles: looking through them all again and again costs a run of 1,000 steps 5 %.
    gc.set_threshold(50_000, 20, 100)
    open_streams()
    code: int | str | None = 0
    try:
        app(prog_name="odibi")
    except SystemExit as end:
        code = end.code
    close_streams()
    if isinstance(code, int) and code > 2:
        # Something was left open half-way; DuckDB would report every piece of it on stderr.
        os._exit(code)
    sys.exit(code)
