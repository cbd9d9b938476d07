"""What a config says about alerts: rules with a condition, a severity and a cooldown, and where they go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints, model_validator

from odibi.config.base import Frozen
from odibi.config.hooks import Level, Severity, Texts

__all__ = ["DEFAULT_ROUTES", "LOG", "NOBODY_TOLD", "AlertRule", "Alerts", "Condition", "alerts_given"]

LOG = "log"
"""The route that is always there: a line on stderr."""

DEFAULT_ROUTES: dict[Severity, tuple[str, ...]] = {
    Severity.CRITICAL: ("pagerduty",),
    Severity.WARNING: ("slack",),
    Severity.INFO: (LOG,),
}
"""Where alerts go that no route is given for."""


LONGEST = 60 * 24 * 3660
"""Minutes that a span may have: ten years."""


class OfPipelines(Frozen):
    """A condition on runs: those of the pipelines whose name fits the glob, of this pipeline if not given."""

    pipeline_pattern: str = ""


class Failure(OfPipelines):
    """The newest run that has ended has failed, or took too long."""


class PipelineStuckFor(OfPipelines):
    """A run has been going on for more than so many minutes."""

    minutes: float = Field(gt=0, le=LONGEST)


class HighFailureRate(OfPipelines):
    """Of the runs that ended in the last so many minutes, more than the share (0 to 1) failed."""

    threshold: float = Field(ge=0, le=1)
    window_minutes: float = Field(gt=0, le=LONGEST)


class UnusualDuration(OfPipelines):
    """The newest run takes or took longer than so many times the median of earlier successful ones."""

    multiplier: float = Field(ge=1, allow_inf_nan=False)


class ResourceExhaustion(Frozen):
    """More than the share (0 to 1) of this machine's cpu, memory or disk is in use.

    ``path`` is on the disk that is meant; that of odibi's own files if not given.
    """

    resource: Literal["cpu", "memory", "disk"]
    threshold: float = Field(gt=0, le=1)
    path: str = ""

    @model_validator(mode="after")
    def _path_of_a_disk(self) -> ResourceExhaustion:
        if self.path and self.resource != "disk":
            raise ValueError(f"path belongs to the resource disk, this is {self.resource}")
        return self


class Condition(Frozen):
    """What must be so for an alert; exactly one of its keys is given."""

    failure: Failure | None = Field(default=None, alias="Failure")
    stuck: PipelineStuckFor | None = Field(default=None, alias="PipelineStuckFor")
    failure_rate: HighFailureRate | None = Field(default=None, alias="HighFailureRate")
    resource: ResourceExhaustion | None = Field(default=None, alias="ResourceExhaustion")
    duration: UnusualDuration | None = Field(default=None, alias="UnusualDuration")

    @model_validator(mode="before")
    @classmethod
    def _without_options(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {given: {}}
        return {k: {} if v is None else v for k, v in given.items()} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _is_one(self) -> Condition:
        if len(self.model_fields_set) != 1:
            kinds = ", ".join(str(field.alias) for field in Condition.model_fields.values())
            raise ValueError(f"a condition is one of {kinds}")
        return self

    @property
    def kind(self) -> str:
        """Its name, such as ``PipelineStuckFor``."""
        return type(self.one).__name__

    @property
    def one(self) -> Failure | PipelineStuckFor | HighFailureRate | ResourceExhaustion | UnusualDuration:
        """The condition that is given."""
        given = self.failure or self.stuck or self.failure_rate or self.resource or self.duration
        assert given is not None  # noqa: S101 - the validator has seen to it
        return given

    def __str__(self) -> str:
        said = ", ".join(f"{key}: {value}" for key, value in self.one.model_dump(exclude_unset=True).items())
        return f"{self.kind}{{{said}}}"


class AlertRule(Frozen):
    """When somebody has to be told, how urgent it is, and how soon again.

    ``last_fired`` is when the rule fired last, for as long as the run store knows nothing of it.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_\-]*$")]
    condition: Condition
    severity: Level = Severity.WARNING
    cooldown_minutes: float = Field(default=30, ge=0, le=LONGEST)
    runbook: str = ""
    last_fired: AwareDatetime | None = None


class Alerts(Frozen):
    """The rules, and by severity the hooks that are told: by name, or all of a type."""

    rules: tuple[AlertRule, ...] = ()
    routes: dict[Level, Texts] = {}

    def route(self, severity: Severity) -> tuple[str, ...]:
        """What alerts of that severity go to."""
        return self.routes.get(severity, DEFAULT_ROUTES[severity])


def _rules(given: Any) -> Any:
    return {"rules": given} if isinstance(given, list | tuple) else given


alerts_given = BeforeValidator(_rules)
"""Rules alone stand for alerts with the usual routes."""

NOBODY_TOLD: Mapping[str, Any] = {"hooks": (), "alerts": Alerts()}
"""What a pipeline has that only tries things out: nobody is told of it."""
