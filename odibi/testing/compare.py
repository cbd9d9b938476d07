"""The rows a test expects against those that are there, told by keys where the step has some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from odibi.engines.database import Database
from odibi.errors import nearest
from odibi.prove.compare import rows_of, unmatched
from odibi.prove.model import Table
from odibi.relational.schema import Column, quote
from odibi.testing.model import Changed, Difference, Shown
from odibi.testing.rows import RowError, table_of

__all__ = ["compared"]


def compared(
    dataset: str, expected: Sequence[Mapping[str, Any]], found: Table, db: Database, *,
    keys: Sequence[str] = (), ordered: bool = False, partial: bool = True,
) -> Difference | None:  # fmt: skip
    """How the rows differ, None if they do not.

    Args:
        dataset: whose rows they are.
        expected: the rows as the test has them; those of a file already read.
        found: the rows that are there.
        db: casts the expected rows to the types of the others.
        keys: columns that tell rows apart.
        ordered: whether their order counts.
        partial: whether only columns that an expected row names are compared.
    """
    have = {column.name: column for column in found.schema}
    named = dict.fromkeys(name for row in expected for name in row)
    for name in named:
        if name not in have:
            return Difference(
                dataset, said=f"it has no column {name!r}; {nearest(name, have, 'its columns')}"
            )
    if not named and not expected and len(found):
        named = dict.fromkeys(have)  # to show what is there
    columns = tuple(have[name] for name in (named if partial else have))
    if not columns:  # of no columns there is only a number of rows
        same = len(expected) == len(found)
        return (
            None if same else Difference(dataset, said=f"it has {len(found)} rows, expected {len(expected)}")
        )
    try:
        wanted = table_of(expected, columns, db)
    except RowError as error:
        row = f"expected row {error.path[0] + 1}: " if error.path else ""
        return Difference(dataset, said=row + error.message)
    actual = Table(columns, found.rows.select([column.name for column in columns]))
    missing, extra = unmatched(wanted, actual)
    if missing or extra:
        return _told(dataset, _shown(wanted.take(missing), db), _shown(actual.take(extra), db), keys)
    if ordered and rows_of(wanted) != rows_of(actual):
        return Difference(dataset, said="it has the rows in another order")
    return None


def _told(dataset: str, missing: Sequence[Shown], extra: Sequence[Shown], keys: Sequence[str]) -> Difference:
    """Rows of one key on both sides as one row with other values; without a key, one row on each side."""
    known = bool(keys) and all(key in row for row in (*missing, *extra) for key in keys)
    by = keys if known else ()

    def alike(row: Shown, rows: Sequence[Shown]) -> list[Shown]:
        return [other for other in rows if all(other[key] == row[key] for key in by)]

    changed: list[Changed] = []
    left, right = list(missing), list(extra)
    for row in missing:
        others = alike(row, extra)
        if len(others) != 1 or len(alike(row, missing)) != 1:
            continue
        values = {name: (row[name], others[0][name]) for name in row if row[name] != others[0][name]}
        if not known and len(values) == len(row):
            continue  # nothing says that they are the same row
        left.remove(row)
        right.remove(others[0])
        changed.append(Changed({name: row[name] for name in by or row if name not in values}, values))
    return Difference(dataset, tuple(left), tuple(right), tuple(changed))


def _shown(table: Table, db: Database) -> list[Shown]:
    """The rows as DuckDB prints them, text in quotes."""
    cursor, name = db.cursor, db.new_name()
    cursor.register(name, table.rows)
    try:
        values = ", ".join(_text(column) for column in table.schema)
        rows = cursor.execute(f"SELECT {values} FROM {name}").fetchall()
    finally:
        cursor.unregister(name)
    return [dict(zip((c.name for c in table.schema), row, strict=True)) for row in rows]


def _text(column: Column) -> str:
    value = f"CAST({quote(column.name)} AS VARCHAR)"
    if column.type == "VARCHAR":
        value = f"'''' || replace({quote(column.name)}, '''', '''''') || ''''"
    return f"coalesce({value}, 'NULL')"
