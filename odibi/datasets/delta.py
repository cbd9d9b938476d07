"""Delta tables: read at a pinned version, written by the one committer.

Whoever staged the parts, the commit is made here with the ``deltalake`` package. The table itself
is the ledger: a commit carries the key of what was computed in its metadata, and appends carry a
transaction ``pipeline/step/logical-date`` whose version is the table version that holds the
metadata (https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import unquote

from odibi.boundaries import cross
from odibi.datasets.actions import actions
from odibi.engines.base import Location, Staged
from odibi.errors import Permanent, Transient
from odibi.folders import Folder, at
from odibi.relational.schema import Schema
from odibi.relational.storage import from_delta, to_delta
from odibi.stores import DELTA_STORES

if TYPE_CHECKING:
    from deltalake import DeltaTable, Transaction

__all__ = [
    "LOG",
    "METADATA",
    "ROLLBACK",
    "Commit",
    "DataFile",
    "LostRace",
    "Table",
    "commit_at",
    "create_table",
    "entry_of",
    "last_commit",
    "open_table",
    "race",
    "refuse_path",
    "table_bytes",
    "versions",
]

LOG = "_delta_log"
"""The folder of a table's log."""

METADATA = "odibi"
"""The one key of a commit's metadata that is ours; its value is JSON text."""


ROLLBACK = "odibi/rollback"
"""The transaction of the commit whose note tells which versions were rolled back."""


class LostRace(Transient):
    """Somebody else committed first: open the table again, compute again, try again."""


class Fence(NamedTuple):
    """The lock under which a run writes: a table refuses the writes of holders before the last one it knows."""

    app_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A version of a table and what odibi noted when it made it; foreign commits have no note."""

    version: int
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a table: its ``path`` on disk, its ``name`` in the log, its partition values as text."""

    path: str
    name: str
    bytes: int
    partition: Mapping[str, str | None]


class Table:
    """A handle on one version of a Delta table. It does not advance; open another to see more."""

    def __init__(self, url: str, handle: DeltaTable) -> None:
        self.url = url
        self.handle = handle
        self.version: int = handle.version()

    @cached_property
    def folder(self) -> Folder:
        """Where its files are."""
        return at(self.url)

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
        for name in self.partitions:
            if f"/{name.lower()}=" in f"/{self.folder.path('')}".lower():
                raise Permanent(
                    f"{self.url} cannot be read: a folder above it is called {name}=..., as its partitions are"
                )
        # delta-rs gives the table's own folder in URL spelling, the rest as it is on disk.
        root, folder = self.folder.root_of(self.handle.table_uri), self.folder
        files = tuple(
            folder.path(file[len(root) :]) if file.startswith(root) else file
            for file in self.handle.file_uris()
        )
        return Location("parquet", files, self.schema, self.partitions)

    def files(self) -> tuple[DataFile, ...]:
        """The files of this version with what a commit needs to take them out."""
        folder = self.folder
        actions = self.handle.get_add_actions(flatten=False)
        # Column by column, because what makes rows of a table with bounds imports pandas.
        paths, sizes = (actions.column(name).to_pylist() for name in ("path", "size_bytes"))
        split = actions.column("partition").to_pylist() if self.partitions else [{}] * len(paths)
        return tuple(
            # The log has paths in URL spelling; an absolute one replaces the root.
            DataFile(
                folder.path(unquote(path)),
                unquote(path),
                size,
                {name: _text(value) for name, value in values.items()},
            )
            for path, size, values in zip(paths, sizes, split, strict=True)
        )

    def transaction(self, app_id: str) -> Commit | None:
        """The commit that last carried the transaction ``app_id``, None if none did.

        A commit whose log entry was cleaned up is returned without its note.
        """
        version = self.handle.transaction_version(app_id)
        return None if version is None else commit_at(self.url, version)

    def undone(self) -> tuple[tuple[int, int], ...] | None:
        """The versions that rollbacks took back: those above the first number and below the second.

        None where there was a rollback of which the log does not tell any more.
        """
        commit = self.transaction(ROLLBACK)
        if commit is None:
            return ()
        pairs = commit.note.get("rolled_back")
        return None if pairs is None else tuple((int(low), int(high)) for low, high in pairs)

    def refuse_features(self) -> None:
        """Raise Permanent for tables that need checks on write: raw commits check nothing."""
        protocol = self.handle.protocol()
        reasons = sorted(set(protocol.writer_features or ()) - {"timestampNtz", "appendOnly", "invariants"})
        configuration = self.handle.metadata().configuration
        if configuration.get("delta.columnMapping.mode", "none") != "none":
            reasons.append("column mapping")
        if configuration.get("delta.enableChangeDataFeed") == "true":
            reasons.append("change data feed")
        reasons += [name for name in configuration if name.startswith("delta.constraints.")]
        for column in json.loads(self.handle.schema().to_json())["fields"]:
            reasons += [f"NOT NULL {column['name']}"] if not column["nullable"] else []
            reasons += [f"type void {column['name']}"] if '"void"' in json.dumps(column["type"]) else []
            reasons += [f"NOT NULL in {column['name']}"] if '": false' in json.dumps(column["type"]) else []
            reasons += [f"{key} {column['name']}" for key in column["metadata"] if key.startswith("delta.")]
        if reasons:
            raise Permanent(
                f"{self.url} uses {', '.join(reasons)}, which odibi cannot write soundly",
                hint="write to a table that odibi created",
            )

    def commit(
        self,
        staged: Staged,
        *,
        schema: Schema,
        removed: Sequence[DataFile] | Literal["all"],
        note: Mapping[str, Any],
        apps: Sequence[str] = (),
        added: Schema = (),
        fence: Fence | None = None,
    ) -> int:
        """Make the staged parts part of the table, in one atomic act. The version that made.

        Args:
            staged: parts below this table's folder.
            schema: what the table's schema is after the commit.
            removed: the files to take out; ``all`` takes the schema from the parts as well.
            note: kept in the commit's metadata.
            apps: the transactions to record.
            added: columns the table lacks, added first.
            fence: the lock of the run that writes.

        Raises:
            LostRace: the table has moved on since this handle was opened.
            Permanent: a later run than this one has the lock.
        """
        from deltalake import CommitProperties
        from deltalake import Schema as DeltaSchema
        from deltalake.transaction import RemoveAction

        self.refuse_features()
        if fence is not None and (self.handle.transaction_version(fence.app_id) or 0) > fence.epoch:
            raise Permanent(f"a later run has taken over from this one and written to {self.url}")
        if removed and self.handle.metadata().configuration.get("delta.appendOnly") == "true":
            raise Permanent(
                f"{self.url} is append-only, and the write takes rows out", hint="write to another table"
            )
        if self.partitions != staged.partitions:
            raise Permanent(
                f"{self.url} is partitioned by ({', '.join(self.partitions)}), "
                f"the step writes partition_by ({', '.join(staged.partitions)})",
                hint="write to another path, or remove the table first",
            )
        now = int(time.time() * 1000)
        gone = [
            RemoveAction(file.name, True, now, file.bytes, dict(file.partition))
            for file in (() if removed == "all" else removed)
        ]
        with race(self.url):
            self._prepare(schema, added)
            version = self.version + 1
            cross("before commit", self.url)
            self.handle.create_write_transaction(
                [*actions(self.url, staged), *gone],
                mode="overwrite" if removed == "all" else "append",
                schema=DeltaSchema.from_json(to_delta(schema)),
                partition_by=list(self.partitions) or None,
                commit_properties=CommitProperties(
                    custom_metadata={METADATA: json.dumps(note)},
                    max_commit_retries=0,
                    app_transactions=_transactions(apps, version, fence),
                ),
            )
        cross("after commit", self.url)
        self.version = version
        return version

    def _prepare(self, schema: Schema, added: Schema) -> None:
        """Make the table able to hold the schema, by commits of their own, each for this version only."""
        from deltalake import CommitProperties, TableFeatures
        from deltalake import Schema as DeltaSchema

        compared = CommitProperties(max_commit_retries=0)
        known = set(self.handle.protocol().writer_features or ())
        if "timestampNtz" not in known and "timestamp_ntz" in to_delta(schema):
            cross("before commit of feature", self.url)
            self.handle.alter.add_feature(
                TableFeatures.TimestampWithoutTimezone,
                allow_protocol_versions_increase=True,
                commit_properties=compared,
            )
            cross("after commit of feature", self.url)
            self._moved()
        if added:
            fields = DeltaSchema.from_json(to_delta(added)).fields
            cross("before commit of columns", self.url)
            self.handle.alter.add_columns(fields, commit_properties=compared)
            cross("after commit of columns", self.url)
            self._moved()

    def _moved(self) -> None:
        if self.handle.version() != self.version + 1:
            raise LostRace(f"{self.url} was changed by another writer meanwhile")
        self.version += 1


def _text(value: Any) -> str | None:
    """A partition value as the log has it: https://github.com/delta-io/delta/blob/master/PROTOCOL.md#partition-value-serialization."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ")
    return str(value)


@contextmanager
def race(url: str) -> Iterator[None]:
    """delta-rs's refusal of a commit as LostRace, its other errors as Permanent."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError as error:
        raise LostRace(f"{url} was changed by another writer meanwhile") from error
    except (DeltaError, OSError) as error:
        if "already exists" in str(error):
            raise LostRace(f"{url} was created by another writer meanwhile") from error
        raise Permanent(f"{url} cannot be written: {_causes(error)}") from error


def _causes(error: Exception) -> str:
    """What delta-rs says and, on one line with it, the causes that it draws below in colour."""
    first, *rest = re.sub(r"\x1b\[\d*m", "", str(error) or repr(error)).splitlines()
    return ": ".join([first, *(line.strip(" \u21b3") for line in rest if "\u21b3" in line)])


def create_table(
    url: str,
    staged: Staged,
    *,
    schema: Schema,
    note: Mapping[str, Any],
    apps: Sequence[str] = (),
    fence: Fence | None = None,
) -> int:
    """Create a table from staged parts in one atomic act. Its version, 0.

    Raises:
        LostRace: the table exists by now.
    """
    from deltalake import CommitProperties
    from deltalake import Schema as DeltaSchema
    from deltalake.transaction import create_table_with_add_actions

    refuse_path(url)
    cross("before creation", url)
    with race(url):
        create_table_with_add_actions(
            url,
            DeltaSchema.from_json(to_delta(schema)),
            actions(url, staged),
            mode="error",
            partition_by=list(staged.partitions) or None,
            storage_options=at(url).storage,
            commit_properties=CommitProperties(
                custom_metadata={METADATA: json.dumps(note)},
                max_commit_retries=0,
                app_transactions=_transactions(apps, 0, fence),
            ),
        )
    cross("after creation", url)
    return 0


def _transactions(apps: Sequence[str], version: int, fence: Fence | None) -> list[Transaction] | None:
    from deltalake import Transaction

    made = [Transaction(app, version) for app in apps]
    return made + ([Transaction(*fence)] if fence is not None else []) or None


def refuse_path(url: str) -> None:
    """Raise Permanent for a place where no Delta table can be.

    That is one of another scheme, and a folder that the Delta library takes for another one, or ends the process on.
    """
    scheme, remote, _ = url.partition("://")
    if remote and scheme not in (*DELTA_STORES, "file"):
        raise Permanent(
            f"there can be no Delta table at {scheme}://",
            hint=f"a local folder, or {', '.join(f'{name}://' for name in sorted(DELTA_STORES))}; or another format",
        )
    found = re.search(_UNFIT_URL if at(url).remote else _UNFIT, at(url).path(""))
    if found:
        raise Permanent(
            f"a Delta table cannot be kept in {url!r}: its path has {found.group()!r}",
            hint="choose another folder",
        )


_UNFIT = r"[\[\]|^\\`<>\x00-\x1f]|%[0-9A-Fa-f]{2}"
_UNFIT_URL = (
    rf"{_UNFIT}|[?#*{{}}]"  # in a URL these are no part of the path, or Hadoop takes it for a pattern
)


def open_table(url: str, version: int | None = None) -> Table | None:
    """A handle on the table's newest version, or on ``version``; None where no table is.

    Raises:
        Permanent: there is a log that cannot be read.
    """
    folder = at(url)
    if not folder.exists(LOG):
        return None
    refuse_path(url)
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return Table(url, DeltaTable(url, version=version, storage_options=folder.storage))
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise Permanent(f"the Delta table {url} cannot be opened: {_causes(error)}") from error


def table_bytes(url: str, version: int | None = None) -> int:
    """The size of the files of a table's version, its newest if None; 0 where no table is."""
    table = open_table(url, version)
    if table is None:
        return 0
    return sum(table.handle.get_add_actions(flatten=True).column("size_bytes").to_pylist())


def last_commit(url: str) -> Commit | None:
    """The newest commit of the table and its note, from its log alone; None where no table is.

    Listing the log takes microseconds, opening the table a millisecond or two.
    """
    found = versions(url)
    return commit_at(url, found[-1]) if found else None


def versions(url: str) -> list[int]:
    """The versions of a table whose entries the log still has, in order; none where no table is."""
    names = at(url).names(LOG)
    return sorted(int(name[:20]) for name in names if name.endswith(".json") and name[:20].isdigit())


def entry_of(version: int) -> str:
    """The name of a version's entry in the log, below the table's folder."""
    return f"{LOG}/{version:020}.json"


def commit_at(url: str, version: int) -> Commit:
    """The commit that made a version, with its note where the log still has it.

    Raises:
        Permanent: its entry in the log is not whole.
    """
    folder, entry = at(url), entry_of(version)
    try:
        lines = folder.read(entry).splitlines()
        json.loads(lines[-1] if lines else "")  # what is cut off ends in the middle of a line
        for line in lines:
            if '"commitInfo"' in line and (info := json.loads(line).get("commitInfo")) is not None:
                note = info.get(METADATA)
                return Commit(version, json.loads(note) if note else {})
    except FileNotFoundError:
        return Commit(version)
    except ValueError as error:
        raise Permanent(
            f"the log of the Delta table {url} is damaged: {entry.removeprefix(f'{LOG}/')} is not whole",
            hint=f"restore {url}/{entry}; or remove it, if it is the newest: the table is then what it was before, "
            "and the next run writes again what is missing",
        ) from error
    return Commit(version)
