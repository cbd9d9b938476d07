"""What a step has consumed of its inputs and sources, kept in the commits of the table it writes.

A commit that reads only what is new carries the transaction :data:`CONSUMED`; its note says what has
been consumed once it is there. So rows and the memory of having read them become true in one act.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from odibi.datasets.delta import Table
from odibi.datasets.files import SourceFile
from odibi.datasets.staging import Intents
from odibi.errors import Permanent
from odibi.folders import at

__all__ = ["CONSUMED", "SOURCE", "consumed", "ledger_of", "noted_files", "with_files"]

CONSUMED = "odibi/consumed"
"""The transaction of the commit whose note tells what the steps that write a table have consumed."""

SOURCE = "read"
"""What a step's own source is called among what it has consumed; its inputs are called by their names."""

LEDGERS = 16
"""Files a ledger may be made of before they are written as one."""


def consumed(table: Table | None) -> Mapping[str, Mapping[str, Any]]:
    """By ``pipeline/step``, what each has consumed as of this version of its table; empty if nothing.

    Raises:
        Permanent: the commit that tells is no longer in the log.
    """
    commit = table.transaction(CONSUMED) if table is not None else None
    if commit is None:
        return {}
    if "consumed" not in commit.note:
        raise Permanent(
            f"{table.url if table else ''}: the log entry of version {commit.version}, which tells what was "
            "consumed, was cleaned up",
            hint="--full-refresh builds the table anew",
        )
    found: Mapping[str, Mapping[str, Any]] = commit.note["consumed"]
    return found


def noted_files(state: Mapping[str, Any]) -> tuple[str, ...]:
    """The files beside the table, relative to it, that what was consumed is kept in."""
    return tuple(
        str(name) for step in state.values() for each in step.values() for name in each.get("ledger", ())
    )


def ledger_of(url: str, state: Mapping[str, Any] | None) -> dict[str, SourceFile]:
    """The source files that were consumed, by path, as they were then."""
    found: dict[str, SourceFile] = {}
    for name in (state or {}).get("ledger", ()):
        for line in at(url).read(name).splitlines():
            path, size, version, changed = json.loads(line)
            found[path] = SourceFile(path, size, version, changed)
    return found


def with_files(
    intents: Intents, url: str, state: Mapping[str, Any] | None, files: Sequence[SourceFile]
) -> tuple[dict[str, Any], str]:
    """The state with more files in its ledger, and the folder it was written to beside the table (if any).

    A ledger is a few files of lines, each added by a commit, so a commit costs what it adds.
    """
    names = list((state or {}).get("ledger", ()))
    if not files:
        return {"ledger": names}, ""
    if len(names) >= LEDGERS:
        files = tuple((ledger_of(url, state) | {file.path: file for file in files}).values())
        names = []
    folder = intents.folder(url, "_odibi")
    lines = [json.dumps([f.path, f.size, f.version, f.changed], ensure_ascii=False) for f in files]
    at(folder).write("files.ndjson", "\n".join(lines) + "\n")
    names.append(f"_odibi/{folder.rpartition('/')[2]}/files.ndjson")
    return {"ledger": names}, folder
