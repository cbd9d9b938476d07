"""Plain files: written aside, flushed to disk, renamed; over fsspec where they are remote."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from odibi.boundaries import cross
from odibi.datasets import files
from odibi.datasets.broken import said
from odibi.datasets.staging import Intents
from odibi.engines.base import Location
from odibi.engines.database import Database
from odibi.engines.duckdb import literal, scan
from odibi.errors import Permanent
from odibi.places import OBJECT_STORES, reaching, system
from odibi.relational.schema import quote

__all__ = ["export", "publish", "written_as"]

_COPY = {
    "parquet": "FORMAT parquet",
    "csv": "FORMAT csv, HEADER true",
    "json": "FORMAT json, ARRAY true",
}


def export(
    db: Database,
    intents: Intents,
    rows: Location,
    url: str,
    format: str,
    partition_by: tuple[str, ...] = (),
    *,
    part: str = "",
    where: str = "",
) -> None:
    """Publish staged rows as a file, or as a folder of files where they are partitioned.

    Args:
        db: its scratch folder is used.
        intents: notes what is written aside.
        rows: the staged rows, in their order.
        url: the file or folder.
        format: parquet, csv or json.
        partition_by: columns that name the folders.
        part: the name of the one file of the folder ``url`` that is written; all of it if empty.
        where: a condition on the rows, all if empty.

    Raises:
        Permanent: a file stands where a folder should be, or the other way round; the place is full.
    """
    final = files.join(url, f"{part}.{format}") if part else url
    remote = files.is_remote(url)
    if not remote and part and Path(url).is_file():
        raise Permanent(f"{url} is a file, and the step appends to a folder of files", hint="remove it")
    if not remote and not partition_by and Path(final).is_dir():
        raise Permanent(
            f"{final} is a folder, and the step writes a file", hint="remove it, or choose another path"
        )
    local = db.scratch / db.new_name() if remote else intents.aside(Path(url))
    local.parent.mkdir(parents=True, exist_ok=True)
    import duckdb

    cross("before writing aside", final)
    try:
        _copy(db, f"{scan(rows)} WHERE {where}" if where else scan(rows), local, format, partition_by)
        cross("before publishing", final)
        if remote:
            _upload(local, final)
        else:
            publish(local, Path(final))
        cross("after publishing", final)
    except duckdb.IOException as error:
        raise Permanent(f"cannot write {url}: {said(error)}") from error
    except duckdb.BinderException as error:  # before DuckDB 2.0, JSON is not partitioned
        raise Permanent(
            f"cannot write {url}: {said(error)}", hint="choose another format, or DuckDB 2.0"
        ) from error
    finally:
        _remove(local)


def written_as(db: Database, rows: Location, format: str) -> Path:
    """The rows, in their order, as a file of the format in the run's own folder."""
    path: Path = db.scratch / db.new_name()
    _copy(db, scan(rows), path, format, ())
    return path


def _copy(db: Database, rows: str, to: Path, format: str, partition_by: tuple[str, ...]) -> None:
    import duckdb

    options = _COPY[format]
    if partition_by:
        columns = ", ".join(quote(column) for column in partition_by)
        options = options.replace(", ARRAY true", "")
        options += f", PARTITION_BY ({columns}), FILENAME_PATTERN 'part-{{i}}'"
        to.mkdir()  # also where there are no rows, so that there is a folder to publish
        options += ", OVERWRITE_OR_IGNORE true"
    # A database of its own: files for people keep the order of a sort, which the run's does not.
    config = {
        "threads": "1",
        "temp_directory": str(db.scratch / "export"),
        "python_enable_replacements": "false",
    }
    with duckdb.connect(":memory:", config=config) as database:
        database.execute("SET TimeZone='UTC'")
        db.lend(database)
        database.execute(f"COPY ({rows}) TO {literal(str(to))} ({options})")
        if partition_by and not any(to.iterdir()):  # no rows: one file that has the columns
            database.execute(f"COPY ({rows}) TO {literal(str(to / f'part-0.{format}'))} ({_COPY[format]})")


def publish(new: Path, final: Path) -> None:
    """Give what was written aside, a file or a folder, its name."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if new.is_file():
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        new.replace(final)
        return
    old = final.with_name(f"{new.name}.old")
    if final.exists():
        final.rename(old)  # not atomic together with the next line: docs/critiques.md
    cross("amid publishing", final)
    new.rename(final)
    cross("after publishing a folder", final)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _upload(local: Path, url: str) -> None:
    store, path = system(url)
    with reaching(url):
        if local.is_file():
            _put(store, local, path, whole=url.partition("://")[0] in OBJECT_STORES)
            return
        if store.exists(path):
            store.rm(path, recursive=True)
        for file in sorted(found for found in local.rglob("*") if found.is_file()):
            _put(store, file, f"{path}/{file.relative_to(local).as_posix()}", whole=True)


def _put(store: Any, local: Path, path: str, *, whole: bool) -> None:
    """Upload a file, under another name first where it could be seen half."""
    folder = path.rpartition("/")[0]
    if "/" in folder.strip("/") or not whole:  # the first part is a bucket, which is not ours to make
        store.makedirs(folder, exist_ok=True)
    store.put_file(str(local), path if whole else f"{path}.tmp")
    if not whole:
        store.mv(f"{path}.tmp", path)
