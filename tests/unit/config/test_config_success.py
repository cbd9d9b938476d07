"""How many sources must succeed."""

from __future__ import annotations

from typing import Any

import pytest

from odibi.config.models import Pipeline
from odibi.config.retry import AtLeast, needed_of

STEP = {"name": "users", "layer": "bronze", "read": "users.csv"}


@pytest.mark.parametrize(
    ("success", "sources", "needed"),
    [
        ("all", 3, 3),
        ("any", 3, 1),
        ("any", 0, 0),
        (AtLeast(min_success=2), 3, 2),
        (AtLeast(min_success=2), 1, 1),
    ],
)
def test_how_many_are_needed(success: Any, sources: int, needed: int) -> None:
    assert needed_of(success, sources) == needed


@pytest.mark.parametrize(
    "success", ["any", {"min_success": 2}, {"bronze": "any", "silver": {"min_success": 1}}]
)
def test_it_is_said_for_all_layers_or_by_layer(success: Any) -> None:
    made = Pipeline.model_validate({"pipeline": "p", "success": success, "steps": [STEP]})
    assert Pipeline.model_validate(made.model_dump(exclude_none=True)).success == made.success


@pytest.mark.parametrize(
    ("success", "message"),
    [
        ("most", "expected all, any or"),
        ({"min_success": 0}, "expected all, any or"),
        ({"min_success": True}, "expected all, any or"),
        ({"bronze": 2}, "expected all, any or"),
        ({"bronz": "any"}, "unknown layer 'bronz'; did you mean 'bronze'"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(success: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        Pipeline.model_validate({"pipeline": "p", "success": success, "steps": [STEP]})
    assert str(told.value).count("[type=") == 1
