"""The content of rows as a number that does not depend on their order.

Count and sum of row hashes: equal tables have equal digests, and the digest of two sets of rows
together is the sum of theirs. XOR would lose duplicate rows, one digest per column would not tell
(1,a),(2,b) from (1,b),(2,a): who reads some of the columns is told by a digest of just that set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.engines.duckdb import literal, scan
from odibi.relational.schema import Column, Schema, quote
from odibi.relational.storage import delta_json

__all__ = ["LONGEST_CELL", "Digest", "Sample", "digest", "digests", "measure", "narrowed", "parts_of_schema"]

LONGEST_CELL = 200
"""Characters of a value that a sample shows."""

Sample = tuple[tuple[str | None, ...], ...]
"""A few rows as text, NULL as None."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Rows and the sum of their hashes, with the version of the hash function."""

    hash: str
    rows: int
    total: int

    def __str__(self) -> str:
        return f"{self.hash}:{self.rows}:{self.total:x}"

    @staticmethod
    def parse(text: str) -> Digest:
        """The digest that was written as text."""
        name, rows, total = text.split(":")
        return Digest(name, int(rows), int(total, 16))

    def plus(self, other: Digest) -> Digest | None:
        """The digest of both sets of rows, None where their hash functions differ."""
        if self.hash != other.hash:
            return None
        return Digest(self.hash, self.rows + other.rows, self.total + other.total)

    def minus(self, other: Digest) -> Digest | None:
        """The digest without the rows of ``other``, None where their hash functions differ."""
        return self.plus(Digest(other.hash, -other.rows, -other.total))


def parts_of_schema(schema: Schema, sets: Iterable[Sequence[str]]) -> tuple[Schema, ...]:
    """The sets of column names as schemas, without those that name a column there is not, or all there are."""
    names = {column.name for column in schema}
    return tuple(
        tuple(column for column in schema if column.name in wanted) for wanted in sets if names > set(wanted)
    )


def narrowed(version: str, sets: Iterable[str], schema: Schema, columns: Sequence[str] | None) -> str:
    """The data version for a reader of some columns: the digest of just those where it is known.

    Args:
        version: of the whole rows.
        sets: digests of sets of columns, as text.
        schema: all columns.
        columns: those the reader uses, None for all.
    """
    known = {text.partition(":")[0]: text for text in sets}
    if not known or columns is None:
        return version
    for part in parts_of_schema(schema, [columns]):
        for rounded in (False, True):
            if (name := _name(part, rounded)) in known:
                return known[name]
    return version


def digest(db: Database, location: Location, *, rounded: bool = False, where: str = "") -> Digest:
    """The digest of the rows at a location; see :func:`digests`."""
    return digests(db, location, rounded=rounded, where=where)[0]


def digests(
    db: Database, location: Location, *, rounded: bool = False, where: str = "", sets: Sequence[Schema] = ()
) -> tuple[Digest, ...]:
    """The digest of the rows at a location with a known schema, then that of each set of its columns.

    Args:
        db: reads the files.
        location: the files; their schema is part of the digest, so that columns with other names or
            types are another content.
        rounded: take doubles at 12 significant digits: sums made in parallel differ in the last bits
            each time they are made.
        where: a condition on the rows in SQL, all if empty.
        sets: some of the columns each.
    """
    schemas = (location.schema or (), *sets)
    if not location.files:
        return _made(schemas, rounded, [0] * (len(schemas) + 1))
    source = f"{scan(location)} WHERE {where}" if where else scan(location)
    return _made(schemas, rounded, db.rows(f"SELECT {_sums(schemas, rounded)} FROM ({source})")[0])


def measure(
    db: Database,
    location: Location,
    *,
    rounded: bool = False,
    sample: int = 0,
    masked: Sequence[str] = (),
    sets: Sequence[Schema] = (),
) -> tuple[tuple[Digest, ...], Sample]:
    """The :func:`digests` of staged rows and a few of them as text, in one pass over the files.

    Args:
        db: reads the files.
        location: Parquet files with a known schema.
        rounded: see :func:`digests`.
        sample: how many rows to show at most.
        masked: columns whose values are shown as asterisks.
        sets: some of the columns each.
    """
    schema = location.schema or ()
    # DuckDB numbers no rows that have a column of that name.
    numberless = any(column.name.lower() == "file_row_number" for column in schema)
    if not location.files or not sample or numberless:
        return digests(db, location, rounded=rounded, sets=sets), ()
    numbered = replace(location, options={**location.options, "file_row_number": True})
    fields = ", ".join(f"{literal(f'c{i}')}: {quote(column.name)}" for i, column in enumerate(schema))
    texts = ", ".join(
        f"CASE WHEN x.c{i} IS NOT NULL THEN '***' END"
        if column.name in masked
        else f"CAST(x.c{i} AS VARCHAR)[:{LONGEST_CELL}]"
        for i, column in enumerate(schema)
    )
    schemas = (schema, *sets)
    *found, cells = db.rows(
        f"SELECT * EXCLUDE (shown), list_transform(shown[1:{sample}], lambda x: [{texts}]) "
        f"FROM (SELECT {_sums(schemas, rounded)}, list({{{fields}}}) "
        f"FILTER (file_row_number < {sample}) AS shown FROM ({scan(numbered)}))"
    )[0]
    return _made(schemas, rounded, found), tuple(tuple(row) for row in cells or ())


def _sums(schemas: Sequence[Schema], rounded: bool) -> str:
    """Rows, then a sum of hashes for each of the schemas."""
    sums = ["count(*) AS rows"]
    for number, schema in enumerate(schemas):
        values = ", ".join(_value(column, rounded) for column in schema)
        sums.append(f"{f'coalesce(sum(hash({values})), 0)' if values else '0'} AS total_{number}")
    return ", ".join(sums)


def _made(schemas: Sequence[Schema], rounded: bool, found: Sequence[int]) -> tuple[Digest, ...]:
    rows, *totals = found
    return tuple(
        Digest(_name(schema, rounded), int(rows), int(total))
        for schema, total in zip(schemas, totals, strict=True)
    )


def _name(schema: Schema, rounded: bool) -> str:
    """What sums of hashes are comparable within: DuckDB's hash may change with its version."""
    import duckdb

    columns = json.dumps([[c.name, delta_json(c.type), rounded and _is_double(c)] for c in schema])
    version = ".".join(duckdb.__version__.split(".")[:2])
    return f"duckdb{version}-{hashlib.blake2b(columns.encode(), digest_size=4).hexdigest()}"


def _value(column: Column, rounded: bool) -> str:
    name = quote(column.name)
    if not rounded or not _is_double(column):
        return name
    return (
        f"CASE WHEN {name} = 0 OR NOT isfinite({name}) THEN {name} "
        f"ELSE round({name}, 11 - CAST(floor(log10(abs({name}))) AS INTEGER)) END"
    )


def _is_double(column: Column) -> bool:
    return column.type in ("DOUBLE", "FLOAT")
