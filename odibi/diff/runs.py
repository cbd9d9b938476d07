"""Two runs against each other: their records, and of the tables that are asked for, the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.config.loaded import Loaded
from odibi.errors import NotFound, Permanent, nearest
from odibi.observe.connections import reopened
from odibi.record.model import RunRecord, StepRecord
from odibi.story.changes import compare
from odibi.story.tables import RunDifference, TableDifference

if TYPE_CHECKING:
    from odibi.datasets.delta import Table
    from odibi.engines.database import Database

__all__ = ["ALL", "NoTable", "diff"]

ALL = "all"
"""The name that stands for all tables."""


class NoTable(NotFound):
    """A table that neither run knows."""


def diff(
    before: RunRecord, now: RunRecord, db: Database, *, tables: Sequence[str] = (), keys: Sequence[str] = (),
    loaded: Loaded | None = None, earlier: Iterable[RunRecord] = (), most: int = 20,
) -> RunDifference:  # fmt: skip
    """What ``now`` did otherwise than ``before``, and how the rows of ``tables`` differ between them.

    A table is taken at the version that a run committed; where it committed none, at the version that the
    table had when the run ended.

    Args:
        before: a run.
        now: another run of the same pipeline.
        db: compares the rows.
        tables: names of datasets or steps, or ``all``; no rows are compared without.
        keys: the columns that tell rows apart; if none, those of the step's write.
        loaded: the config as it is now: it says keys and which columns are sensitive. Without it no value
            is shown.
        earlier: older runs, latest first: they say where the table is of a step that neither run computed.
        most: how many rows of each kind are shown.

    Raises:
        NoTable: neither run knows a Delta table of that name.
        Permanent: a key is no column of the table.
    """
    changes = compare(now, before)
    if not tables:
        return RunDifference(changes)
    places = _places((now, before, *earlier), {step.name for run in (now, before) for step in run.steps})
    named = dict.fromkeys(pair for name in tables for pair in _named(name, places))
    chosen = [(step, url if loaded is None else reopened(loaded, url)) for step, url in named]
    for _, url in chosen:
        db.reach_table(url)
    return RunDifference(
        changes, tuple(_table(step, url, before, now, db, keys, loaded, most) for step, url in chosen)
    )


def _places(runs: Iterable[RunRecord], names: set[str]) -> dict[tuple[str, str], str]:
    """The Delta tables as pairs of step and place, with the step's layer."""
    found: dict[tuple[str, str], str] = {}
    missing = set(names)
    for number, run in enumerate(runs):
        if number > 1 and not missing:
            break
        for step in run.steps:
            urls = [write.uri for write in step.writes if write.format == "delta"]
            if step.name in names and (number < 2 or step.name in missing):
                found |= {(step.name, url): step.layer for url in urls}
        missing -= {step for step, _ in found}
    return found


def _named(name: str, places: dict[tuple[str, str], str]) -> Iterator[tuple[str, str]]:
    """The tables that ``name`` means."""
    found = []
    for (step, url), layer in places.items():
        own = Path(url).name
        if name in (ALL, step, own, f"{layer}.{own}", f"{layer}/{own}", url):
            found.append((step, url))
    if not found:
        known = sorted({Path(url).name for _, url in places})
        raise NoTable(
            f"neither run has a Delta table {name!r}", hint=nearest(name, known, "tables") or "only they have versions"
        )  # fmt: skip
    yield from found


def _table(
    step: str, url: str, before: RunRecord, now: RunRecord, db: Database, keys: Sequence[str],
    loaded: Loaded | None, most: int,
) -> TableDifference:  # fmt: skip
    from odibi.datasets.upkeep import Gone, still_there
    from odibi.diff.rows import compare_rows

    versions = _version(url, before, step), _version(url, now, step)
    told = TableDifference(step=step, url=url, versions=versions)
    if None in versions:
        which = "the older run" if versions[0] is None else "the newer run"
        return replace(told, problem=f"the table was not there yet when {which} ended")
    try:
        old, new = (still_there(url, version) for version in versions if version is not None)
    except Gone as error:
        return replace(told, problem=error.message.removeprefix(f"{url}: "))
    by, notes = _keys(step, keys, (old, new), loaded)
    sensitive = loaded.pipeline.sensitive if loaded is not None else ()
    found = compare_rows(
        db, old, new, keys=by, sensitive=sensitive, hidden=loaded is None, most=most
    )  # fmt: skip
    if loaded is None:
        notes = (*notes, "values are hidden: the config, which says what is sensitive, cannot be read")
    return replace(found, step=step, notes=(*found.notes, *notes))


def _keys(
    step: str, given: Sequence[str], tables: tuple[Table, Table], loaded: Loaded | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that tell rows apart, and what is to be said of them."""
    both = [c.name for c in tables[1].schema if c.name in {c.name for c in tables[0].schema}]
    for name in given:
        if name not in both:
            hint = nearest(name, both, "columns of both versions")
            raise Permanent(f"key {name!r} is no column of both versions of {tables[1].url}", hint=hint)
    if given:
        return tuple(given), ()
    steps = loaded.pipeline.steps if loaded is not None else ()
    write = next((one.write for one in steps if one.name == step), None)
    if write is None or not write.keys:
        return (), ()
    from odibi.datasets.modes import FROM

    keys = (*write.keys, FROM) if write.mode == "scd2" else write.keys
    if not set(keys) <= set(both):
        return (), (f"not both versions have the keys {', '.join(keys)}, so rows are compared whole",)
    return keys, ()


def _version(url: str, run: RunRecord, step: str) -> int | None:
    """The version of a table that a run left; None where there was none yet."""
    from odibi.datasets.delta import open_table
    from odibi.datasets.upkeep import history

    record: StepRecord | None = next((one for one in run.steps if one.name == step), None)
    for write in record.writes if record is not None else ():
        if write.uri == url and write.version is not None:
            return write.version
    table = open_table(url)
    end = (run.ended_at or run.started_at).timestamp() * 1000
    entries = history(table) if table is not None else []
    return max((one["version"] for one in entries if (one["timestamp"] or 0) <= end), default=None)
