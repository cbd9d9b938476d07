"""``odibi retry``: go on with a run that did not succeed, from its last checkpoint."""

from __future__ import annotations

from json import dumps
from pathlib import Path

from odibi.cli.exits import NotFound, UsageError
from odibi.cli.run import execute
from odibi.cli.runs import not_found, run_of
from odibi.config.load import load
from odibi.config.secrets import Redactor
from odibi.errors import nearest
from odibi.home import Home
from odibi.record.model import RunRecord, RunStatus

__all__ = ["retry"]


def retry(*, name: str | None, step: str | None, parallel: int | None, output: str, quiet: bool) -> int:
    """Run what the run has left undone, with its config, date, target and parameters."""
    before = run_of(name, "odibi retry")
    if before.status is RunStatus.SUCCEEDED:
        raise UsageError(
            f"run {before.run_id[:8]} of {before.pipeline} has succeeded",
            hint=f"odibi run {before.config} runs what has changed since, with --no-cache everything",
        )
    _refuse(before)
    # Text is quoted, or it would be read as the number or the truth value that it may look like.
    loaded = load(
        before.config,
        date=before.logical_date,
        target=before.target,
        params={
            name: dumps(value) if isinstance(value, str) else value for name, value in before.params.items()
        },
        engine=before.engine,
    )
    from odibi.run.earlier import going_on

    with not_found():
        found = going_on(loaded, Home.find(), before.run_id)
    chosen: tuple[str, ...] = found.chosen if found is not None else ()
    again: tuple[str, ...] = ()
    if step is not None:
        names = [one.name for one in loaded.pipeline.steps]
        if step not in names:
            raise NotFound(f"{before.pipeline} has no step {step!r}", hint=nearest(step, names, "steps"))
        chosen, again = (f"{step}+",), (step,)
    return execute(
        loaded,
        chosen=chosen,
        excluded=found.excluded if found is not None and step is None else (),
        resume=before.run_id,
        again=again,
        workers=parallel,
        output=output,
        quiet=quiet,
    )


def _refuse(before: RunRecord) -> None:
    """What cannot be told from the record alone."""
    if not Path(before.config).is_file():
        raise NotFound(
            f"run {before.run_id[:8]} was made from {before.config}, which is not here",
            hint="odibi retry looks for it from where the run was started",
        )
    hidden = [name for name, value in before.params.items() if Redactor.MASK in str(value)]
    if hidden:
        raise UsageError(
            f"the parameter {hidden[0]!r} of run {before.run_id[:8]} holds a secret, which is not recorded",
            hint=f"odibi run {before.config} --date {before.logical_date} --target {before.target} --resume, with it",
        )
