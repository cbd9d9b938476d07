"""The tables that a pipeline writes, opened for reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.cli.config import load_config, of_last_run
from odibi.errors import Permanent

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.datasets.target import Target
    from odibi.engines.database import Database
    from odibi.relational.schema import Schema

__all__ = ["Lake", "LakeTable", "first_paragraph", "last_write", "open_lake"]


@dataclass(frozen=True, slots=True)
class LakeTable:
    """A dataset that a step writes, and where; the first target is the one that is read."""

    name: str
    layer: str
    step: str
    targets: tuple[Target, ...]

    @property
    def url(self) -> str:
        """Where it is read from."""
        return self.targets[0].url

    @property
    def format(self) -> str:
        """The format it is read in."""
        return str(self.targets[0].format)

    def answers_to(self, name: str) -> bool:
        """Whether ``name`` means this table: its name, ``layer/name``, ``layer.name``, or one of its places."""
        if name.lower() in (
            self.name.lower(),
            f"{self.layer}/{self.name}".lower(),
            f"{self.layer}.{self.name}".lower(),
        ):
            return True
        return any(Path(name).resolve() == Path(target.url).resolve() for target in self.targets)


@dataclass(frozen=True, slots=True)
class Lake:
    """The tables of a pipeline, written or not, those of its quarantines, and a database to read them with."""

    loaded: Loaded
    db: Database
    tables: tuple[LakeTable, ...]
    quarantines: tuple[LakeTable, ...] = ()

    def open(self, table: LakeTable) -> tuple[str, Schema] | None:
        """A query for the table's rows and its columns; None where nothing has been written yet."""
        from odibi.datasets.delta import open_table
        from odibi.datasets.source import Source, frame_of, look, read
        from odibi.engines.duckdb import DuckDB

        engine = DuckDB(self.db)
        if table.format == "delta":
            opened = open_table(table.url)
            return None if opened is None else (frame_of(engine, opened).sql, opened.schema)
        source = Source(table.url, table.format)
        seen = look(self.db, source)
        if seen is None:
            return None
        frame, schema = read(engine, source, seen)
        return frame.sql, schema

    def sensitive(self, schema: Schema) -> tuple[str, ...]:
        """The columns that are not to be shown."""
        from odibi.relational.schema import masked

        return masked(schema, self.loaded.pipeline.sensitive)


@contextmanager
def open_lake(config: str | None, target: str | None) -> Iterator[Lake]:
    """The lake of a config: the given one, else that of the last run.

    Raises:
        ConfigError: the config is wrong.
        UsageError: there is no config, or more than one.
        Permanent: the lake cannot be read.
    """
    import duckdb

    from odibi.datasets.delta import last_commit
    from odibi.engines.database import Database
    from odibi.home import Home
    from odibi.observe import observe
    from odibi.quality.quarantine import quarantine_of

    config, target = of_last_run(config, target)
    loaded = load_config(config, target=target)
    with Database(Home.find().scratch(loaded.run_id)) as db:
        # What people see keeps the order that the table or their ORDER BY gives it.
        db.cursor.execute("SET preserve_insertion_order = true")
        steps = observe(loaded, db).steps
        tables = tuple(
            LakeTable(name, str(observed.step.layer), observed.step.name, group)
            for observed in steps
            for name, group in observed.targets.items()
        )
        quarantines = tuple(
            LakeTable(
                f"{name}_quarantine", str(observed.step.layer), observed.step.name, (quarantine_of(group[0]),)
            )
            for observed in steps
            for name, group in observed.targets.items()
            if observed.declared.quarantines
        )
        kept = tuple(table for table in quarantines if last_commit(table.url) is not None)
        try:
            yield Lake(loaded, db, (*tables, *kept), quarantines)
        except duckdb.Error as error:
            raise Permanent(first_paragraph(error)) from error


def first_paragraph(error: Exception) -> str:
    """What DuckDB says, on one line and without its picture of the query."""
    return " ".join(str(error).split("\n\n", 1)[0].split())


def last_write(table: LakeTable) -> dict[str, Any]:
    """Version, time, run and logical date of the table's last write, None where they are not known."""
    from odibi.datasets.delta import entry_of, last_commit
    from odibi.folders import at

    place = Path(table.url)
    commit = last_commit(table.url) if table.format == "delta" else None
    version, seconds = None, place.stat().st_mtime if place.exists() else None
    if commit is not None:
        version = commit.version
        log = at(table.url).read(entry_of(version)).splitlines()
        stamps = (json.loads(line).get("commitInfo", {}).get("timestamp") for line in log)
        seconds = next((stamp / 1000 for stamp in stamps if stamp is not None), seconds)
    return {
        "version": version,
        "written_at": None if seconds is None else datetime.fromtimestamp(seconds, UTC),
        "run_id": commit.note.get("run") if commit else None,
        "logical_date": commit.note.get("logical_date") if commit else None,
    }
