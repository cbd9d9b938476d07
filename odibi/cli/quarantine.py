"""``odibi quarantine``: rows that broke a rule, and how to let them in once the reason is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi.cli.config import load_config, of_last_run
from odibi.cli.exits import Exit, NotFound
from odibi.cli.lake import Lake, LakeTable, open_lake
from odibi.cli.run import execute
from odibi.cli.terminal import say, say_json, table
from odibi.config.models import WriteMode
from odibi.engines.duckdb import literal
from odibi.errors import Permanent, nearest
from odibi.home import Home
from odibi.observe.increments import reads_new
from odibi.quality.quarantine import DATE
from odibi.relational.schema import Schema, quote
from odibi.story.text import count

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["list_", "replay", "show"]


@dataclass(frozen=True, slots=True)
class _Held:
    """Rows of a step that one logical date has in quarantine, by the names of the rules they broke."""

    step: str
    dataset: str
    url: str
    date: str
    rows: int
    rules: tuple[tuple[str, int], ...]


def list_(*, config: str | None, target: str | None, output: str) -> int:
    """Print a line for each step and date that has rows in quarantine."""
    with open_lake(config, target) as lake:
        found = tuple(_held(lake))
    if output == "json":
        say_json(
            [
                {"step": h.step, "dataset": h.dataset, "url": h.url, "date": h.date, "rows": h.rows}
                | {"rules": dict(h.rules)}
                for h in found
            ]
        )
    elif not found:
        say("No rows are in quarantine")
    else:
        rows = [
            (h.step, h.date, f"{h.rows:,}", ", ".join(f"{n} {rule}" for rule, n in h.rules)) for h in found
        ]
        say(table(("Step", "Date", "Rows", "Rules"), rows, right=("Rows",)))
    return Exit.SUCCESS


def show(
    *, step: str, config: str | None, date: str | None, rows: int, target: str | None, output: str
) -> int:
    """Print rows that a step has in quarantine, each with its reason."""
    with open_lake(config, target) as lake:
        found = _table_of(lake, step)
        opened = lake.open(found)
        sql, schema = opened if opened is not None else ("", ())
        if date is not None and any(c.name == DATE for c in schema):
            sql = f"SELECT * FROM ({sql}) WHERE {DATE} = TRY_CAST({literal(date)} AS DATE)"
        columns = _shown(lake, schema)
        wanted = f"SELECT {columns} FROM ({sql}) ORDER BY ALL LIMIT {rows}"
        data = lake.db.rows(wanted) if opened else []
        names = [column.name for column in schema]
    if output == "json":
        say_json([dict(zip(names, row, strict=True)) for row in data])
    elif not data:
        say(f"{step} has no rows in quarantine" + (f" of {date}" if date else ""))
    else:
        order = sorted(range(len(names)), key=lambda i: names[i] != "_odibi_reason")
        shown = [[("NULL", "dim") if row[i] is None else row[i] for i in order] for row in data]
        say(table([names[i] for i in order], shown))
    return Exit.SUCCESS


def _shown(lake: Lake, schema: Schema) -> str:
    hidden = lake.sensitive(schema)
    return ", ".join(
        f"CASE WHEN {quote(c.name)} IS NOT NULL THEN '***' END"
        if c.name in hidden
        else f"CAST({quote(c.name)} AS VARCHAR)"
        for c in schema
    )


def replay(
    *, steps: Sequence[str] | None, config: str | None, date: str | None, target: str | None, output: str,
    quiet: bool,
) -> int:  # fmt: skip
    """Run again the dates whose rows are in quarantine, and what depends on them."""
    config, target = of_last_run(config, target)
    with open_lake(config, target) as lake:
        for step in steps or ():
            _table_of(lake, step)
        before = [h for h in _held(lake) if not steps or h.step in steps]
        before = [h for h in before if date is None or h.date == date]
        pipeline = lake.loaded.pipeline.pipeline
    if not before:
        say("No rows are in quarantine" + (f" of {date}" if date else ""))
        return Exit.SUCCESS
    code: int = Exit.SUCCESS
    dates = sorted({h.date for h in before})
    last = _newest(pipeline, target)
    _refuse_overwriting(lake.loaded, before, last)
    # What is computed of all dates shall be left as the newest of them leaves it.
    for day in [*dates, *([last] if last is not None and last > dates[-1] else [])]:
        names = dict.fromkeys(h.step for h in before if day in (h.date, last))
        chosen = [f"+{name}+" for name in names]
        loaded = load_config(config, date=day, target=target)
        done = execute(loaded, chosen=chosen, output="text", quiet=quiet or output == "json")
        if done:
            code = code or done
            break
    with open_lake(config, target) as lake:
        left = {(h.step, h.date): h.rows for h in _held(lake)}
    told = [
        {"step": h.step, "date": h.date, "before": h.rows, "after": left.get((h.step, h.date), 0)}
        for h in before
    ]
    if output == "json":
        say_json(told)
    else:
        for one in told:
            went = int(str(one["before"])) - int(str(one["after"]))
            said = (
                f"{one['step']} {one['date']}: {count(max(went, 0), 'row')} went back in, {one['after']} left"
            )
            say(said + ("" if went else "; nothing has changed that they broke"))
    return code


def _refuse_overwriting(loaded: Loaded, before: Sequence[_Held], last: str | None) -> None:
    """Raise Permanent where rows of an old date would take the place of newer ones."""
    steps = {step.name: step for step in loaded.pipeline.steps}
    for held in before:
        write = steps[held.step].write
        if (
            write is None
            or write.mode is not WriteMode.MERGE
            or write.sequence_by
            or reads_new(steps[held.step])
        ):
            continue
        if last is not None and last > held.date:
            raise Permanent(
                f"{held.step} merges without sequence_by: rows of {held.date} would take the place of newer ones",
                hint=f"give its write a sequence_by, or run all dates since: odibi backfill --from {held.date} --to {last}",
            )


def _newest(pipeline: str, target: str | None) -> str | None:
    """The newest logical date that the pipeline has been run for, None where that is not known."""
    from odibi.record.store import open_store

    home = Home.find()
    if not home.has_state:
        return None
    with open_store(home.state) as store:
        runs = store.runs(pipeline, limit=1_000)
    return max((r.logical_date for r in runs if target in (None, r.target)), default=None)


def _table_of(lake: Lake, step: str) -> LakeTable:
    tables = lake.quarantines
    found = next((one for one in tables if step in (one.step, one.name)), None)
    if found is None:
        message = f"no check of a step {step!r} sends rows to quarantine"
        raise NotFound(
            message, hint=nearest(step, [one.step for one in tables], "steps that have such a check")
        )
    return found


def _held(lake: Lake) -> Iterator[_Held]:
    for one in lake.quarantines:
        opened = lake.open(one)
        if opened is None:
            continue
        sql, schema = opened
        dated = any(column.name == DATE for column in schema)
        day = f"CAST({DATE} AS VARCHAR)" if dated else f"'{_written_for(one)}'"
        found = lake.db.rows(
            f"SELECT day, sum(n), list({{'r': rule, 'n': n}} ORDER BY rule) FROM (SELECT {day} AS day, "
            f"_odibi_rules AS rule, count(*) AS n FROM ({sql}) GROUP BY ALL) GROUP BY day ORDER BY day"
        )
        for date, rows, rules in found:
            yield _Held(
                one.step, one.name, one.url, str(date), int(rows), tuple((r["r"], r["n"]) for r in rules)
            )


def _written_for(one: LakeTable) -> str:
    from odibi.datasets.delta import last_commit

    commit = last_commit(one.url)
    return str(commit.note.get("logical_date", "")) if commit is not None else ""
