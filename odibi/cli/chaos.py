"""``odibi chaos``: kill runs, run again, and certify that nothing is lost, doubled or redone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import odibi
from odibi.chaos.elsewhere import Elsewhere
from odibi.chaos.place import Asked, Unfit
from odibi.chaos.trials import Chaos, Trial
from odibi.chaos.trials import chaos as tried
from odibi.cli.config import find_config, parameters
from odibi.cli.exits import Exit, UsageError
from odibi.cli.terminal import paint, say, say_json
from odibi.config.load import load
from odibi.errors import nearest
from odibi.plan.runtime import HERE, may_leave
from odibi.run.remote import RUNTIMES
from odibi.story.text import count

__all__ = ["chaos"]

RANDOM = 30
"""Kills at random times where steps run elsewhere, if nobody says how many."""


def chaos(
    *, config: str | None, given: Mapping[str, Any], dates: Sequence[str], points: int | None, timed: int,
    at: str | None, seed: int, runtime: str, output: str,
) -> int:  # fmt: skip
    """Try the points, and print a certificate or the first one that failed and how to see it again."""
    file = find_config(config)
    asked = Asked(file, given["target"], parameters(given["param"]), given["engine"])
    elsewhere = _elsewhere(asked, runtime)
    if elsewhere is not None:  # there each kill costs a minute
        points, timed = points or 0, timed or (0 if points else RANDOM)
    text = output == "text"
    done: list[Trial] = []

    def told(trial: Trial) -> None:
        done.append(trial)
        if text and (trial.wrong or len(done) % 25 == 0):
            say(f"{len(done)} tried, {sum(each.killed for each in done)} killed")

    begun = partial(_begun, file) if text else lambda _: None
    try:
        result = tried(
            asked, dates=dates, points=points, timed_kills=timed, at=at, seed=seed, elsewhere=elsewhere,
            begun=begun, told=told,
        )  # fmt: skip
    except Unfit as error:
        raise UsageError(error.message, hint=error.hint) from error
    finally:
        if elsewhere is not None:
            elsewhere.close()
    again = _command(file, {**given, "runtime": runtime if elsewhere is not None else None}, seed, result)
    if text:
        _ended(file, result, seed, again)
    else:
        say_json(_as_data(file, result, seed, again))
    return Exit.SUCCESS if result.failed is None else Exit.FAILED


def _elsewhere(asked: Asked, runtime: str) -> Elsewhere | None:
    """The runtime whose parts are killed too; None for the one here. Raises UsageError where no step runs there."""
    if runtime == HERE:
        return None
    if runtime not in RUNTIMES:
        raise UsageError(f"unknown runtime {runtime!r}", hint=nearest(runtime, (HERE, *RUNTIMES), "runtimes"))
    pipeline = load(asked.config, target=asked.target, params=asked.params, engine=asked.engine).pipeline
    if pipeline.kubernetes is None or not may_leave(pipeline):
        raise UsageError(f"no step of {asked.config} runs on {runtime}", hint="give runtime and kubernetes")
    RUNTIMES.get(runtime)  # its extra may not be installed
    from odibi.kubernetes.victims import Victims

    spark = "spark" in (
        pipeline.engine,
        *pipeline.engines.values(),
        *(step.engine for step in pipeline.steps),
    )
    return Victims(pipeline.kubernetes, pipeline.pipeline, spark=spark)


def _begun(file: str, found: Chaos) -> None:
    days = " and ".join(found.dates)
    say(f"Chaos for {file} on {' and '.join(found.engines)}, dates {days}")
    say(f"undisturbed runs cross {count(found.crossings, 'point')} and leave {count(found.tables, 'table')}")
    for place in found.unlike:
        say(f"{place} is filled differently by two undisturbed runs: its rows are not compared")


def _ended(file: str, result: Chaos, seed: int, again: str) -> None:
    failed = result.failed
    say()
    if failed is not None:
        say(paint(f"FAILED at {failed.point}", "red"))
        for each in failed.wrong:
            say(f"  {each}")
        say(f"what is left of it: {failed.folder}")
        say(f"again: {again}")
        return
    kills = sum(trial.killed for trial in result.trials)
    missed = len(result.trials) - kills
    twice = sum(trial.twice for trial in result.trials)
    say(
        paint(f"{file}: {count(kills, 'kill')}, nothing lost, nothing doubled, nothing redone", "green")
        + (f" ({missed} more came too late or were not reached)" if missed else "")
    )
    if twice:
        say(f"{twice:>6}  times the next run was killed too, somewhere")
    for kind, number in result.kinds.items():
        say(f"{number:>6}  {kind}")
    say(
        f"odibi {odibi.__version__} on {' and '.join(result.engines)}, seed {seed}, {', '.join(result.dates)}, "
        f"{count(result.tables, 'table')} compared after each, {result.seconds:.0f} s"
    )


def _command(file: str, given: Mapping[str, Any], seed: int, result: Chaos) -> str:
    """What tries the point that failed again."""
    if result.failed is None:
        return ""
    words = ["odibi", "chaos", file, "--at", str(result.failed.point), "--seed", str(seed)]
    for date in result.dates:
        words += ["--date", date]
    for name in ("engine", "target", "runtime"):
        words += [f"--{name}", given[name]] if given[name] else []
    for each in given["param"] or ():
        words += ["--param", each]
    return shlex.join(words)


def _as_data(file: str, result: Chaos, seed: int, again: str) -> dict[str, Any]:
    failed = result.failed
    return {
        "config": file,
        "odibi": odibi.__version__,
        "engines": list(result.engines),
        "dates": list(result.dates),
        "seed": seed,
        "holds": failed is None,
        "points": result.crossings,
        "tried": len(result.trials),
        "killed": sum(trial.killed for trial in result.trials),
        "killed_twice": sum(trial.twice for trial in result.trials),
        "kinds": result.kinds,
        "tables": result.tables,
        "not_compared": list(result.unlike),
        "seconds": round(result.seconds, 1),
        "failed": None
        if failed is None
        else {
            "point": str(failed.point),
            "wrong": list(failed.wrong),
            "folder": failed.folder,
            "again": again,
        },
    }
