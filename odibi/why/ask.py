"""A question about rows of a table, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.datasets.target import QUARANTINE, Target
from odibi.engines.database import Database
from odibi.errors import NotFound, nearest
from odibi.observe import Observed
from odibi.why.condition import BadCondition, condition_of
from odibi.why.making import Day
from odibi.why.model import Lost, Rows
from odibi.why.rows import Base, Bench
from odibi.why.trace import Limits, Load, Tracer

if TYPE_CHECKING:
    from odibi.home import Home

__all__ = ["Asked", "BadCondition", "missing", "why"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of a table that fulfil a condition.

    Attributes:
        table: a dataset, ``layer/dataset`` or its folder.
        condition: of its columns, in DuckDB's SQL.
        run: the run that left the table as it is asked about, by its id or the beginning of it; empty for now.
        ended: when that run ended, in milliseconds.
        limits: how much is told.
    """

    table: str
    condition: str
    run: str = ""
    ended: int | None = None
    limits: Limits = field(default_factory=Limits)


def why(asked: Asked, load: Load, home: Home) -> Rows:
    """The rows, and what made them.

    Args:
        asked: which rows.
        load: the config for a logical date and a run; for empty text the config as it is now.
        home: where the scratch database may be.

    Raises:
        NotFound: there is no such table, step or row.
        BadCondition: the condition means nothing on it.
        Permanent: the table cannot be read.
        ConfigError: the config is wrong.
    """
    asked = replace(asked, condition=condition_of(asked.condition))
    with _bench(load, home) as db:
        tracer = _tracer(db, asked, load)
        with closing(tracer):
            tables = _tables(tracer.day(""))
            if asked.table.lower() not in tables and asked.table.endswith(f"_{QUARANTINE}"):
                dataset, observed = _table(tables, asked.table.removesuffix(f"_{QUARANTINE}"))
                target, newest = tracer.quarantined(dataset, observed)
                found = _version(tracer, asked.table, target, asked)
                found = newest if found is None else found
                base = tracer.makings.table(tracer.makings.history(target.url), found)
                return tracer.committed(dataset, observed, target, found, _some(tracer, asked, base, found))
            dataset, observed = _table(tables, asked.table)
            version, base = tracer.standing(
                dataset, observed, _version(tracer, dataset, observed.targets[dataset][0], asked)
            )
            return tracer.told(dataset, observed, version, _some(tracer, asked, base, version))


def _some(tracer: Tracer, asked: Asked, base: Base, version: int | None) -> Base:
    rows = tracer.fulfilling(base, asked.condition)
    if not tracer.bench.count(rows):
        at = "" if version is None else f" of version {version}"
        raise NotFound(
            f"no row{at} of {asked.table!r} fulfils {asked.condition}", hint="--why-not tells why not"
        )
    return rows


def missing(asked: Asked, load: Load, home: Home) -> Lost:
    """What became of the rows that are not in the table; the arguments are those of :func:`why`, without a run.

    Raises:
        NotFound: there is no such table.
        BadCondition: the condition means nothing on it.
        ConfigError: the config is wrong.
    """
    from odibi.why.missing import Seeker

    asked = replace(asked, condition=condition_of(asked.condition))
    with _bench(load, home) as db:
        tracer = _tracer(db, asked, load)
        with closing(tracer):
            dataset, observed = _table(_tables(tracer.day("")), asked.table)
            try:
                _, base = tracer.standing(dataset, observed)
            except NotFound:  # which is an answer too
                return Seeker(tracer).seek(tracer.day(""), dataset, observed, asked.condition)
            tracer.fulfilling(base, asked.condition)
            return Seeker(tracer).seek(tracer.day(""), dataset, observed, asked.condition)


def _bench(load: Load, home: Home) -> Database:
    db = Database(home.scratch(load("", "").run_id), threads=1)  # rows of text files are counted as they come
    db.cursor.execute("SET preserve_insertion_order = true")
    return db


def _tracer(db: Database, asked: Asked, load: Load) -> Tracer:
    tracer = Tracer(Bench(db, load("", "").pipeline.sensitive), load, asked.limits)
    steps = [observed.step.name for observed in tracer.day("").observation.steps]
    if asked.limits.to and asked.limits.to not in steps:
        raise NotFound(f"there is no step {asked.limits.to!r}", hint=nearest(asked.limits.to, steps))
    return tracer


def _tables(day: Day) -> dict[str, tuple[str, Observed]]:
    """The datasets that are kept and the steps that make them, by all the names that a table has."""
    names = {}
    for observed in day.observation.steps:
        for dataset, group in observed.targets.items():
            layer = observed.step.layer
            for name in (dataset, f"{layer}/{dataset}", f"{layer}.{dataset}"):
                names[name.lower()] = (dataset, observed)
            names |= {str(Path(target.url).resolve()): (dataset, observed) for target in group}
    return names


def _table(tables: Mapping[str, tuple[str, Observed]], name: str) -> tuple[str, Observed]:
    """The dataset that is meant, and the step that makes it."""
    found = tables.get(name.lower()) or tables.get(str(Path(name).resolve()))
    if found is None:
        kept = {dataset for dataset, _ in tables.values()}
        raise NotFound(f"no step writes a table {name!r}", hint=nearest(name, sorted(kept), "tables"))
    return found


def _version(tracer: Tracer, dataset: str, target: Target, asked: Asked) -> int | None:
    """The version that a run left, None for the newest."""
    if not asked.run:
        return None
    if target.format != "delta":
        raise NotFound(
            f"{dataset!r} is kept as {target.format}, which keeps no versions",
            hint="leave out --run: it is asked about as it is now",
        )
    history = tracer.makings.history(target.url)
    found = history.of_run(asked.run)
    if found is None and asked.ended is not None:
        found = history.as_of(asked.ended)
    if found is None:
        raise NotFound(f"{dataset!r} had not been written when run {asked.run} ended")
    return found
