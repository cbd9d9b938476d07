"""Parquet files as Spark writes and reads them: parts with what is known of them, and who reads them right."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from odibi.engines.base import Location, Part
from odibi.engines.database import Database
from odibi.engines.duckdb import literal
from odibi.errors import SchemaMismatch
from odibi.folders import Entry, at
from odibi.places import beside
from odibi.relational.schema import Schema
from odibi.relational.storage import same_type, widens

__all__ = ["NULL_FOLDER", "base_of", "parts_below", "read_alike"]

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"


# --- what was written ------------------------------------------------------------------------------


def parts_below(folder: str, schema: Schema, partition_by: Sequence[str]) -> tuple[Part, ...]:
    """The Parquet files below the folder in the order of their rows; what else a writer left is removed."""
    found = at(folder).files()
    left = [entry.name for entry in found if PurePosixPath(entry.name).name.startswith(("_", "."))]
    at(folder).drop(left)
    parts = sorted((entry for entry in found if entry.name not in left), key=_task)
    return tuple(_part(entry, folder, schema, partition_by) for entry in parts)


def _task(entry: Entry) -> tuple[int, str]:
    """Spark numbers files by task; the number has five digits or more."""
    number = re.match(r"part-(\d+)", PurePosixPath(entry.name).name)
    return int(number[1]) if number else 0, entry.name


def _part(entry: Entry, folder: str, schema: Schema, partition_by: Sequence[str]) -> Part:
    import pyarrow.parquet as pq

    with at(folder).open(entry.name) as file:
        footer = pq.read_metadata(file)
    values = _folder_values(entry.name.split("/")[:-1])
    partition = {name: values[name] for name in partition_by}
    path = beside(f"{folder}/{entry.name}", folder)  # as the folder is told, also where that is relative
    return Part(path, footer.num_rows, entry.size, _statistics(footer, schema), partition)


def _folder_values(folders: Iterable[str]) -> dict[str, str | None]:
    pairs = [tuple(map(unquote, folder.split("=", 1))) for folder in folders]
    return {name: None if value == NULL_FOLDER else value for name, value in pairs}


def _statistics(footer: Any, schema: Schema) -> dict[str, dict[str, str]]:
    """Bounds and counts of NULL of the columns; nested ones have several leaves and no bounds of their own."""
    paths = [footer.schema.column(i).path for i in range(footer.num_columns)]
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    kept = {}
    for column in schema:
        if paths.count(column.name) == 1:
            chunks = [group.column(paths.index(column.name)).statistics for group in groups]
            kept[column.name] = _of_column(chunks, column.type)
    return kept


def _of_column(chunks: Sequence[Any], kind: str) -> dict[str, str]:
    if not all(chunk is not None and chunk.has_null_count for chunk in chunks):
        return {}
    found = {"null_count": str(sum(chunk.null_count for chunk in chunks))}
    filled = [chunk for chunk in chunks if chunk.num_values]  # others have only NULL, and so no bounds
    write = _WRITTEN.get(kind)
    if write is None or not filled or not all(chunk.has_min_max and _exact(chunk) for chunk in filled):
        return found
    try:
        low = write(min(chunk.min_raw for chunk in filled))
        high = write(max(chunk.max_raw for chunk in filled))
    except (OverflowError, ValueError):
        return found  # before the year 1 or after 9999
    return {**found, "min": low, "max": high}


def _exact(chunk: Any) -> bool:
    """Whether a bound is a value; writers that cut bounds say so since the format has a word for it."""
    flags = (getattr(chunk, name, None) for name in ("is_min_value_exact", "is_max_value_exact"))
    return all(flag is not False for flag in flags)


def _timestamp(micros: int) -> str:
    return str(datetime(1970, 1, 1) + timedelta(microseconds=micros))  # noqa: DTZ001 - it has no zone


_WRITTEN: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), str),
    "VARCHAR": lambda raw: raw.decode("utf-8"),
    "DATE": lambda days: str(date(1970, 1, 1) + timedelta(days=days)),
    "TIMESTAMP": _timestamp,
}
"""Types that readers prune by, from a bound as the file holds it to text. FLOAT and DOUBLE: not where NaN may hide."""


# --- what is read ----------------------------------------------------------------------------------


def read_alike(db: Database, location: Location, stores: Container[str] = ()) -> bool:
    """Whether Spark reads these Parquet files, and finds in them what DuckDB does.

    Not those elsewhere than in the ``stores``, whose names or folders Hadoop takes for something else, or
    whose types it does not widen.
    """
    if location.schema is None or location.options:
        return False
    for file in location.files:
        scheme, found, path = file.rpartition("://")
        if (found and scheme not in stores) or ":" in path or PurePosixPath(path).name.startswith(("_", ".")):
            return False  # elsewhere, a name that Hadoop cannot parse, or one that Spark passes over
    if location.partitions and base_of(location) is None:
        return False
    return location.exact or not location.files or _types_fit(db, location)


def base_of(location: Location) -> str | None:
    """The folder below which all folders are named ``column=value`` in a way that Spark understands."""
    bases = set()
    for file in location.files:
        folders = file.split("/")[:-1]
        first = next((i for i, name in enumerate(folders) if "=" in name), len(folders))
        pairs = [name.partition("=") for name in folders[first:]]
        if tuple(unquote(name) for name, _, _ in pairs) != location.partitions:
            return None
        # Spark decodes each byte by itself, and takes no empty value.
        if any(not value or re.search("%[89A-Fa-f]", value) for _, _, value in pairs):
            return None
        bases.add("/".join(folders[:first]))
    return bases.pop() if len(bases) == 1 else None


def _types_fit(db: Database, location: Location) -> bool:
    wanted = {column.name.lower(): column.type for column in location.schema or ()}
    for name in location.partitions:
        wanted.pop(name.lower())
    for columns in _columns_of(db, location.files):
        for name, (stored, kind) in columns.items():
            if name.lower() in wanted and (stored == "INT96" or not _widened(kind, wanted[name.lower()])):
                return False
    return True


def _widened(kind: str, wanted: str) -> bool:
    """Whether Spark reads one type as the other: as Delta widens, but no whole number as a decimal."""
    try:
        if same_type(kind, wanted):
            return True
        return widens(kind, wanted) and (not wanted.startswith("DECIMAL") or kind.startswith("DECIMAL"))
    except SchemaMismatch:
        return False


def _columns_of(db: Database, files: Sequence[str]) -> Iterable[Mapping[str, tuple[str, str]]]:
    """Of each file, its columns: how they are stored, and their types as DuckDB reads them."""
    escaped = [re.sub(r"[*?\[]", r"[\g<0>]", file) for file in files]  # DuckDB takes each for a pattern
    rows = db.rows(
        "SELECT file_name, name, coalesce(type, ''), coalesce(num_children, 0), coalesce(duckdb_type, '') "
        f"FROM parquet_schema({literal(escaped)}) ORDER BY file_name, column_id"
    )
    by_file: dict[str, list[tuple[Any, ...]]] = {}
    for file, *row in rows:
        by_file.setdefault(file, []).append(tuple(row))
    for nodes in by_file.values():
        columns, at = {}, 1
        while at < len(nodes):
            name, stored, _, kind = nodes[at]
            columns[name] = (stored, kind)
            at = _after(nodes, at)
        yield columns


def _after(nodes: Sequence[tuple[Any, ...]], at: int) -> int:
    """The index of what follows a node and all below it: nodes stand as a tree is walked."""
    open_nodes = 1
    while open_nodes:
        open_nodes += nodes[at][2] - 1
        at += 1
    return at
