"""What a run that left nothing to do depended on, gathered from its plan and its record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from odibi.config.check import is_sql_file
from odibi.config.loaded import PYTHON
from odibi.datasets.files import is_remote
from odibi.record.model import RunRecord, RunStatus, StepRecord, StepStatus
from odibi.unchanged import Facts, stamp
from odibi.unchanged.facts import files_at, hashed, newest_log, older

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.home import Home
    from odibi.plan.model import Plan, PlannedStep

__all__ = ["facts_of", "once_more"]

_ENVIRON = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_.\-]*)")
_SECRET = re.compile(r"\$\{secret:")
_CLOCK = re.compile(r"\{[^{}]*\b(timestamp|pipeline_id)\b[^{}]*\}")  # in a template: another in each run


def once_more(record: RunRecord) -> RunRecord:
    """The record of the run as that of the next one, were nothing to change: as a plan would have it."""
    steps = tuple(step.model_copy(update=_next(step)) for step in record.steps)
    return record.model_copy(update={"steps": steps, "ended_at": None})


def _next(step: StepRecord) -> dict[str, object]:
    if step.status not in (StepStatus.COMPLETED, StepStatus.REUSED):
        return {}
    versions = ", ".join(str(write.version) for write in step.writes if write.version is not None)
    if step.status is StepStatus.REUSED or versions:
        reason = f"nothing changed since version {versions}" if versions else step.reason
        return {"decision": "reuse", "status": StepStatus.REUSED, "reason": reason}
    return {"decision": "skip", "status": StepStatus.SKIPPED, "reason": "no step that runs needs it"}


def facts_of(
    loaded: Loaded, plan: Plan, record: RunRecord, home: Home, *, date: str | None, began: int,
    sentence: str, lock: str,
) -> Facts | None:  # fmt: skip
    """The facts, None where the next run has to plan whatever happens.

    Args:
        loaded: the config.
        plan: what was to be done.
        record: what was done.
        home: where odibi keeps its own files.
        date: the logical date that was asked for, None for the config's own.
        began: when looking began, in nanoseconds: what was touched later may change unseen.
        sentence: what the next run says when it ends, with ``{time}``.
        lock: the name of the pipeline's lock.
    """
    if (
        record.status is not RunStatus.SUCCEEDED
        or loaded.file == PYTHON
        or not _settled(loaded, plan, record)
    ):
        return None
    configs = [loaded, *_all_of(loaded.others.values())]
    texts = [Path(config.file).read_text("utf-8") for config in configs]
    code = list(_code(loaded, plan.steps))
    said = [*texts, *(Path(file).read_text("utf-8") for file in code)]
    if any(_SECRET.search(text) for text in texts) or any(_CLOCK.search(text) for text in said):
        return None
    active = [step for step in plan.steps if step.decision.action != "skip"]
    sources = [step.source for step in active if step.source] + [s for s, _ in plan.external.values()]
    if any(is_remote(source.url) or source.format == "table" for source in sources):
        return None
    read = {dataset for step in active for dataset in step.inputs.values()}
    targets = [
        target
        for step in plan.steps
        for dataset, group in step.targets.items()
        if step in active or dataset in read
        for target in group
    ]
    tables = {t.url: newest_log(t.url) for t in targets if t.format == "delta"}
    tables |= {source.url: newest_log(source.url) for source in sources if source.format == "delta"}
    folders = {source.url: files_at(source.url) for source in sources if source.format != "delta"}
    folders[str(home.certificates)] = files_at(str(home.certificates))
    names = [*(config.file for config in configs), *code, *(n for found in folders.values() for n in found)]
    files = {name: stamp(name) for name in names}
    written = {write.uri: write.version for step in record.steps for write in step.writes}
    if not older(files.values(), began) or not all(
        _is(found, written[url]) if url in written else older([found], began) for url, found in tables.items()
    ):
        return None
    relative = (date or loaded.pipeline.date) in ("today", "yesterday")
    today = loaded.logical_date + timedelta(days=(date or loaded.pipeline.date) == "yesterday")
    known = {step.name: (step.decision, step.status, step.reason) for step in record.steps}
    asked = {s.name: (s.decision, s.status, s.reason) for s in once_more(record).steps}
    day = loaded.logical_date
    return Facts(
        run_id=record.run_id,
        lock=lock,
        started=f"Pipeline {record.pipeline} started (run {{run}}, date {day}, target {loaded.target})",
        sentence=sentence,
        steps={
            name: [str(each) for each in now]
            for name, now in asked.items()
            if now != known[name] or now[1] is StepStatus.REUSED
        },
        day=[loaded.pipeline.timezone, today.isoformat()] if relative else [],
        files=files,
        absent=[str(path) for path in _before(loaded, code)],
        folders=folders,
        tables=tables,
        environ={name: hashed(loaded.environ.get(name)) for text in texts for name in _ENVIRON.findall(text)},
    )


def _settled(loaded: Loaded, plan: Plan, record: RunRecord) -> bool:
    """Whether a plan made now would find nothing to do, were everything to stay as it is."""
    if any(connection.catalog is not None for connection in loaded.pipeline.connections.values()):
        return False
    ended = {step.name: step.status for step in record.steps}
    return all(_is_settled(step, ended[step.name]) for step in plan.steps)


def _is_settled(step: PlannedStep, status: StepStatus) -> bool:
    if step.decision.action != "run":
        return True
    if status not in (StepStatus.COMPLETED, StepStatus.REUSED) or step.volatile:
        return False
    if "operations" in step.step.params and step.compiled is None:
        return False  # only its queries tell whether it depends on the clock
    if not step.targets:
        return step.readers > 0
    return all(target.format == "delta" for group in step.targets.values() for target in group)


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
        if planned.function is not None:
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
