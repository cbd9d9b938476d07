"""The run store: what every run was, is and did, kept in SQLite or PostgreSQL.

One writer process per run, any number of readers. A step is saved whole each time something
happens to it, so the store always shows how far a run has come, also when it is killed.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

from odibi.errors import NotFound, Permanent, nearest
from odibi.record.database import Database, first_line
from odibi.record.migrations import migrate
from odibi.record.model import AttemptRecord, RunRecord, RunStatus, StepRecord
from odibi.record.process import ABANDONED, is_gone, this_process
from odibi.record.rows import ATTEMPT, PROCESS, RUN, STEP, from_row, moment, storable, to_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Connection, TextClause

__all__ = ["ABANDONED", "RunStore", "open_store"]

SHORTEST_PREFIX = 4


def _list(columns: Iterable[str], mark: str = "") -> str:
    return ", ".join(mark + column for column in columns)


def _set(columns: Iterable[str]) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in columns)


_RUN = (*RUN, *PROCESS, "detail")
_STEP = (*STEP, "detail")
_ATTEMPT = ("run_id", "step", *ATTEMPT, "detail")
_INSERT_RUN = f"INSERT INTO runs ({_list(_RUN)}) VALUES ({_list(_RUN, ':')})"
_SAVE_RUN = f"{_INSERT_RUN} ON CONFLICT (run_id) DO UPDATE SET {_set(_RUN)}"
# A step the run did not start with goes to the end; a known one stays where it is.
_SAVE_STEP = f"""
INSERT INTO steps (run_id, position, {_list(_STEP)})
VALUES (
    :run_id,
    COALESCE(:position, (SELECT COALESCE(MAX(position) + 1, 0) FROM steps WHERE run_id = :run_id)),
    {_list(_STEP, ":")}
)
ON CONFLICT (run_id, name) DO UPDATE SET position = COALESCE(:position, steps.position), {_set(_STEP)}
"""
_FORGET_ATTEMPTS = "DELETE FROM attempts WHERE run_id = :run_id AND step = :name"
_INSERT_ATTEMPT = f"INSERT INTO attempts ({_list(_ATTEMPT)}) VALUES ({_list(_ATTEMPT, ':')})"
_NEWEST = "ORDER BY started_at DESC, run_id DESC LIMIT :limit"


def open_store(url: str) -> RunStore:
    """Open the run store, creating it or bringing its schema up to date.

    ``url`` is the path of a SQLite file or a SQLAlchemy URL (``sqlite:///...``, ``postgresql://...``).

    Raises:
        Permanent: the place cannot be used, with what to do about it.
        MissingExtra: psycopg is needed and not installed.
    """
    store = RunStore(url)
    try:
        migrate(store.database)
    except BaseException:
        store.close()
        raise
    return store


class RunStore:
    """Runs by verb. May be used by several threads; every verb is one transaction."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def begun(self) -> str:
        """When this store was made, to the microsecond: another one in its place is known by it."""
        with self.database.read() as connection:
            found = _rows(connection, "SELECT applied_at FROM schema_migrations WHERE version = 1")
        return str(found[0]["applied_at"])

    def start_run(self, run: RunRecord) -> None:
        """Record a new run with all its steps; this process is remembered as the one that runs it.

        Raises:
            Permanent: there is a run of that id already.
        """
        with self.database.write("run begun") as connection:
            if _rows(connection, "SELECT 1 FROM runs WHERE run_id = :run_id", run_id=storable(run.run_id)):
                raise Permanent(f"run {run.run_id!r} is already recorded in {self.database.place}")
            _execute(connection, _INSERT_RUN, [to_row(run, RUN) | this_process()])
            _save_steps(connection, run.run_id, enumerate(run.steps))

    def finish_run(self, run: RunRecord) -> None:
        """Record the run and all steps it has as they are now; whatever was not saved before is added."""
        with self.database.write("run ended") as connection:
            _execute(connection, _SAVE_RUN, [to_row(run, RUN) | this_process()])
            _save_steps(connection, run.run_id, enumerate(run.steps))

    def save_step(self, run_id: str, step: StepRecord) -> None:
        """Record one step of a started run, with its attempts, as it is now."""
        self.save_steps(run_id, [step])

    def save_steps(self, run_id: str, steps: Iterable[StepRecord]) -> None:
        """Record several steps of a started run in one transaction.

        Raises:
            Permanent: there is no such run.
        """
        from sqlalchemy.exc import IntegrityError

        with self.database.write("steps") as connection:
            try:
                _save_steps(connection, run_id, ((None, step) for step in steps))
            except IntegrityError as error:
                raise Permanent(
                    f"steps of run {run_id!r} cannot be saved: {first_line(error.orig or error)}",
                    where=f"run store {self.database.place}",
                    hint="a run is recorded by start_run before its steps",
                ) from error

    def run(self, run_id: str) -> RunRecord:
        """The whole record of a run, by its id or by the beginning of it (4 characters or more).

        Raises:
            NotFound: no run has that id.
            Permanent: more than one has.
        """
        with self.database.read() as connection:
            return _whole(connection, self._find(connection, run_id))

    def runs(self, pipeline: str | None = None, limit: int = 20) -> tuple[RunRecord, ...]:
        """The newest runs, newest first, of one pipeline or of all.

        Cheap, for lists: the steps are light. They have only what the columns of the table ``steps``
        hold (names, decision, status, times, rows out, memory); no attempts, schemas, SQL, samples, errors.
        """
        where = "" if pipeline is None else "WHERE pipeline = :pipeline"
        asked = {"pipeline": storable(pipeline or ""), "limit": limit}
        with self.database.read() as connection:
            headers = _rows(connection, f"SELECT * FROM runs {where} {_NEWEST}", **asked)
            light = _rows(
                connection,
                f"SELECT run_id, {_list(STEP)} FROM steps "
                f"WHERE run_id IN (SELECT run_id FROM runs {where} {_NEWEST}) ORDER BY run_id, position",
                **asked,
            )
        steps: dict[str, list[StepRecord]] = defaultdict(list)
        for row in light:
            steps[row["run_id"]].append(from_row(StepRecord, row, STEP))
        return tuple(_run(row, steps[row["run_id"]]) for row in headers)

    def headers(self, pipeline: str, target: str, limit: int = 500) -> tuple[RunRecord, ...]:
        """The newest runs of a pipeline in a target, newest first, each without its steps and details."""
        with self.database.read() as connection:
            rows = _rows(
                connection,
                f"SELECT {_list((*RUN, *PROCESS))} FROM runs WHERE pipeline = :pipeline AND target = :target {_NEWEST}",
                pipeline=storable(pipeline),
                target=storable(target),
                limit=limit,
            )
        return tuple(_run(row, []) for row in rows)

    def computed(self, pipeline: str, target: str, limit: int = 100) -> frozenset[str]:
        """Of the newest runs of a pipeline in a target, the ids of those in which a step was computed, or is."""
        with self.database.read() as connection:
            rows = _rows(
                connection,
                "SELECT DISTINCT run_id FROM steps WHERE status IN ('completed', 'failed', 'running') AND run_id IN "
                f"(SELECT run_id FROM runs WHERE pipeline = :pipeline AND target = :target {_NEWEST})",
                pipeline=storable(pipeline),
                target=storable(target),
                limit=limit,
            )
        return frozenset(row["run_id"] for row in rows)

    def last_run(self, pipeline: str, before: RunRecord | None = None) -> RunRecord | None:
        """The whole record of the newest run of a pipeline, or of the newest that started before ``before``."""
        asked: dict[str, Any] = {"pipeline": storable(pipeline), "limit": 1}
        where = "WHERE pipeline = :pipeline"
        if before is not None:
            where += " AND (started_at, run_id) < (:started_at, :run_id)"
            asked |= {"started_at": moment(before.started_at), "run_id": storable(before.run_id)}
        with self.database.read() as connection:
            found = _rows(connection, f"SELECT * FROM runs {where} {_NEWEST}", **asked)
            return _whole(connection, found[0]) if found else None

    def pipelines(self) -> tuple[str, ...]:
        """The names of all pipelines that ever ran, sorted."""
        with self.database.read() as connection:
            return tuple(
                sorted(row["pipeline"] for row in _rows(connection, "SELECT DISTINCT pipeline FROM runs"))
            )

    def _find(self, connection: Connection, run_id: str) -> Mapping[str, Any]:
        """The row of the run that is meant."""
        asked = storable(run_id)
        if found := _rows(connection, "SELECT * FROM runs WHERE run_id = :run_id", run_id=asked):
            return found[0]
        if len(asked) >= SHORTEST_PREFIX:
            found = _rows(
                connection,
                f"SELECT * FROM runs WHERE substr(run_id, 1, :length) = :run_id {_NEWEST}",
                run_id=asked,
                length=len(asked),
                limit=8,
            )
        if len(found) == 1:
            return found[0]
        where = f"run store {self.database.place}"
        if found:
            newest = ", ".join(row["run_id"] for row in found)
            raise Permanent(
                f"more than one run begins with {run_id!r}", where=where, hint=f"newest: {newest}"
            )
        recent = _rows(connection, f"SELECT run_id FROM runs {_NEWEST}", limit=1000)
        hint = nearest(run_id, [row["run_id"] for row in recent], "known runs") or "no run is recorded yet"
        raise NotFound(f"there is no run {run_id!r}", where=where, hint=hint)


def _save_steps(connection: Connection, run_id: str, steps: Iterable[tuple[int | None, StepRecord]]) -> None:
    """Record steps with their attempts; ``None`` for the position leaves a step where it is."""
    run = {"run_id": storable(run_id)}
    saved = [(to_row(step, STEP) | run | {"position": position}, step) for position, step in steps]
    _execute(connection, _SAVE_STEP, [row for row, _ in saved])
    _execute(connection, _FORGET_ATTEMPTS, [run | {"name": row["name"]} for row, _ in saved])
    attempts = [
        to_row(attempt, ATTEMPT) | run | {"step": row["name"]}
        for row, step in saved
        for attempt in step.attempts
    ]
    _execute(connection, _INSERT_ATTEMPT, attempts)


def _whole(connection: Connection, row: Mapping[str, Any]) -> RunRecord:
    """The run of a row with all its steps and their attempts."""
    of_run = {"run_id": row["run_id"]}
    attempts: dict[str, list[AttemptRecord]] = defaultdict(list)
    for attempt in _rows(
        connection, "SELECT * FROM attempts WHERE run_id = :run_id ORDER BY number", **of_run
    ):
        attempts[attempt["step"]].append(from_row(AttemptRecord, attempt, ATTEMPT))
    steps = _rows(connection, "SELECT * FROM steps WHERE run_id = :run_id ORDER BY position, name", **of_run)
    return _run(
        row, [from_row(StepRecord, step, STEP, attempts=tuple(attempts[step["name"]])) for step in steps]
    )


def _run(row: Mapping[str, Any], steps: list[StepRecord]) -> RunRecord:
    """The run of a row; one that says it is running although its process is gone has failed.

    Its steps stay as they were last saved, which shows where the process ended.
    """
    run = from_row(RunRecord, row, RUN, steps=tuple(steps))
    if run.status is RunStatus.RUNNING and is_gone(row["host"], row["pid"], row["process_start"]):
        return run.model_copy(update={"status": RunStatus.FAILED, "error": ABANDONED})
    return run


def _rows(connection: Connection, statement: str, **values: Any) -> list[dict[str, Any]]:
    result = connection.execute(_parsed(statement), values)
    columns = tuple(result.keys())
    return [dict(zip(columns, row, strict=True)) for row in result]


def _execute(connection: Connection, statement: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_parsed(statement), rows)


@cache  # parsing costs as much as executing
def _parsed(statement: str) -> TextClause:
    import sqlalchemy

    return sqlalchemy.text(statement)
