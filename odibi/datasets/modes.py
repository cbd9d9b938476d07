"""What merge and scd2 mean: queries over the rows of the touched files and those that come in.

Both are functions of sets of rows, not of the order in which they came: a change that comes late
finds its place, one that comes twice changes nothing. For that a table remembers, beside its rows,
what they do not show: when a key was deleted, and (scd2) which changes said nothing new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlglot import exp, parse_one

from odibi.relational.rules import apply_rules
from odibi.relational.schema import Column, Schema, quote

__all__ = [
    "BESIDE",
    "CURRENT",
    "DELETED",
    "FROM",
    "SEQUENCE",
    "TO",
    "Keyed",
    "beside_schema",
    "history",
    "merged",
]

BESIDE = "odibi/beside"
"""The transaction of the commit whose note tells what the table remembers beside its rows."""

DELETED = "odibi_deleted"
SEQUENCE = "odibi_sequence"
"""Columns of what a table remembers beside its rows: the key, its sequence, whether it was deleted then."""

FROM, TO, CURRENT = "valid_from", "valid_to", "is_current"
"""The columns that scd2 adds."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """What identifies and orders the rows of a write.

    Attributes:
        keys: columns that identify a row.
        sequence: the column that orders the changes of a key, None where the last to come wins.
        now: SQL of what stands for it where there is none.
        deleted: SQL that is true for rows which delete; empty where none does.
        given: the columns of the incoming rows that the table keeps.
        schema: the columns of the table.
    """

    keys: tuple[str, ...]
    sequence: str | None
    now: str
    deleted: str
    given: tuple[str, ...]
    schema: Schema

    def query(self, sql: str) -> exp.Query:
        """The SQL as a tree with odibi's rules applied."""
        tree = parse_one(sql, dialect="duckdb")
        if not isinstance(tree, exp.Query):
            raise TypeError(f"no query: {sql}")
        return apply_rules(tree)

    @property
    def changes(self) -> str:
        """The incoming rows with their sequence and whether they delete, each change once."""
        order = f"{quote(SEQUENCE)} DESC, {quote(DELETED)} DESC"
        return (
            f"SELECT * EXCLUDE (odibi_row) FROM (SELECT *, row_number() OVER "
            f"(PARTITION BY {_list(self.keys)} ORDER BY {order}) AS odibi_row FROM ({self.incoming})) "
            "WHERE odibi_row = 1"
        )

    @property
    def incoming(self) -> str:
        """The incoming rows with their sequence and whether they delete."""
        return (
            f"SELECT {_list(self.given)}, {quote(self.sequence) if self.sequence else self.now} AS {quote(SEQUENCE)}, "
            f"coalesce({self.deleted or 'false'}, false) AS {quote(DELETED)} FROM incoming"
        )


def beside_schema(keyed: Keyed, sequence: str) -> Schema:
    """The columns of what is remembered beside the rows; ``sequence`` is that column's type."""
    types = {column.name: column.type for column in keyed.schema}
    keys = tuple(Column(name, types[name]) for name in keyed.keys)
    return (*keys, Column(SEQUENCE, sequence), Column(DELETED, "BOOLEAN"))


def merged(keyed: Keyed, *, beside: bool) -> tuple[exp.Query, exp.Query]:
    """The rows of the touched files after a merge, and what is to be remembered of deletes.

    The tables are ``target`` (the touched files), ``incoming`` and, with ``beside``, what the
    table remembers. A row is replaced by one whose sequence is not below its own; a delete is
    remembered with its sequence, so that an older row that comes later stays deleted.
    """
    new = keyed.changes
    same = _equal(keyed.keys, "t", "i")
    own = f"t.{quote(keyed.sequence)}" if keyed.sequence else "NULL"
    newer = f"({own} IS NULL OR i.{quote(SEQUENCE)} >= {own})" if keyed.sequence else "true"
    columns = [f"i.{quote(c.name)}" if c.name in keyed.given else f"t.{quote(c.name)}" for c in keyed.schema]
    table = _list(column.name for column in keyed.schema)
    stays = f"SELECT {_list((c.name for c in keyed.schema), 't')} FROM target t LEFT JOIN ({new}) i ON {same} WHERE i.{quote(DELETED)} IS NULL OR NOT {newer}"
    first = keyed.keys[0]
    comes = (
        f"SELECT {', '.join(f'{c} AS {quote(n.name)}' for c, n in zip(columns, keyed.schema, strict=True))} "
        f"FROM ({new}) i LEFT JOIN target t ON {same}"
        + (f" LEFT JOIN beside b ON {_equal(keyed.keys, 'b', 'i')}" if beside else "")
        + f" WHERE NOT i.{quote(DELETED)} AND (t.{quote(first)} IS NULL OR {newer})"
        + (f" AND (b.{quote(first)} IS NULL OR i.{quote(SEQUENCE)} >= b.{quote(SEQUENCE)})" if beside else "")
    )
    rows = f"SELECT {table} FROM ({stays}) UNION ALL SELECT {table} FROM ({comes})"
    kept = f"{_list(keyed.keys)}, {quote(SEQUENCE)}, {quote(DELETED)}"
    gone = f"SELECT {kept} FROM ({new}) WHERE {quote(DELETED)}"
    if beside:
        gone = (
            f"SELECT {kept} FROM (SELECT *, row_number() OVER (PARTITION BY {_list(keyed.keys)} ORDER BY "
            f"{quote(SEQUENCE)} DESC) AS odibi_row FROM (SELECT {kept} FROM beside UNION ALL {gone})) "
            "WHERE odibi_row = 1"
        )
    return keyed.query(rows), keyed.query(gone)


def history(keyed: Keyed, *, beside: bool) -> tuple[exp.Query, exp.Query]:
    """The versions of the touched files' keys after changes came in, and what is to be remembered.

    A key's history is computed anew from all its changes: the versions there are, the remembered
    ones, and those that come in, which win over others of the same key and time. A change that
    says what the one before it said makes no version, and is remembered for the day when a change
    between the two comes late; so is a delete, which ends the version before it.
    """
    attributes = [name for name in keyed.given if name not in keyed.keys]
    values = _list(attributes) + ", " if attributes else ""
    columns = f"{_list(keyed.keys)}, {values}{quote(SEQUENCE)}, {quote(DELETED)}"
    touched = f"SELECT {_list(keyed.keys)} FROM ({keyed.incoming}) GROUP BY {_list(keyed.keys)}"
    events = [
        f"SELECT {columns}, 0 AS odibi_old FROM ({keyed.incoming})",
        (
            f"SELECT {_list((*keyed.keys, *attributes), 't')}, t.{quote(FROM)} AS {quote(SEQUENCE)}, "
            f"false AS {quote(DELETED)}, 1 AS odibi_old FROM target t JOIN ({touched}) k "
            f"ON {_equal(keyed.keys, 't', 'k')}"
        ),
    ]
    if beside:
        said = "".join(
            f"CASE WHEN b.{quote(DELETED)} THEN NULL ELSE {f'b.{quote(SEQUENCE)}' if a == keyed.sequence else f't.{quote(a)}'} END AS {quote(a)}, "
            for a in attributes
        )
        events.append(
            f"SELECT {_list(keyed.keys, 'b')}, {said}b.{quote(SEQUENCE)}, b.{quote(DELETED)}, 1 AS odibi_old "
            f"FROM beside b JOIN ({touched}) k ON {_equal(keyed.keys, 'b', 'k')} "
            f"LEFT JOIN target t ON {_equal(keyed.keys, 't', 'b')} AND t.{quote(FROM)} <= b.{quote(SEQUENCE)} "
            f"AND (t.{quote(TO)} IS NULL OR b.{quote(SEQUENCE)} < t.{quote(TO)})"
        )
    key = _list(keyed.keys)
    once = (
        f"SELECT {columns} FROM (SELECT *, row_number() OVER (PARTITION BY {key}, {quote(SEQUENCE)} "
        f"ORDER BY odibi_old, {quote(DELETED)} DESC) AS odibi_row FROM ({' UNION ALL '.join(events)})) WHERE odibi_row = 1"
    )
    over = f"OVER (PARTITION BY {key} ORDER BY {quote(SEQUENCE)})"
    differs = " OR ".join(
        f"{quote(name)} IS DISTINCT FROM lag({quote(name)}) {over}"
        for name in (*attributes, DELETED)
        if name != keyed.sequence
    )
    # The first change of a key has none before it: lag() of DELETED is NULL, and so distinct.
    marked = f"SELECT {columns}, {differs} AS odibi_new FROM ({once})"
    spans = f"SELECT {columns}, lead({quote(SEQUENCE)}) {over} AS {quote(TO)} FROM ({marked}) WHERE odibi_new"
    made = {
        FROM: f"s.{quote(SEQUENCE)}",
        TO: f"s.{quote(TO)}",
        CURRENT: f"s.{quote(TO)} IS NULL",
    }
    shown = ", ".join(
        f"{made[c.name]} AS {quote(c.name)}" if c.name in made
        else f"{'s' if c.name in keyed.given else 't'}.{quote(c.name)}"
        for c in keyed.schema
    )  # fmt: skip
    versions = f"SELECT {shown} FROM ({spans}) s"
    if any(c.name not in made and c.name not in keyed.given for c in keyed.schema):
        # Of columns that no longer come, a version keeps what was true at its time.
        versions += (
            f" LEFT JOIN target t ON {_equal(keyed.keys, 't', 's')} AND t.{quote(FROM)} <= s.{quote(SEQUENCE)} "
            f"AND (t.{quote(TO)} IS NULL OR s.{quote(SEQUENCE)} < t.{quote(TO)})"
        )
    table = _list(column.name for column in keyed.schema)
    rest = f"SELECT {_list((c.name for c in keyed.schema), 't')} FROM target t LEFT JOIN ({touched}) k ON {_equal(keyed.keys, 't', 'k')} WHERE k.{quote(keyed.keys[0])} IS NULL"
    rows = (
        f"SELECT {table} FROM ({rest}) UNION ALL "
        f"SELECT {table} FROM ({versions} WHERE NOT s.{quote(DELETED)})"
    )
    kept = f"{key}, {quote(SEQUENCE)}, {quote(DELETED)}"
    remembered = f"SELECT {kept} FROM ({marked}) WHERE {quote(DELETED)} OR NOT odibi_new"
    if beside:
        others = f"SELECT {_list((*keyed.keys, SEQUENCE, DELETED), 'b')} FROM beside b LEFT JOIN ({touched}) k ON {_equal(keyed.keys, 'b', 'k')} WHERE k.{quote(keyed.keys[0])} IS NULL"
        remembered = f"{others} UNION ALL {remembered}"
    return keyed.query(rows), keyed.query(remembered)


def _list(names: Iterable[str], alias: str = "") -> str:
    before = f"{alias}." if alias else ""
    return ", ".join(before + quote(name) for name in names)


def _equal(keys: Sequence[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{quote(key)} = {right}.{quote(key)}" for key in keys)
