"""``odibi history``, ``rollback``, ``optimize`` and ``vacuum``: the care of a pipeline's Delta tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from odibi.cli.exits import Exit, NotFound, UsageError
from odibi.cli.lake import Lake, LakeTable, open_lake
from odibi.cli.terminal import say, say_json, table
from odibi.errors import Permanent, nearest

__all__ = ["history", "optimize", "rollback", "vacuum"]

SAFE_HOURS = 168
"""How old a file that no version names must be before it can be no running writer's."""


def history(*, name: str, config: str | None, target: str | None, output: str) -> int:
    """Print the versions of a table, newest first."""
    from odibi.datasets import upkeep
    from odibi.datasets.delta import open_table

    with open_lake(config, target) as lake:
        found = _found(lake, name)
        opened = open_table(found.url)
        if opened is None:
            raise NotFound(f"{found.url} has not been written yet")
        entries = upkeep.history(opened)
    if output == "json":
        say_json(entries)
        return Exit.SUCCESS
    rows = [
        (
            str(entry["version"]),
            _time(entry["timestamp"]),
            str(entry["operation"] or "").lower(),
            str(entry["note"].get("rows", "")),
            str(entry["note"].get("logical_date", "")),
            str(entry["note"].get("run", ""))[:8],
        )
        for entry in entries
    ]
    say(table(("version", "written", "operation", "rows", "date", "run"), rows, right=("version", "rows")))
    return Exit.SUCCESS


def rollback(*, name: str, version: int, config: str | None, target: str | None) -> int:
    """Make a table what it was at a version."""
    from odibi.datasets import upkeep
    from odibi.datasets.delta import last_commit

    with open_lake(config, target) as lake:
        found = _found(lake, name)
        newest = last_commit(found.url)
        if newest is None or version >= newest.version:
            raise UsageError(
                f"{found.name} has {f'versions 0 to {newest.version}' if newest else 'not been written yet'}, "
                f"so it cannot be rolled back to {version}",
                hint=f"odibi history {name} lists them",
            )
        made = upkeep.rollback(found.url, version)
    say(f"{found.name}: version {made} is what version {version} was")
    return Exit.SUCCESS


def optimize(
    *, names: Sequence[str], z_order: Sequence[str], config: str | None, target: str | None, output: str
) -> int:
    """Compact tables."""
    from odibi.datasets import upkeep

    with open_lake(config, target) as lake:
        done = {one.name: dict(upkeep.optimize(one.url, z_order)) for one in _chosen(lake, names)}
    if output == "json":
        say_json(done)
        return Exit.SUCCESS
    for name, what in done.items():
        before, after = what.get("numFilesRemoved", 0), what.get("numFilesAdded", 0)
        say(f"{name}: {before} files are {after} now" if before else f"{name}: nothing to do")
    return Exit.SUCCESS


def vacuum(
    *, names: Sequence[str], hours: int | None, force: bool, dry_run: bool, config: str | None, target: str | None, output: str
) -> int:  # fmt: skip
    """Delete files that no recent version needs."""
    from odibi.datasets import upkeep

    if hours is not None and hours < SAFE_HOURS and not force and not dry_run:
        raise UsageError(
            f"files younger than {SAFE_HOURS} hours may belong to a run that is writing now",
            hint="give --force if none is",
        )
    with open_lake(config, target) as lake:
        gone = {one.name: upkeep.vacuum(one.url, hours, dry_run=dry_run) for one in _chosen(lake, names)}
    if output == "json":
        say_json(gone)
        return Exit.SUCCESS
    for name, files in gone.items():
        say(f"{name}: {len(files)} files {'would be' if dry_run else 'were'} deleted")
    return Exit.SUCCESS


def _found(lake: Lake, name: str) -> LakeTable:
    """The Delta table that ``name`` means."""
    found = next((one for one in lake.tables if one.answers_to(name)), None)
    if found is None:
        known = [one.name for one in lake.tables]
        message = f"{lake.loaded.file} writes no table {name!r}"
        raise NotFound(message, hint=nearest(name.replace(".", "/").rpartition("/")[2], known, "its tables"))
    if found.format != "delta":
        raise Permanent(f"{found.name} is written as {found.format}, only Delta tables have versions")
    return found


def _chosen(lake: Lake, names: Sequence[str]) -> list[LakeTable]:
    """The tables of those names; every Delta table that has been written if there are none."""
    from odibi.datasets.delta import last_commit

    if names:
        return [_found(lake, name) for name in names]
    return [one for one in lake.tables if one.format == "delta" and last_commit(one.url) is not None]


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
