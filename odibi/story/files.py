"""Stories on disk: one file per run below a folder, and an index of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from odibi.boundaries import cross
from odibi.record.model import RunRecord
from odibi.story.html import render, render_index

__all__ = ["story_path", "write", "write_index"]


def story_path(run: RunRecord, folder: Path) -> Path:
    """Where the story of ``run`` is kept: ``<folder>/<pipeline>/<run_id>.html``."""
    return folder / _plain(run.pipeline) / f"{_plain(run.run_id)}.html"


def write(run: RunRecord, folder: Path, previous: RunRecord | None = None) -> Path:
    """Write the story of ``run`` below ``folder`` and return its path.

    A reader sees the old file or the new one, never a part. Raises OSError.
    """
    return _replace(story_path(run, folder), render(run, previous))


def write_index(runs: Sequence[RunRecord], folder: Path) -> Path:
    """Write ``<folder>/index.html``, which lists ``runs`` and links the stories that are there.

    Raises OSError.
    """
    paths = {run.run_id: story_path(run, folder) for run in runs}
    links = {name: path.relative_to(folder).as_posix() for name, path in paths.items() if path.exists()}
    return _replace(folder / "index.html", render_index(runs, links))


def _plain(name: str) -> str:
    """A name that is one part of a path on every system."""
    return re.sub(r"[^\w.-]", "-", name).lstrip(".") or "unnamed"


def _replace(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        cross("before story")
        aside.write_text(content, encoding="utf-8", newline="\n")
        cross("amid story")
        aside.replace(path)
        cross("after story")
    finally:
        aside.unlink(missing_ok=True)
    return path
