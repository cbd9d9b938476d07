"""Differences between engines, drawn for people: the rows that show one, and the answers below each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from odibi.cli.terminal import Cell, clean, table
from odibi.prove.model import Difference, StepProof
from odibi.prove.show import Block, blocks

__all__ = ["drawn"]

WIDTH = 100
LONGEST = 44  # characters of a value

_ORDER = (
    "DuckDB's own answer depends on the order of these rows, and a table has none:",
    "give ORDER BY, row_number() or the aggregate an order without ties.",
)


def drawn(step: StepProof, difference: Difference, sensitive: Sequence[str]) -> Iterator[str]:
    """The lines about one difference."""
    inputs, answers = blocks(difference, sensitive)
    yield f"{step.where}: step {step.name!r}: {difference.engine} {difference.said}"
    for block in inputs:
        yield from _rows((_telling(block),), block.label)
    yield from _rows(_alike(answers), "answer")
    for block in answers:
        if block.message:
            yield ""
            yield from _wrapped(f"{block.label}: {clean(block.message)}")
    if difference.ordered:
        yield from ("", *(f"  {line}" for line in _ORDER))


def _telling(block: Block) -> Block:
    """The block without the columns that hold nothing but NULL."""
    names = [
        column.name for at, column in enumerate(block.schema) if any(row[at] != "NULL" for row in block.rows)
    ]
    return block.only(names) if block.rows else block.only(())


def _alike(answers: Sequence[Block]) -> tuple[Block, ...]:
    """The answers without the columns in which they are the same, where they have the same columns."""
    right, other = answers
    if right.schema != other.schema:
        return tuple(answers)
    if len(right.rows) != len(other.rows):
        told = {column.name for block in answers for column in _telling(block).schema}
        return tuple(block.only(told) for block in answers)
    differ = [
        column.name
        for at, column in enumerate(right.schema)
        if [row[at] for row in right.rows] != [row[at] for row in other.rows]
    ]
    return tuple(block.only(differ) for block in answers)


def _rows(shown: Sequence[Block], label: str) -> Iterator[str]:
    """One table for an input, or for both answers; turned over where it would be too wide."""
    yield ""
    for schema in dict.fromkeys(block.schema for block in shown if block.schema) or [()]:
        blocks = [block for block in shown if block.schema in (schema, ())]
        names, types = [column.name for column in schema], [column.type for column in schema]
        lines = [line for block in blocks for line in _lines(block, alone=len(shown) == 1)]
        kinds: list[Sequence[Cell]] = [("", *((kind, "dim") for kind in types))] if names else []
        text = table((label, *(names or [""])), [*kinds, *lines])
        if max(map(len, text.splitlines())) > WIDTH and names:
            turned: list[Sequence[Cell]] = [
                (name, (kind, "dim"), *(line[at] if at < len(line) else "" for line in lines))
                for at, (name, kind) in enumerate(zip(names, types, strict=True), 1)
            ]
            text = table((label, "", *(line[0] or f"row {n}" for n, line in enumerate(lines, 1))), turned)
        yield from (f"  {line}" for line in text.splitlines())


def _lines(block: Block, *, alone: bool) -> Iterator[Sequence[str]]:
    """The rows with their label, and what else is to be said of them."""
    name = "" if alone else block.label
    if block.schema:
        yield from ((name, *map(_short, row)) for row in block.rows)
    elif block.rows:
        yield name, f"{len(block.rows)} row{'s' * (len(block.rows) != 1)} of NULL"
    if block.note:
        yield name, f"({clean(block.note)})"


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}..."
