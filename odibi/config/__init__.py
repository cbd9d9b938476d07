"""YAML to frozen, validated models, with line numbers and all problems at once."""

from __future__ import annotations

from odibi.config.check import check
from odibi.config.load import Loaded, from_steps, load, load_all
from odibi.config.models import Connection, Layer, Node, Pipeline, Step, StepType, Target, Write, WriteMode

__all__ = [
    "Connection",
    "Layer",
    "Loaded",
    "Node",
    "Pipeline",
    "Step",
    "StepType",
    "Target",
    "Write",
    "WriteMode",
    "check",
    "from_steps",
    "load",
    "load_all",
]
