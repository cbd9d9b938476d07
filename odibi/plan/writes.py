"""What a step's write may not ask for: said by the plan where it stands, and by the run before it writes.

The run asks again, because the columns of some results are known only then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from odibi.config.models import WriteMode
from odibi.datasets.modes import CURRENT, FROM, TO
from odibi.datasets.target import Target
from odibi.errors import nearest
from odibi.operations.errors import OperationError
from odibi.operations.expressions import checked
from odibi.operations.syntax import parsed
from odibi.relational.bind import Binder, BindError
from odibi.relational.schema import Schema

__all__ = ["Objection", "write_objections"]

Objection = tuple[tuple[Any, ...], str, str]
"""Where below the write, what is wrong there, and what to do."""

OWN = frozenset({"odibi_deleted", "odibi_sequence", "odibi_row", "odibi_old", "odibi_new", "odibi_file"})
"""Columns that the queries of merge, scd2 and replace_where add to the rows while they compute."""

ROWS = "rows of the write"
"""The table of a condition; nobody names it, for each mode has other names for its tables."""


def write_objections(target: Target, schema: Schema | None, binder: Binder) -> Iterator[Objection]:
    """Everything that speaks against writing rows of ``schema``; of None what is wrong for any rows."""
    yield from _lists(target)
    if target.write.optimize is not None and target.format != "delta":
        yield ("optimize",), f"optimize is for Delta tables, this is written as {target.format}", "remove it"
    for option in ("delete_when", "where"):
        condition = getattr(target.write, option)
        if condition is not None:
            yield from _condition(option, condition, schema, binder)
    if schema is not None:
        yield from _names(target, schema)
        yield from _partitions(target, schema)
        yield from _added(target, schema)


def _lists(target: Target) -> Iterator[Objection]:
    write = target.write
    for option in ("partition_by", "keys", "exclude"):
        names = getattr(write, option)
        for number, name in enumerate(names):
            if name in names[:number]:
                yield (option, number), f"{option} names {name!r} twice", "remove one of them"
    for number, name in enumerate(write.exclude):
        if name in write.partition_by:
            yield ("exclude", number), f"exclude names {name!r}, which partition_by names too", "remove one"
        if name == write.sequence_by and target.mode is WriteMode.MERGE:
            message = f"exclude names {name!r}: sequence_by orders later merges too, the table must keep it"
            yield ("exclude", number), message, "remove it from exclude"


def _condition(option: str, text: str, schema: Schema | None, binder: Binder) -> Iterator[Objection]:
    """A condition that is none on the columns of one row."""
    hint = "give a condition on the columns of one row, such as status = 'open'"
    try:
        checked(parsed(exp.Condition, text, ()), ())
        if schema is None:
            return
        # WHERE refuses aggregates and windows, the list of columns tells the type.
        found = binder.describe(f'SELECT ({text}\n) FROM "{ROWS}" WHERE ({text}\n)', {ROWS: schema})
    except (OperationError, BindError) as error:
        own = "" if isinstance(error, OperationError) else error.hint
        yield (option,), f"{option}: {error.message}", own or hint
        return
    if found[0].type != "BOOLEAN":
        yield (option,), f"{option}: {text!r} is {found[0].type}, not true or false", hint


def _names(target: Target, schema: Schema) -> Iterator[Objection]:
    """Columns that the write names and the rows do not have."""
    write, names = target.write, {column.name for column in schema}
    for option in ("partition_by", "keys", "exclude"):
        for number, name in enumerate(getattr(write, option)):
            if name not in names:
                yield (option, number), f"{option} names {name!r}, which is no column", nearest(name, names)
    if write.sequence_by and write.sequence_by not in names:
        message = f"sequence_by names {write.sequence_by!r}, which is no column"
        yield ("sequence_by",), message, nearest(write.sequence_by, names)


def _partitions(target: Target, schema: Schema) -> Iterator[Objection]:
    """Partition columns that make no folders, or leave nothing for the files in them."""
    types = {column.name: column.type for column in schema}
    for number, name in enumerate(target.partition_by):
        kind = types.get(name, "")
        if kind.endswith("]") or kind.startswith(("STRUCT(", "MAP(", "UNION(")):
            message = f"partition_by names {name!r}, a {kind}, which cannot be the name of a folder"
            yield ("partition_by", number), message, "name a column of plain values"
    kept = types.keys() - set(target.write.exclude)
    if target.partition_by and target.mode is not WriteMode.SCD2 and kept <= set(target.partition_by):
        message = "partition_by names every column; one must be left for the files"
        yield ("partition_by",), message, "remove one of them"


def _added(target: Target, schema: Schema) -> Iterator[Objection]:
    """Columns of the rows that are called as those which the mode adds."""
    mode, date = target.mode, target.date_column
    for column in schema:
        name = column.name.lower()
        if mode is WriteMode.APPEND and date is not None and name == date.lower():
            message = f"the rows have a column {column.name!r}, which append tables use for the logical date"
            hint = "name the table's column otherwise: write: {logical_date_column: _loaded_for}"
            yield ("mode",), message, hint
        if mode is WriteMode.SCD2 and name in (FROM, TO, CURRENT):
            yield (
                ("mode",),
                f"the rows have a column {column.name!r}, which scd2 adds",
                "rename it in the step",
            )
        if mode in (WriteMode.MERGE, WriteMode.SCD2, WriteMode.REPLACE_WHERE) and name in OWN:
            message = f"the rows have a column {column.name!r}, a name that {mode} needs for itself"
            yield ("mode",), message, "rename it in the step"
