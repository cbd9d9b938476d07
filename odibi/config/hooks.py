"""What a config says about who is told of a run: its hooks, by event and kind."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from odibi.config.base import Frozen
from odibi.errors import nearest

__all__ = ["EVENTS", "OF_WORK", "Hook", "Level", "Severity", "Texts", "event_named"]

EVENTS: Mapping[str, str] = {
    "pipeline_start": "the run begins",
    "pipeline_complete": "the run has succeeded",
    "pipeline_error": "the run has failed, took too long or was cancelled",
    "node_start": "a step begins",
    "node_complete": "a step has its result, computed or reused",
    "node_error": "a step has failed for good",
    "node_retry": "an attempt at a step has failed, and there will be another",
    "node_skipped": "a step was left out, or could not run",
    "layer_complete": "the last step of a layer has ended",
    "checkpoint_saved": "how far the run has come was saved",
    "cache_hit": "an earlier result stands for the step",
    "cache_miss": "the step had to be computed",
    "check_failed": "a rule was broken, whatever that means for the step",
}
"""The events of a run, and when they happen."""

OF_WORK = frozenset(
    {"pipeline_error", "node_start", "node_error", "node_retry", "check_failed", "cache_miss"}
)
"""The events that a run with nothing to do has not."""


class Severity(StrEnum):
    """How urgent something is."""

    INFO = "Info"
    WARNING = "Warning"
    CRITICAL = "Critical"

    @property
    def rank(self) -> int:
        """More is more urgent."""
        return list(Severity).index(self)


def _severity(given: Any) -> Any:
    word = given.capitalize() if isinstance(given, str) else given
    return Severity.CRITICAL if word == "High" else word


_WORDS = [word for name in (*Severity, "High") for word in (str(name), str(name).lower())]
Level = Annotated[Severity, BeforeValidator(_severity), WithJsonSchema({"enum": _WORDS})]
"""A severity in any case; ``high`` is another word for Critical."""


def event_named(name: str) -> str:
    """The name of an event, or ``*`` for all of them. Raises ValueError with the nearest for any other."""
    if name != "*" and name not in EVENTS:
        raise ValueError(f"unknown event {name!r}; {nearest(name, EVENTS, 'events')}")
    return name


def _texts(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _events(given: Any) -> Any:
    found = _texts(given)
    for name in found if isinstance(found, list | tuple) else ():
        if isinstance(name, str):
            event_named(name)
    return found


_ONE_OR_MORE = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts), _ONE_OR_MORE]

_BELONG: Mapping[str, tuple[str, ...]] = {
    "slack": ("url", "channel", "retries"),
    "webhook": ("url", "headers", "retries"),
    "pagerduty": ("url", "routing_key", "retries"),
    "email": ("url", "to", "from", "username", "password", "retries"),
    "log": ("path",),
    "python": ("function", "blocking"),
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "slack": ("url",),
    "webhook": ("url",),
    "pagerduty": ("routing_key",),
    "email": ("url", "to"),
    "python": ("function",),
}
_URLS = {"pagerduty": "https://events.pagerduty.com/v2/enqueue"}


class Hook(Frozen):
    """Who is told, of what, and how.

    ``on`` names the events; with an empty list a hook is told of alerts only. ``steps`` (globs) and
    ``layers`` restrict events about steps, ``severity`` is the least one told, ``targets`` are the only
    ones in which the hook is there. ``timeout`` bounds a call or an attempt at a delivery, ``retries`` is
    how many more there may be. ``url``, ``headers``, ``routing_key``, ``username`` and ``password`` may hold
    ``${env:X}`` and ``${secret:x}``. A ``blocking`` function is waited for, and ends the run if it raises.
    """

    name: str = Field(default="", pattern=r"^[A-Za-z_][A-Za-z0-9_\-]*$|^$")
    type: Literal["slack", "email", "pagerduty", "webhook", "log", "python"]
    on: Annotated[tuple[str, ...], BeforeValidator(_events), _ONE_OR_MORE] = (
        "pipeline_complete",
        "pipeline_error",
    )
    steps: Texts = ()
    layers: Texts = ()
    severity: Level = Severity.INFO
    targets: Texts = ()
    priority: Literal["critical", "high", "medium", "low"] = "medium"
    timeout: float = Field(default=5.0, gt=0, le=300)
    retries: int = Field(default=3, ge=0, le=10)
    url: str = ""
    channel: str = ""
    headers: dict[str, str] = {}
    routing_key: str = ""
    to: Texts = ()
    from_: str = Field(default="odibi@localhost", alias="from")
    username: str = ""
    password: str = ""
    path: str = ""
    function: str = ""
    blocking: bool = False

    @model_validator(mode="after")
    def _belongs_together(self) -> Hook:
        given = {Hook.model_fields[name].alias or name for name in self.model_fields_set}
        special = {key for keys in _BELONG.values() for key in keys}
        for key in sorted(given & special - set(_BELONG[self.type])):
            belongs = nearest(key, _BELONG[self.type], "it has")
            raise ValueError(f"{key} does not belong to a hook of type {self.type}; {belongs}")
        for key in _NEEDED.get(self.type, ()):
            if not getattr(self, key):
                raise ValueError(f"a hook of type {self.type} needs {key}")
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password belong together; one of them is missing")
        return self

    @property
    def called(self) -> str:
        """The name it goes by: its own, else its type."""
        return self.name or self.type

    @property
    def address(self) -> str:
        """Its URL, where it has one, else that of the service."""
        return self.url or _URLS.get(self.type, "")

    def there(self, target: str) -> bool:
        """Whether the hook is there in a target."""
        return not self.targets or target in self.targets
