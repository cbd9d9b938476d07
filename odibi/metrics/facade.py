"""The metrics of one run, for those who know this API; everything here is done elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.errors import Permanent
from odibi.metrics.export import as_json, put
from odibi.metrics.families import amounts_of
from odibi.metrics.prometheus import exposition
from odibi.metrics.summary import summary

if TYPE_CHECKING:
    from odibi.record.model import RunRecord

__all__ = ["MetricsManager"]


class MetricsManager:
    """The metrics of the last run of an ``Orchestrator(..., metrics_manager=...)`` it was given to."""

    def __init__(self) -> None:
        self._run: RunRecord | None = None

    def observe(self, run: RunRecord) -> None:
        """Be about this run from now on."""
        self._run = run

    def get_summary(self) -> dict[str, Any]:
        """What the run took and gave; see :func:`odibi.metrics.summary.summary`. Raises Permanent before a run."""
        return summary(self._observed())

    def save_to_file(self, path: str | Path) -> None:
        """Write the summary as JSON. Raises OSError, and Permanent before a run."""
        put(Path(path), as_json(self._observed()))

    def export_prometheus(self, path: str | Path) -> None:
        """Write the metrics of this one run as exposition text. Raises OSError, and Permanent before a run."""
        put(Path(path), exposition(amounts_of(self._observed())))

    def _observed(self) -> RunRecord:
        if self._run is None:
            raise Permanent(
                "there are no metrics before a run", hint="Orchestrator(..., metrics_manager=this).execute()"
            )
        return self._run
