"""The sequence: undisturbed runs first, then for each point a killed run, the next run, and the comparison."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from odibi.chaos import verdict
from odibi.chaos.child import LOST, Ended, Job, processes, run_in_child
from odibi.chaos.elsewhere import Elsewhere
from odibi.chaos.holdings import recorded
from odibi.chaos.place import Asked, Unfit, home_in, moved, refuse_elsewhere
from odibi.chaos.points import Point, found, spread, timed
from odibi.chaos.verdict import Undisturbed
from odibi.errors import ConfigError
from odibi.orchestrator import plan as planned
from odibi.plan.model import Plan

__all__ = ["Chaos", "Trial", "chaos"]

LANES = 2
"""Trials at a time."""

LINGER = 20.0
"""Seconds that processes of a killed run get to notice that it is gone."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A point and what came of it.

    ``killed`` unless the run did not get there, ``twice`` if the next run was killed as well; ``wrong`` is empty
    if all is well.
    """

    point: Point
    killed: bool
    twice: bool
    wrong: tuple[str, ...]
    seconds: float
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Chaos:
    """What was tried. ``crossings`` are all points of the undisturbed runs, ``unlike`` what cannot be compared."""

    dates: tuple[str, ...]
    engines: tuple[str, ...]
    crossings: int
    tables: int
    unlike: tuple[str, ...]
    seconds: float
    trials: tuple[Trial, ...] = ()

    @property
    def failed(self) -> Trial | None:
        """The first trial that went wrong."""
        return next((trial for trial in self.trials if trial.wrong), None)

    @property
    def kinds(self) -> dict[str, int]:
        """Kills by kind of moment."""
        return dict(sorted(Counter(trial.point.kind for trial in self.trials if trial.killed).items()))


@dataclass(frozen=True, slots=True)
class _Day:
    """A logical date: the state before it, its plan, what a run of it leaves, where it can be killed, how long it takes."""

    date: str
    before: Path
    undisturbed: Undisturbed
    moments: tuple[str, ...]
    seconds: float


@dataclass
class _Scratch:
    """The scratch folder with the states before each date. ``fresh`` children are new interpreters."""

    root: Path
    asked: Asked
    elsewhere: Elsewhere | None = None
    fresh: bool = False
    days: list[_Day] = field(default_factory=list)

    def plan(self, date: str, folder: Path) -> Plan:
        return planned(moved(self.asked, date, folder), home=home_in(folder))

    def copy(self, of: Path, name: str) -> Path:
        made = Path(shutil.copytree(of, self.root / name))
        if self.elsewhere is not None:  # steps elsewhere run as somebody else, who has made some of it
            for path in (made, *made.rglob("*")):
                path.chmod(path.stat().st_mode | (0o777 if path.is_dir() else 0o666))
        return made

    def run(
        self, date: str, folder: Path, arm: str = "", kill_after: float | None = None, victim: str = ""
    ) -> Ended:
        strike = partial(self.elsewhere.kill, victim) if self.elsewhere is not None and victim else None
        return run_in_child(Job(self.asked, date, folder, arm, self.fresh, kill_after), strike)

    @property
    def victims(self) -> tuple[str, ...]:
        """What kills at random times take in turn, what is farthest away first; the empty one is the run itself."""
        return (*(self.elsewhere.victims if self.elsewhere is not None else ()), "")

    def alive(self, folder: Path) -> list[str]:
        """What of a run in the folder has not ended, here or elsewhere."""
        return processes(folder) + (self.elsewhere.alive() if self.elsewhere is not None else [])


def chaos(
    asked: Asked,
    *,
    dates: Sequence[str] = (),
    points: int | None = None,
    timed_kills: int = 0,
    seed: int = 1,
    at: str | None = None,
    elsewhere: Elsewhere | None = None,
    begun: Callable[[Chaos], None] = lambda _: None,
    told: Callable[[Trial], None] = lambda _: None,
) -> Chaos:
    """Kill runs of a pipeline in a scratch folder, and compare what they and the next runs leave.

    Args:
        asked: the pipeline.
        dates: the logical dates, run one after the other; the pipeline's own and the day before it if empty.
        points: how many crossings to kill at, spread evenly; all if None, going round again if there are fewer.
        timed_kills: how many kills at random times, besides.
        seed: equal seeds choose equal points and times.
        at: the one point to kill at.
        elsewhere: where steps run that do not run here; kills at random times take turns between its parts and the run.
        begun: told what was found before the first kill.
        told: told of every trial.

    Raises:
        ConfigError: the config is wrong.
        Unfit: the pipeline cannot be moved, fails undisturbed, or has no such point.
    """
    started = time.monotonic()
    with _scratch() as root:
        scratch = _Scratch(root, asked, elsewhere)
        if elsewhere is not None:
            root.chmod(0o777)
        days = [_day(scratch, each) for each in dates] or _two_days(scratch)
        for day in days:
            scratch.fresh |= any(step.engine == "spark" for step in _checked(scratch, day).steps)
        for day in days:
            _prepare(scratch, day)
        every = [Point(one.date, moment) for one in scratch.days for moment in one.moments]
        chance = random.Random(seed)  # noqa: S311 - to be had again, not to be secret
        lasting = {one.date: one.seconds for one in scratch.days}
        chosen = (
            [found(at, every)]
            if at
            else [*spread(every, points, chance), *timed(lasting, timed_kills, chance, scratch.victims)]
        )
        plan = scratch.plan(days[-1], scratch.root / "base")
        report = Chaos(
            tuple(days),
            tuple(sorted({step.engine for step in plan.steps})),
            len(every),
            len(scratch.days[-1].undisturbed.held),
            tuple(sorted({place for one in scratch.days for place in one.undisturbed.unlike})),
            0.0,
        )
        begun(report)
        trials = []
        for trial in _tried(scratch, chosen, seed):
            told(trial)
            trials.append(trial)
            if trial.wrong:
                break
    return replace(report, trials=tuple(trials), seconds=time.monotonic() - started)


@contextmanager
def _scratch() -> Iterator[Path]:
    """The scratch folder, which goes away unless a trial has left something to look at."""
    root = Path(tempfile.mkdtemp(prefix="odibi-chaos-")).resolve()
    try:
        (root / "base").mkdir()
        yield root
    finally:
        (root / "moments").unlink(missing_ok=True)
        for path in root.iterdir():
            if not path.name.startswith("failed"):
                shutil.rmtree(path, ignore_errors=True)
        if not any(root.iterdir()):
            root.rmdir()


def _checked(scratch: _Scratch, date: str) -> Plan:
    base = scratch.root / "base"
    plan = scratch.plan(date, base)
    refuse_elsewhere(plan, base)
    return plan


def _day(scratch: _Scratch, date: str | None) -> str:
    return moved(scratch.asked, date, scratch.root / "base").logical_date.isoformat()


def _two_days(scratch: _Scratch) -> list[str]:
    """The pipeline's own date, and the one before it where that can be run too."""
    day = _day(scratch, None)
    before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    try:
        scratch.plan(before, scratch.root / "base")
    except ConfigError:
        return [day]
    return [before, day]


def _prepare(scratch: _Scratch, date: str) -> None:
    """Run a date undisturbed, twice and once more, and learn what that leaves and which moments it has."""
    number = len(scratch.days)
    base = scratch.root / "base" if not number else scratch.root / f"after-{number}"
    first, second = scratch.copy(base, f"after-{number + 1}"), scratch.copy(base, "control")
    names = scratch.root / "moments"
    names.unlink(missing_ok=True)
    _must(scratch.run(date, first, f"list {names}"), date)
    plan = scratch.plan(date, first)
    ran, here = verdict.executed(recorded(first).runs[0]), verdict.held(plan, first)
    started = time.monotonic()  # not of the first run, which may have to wait for the imports
    _must(scratch.run(date, second), date)
    seconds = time.monotonic() - started
    there = verdict.held(scratch.plan(date, second), second)
    _must(scratch.run(date, second), date)
    again = verdict.executed(recorded(second).runs[0])
    shutil.rmtree(second)
    unlike = frozenset(place for place in here if here[place] != there[place])
    moments = tuple(names.read_text("utf-8").splitlines())
    scratch.days.append(_Day(date, base, Undisturbed(here, ran, again, unlike), moments, seconds))


def _must(ended: Ended, date: str) -> None:
    if ended.code != 0:
        said = ended.said.strip().splitlines()
        raise Unfit(
            f"the pipeline does not run undisturbed for {date}: {said[-1] if said else f'exit code {ended.code}'}",
            hint="odibi chaos needs a pipeline that succeeds",
        )


# --- trying ----------------------------------------------------------------------------------------


def _tried(scratch: _Scratch, points: Sequence[Point], seed: int) -> Iterator[Trial]:
    """The trials in their order; who listens to no more of them has none begun any more."""
    with ThreadPoolExecutor(LANES if scratch.elsewhere is None else 1) as pool:
        yield from pool.map(lambda each: _trial(scratch, each[0], each[1], seed), enumerate(points))


def _trial(scratch: _Scratch, number: int, point: Point, seed: int) -> Trial:
    started = time.monotonic()
    day = next(day for day in scratch.days if day.date == point.date)
    folder = scratch.copy(day.before, f"trial-{number}")
    before = [run.run_id for run in recorded(folder).runs]
    killed = _killed(scratch, folder, point)
    second = _again(scratch, folder, day, random.Random(f"{seed} {point}"))  # noqa: S311 - to be had again
    plan = scratch.plan(point.date, folder)
    wreck = verdict.wreck(plan, folder, before)
    ended = scratch.run(point.date, folder)
    wrong = _wrong(scratch, day, plan, folder, before, wreck, [killed, second], ended)
    kept = ""
    if wrong:
        kept = str(folder.rename(folder.with_name(f"failed-{number}")))
    else:
        shutil.rmtree(folder)
    return Trial(point, killed.killed, second.killed, tuple(wrong), time.monotonic() - started, kept)


def _killed(scratch: _Scratch, folder: Path, point: Point) -> Ended:
    if point.milliseconds is not None:
        return scratch.run(point.date, folder, kill_after=point.milliseconds / 1000, victim=point.victim)
    return scratch.run(point.date, folder, f"kill {point.moment}")


def _again(scratch: _Scratch, folder: Path, day: _Day, chance: random.Random) -> Ended:
    """Kill the next run as well, while it takes away what the first has left: in one of four trials."""
    if chance.random() >= 1 / 4:
        return Ended(0, "")
    return scratch.run(day.date, folder, f"kill {chance.randint(1, len(day.moments))}")


def _wrong(
    scratch: _Scratch, day: _Day, plan: Plan, folder: Path, before: Sequence[str], found: verdict.Wreck,
    killed: Sequence[Ended], ended: Ended,
) -> list[str]:  # fmt: skip
    """Everything that is not as it should be after the next run."""
    for each in killed:
        if each.code != 0 and not each.killed:
            return [f"the run that was to be killed ended with {_code(each)}"]
    if ended.code not in (0, LOST):  # then the record tells whether it succeeded
        return [f"the next run ended with {_code(ended)}"]
    wrong = verdict.rows(day.undisturbed, verdict.held(plan, folder))
    wrong += verdict.records(folder, before, killed=any(each.killed for each in killed))
    last = recorded(folder).runs[0]
    wrong += verdict.redone(day.undisturbed, plan, found, last)
    (folder / "log").unlink(missing_ok=True)
    wrong += verdict.left_over(plan, folder)
    deadline = time.monotonic() + LINGER
    while (alive := scratch.alive(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return wrong + [f"still alive of the killed run: {each}" for each in alive]


def _code(ended: Ended) -> str:
    said = ended.said.strip().splitlines()
    code = f"exit code {ended.code}" if ended.code is not None else "nothing for ten minutes"
    return f"{code}: {said[-1]}" if said else code
