"""The story by the name that other tools give it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from odibi.errors import NotFound
from odibi.record.export import told_from
from odibi.story.html import render

__all__ = ["StoryGenerator"]


class StoryGenerator:
    """Makes the page of a run from its exported record; ``odibi story FILE -o PAGE`` does the same."""

    def generate_story(self, record: str | PathLike[str], page: str | PathLike[str]) -> Path:
        """Write the story of the run in ``record`` to ``page``, always the same for the same record.

        Args:
            record: a ``run.json`` or ``lineage.json``.
            page: where the HTML page goes.

        Raises:
            NotFound: there is no such file.
            Permanent: it is neither.
        """
        source, target = Path(record), Path(page)
        try:
            run, previous = told_from(source.read_text("utf-8"))
        except FileNotFoundError as error:
            raise NotFound(f"there is no file {str(source)!r}") from error
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render(run, previous, target), encoding="utf-8", newline="\n")
        return target
