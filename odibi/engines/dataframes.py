"""DataFrames as odibi means them: their columns, their files, and what Spark says when it fails."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from odibi.engines.parquet import NULL_FOLDER
from odibi.errors import Permanent, SchemaMismatch
from odibi.relational.schema import Column, Schema
from odibi.relational.storage import delta_json, from_delta

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = [
    "empty",
    "failures",
    "pattern",
    "quoted",
    "refusing",
    "said",
    "schema_of",
    "shaped",
    "struct_of",
]


def pattern(path: str) -> str:
    """The pattern that only this path fits: Spark takes each for one."""
    return re.sub(r"[{}\[\]*?\\]", r"\\\g<0>", path)


def quoted(name: str) -> str:
    """The name of a column or table as Spark wants it, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def struct_of(schema: Schema) -> StructType:
    """The columns as Spark declares them."""
    from pyspark.sql.types import StructType

    fields = [
        {"name": column.name, "type": delta_json(column.type), "nullable": True, "metadata": {}}
        for column in schema
    ]
    return StructType.fromJson({"type": "struct", "fields": fields})


def schema_of(data: DataFrame) -> Schema:
    """A DataFrame's columns as DuckDB spells them. Raises SchemaMismatch for types that only Spark has."""
    found: list[Column] = []
    for field in data.schema:
        try:
            found += from_delta(json.dumps({"fields": [field.jsonValue()]}))
        except (SchemaMismatch, KeyError) as error:
            kind = field.dataType.simpleString()
            message = f"column {field.name!r} has Spark's type {kind}, which no table can hold"
            raise SchemaMismatch(message, hint="cast it, or leave it out") from error
    return tuple(found)


def shaped(data: DataFrame, schema: Schema) -> DataFrame:
    """The DataFrame with just these columns, in these types."""
    from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

    wanted = [(field.name, field.dataType) for field in struct_of(schema)]
    if wanted == [(field.name, field.dataType) for field in data.schema]:
        return data
    return data.select(*(F.col(quoted(name)).cast(kind).alias(name) for name, kind in wanted))


def empty(session: SparkSession, schema: Schema) -> DataFrame:
    """No rows in these columns."""
    from pyspark.sql import functions as F  # noqa: N812

    columns = [F.lit(None).cast(field.dataType).alias(field.name) for field in struct_of(schema)]
    return session.range(0).select(*columns)


def refusing(data: DataFrame, schema: Schema, partition_by: Sequence[str]) -> DataFrame:
    """The DataFrame, which fails at texts that Spark would silently write into the folder of NULL."""
    from pyspark.sql import functions as F  # noqa: N812

    types = {column.name: column.type for column in schema}
    for name in partition_by:
        if types[name] == "VARCHAR":
            column = F.col(quoted(name))
            sign = F.lit(f"{AMBIGUOUS}{name}")
            data = data.withColumn(
                name, F.when(column.isin("", NULL_FOLDER), F.raise_error(sign)).otherwise(column)
            )
    return data


def failures() -> tuple[type[Exception], ...]:
    """What Spark raises, and what the way to it does."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return PySparkException, Py4JError, ConnectionError


AMBIGUOUS = "odibi: no partition of its own: "


def said(error: Exception) -> Permanent:
    """Spark's error without its traces: the innermost sentence that has a name."""
    from py4j.protocol import Py4JError, Py4JJavaError

    if isinstance(error, Py4JError | ConnectionError) and not isinstance(error, Py4JJavaError):
        return Permanent("Spark's JVM has ended", hint="mostly for lack of memory: set spark.driver.memory")
    text = str(error)
    if found := re.search(f"{AMBIGUOUS}(.*?)(?: SQLSTATE|$)", text, re.MULTILINE):
        return SchemaMismatch(
            f"partition_by column {found[1]!r} holds an empty text, which readers cannot tell from NULL",
            hint=f"replace it in the step: nullif({found[1]}, '')",
        )
    if found := re.search(
        r"Class (org\.apache\.hadoop\.fs\.\S+) not found|No FileSystem for scheme \"?(\w+)", text
    ):
        return Permanent(
            f"the Spark session has no connector for object stores ({found[1] or found[2]})",
            hint="start it with the jars of hadoop-aws for s3://, or of hadoop-azure for abfss://",
        )
    if "DATA_SOURCE_NOT_FOUND" in text and "delta" in text:
        return Permanent(
            "the Spark session has no Delta Lake, so it cannot read the table",
            hint="start it with the jars io.delta:delta-spark and io.delta:delta-storage",
        )
    named = re.findall(r"\[[A-Z][A-Z0-9_.]+\] .*", text)
    caused = re.findall(r"^: (.*)", text, re.MULTILINE)
    sentence = (named or caused or text.splitlines() or [type(error).__name__])[-1]
    sentence = re.sub(r" SQLSTATE: \w+|(?: To| If).*? set \"spark\..*", "", sentence).strip()
    return Permanent(f"Spark: {sentence[:500]}")
