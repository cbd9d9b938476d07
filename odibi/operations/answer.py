"""One call of a user function over Arrow rows: in a thread, in another process, on a Spark worker alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.engines.pandas import dataframe
from odibi.operations.loading import load
from odibi.operations.python import CONTEXT, Context, Function
from odibi.operations.returned import batches_of

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.engines.base import Engine, Frame
    from odibi.relational.schema import Schema

__all__ = ["Answer", "Call", "Fit", "answer", "ask", "opened", "received", "spool"]

Fit = Callable[["Engine", Function, "Frame", "Schema"], "tuple[Frame, Schema]"]
"""Holds what a function returned against what it declares: the frame with just those columns."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it can be sent anywhere: the function, and what it is given beside rows."""

    function: Function
    params: Mapping[str, Any]
    context: Context
    fit: Fit


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows a function returned, and what the story should warn about once they have been read."""

    rows: pa.RecordBatchReader
    warnings: list[str]


def answer(call: Call, tables: Mapping[str, pa.RecordBatchReader], folder: Path) -> Answer:
    """What the function makes of its tables, called once, or per batch or group of them.

    ``folder`` is for what need not be in memory meanwhile.

    Raises:
        Permanent: it returned something that is no table.
        Exception: whatever the function raises, perhaps only while the rows are read.
    """
    if call.function.per is not None:
        from odibi.operations.parts import in_parts

        ((_, rows),) = tables.items()
        return in_parts(call, rows, folder)
    given = [received(tables[name], wants) for name, wants in call.function.inputs.items()]
    rows, warnings = batches_of(ask(call, *given), call.function)
    return Answer(rows, list(warnings))


def ask(call: Call, *tables: Any) -> Any:
    """What the function returns; its parameters are its own to change."""
    target = load(call.function)
    keywords = deepcopy(dict(call.params))
    if call.function.context:
        keywords[CONTEXT] = call.context
    return target(*tables, **keywords)


def received(rows: pa.RecordBatchReader, wants: str) -> Any:
    """The rows in the form that a parameter's annotation asks for."""
    if wants == "batches":
        return rows
    table = rows.read_all()
    return table if wants == "arrow" else dataframe(table)


def spool(rows: pa.RecordBatchReader, file: Path) -> None:
    """Write a stream to a file, batch by batch."""
    import pyarrow as pa

    file.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
        for batch in rows:
            writer.write_batch(batch)


def opened(file: Path) -> pa.RecordBatchReader:
    """The stream in a file, mapped into memory; the file's name is gone, its bytes when nobody reads them."""
    import pyarrow as pa

    rows = pa.ipc.open_stream(pa.memory_map(str(file)))
    file.unlink()
    return rows
