"""LOOK: what exists before a run, as one frozen snapshot that the plan reads."""

from __future__ import annotations

from odibi.observe.snapshot import Observation, Observed, observe

__all__ = ["Observation", "Observed", "observe"]
