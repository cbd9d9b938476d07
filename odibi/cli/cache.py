"""``odibi cache``: results that no table keeps, and how to forget them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from odibi.cli.checkpoints import shown
from odibi.cli.config import load_config, of_last_run
from odibi.cli.exits import Exit, NotFound
from odibi.cli.status import since
from odibi.cli.terminal import say, say_json, table
from odibi.errors import nearest
from odibi.home import Home

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["clear", "list_"]


def _loaded(config: str | None, target: str | None) -> Loaded:
    config, target = of_last_run(config, target)
    return load_config(config, target=target)


def list_(*, config: str | None, target: str | None, output: str) -> int:
    """Print a line for each result."""
    from odibi.run.earlier import cache_of

    entries = cache_of(_loaded(config, target), Home.find()).entries()
    found = [
        {
            "step": entry.step,
            "run_id": entry.kept.run_id if entry.kept else None,
            "rows": next((held.rows for held in entry.kept.datasets.values()), None) if entry.kept else None,
            "age_seconds": round(max(time.time() - entry.changed, 0), 1),
            "bytes": entry.size,
            "folder": entry.folder,
        }
        for entry in entries
    ]
    if output == "json":
        say_json(found)
    elif not found:
        say("The cache is empty")
    else:
        rows = [
            (
                str(one["step"]),
                str(one["run_id"] or "damaged")[:8],
                "" if one["rows"] is None else f"{one['rows']:,}",
                since(float(str(one["age_seconds"]))),
                shown(entry.size),
            )
            for one, entry in zip(found, entries, strict=True)
        ]
        say(table(("Step", "Run", "Rows", "Age", "Size"), rows, right=("Rows", "Age", "Size")))
    return Exit.SUCCESS


def clear(*, config: str | None, step: str | None, target: str | None) -> int:
    """Remove the results of a step, or all of the pipeline."""
    from odibi.run.earlier import cache_of

    loaded = _loaded(config, target)
    names = [one.name for one in loaded.pipeline.steps]
    if step is not None and step not in names:
        raise NotFound(f"{loaded.pipeline.pipeline} has no step {step!r}", hint=nearest(step, names, "steps"))
    number = cache_of(loaded, Home.find()).clear(step)
    say(f"Removed {number} result{'s' * (number != 1)}")
    if step is not None and not number:
        say(
            f"What {step} wrote to tables counts as long as it stands: odibi run --select {step} --no-cache runs it."
        )
    return Exit.SUCCESS
