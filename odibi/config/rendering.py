"""Templates in the values of a config: which texts are rendered, and which of them name a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odibi.config import template
from odibi.config.yaml import Path

__all__ = ["Rendering"]


class Rendering:
    """Renders values from one context, and remembers what failed and which names were used."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self.context = context
        self.failed: dict[Path, template.TemplateError] = {}
        self.used: set[str] = set()

    def of(self, value: Any, path: Path, step: Mapping[str, Any] | None = None) -> Any:
        """``value``, found at ``path`` (in ``step``, or in the header), with all its texts rendered.

        Keys stay as they are, and so does a text whose template fails.
        """
        if isinstance(value, str):
            return self._text(value, path, step) if "{" in value else value
        if isinstance(value, Mapping):
            return {key: self.of(item, (*path, key), step) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, (*path, index), step) for index, item in enumerate(value)]
        return value

    def _text(self, value: str, path: Path, step: Mapping[str, Any] | None) -> Any:
        place = _names_a_place(path, step)
        try:
            self.used |= template.names(value, path=place)
            return template.render(value, self.context, path=place)
        except template.TemplateError as error:
            self.failed[path] = error
            return value


def _names_a_place(path: Path, step: Mapping[str, Any] | None) -> bool:
    """Whether the text at ``path`` is a path or URL, in which ``{name}`` is a placeholder too."""
    if step is None:
        return len(path) >= 3 and path[-1] == "url" and path[-3] == "connections"
    if path[2:] == ("value",):
        params = step.get("params")
        transforms = isinstance(params, Mapping) and "operations" in params
        return step.get("type") == "config_op" and not transforms
    return path[2:] in (
        ("read",),
        ("read", "path"),
        ("read", "url"),
        ("read", "land", "path"),
        ("write", "path"),
    )
