"""Delta tables: read at a pinned version, written by the one committer.

Whoever staged the parts, the commit is made here with the ``deltalake`` package. The table itself
is the ledger: a commit carries the key of what was computed in its metadata, and appends carry a
transaction ``pipeline/step/logical-date`` whose version is the table version that holds the
metadata (https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.datasets.types import from_delta, to_delta
from odibi.engines.base import Location, Part, Staged
from odibi.errors import Permanent, Transient
from odibi.relational.schema import Schema

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["Commit", "LostRace", "Table", "last_commit", "open_table"]

METADATA = "odibi"
"""The one key of a commit's metadata that is ours; its value is JSON text."""


class LostRace(Transient):
    """Somebody else committed first: open the table again, compute again, try again."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A version of a table and what odibi noted when it made it; foreign commits have no note."""

    version: int
    note: Mapping[str, Any] = field(default_factory=dict)


class Table:
    """A handle on one version of a Delta table. It does not advance; open another to see more."""

    def __init__(self, url: str, handle: DeltaTable) -> None:
        self.url = url
        self.handle = handle
        self.version: int = handle.version()

    @cached_property
    def schema(self) -> Schema:
        """Columns in DuckDB's spelling, partition columns where the table has them."""
        return from_delta(self.handle.schema().to_json())

    @cached_property
    def partitions(self) -> tuple[str, ...]:
        """The columns the table is partitioned by."""
        return tuple(self.handle.metadata().partition_columns)

    @cached_property
    def needs_own_reader(self) -> bool:
        """Whether the plain files are not the rows: deletion vectors or column mapping."""
        protocol = self.handle.protocol()
        features = set(protocol.reader_features or ())
        mapping = self.handle.metadata().configuration.get("delta.columnMapping.mode", "none")
        return "deletionVectors" in features or mapping != "none"

    def location(self) -> Location:
        """The files of this version, all read in one form."""
        return Location("parquet", tuple(self.handle.file_uris()), self.schema, self.partitions)

    def transaction(self, app_id: str) -> Commit | None:
        """The commit that last carried the transaction ``app_id``, None if none did.

        A commit whose log entry was cleaned up is returned without its note.
        """
        version = self.handle.transaction_version(app_id)
        return None if version is None else _commit(self.url, version)

    def _refuse_features(self) -> None:
        """Raw commits check nothing, so tables that need checking are not written by them."""
        protocol = self.handle.protocol()
        writer = set(protocol.writer_features or ()) - {"timestampNtz", "appendOnly", "invariants"}
        configuration = self.handle.metadata().configuration
        checked = [name for name in configuration if name.startswith("delta.constraints.")]
        not_null = [
            f["name"] for f in json.loads(self.handle.schema().to_json())["fields"] if not f["nullable"]
        ]
        reasons = sorted(writer) + checked + [f"NOT NULL {name}" for name in not_null]
        if self.needs_own_reader or reasons:
            raise Permanent(
                f"{self.url} uses {', '.join(reasons) or 'deletion vectors'}, which odibi cannot write soundly",
                hint="write to a table that odibi created",
            )

    def commit(
        self,
        staged: Staged,
        *,
        schema: Schema,
        replace: str | Sequence[tuple[str, str, Any]] | None,
        note: Mapping[str, Any],
        app_id: str | None = None,
        added: Schema = (),
    ) -> int:
        """Make the staged parts part of the table, in one atomic act. The version that made.

        Args:
            staged: parts below this table's folder.
            schema: what the table's schema is after the commit.
            replace: ``all`` to take every other file out, partition filters to take out those
                partitions, None to take out nothing.
            note: kept in the commit's metadata.
            app_id: the transaction to record.
            added: columns the table lacks, added first.

        Raises:
            LostRace: the table has moved on since this handle was opened.
        """
        from deltalake import CommitProperties, Transaction
        from deltalake import Schema as DeltaSchema
        from deltalake.exceptions import CommitFailedError

        self._refuse_features()
        if replace == "all" and self.partitions != staged.partitions:
            raise Permanent(
                f"{self.url} is partitioned by ({', '.join(self.partitions)}), "
                f"the step writes partition_by ({', '.join(staged.partitions)})",
                hint="write to another path, or remove the table first",
            )
        try:
            self._allow_local_timestamps(schema)
            if added:
                fields = DeltaSchema.from_json(to_delta(added)).fields
                self.handle.alter.add_columns(fields)
                self.version = self.handle.version()
            version = self.version + 1
            properties = CommitProperties(
                custom_metadata={METADATA: json.dumps(note)},
                max_commit_retries=0,
                app_transactions=[Transaction(app_id, version)] if app_id else None,
            )
            self.handle.create_write_transaction(
                actions(self.url, staged),
                mode="append" if replace is None else "overwrite",
                schema=DeltaSchema.from_json(to_delta(schema)),
                partition_by=list(self.partitions) or None,
                partition_filters=None if replace in (None, "all") else list(replace),
                commit_properties=properties,
            )
        except CommitFailedError as error:
            raise LostRace(f"{self.url} was changed by another writer meanwhile") from error
        self.version = version
        return version


    def _allow_local_timestamps(self, schema: Schema) -> None:
        """Raise the protocol where the new schema is the first with timestamps without a zone."""
        if '"timestamp_ntz"' not in to_delta(schema) or "timestampNtz" in (self.handle.protocol().writer_features or ()):
            return
        from deltalake import TableFeatures

        self.handle.alter.add_feature(
            TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True
        )
        self.version = self.handle.version()


def create_table(
    url: str, staged: Staged, *, schema: Schema, note: Mapping[str, Any], app_id: str | None = None
) -> int:
    """Create a table from staged parts in one atomic act. Its version, 0.

    Raises:
        LostRace: the table exists by now.
    """
    from deltalake import CommitProperties, Transaction
    from deltalake import Schema as DeltaSchema
    from deltalake.exceptions import CommitFailedError, DeltaError
    from deltalake.transaction import create_table_with_add_actions

    try:
        create_table_with_add_actions(
            url,
            DeltaSchema.from_json(to_delta(schema)),
            actions(url, staged),
            mode="error",
            partition_by=list(staged.partitions) or None,
            commit_properties=CommitProperties(
                custom_metadata={METADATA: json.dumps(note)},
                app_transactions=[Transaction(app_id, 0)] if app_id else None,
            ),
        )
    except CommitFailedError as error:
        raise LostRace(f"{url} was created by another writer meanwhile") from error
    except DeltaError as error:
        if "already exists" in str(error):
            raise LostRace(f"{url} was created by another writer meanwhile") from error
        raise
    return 0


def open_table(url: str, version: int | None = None) -> Table | None:
    """A handle on the table's newest version, or on ``version``; None where no table is.

    Raises:
        Permanent: there is a log that cannot be read.
    """
    if not (Path(url) / "_delta_log").is_dir():
        return None
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return Table(url, DeltaTable(url, version=version))
    except TableNotFoundError:
        return None
    except DeltaError as error:
        raise Permanent(f"the Delta table {url} cannot be opened: {str(error).splitlines()[0]}") from error


def last_commit(url: str) -> Commit | None:
    """The newest commit of the table and its note, from its log alone; None where no table is.

    Listing the log takes microseconds, opening the table a millisecond or two.
    """
    log = Path(url) / "_delta_log"
    try:
        versions = [
            int(entry.name[:20])
            for entry in log.iterdir()
            if entry.suffix == ".json" and entry.name[:20].isdigit()
        ]
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _commit(url, max(versions)) if versions else None


def _commit(url: str, version: int) -> Commit:
    try:
        text = (Path(url) / "_delta_log" / f"{version:020}.json").read_text("utf-8")
    except FileNotFoundError:
        return Commit(version)
    for line in text.splitlines():
        if '"commitInfo"' in line:
            note = json.loads(line)["commitInfo"].get(METADATA)
            return Commit(version, json.loads(note) if note else {})
    return Commit(version)


def actions(url: str, staged: Staged) -> list[Any]:
    """Delta's add actions for parts below the table's folder, with typed statistics."""
    from deltalake.transaction import AddAction

    now = int(time.time() * 1000)
    base = Path(url)
    return [
        AddAction(
            path=Path(part.path).relative_to(base).as_posix(),
            size=part.bytes,
            partition_values=dict(part.partition),
            modification_time=now,
            data_change=True,
            stats=_statistics(part, staged.schema),
        )
        for part in staged.parts
        if part.rows  # a file without rows is left for the sweep of unused files
    ]


_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def _statistics(part: Part, schema: Schema) -> str:
    """Delta's statistics as JSON: bounds typed as their columns, none where a bound is not exact.

    See https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics.
    """
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for column in schema:
        found = part.statistics.get(column.name)
        if found is None or (column.type.endswith(("]", ")")) and not column.type.startswith("DECIMAL")):
            continue  # nested columns want nested statistics, which nobody prunes by
        if "null_count" in found:
            nulls[column.name] = int(found["null_count"])
        if "min" not in found:
            continue
        bounds = [_bound(found[end], column.type) for end in ("min", "max")]
        if None not in bounds:
            low[column.name], high[column.name] = bounds
    return json.dumps({"numRecords": part.rows, "minValues": low, "maxValues": high, "nullCount": nulls})


def _bound(text: str, kind: str) -> Any:
    """A bound as JSON wants it for the type, None for types readers do not prune by."""
    if kind in _NUMBERS:
        number = float(text) if kind in ("FLOAT", "DOUBLE") else int(text)
        return number if abs(number) < float("inf") else None
    if kind == "VARCHAR" or kind == "DATE":
        return text
    if kind == "TIMESTAMP":
        return text.replace(" ", "T")
    return None
