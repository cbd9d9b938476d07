"""Tables that Spark knows by name: in Unity Catalog, in a metastore, in the session's own catalog."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.errors import AnalysisException  # noqa: TID253 - as in odibi.engines.spark

from odibi.engines.dataframes import quoted, schema_of
from odibi.engines.hadoop import hadoop_path
from odibi.engines.spark import Spark, SparkFrame
from odibi.errors import Permanent
from odibi.relational.schema import Schema

__all__ = ["Standing", "named", "register", "standing"]

_MISSING = frozenset({"TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "DELTA_TABLE_NOT_FOUND"})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a named table stands: a path, or a URL where it is not local, and the format of its files."""

    url: str
    format: str


def standing(engine: Spark, name: str) -> Standing | None:
    """Where the table ``catalog.schema.table`` stands; None where there is none of that name.

    Raises:
        Permanent: the catalog is not known, or the name is that of a view.
    """
    session = engine.session()
    with engine.errors():
        try:
            (detail,) = session.sql(f"DESCRIBE DETAIL {_identifier(name)}").collect()
        except AnalysisException as error:
            if error.getCondition() in _MISSING:
                return None
            raise
    if detail["location"] is None:
        raise Permanent(f"{name} is no table with files of its own", hint="read it by name")
    return Standing(detail["location"].removeprefix("file:"), detail["format"])


def register(engine: Spark, name: str, url: str) -> None:
    """Give the Delta table at a path or URL the name ``catalog.schema.table``.

    Raises:
        Permanent: there is no Delta table, or the name is that of a table elsewhere.
    """
    found = standing(engine, name)
    if found is None:
        place = url if "://" in url else hadoop_path(url)
        text = place.replace("\\", "\\\\").replace("'", "\\'")
        session = engine.session()
        with engine.errors():
            session.read.format("delta").load(place).schema  # noqa: B018 - else Spark makes an empty table there
            session.sql(f"CREATE TABLE {_identifier(name)} USING delta LOCATION '{text}'")
    elif hadoop_path(found.url) != hadoop_path(url):
        raise Permanent(
            f"{name} is the table at {found.url}, not the one at {url}", hint="choose another name"
        )


def named(engine: Spark, name: str) -> tuple[SparkFrame, Schema]:
    """The rows of a table or view by its name, whatever its format and wherever it stands.

    Raises:
        SchemaMismatch: a column has a type that only Spark has.
        Permanent: there is none of that name.
    """
    with engine.errors():
        data = engine.session().table(_identifier(name))
        schema = schema_of(data)
    return SparkFrame(data, schema), schema


def _identifier(name: str) -> str:
    parts = name.split(".")
    if not all(parts) or len(parts) > 3:
        raise Permanent(f"{name!r} is not the name of a table", hint="catalog.schema.table")
    return ".".join(map(quoted, parts))
