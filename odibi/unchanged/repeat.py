"""A run that repeats one after which nothing was left to do: looked up, recorded and told."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from uuid import uuid4

from odibi.home import Home, command
from odibi.unchanged.facts import Facts, Request

__all__ = ["SCHEMA", "Repeated", "repeat"]

SCHEMA = 4
"""The version of the run store's schema that these statements are for."""

LISTED = 200
"""Runs of a pipeline that the index lists at most."""

_RUN = """
INSERT INTO runs SELECT :run_id, pipeline, config, config_hash, logical_date, target, engine, status, :started,
    :ended, owner, :command, error, :host, :pid, 0, json_remove(detail, '$.warnings', '$.checkpoints') FROM runs
WHERE run_id = :repeats AND status = 'Succeeded'
"""
# What a step did is told by the run that did it; what its table holds stays.
_STEPS = """
INSERT INTO steps SELECT :run_id, position, name, layer, node, operation, engine,
    coalesce(now.value ->> 0, decision), coalesce(now.value ->> 2, reason), coalesce(now.value ->> 1, status),
    NULL, NULL, iif(now.value ->> 1 = 'skipped', NULL, rows_out), NULL,
    iif(now.value ->> 1 = 'skipped', '', steps.key), iif(now.value ->> 1 = 'skipped', '', digest),
    json_remove(
        detail, '$.writes', '$.sql_run', '$.sample', '$.rows_in', iif(now.value ->> 1 = 'skipped', '$.columns', '$.writes')
    )
FROM steps LEFT JOIN json_each(:steps) AS now ON now.key = name WHERE run_id = :repeats
"""
_HELD = "SELECT 1 FROM locks WHERE name = ? AND run_id <> ''"


@dataclass(frozen=True, slots=True)
class Repeated:
    """What is to be printed of the run, and where its story is."""

    started: str
    lines: Sequence[tuple[str, str]]
    sentence: str
    story: Path | None


def repeat(request: Request, home: Home) -> Repeated | None:
    """Record and tell one more run in which nothing was to do; None where only a plan can tell.

    Nothing is written unless every fact holds and no other run of the pipeline is under way.
    """
    began, start = datetime.now(UTC), time.monotonic()
    scheme, _, database = home.state.partition(":///")
    facts = Facts.read(request.file(home.unchanged)) if scheme == "sqlite" else None
    if facts is None or any(home.intents.glob("*.jsonl")) or not facts.hold():
        return None
    run_id = str(uuid4())
    try:
        if not _recorded(Path(database), facts, run_id, began):
            return None
    except sqlite3.Error:
        return None  # what is wrong with the store is told by who opens it as ever
    sentence = facts.sentence.replace("{time}", f"{(time.monotonic() - start) * 1000:.0f} ms")
    story = _told(home.stories, facts, run_id, sentence, began)
    lines = [(name, reason) for name, (_, status, reason) in facts.steps.items() if status == "reused"]
    return Repeated(facts.started.replace("{run}", run_id[:8]), lines, sentence, story)


def _recorded(database: Path, facts: Facts, run_id: str, began: datetime) -> bool:
    if not database.is_file():
        return False
    values = {
        "run_id": run_id,
        "repeats": facts.run_id,
        "steps": json.dumps(facts.steps),
        "started": _moment(began),
        "ended": _moment(datetime.now(UTC)),
        "command": command(),
        "host": platform.node(),
        "pid": os.getpid(),
    }
    with closing(sqlite3.connect(database, timeout=1, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("SELECT max(version) FROM schema_migrations").fetchone()[0]
        held = connection.execute(_HELD, (facts.lock,)).fetchone()
        if version != SCHEMA or held or connection.execute(_RUN, values).rowcount != 1:
            connection.execute("ROLLBACK")
            return False
        connection.execute(_STEPS, values)
        connection.execute("COMMIT")
    return True


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


# --- the story -----------------------------------------------------------------------------------

# By its place: naming the package would import it.
_STYLE = Path(__file__).parents[1] / "story" / "templates" / "style.css"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header class="top"><p class="brand">odibi</p></header>
<main>
<section class="lead"><h1>{title}</h1><p class="sentence">{sentence}</p></section>
<section><p>Nothing that the pipeline depends on has changed since run {before}: no file, no code, no table.
{link}</p>
<div class="scroll"><table class="runs"><tbody>
<tr><th scope="row">Run</th><td>{run}</td></tr>
<tr><th scope="row">Started</th><td>{at}</td></tr>
</tbody></table></div></section>
</main>
<footer><p>This page needs no network. The steps: <code>odibi story {short}</code></p></footer>
</body>
</html>
"""


def _told(stories: Path, facts: Facts, run_id: str, sentence: str, began: datetime) -> Path | None:
    """A page that leads to the story of the run that is repeated, and a line in the index."""
    found = next(stories.glob(f"*/{facts.run_id}.html"), None)
    if found is None:
        return None
    at = f"{began:%Y-%m-%d %H:%M:%S} UTC"
    page = _PAGE.format(
        title=escape(facts.started.partition(" started")[0]),
        style=_STYLE.read_text("utf-8"),
        sentence=escape(sentence),
        before=facts.run_id[:8],
        link=f'Its story: <a href="{found.name}">{facts.run_id[:8]}</a>.',
        run=run_id,
        short=run_id[:8],
        at=at,
    )
    path = found.with_name(f"{run_id}.html")
    try:
        _put(path, page)
        _listed(stories, found, path, sentence, at)
    except OSError as error:
        print(f"odibi: the story could not be written: {error}", file=sys.stderr)  # noqa: T201
        return None
    return path


def _listed(stories: Path, before: Path, path: Path, sentence: str, at: str) -> None:
    """The line of the run that is repeated once more in the index, as that of this run."""
    index = stories / "index.html"
    text = index.read_text("utf-8") if index.is_file() else ""
    link = f'href="{before.parent.name}/{before.name}"'
    row = next((line for line in text.splitlines() if line.startswith("<tr>") and link in line), "")
    if not row:
        return
    said = re.search(r" in (\d+ ms)", sentence)
    fresh = row.replace(link, f'href="{path.parent.name}/{path.name}"')
    for pattern, value in (
        (r'(<td class="what">).*?(</td>)', escape(sentence)),
        (r'(<td class="nowrap">).*?(</td>)', at),
        (r'(<td class="num nowrap">).*?(</td>)', said[1] if said else ""),
    ):
        fresh = re.sub(pattern, lambda m, v=value: f"{m[1]}{v}{m[2]}", fresh, count=1)  # type: ignore[misc]
    top = text.rindex("<tbody>", 0, text.index(row)) + len("<tbody>\n")
    rows, end, rest = text[top:].partition("</tbody>")
    lines = [fresh, *rows.splitlines()][:LISTED]
    _put(index, text[:top] + "\n".join(lines) + "\n" + end + rest)


def _put(path: Path, text: str) -> None:
    """Write a file: whole, or not at all. What one that was killed has left goes with the next."""
    for left in path.parent.glob(".*.repeat"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > 60:
                left.unlink()
    aside = path.with_name(f".{path.name}.{os.getpid()}.repeat")
    aside.write_text(text, "utf-8")
    aside.replace(path)
