"""``odibi test data``: the checks of a pipeline held against what its tables hold now."""

from __future__ import annotations

from collections.abc import Sequence

from odibi.cli.config import load_config
from odibi.cli.exits import Exit, UsageError
from odibi.cli.terminal import say, say_json, table
from odibi.home import Home

__all__ = ["test"]


def test(*, what: Sequence[str] | None, select: Sequence[str] | None, target: str | None, output: str) -> int:
    """Print what came of each rule; the code is 1 where one is broken that must not be."""
    kind, *rest = what or ("",)
    if kind != "data" or len(rest) > 1:
        raise UsageError(f"odibi test: expected data and a config, found {' '.join(what or ()) or 'nothing'}")
    loaded = load_config(rest[0] if rest else None, target=target)
    from odibi.engines.database import Database
    from odibi.observe import observe
    from odibi.run.checked import check_standing

    with Database(Home.find().scratch(loaded.run_id)) as db:
        observation = observe(loaded, db)
        found = tuple(check_standing(loaded, observation, db, select or ()))
    if output == "json":
        say_json(
            [
                {
                    "step": one.step,
                    "dataset": one.dataset,
                    "quality": one.quality.after if one.quality else None,
                    "checks": None
                    if one.records is None
                    else [record.model_dump(mode="json", exclude={"examples"}) for record in one.records],
                }
                for one in found
            ]
        )
    elif not found:
        say(f"{loaded.pipeline.pipeline} has no checks")
    else:
        rows = [
            (one.step, record.name, record.status, record.message)
            for one in found
            for record in one.records or ()
        ]
        rows += [(one.step, "", "unknown", "not written yet") for one in found if one.records is None]
        say(table(("Step", "Rule", "Status", "What was found"), rows))
        failed = sum(record.status == "failed" for one in found for record in one.records or ())
        total = sum(len(one.records or ()) for one in found)
        say()
        say(f"{total} rules, {failed} broken" if failed else f"{total} rules, none broken")
    return Exit.FAILED if any(one.failed for one in found) else Exit.SUCCESS
