"""The pandas engine: rows in memory are Arrow-backed, people receive them as DataFrames, DuckDB computes.

NULL is never NaN. A frame is a query over files and over rows in memory; it is computed once, in place,
when its rows are asked for, so that what nobody asks for is never loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi.engines.base import Location, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import DEEPEST, ROWS_PER_BATCH, DuckDB, DuckFrame, copied, fused
from odibi.relational.schema import Schema, quote

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa
    from sqlglot import exp

__all__ = ["Pandas", "PandasFrame", "dataframe"]


@dataclass(frozen=True, slots=True)
class PandasFrame:
    """A query over files and over the tables in memory it names, and its rows where it is just one of those."""

    query: DuckFrame
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    rows: pa.Table | None = None


class Pandas:
    """Engine protocol on Arrow-backed rows in memory; the database belongs to whoever opened it."""

    name = "pandas"
    dialect = "duckdb"
    stores: frozenset[str] = frozenset()
    formats = DuckDB.formats

    def __init__(self, database: Database) -> None:
        self._db = database
        self._files = DuckDB(database)

    def read(self, location: Location) -> PandasFrame:
        """The rows at a location, of which a query loads the columns it needs."""
        return PandasFrame(self._files.read(location))

    def query(self, select: exp.Query, inputs: Mapping[str, PandasFrame], schema: Schema) -> PandasFrame:
        """The query over its inputs, computed when its rows are asked for; a chain too deep, now."""
        del schema  # the binder is DuckDB's own
        tables = {name: table for frame in inputs.values() for name, table in frame.tables.items()}
        frame = PandasFrame(fused(select, {name: frame.query for name, frame in inputs.items()}), tables)
        return self._held(self._computed(frame)) if frame.query.depth >= DEEPEST else frame

    def stage(
        self, frame: PandasFrame, schema: Schema, folder: str, partition_by: Sequence[str] = ()
    ) -> Staged:
        """Compute the frame into Parquet parts below ``folder``."""
        with self._cursor(frame) as cursor:
            return copied(cursor, frame.query.sql, schema, folder, partition_by)

    def to_arrow(self, frame: PandasFrame) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches."""
        if frame.rows is not None:
            return frame.rows.to_reader(max_chunksize=ROWS_PER_BATCH)
        import pyarrow as pa

        batches = self._batches(frame)
        return pa.RecordBatchReader.from_batches(next(batches), batches)

    def from_arrow(self, batches: pa.RecordBatchReader) -> PandasFrame:
        """The rows of a stream, held in memory."""
        frame = self._held(batches.read_all())
        with self._cursor(frame) as cursor:
            own = cursor.sql(f"{frame.query.sql} LIMIT 0").to_arrow_table().schema
        # What DuckDB holds otherwise, such as categories, is held as it would come out of a query.
        return frame if own.equals(batches.schema) else self._held(self._computed(frame))

    def native(self, frame: PandasFrame) -> pd.DataFrame:
        """A DataFrame of its own, whose columns are Arrow's."""
        return dataframe(self._computed(frame) if frame.rows is None else frame.rows)

    def wrap(self, native: Any) -> None:
        """Nothing: a DataFrame is taken as batches, which copies nothing where its columns are Arrow's."""
        del native

    def interrupt(self, thread: int | None = None) -> None:
        """Stop the queries that run for a thread, or all."""
        self._db.interrupt(thread)

    def close(self) -> None:
        """Nothing: the database is its owner's to close."""

    def _held(self, table: pa.Table) -> PandasFrame:
        name = self._db.new_name()
        return PandasFrame(
            DuckFrame(f"SELECT * FROM {quote(name)}", stored=True, here=True), {name: table}, table
        )

    def _computed(self, frame: PandasFrame) -> pa.Table:
        with self._cursor(frame) as cursor:
            table: pa.Table = cursor.sql(frame.query.sql).to_arrow_table()
            return table

    def _batches(self, frame: PandasFrame) -> Iterator[Any]:
        """The schema, then the batches; the cursor is closed after the last one."""
        with self._cursor(frame) as cursor:
            reader = cursor.sql(frame.query.sql).to_arrow_reader(ROWS_PER_BATCH)
            yield reader.schema
            yield from reader

    @contextmanager
    def _cursor(self, frame: PandasFrame) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor that sees the tables in memory: no other does."""
        cursor = self._db.new_cursor()
        try:
            for name, table in frame.tables.items():
                cursor.register(name, table)
            yield cursor
        finally:
            self._db.release(cursor)


def dataframe(table: pa.Table) -> pd.DataFrame:
    """The table as a DataFrame whose columns are Arrow's: nothing is copied, NULL is NULL and NaN is NaN."""
    import pandas as pd

    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame
