"""A pipeline as it was loaded for one run: rendered, of one target, with the place of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from odibi.config import yaml
from odibi.config.models import Pipeline
from odibi.config.short import source_path
from odibi.errors import Problem

__all__ = ["PYTHON", "SUFFIXES", "Loaded", "Template", "roots_of", "written"]

SUFFIXES = (".yaml", ".yml", ".json")
"""What a config file may end in; the first is preferred where several have one stem."""

_SPELLED = {"pipeline": "name", "engine": "engine_type", "hooks": "event_bus", "metrics": "metrics_manager"}
"""How else keys of a pipeline are written."""

PYTHON = "<python>"
"""The file of a pipeline that was built in Python."""


class Template(NamedTuple):
    """A step before its templates were rendered, and the names that these use."""

    step: Mapping[str, Any]
    names: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What every later part of odibi works from.

    ``pipeline`` has its templates rendered and its target applied, and keeps its ``${...}``
    references. ``params`` holds the ones given from outside, ``context`` what templates may name.
    ``templates`` has the steps with templates in them, by name. ``others`` has the pipelines that inputs such as ``other.orders`` refer to. ``config_hash``
    identifies the declaration before rendering, whatever its comments, format and key order. ``now`` is
    the instant at which the clock stands, None where it goes on.
    """

    pipeline: Pipeline
    file: str
    logical_date: date
    target: str
    run_id: str
    params: Mapping[str, Any]
    context: Mapping[str, Any] = field(repr=False)
    templates: Mapping[str, Template] = field(repr=False)
    others: Mapping[str, Loaded] = field(repr=False)
    config_hash: str
    environ: Mapping[str, str] = field(repr=False, compare=False)
    document: yaml.Document = field(repr=False, compare=False)
    positions: tuple[int, ...] = field(repr=False, compare=False)
    """For each step of the pipeline, which entry of the file's ``steps`` it was written as."""
    now: datetime | None = None

    def where(self, path: yaml.Path) -> tuple[str, int, int]:
        """File, line and column of the value at the canonical ``path``, such as ``("steps", 2, "value")``."""
        return self.document.place(self._written(path))

    def inside(self, path: yaml.Path, line: int, column: int) -> tuple[str, int, int]:
        """Where the character at ``line`` and ``column`` (from 1) of the text at ``path`` stands in the file."""
        return (self.file, *self.document.inside(self._written(path), line, column))

    def problem(self, path: yaml.Path, message: str, hint: str = "", level: str = "error") -> Problem:
        """A problem placed at the canonical ``path``."""
        return Problem(*self.where(path), message, hint, level)

    def find(self, name: str) -> Path | None:
        """The file ``name`` in one of :attr:`roots`, or at its absolute place; None if there is none."""
        return next((root / name for root in self.roots if (root / name).is_file()), None)

    @property
    def roots(self) -> tuple[Path, ...]:
        """Where project files are looked for: the config's folder, the current one, the one above the config."""
        return roots_of(self.file)

    def neighbours(self) -> dict[str, Path]:
        """The other config files in the config's folder, by the pipeline name that inputs use for them."""
        if self.file == PYTHON:
            return {}
        files = sorted(path for path in Path(self.file).parent.iterdir() if path.suffix in SUFFIXES)
        return {path.stem: path for path in reversed(files) if path.name != Path(self.file).name}

    def _written(self, path: yaml.Path) -> yaml.Path:
        if path[:1] == ("steps",) and len(path) > 1:
            path = ("steps", self.positions[path[1]], *path[2:])
        return written(path, self.document, self.target)


def roots_of(file: str) -> tuple[Path, ...]:
    """Where the project files of the config ``file`` are looked for, in order."""
    if file == PYTHON:
        return (Path.cwd(),)
    folder = Path(file).resolve().parent
    return tuple(dict.fromkeys((folder, Path.cwd(), folder.parent)))


def written(path: yaml.Path, document: yaml.Document, target: str) -> yaml.Path:
    """Where the document says what is at the canonical ``path`` (with the step's position in the file)."""
    if path[:1] == ("steps",) and len(path) > 1:
        step = document.data["steps"][path[1]]
        return (*path[:2], *source_path(path[2:], step))
    overlay = ("targets", target, *path)
    if path[:1] in (("connections",), ("variables",)) and overlay in document.values:
        return overlay
    if path[:2] == ("alerts", "rules") and not isinstance(document.data.get("alerts"), Mapping):
        return ("alerts", *path[2:])
    other = _SPELLED.get(path[0]) if path else None
    return (other, *path[1:]) if other in document.data else path
