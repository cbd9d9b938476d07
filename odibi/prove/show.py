"""A difference as texts: the rows that show it, and of the answers the rows that are not on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from odibi.prove.compare import unmatched
from odibi.prove.model import Answer, Difference, Failure, Table
from odibi.relational.schema import Column, Schema, masked, quote

__all__ = ["Block", "blocks"]

MOST = 8
"""Rows of an answer that are shown."""

MASK = "*****"


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under a label, every value as DuckDB prints it.

    ``note`` says what stands in their place or beside them, ``message`` why an engine failed.
    """

    label: str
    schema: Schema
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    message: str = ""

    def only(self, names: Iterable[str]) -> Block:
        """The block with just these columns."""
        wanted = set(names)
        at = [number for number, column in enumerate(self.schema) if column.name in wanted]
        rows = tuple(tuple(row[number] for number in at) for row in self.rows)
        return replace(self, schema=tuple(self.schema[number] for number in at), rows=rows)


def blocks(
    difference: Difference, sensitive: Sequence[str] = ()
) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """The inputs of a difference and the answers to them; columns that match ``sensitive`` are masked."""
    inputs = tuple(_block(name, table, sensitive) for name, table in difference.inputs.items())
    rows = _telling(*difference.answers.values())
    answers = (
        _answer(name, answer, some, sensitive)
        for (name, answer), some in zip(difference.answers.items(), rows, strict=True)
    )
    return inputs, tuple(answers)


def _telling(right: Answer, other: Answer) -> tuple[Sequence[int] | None, Sequence[int] | None]:
    """Which rows of each answer tell the difference; None for all of them."""
    if isinstance(right, Failure) or isinstance(other, Failure) or right.schema != other.schema:
        return None, None
    missing, extra = unmatched(right, other)
    return (missing, extra) if missing or extra else (None, None)


def _answer(name: str, answer: Answer, rows: Sequence[int] | None, sensitive: Sequence[str]) -> Block:
    if isinstance(answer, Failure):
        return Block(name, (), (), "fails", str(answer))
    table = answer if rows is None else answer.take(rows)
    block = _block(name, table.take(range(min(len(table), MOST))), sensitive)
    more = len(table) - MOST
    note = "no row" if len(answer) == 0 else "no other row" if len(table) == 0 else ""
    return replace(block, note=f"and {more} more rows" if more > 0 else note)


def _block(name: str, table: Table, sensitive: Sequence[str]) -> Block:
    import duckdb

    with duckdb.connect(config={"threads": "1", "python_enable_replacements": "false"}) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.register("rows", table.rows)
        values = ", ".join(_text(column, sensitive) for column in table.schema)
        rows = database.execute(f"SELECT {values} FROM rows").fetchall() if table.schema else []
    return Block(name, table.schema, tuple(tuple(row) for row in rows), "" if len(table) else "no row")


def _text(column: Column, sensitive: Sequence[str]) -> str:
    name = quote(column.name)
    value = f"CAST({name} AS VARCHAR)"
    if masked((column,), sensitive):
        value = f"CASE WHEN {name} IS NOT NULL THEN '{MASK}' END"
    elif column.type == "VARCHAR":  # in quotes, or blanks at its ends were not to be seen
        value = f"'''' || replace({name}, '''', '''''') || ''''"
    return f"coalesce({value}, 'NULL')"
