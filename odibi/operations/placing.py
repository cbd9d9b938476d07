"""Where a function can be called: what its annotations and ``per`` mean for an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from odibi.errors import nearest
from odibi.operations.python import Function
from odibi.relational.schema import Schema
from odibi.relational.types import nested

__all__ = ["can_move", "cautions", "objections", "objections_to_keys"]


def can_move(function: Function | None, engine: str) -> bool:
    """Whether a step of that engine can compute in another process, with the function if it has one."""
    wants = function.inputs.values() if function is not None else ()
    own = ("duckdb", "native") if engine == "duckdb" else ("duckdb",)
    return engine != "spark" and not any(each in own for each in wants)


_TABLES = {"duckdb": "duckdb.DuckDBPyRelation", "spark": "pyspark.sql.DataFrame"}


def objections(
    function: Function, engine: str, schemas: Mapping[str, Schema | None], *, processes: bool
) -> Iterator[tuple[str, str]]:
    """Why the function cannot be called on an engine, each with what to do.

    Args:
        function: the function.
        engine: who computes the step.
        schemas: the columns of each of its inputs, None where only the run will tell.
        processes: whether functions run in processes of their own.
    """
    for name, wants in function.inputs.items():
        if wants in _TABLES and wants != engine:
            yield (
                f"{function.name}() takes {name!r} as {_TABLES[wants]}, and the step runs on {engine}",
                f"engine: {wants} for this step, or annotate pd.DataFrame or pa.Table, which every engine gives",
            )
        elif processes and (wants == "duckdb" or (wants == "native" and engine == "duckdb")):
            yield (
                f"{function.name}() takes {name!r} as the engine's own table, which cannot go to another process",
                "annotate pd.DataFrame, pa.Table or pa.RecordBatchReader, or set backend: threads and no resources",
            )
    if isinstance(function.per, tuple):
        for schema in schemas.values():
            yield from objections_to_keys(function, schema) if schema is not None else ()


def objections_to_keys(function: Function, schema: Schema) -> Iterator[tuple[str, str]]:
    """Why rows of these columns do not come in the groups that the function is called for."""
    types = {column.name: column.type for column in schema}
    for key in function.per or ():
        if key not in types:
            message = f"{function.name}() is called per {key!r}, which is no column of its input"
            yield message, nearest(key, types, "its columns")
        elif nested(types[key]) is not None:
            message = f"{function.name}() is called per {key!r}, which is of type {types[key]}"
            yield message, "group by columns of plain values"


def cautions(function: Function, engine: str, *, limited: bool) -> Iterator[str]:
    """What is right but costs much on that engine, or does not do all that is asked for.

    ``limited`` says that the step has a timeout.
    """
    if limited and function.per is None and not can_move(function, engine):
        yield (
            f"{function.name}() cannot be ended at its timeout, only the queries it runs: it is left alone "
            "and nothing of it is published; the run goes on without it"
        )
    collected = [name for name, wants in function.inputs.items() if wants in ("pandas", "arrow", "batches")]
    if engine == "spark" and function.per is None and collected:
        yield (
            f"{function.name}() collects {', '.join(collected)} to the driver: declare "
            '@step(per="batch") or per=["column"] to have it called where the rows are'
        )
