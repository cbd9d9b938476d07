"""A write to a Delta table: dated, guarded, composed for its mode, staged, measured, committed."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Literal, cast

from odibi.boundaries import cross
from odibi.config.models import WriteMode
from odibi.datasets.compose import Rewrite, compose, incoming_of
from odibi.datasets.consumed import CONSUMED
from odibi.datasets.delta import Commit, DataFile, Table, create_table, last_commit, open_table
from odibi.datasets.digest import Digest, digest, digests, measure, parts_of_schema
from odibi.datasets.export import export
from odibi.datasets.guard import Change, guard
from odibi.datasets.modes import BESIDE
from odibi.datasets.staging import Intents, brought, discard
from odibi.datasets.target import QUARANTINE, Job, Target, Written, ledger, part_of
from odibi.engines.base import Engine, Frame, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import copied, scan
from odibi.errors import SchemaMismatch
from odibi.folders import at
from odibi.relational.schema import Schema

if TYPE_CHECKING:
    from odibi.engines.spark import Spark

__all__ = ["write_delta"]


def write_delta(
    db: Database, engine: Engine, intents: Intents, frame: Frame, schema: Schema, targets: tuple[Target, ...],
    handle: Table | None, job: Job,
) -> Written:  # fmt: skip
    """Stage the frame as parts of the first target's table and commit them; see :func:`odibi.datasets.target.write`."""
    target = targets[0]
    db.reach_table(target.url)
    if handle is not None:
        handle.refuse_features()
    incoming = incoming_of(engine, frame, schema, target, job)
    kept = None if job.rebuild or target.mode is WriteMode.OVERWRITE else handle
    policy = "replace" if job.rebuild and target.policy != "forbid" else target.policy
    change = guard(incoming.schema, handle.schema if handle else None, policy, target.url)
    rewrite = compose(db, engine, incoming, kept, change, target, job)
    folders = [intents.folder(target.url)]
    try:
        staged = _staged(db, engine, rewrite.frame, change.schema, folders[0], incoming.partitions)
        staged = _filled(
            _judged(db, engine, intents, staged, rewrite, handle, kept, change, target, job, folders)
        )
        sets = parts_of_schema(change.schema, job.sets)
        found, sample = measure(
            db, staged.location, rounded=job.rounded, sample=job.sample, masked=job.masked, sets=sets
        )
        removed, written = _removed(rewrite, staged, kept), found[0]
        if handle is not None and kept is not None and removed != "all":
            found = _after(db, found, removed, handle, change, job)
        whole, *of_sets = found
        sums = tuple(map(str, of_sets))
        if rewrite.own:  # the parts hold other rows too
            written = digest(db, staged.location, rounded=job.rounded, where=rewrite.own)
        beside = _staged_beside(db, engine, intents, rewrite, target, folders)
        note = {
            "key": job.key,
            "parts": dict(job.parts),
            "digest": str(whole),
            "sets": sums,
            "written": str(written),
            "rows": whole.rows,
            "schema": [[column.name, column.type] for column in change.schema],
            "run": job.run_id,
            "logical_date": job.logical_date,
            **({} if job.consumed is None else {"consumed": job.consumed}),
        }
        same = _already_there(handle, target, job, str(written))
        also = ((BESIDE, rewrite.beside is not None), (CONSUMED, job.consumed is not None))
        apps = (job.app_id, *(name for name, wanted in also if wanted))
        if rewrite.beside is not None:
            note["beside"] = [at(target.url).name(path) for path in beside]
        job.go_on()
        if job.judge is not None and (quarantine := job.judge.publish(job)) is not None:
            note[QUARANTINE] = quarantine
        if same:
            version, sums = same.version, tuple(same.note.get("sets", ()))
        else:
            removed = "all" if kept is None else removed
            version = _published(
                handle, target, brought(staged, target.url, folders[0]), change, removed, note, apps, job
            )
    except BaseException:
        for folder in folders:
            discard(target.url, folder)
        raise
    if target.name and handle is None:
        from odibi.engines.catalog import register

        register(cast("Spark", engine), target.name, target.url)  # no other engine was let through
    for other in targets[1:]:
        export(
            db,
            intents,
            staged.location,
            other.url,
            other.format,
            other.partition_by,
            part=part_of(other, job),
            where=rewrite.own,
        )
    if same or not staged.parts:
        discard(target.url, folders[0])
    # An overwrite's table is its parts; of the others readers see more than what was staged.
    table = None if target.mode is WriteMode.OVERWRITE else open_table(target.url, version)
    table, said = (handle, "it holds these rows already") if same else (table, "")
    rows = written.rows if rewrite.rows is None else rewrite.rows
    return Written(targets, staged, change.schema, str(whole), table, version, rows, sample, said, sums)


def _judged(
    db: Database, engine: Engine, intents: Intents, staged: Staged, rewrite: Rewrite, handle: Table | None, kept: Table | None,
    change: Change, target: Target, job: Job, folders: list[str],
) -> Staged:  # fmt: skip
    """The staged rows that may stay, once the table may become what they make of it.

    Raises:
        DataValidationFailed: it may not.
    """
    judge = job.judge
    if judge is None:
        return staged
    removed = _removed(rewrite, staged, kept)
    gone = () if removed == "all" else removed
    stay = () if kept is None or removed == "all" else tuple(f for f in kept.files() if f not in gone)
    others = ""
    if kept is not None and stay:
        others = scan(
            dataclasses.replace(kept.location(), files=tuple(f.path for f in stay), schema=change.schema)
        )
    query = "" if rewrite.judged else judge.incoming(staged.location, others=others, where=rewrite.own)
    if query:
        folders.append(folders[0])
        folders[0] = intents.folder(target.url)
        place = _near(db, folders[0], frozenset())
        staged = copied(db.computing(), query, staged.schema, place, staged.partitions)
        discard(target.url, folders.pop())
        if target.url.partition("://")[0] in engine.stores:  # whose workers may not see this disk
            staged = brought(staged, target.url, folders[0])
    table = scan(staged.location)
    size = staged.bytes + sum(file.bytes for file in stay)
    if others:
        table = f"({table}) UNION ALL BY NAME ({others})"
    before = handle.schema if handle is not None else None
    judge.table(table, change.schema, size, before, composed=rewrite.judged)
    return staged


def _published(
    handle: Table | None, target: Target, staged: Staged, change: Change,
    removed: Sequence[DataFile] | Literal["all"], note: dict[str, object], apps: Sequence[str], job: Job,
) -> int:  # fmt: skip
    """The version of the table, made now if it was not there, that has the staged parts."""
    if handle is None:
        return create_table(target.url, staged, schema=change.schema, note=note, apps=apps, fence=job.fence)
    added = change.added if removed != "all" else ()
    return handle.commit(
        staged, schema=change.schema, removed=removed, note=note, apps=apps, added=added, fence=job.fence
    )


def _staged_beside(
    db: Database, engine: Engine, intents: Intents, rewrite: Rewrite, target: Target, folders: list[str]
) -> list[str]:
    """Stage what the table is to remember beside its rows, in a folder added to ``folders``; the files."""
    if rewrite.beside is None:
        return []
    folders.append(intents.folder(target.url, "_odibi"))
    remembered = _filled(_staged(db, engine, rewrite.beside, rewrite.beside_schema, folders[1], ()))
    remembered = brought(remembered, target.url, folders[1])
    if not remembered.parts:
        discard(target.url, folders.pop())
    return [part.path for part in remembered.parts]


def _staged(
    db: Database, engine: Engine, frame: Frame, schema: Schema, folder: str, partitions: Sequence[str]
) -> Staged:
    place = folder.rpartition("/")[0]  # its own name is another one in each run
    cross("before staging", place)
    staged = engine.stage(frame, schema, _near(db, folder, engine.stores), partitions)
    cross("after staging", place)
    _refuse_empty_partitions(staged)
    return staged


def _filled(staged: Staged) -> Staged:
    """What was staged without the files that hold no rows: no commit names them, so they would stay for ever."""
    if empty := [part.path for part in staged.parts if not part.rows]:
        place = at(staged.folder)
        place.drop(map(place.name, empty))
    return dataclasses.replace(staged, parts=tuple(part for part in staged.parts if part.rows))


def _near(db: Database, folder: str, stores: Container[str]) -> str:
    """Where parts for a folder are computed: there, if the engine writes there, else in the run's own folder.

    From there they are brought when all that is asked of them has been: checks read what is at hand.
    """
    if not at(folder).remote or folder.partition("://")[0] in stores:
        return folder
    return str(db.scratch / db.new_name())


def _already_there(handle: Table | None, target: Target, job: Job, written: str) -> Commit | None:
    """The commit by which the table has these rows of the step and the date; None where it has others, or none.

    Steps that also write plain files run each time, as do those whose answer may change.
    """
    if handle is None or job.rebuild or target.mode not in (WriteMode.OVERWRITE, WriteMode.APPEND):
        return None
    found = ledger(target, job.app_id)
    same = found and found.version <= handle.version and found.note.get("key") == job.key
    return found if same and found and found.note.get("written") == written else None


def _removed(rewrite: Rewrite, staged: Staged, kept: Table | None) -> Sequence[DataFile] | Literal["all"]:
    """The files that the parts take the place of; for whole partitions only the parts tell which."""
    if kept is None or rewrite.removed == "all":
        return "all"
    if not rewrite.partitions:
        return rewrite.removed
    names = kept.partitions
    fresh = {tuple(_logged(part.partition.get(name)) for name in names) for part in staged.parts if part.rows}
    return tuple(f for f in kept.files() if tuple(f.partition.get(name) for name in names) in fresh)


def _logged(value: str | None) -> str | None:
    """A partition value of a staged part as the log has it: instants in UTC, without saying so."""
    return value and value.removesuffix("+00")


def _after(
    db: Database,
    added: Sequence[Digest],
    removed: Sequence[DataFile],
    handle: Table,
    change: Change,
    job: Job,
) -> tuple[Digest, ...]:
    """The digests of the table after the parts took the place of the removed files."""
    last = last_commit(handle.url)
    note = last.note if last is not None and last.version == handle.version else {}
    known = {
        d.hash: d for d in map(Digest.parse, [*note.get("sets", ()), *filter(None, [note.get("digest")])])
    }
    table = dataclasses.replace(handle.location(), schema=change.schema)
    sets = parts_of_schema(change.schema, job.sets)
    if any(each.hash not in known for each in added):  # by somebody else, or over other columns: taken anew
        known = {each.hash: each for each in digests(db, table, rounded=job.rounded, sets=sets)}
    before = [known[each.hash] for each in added]
    if removed:
        files = tuple(file.path for file in removed)
        gone = digests(db, dataclasses.replace(table, files=files), rounded=job.rounded, sets=sets)
        before = [
            Digest(a.hash, a.rows - b.rows, a.total - b.total) for a, b in zip(before, gone, strict=True)
        ]
    return tuple(
        Digest(a.hash, a.rows + b.rows, a.total + b.total) for a, b in zip(added, before, strict=True)
    )


def _refuse_empty_partitions(staged: Staged) -> None:
    """Readers take an empty partition value for NULL, DuckDB before 2.0 two more: that would change the rows."""
    import duckdb

    null = {"", "NULL", "__HIVE_DEFAULT_PARTITION__"} if duckdb.__version__.startswith("1.") else {""}
    for part in staged.parts:
        for name, value in part.partition.items():
            if value is not None and value.upper() in null:
                what = f"the text {value}" if value else "an empty text"
                raise SchemaMismatch(
                    f"partition_by column {name!r} holds {what}, which readers cannot tell from NULL",
                    hint=f"replace it in the step: nullif({name}, '{value}')",
                )
