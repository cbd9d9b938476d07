"""What an engine is: a dialect, methods that move rows, and what user functions receive and return.

All else is a function beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from odibi.relational.schema import Schema

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

__all__ = ["Engine", "Frame", "Location", "Part", "Staged"]

Frame = Any
"""An engine's native table, opaque to everything but the engine."""


@dataclass(frozen=True, slots=True)
class Location:
    """Files of one format that together are one table.

    ``schema`` is what the rows must look like (columns missing in a file are NULL, others are
    left out), None where the files themselves decide. ``partitions`` are the columns whose values
    stand in the folder names. ``options`` are the format's own, such as ``header``. ``exact``
    says that every file has just the columns and types of the schema.
    """

    format: str
    files: tuple[str, ...]
    schema: Schema | None = None
    partitions: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A staged file: ``path`` as on disk, its rows and bytes, statistics and partition values.

    ``statistics`` has, per column, the text values ``min`` and ``max`` where both are exact and
    fit to prune by, and ``null_count``.
    """

    path: str
    rows: int
    bytes: int
    statistics: Mapping[str, Mapping[str, str]]
    partition: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows computed once and written to Parquet parts that no reader sees yet."""

    folder: str
    parts: tuple[Part, ...]
    schema: Schema
    partitions: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes on disk of all parts."""
        return sum(part.bytes for part in self.parts)

    @property
    def location(self) -> Location:
        """Where the rows can be read back."""
        paths = tuple(part.path for part in self.parts)
        return Location("parquet", paths, self.schema, self.partitions, exact=True)


class Engine(Protocol):
    """Computes. ``query`` is lazy where the engine can be; ``stage`` is what makes it work.

    ``formats`` are the file formats it reads itself, ``delta`` among them if it reads Delta tables
    by their log: those locations name the table's folder, with the ``version`` among their options.
    ``stores`` are the schemes of URLs below which it stages parts itself.
    """

    name: str
    dialect: str
    formats: frozenset[str]

    @property
    def stores(self) -> frozenset[str]:
        """The schemes of URLs below which it stages parts itself; elsewhere it stages on this machine only."""
        ...

    def read(self, location: Location) -> Frame:
        """The rows at a location."""
        ...

    def query(self, select: exp.Query, inputs: Mapping[str, Frame], schema: Schema) -> Frame:
        """The answer to a query, in DuckDB's spelling, whose tables are the keys of ``inputs``.

        ``schema`` is what DuckDB's binder says the answer's columns are.
        """
        ...

    def stage(self, frame: Frame, schema: Schema, folder: str, partition_by: Sequence[str]) -> Staged:
        """Compute the frame and write it below ``folder``, which does not exist yet."""
        ...

    def to_arrow(self, frame: Frame) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches, to be read once."""
        ...

    def from_arrow(self, batches: pa.RecordBatchReader) -> Frame:
        """A frame that holds the rows of a stream."""
        ...

    def native(self, frame: Frame) -> Any:
        """The table as people know it from the engine's own documentation."""
        ...

    def wrap(self, native: Any) -> tuple[Frame, Schema] | None:
        """The engine's own table, as a user function may return it, as a frame; None for anything else."""
        ...

    def interrupt(self, thread: int | None = None) -> None:
        """Stop the queries that run for a thread, or all, from another one."""
        ...

    def close(self) -> None:
        """Let go of what the engine started; never of what it was given."""
        ...
