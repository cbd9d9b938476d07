"""``odibi run`` as it starts: where nothing has changed since the last run, that is all there is to tell.

Everything else is imported when there is something to do, because importing it takes longer than looking.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from odibi import __version__
from odibi.cli.terminal import ClosedPipe, paint, say
from odibi.home import Home
from odibi.unchanged import Repeated, Request, repeat

__all__ = ["start"]

ANEW = ("full_refresh", "no_cache", "resume")
"""Options that ask for more than what has changed."""


def start(
    *, config: str | None, given: Mapping[str, Any], select: Sequence[str] | None, exclude: Sequence[str] | None,
    output: str, quiet: bool, **more: Any,
) -> int:  # fmt: skip
    """Repeat the last run where nothing has changed, else plan and run the pipeline."""
    request = None
    logs = more.get("log_format") or os.environ.get("ODIBI_LOG_FORMAT")
    if config is not None and not logs and not any(more.get(name) for name in ANEW):
        request = Request(
            odibi=__version__,
            config=config,
            target=given.get("target"),
            date=given.get("date"),
            params=tuple(given.get("param") or ()),
            engine=given.get("engine"),
            select=tuple(select or ()),
            exclude=tuple(exclude or ()),
        )
        if output == "text" and Path(config).is_file() and (done := repeat(request, Home.find())) is not None:
            if not quiet:
                with suppress(ClosedPipe, OSError):  # the run is done, whoever listens
                    _tell(done)
            return 0
    from odibi.cli.run import run

    return run(
        config=config, given=given, select=select, exclude=exclude, output=output, quiet=quiet, request=request,
        **more,
    )  # fmt: skip


def _tell(done: Repeated) -> None:
    say(done.started)
    width = max((len(name) for name, _ in done.lines), default=0)
    for name, reason in done.lines:
        say(f"{paint('reused   ', 'cyan')}  {name:{width}}  {reason}")
    say(paint(done.sentence, "green"))
    if done.story is not None:
        say(f"Story: {done.story}")
