"""Selectors: which steps of a pipeline are meant. The grammar is dbt's.

``name``, ``+name`` (and all before it), ``name+`` (and all after it), ``layer:silver``,
``tag:x``, globs in names; a space or several options unite, a comma intersects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from odibi.config.models import Step
from odibi.errors import Permanent, nearest

__all__ = ["select"]


def select(
    steps: Sequence[Step],
    upstream: Mapping[str, Sequence[str]],
    chosen: Iterable[str] = (),
    excluded: Iterable[str] = (),
) -> frozenset[str]:
    """The names of the chosen steps; all if nothing is chosen.

    Raises:
        Permanent: a selector that matches nothing.
    """
    downstream: dict[str, list[str]] = {step.name: [] for step in steps}
    for name, before in upstream.items():
        for other in before:
            downstream[other].append(name)
    wanted = [_intersection(text, steps, upstream, downstream) for item in chosen for text in item.split()]
    names = frozenset().union(*wanted) if wanted else frozenset(step.name for step in steps)
    for item in excluded:
        for text in item.split():
            names -= _intersection(text, steps, upstream, downstream)
    if not names:
        raise Permanent("the selection leaves no step to run")
    return names


def _intersection(
    text: str, steps: Sequence[Step], up: Mapping[str, Sequence[str]], down: Mapping[str, Sequence[str]]
) -> frozenset[str]:
    groups = [_one(part, steps, up, down) for part in text.split(",") if part]
    if not groups:
        raise Permanent(f"selector {text!r} is empty")
    return frozenset.intersection(*groups)


def _one(
    text: str, steps: Sequence[Step], up: Mapping[str, Sequence[str]], down: Mapping[str, Sequence[str]]
) -> frozenset[str]:
    name = text.strip("+")
    method, colon, value = name.partition(":")
    if not colon:
        found = {step.name for step in steps if fnmatchcase(step.name, name)}
    elif method == "layer":
        found = {step.name for step in steps if fnmatchcase(step.layer, value)}
    elif method == "tag":
        found = {step.name for step in steps if any(fnmatchcase(tag, value) for tag in step.tags)}
    else:
        raise Permanent(
            f"unknown selector method {method!r} in {text!r}", hint="use layer:, tag: or a step's name"
        )
    if not found:
        known: dict[str, list[str]] = {
            "": [s.name for s in steps],
            "layer": [str(s.layer) for s in steps],
            "tag": [t for s in steps for t in s.tags],
        }
        raise Permanent(
            f"nothing matches the selector {text!r}",
            hint=nearest(value or name, known[method if colon else ""]),
        )
    if text.startswith("+"):
        found = found | _closure(found, up)
    if text.endswith("+"):
        found = found | _closure(found, down)
    return frozenset(found)


def _closure(start: Iterable[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        for name in edges.get(waiting.pop(), ()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen
