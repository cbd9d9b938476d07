"""Stories on disk: one file per run below a folder, and an index of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from odibi.boundaries import cross
from odibi.record.model import RunRecord
from odibi.story.html import render, render_index

__all__ = ["story_path", "write", "write_index"]


def story_path(run: RunRecord, folder: Path) -> Path:
    """Where the story of ``run`` is kept: ``<folder>/<pipeline>/<run_id>.html``."""
    return folder / _plain(run.pipeline) / f"{_plain(run.run_id)}.html"


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def write(
    run: RunRecord,
    folder: Path,
    previous: RunRecord | None = None,
    aside: Callable[[Path], Path] = _aside,
) -> Path:
    """Write the story of ``run`` below ``folder`` and return its path.

    A reader sees the old file or the new one, never a part. ``aside`` gives the name that a file has
    until it is whole. Raises OSError.
    """
    path = story_path(run, folder)
    return _replace(path, render(run, previous, path), aside)


def write_index(runs: Sequence[RunRecord], folder: Path, aside: Callable[[Path], Path] = _aside) -> Path:
    """Write ``<folder>/index.html``, which lists ``runs`` and links the stories that are there.

    See :func:`write` for ``aside``. Raises OSError.
    """
    paths = {run.run_id: story_path(run, folder) for run in runs}
    links = {name: path.relative_to(folder).as_posix() for name, path in paths.items() if path.exists()}
    return _replace(folder / "index.html", render_index(runs, links), aside)


def _plain(name: str) -> str:
    """A name that is one part of a path on every system."""
    return re.sub(r"[^\w.-]", "-", name).lstrip(".") or "unnamed"


def _replace(path: Path, content: str, aside: Callable[[Path], Path]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = aside(path)
    try:
        cross("before story")
        new.write_text(content, encoding="utf-8", newline="\n")
        cross("amid story")
        new.replace(path)
        cross("after story")
    finally:
        new.unlink(missing_ok=True)
    return path
