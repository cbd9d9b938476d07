"""The schema guard: what may be written into a table that exists.

delta-rs casts 3.7 into an integer column as 3 without a word and a raw commit checks nothing, so
every write passes here first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from odibi.errors import SchemaMismatch, nearest
from odibi.relational.schema import Column, Schema
from odibi.relational.storage import same_type, widens

__all__ = ["Change", "guard"]


@dataclass(frozen=True, slots=True)
class Change:
    """What the table's schema becomes: ``added`` columns, ``widened`` types, the whole ``schema``."""

    schema: Schema
    added: Schema = ()
    widened: Schema = ()


def guard(
    incoming: Schema,
    table: Schema | None,
    policy: Literal["exact", "widen", "forbid", "replace"],
    target: str,
) -> Change:
    """What writing ``incoming`` rows makes of a table with schema ``table`` (None: no table yet).

    Columns are matched by name, their order does not matter.

    Raises:
        SchemaMismatch: the policy does not allow it; all differences are named.
    """
    if table is None:
        if policy == "forbid":
            raise SchemaMismatch(
                f"{target} does not exist, and the write says schema: forbid",
                hint="create the table first, or write with schema: exact",
            )
        return Change(incoming)
    if policy == "replace":
        return Change(incoming)
    come = {column.name: column for column in incoming}
    spelled = {column.name.lower(): column.name for column in incoming}
    problems = []
    added, widened, result = [], [], []
    for column in table:
        new = come.get(column.name)
        other = spelled.get(column.name.lower())
        if new is None and other is not None:
            problems.append(f"column {other!r} is called {column.name!r} in the table")
        elif new is None:
            result.append(column)
            if policy != "widen":
                problems.append(f"column {column.name!r} ({column.type}) is missing")
        elif same_type(new.type, column.type) or (policy == "widen" and widens(new.type, column.type)):
            result.append(column)
        elif policy == "widen" and widens(column.type, new.type):
            result.append(Column(column.name, new.type))
            widened.append(Column(column.name, new.type))
        else:
            problems.append(f"column {column.name!r} is {new.type}, the table has {column.type}")
    have = {column.name.lower(): column.name for column in table}
    for column in incoming:
        if column.name.lower() in have:
            continue
        result.append(column)
        added.append(column)
        if policy != "widen":
            hint = nearest(column.name, have.values(), "the table has")
            problems.append(f"column {column.name!r} ({column.type}) is not in the table ({hint})")
    if problems:
        raise SchemaMismatch(
            f"{target}: "
            + "; ".join(problems[:8])
            + (f" and {len(problems) - 8} more" if len(problems) > 8 else ""),
            hint="cast the column in the step"
            + ("" if policy == "widen" else ", write with schema: widen")
            + ", or build the table anew: --full-refresh",
        )
    return Change(tuple(result), tuple(added), tuple(widened))
