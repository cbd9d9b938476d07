"""The seam to runtimes elsewhere: who can run steps in another place is looked up by name, and never imported here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from odibi.plan.model import PlannedStep
from odibi.registry import Registry
from odibi.run.outcome import Outcome

if TYPE_CHECKING:
    from odibi.run.context import RunContext

__all__ = ["LEFT", "RUNTIMES", "Remote"]


class Remote(Protocol):
    """A place where steps of a run are computed; its methods may be called from several threads."""

    def attempt(self, steps: Sequence[PlannedStep], stopped: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Have the steps computed there, and wait for it.

        An attempt that failed has outcomes too, which say where it was made: see :func:`odibi.run.task.undone`.

        Args:
            steps: in an order in which they can run; all else they need has ended.
            stopped: whether the run was asked to end; then nothing of it may stay there.

        Raises:
            OdibiError: they could not be given to it, or it did not say what became of them.
        """

    def close(self) -> None:
        """Let go of what it holds."""


RUNTIMES: Registry[Callable[[RunContext], Remote]] = Registry(
    "runtime", {"kubernetes": "odibi.kubernetes.runtime:Cluster"}, {"kubernetes": "kubernetes"}
)

LEFT: Registry[Callable[[RunContext, Collection[str]], None]] = Registry(
    "runtime", {"kubernetes": "odibi.kubernetes.left:clear"}, {"kubernetes": "kubernetes"}
)
"""Who removes what killed runs, given by their ids, have left elsewhere and a run does not go on with."""
