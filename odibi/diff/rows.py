"""Two versions of a Delta table, row by row, on DuckDB.

A version is files, and versions share most of them: only the files that one of the two does not have are
read. What stands in the others is in both, so that leaving it out changes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from odibi.datasets.delta import Table
from odibi.datasets.source import frame_of
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB
from odibi.record.model import ColumnRecord, SampleRecord
from odibi.relational.schema import Column, Schema, masked, quote
from odibi.story.changes import compare_columns
from odibi.story.tables import ChangedRow, TableDifference

__all__ = ["LONGEST", "compare_rows"]

LONGEST = 200
"""Characters of a value that are shown."""

_MASK = "*****"


@dataclass(frozen=True, slots=True)
class _Shared:
    """A column of both versions: where it stands in each, and how its two values are compared.

    A value of another type is what it is as the new type, and itself as text where it is none of that.
    """

    name: str
    old: str
    new: str

    @staticmethod
    def of(name: str, at: int, before: Column, was_at: int, now: Column) -> _Shared:
        old, new = f"o{was_at}", f"n{at}"
        if before.type == now.type:
            return _Shared(name, old, new)
        text = f"coalesce(CAST(TRY_CAST({old} AS {now.type}) AS VARCHAR), CAST({old} AS VARCHAR))"
        return _Shared(name, text, f"CAST({new} AS VARCHAR)")


def compare_rows(
    db: Database, before: Table, now: Table, *,
    keys: Sequence[str] = (), sensitive: Sequence[str] = (), hidden: bool = False, most: int = 20,
) -> TableDifference:  # fmt: skip
    """How the rows of ``now`` differ from those of ``before``.

    Args:
        db: computes; needs no more memory than it has, because DuckDB spills.
        before: the table at one version.
        now: the table at another one.
        keys: the columns that tell rows apart, which both versions have; rows are compared whole without.
            Where several rows have one key, they are paired in the order of their values.
        sensitive: patterns of the columns whose values are not shown.
        hidden: whether no value is shown at all.
        most: how many rows of each kind are shown.
    """
    at = {column.name: index for index, column in enumerate(before.schema)}
    shared = [
        _Shared.of(column.name, index, before.schema[at[column.name]], at[column.name], column)
        for index, column in enumerate(now.schema)
        if column.name in at
    ]
    old, new = _unshared(db, before, now)
    columns = (*before.schema, *now.schema)
    secret = tuple(dict.fromkeys(masked(columns, ("*",) if hidden else sensitive)))
    cursor = db.computing()
    told = TableDifference(
        step="",
        url=now.url,
        versions=(before.version, now.version),
        keys=tuple(keys),
        rows=(_count(db, before), _count(db, now)),
        columns=tuple(c for c in compare_columns(_records(now.schema), _records(before.schema)) if c.kind != "same"),
        masked=secret,
    )  # fmt: skip
    show = _Shown(secret, most)
    work = _by_key if keys else _as_multisets
    name = quote(db.new_name())
    try:
        return work(cursor.execute, name, told, show, before.schema, now.schema, shared, old, new)
    finally:
        cursor.execute(f"DROP TABLE IF EXISTS {name}")


_Execute = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What of a row is shown."""

    masked: tuple[str, ...]
    most: int

    def value(self, name: str, sql: str) -> str:
        """The expression for the text of a value."""
        if name in self.masked:
            return f"CASE WHEN {sql} IS NOT NULL THEN '{_MASK}' END"
        return f"CAST({sql} AS VARCHAR)[:{LONGEST}]"

    def sample(
        self, execute: _Execute, table: str, where: str, columns: Sequence[tuple[str, str]], order: str
    ) -> SampleRecord | None:
        """Some rows of a table of differences; ``columns`` are pairs of name and expression."""
        if not self.most:
            return None
        values = ", ".join(self.value(name, sql) for name, sql in columns)
        rows = execute(
            f"SELECT {values} FROM {table} WHERE {where} ORDER BY {order} LIMIT {self.most}"
        ).fetchall()
        names = tuple(name for name, _ in columns)
        masked = tuple(name for name in names if name in self.masked)
        return SampleRecord(columns=names, rows=tuple(rows), masked=masked) if rows else None


def _by_key(
    execute: _Execute, name: str, told: TableDifference, show: _Shown, before: Schema, now: Schema,
    shared: Sequence[_Shared], old: str, new: str,
) -> TableDifference:  # fmt: skip
    by = [one for one in shared if one.name in told.keys]
    others = [one for one in shared if one.name not in told.keys]

    def numbered(side: str, sql: str, names: Sequence[str], letter: str) -> str:
        columns = ", ".join(f"{quote(column)} AS {letter}{i}" for i, column in enumerate(names))
        keys = ", ".join(getattr(one, side) for one in by)
        order = ", ".join(getattr(one, side) for one in shared)
        return (
            f"SELECT *, row_number() OVER (PARTITION BY {keys} ORDER BY {order}) AS {letter} "
            f"FROM (SELECT {columns} FROM ({sql}))"
        )

    same = " AND ".join([*(f"{one.old} IS NOT DISTINCT FROM {one.new}" for one in by), "o = n"])
    differs = [f"{one.old} IS DISTINCT FROM {one.new}" for one in others]
    execute(
        f"CREATE TEMP TABLE {name} AS "
        f"WITH before AS ({numbered('old', old, [c.name for c in before], 'o')}), "
        f"now AS ({numbered('new', new, [c.name for c in now], 'n')}) "
        f"SELECT * FROM before FULL JOIN now ON {same} "
        f"WHERE o IS NULL OR n IS NULL OR {' OR '.join(differs) or 'false'}"
    )
    both = "o IS NOT NULL AND n IS NOT NULL"
    asked = ["o IS NULL", "n IS NULL", both, "o > 1 OR n > 1", *(f"{both} AND {one}" for one in differs)]
    counts = ", ".join(f"count(*) FILTER ({one})" for one in asked)
    added, removed, changed, again, *numbers = execute(f"SELECT {counts} FROM {name}").fetchone()
    by_column = sorted(
        ((one.name, n) for one, n in zip(others, numbers, strict=True) if n), key=lambda x: -x[1]
    )
    many = "several rows have one key; they are paired in the order of their values"
    return replace(
        told,
        added=added,
        removed=removed,
        changed=changed,
        by_column=tuple(by_column),
        notes=(many,) if again else (),
        some_added=show.sample(execute, name, "o IS NULL", _columns(now, "n"), _listed(one.new for one in by)),
        some_removed=show.sample(execute, name, "n IS NULL", _columns(before, "o"), _listed(one.old for one in by)),
        some_changed=tuple(_changed(execute, name, both, by, others, show)),
    )  # fmt: skip


def _changed(
    execute: _Execute, name: str, both: str, by: Sequence[_Shared], others: Sequence[_Shared], show: _Shown
) -> Iterator[ChangedRow]:
    """Some rows that are in both versions with other values."""
    if not show.most:
        return
    parts = [show.value(one.name, one.new) for one in by]
    for one in others:
        parts += [f"{one.old} IS DISTINCT FROM {one.new}", show.value(one.name, one.old)]
        parts.append(show.value(one.name, one.new))
    order = _listed(one.new for one in by)
    rows = execute(f"SELECT {', '.join(parts)} FROM {name} WHERE {both} ORDER BY {order} LIMIT {show.most}")
    for row in rows.fetchall():
        rest = iter(row[len(by) :])
        values = [
            (one.name, *three) for one, three in zip(others, zip(rest, rest, rest, strict=True), strict=True)
        ]
        yield ChangedRow(row[: len(by)], tuple((name, was, now) for name, other, was, now in values if other))


def _as_multisets(
    execute: _Execute, name: str, told: TableDifference, show: _Shown, before: Schema, now: Schema,
    shared: Sequence[_Shared], old: str, new: str,
) -> TableDifference:  # fmt: skip
    def named(sql: str, schema: Schema, letter: str) -> str:
        return f"SELECT {', '.join(f'{quote(c.name)} AS {letter}{i}' for i, c in enumerate(schema))} FROM ({sql})"

    if not shared:  # of no columns there is only a number of rows
        more = told.rows[1] - told.rows[0]
        return replace(told, added=max(more, 0), removed=max(-more, 0))
    one = (
        f"SELECT {_listed(f'{c.old} AS c{i}' for i, c in enumerate(shared))} FROM ({named(old, before, 'o')})"
    )
    two = f"SELECT {_listed(f'{c.new} AS c{i}' for i, c in enumerate(shared))} FROM ({named(new, now, 'n')})"
    execute(
        f"CREATE TEMP TABLE {name} AS SELECT true AS added, * FROM (({two}) EXCEPT ALL ({one})) "
        f"UNION ALL SELECT false, * FROM (({one}) EXCEPT ALL ({two}))"
    )
    added, removed = execute(
        f"SELECT count(*) FILTER (added), count(*) FILTER (NOT added) FROM {name}"
    ).fetchone()
    columns = [(each.name, f"c{i}") for i, each in enumerate(shared)]
    order = _listed(sql for _, sql in columns)
    return replace(
        told,
        added=added,
        removed=removed,
        some_added=show.sample(execute, name, "added", columns, order),
        some_removed=show.sample(execute, name, "NOT added", columns, order),
    )


def _unshared(db: Database, before: Table, now: Table) -> tuple[str, str]:
    """The queries for the rows that are not in files of both versions."""
    engine = DuckDB(db)
    if before.needs_own_reader or now.needs_own_reader:
        return frame_of(engine, before).sql, frame_of(engine, now).sql
    places = before.location(), now.location()
    both = {*places[0].files} & {*places[1].files}
    first, second = (
        engine.read(replace(place, files=tuple(file for file in place.files if file not in both))).sql
        for place in places
    )
    return first, second


def _count(db: Database, table: Table) -> int:
    return int(db.rows(f"SELECT count(*) FROM ({frame_of(DuckDB(db), table).sql})")[0][0])


def _records(schema: Schema) -> list[ColumnRecord]:
    return [ColumnRecord(name=column.name, type=column.type) for column in schema]


def _columns(schema: Schema, letter: str) -> list[tuple[str, str]]:
    return [(column.name, f"{letter}{index}") for index, column in enumerate(schema)]


def _listed(parts: Iterator[str] | Any) -> str:
    return ", ".join(parts)
