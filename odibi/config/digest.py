"""The identity of a declaration: what it says, not how it is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from odibi.config.short import expand_pipeline, expand_step

__all__ = ["config_hash"]


def config_hash(data: Mapping[str, Any]) -> str:
    """32 hex digits of a pipeline's data before rendering.

    Comments, format, the order of keys, short or canonical form, and tests make no difference.
    """
    normal = _expanded(data, expand_pipeline)
    steps = normal.get("steps")
    if isinstance(steps, list | tuple):
        normal["steps"] = [_without_tests(_expanded(step, expand_step)) for step in steps]
    try:
        text = json.dumps(normal, sort_keys=True, default=str)
    except TypeError:  # keys of several types in one mapping have no order
        text = json.dumps(_with_text_keys(normal), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _expanded(data: Any, expand: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Any:
    try:
        return expand(data) if isinstance(data, Mapping) else data
    except ValueError:  # a template stands where the short form wants a list
        return data


def _without_tests(step: Any) -> Any:
    return (
        {key: value for key, value in step.items() if key not in ("tests", "tests_file")}
        if isinstance(step, Mapping)
        else step
    )


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list | tuple) else value
