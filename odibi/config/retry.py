"""What a config says about failed attempts and about limits: retries, rules of one's own, resources."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from odibi.config.base import Frozen
from odibi.config.quantity import excessive, quantity
from odibi.errors import nearest

__all__ = ["AtLeast", "Resources", "Retry", "RetryRule", "Success", "needed_of", "refuse_success"]


def _in_bytes(memory: str) -> str:
    """As databases spell it; Kubernetes leaves out the B."""
    if not float(memory.rstrip("KMGTiB ")):
        raise ValueError(f"memory: found {memory!r}, which no step can work with: such as 200MB or 2Gi")
    return memory + "B" * memory.endswith("i")


Memory = Annotated[
    str, StringConstraints(pattern=r"^\d+(\.\d+)?\s*[KMGT](i?B|i)$"), AfterValidator(_in_bytes)
]

ResourceName = Literal["cpu", "memory", "ephemeral-storage"]
Quantity = Annotated[
    str, BeforeValidator(str), StringConstraints(pattern=r"^\d+(\.\d+)?(m|[kMGT]|[KMGT]i)?$")
]


_LEAST: Mapping[ResourceName, Decimal] = {
    "cpu": Decimal("0.001"),
    "memory": Decimal(2**20),
    "ephemeral-storage": Decimal(2**20),
}
"""The smallest quantities that can be meant: a number without a unit is bytes."""

_FORM: Mapping[ResourceName, str] = {
    "cpu": "such as 500m or 2",
    "memory": "without a unit it is bytes; such as 512Mi or 4Gi",
    "ephemeral-storage": "without a unit it is bytes; such as 10Gi",
}


class Resources(Frozen):
    """What a step may have of the machine: ``memory`` such as ``200MB`` or ``2Gi``.

    The step then computes in a process of its own, which is ended if it takes more. ``requests`` and
    ``limits`` are those of its pod, where it runs in one, in Kubernetes' own words.
    """

    memory: Memory | None = None
    requests: dict[ResourceName, Quantity] = {}
    limits: dict[ResourceName, Quantity] = {}

    @model_validator(mode="after")
    def _says_something(self) -> Resources:
        if self.memory is None and not self.requests and not self.limits:
            raise ValueError("resources needs memory, requests or limits")
        for side, given in (("requests", self.requests), ("limits", self.limits)):
            for name, text in given.items():
                if quantity(text) < _LEAST[name]:
                    raise ValueError(f"{side}.{name}: {text} is too little: {_FORM[name]}")
        if said := excessive(dict(self.requests.items()), dict(self.limits.items())):
            raise ValueError(f"the step {said}")
        return self


class RetryRule(Frozen):
    """What some failures mean: those of a class, with an exit code, whose message a pattern is found in.

    ``error`` is the name of a class or of one it is derived from, bare or dotted. Of what is given,
    all must be so. ``then`` is ``retry``, ``escalate`` (fail at once) or ``skip`` (leave the step and
    what needs it out, without failing the run).
    """

    error: str | None = None
    exit_code: int | None = None
    message: str | None = None
    then: Literal["retry", "escalate", "skip"]

    @model_validator(mode="after")
    def _means_something(self) -> RetryRule:
        if self.error is None and self.exit_code is None and self.message is None:
            raise ValueError("a rule needs error, exit_code or message")
        try:
            re.compile(self.message or "")
        except re.error as error:
            raise ValueError(f"message: {self.message!r} is no regular expression: {error}") from error
        return self


class AtLeast(Frozen):
    """How many sources must succeed."""

    min_success: int = Field(ge=1)


Success = Literal["all", "any"] | AtLeast
"""How many of a layer's sources must succeed: ``all``, ``any`` one of them, or at least so many."""


def refuse_success(given: Any, layers: Collection[str]) -> Any:
    """What is given as success, for all layers or by layer. Raises ValueError with one sentence for all else."""

    def fine(said: Any) -> bool:
        number = said.get("min_success") if isinstance(said, Mapping) and len(said) == 1 else None
        counted = isinstance(number, int) and not isinstance(number, bool) and number >= 1
        return said in ("all", "any") or isinstance(said, AtLeast) or counted

    if fine(given) or (isinstance(given, Mapping) and all(map(fine, given.values()))):
        for name in given.keys() - {*layers, "min_success"} if isinstance(given, Mapping) else ():
            raise ValueError(f"success: unknown layer {name!r}; {nearest(name, layers, 'layers')}")
        return given
    raise ValueError("success: expected all, any or {min_success: 2}, or these by layer: {bronze: any}")


def needed_of(success: Success, sources: int) -> int:
    """How many of that many sources must succeed."""
    if isinstance(success, AtLeast):
        return min(success.min_success, sources)  # fewer may be selected
    return sources if success == "all" else min(1, sources)


class Retry(Frozen):
    """How a step is tried again; what it leaves out is as the pipeline says.

    The short form ``retry: 5`` means ``max_retries: 5``. Its ``retry_rules`` come before the pipeline's.
    """

    max_retries: int | None = Field(default=None, ge=0)
    retry_delay: float | None = Field(default=None, ge=0)
    retry_backoff: bool | None = None
    retry_max_delay: float | None = Field(default=None, ge=0)
    retry_rules: tuple[RetryRule, ...] = ()
