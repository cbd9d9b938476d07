"""How many rows each operation of a step had and left, and how often a division was by zero.

What follows from the query and from the rows that came in and were kept costs nothing. The rest is counted
by one more query where the step asks for it with ``count_rows``, which computes the operations again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi.operations.enrich import divisors
from odibi.record.model import OperationRecord
from odibi.relational.schema import Column

if TYPE_CHECKING:
    from sqlglot import exp

    from odibi.engines.base import Engine, Frame
    from odibi.relational.compile import Compiled

__all__ = ["Counts", "count", "reported"]

Operations = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows before the first operation and after each, None where they were not counted; and warnings."""

    rows: tuple[int | None, ...] = ()
    warnings: tuple[str, ...] = ()


def count(
    engine: Engine, operations: Operations, compiled: Compiled, inputs: Mapping[str, Frame], *, rows: bool
) -> Counts:
    """What a query can tell of the operations; nothing is asked if there is nothing to ask.

    Args:
        engine: who computes the step.
        operations: as the step declares them.
        compiled: the query of them all.
        inputs: its frames by dataset; the first is the one transformed.
        rows: whether the rows of each operation are to be counted. Divisions by zero always are.
    """
    zeros = [
        (number, made, by)
        for number, operation in enumerate(operations)
        for name, value in operation.items()
        for made, by in (divisors(value) if name == "enrich" else ())
    ]
    if not rows and not zeros:
        return Counts((None,) * (len(operations) + 1))
    tables, query = _links(compiled, next(iter(inputs)))
    asked = [_counted(table) for table in tables if rows]
    asked += [_counted(tables[number], zero=by) for number, _, by in zeros]
    for number, each in enumerate(asked):
        query = query.select(each.subquery().as_(f"n{number}"), copy=False)
    schema = tuple(Column(f"n{number}", "BIGINT") for number in range(len(asked)))
    frame = engine.query(query, {name: inputs[name] for name in compiled.inputs}, schema)
    found = [int(column[0].as_py()) for column in engine.to_arrow(frame).read_all().columns]
    told = zip(zeros, found[len(asked) - len(zeros) :], strict=True)
    return Counts(
        tuple(found[: len(tables)]) if rows else (None,) * len(tables),
        tuple(f"{made!r} is NULL in {n:,} rows, where {by!r} is 0" for (_, made, by), n in told if n),
    )


def reported(
    operations: Operations, compiled: Compiled, counts: Counts, first: int | None, last: int | None
) -> tuple[OperationRecord, ...]:
    """Each operation with its rows in and out, as far as they are known.

    Args:
        operations: as the step declares them.
        compiled: the query of them all.
        counts: what was counted.
        first: rows of the first input.
        last: rows of the result.
    """
    rows = list(counts.rows)
    rows[0] = first if rows[0] is None else rows[0]
    rows[-1] = last if rows[-1] is None else rows[-1]
    same = [_keeps_rows(cte.this) for cte in compiled.query.ctes] + [_keeps_rows(_alone(compiled.query))]
    for number in range(len(same)):
        if same[number] and rows[number + 1] is None:
            rows[number + 1] = rows[number]
    for number in reversed(range(len(same))):
        if same[number] and rows[number] is None:
            rows[number] = rows[number + 1]
    return tuple(
        OperationRecord(name=next(iter(operation)), rows_in=rows[number], rows_out=rows[number + 1])
        for number, operation in enumerate(operations)
    )


def _links(compiled: Compiled, first: str) -> tuple[list[str], exp.Select]:
    """The tables before, between and after the operations, and a query of nothing that knows them."""
    from sqlglot import exp

    query, names = exp.Select(), [first]
    for cte in compiled.query.ctes:
        names.append(cte.alias)
        query = query.with_(exp.to_identifier(names[-1], quoted=True), as_=cte.this.copy(), copy=False)
    names.append(f"odibi_{len(names)}")
    query = query.with_(exp.to_identifier(names[-1], quoted=True), as_=_alone(compiled.query), copy=False)
    return names, query


def _alone(query: exp.Query) -> exp.Query:
    """The last of the operations, without those before it."""
    alone = query.copy()
    alone.set("with_", None)
    return alone


def _counted(table: str, zero: str = "") -> exp.Select:
    from sqlglot import exp

    counted = exp.select(exp.Count(this=exp.Star())).from_(exp.table_(table, quoted=True))
    if zero:
        counted = counted.where(exp.EQ(this=exp.column(zero, quoted=True), expression=exp.Literal.number(0)))
    return counted


def _keeps_rows(query: exp.Query) -> bool:
    """Whether a query gives a row for each row of its only table, as far as can be seen."""
    from sqlglot import exp

    others = (
        *(exp.Where, exp.Group, exp.Qualify, exp.Join, exp.Limit, exp.Distinct, exp.SetOperation),
        *(exp.Explode, exp.Unnest, exp.Anonymous),
    )
    return query.find(*others) is None and all(
        call.find_ancestor(exp.Window) is not None for call in query.find_all(exp.AggFunc)
    )
