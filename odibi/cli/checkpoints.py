"""``odibi checkpoints``: how far runs have come, and what of it can be resumed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from odibi.cli.config import load_config, of_last_run
from odibi.cli.exits import Exit, NotFound
from odibi.cli.status import since
from odibi.cli.terminal import say, say_json, table
from odibi.errors import nearest
from odibi.home import Home

if TYPE_CHECKING:
    from odibi.record.checkpoints import Checkpoints, Manifest

__all__ = ["clear", "list_", "show"]


def _place(config: str | None, target: str | None) -> Checkpoints:
    from odibi.run.earlier import checkpoints_of

    config, target = of_last_run(config, target)
    return checkpoints_of(load_config(config, target=target), Home.find())


def list_(*, config: str | None, target: str | None, output: str) -> int:
    """Print a line for each checkpoint."""
    found = _place(config, target).manifests()
    if output == "json":
        say_json([_fields(one) for one in found])
    elif not found:
        say("No checkpoints found")
    else:
        rows = [
            (
                one.run_id[:8],
                one.checkpoint.reason if one.checkpoint else "",
                one.checkpoint.status if one.checkpoint else "damaged",
                one.checkpoint.logical_date if one.checkpoint else "",
                str(len(one.checkpoint.completed)) if one.checkpoint else "",
                since(max(time.time() - one.changed, 0)),
                shown(one.size),
            )
            for one in found
        ]
        headers = ("Run", "Layer", "Status", "Date", "Completed", "Age", "Size")
        say(table(headers, rows, right=("Completed", "Age", "Size")))
    return Exit.SUCCESS


def shown(size: int) -> str:
    """Bytes for people."""
    from odibi.plan.engines import shown as for_people

    return for_people(size)


def _fields(one: Manifest) -> dict[str, object]:
    found = one.checkpoint
    return {
        "run_id": one.run_id,
        "file": one.path,
        "bytes": one.size,
        "age_seconds": round(max(time.time() - one.changed, 0), 1),
        "status": "damaged" if found is None else found.status,
        "layer": None if found is None else found.reason,
        "date": None if found is None else found.logical_date,
        "target": None if found is None else found.target,
        "completed": [] if found is None else list(found.completed),
    }


def show(*, run: str | None, config: str | None, target: str | None, output: str) -> int:
    """Print what the last readable checkpoint of a run says."""
    place = _place(config, target)
    found = next((one.checkpoint for one in _of(place, run) if one.checkpoint is not None), None)
    if found is None:
        raise NotFound(f"there is no checkpoint that can be read in {place.folder}")
    if output == "json":
        say_json(found.model_dump(mode="json"))
        return Exit.SUCCESS
    say(f"Run: {found.run_id} of {found.pipeline} for {found.logical_date}, target {found.target}")
    say(f"Checkpoint: {found.number}, {found.reason}, {found.status}, {found.at:%Y-%m-%d %H:%M:%S} UTC")
    if found.resumed_from:
        say(f"Resumed from: {found.resumed_from}")
    say()
    kept = {one.step: one for one in found.kept}
    rows = []
    for status in ("completed", "failed", "pending", "skipped"):
        for name in getattr(found, status):
            attempts = found.attempts.get(name, 0)
            where = [
                f"{spot.url}@{spot.version}" if spot.version is not None else spot.url
                for held in (kept[name].datasets.values() if name in kept else ())
                for spot in held.spots
            ]
            told = found.errors.get(name) or ", ".join(where)
            rows.append((name, status, str(attempts) if attempts else "", told))
    say(table(("Step", "Status", "Attempts", "Result"), rows, right=("Attempts",)))
    return Exit.SUCCESS


def clear(*, run: str | None, config: str | None, target: str | None) -> int:
    """Remove the checkpoints of a run, or all of the pipeline."""
    place = _place(config, target)
    number = place.clear(_of(place, run)[0].run_id if run else None)
    say(f"Removed {number} checkpoint{'s' * (number != 1)}")
    return Exit.SUCCESS


def _of(place: Checkpoints, run: str | None) -> list[Manifest]:
    """The checkpoints of the run that is meant, newest first; of the newest run if none is named."""
    manifests = place.manifests()
    names = list(dict.fromkeys(one.run_id for one in manifests))
    meant = [name for name in names if name.startswith(run)] if run else names[:1]
    if len(meant) != 1:
        found = (
            f"more than one run begins with {run!r}" if meant else f"there is no checkpoint of run {run!r}"
        )
        message = found if run else f"there are no checkpoints in {place.folder}"
        raise NotFound(
            message, hint=nearest(run or "", [name[:8] for name in names], "runs with checkpoints")
        )
    return [one for one in manifests if one.run_id == meant[0]]
