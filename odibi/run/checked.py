"""What came of a step's checks, as the record has it; in a run, and for tables that stand already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from odibi.config.checks import CHECKED
from odibi.config.secrets import Secrets
from odibi.datasets.delta import open_table
from odibi.datasets.files import newest
from odibi.datasets.source import Seen, Source, frame_of, look, read
from odibi.datasets.target import Job, Target
from odibi.engines.base import Location, Staged
from odibi.engines.database import Database
from odibi.engines.duckdb import DuckDB, scan
from odibi.errors import ConfigError, DataValidationFailed
from odibi.observe import Observation
from odibi.operations.python import Context, secrets_in
from odibi.plan.graph import graph
from odibi.plan.select import select
from odibi.quality.declared import Declared
from odibi.quality.rules import CheckError, bound, rules_of
from odibi.record.model import CheckRecord, QualityRecord, SampleRecord
from odibi.relational.bind import Binder
from odibi.relational.schema import Schema, masked
from odibi.run.declared import as_declared

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.quality.judge import Judge

__all__ = ["Checked", "check_records", "check_standing", "judge_of", "quality_of"]


def judge_of(
    loaded: Loaded, declared: Declared, step: str, dataset: str, schema: Schema,
    looked_up: Mapping[str, tuple[Schema, str]], db: Database, binder: Binder, secrets: Secrets, *,
    keep: Callable[[Job, Staged | None], int | None], seen: Seen | None = None, source: str = "",
) -> Judge:  # fmt: skip
    """Who holds rows against the checks of a step.

    Args:
        loaded: the config.
        declared: the checks, and what they name.
        step: the step's name.
        dataset: what SQL rules call the rows.
        schema: the columns of the rows.
        looked_up: columns and query of each dataset that something is looked up in, by its name in the step.
        db: where the rules are asked.
        binder: types their expressions.
        secrets: what their functions may ask for.
        keep: takes the rows that are to go to quarantine, or None where there are none.
        seen: what was seen of the source that the rows come from.
        source: where that is.

    Raises:
        CheckError: a check means nothing for these columns.
        Permanent: a secret that a function names cannot be had.
    """
    from odibi.quality.judge import Judge
    from odibi.quality.records import Asking

    for name in (name for function in declared.functions.values() for name in secrets_in(function)):
        secrets(name)  # as of a step's own function: known, and masked, before it is called
    queries = {alias: query for alias, (_, query) in looked_up.items()}
    schemas = {alias: columns for alias, (columns, _) in looked_up.items()}
    known = Context.of(loaded, step, secrets)
    return Judge(
        db=db,
        rules=bound(rules_of(declared.checks), schema, schemas, binder),
        lookups=queries | {alias.removeprefix(CHECKED): sql for alias, sql in queries.items()},
        dataset=dataset,
        ask=Asking(db, declared.functions, declared.schemas, known, as_declared),
        keep=keep,
        source=source,
        newest=newest(seen.files) if seen is not None else None,
        now=loaded.now,
        masked=masked(schema, loaded.pipeline.sensitive),
    )


def check_records(judge: Judge) -> tuple[CheckRecord, ...]:
    """A record for each rule that was asked, in the order of the config."""
    asked = [judge.results[rule] for rule in judge.rules if rule in judge.results]
    return tuple(
        CheckRecord(
            name=result.rule.name,
            rule=str(vars(result.rule.check)["rule"]),
            on_fail=result.rule.on_fail,
            status=result.status,
            rows=result.rows,
            broken=result.broken,
            left=result.left,
            message=result.message,
            version=result.rule.version,
            examples=SampleRecord(columns=result.columns, rows=result.examples, masked=result.masked)
            if result.examples
            else None,
        )
        for result in asked
    )


def quality_of(judge: Judge, targets: Mapping[str, tuple[Target, ...]]) -> QualityRecord | None:
    """The score before and after the quarantine, None where nothing was asked."""
    if not judge.results:
        return None
    from odibi.quality.quarantine import quarantine_of

    taken = judge.taken.rows if judge.taken is not None else 0
    places = [quarantine_of(group[0]).url for group in targets.values()] if taken else []
    return QualityRecord(
        before=round(judge.score(after=False), 6),
        after=round(judge.score(after=True), 6),
        quarantined=taken,
        quarantine=next(iter(places), ""),
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a step's checks over the table it has written; ``records`` is None where it has none yet."""

    step: str
    dataset: str
    records: tuple[CheckRecord, ...] | None
    quality: QualityRecord | None = None

    @property
    def failed(self) -> bool:
        """Whether a rule is broken that must not be."""
        return any(record.status == "failed" for record in self.records or ())


def check_standing(
    loaded: Loaded, observation: Observation, db: Database, chosen: Sequence[str] = ()
) -> Iterator[Checked]:
    """The checks of the steps held against what their tables hold now; nothing is written.

    Rows that a rule would send to quarantine have no business there, so such a rule fails as an error does.

    Raises:
        ConfigError: a check means nothing for the columns there are.
        Permanent: a selector means nothing, or a table cannot be read.
    """
    names = select([o.step for o in observation.steps], graph(observation), chosen, ())
    targets = {name: group for o in observation.steps for name, group in o.targets.items()}
    secrets = Secrets(loaded.pipeline.secrets, loaded.environ, observation.redactor)
    with closing(Binder()) as binder:
        for index, observed in enumerate(observation.steps):
            if not observed.declared.checks or observed.step.name not in names:
                continue
            dataset = next(iter(observed.targets or observed.step.outputs.values()))
            tables = {alias: _standing(db, targets.get(name, ())) for alias, name in observed.inputs.items()}
            found = _standing(db, observed.targets.get(dataset, ()))
            looked_up = {
                alias: (rows.schema, scan(rows.location))
                for alias, rows in tables.items()
                if alias.startswith(CHECKED) and rows is not None
            }
            if found is None or len(looked_up) < len(observed.declared.datasets):
                yield Checked(observed.step.name, dataset, None)
                continue
            try:
                judge = judge_of(
                    loaded, _strict(observed.declared), observed.step.name,
                    next(iter(observed.tables.values())) if observed.step.stores else dataset,
                    found.schema, looked_up, db, binder, secrets,
                    keep=lambda job, taken: None,  # noqa: ARG005 - nothing is published, so nothing is taken out
                    seen=observed.seen,
                )  # fmt: skip
            except CheckError as error:
                at = ("steps", index, *error.path)
                raise ConfigError([loaded.problem(at, error.message, error.hint)]) from error
            with suppress(DataValidationFailed):
                judge.incoming(found.location)
                judge.table(scan(found.location), found.schema, found.bytes)
            yield Checked(observed.step.name, dataset, check_records(judge), quality_of(judge, {}))


def _strict(declared: Declared) -> Declared:
    """The same checks, but rows that a rule would send to quarantine must not be."""
    return replace(
        declared,
        checks=tuple(
            check.model_copy(update={"on_fail": "error"}) if check.on_fail == "quarantine" else check
            for check in declared.checks
        ),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a table, in Parquet files that DuckDB reads, and their size in bytes."""

    location: Location
    schema: Schema
    bytes: int


def _standing(db: Database, targets: Sequence[Target]) -> _Rows | None:
    """The rows of a table, None where it has not been written."""
    if not targets:
        return None
    engine, target = DuckDB(db), targets[0]
    if target.format == "delta":
        table = open_table(target.url)
        if table is None:
            return None
        if not table.needs_own_reader:
            return _Rows(table.location(), table.schema, sum(file.bytes for file in table.files()))
        frame, schema = frame_of(engine, table), table.schema
    else:
        source = Source(target.url, target.format)
        seen = look(db, source)
        if seen is None:
            return None
        frame, schema = read(engine, source, seen)
    staged = engine.stage(frame, schema, str(db.scratch / db.new_name()))
    return _Rows(staged.location, schema, staged.bytes)
