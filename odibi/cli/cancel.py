"""``odibi cancel``: ask a run to end, on this machine or another."""

from __future__ import annotations

from odibi.cli.exits import Exit, NotFound
from odibi.cli.runs import store_of
from odibi.cli.terminal import say
from odibi.errors import Permanent
from odibi.record.model import RunStatus

__all__ = ["cancel"]


def cancel(*, name: str) -> int:
    """Ask the run with that id, or the one of that pipeline that is under way, to end."""
    from odibi.record.locks import cancel as ask

    with store_of() as store:
        if store is None:
            raise NotFound("no run is recorded here", hint="odibi cancel looks where odibi run was started")
        try:
            run = store.last_run(name) if name in store.pipelines() else store.run(name)
        except Permanent as error:
            raise NotFound(error.message, hint=error.hint) from error
        if run is None or run.status is not RunStatus.RUNNING or not ask(store, run.run_id):
            state = (
                "has not run"
                if run is None
                else f"is not under way: its run {run.run_id[:8]} {run.status.value}"
            )
            raise NotFound(f"{name} {state}", hint="odibi status lists the runs")
    say(f"Asked run {run.run_id[:8]} of {run.pipeline} to end; what it has committed stays.")
    return Exit.SUCCESS
