"""Quantities as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from odibi.config.quantity import excessive, quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", Decimal("0.5")),
        ("2", 2),
        ("1.5", Decimal("1.5")),
        ("1k", 1000),
        ("3M", 3_000_000),
        ("2G", 2 * 10**9),
        ("1T", 10**12),
        ("1Ki", 1024),
        ("4Gi", 4 * 2**30),
        ("1Pi", 2**50),
    ],
)
def test_what_a_quantity_means(text: str, number: Decimal | int) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["", "much", "5Gb", "-1", "1 2", "Gi"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity, such as 500m, 2 or 4Gi"):
        quantity(text)


def test_more_than_allowed() -> None:
    assert excessive({"cpu": "1"}, {"cpu": "1000m", "memory": "1Gi"}) == ""
    assert (
        excessive({"memory": "1025Mi"}, {"memory": "1Gi"})
        == "requests 1025Mi of memory, and its limit is 1Gi"
    )
