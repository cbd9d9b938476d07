"""What a function returned for a part of its input, brought into the columns it declares, as Arrow spells them."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from odibi.engines.database import Database
from odibi.engines.pandas import Pandas
from odibi.relational.schema import Schema
from odibi.relational.storage import to_delta

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.operations.answer import Call

__all__ = ["Fitting", "arrow_schema"]


class Fitting:
    """Casts tables to what the function of a call declares; a context manager.

    It has a database of its own, opened for the first table that is of other types and spilling below ``folder``.
    """

    def __init__(self, call: Call, folder: Path) -> None:
        self.call = call
        self.folder = folder
        self.schema = arrow_schema(call.function.schema or ())
        self._db: Database | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """The table in the declared columns. Raises Permanent where a value would not stay what it was."""
        if table.schema.names != self.schema.names or table.schema.types != self.schema.types:
            if self._db is None:
                self._db = Database(self.folder / "fitting", threads=1)
            engine = Pandas(self._db)
            frame = engine.from_arrow(table.to_reader())
            frame, _ = self.call.fit(engine, self.call.function, frame, self._db.columns(table.schema))
            table = engine.to_arrow(frame).read_all()
        return table.cast(self.schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database, if there is one."""
        if self._db is not None:
            self._db.close()
            self._db = None


def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns as Arrow spells them. Raises SchemaMismatch for a type that cannot be stored."""
    import pyarrow as pa

    fields = json.loads(to_delta(schema))["fields"]
    return pa.schema([(field["name"], _arrow(field["type"])) for field in fields])


def _arrow(kind: Any) -> pa.DataType:
    """Delta's JSON type as Arrow's."""
    import pyarrow as pa

    if isinstance(kind, str):
        if kind.startswith("decimal("):
            precision, scale = kind[8:-1].split(",")
            return pa.decimal128(int(precision), int(scale))
        named: dict[str, pa.DataType] = {
            "boolean": pa.bool_(),
            "byte": pa.int8(),
            "short": pa.int16(),
            "integer": pa.int32(),
            "long": pa.int64(),
            "float": pa.float32(),
            "double": pa.float64(),
            "string": pa.string(),
            "binary": pa.binary(),
            "date": pa.date32(),
            "timestamp_ntz": pa.timestamp("us"),
            "timestamp": pa.timestamp("us", "UTC"),
        }
        return named[kind]
    if kind["type"] == "array":
        return pa.list_(pa.field("element", _arrow(kind["elementType"])))
    if kind["type"] == "map":
        return pa.map_(_arrow(kind["keyType"]), _arrow(kind["valueType"]))
    return pa.struct([(field["name"], _arrow(field["type"])) for field in kind["fields"]])
