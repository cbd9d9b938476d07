"""Quantities as Kubernetes writes them: ``500m`` of a processor, ``4Gi`` of memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

__all__ = ["excessive", "quantity"]

_UNITS: Mapping[str, Decimal] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    **{unit: Decimal(1000**power) for power, unit in enumerate("MGTP", 2)},
    **{f"{unit}i": Decimal(1024**power) for power, unit in enumerate("KMGTP", 1)},
}


def quantity(text: str) -> Decimal:
    """How many processors, or bytes, a text means.

    Raises:
        ValueError: it is no quantity.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m|k|[MGTP]|[KMGTP]i)?", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no quantity, such as 500m, 2 or 4Gi")
    return Decimal(found[1]) * _UNITS[found[2] or ""]


def excessive(requests: Mapping[str, str], limits: Mapping[str, str]) -> str:
    """Of what more is requested than allowed, in words; empty if of nothing."""
    for name in sorted(requests.keys() & limits.keys()):
        if quantity(requests[name]) > quantity(limits[name]):
            return f"requests {requests[name]} of {name}, and its limit is {limits[name]}"
    return ""
