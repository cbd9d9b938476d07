"""Where a step runs: its own word, its layer's, the pipeline's, or the size of what it reads."""

from __future__ import annotations

from typing import Any

import pytest

from odibi.config.models import Pipeline
from odibi.plan.runtime import may_leave, runtime_of

CLUSTER = {"image": "odibi:1", "tasks": "/tasks", "threshold": "1GB"}


def pipeline(runtime: Any, step: str | None, cluster: Any = CLUSTER) -> Pipeline:
    own = {} if step is None else {"runtime": step}
    steps = [{"name": "a", "layer": "gold", "sql": "SELECT 1 AS x", **own}]
    return Pipeline.model_validate(
        {"pipeline": "p", "runtime": runtime, "kubernetes": cluster, "steps": steps}
    )


@pytest.mark.parametrize(
    ("runtime", "step", "size", "expected"),
    [
        ("local", None, 0, "local"),
        ("kubernetes", None, 0, "kubernetes"),
        ("kubernetes", "local", 0, "local"),
        ("local", "kubernetes", 0, "kubernetes"),
        ({"gold": "kubernetes"}, None, 0, "kubernetes"),
        ({"silver": "kubernetes"}, None, 0, "local"),
        ({"gold": "kubernetes"}, "local", 0, "local"),
        ("auto", None, 0, "local"),
        ("auto", None, 10**9, "local"),
        ("auto", None, 10**9 + 1, "kubernetes"),
        ({"gold": "auto"}, None, 2 * 10**9, "kubernetes"),
        ("kubernetes", "auto", 5, "local"),
    ],
)
def test_where_a_step_runs(runtime: Any, step: str | None, size: int, expected: str) -> None:
    made = pipeline(runtime, step)
    assert runtime_of(made, made.steps[0], size)[0] == expected


def test_without_a_cluster_there_is_only_here() -> None:
    made = pipeline("auto", None, None)
    assert runtime_of(made, made.steps[0], 10**12) == ("local", "")


@pytest.mark.parametrize(
    ("runtime", "step", "expected"),
    [
        ("local", None, False),
        ("auto", None, True),
        ({"silver": "kubernetes"}, None, True),
        ({"silver": "local"}, "local", False),
        ("local", "kubernetes", True),
    ],
)
def test_whether_any_step_may_run_elsewhere(runtime: Any, step: str | None, expected: bool) -> None:
    assert may_leave(pipeline(runtime, step)) is expected
