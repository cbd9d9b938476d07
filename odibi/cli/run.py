"""``odibi run``: run a pipeline and tell how it goes."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from odibi.cli.config import load_config
from odibi.cli.exits import Exit
from odibi.cli.progress import Reporter, reporter
from odibi.cli.runs import not_found
from odibi.cli.terminal import close_streams
from odibi.orchestrator import CANCEL, Result
from odibi.orchestrator import run as start
from odibi.record.model import RunStatus
from odibi.unchanged import Request

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["code_of", "execute", "run"]


def run(
    *, config: str | None, given: Mapping[str, Any], select: Sequence[str] | None, exclude: Sequence[str] | None,
    parallel: int | None, fail_fast: bool, full_refresh: bool, no_cache: bool, resume: bool, output: str,
    quiet: bool, log_format: str | None = None, request: Request | None = None,
) -> int:  # fmt: skip
    """Run the pipeline."""
    return execute(
        load_config(config, **given),
        chosen=select or (),
        excluded=exclude or (),
        workers=parallel,
        fail_fast=fail_fast or None,
        full_refresh=full_refresh,
        no_cache=no_cache,
        resume=resume,
        log_format=log_format,
        request=request,
        output=output,
        quiet=quiet,
    )


def execute(loaded: Loaded, *, output: str, quiet: bool, **asked: Any) -> int:
    """Run a pipeline and tell how it goes; ``asked`` is for :func:`odibi.orchestrator.run`.

    Does not return where a thread of it cannot be stopped: the process ends here.
    """
    report: Reporter
    with not_found(), reporter(loaded, output=output, quiet=quiet) as report:
        result = start(loaded, planned=report.planned, listener=report.changed, **asked)
    code = code_of(result)
    report.ended(result, code)
    if result.stuck:
        # A function that does not return holds a thread: waiting for it would be waiting for ever.
        close_streams()
        os._exit(code)
    return code


def code_of(result: Result) -> int:
    """The exit code of a run."""
    if result.stopped == CANCEL:
        return 128 + signal.SIGTERM
    if result.stopped in signal.Signals.__members__:
        return 128 + signal.Signals[result.stopped]
    if result.run.status is RunStatus.TIMEOUT:
        return Exit.TIMEOUT
    return Exit.SUCCESS if result.success else Exit.FAILED
