"""What steps that read only what is new would read now; and why some cannot read so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi.config.models import Step, WriteMode
from odibi.datasets.arrivals import Taken, arrivals
from odibi.datasets.consumed import SOURCE, consumed
from odibi.datasets.delta import Table, open_table
from odibi.datasets.source import Seen, Source
from odibi.datasets.target import Target
from odibi.errors import Permanent

if TYPE_CHECKING:
    from odibi.config.increment import Watermark
    from odibi.config.loaded import Loaded
    from odibi.observe.notes import Notes, Place

__all__ = ["Arrived", "arrived", "objection", "reads_new", "said_of_source", "state_of", "who"]

KEEPING = (WriteMode.APPEND, WriteMode.MERGE, WriteMode.SCD2)
"""The modes that add to what a table has, which is what reading only new rows is for."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a step would read of an input: the data version of just that, and what a plan says of it."""

    version: str | None
    said: str


def who(loaded: Loaded, step: Step) -> str:
    """Who consumes: what a step is called in the notes of its table."""
    return f"{loaded.pipeline.pipeline}/{step.name}"


def state_of(loaded: Loaded, step: Step, target: Target | None) -> Mapping[str, Any]:
    """What the step has consumed by input; nothing where its table does not exist or says nothing."""
    table = open_table(target.url) if target is not None and target.format == "delta" else None
    return consumed(table).get(who(loaded, step), {})


def reads_new(step: Step) -> bool:
    """Whether the step reads only what is new of some input or of its source."""
    return bool(step.incremental) or bool(step.ingests and {"files", "incremental"} & step.params.keys())


def objection(step: Step, targets: Mapping[str, tuple[Target, ...]]) -> Permanent | None:
    """Why the step cannot read only what is new; None if it can."""
    groups = list(targets.values())
    group = groups[0] if len(groups) == 1 else ()
    if not group or group[0].format != "delta" or len(group) > 1:
        return Permanent(
            "a step that reads only what is new writes one Delta table: its commits hold what was read",
            hint="give it write: {to: connection, mode: append} and no other format",
        )
    mode = group[0].mode
    if mode not in KEEPING:
        return Permanent(
            f"mode {mode} lets rows go that were read before, and only new rows are read",
            hint="mode append, merge or scd2; or read all rows",
        )
    if group[0].write.on_code_change == "rebuild":
        return Permanent(
            "on_code_change: rebuild needs all rows, and only new ones are read",
            hint="leave it out; --full-refresh reads everything and builds the table anew",
        )
    by_column = [alias for alias, rows in step.incremental.items() if rows.watermark is not None]
    if mode is WriteMode.APPEND and by_column and len(step.incremental) > 1:
        return Permanent(
            f"{by_column[0]!r} is read by a watermark and appended, and another input is read by new rows too",
            hint="mode merge, or a step for each",
        )
    if {"files", "incremental"} <= step.params.keys() and step.ingests:
        return Permanent("files: new and incremental are two ways to tell what is new", hint="choose one")
    if unknown := sorted(step.incremental.keys() - step.inputs.keys()):
        return Permanent(f"incremental names {unknown[0]!r}, which is no input of the step")
    return None


def arrived(
    notes: Notes, data: Notes, at: Place, step: Step, target: Target, alias: str, state: Mapping[str, Any],
    maker: tuple[Step, tuple[Target, ...]] | None, external: tuple[Source, Seen] | None,
) -> Arrived | None:  # fmt: skip
    """What the step would read of an input; None and a problem where it cannot read so.

    Args:
        notes: take what is wrong with the step.
        data: take why it cannot read what is there now.
        at: the step's place.
        step: the step.
        target: what it writes.
        alias: the input.
        state: what it has consumed.
        maker: the step of this pipeline that makes the input, and what that writes.
        external: the table of another pipeline that it is.
    """
    rows = step.incremental[alias]
    place = (*at, "inputs", alias)
    if rows.by_column is not None:
        return Arrived(None, f"{alias}: {_since(rows.by_column, state.get(alias))}")
    url = _appended(notes, place, step, target, alias, maker, external)
    table = data.guarded(place, lambda: open_table(url)) if url is not None else None
    if table is None:
        return None
    found = data.guarded(place, lambda: _found(table, state.get(alias), notes.loaded, target))
    return found and Arrived(found.version, f"{alias}: {found.said}")


def _appended(
    notes: Notes, place: Place, step: Step, target: Target, alias: str,
    maker: tuple[Step, tuple[Target, ...]] | None, external: tuple[Source, Seen] | None,
) -> str | None:  # fmt: skip
    """Where the table of the input stands; None and a problem where its versions do not tell new rows."""
    hint = f"read it whole, or by a watermark: {{from: {step.inputs.get(alias, alias)}, rows: new, watermark: updated_at}}"
    if external is not None:
        return external[0].url
    if maker is None:
        return None  # an unknown input, which is said elsewhere
    made_by, group = maker
    if not group or group[0].format != "delta":
        notes.problem(place, f"rows: new needs a Delta table, and {alias!r} is not kept as one", hint)
    elif group[0].mode is WriteMode.OVERWRITE:
        notes.problem(
            place, f"rows: new needs a table that keeps its rows, and {made_by.name!r} overwrites", hint
        )
    elif target.mode is WriteMode.APPEND and group[0].mode is not WriteMode.APPEND:
        message = f"rows: new needs an appended table, and step {made_by.name!r} writes with {group[0].mode}"
        notes.problem(place, message, f"mode merge takes its changes by key; or {hint}")
    else:
        return group[0].url
    return None


def _found(table: Table, state: Mapping[str, Any] | None, loaded: Loaded, target: Target) -> Arrived:
    keyed = target.mode is not WriteMode.APPEND
    taken = Taken.of(state) if state is not None else None
    found = arrivals(table, taken, loaded.logical_date.isoformat(), keyed=keyed)
    if taken is None:
        return Arrived(found.version, f"all rows, up to version {table.version}")
    news = f"{found.commits} new commit{'s' * (found.commits != 1)} after version {taken.to}"
    said = news if found.commits else f"no new rows after version {taken.to}"
    return Arrived(found.version, f"{said}; {found.waiting}" if found.waiting else said)


def said_of_source(source: Source, seen: Seen | None, state: Mapping[str, Any]) -> str:
    """What a plan says of a source of which only what is new is read; empty of others."""
    if source.known is not None:
        count = len(seen.files) if seen is not None else 0
        changed = sum(file.path in source.known for file in seen.files) if seen is not None else 0
        again = f", {changed} of them changed since they were read" if changed else ""
        return f"reads {count or 'no'} new file{'s' * (count != 1)}{again}"
    return _since(source.watermark, state.get(SOURCE)) if source.watermark is not None else ""


def _since(by: Watermark, state: Mapping[str, Any] | None) -> str:
    if state is None or state.get("value") is None:
        return f"all rows, {by.column} is the watermark"
    before = f", and {by.lookback} before" if by.lookback is not None else ""
    return f"rows from {by.column} = {state['value']} on{before}"
