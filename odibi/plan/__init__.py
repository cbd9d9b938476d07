"""PLAN: pure. What would be done and why, from the config and one look at the world."""

from __future__ import annotations

from odibi.plan.build import build
from odibi.plan.model import Action, Decision, Plan, PlannedStep

__all__ = ["Action", "Decision", "Plan", "PlannedStep", "build"]
