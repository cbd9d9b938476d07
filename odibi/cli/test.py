"""``odibi test``: the tests of steps, and ``odibi test data``: checks held against what the tables hold now."""

from __future__ import annotations

from collections.abc import Sequence

from odibi.cli.config import load_config
from odibi.cli.exits import Exit, UsageError
from odibi.cli.terminal import say, say_json, table
from odibi.home import Home

__all__ = ["test"]


def test(
    *, what: Sequence[str] | None, select: Sequence[str] | None, target: str | None, param: Sequence[str] | None,
    engine: str | None, create: str | None, rows: int, write: bool, output: str,
) -> int:  # fmt: skip
    """Run tests, write one, or hold checks against tables; the code is 1 where something is not as it must be."""
    places = tuple(what or ())
    data = places[:1] == ("data",)
    places = places[1:] if data else places
    if len(places) > 1:
        raise UsageError(f"odibi test: expected one config, found {' '.join(places)}")
    config = places[0] if places else None
    if write and create is None:
        raise UsageError("--write belongs to --create STEP")
    if data and (create is not None or engine is not None):
        raise UsageError("odibi test data has no --create and no --engine")
    if create is not None:
        from odibi.cli.createtest import create_test

        return create_test(
            config=config, step=create, rows=rows, write=write, target=target, param=param, engine=engine
        )
    if not data:
        from odibi.cli.steptests import test_steps

        return test_steps(
            config=config, chosen=select or (), target=target, param=param, engine=engine, output=output
        )
    return _test_data(config, select or (), target, param, output)


def _test_data(
    config: str | None, select: Sequence[str], target: str | None, param: Sequence[str] | None, output: str
) -> int:
    """Print what came of each rule; the code is 1 where one is broken that must not be."""
    loaded = load_config(config, target=target, param=param)
    from odibi.engines.database import Database
    from odibi.observe import observe
    from odibi.run.checked import check_standing

    with Database(Home.find().scratch(loaded.run_id)) as db:
        observation = observe(loaded, db)
        found = tuple(check_standing(loaded, observation, db, select))
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
