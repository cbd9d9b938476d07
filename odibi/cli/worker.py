"""``odibi worker``: what the pods of a cluster run."""

from __future__ import annotations

import os

from odibi.cli.progress import reporter
from odibi.cli.run import code_of
from odibi.cli.terminal import close_streams

__all__ = ["worker"]


def worker(*, task: str) -> int:
    """Do the steps of a task, and leave the result beside it."""
    from odibi.kubernetes.worker import work

    code, stuck = work(task, code_of, lambda loaded: reporter(loaded, output="text", quiet=False))
    if stuck:
        close_streams()
        os._exit(code)
    return code
