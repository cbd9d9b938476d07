"""Views as HTML: one page each, with all it needs inside."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.util import cache_from_source
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket

from odibi.record.model import RunRecord
from odibi.story import text
from odibi.story.model import GLYPHS, index_view, story_view
from odibi.story.sql import highlight
from odibi.story.tables import RunDifference, verdict

__all__ = ["render", "render_difference", "render_index"]


def render(run: RunRecord, previous: RunRecord | None = None, at: Path | None = None) -> str:
    """The story of ``run`` as one self-contained HTML page, always the same for the same record.

    ``previous`` is an earlier run of the same pipeline; the page then says what has changed. ``at`` is
    where the page will be: it then links the plain files of this machine that the run wrote.
    """
    links = _links(run, at.absolute().parent) if at is not None else {}
    return _environment().get_template("story.html").render(view=story_view(run, previous), links=links)


def _links(run: RunRecord, folder: Path) -> dict[str, str]:
    """The files and folders that the run wrote by name, and the way to each from a folder."""
    written = {write.uri for step in run.steps for write in step.writes if write.format != "delta"}
    return {
        uri: quote(Path(os.path.relpath(Path(uri).absolute(), folder)).as_posix())
        for uri in written
        if "://" not in uri
    }


def render_index(runs: Sequence[RunRecord], links: Mapping[str, str]) -> str:
    """A page that lists ``runs``; ``links`` maps the id of a run to the place of its story."""
    return _environment().get_template("index.html").render(view=index_view(runs, links))


def render_difference(before: RunRecord, now: RunRecord, found: RunDifference) -> str:
    """What differs between two runs as a page of its own, always the same for the same records and rows."""
    page = _environment().get_template("diff.html")
    shapes = (GLYPHS[before.status], GLYPHS[now.status])
    return page.render(before=before, now=now, found=found, shapes=shapes, verdict=verdict(found))


class _Compiled(FileSystemBytecodeCache):
    """Templates as Python compiles them, kept where it keeps its own modules: compiling takes a tenth of a second."""

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep one, where that is wanted and possible."""
        with suppress(OSError):
            if not sys.dont_write_bytecode:
                super().dump_bytecode(bucket)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("odibi.story"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        bytecode_cache=_Compiled(str(Path(cache_from_source(__file__)).parent), "%s.html.cache"),
    )
    for name in ("count", "cut", "date_time", "delta", "duration", "percent", "share", "size", "times"):
        environment.filters[name] = getattr(text, name)
    environment.filters["sql"] = highlight
    templates = files("odibi.story") / "templates"
    style, script = ((templates / name).read_text(encoding="utf-8") for name in ("style.css", "story.js"))
    # The page may run this one script and load nothing: what data smuggles in stays dead.
    digest = b64encode(sha256(script.encode()).digest()).decode()
    environment.globals |= {
        "style": style,
        "script": script,
        "script_digest": digest,
        "dash": text.NONE,
    }
    return environment
