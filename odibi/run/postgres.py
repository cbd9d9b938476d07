"""SQL that PostgreSQL computes, for steps with ``operation: postgres``: rows go there, and the result comes back.

It happens in a transaction that is never committed, in tables of the session: nothing of it stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote as encoded

from odibi.datasets.database import connected, drained
from odibi.engines.base import Engine, Frame
from odibi.errors import Permanent
from odibi.places import Url
from odibi.relational.clock import at_instant
from odibi.relational.compile import Compiled
from odibi.relational.parse import tables_in
from odibi.relational.schema import Schema, quote

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["answered", "database_of"]


def database_of(environ: Mapping[str, str]) -> str:
    """The URL of the database that computes, by ``PG_HOST``, ``PG_PORT``, ``PG_USER``, ``PG_PASSWORD``, ``PG_DATABASE``.

    Raises:
        Permanent: none is named.
    """
    host = environ.get("PG_HOST")
    if not host:
        raise Permanent(
            "operation: postgres: no database is named, PG_HOST is not set",
            hint="set PG_HOST, PG_USER, PG_PASSWORD and PG_DATABASE; in a cluster odibi does",
        )
    user, database = environ.get("PG_USER", "odibi"), environ.get("PG_DATABASE", "odibi")
    port = environ.get("PG_PORT", "5432")
    said = {"host": host, "port": port, "user": user}  # a host may be the folder of a socket
    text = "&".join(f"{name}={encoded(value, safe='')}" for name, value in said.items())
    password = environ.get("PG_PASSWORD")
    return Url(
        f"postgresql:///{encoded(database, safe='')}?{text}", {"password": password} if password else {}
    )


def answered(
    url: str,
    engine: Engine,
    compiled: Compiled,
    frames: Mapping[str, tuple[Frame, Schema]],
    now: datetime | None,
) -> Frame:
    """The rows of a query as the database at ``url`` computes it, in a frame of the engine.

    Args:
        url: of the database.
        engine: that the frames belong to.
        compiled: the query; its columns are cast to the types that it was planned with.
        frames: the datasets that it reads, and their columns.
        now: what the query's clock says; None leaves it to the database.

    Raises:
        SchemaMismatch: a column has a type that PostgreSQL does not have.
        DatabaseError: it refuses the query; what only DuckDB has is not translated.
    """
    with connected(url) as session:
        tables = {dataset.lower(): f"odibi_{number}" for number, dataset in enumerate(compiled.inputs)}
        for dataset in compiled.inputs:
            frame, schema = frames[dataset]
            table = tables[dataset.lower()]
            columns = [f"{quote(column.name.lower())} {session.type_of(column.type)}" for column in schema]
            session.rows(f"CREATE TEMPORARY TABLE {table} ({', '.join(columns)})")
            session.insert(table, _lowered(engine.to_arrow(frame)))
        names = ", ".join(quote(column.name) for column in compiled.schema)
        casts = (
            f"CAST({quote(column.name)} AS {session.type_of(column.type)}) AS {quote(column.name)}"
            for column in compiled.schema
        )
        query = f"SELECT {', '.join(casts)} FROM ({_translated(compiled, tables, now)}\n) AS q ({names})"
        return drained(url, session, [query], compiled.schema, engine.from_arrow)


def _translated(compiled: Compiled, tables: Mapping[str, str], now: datetime | None) -> str:
    """The query in PostgreSQL's words: names are in small letters, because DuckDB takes them for equal in any case."""
    from sqlglot import exp

    tree = at_instant(compiled.meaning, now).copy()
    for table in list(tables_in(tree)):
        name = table.name.lower()
        if table.db or name not in tables:
            continue
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
        table.set("this", exp.to_identifier(tables[name]))
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("this", identifier.name.lower())
        identifier.set("quoted", True)
    return tree.sql("postgres", comments=False)


def _lowered(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    import pyarrow as pa

    schema = pa.schema([field.with_name(field.name.lower()) for field in rows.schema])

    def renamed() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, renamed())
