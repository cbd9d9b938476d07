"""``odibi test CONFIG``: the tests of steps, run and told."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from odibi.cli.config import find_config, parameters
from odibi.cli.exits import Exit, UsageError
from odibi.cli.terminal import paint, say, say_json
from odibi.config.load import load
from odibi.config.loaded import Loaded
from odibi.errors import ConfigError, Permanent
from odibi.plan.model import Plan
from odibi.plan.select import select
from odibi.story.text import count
from odibi.testing.model import CaseResult, Difference, Shown

__all__ = ["test_steps"]

MOST = 5
"""Rows of each kind that are shown of a difference."""


def test_steps(
    *, config: str | None, chosen: Sequence[str], target: str | None, param: Sequence[str] | None,
    engine: str | None, output: str,
) -> int:  # fmt: skip
    """Run the tests of the chosen steps; the code is 1 where one fails, 2 where the config is wrong."""
    from odibi.testing.columns import known_plan
    from odibi.testing.suite import cases_of
    from odibi.testing.trial import Asked, run_case

    asked = Asked(find_config(config), target, parameters(param), engine)
    loaded = load(asked.config, target=target, params=asked.params, engine=engine)
    with tempfile.TemporaryDirectory(prefix="odibi-test-") as folder:
        plan = known_plan(loaded, Path(folder))
        cases = cases_of(loaded, plan, _chosen(loaded, plan, chosen))
        results: list[CaseResult] = []
        with _one_session(plan, [case.step.name for case in cases], Path(folder)):
            for case in cases:
                results.append(run_case(asked, case, plan))
                if output == "text":
                    _tell(results[-1])
    failed = sum(not each.passed for each in results)
    if output == "json":
        say_json([{**asdict(each), "passed": each.passed} for each in results])
    elif not results:
        say(f"{loaded.pipeline.pipeline} has no tests{' for these steps' if chosen else ''}")
    else:
        say()
        say(f"{count(len(results), 'test')}: {len(results) - failed} passed, {failed} failed")
    return Exit.FAILED if failed else Exit.SUCCESS


def _chosen(loaded: Loaded, plan: Plan, chosen: Sequence[str]) -> frozenset[str]:
    try:
        return select(loaded.pipeline.steps, {step.name: step.upstream for step in plan.steps}, chosen)
    except ConfigError:
        raise
    except Permanent as error:
        raise UsageError(error.message, hint=error.hint) from error


@contextmanager
def _one_session(plan: Plan, names: Sequence[str], folder: Path) -> Iterator[None]:
    """Spark started once for all tests, where one of them needs it."""
    if not any(plan[name].engine == "spark" for name in names):
        yield
        return
    from odibi.engines.session import acquire, ready, release

    ready()
    acquire(folder / "session")
    try:
        yield
    finally:
        release()


# --- for people ------------------------------------------------------------------------------------


def _tell(result: CaseResult) -> None:
    verdict = paint("passed", "green") if result.passed else paint("FAILED", "red")
    say(f"{verdict}  {result.step}: {result.test}" + ("" if result.passed else f"  ({result.where})"))
    if result.error:
        say(f"        {result.error}")
    for difference in result.differences:
        for line in _lines(difference):
            say(f"        {difference.dataset}: {line}")


def _lines(difference: Difference) -> Iterator[str]:
    if difference.said:
        yield difference.said
    for changed in difference.changed[:MOST]:
        values = (f"{name} is {found}, expected {wanted}" for name, (wanted, found) in changed.values.items())
        yield f"{_row(changed.key)}: {', '.join(values)}"
    yield from _more(len(difference.changed), "rows with other values")
    for label, rows in (("missing", difference.missing), ("not expected", difference.unexpected)):
        for row in rows[:MOST]:
            yield f"{label}: {_row(row)}"
        yield from _more(len(rows), f"rows {label}")


def _more(number: int, what: str) -> Iterator[str]:
    if number > MOST:
        yield f"and {number - MOST} more {what}"


def _row(row: Shown) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items()) or "the row"
