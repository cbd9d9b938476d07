"""``odibi doctor``: is the machine fit, and is a pipeline fit for production."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from odibi.cli.config import load_config
from odibi.cli.exits import Exit
from odibi.cli.terminal import clean, paint, say, say_json
from odibi.doctor import Level, examine
from odibi.home import Home

if TYPE_CHECKING:
    from odibi.doctor import Finding

__all__ = ["doctor"]

_COLOURS = {Level.PASS: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def doctor(*, config: str | None, given: dict[str, Any], strict: bool, offline: bool, output: str) -> int:
    """Tell every finding; with ``strict`` a warning is as bad as a failure, and both fail the command."""
    loaded = load_config(config, **given) if config else None
    found = examine(loaded, Home.find(), offline=offline)
    counts = {level.value: sum(one.level is level for one in found) for level in Level}
    if output == "json":
        say_json({"counts": counts, "findings": [asdict(one) for one in found]})
    else:
        _print(found)
        say(f"{counts['pass']} passed, {counts['warn']} warnings, {counts['fail']} failed")
    return Exit.FAILED if strict and counts["warn"] + counts["fail"] else Exit.SUCCESS


def _print(found: Sequence[Finding]) -> None:
    for group, members in groupby(found, lambda one: one.group):
        say(paint(group, "bold"))
        for one in members:
            reason = f" {one.said}" if one.said else ""
            say(f"  {paint(one.level.value, _COLOURS[one.level])}  {one.id}: {one.question}{clean(reason)}")
            if one.level is not Level.PASS:
                place = f"{clean(one.where)}: " if one.where else ""
                say(f"        {place}{clean(one.fix)}")
        say()
