"""What earlier runs left for this one, and what this one leaves for later ones: its cache and checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from odibi.config.loaded import PYTHON, Loaded
from odibi.datasets.files import is_remote
from odibi.datasets.kept import Kept
from odibi.errors import Permanent
from odibi.home import Home
from odibi.plan import Plan
from odibi.plan.engines import size_of
from odibi.record.cache import Cache
from odibi.record.checkpoints import Checkpoint, Checkpoints, NoCheckpoint
from odibi.record.model import RunRecord, RunStatus, StepStatus
from odibi.run.keeping import Keeping, needed_later, resumed
from odibi.run.saving import Saver

if TYPE_CHECKING:
    from odibi.datasets.staging import Intents

__all__ = ["cache_of", "checkpoints_of", "going_on", "keeping_of", "noted", "resuming", "saver_of", "tidy"]

WITHOUT_CACHE = "prod"
"""The target in which the cache is off where the pipeline does not say otherwise."""


def cache_of(loaded: Loaded, home: Home) -> Cache:
    """The cache of the pipeline, whether it is on or not."""
    return Cache.of(loaded.pipeline.cache_dir or home.cache, loaded.pipeline.pipeline)


def checkpoints_of(loaded: Loaded, home: Home) -> Checkpoints:
    """The checkpoints of the pipeline, whether they are on or not. Raises Permanent for a URL nobody serves."""
    place = loaded.pipeline.checkpoint_dir or str(home.checkpoints)
    if is_remote(place):
        from fsspec.core import url_to_fs

        try:
            url_to_fs(place)
        except (ValueError, ImportError) as error:
            raise Permanent(f"checkpoint_dir: cannot reach {place}: {error}") from error
    return Checkpoints.of(place, loaded.pipeline.pipeline)


def _caches(loaded: Loaded) -> bool:
    asked = loaded.pipeline.enable_cache
    return loaded.target != WITHOUT_CACHE if asked is None else asked


def going_on(loaded: Loaded, home: Home, resume: bool | str) -> Checkpoint | None:
    """The checkpoint that a run goes on from: of the run of that id, or the last for its date and target.

    None where none is asked for, or where the last run has succeeded: there is nothing left to resume.

    Raises:
        NoCheckpoint: there is none.
    """
    if not resume:
        return None
    place = checkpoints_of(loaded, home)
    day, what = loaded.logical_date.isoformat(), loaded.pipeline.pipeline
    if isinstance(resume, str):
        found, damaged = place.of_run(resume)
        what = f"run {resume[:8]} of {what}"
    else:
        found, damaged = place.newest(day, loaded.target)
        what = f"{what} for {day} ({loaded.target})"
    for path in damaged:
        _warn(f"the checkpoint {path} cannot be read; the one before it is used")
    if found is None:
        raise NoCheckpoint(what, place.folder)
    return None if found.status == "completed" else found


def noted(
    loaded: Loaded, home: Home, checkpoint: Checkpoint | None, again: Sequence[str] = ()
) -> Mapping[str, Sequence[Kept]]:
    """The results that may stand in for steps: those of the checkpoint before those of the cache.

    ``again`` names steps of which none may.
    """
    found = dict(cache_of(loaded, home).kept()) if _caches(loaded) else {}
    for kept in checkpoint.kept if checkpoint is not None else ():
        mine = kept.model_copy(update={"resumed": True})
        found[kept.step] = (mine, *found.get(kept.step, ()))
    return {step: results for step, results in found.items() if step not in again}


def keeping_of(loaded: Loaded, home: Home, plan: Plan, hide: Callable[[Any], Any]) -> Keeping:
    """Where this run keeps results."""
    pipeline = loaded.pipeline
    cache = cache_of(loaded, home) if _caches(loaded) else None
    if not pipeline.enable_checkpoints:
        return Keeping(cache, hide=hide)
    data = checkpoints_of(loaded, home).data(loaded.run_id)
    spilled = needed_later(plan, at_once=pipeline.checkpoint_mode == "AUTO")
    return Keeping(cache, data, spilled, resumed(plan), hide)


def saver_of(
    loaded: Loaded,
    home: Home,
    record: RunRecord,
    keeping: Keeping,
    intents: Intents,
    asked: Mapping[str, Any],
) -> Saver:
    """Who saves the checkpoints of this run; what dead runs left half done is swept first.

    ``asked`` are the fields of a checkpoint that say what was asked of the run.
    """
    place = checkpoints_of(loaded, home) if loaded.pipeline.enable_checkpoints else None
    if place is not None:
        place.sweep(_living(home))
    return Saver(place, loaded.pipeline, record, keeping.noted, intents, asked)


def tidy(loaded: Loaded, home: Home, record: RunRecord, saver: Saver) -> None:
    """Remove what no later run can use any more, and what is beyond the limits of the pipeline."""
    if saver.failed:
        _warn(f"a checkpoint could not be written: {saver.failed}")
    try:
        _tidy(loaded, home, record)
    except OSError as error:
        _warn(f"old checkpoints and results could not be removed: {error.filename}: {error.strerror}")


def _tidy(loaded: Loaded, home: Home, record: RunRecord) -> None:
    pipeline = loaded.pipeline
    if pipeline.enable_checkpoints:
        place = checkpoints_of(loaded, home)
        if record.status is RunStatus.SUCCEEDED:
            place.drop_data(record.logical_date, record.target, _living(home) - {record.run_id})
        place.prune(pipeline.checkpoint_keep, pipeline.checkpoint_keep_days)
    if _caches(loaded) and record.count(StepStatus.COMPLETED):
        cache_of(loaded, home).prune(size_of(pipeline.cache_max_size), pipeline.cache_keep_days)


def resuming(record: RunRecord, saver: Saver) -> str:
    """The command that goes on from the last checkpoint of a run that did not succeed; empty if there is none."""
    if record.status is RunStatus.SUCCEEDED or not saver.saved or record.config == PYTHON:
        return ""
    return f"odibi retry {record.run_id[:8]}"


def _living(home: Home) -> set[str]:
    """The runs that are under way on this machine."""
    return {note.stem for note in home.intents.glob("*.jsonl")}


def _warn(text: str) -> None:
    print(f"odibi: {text}", file=sys.stderr)  # noqa: T201
