"""All that runs leave in a folder: rows, what tables remember, logical writes, files nobody knows, the record."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from odibi.chaos.place import home_in
from odibi.datasets import files
from odibi.datasets.consumed import noted_files
from odibi.datasets.delta import METADATA, open_table
from odibi.datasets.digest import digest
from odibi.datasets.modes import BESIDE
from odibi.datasets.target import Target
from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.engines.duckdb import scan
from odibi.record.model import RunRecord
from odibi.record.store import open_store

__all__ = ["Holding", "Recorded", "committed_by", "holding", "orphans", "recorded"]


@dataclass(frozen=True, slots=True)
class Holding:
    """What a target holds.

    Attributes:
        rows: how many, and the sum of their hashes: equal for equal multisets of rows.
        beside: the same of what the table remembers beside its rows.
        writes: the logical date and the key of every write, in no order that matters.
    """

    rows: str
    beside: str = ""
    writes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the run store says: the runs, newest first, and the locks that are held."""

    runs: tuple[RunRecord, ...]
    locks: tuple[str, ...]


def holding(db: Database, target: Target) -> Holding | None:
    """What the target holds; None where nothing is."""
    if target.format != "delta":
        found = files.find(target.url)
        paths = tuple(file.path for file in found)
        return Holding(_sum(db, Location(target.format, paths))) if found else None
    table = open_table(target.url)
    if table is None:
        return None
    remembered = table.transaction(BESIDE)
    names = remembered.note.get("beside", ()) if remembered is not None else ()
    beside = tuple(str(Path(target.url) / name) for name in names)
    writes = sorted((note["logical_date"], note["key"]) for note in _notes(target.url))
    return Holding(
        str(digest(db, table.location(), rounded=True)),
        _sum(db, Location("parquet", beside)) if beside else "",
        tuple(writes),
    )


def committed_by(target: Target, run_id: str) -> bool:
    """Whether the run has committed to the target, a Delta table."""
    return any(note.get("run") == run_id for note in _notes(target.url))


def _sum(db: Database, location: Location) -> str:
    rows, total = db.rows(f"SELECT count(*), coalesce(sum(hash(each)), 0) FROM ({scan(location)}) AS each")[0]
    return f"{rows}:{total:x}"


def _entries(url: str) -> Iterator[dict[str, Any]]:
    """Every action in the log of the table."""
    for entry in sorted((Path(url) / "_delta_log").glob("*.json")):
        if re.fullmatch(r"\d{20}\.json", entry.name):
            yield from map(json.loads, entry.read_text("utf-8").splitlines())


def _notes(url: str) -> list[Mapping[str, Any]]:
    """What odibi noted of the table's commits; commits that only prepare the table have none."""
    infos = [entry["commitInfo"] for entry in _entries(url) if "commitInfo" in entry]
    return [json.loads(info[METADATA]) for info in infos if METADATA in info]


def orphans(folder: Path, targets: Sequence[Target]) -> list[str]:
    """Files and scratch folders that no table and nothing else accounts for."""
    known: set[Path] = set()
    logs: set[Path] = set()
    for target in targets:
        url = Path(target.url)
        if target.format == "delta":
            logs.add(url / "_delta_log")
            known |= {url / unquote(e["add"]["path"]) for e in _entries(target.url) if "add" in e}
            for note in _notes(target.url):
                known |= {
                    url / name for name in (*note.get("beside", ()), *noted_files(note.get("consumed", {})))
                }
        else:
            known |= {Path(file.path) for file in files.find(target.url)}
    lake, home = folder / "lake", folder / "home"
    left = [
        path
        for path in lake.rglob("*")
        if path.is_file() and path not in known and not (path.parent in logs and _LOG.fullmatch(path.name))
    ]
    left += [path for path in home.rglob("*") if not _HOME.fullmatch(path.relative_to(home).as_posix())]
    return sorted(path.relative_to(folder).as_posix() for path in left)


_LOG = re.compile(r"\d{20}(\.json|\.checkpoint.*\.parquet)|_last_checkpoint")
_HOME = re.compile(r"state\.db(-wal|-shm)?|intents|tmp|(stories|cache|checkpoints|unchanged)(/[^./][^/]*)*")


def recorded(folder: Path) -> Recorded:
    """What the run store in the folder says; nothing where there is none yet.

    It is a copy that is asked: opening a store repairs what a kill has left, and that is for the next run to do.
    """
    with tempfile.TemporaryDirectory(dir=folder) as copy:
        for name in ("state.db", "state.db-wal"):
            with suppress(FileNotFoundError):
                shutil.copy(home_in(folder).path / name, copy)
        with open_store(f"{copy}/state.db") as store:
            with store.database.read() as connection:
                held = connection.exec_driver_sql("SELECT name FROM locks WHERE run_id <> ''").scalars().all()
            return Recorded(tuple(store.runs(limit=10)), tuple(map(str, held)))
