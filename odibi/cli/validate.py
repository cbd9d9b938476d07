"""``odibi validate``: every problem of every config, nothing changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from odibi.cli.config import find_config, parameters
from odibi.cli.exits import Exit, tell
from odibi.cli.terminal import say, say_json
from odibi.config.load import load_all
from odibi.orchestrator import validate as problems_of

if TYPE_CHECKING:
    from odibi.errors import Problem

__all__ = ["validate"]


def validate(
    *, configs: Sequence[str] | None, strict: bool, portable: bool, target: str | None, date: str | None,
    param: Sequence[str] | None, output: str,
) -> int:  # fmt: skip
    """Tell all problems; the exit code says whether there are errors."""
    files = list(configs or [find_config(None)])
    loaded, found = load_all(files, target=target, date=date, params=parameters(param))
    problems: set[Problem] = set(found)
    steps = {}
    for one in loaded:
        of_one, the_plan = problems_of(one, strict=strict, portable=portable)
        problems.update(of_one)
        steps[one.file] = len(one.pipeline.steps) if the_plan else 0
    ordered = sorted(problems)
    valid = not any(problem.level == "error" for problem in ordered)
    if output == "json":
        say_json({"valid": valid, "files": files, "problems": [asdict(problem) for problem in ordered]})
    else:
        tell(ordered)
        for file in files if valid else ():
            where = " on every engine" * portable
            say(f"{file} is valid{where}: {steps[file]} step{'s' * (steps[file] != 1)}")
    return Exit.SUCCESS if valid else Exit.INVALID
