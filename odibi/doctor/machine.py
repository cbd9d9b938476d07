"""Is this machine fit: Python, the libraries, Java, disks, folders, the run store."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from packaging.requirements import Requirement

from odibi.datasets.staging import abandoned
from odibi.doctor.model import Finding, Level
from odibi.engines.jars import cache, coordinates, jars_there
from odibi.engines.launch import refuse_java
from odibi.errors import OdibiError, Permanent
from odibi.home import Home

__all__ = ["GROUP", "disks", "folders", "libraries", "spark", "store", "this_python", "zones"]

GROUP = "Machine"
LITTLE, TOO_LITTLE = 2 * 10**9, 200 * 10**6
"""Bytes free on a disk from which on it is told, and from which on a run will hardly end."""

_OLDEST = (3, 11)


def this_python() -> Iterator[Finding]:
    """The interpreter and odibi itself."""
    from odibi import __version__

    fits = sys.version_info >= _OLDEST
    said = f"Python {platform.python_version()}, odibi {__version__}"
    yield _found("python", "Is Python new enough?", said, None if fits else "install Python 3.11 or newer")


def libraries(*, spark: bool) -> Iterator[Finding]:
    """Whether what is installed is what odibi was tested with; of extras only what is there, or is needed."""
    try:
        needed = requires("odibi") or []
        if spark:
            needed = [*needed, *(f"{each}; extra == 'spark'" for each in requires("delta-spark") or [])]
    except PackageNotFoundError as error:
        message = f"{error.name} is not installed as a package, so nobody knows what it needs"
        yield _found("libraries", "Do the libraries fit?", message, "pip install odibi", Level.WARN)
        return
    wrong = []
    for name, wanted, extra in sorted(set(_requirements(needed))):
        try:
            found = version(name)
        except PackageNotFoundError:
            if not extra:
                wrong.append(f"{name} is missing")
            continue
        if not Requirement(f"{name}{wanted}").specifier.contains(found, prereleases=True):
            wrong.append(f"{name} is {found}, which is not {wanted}")
    fix = "pip install --upgrade odibi, with the extras in use" if wrong else None
    yield _found("libraries", "Do the libraries fit?", "; ".join(wrong) or "all are as required", fix)


def _requirements(lines: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    """Name, versions and whether only an extra needs it, of what is for this Python."""
    for line in lines:
        given = Requirement(line)
        alone = given.marker is None or given.marker.evaluate({"extra": ""})
        if given.name != "odibi" and given.specifier and (alone or "extra" in str(given.marker)):
            yield given.name, str(given.specifier), not alone


def spark() -> Iterator[Finding]:
    """Java, and the jars of Delta Lake, for a session that odibi starts."""
    question = "Can Spark be started?"
    try:
        refuse_java()
        said = ", ".join(f"{name} {version(name)}" for name in ("pyspark", "delta-spark"))
        if jars_there() is None:
            names = " and ".join(coordinates())
            advice = f"the first run fetches them; without a network put them into {cache()}"
            yield _found("spark", question, f"{names} are not cached", advice, Level.WARN)
            return
        yield _found("spark", question, f"{said}, Java and the jars are there")
    except PackageNotFoundError as error:
        yield _found("spark", question, f"{error.name} is not installed", "pip install 'odibi[spark]'")
    except Permanent as error:
        yield _found("spark", question, error.message, error.hint)


def disks(places: Iterable[Path]) -> Iterator[Finding]:
    """Room on the disks that the folders are on."""
    question, seen = "Is there room on the disk?", set()
    for place in map(_standing, places):
        if (device := place.stat().st_dev) in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(place).free
        level = Level.FAIL if free < TOO_LITTLE else Level.WARN
        said = f"{free / 1e9:.1f} GB free at {place}"
        yield _found("disk", question, said, "free some space" if free < LITTLE else None, level)


def folders(places: Iterable[Path]) -> Iterator[Finding]:
    """Whether this user may write where a run will."""
    shut = [str(each) for each in dict.fromkeys(places) if not _writable(_standing(each))]
    said = f"this user may not write to {', '.join(shut)}" if shut else "all are writable"
    fix = "change who may write there, or set ODIBI_HOME and the connections to other folders"
    yield _found("folders", "Can it write where it will?", said, fix if shut else None)


def _standing(place: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    place = place.absolute()
    return next(each for each in (place, *place.parents) if each.exists())


def _writable(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def zones() -> Iterator[Finding]:
    """Whether time zones are known here; the clock is held against the run store."""
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        yield _found("zones", "Are time zones known?", "there is no database of them", "pip install tzdata")
    else:
        now = datetime.now(UTC)
        yield _found("zones", "Are time zones known?", f"it is {now:%Y-%m-%d %H:%M} UTC")


def store(home: Home) -> Iterator[Finding]:
    """The run store and its schema, the clock against its last run, and what dead runs have left."""
    left = abandoned(home.intents)
    said = f"{len(left)} dead run{'s' * (len(left) != 1)} left staged files" if left else "none"
    advice = "the next run sweeps them" if left else None
    yield _found("intents", "Has a dead run left something?", said, advice, Level.WARN)
    question = "Can the run store be used?"
    if not home.has_state:
        yield _found("store", question, "there is none yet: the first run makes it")
        return
    try:
        yield from _stored(home.state, question)
    except OdibiError as error:
        yield _found("store", question, error.message, error.hint or "see ODIBI_STATE")


def _stored(state: str, question: str) -> Iterator[Finding]:
    from odibi.record import locks
    from odibi.record.migrations import MIGRATIONS
    from odibi.record.migrations import version as schema_of
    from odibi.record.store import RunStore

    with RunStore(state) as runs:
        with runs.database.read() as connection:
            found, known = schema_of(connection), MIGRATIONS[-1].version
        if found > known:
            said = f"its schema has version {found}, this odibi knows {known}"
            yield _found(
                "store", question, said, "pip install --upgrade odibi, or set ODIBI_STATE to another"
            )
            return
        later = "" if found == known else f", which the next run brings to {known}"
        yield _found("store", question, f"its schema has version {found}{later}")
        if not found:
            return
        last = next(iter(runs.runs(limit=1)), None)
        behind = last is not None and last.started_at > datetime.now(UTC)
        said = "it is earlier than the last run" if behind else "it is later than the last run"
        yield _found("clock", "Is the clock right?", said, "set the clock" if behind else None)
        dead = locks.abandoned(runs) if found > 1 else ()
        said = ", ".join(f"{name} by {run[:8]}" for name, run in dead)
        advice = "the next run takes them; odibi retry goes on with what was interrupted"
        yield _found(
            "locks", "Does a dead run hold a lock?", said or "none", advice if dead else None, Level.WARN
        )


def _found(id: str, question: str, said: str, fix: str | None = None, level: Level = Level.FAIL) -> Finding:
    """A pass where there is nothing to do."""
    return Finding(id, GROUP, question, Level.PASS if fix is None else level, said, "", fix or "")
