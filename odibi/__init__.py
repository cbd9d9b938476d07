"""odibi: config-driven data pipelines with the same answer on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odibi.config import Pipeline, Step, load
    from odibi.datasets.cloud import CloudAdapter
    from odibi.engines.session import use_session
    from odibi.metrics import MetricsManager
    from odibi.notify.bus import EventBus, EventPriority
    from odibi.operations.python import step
    from odibi.orchestrator import Orchestrator, Result
    from odibi.story.generator import StoryGenerator

__version__ = "0.1.0"
__all__ = [
    "CloudAdapter",
    "EventBus",
    "EventPriority",
    "MetricsManager",
    "Orchestrator",
    "Pipeline",
    "Result",
    "Step",
    "StoryGenerator",
    "__version__",
    "load",
    "step",
    "use_session",
]

_HOME = {
    "CloudAdapter": "odibi.datasets.cloud",
    "EventBus": "odibi.notify.bus",
    "EventPriority": "odibi.notify.bus",
    "MetricsManager": "odibi.metrics",
    "Orchestrator": "odibi.orchestrator",
    "Pipeline": "odibi.config",
    "Result": "odibi.orchestrator",
    "Step": "odibi.config",
    "StoryGenerator": "odibi.story.generator",
    "load": "odibi.config",
    "step": "odibi.operations.python",
    "use_session": "odibi.engines.session",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that ``odibi --help`` stays fast."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'odibi' has no attribute {name!r}")
