"""Short ways to write and read tables in the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odibi.config.models import Write
from odibi.datasets.delta import Fence, LostRace, Table, open_table
from odibi.datasets.digest import Digest, digest
from odibi.datasets.source import frame_of
from odibi.datasets.staging import Intents
from odibi.datasets.target import Job, Target, Written, write
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, DuckFrame, scan
from odibi.relational.schema import Column, Schema


@dataclass
class Lake:
    """A run's database and intents, and a folder for tables."""

    db: Database
    intents: Intents
    folder: Path
    engine: DuckDB = field(init=False)

    def __post_init__(self) -> None:
        self.engine = DuckDB(self.db)

    def schema(self, sql: str) -> Schema:
        return tuple(Column(str(row[0]), str(row[1])) for row in self.db.rows(f"DESCRIBE {sql}"))

    def targets(self, name: str = "t", **options: Any) -> tuple[Target, ...]:
        return Target.all_of(Write(path=name, **options), str(self.folder), name, None, False)

    def write(
        self,
        sql: str,
        name: str = "t",
        *,
        date: str = "2024-01-01",
        step: str = "step",
        key: str = "",
        handle: Table | bool | None = True,
        rounded: bool = False,
        fence: Fence | None = None,
        **options: Any,
    ) -> Written:
        targets = self.targets(name, **options)
        table = (
            (open_table(targets[0].url) if targets[0].format == "delta" else None)
            if handle is True
            else handle
        )
        job = Job(f"p/{step}/{date}", date, key or sql, {"code": sql}, "0123abcd-run", rounded, fence=fence)
        return write(
            self.db, self.engine, self.intents, DuckFrame(sql), self.schema(sql), targets, table or None, job
        )

    def table(self, name: str = "t") -> Table:
        found = open_table(str(self.folder / name))
        assert found is not None
        return found

    def rows(self, name: str = "t", columns: str = "*") -> list[tuple[Any, ...]]:
        found = self.db.rows(f"SELECT {columns} FROM ({frame_of(self.engine, self.table(name)).sql})")
        return sorted(found, key=repr)

    def scanned(
        self, name: str = "t", columns: list[str] | None = None, predicate: str | None = None
    ) -> list[tuple[Any, ...]]:
        """What delta-rs itself reads."""
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_stream(
            self.table(name).handle.scan(columns=columns, predicate=predicate)
        )
        return sorted((tuple(row.values()) for row in reader.read_all().to_pylist()), key=repr)

    def digest(self, name: str = "t", *, rounded: bool = False) -> Digest:
        """The digest of the whole table, computed anew."""
        return digest(self.db, self.table(name).location(), rounded=rounded)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def lake(folder: Path) -> Iterator[Lake]:
    with (
        Database(folder / "scratch", threads=2) as db,
        Intents(folder / "intents", "0123abcd-run") as intents,
    ):
        (folder / "lake").mkdir(exist_ok=True)
        yield Lake(db, intents, folder / "lake")


def retried(one: Lake, sql: str, **options: Any) -> Mapping[str, Any]:
    """Write until no race is lost, as a run does."""
    for attempt in range(200):
        try:
            written = one.write(sql, **options)
        except LostRace:
            continue
        return {"version": written.version, "attempts": attempt + 1}
    raise AssertionError("lost 200 races")


__all__ = ["Lake", "lake", "retried", "scan"]
