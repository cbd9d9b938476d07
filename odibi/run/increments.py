"""What an attempt reads where only what is new is read, and what its commit says has been consumed.

All of it follows from the step's own table at the version the attempt has opened; the commit succeeds
only if the table is still at that version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from odibi.config.models import WriteMode
from odibi.datasets.arrivals import REFRESH, Taken, arrivals
from odibi.datasets.consumed import SOURCE, consumed, ledger_of, with_files
from odibi.datasets.source import Seen, Source, unread
from odibi.datasets.staging import discard
from odibi.datasets.watermark import moved, since, type_of
from odibi.engines.duckdb import literal
from odibi.errors import Permanent, SchemaMismatch, nearest
from odibi.observe.increments import reads_new, who
from odibi.observe.snapshot import app_id
from odibi.relational.schema import Schema, quote
from odibi.run.context import Dataset

if TYPE_CHECKING:
    from odibi.config.increment import Watermark
    from odibi.datasets.delta import Table
    from odibi.engines.base import Engine, Frame, Location
    from odibi.plan.model import PlannedStep
    from odibi.run.context import RunContext

__all__ = ["Reading"]


class Reading:
    """What one attempt at a step reads.

    ``replaces`` is a condition on the rows of an appended table that go because they are read again,
    empty where none do, None where it is those of the logical date.
    """

    def __init__(
        self, context: RunContext, planned: PlannedStep, engine: Engine, handles: Mapping[str, Table | None]
    ) -> None:
        self.context, self.planned, self.engine = context, planned, engine
        self.replaces: str | None = None
        self.column = ""  # that an appended table must have for its rows to be replaced
        self.folder = ""
        self.warnings: tuple[str, ...] = ()
        self.on = reads_new(planned.step)
        if not self.on:
            return
        ((dataset, self.handle),) = handles.items()  # the plan lets nothing else through
        self.target = planned.targets[dataset][0]
        self.appends = self.target.mode is WriteMode.APPEND
        self.who = who(context.loaded, planned.step)
        self.all = {} if planned.rebuild else consumed(self.handle)
        self.before: Mapping[str, Any] = self.all.get(self.who, {})
        self.after: dict[str, Callable[[], Mapping[str, Any]]] = {}

    # --- inputs --------------------------------------------------------------------------------

    def inputs(self, inputs: Mapping[str, Dataset]) -> dict[str, Dataset]:
        """The inputs, of some of them only what is new.

        Raises:
            Permanent: what is new cannot be told, or cannot be added to what was made before.
        """
        found = dict(inputs)
        for alias, rows in self.planned.step.incremental.items():
            by = rows.by_column
            found[alias] = (
                self._rows(alias, found[alias]) if by is None else self._from(alias, by, found[alias])
            )
        return found

    def _rows(self, alias: str, dataset: Dataset) -> Dataset:
        """The rows that came to the table since."""
        table, date = dataset.table, self.context.loaded.logical_date.isoformat()
        if table is None:
            raise Permanent(f"rows: new needs a Delta table that keeps its rows, and {alias!r} is none")
        state = self.before.get(alias)
        taken = Taken.of(state) if state is not None else None
        if self.appends and taken is not None:
            self._refuse_forgotten(alias, taken, date)
        found = arrivals(table, taken, date, keyed=not self.appends)
        self.after[alias] = found.taken.note
        self.warnings += (f"{alias}: {found.waiting}",) if found.waiting else ()
        location = replace(table.location(), files=found.files)
        reopen = partial(_read, location)
        return replace(
            dataset, frame=reopen(self.engine), version=found.version, rows=None, sets=(), reopen=reopen
        )

    def _refuse_forgotten(self, alias: str, taken: Taken, date: str) -> None:
        """Raise Permanent where the date's rows would be replaced, and which it had read is not known any more."""
        dates = {owner for owner, _, _ in taken.spans}
        mine = app_id(self.context.loaded, self.planned.step)
        if "" in dates and date not in dates and self.handle and self.handle.transaction(mine) is not None:
            raise Permanent(
                f"which rows of {alias!r} were read for {date} is not known any more: it is too long ago",
                hint=REFRESH,
            )

    def _from(self, alias: str, by: Watermark, dataset: Dataset) -> Dataset:
        """The rows from the watermark on."""
        kind = type_of(by, dataset.schema, repr(alias))
        state = self.before.get(alias)
        condition = since(self.context.db, by, state, kind)
        frame = self._filtered(dataset.frame, dataset.schema, condition)
        if dataset.reopen is None:  # it stands nowhere, and computed twice it might be two answers
            db = self.context.db
            frame = self.engine.read(
                self.engine.stage(frame, dataset.schema, str(db.scratch / db.new_name()), ()).location
            )
        self._window(by, condition)
        self.after[alias] = partial(moved, self.context.db, self.engine, frame, by, state, kind)
        return replace(dataset, frame=frame, rows=None, reopen=None)

    def _window(self, by: Watermark, condition: str) -> None:
        if self.appends:
            self.replaces, self.column = condition, by.column

    def _filtered(self, frame: Frame, schema: Schema, condition: str) -> Frame:
        if not condition:
            return frame
        columns = [exp.column(column.name, quoted=True) for column in schema]
        query = exp.select(*columns).from_("incoming").where(condition, dialect="duckdb")
        return self.engine.query(query, {"incoming": frame}, schema)

    # --- the step's own source -------------------------------------------------------------------

    def source(self, source: Source, seen: Seen) -> tuple[Source, Seen]:
        """The source and what was seen of it, without what is not to be read.

        Raises:
            Permanent: the column of the watermark is none, or another than before.
        """
        if not self.on:
            return source, seen
        state = self.before.get(SOURCE)
        if source.known is not None:
            ledger = ledger_of(self.target.url, state)
            fresh = unread(seen.files, ledger)
            again = [literal(file.path) for file in fresh if file.path in ledger]
            if self.appends:
                column = quote(str(source.options["filename"]))
                self.replaces = f"{column} IN ({', '.join(again)})" if again else ""
            self.after[SOURCE] = lambda: self._ledger(fresh)
            return source, replace(seen, files=fresh)
        if (by := source.watermark) is not None and seen.schema is not None:
            kind = type_of(by, seen.schema, source.url)
            condition = since(self.context.db, by, state, kind)
            self._window(by, condition)
            return replace(
                source, where=exp.condition(condition, dialect="duckdb") if condition else None
            ), seen
        return source, seen

    def _ledger(self, fresh: tuple[Any, ...]) -> Mapping[str, Any]:
        note, self.folder = with_files(self.context.intents, self.target.url, self.before.get(SOURCE), fresh)
        return note

    def rows(self, source: Source, frame: Frame, schema: Schema) -> Frame:
        """The rows of the source that are new, where a column tells; its watermark moves with them."""
        by = source.watermark
        if by is None:
            return frame
        frame = self._filtered(frame, schema, source.where.sql("duckdb") if source.where is not None else "")
        kind = type_of(by, schema, source.url)
        # Before the rows are read: what comes to the source in between is read too, and again next time.
        found = moved(self.context.db, self.engine, frame, by, self.before.get(SOURCE), kind)
        self.after[SOURCE] = lambda: found
        return frame

    # --- the commit ------------------------------------------------------------------------------

    def note(self, schema: Schema) -> Mapping[str, Any] | None:
        """What all steps that write the table will have consumed with this commit; None where none is told.

        Raises:
            SchemaMismatch: the result does not have the column by which its rows are replaced.
        """
        if not self.on:
            return None
        names = [column.name for column in schema]
        if self.column and self.column not in names:
            raise SchemaMismatch(
                f"rows are read by the watermark {self.column!r} and appended, and the result has no such column",
                hint=nearest(self.column, names, "keep it in the result, or write with mode merge; it has"),
            )
        return {**self.all, self.who: {name: make() for name, make in self.after.items()}}

    def discard(self) -> None:
        """Remove what was written beside the table for a commit that was not made."""
        if self.folder:
            discard(self.target.url, self.folder)


def _read(location: Location, engine: Engine) -> Frame:
    return engine.read(location)
