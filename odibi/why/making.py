"""What a step made, made once more in a scratch database so that every row knows what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from odibi.config.models import StepType, WriteMode
from odibi.datasets.arrivals import Taken, arrivals
from odibi.datasets.consumed import SOURCE, consumed, ledger_of
from odibi.datasets.source import Seen, Source, files_version, look
from odibi.datasets.watermark import since, type_of
from odibi.errors import Permanent
from odibi.home import typed
from odibi.observe import Observation, Observed
from odibi.observe.increments import who
from odibi.plan.compile import compile_step
from odibi.relational.bind import Binder
from odibi.relational.compile import Compiled
from odibi.why.history import Entry, History
from odibi.why.pivots import unpivoted
from odibi.why.rewrite import ID, WHY, Untraceable, rewrite
from odibi.why.rows import Base, Bench, without_values

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["Commit", "Day", "Input", "Making", "Makings", "Vanished"]


class Vanished(Permanent):
    """Rows that were there and are not any more, or not as they were."""


@dataclass(frozen=True, slots=True)
class Day:
    """The pipeline as it is written, for one logical date."""

    loaded: Loaded
    observation: Observation

    def maker(self, dataset: str) -> Observed | None:
        """The step that makes a dataset, None if none of this pipeline does."""
        for observed in self.observation.steps:
            if dataset in (*observed.step.outputs.values(), *observed.targets):
                return observed
        return None


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a step, and the log it stands in."""

    history: History
    entry: Entry

    @property
    def inputs(self) -> Mapping[str, str]:
        """The data version of each input that it noted."""
        parts: Mapping[str, Any] = self.entry.note.get("parts", {})
        found: Mapping[str, str] = parts.get("inputs", {})
        return found


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a step, with all its rows: a table at a version, or what another step made.

    ``remark`` says what is not told of it.
    """

    dataset: str
    day: Day
    base: Base
    observed: Observed | None = None
    history: History | None = None
    version: int | None = None
    making: Making | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Making:
    """What a step made, row by row.

    Attributes:
        base: its rows; with inputs each has :data:`WHY`, the ids of the rows it is made of.
        source: the files that the rows were read from.
        opaque: why nobody can say which input rows a row is made of; empty if it can be said.
        per: the columns by which a function was called for groups.
    """

    observed: Observed
    base: Base | None
    inputs: tuple[Input, ...] = ()
    source: Source | None = None
    compared: tuple[str, ...] = ()
    opaque: str = ""
    per: tuple[str, ...] = ()
    compiled: Compiled | None = field(default=None, repr=False)


@dataclass(slots=True)
class Makings:
    """Steps executed once more; each of them once."""

    bench: Bench
    binder: Callable[[Day], Binder]
    histories: dict[str, History] = field(default_factory=dict)
    _made: dict[tuple[str, ...], Making] = field(default_factory=dict)
    _bases: dict[tuple[str, int], Base] = field(default_factory=dict)

    def history(self, url: str) -> History:
        """The log of a table."""
        return self.histories.setdefault(url, History(url))

    def table(self, history: History, version: int) -> Base:
        """All rows of a table's version. Raises Permanent where they are gone."""
        key = (history.url, version)
        if key not in self._bases:
            self._bases[key] = self.bench.committed(history.table(version))
        return self._bases[key]

    def make(self, day: Day, observed: Observed, dataset: str, time: int, commit: Commit | None) -> Making:
        """What the step made of a dataset by a time, by a commit of its table where it has one.

        Raises:
            Permanent: what it was made of is gone, or not what it was.
        """
        mark = str(commit.entry.version) if commit else f"@{time}"
        key = (day.loaded.file, str(day.loaded.logical_date), observed.step.name, dataset, mark)
        if key not in self._made:
            self._made[key] = self._make(day, observed, dataset, time, commit)
        return self._made[key]

    def _make(self, day: Day, observed: Observed, dataset: str, time: int, commit: Commit | None) -> Making:
        step = observed.step
        if step.ingests:
            return self._read(day, observed, commit, time)
        inputs = tuple(self._input(day, observed, a, d, time, commit) for a, d in observed.tables.items())
        if step.type in (StepType.FUNCTION, StepType.COMMAND):
            what = "a function" if step.type is StepType.FUNCTION else "a command"
            per = observed.function.per if observed.function is not None else None
            opaque = f"{what} made it: it alone knows which of its input rows it used"
            return Making(observed, None, inputs, opaque=opaque, per=per if isinstance(per, tuple) else ())
        if step.stores:
            base = inputs[0].base
            sql = f"SELECT * EXCLUDE ({ID}), [{ID}] AS {WHY} FROM {self.bench.ids(base)}"
            return Making(observed, self.bench.keep(sql, base.schema), inputs)
        schemas = {each.dataset: each.base.schema for each in inputs}
        tables = dict(observed.tables)
        made = compile_step(step, observed.script, tables, schemas, self.binder(day), day.loaded.logical_date)
        return self.asked(observed, made[dataset], made[dataset].query, inputs)

    def asked(
        self, observed: Observed, compiled: Compiled, query: exp.Query, inputs: tuple[Input, ...]
    ) -> Making:
        """What a query makes of the inputs; opaque where it cannot be followed."""
        import duckdb

        schemas = {each.dataset: each.base.schema for each in inputs}
        try:
            rewritten = rewrite(
                unpivoted(query, schemas), {each.dataset: self.bench.ids(each.base) for each in inputs}
            )
            sql = rewritten.query.sql("duckdb", comments=False)
            base = self.bench.keep(sql, compiled.schema)
        except Untraceable as error:
            opaque = f"{error.message}: which of its input rows are used cannot be followed"
            return Making(observed, None, inputs, opaque=opaque, compiled=compiled)
        except duckdb.Error as error:
            opaque = f"DuckDB cannot follow it: {without_values(error)}"
            return Making(observed, None, inputs, opaque=opaque, compiled=compiled)
        return Making(observed, base, inputs, compared=rewritten.compared, compiled=compiled)

    # --- inputs ------------------------------------------------------------------------------

    def _input(
        self, day: Day, observed: Observed, alias: str, dataset: str, time: int, commit: Commit | None
    ) -> Input:
        wanted = commit.inputs.get(alias, "") if commit is not None else ""
        if dataset in day.observation.external:
            source, seen = day.observation.external[dataset]
            remark = (
                f"it is a table of the pipeline {dataset.rpartition('.')[0]!r}: ask odibi why with its config"
            )
            return self._foreign(day, observed, alias, dataset, source, seen, wanted, time, commit, remark)
        maker = day.maker(dataset)
        if maker is None:
            raise Vanished(f"no step makes {dataset!r} any more")
        target = next(iter(maker.targets.get(dataset, ())), None)
        if target is None:
            making = self.make(day, maker, dataset, time, None)
            if making.base is None:
                raise Vanished(
                    f"{dataset!r} is kept nowhere, and {making.opaque or 'it cannot be made again'}"
                )
            return Input(dataset, day, making.base, maker, making=making)
        source = Source(target.url, target.format)
        standing = None if target.format in ("delta", "database") else look(self.bench.db, source)
        return self._foreign(day, observed, alias, dataset, source, standing, wanted, time, commit, "", maker)

    def _foreign(
        self, day: Day, observed: Observed, alias: str, dataset: str, source: Source, seen: Seen | None,
        wanted: str, time: int, commit: Commit | None, remark: str, maker: Observed | None = None,
    ) -> Input:  # fmt: skip
        """The rows of a table or of files as the step read them."""
        if source.format != "delta":
            if seen is None:
                raise Vanished(f"{source.url} cannot be read again")
            if wanted and seen.version != wanted:
                raise Vanished(f"{typed(source.url)} has changed since it was read")
            return Input(dataset, day, self.bench.files(source, seen), maker, remark=remark)
        history = self.history(source.url)
        new = observed.step.incremental.get(alias)
        version = history.read_by(wanted, time) if wanted and new is None else history.as_of(time)
        if version is None:
            raise Vanished(f"the version of {typed(source.url)} that was read is not in its log any more")
        base = self.table(history, version)
        if new is not None and commit is not None:
            state = _state(day, observed, commit).get(alias)
            if new.by_column is None:
                appends = next(iter(observed.targets.values()))[0].mode is WriteMode.APPEND
                table = history.table(_to(day, observed, commit, alias, version))
                taken = Taken.of(state) if state is not None else None
                found = arrivals(table, taken, day.loaded.logical_date.isoformat(), keyed=not appends)
                base = self.bench.committed(table, found.files)
            elif test := since(
                self.bench.db, new.by_column, state, type_of(new.by_column, base.schema, alias)
            ):
                base = self.bench.pick(base, test)
        return Input(dataset, day, base, maker, history, version, remark=remark)

    # --- sources -----------------------------------------------------------------------------

    def _read(self, day: Day, observed: Observed, commit: Commit | None, time: int) -> Making:
        source, seen = observed.source, observed.seen
        if source is not None and (source.remote is not None or source.format in ("database", "table")):
            return Making(
                observed, None, opaque=f"it was read from {typed(source.url)}, which keeps no versions"
            )
        if source is None or seen is None:
            raise Vanished(f"{typed(source.url) if source else 'its source'} is gone")
        wanted = commit.inputs.get("files", "") if commit is not None else ""
        if source.format == "delta":
            found = self._foreign(day, observed, "", source.url, source, None, wanted, time, None, "")
            sql = f"SELECT * EXCLUDE ({ID}), [{ID}] AS {WHY} FROM {self.bench.ids(found.base)}"
            return Making(observed, self.bench.keep(sql, found.base.schema), (found,))
        if source.known is not None and commit is not None:
            seen = replace(seen, files=tuple(self._came(day, observed, commit, source)))
            seen = self._with_schema(source, seen)
        elif wanted and seen.version != wanted:
            seen = self._older(source, seen, wanted, time)
        if seen.problem is not None:
            raise seen.problem
        base = self.bench.files(source, seen)
        return Making(observed, base, source=source)

    def _with_schema(self, source: Source, seen: Seen) -> Seen:
        again = look(self.bench.db, replace(source, known={}))
        return replace(seen, schema=again.schema if again is not None else seen.schema)

    def _came(self, day: Day, observed: Observed, commit: Commit, source: Source) -> Iterable[Any]:
        """The files that a commit read first, if they still are what they were."""
        url = commit.history.url
        before = ledger_of(url, _state(day, observed, commit).get(SOURCE))
        after = ledger_of(
            url,
            _states(commit.history, commit.entry.version).get(who(day.loaded, observed.step), {}).get(SOURCE),
        )
        look_again = look(self.bench.db, replace(source, known={}))
        there = {file.path: file for file in look_again.files} if look_again is not None else {}
        for path, file in after.items():
            if path in before and before[path].version == file.version:
                continue
            if path not in there or there[path].version != file.version:
                raise Vanished(f"{typed(path)} has changed or gone since it was read")
            yield there[path]

    def _older(self, source: Source, seen: Seen, wanted: str, time: int) -> Seen:
        """The source without the files that came after; Vanished if it is not what was read then either."""
        files = tuple(file for file in seen.files if file.changed // 1_000_000 <= time)
        if files_version(files, source) != wanted:
            raise Vanished(f"{typed(source.url)} has changed since it was read")
        return replace(seen, files=files)


def _states(history: History, version: int) -> Mapping[str, Mapping[str, Any]]:
    return consumed(history.table(version)) if version >= 0 else {}


def _state(day: Day, observed: Observed, commit: Commit) -> Mapping[str, Any]:
    """What the step had consumed before a commit."""
    return _states(commit.history, commit.entry.version - 1).get(who(day.loaded, observed.step), {})


def _to(day: Day, observed: Observed, commit: Commit, alias: str, version: int) -> int:
    """The version of an input up to which a commit looked."""
    after = _states(commit.history, commit.entry.version).get(who(day.loaded, observed.step), {})
    return int(after.get(alias, {}).get("to", version))
