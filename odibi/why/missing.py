"""What became of a row that is not in a table: was it in the source, and which clause dropped it?

A step is executed once more without its clauses that drop rows: no filter, no HAVING, no QUALIFY, no LIMIT, and
every join keeps what has no match. If the row is there now, the clauses are put back one after the other, in
the order in which they are evaluated, until it is gone: that one dropped it. If it is not, no input row could
have become it, and the question goes to the inputs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from odibi.config.models import WriteMode
from odibi.datasets.delta import open_table
from odibi.datasets.source import frame_of
from odibi.engines.duckdb import DuckDB
from odibi.errors import NotFound, OdibiError, Permanent
from odibi.home import typed
from odibi.observe import Observed
from odibi.observe.increments import reads_new
from odibi.quality.quarantine import quarantine_of
from odibi.relational.columns import lineage
from odibi.relational.parse import tables_in
from odibi.relational.schema import Schema, quote
from odibi.why.clauses import Clause, clauses, ctes_before, select_of, with_first
from odibi.why.condition import BadCondition
from odibi.why.making import Commit, Day, Input, Making
from odibi.why.model import Lost, Place
from odibi.why.rows import Base
from odibi.why.trace import Tracer

__all__ = ["Seeker"]

COMMITS = 30
"""Commits of a table that are looked through, the newest first."""

_COMPUTED = {"transformation", "aggregation"}
"""How a column depends on another where it is not handed on."""


@dataclass(frozen=True, slots=True)
class Seeker:
    """Looks for a row through the steps, backwards."""

    tracer: Tracer

    def seek(self, day: Day, dataset: str, observed: Observed, condition: str) -> Lost:
        """What became of the rows that would fulfil a condition in a dataset's table."""
        target = next(iter(observed.targets.get(dataset, ())), None)
        step = observed.step.name
        if target is not None:
            try:
                version, base = self.tracer.standing(dataset, observed)
            except NotFound:
                return Lost(step, dataset, f"{step} has not run yet: {target.url} is not there")
            found = self._those(base, condition)
            if found is not None and self.tracer.bench.count(found):
                at = "" if version is None else f", at version {version}"
                return self._lost(step, dataset, f"it is there{at}", found)
            if (held := self._quarantined(observed, dataset, condition)) is not None:
                return held
            if version is not None:
                return self._through(day, dataset, observed, version, condition)
        return self._of_step(day, dataset, observed, None, condition)[0]

    def _through(self, day: Day, dataset: str, observed: Observed, version: int, condition: str) -> Lost:
        """The same of a Delta table: a row may have been dropped by any commit of those that add to it."""
        target = observed.targets[dataset][0]
        history = self.tracer.makings.history(target.url)
        written = [e for e in reversed(history.entries) if e.version <= version and "key" in e.note]
        if target.mode is WriteMode.OVERWRITE:
            written = [e for e in written if e is written[0] or history.undone_by(e.version) is not None]
        first: Lost | None = None
        for entry in written[:COMMITS]:
            then = self.tracer.day(str(entry.note.get("logical_date", "")), str(entry.note.get("run", "")))
            maker = then.maker(dataset) or observed
            found, decided = self._of_step(then, dataset, maker, Commit(history, entry), condition)
            if decided:
                return found
            first = first or found
        if first is None:
            return self._of_step(day, dataset, observed, None, condition)[0]
        if observed.step.ingests and len(written) > 1:
            told = f"{first.verdict}, nor in what it read before ({min(len(written), COMMITS)} commits)"
            return replace(first, verdict=told)
        return first

    def _of_step(
        self, day: Day, dataset: str, observed: Observed, commit: Commit | None, condition: str
    ) -> tuple[Lost, bool]:
        """What became of the row in one execution of a step, and whether it came that far."""
        step = observed.step
        now = commit.entry.time if commit is not None else int(time.time() * 1000)
        try:
            making = self.tracer.makings.make(day, observed, dataset, now, commit)
        except Permanent as error:
            if not step.ingests:
                return Lost(step.name, dataset, f"not followed further: {error.message}"), False
            return self._unread(observed, dataset, condition, error)
        made = self._those(making.base, condition) if making.base is not None else None
        if made is not None and self.tracer.bench.count(made):
            return self._made_but_gone(making, dataset, commit, made), True
        if step.ingests:
            place = typed(making.source.url) if making.source is not None else "its source"
            return Lost(step.name, dataset, making.opaque or f"there is no such row in {place}"), False
        if making.compiled is not None and (dropped := self._dropped(making, dataset, condition)) is not None:
            return dropped, True
        before = tuple(
            found for each in making.inputs if (found := self._before(making, each, condition)) is not None
        )
        said = making.opaque or "no row of its inputs could have become it"
        if not before:
            said += "; its columns are computed, so ask about an input by a column of it"
        return Lost(step.name, dataset, said, before=before), False

    # --- in one step -------------------------------------------------------------------------

    def _those(self, base: Base, condition: str) -> Base | None:
        """The rows of a base that fulfil the condition, None where it means nothing there."""
        try:
            return self.tracer.fulfilling(base, condition)
        except BadCondition:
            return None

    def _lost(self, step: str, dataset: str, verdict: str, rows: Base, before: tuple[Lost, ...] = ()) -> Lost:
        shown = self.tracer.bench.shown(rows, self.tracer.limits.rows)
        return Lost(step, dataset, verdict, tuple(c.name for c in rows.schema), shown, before)

    def _quarantined(self, observed: Observed, dataset: str, condition: str) -> Lost | None:
        if not observed.declared.quarantines:
            return None
        target = quarantine_of(observed.targets[dataset][0], whole=reads_new(observed.step))
        table = open_table(target.url)
        if table is None:
            return None
        bench = self.tracer.bench
        base = bench.keep(frame_of(DuckDB(bench.db), table).sql, table.schema)
        found = self._those(base, condition)
        if found is None or not bench.count(found):
            return None
        rules = bench.db.rows(
            f"SELECT DISTINCT _odibi_rules, _odibi_reason FROM {quote(found.name)} ORDER BY ALL"
        )
        said = "; ".join(f"{rule} ({reason})" for rule, reason in rules)
        return self._lost(observed.step.name, dataset, f"it is in quarantine, by the rule {said}", found)

    def _made_but_gone(self, making: Making, dataset: str, commit: Commit | None, made: Base) -> Lost:
        """The step makes the row, and its table does not have it."""
        step = making.observed.step
        if commit is None:
            return self._lost(step.name, dataset, "it is there", made)
        version = commit.entry.version
        if (by := commit.history.undone_by(version)) is not None:
            said = f"{step.name} made it, and version {version} was rolled back by version {by}"
            return self._lost(step.name, dataset, said, made)
        if making.source is not None:
            at = "; ".join(
                f"{p.file} {'line' if p.lines else 'row'} {p.numbers[0]}"
                for p in self.tracer.bench.places(made)
            )
            return self._lost(step.name, dataset, f"it stands in {at}, and the table does not keep it", made)
        target = making.observed.targets[dataset][0]
        if not target.write.keys:
            return self._lost(
                step.name, dataset, f"the step makes it, and the write ({target.mode}) did not keep it", made
            )
        _, table = self.tracer.standing(dataset, making.observed)
        keys = tuple(c for c in table.schema if c.name in target.write.keys)
        same = " AND ".join(f"base.{quote(c.name)} IS NOT DISTINCT FROM r.{quote(c.name)}" for c in keys)
        winners = self.tracer.bench.pick(table, f"EXISTS (FROM {quote(made.name)} AS r WHERE {same})")
        names = ", ".join(target.write.keys)
        if not self.tracer.bench.count(winners):
            return self._lost(
                step.name, dataset, f"the step makes it, and a delete of the same {names} took it out", made
            )
        return self._lost(
            step.name,
            dataset,
            f"the step makes it, and the {target.mode} by {names} kept another row",
            winners,
        )

    def _dropped(self, making: Making, dataset: str, condition: str) -> Lost | None:
        """The clause that drops the row; None where no input row could have become it."""
        if making.compiled is None:
            return None
        query = making.compiled.query
        known = clauses(query)
        last = self._fulfilling(making, with_first(query, known, 0), condition)
        if last is None or not self.tracer.bench.count(last):
            return None
        for count in range(1, len(known) + 1):
            left = self._fulfilling(making, with_first(query, known, count), condition)
            if left is None or not self.tracer.bench.count(left):
                culprit = known[count - 1]
                winner = self._winner(making, with_first(query, known, count), culprit, condition)
                verdict = f"it was dropped: {culprit.said}"
                kept = () if winner is None else (self._lost("kept instead", dataset, "this row", winner),)
                return self._lost(making.observed.step.name, dataset, verdict, last, kept)
            last = left
        return None

    def _fulfilling(self, making: Making, query: exp.Query, condition: str) -> Base | None:
        """The rows that a query over the step's inputs gives and that fulfil the condition."""
        import duckdb

        compiled = making.compiled
        if compiled is None:
            return None
        try:
            base = self.tracer.bench.keep(
                self._over(making, query).sql("duckdb", comments=False), compiled.schema
            )
        except duckdb.Error:
            return None
        return self._those(base, condition)

    def _over(self, making: Making, query: exp.Query) -> exp.Query:
        """The query over the inputs as they were."""
        bench = self.tracer.bench
        names = {each.dataset: bench.plain(each.base) for each in making.inputs}
        tree = query.copy()
        for table in list(tables_in(tree)):
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
            table.set("this", exp.to_identifier(names[table.name], quoted=True))
        return tree

    def _winner(self, making: Making, query: exp.Query, culprit: Clause, condition: str) -> Base | None:
        """The row that was kept in place of the dropped one; None where that cannot be told."""
        import duckdb

        scope = select_of(query, culprit)
        window = scope.args["qualify"].find(exp.Window) if culprit.part == "qualify" else None
        keys = (
            [key.sql("duckdb") for key in window.args.get("partition_by") or ()] if window is not None else []
        )
        if not keys:
            return None
        kept, gone = scope.copy(), scope.copy()
        kept.set("with_", None)
        gone.set("with_", None)
        gone.set("qualify", None)
        same = " AND ".join(f"kept.{key} IS NOT DISTINCT FROM gone.{key}" for key in keys)
        dropped = f"SELECT * FROM ({gone.sql('duckdb')}) AS dropped WHERE ({condition})"
        text = f"SELECT * FROM ({kept.sql('duckdb')}) AS kept WHERE EXISTS (SELECT 1 FROM ({dropped}) AS gone WHERE {same})"
        try:
            tree = parse_one(text, dialect="duckdb", into=exp.Select)
            if (ctes := ctes_before(query, scope)) is not None:
                tree.set("with_", ctes)
            sql = self._over(making, tree).sql("duckdb", comments=False)
            return self.tracer.bench.keep(sql, self.tracer.bench.schema(sql))
        except (duckdb.Error, SqlglotError):  # its key is not among its columns
            return None

    # --- before it ---------------------------------------------------------------------------

    def _before(self, making: Making, each: Input, condition: str) -> Lost | None:
        """What became of the row in an input; None where the condition means nothing there."""
        if making.compiled is not None:
            mapped = _mapped(making, each, condition)
        else:
            mapped = condition
        if mapped is None or self._those(each.base, mapped) is None:
            return None
        if each.observed is None:
            found = self._those(each.base, mapped)
            there = found is not None and self.tracer.bench.count(found)
            return Lost("", each.dataset, "it is there" if there else "it is not there")
        if each.making is not None:
            return self._of_step(each.day, each.dataset, each.observed, None, mapped)[0]
        told = self.seek(each.day, each.dataset, each.observed, mapped)
        if told.verdict.startswith("it is there"):
            step = making.observed.step.name
            but = (
                f"{step} makes no such row of it"
                if self._was_there(each, mapped)
                else f"{step} has not run since"
            )
            return replace(told, verdict=f"{told.verdict}, and {but}")
        return told

    def _was_there(self, each: Input, condition: str) -> bool:
        """Whether such a row was in the input as the step saw it, be it new then or not."""
        seen = each.base
        if each.history is not None and each.version is not None:
            seen = self.tracer.makings.table(each.history, each.version)
        found = self._those(seen, condition)
        return found is not None and bool(self.tracer.bench.count(found))

    def _unread(
        self, observed: Observed, dataset: str, condition: str, error: Permanent
    ) -> tuple[Lost, bool]:
        """A source that is not what it was when it was read: what it holds now."""
        source, seen = observed.source, observed.seen
        name = observed.step.name
        if source is None or seen is None or source.remote is not None or not seen.files:
            return Lost(name, dataset, error.message), False
        try:
            base = self.tracer.bench.files(source, seen)
        except OdibiError as broken:
            return Lost(name, dataset, broken.message), False
        found = self._those(base, condition)
        if found is None or not self.tracer.bench.count(found):
            return Lost(name, dataset, f"there is no such row in {typed(source.url)} as it is now"), False
        at = "; ".join(map(_at, self.tracer.bench.places(found)))
        said = f"it stands in {at}, which has changed since it was read: {name} has not run since"
        return self._lost(name, dataset, said, found), True


def _at(place: Place) -> str:
    return f"{place.file} {'line' if place.lines else 'row'} {', '.join(map(str, place.numbers[:10]))}"


def _mapped(making: Making, each: Input, condition: str) -> str | None:
    """The condition where each of its columns is handed on untouched from that input, under its own name.

    A value that is sometimes computed is not: what stands in the input is not what the row would have.
    """
    compiled = making.compiled
    if compiled is None:
        return None
    try:
        tree = parse_one(condition, dialect="duckdb")
    except SqlglotError:
        return None
    schemas: Mapping[str, Schema] = {i.dataset: i.base.schema for i in making.inputs}
    types = {column.name.lower(): column.type for column in each.base.schema}
    made = {column.name.lower(): column.type for column in compiled.schema}
    origins = {
        origin.column.lower(): {base.lower(): kinds for base, kinds in origin.kinds.items()}
        for origin in lineage(compiled.meaning, schemas, names=[c.name for c in compiled.schema])
    }
    for column in tree.find_all(exp.Column):
        name = column.name.lower()
        kinds = origins.get(name, {}).get(f"{each.dataset}.{name}".lower(), ())
        if "identity" not in kinds or not _COMPUTED.isdisjoint(kinds) or types.get(name) != made.get(name):
            return None
    return condition
