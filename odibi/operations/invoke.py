"""User functions called in the run: given rows of an engine, their rows taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.engines.base import Engine, Frame
from odibi.errors import Permanent
from odibi.operations.answer import Answer, Call, answer, ask, opened, received, spool
from odibi.operations.placing import objections_to_keys
from odibi.operations.python import Function
from odibi.operations.returned import batches_of, refuse_twins
from odibi.relational.schema import Column, Schema

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.operations.process import Aside, Workers

__all__ = ["call"]

_OWN = ("native", "duckdb", "spark")
"""What a parameter wants that is no copy of the engine's table but that table."""


def call(
    engine: Engine,
    asked: Call,
    tables: Mapping[str, tuple[Frame, Schema]],
    folder: Path,
    workers: Aside | Workers | None = None,
) -> tuple[pa.RecordBatchReader | tuple[Frame, Schema], Sequence[str]]:
    """Call the function; the rows it returned, and what the story should warn about.

    The rows are batches, or a frame with its columns where it returned the engine's own table.

    Args:
        engine: whose frames the tables are.
        asked: the function, and what it is given beside tables.
        tables: its input, by parameter.
        folder: where rows are put that need not be in memory; it is created when needed.
        workers: the processes to call it in, this one if None.

    Raises:
        Permanent: it returned something that is no table.
        Exception: whatever the function raises.
    """
    function = asked.function
    if isinstance(function.per, tuple):
        for _, columns in tables.values():
            for message, hint in objections_to_keys(function, columns):
                raise Permanent(message, where=function.place, hint=hint)
    if function.per is not None and engine.name == "spark":
        from odibi.operations.distributed import distributed

        ((frame, _),) = tables.values()
        return distributed(engine, asked, frame), ()
    if workers is not None or function.per is not None:
        given = {name: _rows(engine, function, *table) for name, table in tables.items()}
        made = workers.answer(asked, given, folder) if workers is not None else _kept(asked, given, folder)
        return made.rows, made.warnings
    result = ask(
        asked, *[_received(engine, tables[name][0], wants) for name, wants in function.inputs.items()]
    )
    if (wrapped := engine.wrap(result)) is not None:
        refuse_twins([column.name for column in wrapped[1]], function)
        return wrapped, ()
    return batches_of(result, function)


def _rows(engine: Engine, function: Function, frame: Frame, columns: Schema) -> pa.RecordBatchReader:
    """The rows as they are handed over: those of a group together, if the function is called for groups."""
    if isinstance(function.per, tuple):
        from odibi.operations.parts import GROUP, grouped

        frame = engine.query(grouped(function.per), {"rows": frame}, (*columns, Column(GROUP, "BIGINT")))
    return engine.to_arrow(frame)


def _kept(asked: Call, tables: Mapping[str, pa.RecordBatchReader], folder: Path) -> Answer:
    """The answer computed and put into a file, so that what goes wrong goes wrong here."""
    made, file = answer(asked, tables, folder), folder / "out.arrow"
    spool(made.rows, file)
    return Answer(opened(file), made.warnings)


def _received(engine: Engine, frame: Frame, wants: str) -> Any:
    if wants in _OWN or (wants == "pandas" and engine.name == "pandas"):
        return engine.native(frame)
    return received(engine.to_arrow(frame), wants)
