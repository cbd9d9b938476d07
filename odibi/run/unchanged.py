"""What a run that left nothing to do depended on, gathered from its plan and its record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.config.check import is_sql_file
from odibi.config.hooks import OF_WORK
from odibi.config.loaded import PYTHON
from odibi.datasets.files import is_remote
from odibi.datasets.kept import Kept, Mark
from odibi.record.model import RunRecord, RunStatus, StepRecord, StepStatus
from odibi.run.earlier import cache_of, noted
from odibi.unchanged import Facts, Request, stamp
from odibi.unchanged.facts import files_at, hashed, newest_log, older

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.home import Home
    from odibi.plan.model import Plan, PlannedStep

__all__ = ["facts_of"]

_ENVIRON = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_.\-]*)")
_SECRET = re.compile(r"\$\{secret:")
_CLOCK = re.compile(r"\{[^{}]*\b(timestamp|pipeline_id)\b[^{}]*\}")  # in a template: another in each run


def _once_more(record: RunRecord, kept: Mapping[str, Kept]) -> RunRecord:
    """The record of the run as that of the next one, were nothing to change: as a plan would have it."""
    steps = tuple(step.model_copy(update=_next(step, kept.get(step.name))) for step in record.steps)
    return record.model_copy(update={"steps": steps, "ended_at": None})


def _next(step: StepRecord, kept: Kept | None) -> dict[str, object]:
    if step.status not in (StepStatus.COMPLETED, StepStatus.REUSED):
        return {}
    versions = ", ".join(str(write.version) for write in step.writes if write.version is not None)
    if kept is not None or versions or step.status is StepStatus.REUSED:
        since = f"run {kept.run_id[:8]}" if kept is not None else f"version {versions}"
        reason = step.reason if step.decision == "reuse" else f"nothing changed since {since}"
        return {"decision": "reuse", "status": StepStatus.REUSED, "reason": reason}
    return {"decision": "skip", "status": StepStatus.SKIPPED, "reason": "no step that runs needs it"}


def facts_of(
    loaded: Loaded, plan: Plan, record: RunRecord, home: Home, request: Request, *,
    sentence: Callable[[RunRecord], str], lock: str,
) -> Facts | None:  # fmt: skip
    """The facts, None where the next run has to plan whatever happens.

    Args:
        loaded: the config.
        plan: what was to be done.
        record: what was done.
        home: where odibi keeps its own files.
        request: what was asked for; what was touched since may change unseen.
        sentence: says what happened in a run, with ``{time}`` for how long it took.
        lock: the name of the pipeline's lock.
    """
    if record.status is not RunStatus.SUCCEEDED or loaded.file == PYTHON or loaded.document.origins:
        return None
    if loaded.pipeline.alerts.rules or any(set(hook.on) - OF_WORK for hook in loaded.pipeline.hooks):
        return None  # somebody has to be told of each run
    if loaded.pipeline.lineage.openlineage is not None:
        return None
    keys = {step.name: step.key for step in record.steps}
    found = noted(loaded, home, None)
    kept = {name: one for name, each in found.items() for one in each if one.key == keys.get(name)}
    if not _settled(loaded, plan, record, kept.keys()):
        return None
    configs = [loaded, *_all_of(loaded.others.values())]
    texts = [Path(config.file).read_text("utf-8") for config in configs]
    code = list(_code(loaded, plan.steps))
    said = [*texts, *(Path(file).read_text("utf-8") for file in code)]
    if any(_SECRET.search(text) for text in texts) or any(_CLOCK.search(text) for text in said):
        return None
    active = [step for step in plan.steps if step.decision.action != "skip"]
    read = {dataset for step in active for dataset in step.inputs.values()}
    targets = [
        (target.url, target.format)
        for step in plan.steps
        for dataset, group in step.targets.items()
        if step.decision.action != "skip" or dataset in read
        for target in group
    ]
    sources = [(step.source.url, step.source.format) for step in active if step.source]
    sources += [(source.url, source.format) for source, _ in plan.external.values()]
    if any(is_remote(url) or format == "table" for url, format in (*sources, *targets)):
        return None
    tables = {url: newest_log(url) for url, format in (*sources, *targets) if format == "delta"}
    inside = {str(home.certificates), str(cache_of(loaded, home).folder)}
    outside = {url for url, format in targets if format != "delta"}
    looked = {url for url, format in sources if format != "delta"}
    folders = {url: files_at(url) for url in inside | outside | looked}
    names = [*(config.file for config in configs), *code, *(n for url in looked for n in folders[url])]
    files = {name: stamp(name) for name in names}
    left = {name: stamp(name) for url in outside for name in folders[url]}
    made = {mark.path: mark for one in kept.values() for mark in _marks(one)}
    versions = {write.uri: write.version for step in record.steps for write in step.writes}
    if not (
        older(files.values(), request.began)
        and all(name in made and found[:2] == [made[name].size, made[name].changed] for name, found in left.items())
        and all(
            _is(found, versions[url]) if url in versions else older([found], request.began)
            for url, found in tables.items()
        )
    ):  # fmt: skip
        return None  # somebody else was there
    asked = request.date or loaded.pipeline.date
    today = loaded.logical_date + timedelta(days=asked == "yesterday")
    before = {step.name: (step.decision, step.status, step.reason) for step in record.steps}
    again = _once_more(record, kept)
    after = {step.name: (step.decision, step.status, step.reason) for step in again.steps}
    return Facts(
        run_id=record.run_id,
        lock=lock,
        started=f"Pipeline {record.pipeline} started (run {{run}}, date {loaded.logical_date}, target {loaded.target})",
        sentence=sentence(again),
        steps={
            name: [str(each) for each in now]
            for name, now in after.items()
            if now != before[name] or now[1] is StepStatus.REUSED
        },
        day=[loaded.pipeline.timezone, today.isoformat()] if asked in ("today", "yesterday") else [],
        files=files | left,
        absent=[str(path) for path in _before(loaded, code)],
        folders=folders,
        tables=tables,
        environ={name: hashed(loaded.environ.get(name)) for text in texts for name in _ENVIRON.findall(text)},
    )


def _marks(kept: Kept) -> Iterator[Mark]:
    for held in kept.datasets.values():
        yield from (mark for spot in held.spots for mark in spot.files)


def _settled(loaded: Loaded, plan: Plan, record: RunRecord, kept: AbstractSet[str]) -> bool:
    """Whether a plan made now would find nothing to do, were everything to stay as it is."""
    if any(connection.catalog is not None for connection in loaded.pipeline.connections.values()):
        return False
    ended = {step.name: step.status for step in record.steps}
    return all(_is_settled(step, ended[step.name], kept=step.name in kept) for step in plan.steps)


def _is_settled(step: PlannedStep, status: StepStatus, *, kept: bool) -> bool:
    if step.decision.action != "run":
        return True
    if status not in (StepStatus.COMPLETED, StepStatus.REUSED) or step.volatile:
        return False
    if "operations" in step.step.params and step.compiled is None:
        return False  # only its queries tell whether it depends on the clock
    if not step.targets:
        return step.readers > 0 or kept
    return kept or all(target.format == "delta" for group in step.targets.values() for target in group)


def _is(found: list[object], version: int | None) -> bool:
    """Whether the newest entry of a log is the version that this run made."""
    return bool(found) and version is not None and int(str(found[0])[:20]) == version


def _all_of(others: Iterable[Loaded]) -> Iterator[Loaded]:
    for other in others:
        yield other
        yield from _all_of(other.others.values())


def _code(loaded: Loaded, steps: Iterable[PlannedStep]) -> Iterator[str]:
    """The files that hold code of the steps."""
    for planned in steps:
        for function in planned.declared.functions.values():
            yield from (file for file, _ in function.modules.values())
        for name in planned.declared.schemas:
            yield str(loaded.find(name))
        if planned.command is not None:
            pairs = zip(planned.command.written, planned.command.argv, strict=True)
            yield from (file for name, file in pairs if name in planned.command.files)
        elif planned.function is not None:
            yield from (file for file, _ in planned.function.modules.values())
        elif is_sql_file(planned.step) and (file := loaded.find(planned.step.value.strip())) is not None:
            yield str(file)


def _before(loaded: Loaded, code: Iterable[str]) -> Iterator[Path]:
    """Where code would be found before the place it was found at."""
    for file in code:
        inside = [root for root in loaded.roots if Path(file).is_relative_to(root)]
        for root in inside[:1]:
            for earlier in loaded.roots[: loaded.roots.index(root)]:
                yield earlier / Path(file).relative_to(root)
