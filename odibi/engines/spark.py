"""The engine for more rows than one machine holds. A frame is a lazy DataFrame of the shared session."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# That pyspark is missing shows when the engine is asked for: the register knows what to install.
from pyspark.errors import PythonException  # noqa: TID253
from pyspark.sql import DataFrame  # noqa: TID253

from odibi.boundaries import cross
from odibi.engines import session as sessions
from odibi.engines.base import Location, Staged
from odibi.engines.database import Database
from odibi.engines.dataframes import (
    empty,
    failures,
    pattern,
    refusing,
    said,
    schema_of,
    shaped,
    struct_of,
)
from odibi.engines.duckdb import DuckDB, DuckFrame, scan
from odibi.engines.hadoop import CONNECTED, hadoop_options, hadoop_path
from odibi.engines.parquet import base_of, parts_below, read_alike
from odibi.errors import Permanent
from odibi.folders import at
from odibi.relational.rules import closing_cast
from odibi.relational.schema import Column, Schema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession
    from sqlglot import exp

__all__ = ["InterruptException", "Spark", "SparkFrame"]

LARGEST = 50
"""Queries that one lazy frame may hold: Spark's planner takes seconds for some hundred, then overflows."""

ROWS_PER_BATCH = 65_536


class InterruptException(Permanent):
    """The query was stopped by :meth:`Spark.interrupt`; named as DuckDB's own."""


@dataclass(frozen=True, slots=True)
class SparkFrame:
    """A DataFrame and its columns as DuckDB spells them; ``size`` counts the queries it is made of."""

    data: DataFrame
    schema: Schema
    size: int = 1


class Spark:
    """Engine protocol on Spark. No session is looked for or started before the first frame is needed."""

    name = "spark"
    dialect = "spark"
    formats = frozenset({"csv", "delta", "json", "ndjson", "parquet"})

    @property
    def stores(self) -> frozenset[str]:
        """The stores where there are tables of the run: what else is elsewhere, DuckDB hands over."""
        return CONNECTED & {url.partition("://")[0] for url in self._db.tables}

    def __init__(self, database: Database) -> None:
        sessions.ready()
        self._db = database
        self._tag = f"odibi_{uuid.uuid4().hex[:12]}"  # of the jobs and views that are ours
        self._lock = threading.Lock()
        self._known: SparkSession | None = None
        self._views: list[str] = []
        self._interrupted = threading.Event()

    # --- reading -----------------------------------------------------------------------------------

    def read(self, location: Location) -> SparkFrame:
        """The rows at a location, lazily where Spark reads the format as DuckDB does."""
        if location.format == "delta":
            return self._delta(location)
        if location.format != "parquet" or not read_alike(self._db, location, self.stores):
            return self._by_duckdb(DuckDB(self._db).read(location))
        return self._parquet(location, location.schema or ())

    def _parquet(self, location: Location, schema: Schema) -> SparkFrame:
        session = self.session()
        with self.errors():
            if not location.files:
                return SparkFrame(empty(session, schema), schema)
            # A value in a folder's name is text, and becomes what it should be by a cast.
            raw = (Column(c.name, "VARCHAR") if c.name in location.partitions else c for c in schema)
            reader = session.read.schema(struct_of(tuple(raw))).options(**hadoop_options(location.files[0]))
            if location.partitions:
                reader = reader.option("basePath", hadoop_path(str(base_of(location))))
            data = reader.parquet(*(pattern(hadoop_path(file)) for file in location.files))
            return SparkFrame(shaped(data, schema) if location.partitions else data, schema)

    def _delta(self, location: Location) -> SparkFrame:
        (url,) = location.files
        session = self.session()
        with self.errors():
            reader = session.read.format("delta").options(**hadoop_options(url))
            data = reader.option("versionAsOf", location.options["version"]).load(hadoop_path(url))
            schema = location.schema or schema_of(data)
            return SparkFrame(shaped(data, schema), schema)

    def _by_duckdb(self, frame: DuckFrame) -> SparkFrame:
        """What only DuckDB reads as it should: staged by it, in types that Spark has."""
        from sqlglot import exp

        duck = DuckDB(self._db)
        described = self._db.rows(f"DESCRIBE {frame.sql}")
        schema = tuple(Column(str(row[0]), str(row[1])) for row in described)
        columns = (exp.column(column.name, quoted=True) for column in schema)
        closed, stored = closing_cast(exp.select(*columns).from_("rows"), schema)
        staged = duck.stage(duck.query(closed, {"rows": frame}, stored), stored, self._folder())
        return self._parquet(staged.location, stored)

    # --- computing ---------------------------------------------------------------------------------

    def query(self, select: exp.Query, inputs: Mapping[str, SparkFrame], schema: Schema) -> SparkFrame:
        """The query over its inputs, lazily; one that grows too large is cut by staging it.

        Raises:
            NotPortable: it has a function or construct that Spark cannot answer as DuckDB does.
        """
        from sqlglot import exp

        from odibi.relational.parse import tables_in
        from odibi.relational.spark import to_spark

        tree = to_spark(select, {name: frame.schema for name, frame in inputs.items()}, schema)
        frames = {name.lower(): frame for name, frame in inputs.items()}
        views: dict[str, str] = {}
        size = 1
        for table in list(tables_in(tree)):
            name = table.name.lower()
            if table.db or name not in frames:
                continue
            size += frames[name].size
            if name not in views:
                views[name] = self._view(frames[name])
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
            table.set("this", exp.to_identifier(views[name], quoted=True))
        with self.errors():
            data = self.session().sql(tree.sql("spark", comments=False))
        frame = SparkFrame(data, schema, size)
        return self._cut(frame) if size > LARGEST else frame

    def _cut(self, frame: SparkFrame) -> SparkFrame:
        return self._parquet(self.stage(frame, frame.schema, self._folder()).location, frame.schema)

    def stage(
        self, frame: SparkFrame, schema: Schema, folder: str, partition_by: Sequence[str] = ()
    ) -> Staged:
        """Compute the frame into Parquet parts below ``folder``.

        Raises:
            SchemaMismatch: a partition column holds a text that readers cannot tell from NULL.
        """
        self.session()
        with self.errors():
            writer = refusing(frame.data, schema, partition_by).write.options(**hadoop_options(folder))
            writer = writer.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
            writer = writer.option(
                "parquet.statistics.truncate.length", str(2**31 - 1)
            )  # a cut bound is none
            writer = writer.partitionBy(*partition_by) if partition_by else writer
            cross("amid staging")
            writer.parquet(hadoop_path(folder))
        parts = parts_below(folder, schema, partition_by)
        # Each task writes where it runs; the driver makes the folder. Of no rows there is one part, or no partition.
        if not parts and not (
            partition_by and (at(folder).remote or at(folder).exists()) and frame.data.isEmpty()
        ):
            raise Permanent(
                f"Spark has written {folder}, and it is not there",
                hint="odibi and Spark's workers must see the same files",
            )
        return Staged(folder, parts, schema, tuple(partition_by))

    # --- other people's tables ---------------------------------------------------------------------

    def to_arrow(self, frame: SparkFrame) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches in the types that DuckDB gives them, by way of staged parts."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = self.stage(frame, frame.schema, self._folder()).parts
        nothing = scan(Location("parquet", (), frame.schema))
        target = self._db.cursor.sql(nothing).to_arrow_table().schema

        def batches() -> Iterator[pa.RecordBatch]:
            for part in parts:
                for batch in pq.ParquetFile(part.path).iter_batches(ROWS_PER_BATCH):
                    yield batch.cast(target)

        return pa.RecordBatchReader.from_batches(target, batches())

    def from_arrow(self, batches: pa.RecordBatchReader) -> SparkFrame:
        """The rows of a stream, kept as Parquet in the run's scratch."""
        cursor = self._db.cursor
        cursor.register("odibi_stream", batches)
        try:
            return self._by_duckdb(DuckFrame("SELECT * FROM odibi_stream"))
        finally:
            cursor.unregister("odibi_stream")

    def native(self, frame: SparkFrame) -> DataFrame:
        """The DataFrame."""
        return frame.data

    def wrap(self, native: Any) -> tuple[SparkFrame, Schema] | None:
        """A DataFrame with its columns as DuckDB spells them; None for anything else.

        Raises:
            SchemaMismatch: it has a column of a type that only Spark has.
            Permanent: it is a stream.
        """
        if not isinstance(native, DataFrame):
            return None
        if native.isStreaming:
            raise Permanent("a streaming DataFrame has no end", hint="return one that is read at once")
        with self.errors():
            schema = schema_of(native)
            return SparkFrame(shaped(native, schema), schema), schema

    # --- the session -------------------------------------------------------------------------------

    def session(self) -> SparkSession:
        """The session, found or started when first asked for; this thread's jobs in it are tagged as ours."""
        with self._lock:
            if self._known is None:
                self._known = sessions.acquire(self._db.scratch, self.stores)
            session = self._known
        with self.errors():
            for tag in (self._tag, self._tag_of(threading.get_ident())):
                if sessions.is_connect(session):
                    session.addTag(tag)
                else:  # a classic session's own tags do not reach jobs of other threads
                    session.sparkContext.addJobTag(tag)
        return session

    def _tag_of(self, thread: int) -> str:
        return f"{self._tag}_{thread}"

    def interrupt(self, thread: int | None = None) -> None:
        """Stop the queries that run for a thread, or all: then their threads get InterruptException."""
        if thread is None:
            self._interrupted.set()
        session = self._known
        if session is None:
            return
        tag = self._tag if thread is None else self._tag_of(thread)
        with suppress(*failures()):  # it may end just now
            if sessions.is_connect(session):
                session.interruptTag(tag)
            else:
                session.sparkContext.cancelJobsWithTag(tag)

    def close(self) -> None:
        """Drop the views, and let go of the session: one that was given goes on as it was."""
        with self._lock:
            session, self._known = self._known, None
        if session is None:
            return
        try:
            with suppress(*failures()):  # its JVM may have died
                for view in self._views:
                    session.catalog.dropTempView(view)
        finally:
            sessions.release()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Spark's errors as one sentence; InterruptException for whatever fails after an interrupt."""
        try:
            yield
        except failures() as error:
            if self._interrupted.is_set():
                raise InterruptException("the Spark job was cancelled") from error
            if isinstance(error, PythonException):
                raise  # of a user's function: its traceback tells the place
            raise said(error) from error

    def _view(self, frame: SparkFrame) -> str:
        with self._lock:
            name = f"{self._tag}_{len(self._views)}"
            self._views.append(name)
        with self.errors():
            frame.data.createTempView(name)
        return name

    def _folder(self) -> str:
        return str(self._db.scratch / self._db.new_name())
