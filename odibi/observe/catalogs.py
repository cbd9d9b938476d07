"""Connections that are a catalog and schema (Unity Catalog, a metastore): Spark tells where their tables stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi.config.models import Connection, Pipeline, Step
from odibi.datasets import files
from odibi.engines.database import Database
from odibi.errors import Permanent

if TYPE_CHECKING:
    from odibi.engines.spark import Spark
    from odibi.relational.schema import Schema

__all__ = ["Catalogs", "Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """A table by its full name, and the folder of its Delta files; empty where only Spark reaches them."""

    name: str
    url: str


class Catalogs:
    """Asks Spark, whose session is started when there is something to ask."""

    def __init__(self, pipeline: Pipeline, db: Database) -> None:
        self.pipeline = pipeline
        self.db = db
        self._engine: Spark | None = None

    def find(self, connection: Connection, table: str, step: Step) -> Found | None:
        """The table of that name; None where there is none.

        Raises:
            Permanent: the step does not run on Spark, or Spark refuses the name.
        """
        named = step.engine or self.pipeline.engines.get(step.layer) or self.pipeline.engine
        if named != "spark":
            raise Permanent(
                f"the tables of catalog {connection.catalog!r} are known to Spark, and the step runs on {named}",
                hint="engine: spark, or a connection with a url",
            )
        from odibi.engines.catalog import standing

        name = f"{connection.catalog}.{connection.schema_}.{table}"
        found = standing(self.spark, name)
        if found is None:
            return None
        local = found.format == "delta" and not files.is_remote(found.url)
        return Found(name, found.url if local else "")

    def columns(self, name: str) -> Schema:
        """The columns of a table by its full name."""
        from odibi.engines.catalog import named

        return named(self.spark, name)[1]

    @property
    def spark(self) -> Spark:
        """The engine that is asked; its session goes on to the run, and ends with the run's database."""
        if self._engine is None:
            from odibi.engines import ENGINES

            self._engine = ENGINES.get("spark")(self.db)
            self.db.at_close(self._engine.close)
        return self._engine
