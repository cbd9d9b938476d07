"""``odibi history``, ``rollback``, ``optimize`` and ``vacuum``: the care of a pipeline's Delta tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from odibi.cli.exits import Exit, NotFound, UsageError
from odibi.cli.lake import Lake, LakeTable, open_lake
from odibi.cli.terminal import say, say_json, table
from odibi.errors import Permanent, nearest

if TYPE_CHECKING:
    from odibi.datasets.delta import Table

__all__ = ["history", "optimize", "rollback", "vacuum"]


def history(*, name: str, config: str | None, target: str | None, output: str) -> int:
    """Print the versions of a table, newest first."""
    from odibi.datasets import upkeep

    with open_lake(config, target) as lake:
        _, opened = _written(lake, name)
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

    with open_lake(config, target) as lake:
        found, newest = _written(lake, name)
        if version >= newest.version:
            raise UsageError(
                f"{found.name} has versions 0 to {newest.version}, so it cannot be rolled back to {version}",
                hint=f"odibi history {name} lists them",
            )
        try:
            made = upkeep.rollback(found.url, version)
        except upkeep.Gone as error:
            raise UsageError(error.message, hint=error.hint) from error
    say(f"{found.name}: version {made} is what version {version} was")
    return Exit.SUCCESS


def optimize(
    *, names: Sequence[str], z_order: Sequence[str], config: str | None, target: str | None, output: str
) -> int:
    """Compact tables."""
    from odibi.datasets import upkeep

    with open_lake(config, target) as lake:
        chosen = _chosen(lake, names)
        for _, opened in chosen:  # all of them before any is touched
            try:
                upkeep.columns_to_sort(opened, z_order)
            except Permanent as error:
                others = "" if names else "; name the tables to sort, if not all have it"
                raise UsageError(error.message, hint=error.hint + others) from error
        done = {one.name: dict(upkeep.optimize(one.url, z_order)) for one, _ in chosen}
    if output == "json":
        say_json(done)
        return Exit.SUCCESS
    _say_if_none(lake, done)
    for name, what in done.items():
        before, after = what.get("numFilesRemoved", 0), what.get("numFilesAdded", 0)
        say(f"{name}: {before} files are {after} now" if before else f"{name}: nothing to do")
    return Exit.SUCCESS


def vacuum(
    *, names: Sequence[str], hours: int | None, force: bool, dry_run: bool, config: str | None, target: str | None, output: str
) -> int:  # fmt: skip
    """Delete files that no recent version needs."""
    from odibi.datasets import upkeep
    from odibi.datasets.staging import noted
    from odibi.home import Home

    if hours is not None and hours < upkeep.SAFE_HOURS and not force and not dry_run:
        raise UsageError(
            f"files younger than {upkeep.SAFE_HOURS} hours may belong to a run that is writing now",
            hint="give --force if none is",
        )
    with open_lake(config, target) as lake:
        spared = noted(Home.find().intents)
        gone = {
            one.name: upkeep.vacuum(one.url, hours, dry_run=dry_run, spared=spared)
            for one, _ in _chosen(lake, names)
        }
    if output == "json":
        say_json(gone)
        return Exit.SUCCESS
    _say_if_none(lake, gone)
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
        raise UsageError(f"{found.name} is written as {found.format}, only Delta tables have versions")
    return found


def _written(lake: Lake, name: str) -> tuple[LakeTable, Table]:
    """The Delta table that ``name`` means, as it is now."""
    from odibi.datasets.delta import open_table

    found = _found(lake, name)
    opened = open_table(found.url)
    if opened is None:
        raise NotFound(f"{found.name} has not been written yet: there is no table at {found.url}")
    return found, opened


def _chosen(lake: Lake, names: Sequence[str]) -> list[tuple[LakeTable, Table]]:
    """The tables of those names; every Delta table that has been written if there are none."""
    from odibi.datasets.delta import open_table

    if names:
        return [_written(lake, name) for name in names]
    opened = [(one, open_table(one.url)) for one in lake.tables if one.format == "delta"]
    return [(one, table) for one, table in opened if table is not None]


def _say_if_none(lake: Lake, done: Mapping[str, object]) -> None:
    if not done:
        say(f"none of the Delta tables that {lake.loaded.file} writes has been written yet")


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
