"""From rows of a table back to the files: whose commit wrote them, what that commit made them of, and so on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from odibi.config.models import WriteMode
from odibi.datasets.modes import CURRENT, FROM, TO
from odibi.datasets.source import Source, look
from odibi.datasets.target import QUARANTINE, Target
from odibi.engines.duckdb import literal
from odibi.errors import NotFound, Permanent
from odibi.observe import Observed, observe
from odibi.observe.increments import reads_new
from odibi.plan.fingerprint import code_version
from odibi.quality.quarantine import quarantine_of
from odibi.relational.bind import Binder, BindError
from odibi.relational.schema import Column, Schema, quote
from odibi.why.condition import BadCondition
from odibi.why.history import Entry, History
from odibi.why.making import Commit, Day, Input, Making, Makings
from odibi.why.model import Made, Rows
from odibi.why.rewrite import ID, WHY
from odibi.why.rows import FILE, Base, Bench, without_values

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["Limits", "Tracer"]

Load = Callable[[str, str], "Loaded"]
"""The config for a logical date, with the parameters of a run: ``load(date, run)``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is told: rows of each dataset, steps back, and the step to stop at."""

    rows: int = 10
    depth: int | None = None
    to: str = ""


@dataclass(slots=True)
class Tracer:
    """Traces rows; ``load`` gives the config for a date and a run."""

    bench: Bench
    load: Load
    limits: Limits
    makings: Makings = field(init=False)
    _told: set[tuple[str, int, str]] = field(default_factory=set)
    _days: dict[tuple[str, str], Day] = field(default_factory=dict)
    _binders: dict[tuple[str, str], Binder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.makings = Makings(self.bench, self._binder)

    def close(self) -> None:
        """Let go of what types the queries."""
        for binder in self._binders.values():
            binder.close()

    def day(self, date: str = "", run: str = "") -> Day:
        """The pipeline for a date, as a run had it."""
        if (date, run) not in self._days:
            loaded = self.load(date, run)
            self._days[date, run] = Day(loaded, observe(loaded, self.bench.db))
        return self._days[date, run]

    def _binder(self, day: Day) -> Binder:
        key = (day.loaded.file, str(day.loaded.logical_date))
        if key not in self._binders:
            self._binders[key] = Binder(day.loaded.now)
        return self._binders[key]

    def fulfilling(self, rows: Base, condition: str) -> Base:
        """Those rows that fulfil a condition, which is bound where there is nothing but the names of its columns.

        Raises:
            BadCondition: it means nothing on these rows, or fails on one of them.
        """
        import duckdb

        try:
            self._binder(self.day()).describe(
                f"SELECT 1 FROM base WHERE ({condition})", {"base": rows.schema}
            )
        except BindError as error:
            said = " ".join(error.message.split())
            raise BadCondition(
                f"{condition} is no condition on this table: {said}", hint=error.hint
            ) from error
        try:
            return self.bench.pick(rows, f"({condition})")
        except duckdb.Error as error:
            said = without_values(error)
            raise BadCondition(f"{condition} is no condition on this table: {said}") from None

    # --- rows of tables ----------------------------------------------------------------------

    def standing(
        self, dataset: str, observed: Observed, version: int | None = None
    ) -> tuple[int | None, Base]:
        """All rows of a dataset's table at a version, the newest if None, and that version.

        Raises:
            NotFound: it has not been written yet.
        """
        target = observed.targets[dataset][0]
        if target.format == "delta":
            history = self.makings.history(target.url)
            if not history.entries:
                raise NotFound(f"{target.url} has not been written yet")
            version = history.entries[-1].version if version is None else version
            return version, self.makings.table(history, version)
        source = Source(target.url, target.format)
        seen = None if target.format == "database" else look(self.bench.db, source)
        if seen is None:
            raise NotFound(f"{target.url} cannot be read")
        return None, self.bench.files(source, seen)

    def told(self, dataset: str, observed: Observed, version: int | None, rows: Base, depth: int = 0) -> Rows:
        """Rows of a dataset's table, and what made them."""
        target = observed.targets[dataset][0]
        if version is not None:
            return self.committed(dataset, observed, target, version, rows, depth)
        told = replace(self._rows(dataset, str(observed.step.layer), rows), url=target.url)
        if self._ends(observed, depth):
            return told
        entry = Entry(-1, int(time.time() * 1000), {}, {}, removed=False)
        return replace(
            told, made=(self._remade(self.day(""), dataset, observed, target, entry, None, rows, depth),)
        )

    def quarantined(self, dataset: str, observed: Observed) -> tuple[Target, int]:
        """The quarantine of a dataset, and its newest version.

        Raises:
            NotFound: no row has been taken out yet.
        """
        target = quarantine_of(observed.targets[dataset][0], whole=reads_new(observed.step))
        history = self.makings.history(target.url)
        if not history.entries:
            raise NotFound(f"{target.url} has not been written yet")
        return target, history.entries[-1].version

    def committed(
        self, dataset: str, observed: Observed, target: Target, version: int, rows: Base, depth: int = 0
    ) -> Rows:
        """Rows of a table's version, and what made them; the table is that of a dataset, or its quarantine."""
        history = self.makings.history(target.url)
        name = dataset if target in observed.targets[dataset] else f"{dataset}_{QUARANTINE}"
        told = replace(self._rows(name, str(observed.step.layer), rows), url=target.url, version=version)
        if self._ends(observed, depth):
            return told
        key = (target.url, version, self.bench.identity(rows))
        if key in self._told:  # two ways may lead to the same rows, and twice as many from those
            return replace(told, remarks=("what made these rows is told above",))
        self._told.add(key)
        made, remarks = [], []
        try:
            for entry, some in self._writers(target, history, version, rows):
                made.append(self._made(dataset, target, history, entry, some, depth))
        except Permanent as error:
            remarks.append(error.message)
        return replace(told, made=tuple(made), remarks=tuple(remarks))

    def _ends(self, observed: Observed, depth: int) -> bool:
        return observed.step.name == self.limits.to or (
            self.limits.depth is not None and depth >= self.limits.depth
        )

    def _rows(self, name: str, layer: str, rows: Base) -> Rows:
        columns = tuple(column.name for column in rows.schema)
        shown = self.bench.shown(rows, self.limits.rows)
        places = self.bench.places(rows)
        return Rows(name, layer, "", None, self.bench.count(rows), columns, shown, places)

    def _writers(
        self, target: Target, history: History, version: int, rows: Base
    ) -> list[tuple[Entry, Base]]:
        """The commits that wrote the rows, each with those it wrote.

        A file that was written again for the sake of other rows carries rows of earlier commits: they are those
        that stood in the version before as well. Of a version of an scd2 key the change that began it is sought
        too; those that ended it are told only as far as it still ends there.
        """
        waiting, found = [(version, rows, True)], []
        while waiting:
            version, some, as_it_is = waiting.pop()
            if not some.placed:
                entry = self._maker(history, version)
                found.append((entry, some))
                continue
            for entry, mine in self._by_commit(target, history, version, some):
                keeps = target.mode is not WriteMode.OVERWRITE and entry.removed
                if entry.version == 0 or not (keeps or "key" not in entry.note):
                    found.append((entry, mine))
                    continue
                before = self.makings.table(history, entry.version - 1)
                carried = self.bench.pick(
                    before, f"EXISTS (FROM {quote(mine.name)} AS r WHERE {_same(before.schema, 'base')})"
                )
                new = self.bench.pick(
                    mine, f"NOT EXISTS (FROM {quote(before.name)} AS r WHERE {_same(before.schema, 'base')})"
                )
                if target.mode is WriteMode.SCD2:
                    same = _same(_lasting(mine.schema), "base")
                    begun = self.bench.pick(before, f"EXISTS (FROM {quote(new.name)} AS r WHERE {same})")
                    for test, whole in ((f"{quote(TO)} IS NULL", True), (f"{quote(TO)} IS NOT NULL", False)):
                        part = self.bench.pick(begun, test)
                        waiting += [(entry.version - 1, part, whole)] if self.bench.count(part) else []
                    if not as_it_is:
                        same = _same(_lasting(before.schema), "base")
                        new = self.bench.pick(new, f"NOT EXISTS (FROM {quote(begun.name)} AS r WHERE {same})")
                if self.bench.count(carried):
                    waiting.append((entry.version - 1, carried, as_it_is))
                if self.bench.count(new):
                    found.append((entry, new))
        return found

    def _maker(self, history: History, version: int) -> Entry:
        entry = next((e for e in reversed(history.entries) if e.version <= version and "key" in e.note), None)
        if entry is None:
            raise Permanent(f"the log of {history.url} does not tell any more who wrote version {version}")
        return entry

    def _by_commit(
        self, target: Target, history: History, version: int, rows: Base
    ) -> list[tuple[Entry, Base]]:
        """The commits that wrote the files of the rows, each with those in its files."""
        files = self.bench.db.rows(f"SELECT DISTINCT {FILE} FROM {quote(rows.name)} ORDER BY 1")
        entries: dict[int, tuple[Entry, list[str]]] = {}
        for (file,) in files:
            entry = history.writer(str(file))
            if entry is None and target.mode is not WriteMode.OVERWRITE:
                raise Permanent(f"the log of {history.url} does not tell any more who wrote {file}")
            entry = entry or self._maker(history, version)
            entries.setdefault(entry.version, (entry, []))[1].append(literal(str(file)))
        return [
            (entry, self.bench.pick(rows, f"{FILE} IN ({', '.join(names)})"))
            for entry, names in entries.values()
        ]

    # --- what made them ----------------------------------------------------------------------

    def _made(
        self, dataset: str, target: Target, history: History, entry: Entry, rows: Base, depth: int
    ) -> Made:
        """What a commit made its rows of."""
        note, count = entry.note, self.bench.count(rows)
        run, date = str(note.get("run", "")), str(note.get("logical_date", ""))
        if "key" not in note:
            return Made("", "", count, entry.version, remarks=("odibi did not write this version",))
        day = self.day(date, run)
        observed = day.maker(dataset)
        if observed is None:
            return Made(
                "", "", count, entry.version, run, date, remarks=(f"no step makes {dataset!r} any more",)
            )
        made = self._remade(day, dataset, observed, target, entry, history, rows, depth)
        return replace(made, version=entry.version, run=run, date=date)

    def _remade(
        self, day: Day, dataset: str, observed: Observed, target: Target, entry: Entry, history: History | None,
        rows: Base, depth: int,
    ) -> Made:  # fmt: skip
        """What rows are made of, as the step that is executed once more makes them."""
        count, remarks = self.bench.count(rows), []
        made = Made(observed.step.name, operation(observed), count)
        if history is not None and entry.note.get("parts", {}).get("code") != code_version(observed):
            remarks.append("the step has changed since: it is asked as it is now")
        commit = Commit(history, entry) if history is not None else None
        try:
            making = self.makings.make(day, observed, dataset, entry.time, commit)
        except Permanent as error:
            return replace(made, remarks=(*remarks, f"not followed further: {error.message}"))
        found, missing = self._found(making, target, str(day.loaded.logical_date), rows)
        if missing:
            remarks.append(
                f"executed again, the step does not make {missing} of these {count} rows as they are"
            )
        inputs, said = self._inputs(making, found, rows, depth + 1)
        return replace(made, inputs=inputs, compared=making.compared, remarks=(*remarks, *said))

    def _found(self, making: Making, target: Target, date: str, rows: Base) -> tuple[Base | None, int]:
        """Those of the step's rows that the table's rows are, and how many of these are not among them."""
        base = making.base
        if base is None:
            return None, 0
        match = _matches(target, date, base.schema, rows.schema)
        found = self.bench.pick(base, f"EXISTS (FROM {quote(rows.name)} AS r WHERE {match})")
        missing = self.bench.db.rows(
            f"SELECT count(*) FROM {quote(rows.name)} AS r WHERE NOT EXISTS (FROM {quote(found.name)} AS base WHERE {match})"
        )
        return found, int(missing[0][0])

    def _inputs(
        self, making: Making, found: Base | None, rows: Base, depth: int
    ) -> tuple[tuple[Rows, ...], tuple[str, ...]]:
        """The rows that some rows of a step are made of."""
        if making.source is not None and found is not None:
            rows_of_files = self._rows(making.source.url, "source", found)
            return (replace(rows_of_files, url=making.source.url),), ()
        told, said = [], [making.opaque] if making.opaque else []
        for each in making.inputs:
            if found is None:
                picked, remark = self._around(making, each, rows)
                said += [remark] if remark else []
            else:
                ids = f"{ID} IN (SELECT unnest({WHY}) FROM {quote(found.name)})"
                picked = self.bench.pick(each.base, ids)
                if not self.bench.count(picked):
                    continue
            told.append(self._expanded(each, picked, depth))
        return tuple(told), tuple(said)

    def _around(self, making: Making, each: Input, rows: Base) -> tuple[Base, str]:
        """The rows among which those are that a function used: all, or those of the same group."""
        names = {column.name for column in rows.schema}
        if making.per and names.issuperset(making.per):
            keys = tuple(column for column in each.base.schema if column.name in making.per)
            same = f"EXISTS (FROM {quote(rows.name)} AS r WHERE {_same(keys, 'base')})"
            return self.bench.pick(each.base, same), f"it is called for each {', '.join(making.per)}"
        return each.base, ""

    def _expanded(self, each: Input, picked: Base, depth: int) -> Rows:
        layer = str(each.observed.step.layer) if each.observed is not None else ""
        if each.observed is not None and each.making is None and not each.remark:
            return self.told(each.dataset, each.observed, each.version, picked, depth)
        told = self._rows(each.dataset, layer, picked)
        if each.history is not None:
            told = replace(told, url=each.history.url, version=each.version)
        if each.remark:
            return replace(told, remarks=(each.remark,))
        if each.making is None or each.observed is None or self._ends(each.observed, depth):
            return told
        observed = each.observed
        inputs, said = self._inputs(each.making, picked, picked, depth + 1)
        made = Made(
            observed.step.name, operation(observed), told.count, inputs=inputs, compared=each.making.compared,
            remarks=said,
        )  # fmt: skip
        return replace(told, made=(made,))


def operation(observed: Observed) -> str:
    """What a step does, in a few words."""
    step = observed.step
    if "operations" in step.params:
        return ", ".join(next(iter(item)) for item in step.params["operations"])
    return "read" if step.ingests else "store" if step.stores else str(step.type)


def _lasting(schema: Schema) -> Schema:
    """The columns of a version of a key that stay when it ends."""
    return tuple(column for column in schema if column.name not in (TO, CURRENT))


def _same(columns: Sequence[Column], other: str) -> str:
    """The condition that ``r`` and the other row are equal in these columns; sums of doubles nearly."""
    return " AND ".join(_equal(column, column.name, other) for column in columns) or "true"


def _equal(column: Column, name: str, other: str) -> str:
    mine, its = f"{other}.{quote(column.name)}", f"r.{quote(name)}"
    exact = f"{mine} IS NOT DISTINCT FROM {its}"
    if column.type in ("DOUBLE", "FLOAT"):
        return f"({exact} OR abs({mine} - {its}) <= 1e-11 * abs({its}))"
    return exact


def _matches(target: Target, date: str, made: Schema, table: Schema) -> str:
    """The condition that a row ``base`` which the step made became the row ``r`` of its table."""
    names = {column.name for column in table}
    shared = tuple(column for column in made if column.name in names)
    if target.mode is not WriteMode.SCD2:
        return _same(shared, "base")
    write = target.write
    keys = _same(tuple(column for column in made if column.name in write.keys), "base")
    when = f"base.{quote(write.sequence_by)}" if write.sequence_by else f"DATE '{date}'"
    ends = f"{when} IS NOT DISTINCT FROM r.{quote(TO)}"
    values = _same(tuple(c for c in shared if c.name not in (*write.keys, write.sequence_by)), "base")
    return f"{keys} AND ({ends} OR ({when} = r.{quote(FROM)} AND {values}))"
