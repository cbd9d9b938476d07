"""Functions called for parts of their input, ``@step(per=...)``: any few rows, or the rows of a group.

Every part comes back in the columns the function declares, so parts of one step fit together however
their values look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.operations.answer import Answer, Call, ask, received
from odibi.operations.fitting import Fitting, arrow_schema
from odibi.operations.returned import batches_of
from odibi.relational.schema import quote

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

__all__ = ["GROUP", "grouped", "in_parts", "one_part"]

GROUP = "odibi group"
"""The column that numbers the groups of rows, added by :func:`grouped` and taken out again."""


def grouped(keys: Sequence[str]) -> exp.Query:
    """The query that numbers the rows of the table ``rows`` by group, and gives them group after group."""
    from sqlglot import exp, parse_one

    by = ", ".join(map(quote, keys))
    query = parse_one(
        f"SELECT *, dense_rank() OVER (ORDER BY {by}) AS {quote(GROUP)} FROM rows ORDER BY {quote(GROUP)}",
        dialect="duckdb",
    )
    assert isinstance(query, exp.Query)  # noqa: S101 - for the type checker
    return query


def in_parts(call: Call, rows: pa.RecordBatchReader, folder: Path) -> Answer:
    """The function called for each part of the rows, in the columns it declares.

    Groups come as :func:`grouped` makes them. One part at a time is in memory.
    """
    import pyarrow as pa

    warnings: list[str] = []
    parts = _batches(rows) if call.function.per == "batch" else _groups(rows)
    schema = arrow_schema(call.function.schema or ())

    def results() -> Iterator[pa.RecordBatch]:
        with Fitting(call, folder) as fitting:
            for part in parts:
                yield from one_part(call, part, fitting, warnings).to_batches()

    return Answer(pa.RecordBatchReader.from_batches(schema, results()), warnings)


def one_part(call: Call, part: pa.Table, fitting: Fitting, warnings: list[str]) -> pa.Table:
    """What the function makes of some rows, in the columns it declares; new warnings are added."""
    (wants,) = call.function.inputs.values()
    rows, told = batches_of(ask(call, received(part.to_reader(), wants)), call.function)
    warnings += [warning for warning in told if warning not in warnings]
    return fitting(rows.read_all())


def _batches(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    import pyarrow as pa

    for batch in rows:
        if batch.num_rows:
            yield pa.Table.from_batches([batch])


def _groups(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.compute as pc

    group: list[pa.RecordBatch] = []
    number = None
    for batch in rows:
        given, start = batch.drop_columns([GROUP]), 0
        counts: Any = pc.value_counts(batch.column(GROUP))
        for each in counts.to_pylist():
            if group and each["values"] != number:
                yield pa.Table.from_batches(group)
                group = []
            group.append(given.slice(start, each["counts"]))
            number, start = each["values"], start + each["counts"]
    if group:
        yield pa.Table.from_batches(group)
