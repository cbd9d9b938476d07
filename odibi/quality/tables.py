"""Rules about a table as a whole, held against what it would be once the write is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from odibi.config.checks import (
    ColumnTypes,
    Freshness,
    Query,
    RowCount,
    SchemaChange,
    Unique,
    Volume,
    duration,
)
from odibi.datasets.digest import LONGEST_CELL, Sample
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckFrame, fused
from odibi.quality.rules import Rule
from odibi.relational.schema import Schema, quote

__all__ = ["Found", "Table", "broken"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it would be.

    Attributes:
        sql: the query of all its rows.
        bytes: what they take on disk.
        before: the columns it had until now, None where there was no table.
        newest: when the newest file was written that its rows were read from.
        composed: whether its rows are made of those that came in and those that were there.
        now: the instant at which the clock stands, None where it goes on.
    """

    sql: str
    schema: Schema
    bytes: int = 0
    before: Schema | None = None
    newest: datetime | None = None
    composed: bool = False
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong, nothing if the message is empty; with ``note`` it is worth telling and no more."""

    message: str = ""
    columns: tuple[str, ...] = ()
    examples: Sample = ()
    note: bool = False


def broken(db: Database, rule: Rule, table: Table, lookups: Mapping[str, str], dataset: str) -> Found:
    """What breaks the rule."""
    check = rule.check
    if isinstance(check, Query):
        return _found_by(db, check, table, lookups, dataset)
    return _TELL[type(check)](db, check, table)


def _found_by(db: Database, check: Query, table: Table, lookups: Mapping[str, str], dataset: str) -> Found:
    """The rows that a user's query finds."""
    from odibi.relational.clock import at_instant
    from odibi.relational.parse import parse, table_name, tables_in

    query = at_instant(parse(check.query).fold({})["data"], table.now)
    known = {dataset.lower(): table.sql, **{name.lower(): sql for name, sql in lookups.items()}}
    frames = {
        table_name(each): DuckFrame(known[table_name(each).lower()], stored=True) for each in tables_in(query)
    }
    sql = fused(query, frames).sql
    ((count,),) = db.rows(f"SELECT count(*) FROM ({sql})")
    if not count:
        return Found()
    cursor = db.cursor.execute(
        f"SELECT CAST(COLUMNS(*) AS VARCHAR)[:{LONGEST_CELL}] FROM ({sql}) ORDER BY ALL LIMIT 10"
    )
    columns = tuple(str(each[0]) for each in cursor.description or ())
    return Found(f"the query finds {count} rows", columns, tuple(cursor.fetchall()))


def _unique(db: Database, check: Unique, table: Table) -> Found:
    keys = ", ".join(map(quote, check.columns))
    known = " AND ".join(f"{quote(name)} IS NOT NULL" for name in check.columns)
    ((count,),) = db.rows(
        f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM ({table.sql}) WHERE {known} "
        f"GROUP BY {keys} HAVING count(*) > 1)"
    )
    return Found(f"{', '.join(check.columns)}: {count} rows more than keys" if count else "")


def _row_count(db: Database, check: RowCount, table: Table) -> Found:
    ((count,),) = db.rows(f"SELECT count(*) FROM ({table.sql})")
    if not count and check.min:
        return Found(f"Dataset is empty: 0 records, minimum required: {check.min}")
    if count < check.min:
        return Found(f"{count} records, minimum required: {check.min}")
    if check.max is not None and count > check.max:
        return Found(f"{count} records, maximum allowed: {check.max}")
    return Found()


def _freshness(db: Database, check: Freshness, table: Table) -> Found:
    newest: Any = table.newest
    if check.column is not None:
        ((newest,),) = db.rows(f"SELECT max({quote(check.column)}) FROM ({table.sql})")
    if newest is None:
        return Found("there is nothing to tell its age by")
    if isinstance(newest, date) and not isinstance(newest, datetime):
        newest = datetime(newest.year, newest.month, newest.day, tzinfo=UTC)
    if not isinstance(newest, datetime):
        return Found(f"{check.column} is no time")
    age = (table.now or datetime.now(UTC)) - (newest if newest.tzinfo else newest.replace(tzinfo=UTC))
    if age <= duration(check.within):
        return Found()
    hours = age.total_seconds() / 3600
    return Found(
        f"stale: the newest is of {newest:%Y-%m-%d %H:%M}, {hours:.1f} hours old; allowed {check.within}"
    )


def _volume(db: Database, check: Volume, table: Table) -> Found:
    ((count,),) = db.rows(f"SELECT count(*) FROM ({table.sql})")
    if check.max_rows is not None and count > check.max_rows:
        return Found(f"{count} rows, at most {check.max_rows} are allowed")
    if check.max_bytes is not None and table.bytes > check.max_bytes:
        return Found(f"{table.bytes} bytes, at most {check.max_bytes} are allowed")
    if count > check.large:
        return Found(f"large: {count} rows in {table.bytes} bytes", note=True)
    return Found(f"{count} rows in {table.bytes} bytes", note=True)


def _columns(db: Database, check: ColumnTypes, table: Table) -> Found:
    def canonical(kind: str) -> str:
        return str(db.rows(f"SELECT typeof(CAST(NULL AS {kind}))")[0][0])

    types = {column.name: column.type for column in table.schema}
    wrong = [f"{name} is missing" for name in check.columns if name not in types]
    wrong += [
        f"{name} is {types[name]}, not {kind}"
        for name, kind in check.columns.items()
        if kind is not None and name in types and canonical(types[name]) != canonical(kind)
    ]
    if check.others == "refuse":
        wrong += [f"{name} is not declared" for name in types if name not in check.columns]
    return Found("; ".join(wrong[:10]))


def _schema_change(_: Database, check: SchemaChange, table: Table) -> Found:
    if table.before is None:
        return Found()
    old = {column.name: column.type for column in table.before}
    new = {column.name: column.type for column in table.schema}
    changes = {
        "added": [f"{name} is new" for name in new if name not in old],
        "removed": [f"{name} is gone" for name in old if name not in new],
        "retyped": [
            f"{name} was {old[name]} and is {new[name]}"
            for name in new
            if name in old and old[name] != new[name]
        ],
    }
    said = [text for kind, found in changes.items() for text in found]
    refused = [text for kind, found in changes.items() if kind not in check.allow for text in found]
    return Found("; ".join(refused[:10])) if refused else Found("; ".join(said[:10]), note=bool(said))


_TELL: Mapping[type, Callable[[Database, Any, Table], Found]] = {
    Unique: _unique,
    RowCount: _row_count,
    Freshness: _freshness,
    Volume: _volume,
    ColumnTypes: _columns,
    SchemaChange: _schema_change,
}
