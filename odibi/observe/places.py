"""Where a step's rows come from and go to, and what stands there now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from odibi.config.load import beside
from odibi.config.models import Connection, Step, Write, WriteMode
from odibi.datasets.consumed import SOURCE, ledger_of
from odibi.datasets.database import is_database
from odibi.datasets.delta import Commit, last_commit, table_bytes
from odibi.datasets.fetching import Remote, is_served
from odibi.datasets.files import join
from odibi.datasets.ledger import last_version
from odibi.datasets.source import ReadOptions, Seen, Source, look, with_known_types
from odibi.datasets.target import Target, ledger
from odibi.engines.database import Database
from odibi.errors import Permanent, Problem, nearest
from odibi.observe.catalogs import Catalogs
from odibi.observe.connections import opened, refuse_outside
from odibi.observe.increments import state_of
from odibi.observe.notes import Notes, Place
from odibi.observe.servers import asked_of
from odibi.places import Unreachable, is_remote
from odibi.relational.schema import Column, Schema

if TYPE_CHECKING:
    pass

__all__ = ["Places", "Standing", "version_of"]

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

SOURCE_FILE = "_source_file"
"""The column of an appended table that tells which file a row came from, so that a changed one replaces its rows."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a target holds before the run: its data version, and its columns where odibi noted them.

    ``code`` is the version of the code that wrote to it last, empty where odibi did not. ``bytes``
    is its size where somebody asks for sizes. ``sets`` are digests of some of its columns each.
    """

    version: str
    schema: Schema | None = None
    code: str = ""
    bytes: int | None = None
    sets: tuple[str, ...] = ()


def version_of(url: str, commit: Commit) -> str:
    """The data version of a Delta table at a commit: its digest if odibi made the commit."""
    return str(commit.note.get("digest") or f"{url}@{commit.version}")


class Places:
    """Looks at sources and targets of a pipeline's steps; what is wrong goes to the notes."""

    def __init__(self, notes: Notes, db: Database, *, anew: bool = False) -> None:
        self.notes = notes
        self.anew = anew  # nothing counts as read before
        self._out_of_reach: dict[str, Unreachable] = {}
        self.loaded = notes.loaded
        self.db = db
        pipeline = self.loaded.pipeline
        engines = {pipeline.engine, *pipeline.engines.values(), *(step.engine for step in pipeline.steps)}
        self.catalogs = Catalogs(pipeline, db)
        self.sized = not engines.isdisjoint({"auto", "pandas"})

    def targets(self, at: Place, step: Step) -> dict[str, tuple[Target, ...]]:
        """What the step writes, by dataset (a store's is called as the step)."""
        write = self._store(at, step) if step.stores else step.write
        if write is None:
            return {}
        names = (step.name,) if step.stores else tuple(step.outputs.values())
        place = (*at, "value") if step.stores else (*at, "write", "path")
        path = self.notes.resolved(place, write.path) if write.path is not None else None
        connection = self._connection(write.to)
        if connection is None or (path is None and write.path is not None):
            return {}
        database = is_database(connection.url)
        where = (*at, "value") if step.stores else (*at, "write")
        if not database and not self._inside(where, path, write.to, connection):
            return {}
        found = {}
        for name in names:
            own = path if len(names) == 1 or path is None else f"{path}/{name}"
            make = partial(
                Target.all_of,
                write.model_copy(update={"path": own}),
                connection.url,
                f"{step.layer}/{name}",
                connection.format,
                step.ingests,
            )
            if database:
                make = partial(_table_target, write, connection.url, name if len(names) > 1 else path or name)
            if connection.catalog is not None:
                make = partial(self._named_target, connection, own or name, step, write)
            group = self.notes.guarded((*at, "write"), make)
            if group:
                found[name] = group
                for target in group:
                    if target.format == "delta":
                        self.db.reach_table(target.url)
        return found

    def _named_target(
        self, connection: Connection, table: str, step: Step, write: Write
    ) -> tuple[Target, ...]:
        """The Delta table of a catalog that a step writes."""
        found = self.catalogs.find(connection, table, step)
        name = f"{connection.catalog}.{connection.schema_}.{table}"
        if found is not None and not found.url:
            raise Permanent(
                f"{name} is no Delta table within reach", hint="write to a connection with a url instead"
            )
        if found is None and not connection.url:
            raise Permanent(
                f"{name} does not exist", hint="give the connection a url: the table is created below it"
            )
        path = found.url if found is not None else join(connection.url, table)
        if is_remote(path):
            raise Permanent(
                f"{name} would stand at {path}, and a table that is told by its catalog is written on a disk",
                hint="write to a connection with a url and no catalog",
            )
        made = Target.all_of(write.model_copy(update={"path": path}), "", "", "delta", step.ingests)
        if made[0].format != "delta" or len(made) > 1:
            raise Permanent(f"{name} can only be a Delta table", hint="remove format")
        return (replace(made[0], name=name),)

    def _named_source(self, connection: Connection, table: str, step: Step, given: ReadOptions) -> Source:
        """The table of a catalog that a step reads."""
        if unfit := given.model_fields_set - {"from_", "version"}:
            raise Permanent(f"{sorted(unfit)[0].rstrip('_')!r} is not an option of a catalog's tables")
        found = self.catalogs.find(connection, table, step)
        name = f"{connection.catalog}.{connection.schema_}.{table}"
        if found is None:
            raise Permanent(f"there is no table {name}")
        if not found.url and given.version is not None:
            raise Permanent(f"{name} is no Delta table within reach, so it has no versions")
        return Source(found.url or name, "delta" if found.url else "table", version=given.version)

    def standing(self, at: Place, target: Target, app_id: str) -> tuple[Standing | None, Commit | None]:
        """What the target holds, and the ledger's entry for this step and date; None where nothing is."""
        found = self.notes.guarded(
            (*at, "write"), partial(self._asked, target.url, partial(self._standing, target, app_id))
        )
        return found or (None, None)

    def _asked(self, url: str, ask: Callable[[], T]) -> T:
        """What asking a place gives; of a store that did not answer before, the same at once: some take a minute."""
        root = "/".join(url.split("/")[:3])
        if root in self._out_of_reach:
            raise self._out_of_reach[root]
        try:
            return ask()
        except Unreachable as error:
            self._out_of_reach[root] = error
            raise

    def _standing(self, target: Target, app_id: str) -> tuple[Standing | None, Commit | None]:
        if is_served(target.url):
            return None, None  # only the server could tell
        if target.format == "database":
            version = last_version(target.url)
            return (None if version is None else Standing(version)), None
        if target.format != "delta":
            # Any schema keeps look() from reading the files for one.
            seen = look(self.db, Source(target.url, target.format), ())
            return (None if seen is None else Standing(seen.version)), None
        newest = last_commit(target.url)
        if newest is None:
            return None, None
        noted = newest.note.get("schema")
        schema = tuple(Column(name, kind) for name, kind in noted) if noted else None
        mine = newest if target.mode is WriteMode.OVERWRITE else ledger(target, app_id)
        code = str(newest.note.get("parts", {}).get("code", ""))
        size = table_bytes(target.url) if self.sized else None
        sets = tuple(newest.note.get("sets", ()))
        return Standing(version_of(target.url, newest), schema, code, size, sets), mine

    def source(
        self, at: Place, step: Step, target: Target | None, standing: Standing | None
    ) -> tuple[Source | None, Seen | None, Problem | None]:
        """What an ingest reads, as it is now; a problem, for whoever runs it, where nothing is."""
        options = self._model(at, ReadOptions, self._resolved(at, step.params))
        appends = target is not None and target.mode is WriteMode.APPEND
        if options is not None and options.files is not None and options.filename is None and appends:
            options = options.model_copy(update={"filename": SOURCE_FILE})
        connection = self._connection(options.from_) if options else None
        path = self.notes.resolved((*at, "value"), step.value)
        if options is None or connection is None or path is None:
            return None, None, None
        if is_database(connection.url):
            return self._of_database(at, options, connection)
        expected = _expected(target, standing)
        source = self._of_files(at, step, path, options, connection, expected)
        if source is None:
            return None, None, None
        if source.remote is not None:
            return self.notes.guarded(at, partial(with_known_types, self.db, source)), None, None
        if source.known is not None and not self.anew:
            state = self.notes.guarded(at, partial(state_of, self.loaded, step, target)) or {}
            source = replace(source, known=ledger_of(target.url if target else "", state.get(SOURCE)))
        if source.format == "table":  # Spark tells no version, so it may be another one each time
            version = f"run:{self.loaded.run_id}"
            return source, Seen(version, schema=self.catalogs.columns(source.url)), None

        def missing() -> Problem:
            message = f"there is nothing to read at {source.url!r}"
            return self.loaded.problem((*at, "value"), message, _neighbours(source.url))

        seen = self._looked((*at, "value"), source, missing, expected)
        if isinstance(seen, Seen) and seen.schema is None and not seen.files and standing and standing.schema:
            date = target.date_column if target is not None else None
            seen = replace(seen, schema=tuple(c for c in standing.schema if c.name != date))
        return (source, None, seen) if isinstance(seen, Problem) else (source, seen, None)

    def _of_files(
        self, at: Place, step: Step, path: str, options: ReadOptions, connection: Connection,
        expected: Schema | None,
    ) -> Source | None:  # fmt: skip
        """Files or a table by their place; None and a problem where nothing can be meant."""
        if options.table or options.tables or options.query:
            message = f"connection {options.from_!r} is no database, so it has no tables and no queries"
            self.notes.problem((*at, "value"), message, "give a path, or the connection of a database")
            return None
        if not self._inside((*at, "value"), path, options.from_, connection):
            return None
        if connection.catalog is not None:
            return self.notes.guarded(
                (*at, "value"), partial(self._named_source, connection, path, step, options)
            )
        url, remote = join(connection.url, path), None
        if is_served(url):
            remote = self.notes.guarded(at, partial(self._remote, step, url, options, expected))
            if remote is None:
                return None
        make = partial(Source.of, path, connection.url, options, connection.format, remote)
        return self.notes.guarded((*at, "value"), make)

    def _remote(self, step: Step, url: str, given: ReadOptions, expected: Schema | None) -> Remote:
        """What a step asks of a server."""
        folder = ""
        if given.land is not None:
            below = self._connection(given.land.to)
            if below is None:
                hint = nearest(given.land.to, self.loaded.pipeline.connections)
                raise Permanent(f"land: unknown connection {given.land.to!r}", hint=hint)
            folder = join(below.url, given.land.path)
        return asked_of(self.loaded, step.name, url, given, folder, expected, self.notes.redactor)

    def _of_database(
        self, at: Place, options: ReadOptions, connection: Connection
    ) -> tuple[Source | None, Seen | None, Problem | None]:
        """What is read from a database, which tells no version of it: it may be another one each time."""
        place = (*at, "value")
        source = self.notes.guarded(
            place, partial(Source.of_database, str(options.from_), connection.url, options)
        )
        seen = self.notes.guarded(place, partial(look, self.db, source)) if source is not None else None
        return source, seen and replace(seen, version=f"run:{self.loaded.run_id}"), None

    def external(self, at: Place, dataset: str) -> tuple[Source, Seen] | Problem | None:
        """The table of another pipeline that an input names as ``pipeline.dataset``; None if it is none.

        A problem, for the steps that read it, where it is not there.
        """
        pipeline, _, name = dataset.rpartition(".")
        if not pipeline:
            return None
        other = self.loaded.others.get(pipeline) or self.notes.guarded(
            at, partial(beside, self.loaded, pipeline)
        )
        if other is None:
            return None
        makers = {d.lower(): (i, s) for i, s in enumerate(other.pipeline.steps) for d in s.outputs.values()}
        if name.lower() not in makers:
            return None
        index, step = makers[name.lower()]
        notes = Notes(other)
        notes.redactor = notes.secrets.redactor = self.notes.redactor
        group = Places(notes, self.db).targets(("steps", index), step).get(_spelled(step, name), ())
        self.notes.problems += notes.problems
        if not group:
            if not notes.problems:
                self.notes.problem(
                    at, f"{dataset!r} is not kept: its step in {other.file} has no write", "give it one"
                )
            return None
        source = Source(group[0].url, group[0].format)

        def missing() -> Problem:
            return self.loaded.problem(at, f"{dataset!r} has not been written yet", f"run {other.file} first")

        seen = self._looked(at, source, missing)
        return (source, seen) if isinstance(seen, Seen) else seen

    def _looked(
        self, at: Place, source: Source, missing: Callable[[], Problem], expected: Schema | None = None
    ) -> Seen | Problem | None:
        """The source as it is now; ``missing()`` where nothing is, None where looking at it is a problem itself."""
        before = len(self.notes.problems)
        if source.format == "delta":
            self.db.reach_table(source.url)
        ask = partial(look, self.db, source, expected)
        seen = self.notes.guarded(at, partial(self._asked, source.url, ask))
        if seen is not None and seen.table_version is not None and self.sized:
            seen = replace(seen, bytes=table_bytes(source.url, seen.table_version))
        return missing() if seen is None and len(self.notes.problems) == before else seen

    def _connection(self, name: str | None) -> Connection | None:
        if name is None:
            return Connection(url="")
        connection = self.loaded.pipeline.connections.get(name)
        if connection is None:
            return None  # config.check has said so
        return opened(self.notes, name, connection)

    def _inside(self, at: Place, path: str | None, name: str | None, connection: Connection) -> bool:
        """Whether a path is one of the connection; a problem where it is not."""
        before = len(self.notes.problems)
        self.notes.guarded(at, partial(refuse_outside, path or "", name, connection.url))
        return len(self.notes.problems) == before

    def _store(self, at: Place, step: Step) -> Write | None:
        """A store's value and params as the write they mean."""
        return self._model(at, Write, {**step.params, "path": step.value})

    def _model(self, at: Place, model: type[M], given: Mapping[str, Any]) -> M | None:
        """The parameters of a step as a model; every key it does not have is a problem."""
        try:
            return model(**given)
        except ValidationError as error:
            known = ["format", *(field.alias or name for name, field in model.model_fields.items())]
            for item in error.errors():
                name = str(item["loc"][0]) if item["loc"] else ""
                if item["type"] == "extra_forbidden":
                    self.notes.problem((*at, "params", name), f"unknown key {name!r}", nearest(name, known))
                else:
                    found = "" if isinstance(item["input"], Mapping) else f", found {item['input']!r}"
                    self.notes.problem((*at, "params", *item["loc"]), f"{name}: {item['msg']}{found}")
        return None

    def _resolved(self, at: Place, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with the references in their texts replaced."""
        return {key: self._given((*at, "params", key), value) for key, value in given.items()}

    def _given(self, at: Place, value: Any) -> Any:
        """A value with the references in its texts replaced; None where one has no value."""
        if isinstance(value, str):
            return self.notes.resolved(at, value)
        if isinstance(value, Mapping):
            return {key: self._given((*at, key), item) for key, item in value.items()}
        return value


def _table_target(write: Write, url: str, table: str) -> tuple[Target, ...]:
    return (Target.of_table(write, url, table),)


def _spelled(step: Step, name: str) -> str:
    return next(dataset for dataset in step.outputs.values() if dataset.lower() == name.lower())


def _expected(target: Target | None, standing: Standing | None) -> Schema | None:
    """The columns an earlier run gave a target that keeps them, without the one for the logical date."""
    if target is None or target.policy not in ("exact", "forbid") or standing is None:
        return None
    if standing.schema is None or target.mode is WriteMode.SCD2 or target.write.exclude:
        return None  # the table has other columns than what is read
    return tuple(column for column in standing.schema if column.name != target.date_column)


def _neighbours(url: str) -> str:
    """The files beside a missing one, the nearest first."""
    path = Path(url)
    if "://" in url:
        return ""
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    names: Iterable[str] = (each.name for each in path.parent.iterdir())
    return nearest(path.name, names, f"in {path.parent}")
