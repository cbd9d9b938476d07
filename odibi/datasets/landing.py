"""The answer of a server lands before it is read: as it was served, whole or not at all, told beside.

A landing is a folder: the files as they were served, and ``_metadata.json``, which nobody takes for data.
It is written aside and renamed as a whole. Equal bytes leave it as it stands.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from odibi.datasets import files
from odibi.datasets.export import publish
from odibi.datasets.fetching import BODY, Remote
from odibi.datasets.http import Fetched, fetch
from odibi.datasets.paging import slice_of
from odibi.datasets.sample import sample_text
from odibi.datasets.source import Seen, Source, look
from odibi.datasets.staging import Intents
from odibi.engines.database import Database
from odibi.errors import Permanent, SourceError, Transient

__all__ = ["METADATA", "Landed", "land", "metadata_of"]

METADATA = "_metadata.json"
SYNTHETIC = "_synthetic"
_ENDINGS = {"excel": "xlsx"}


@dataclass(frozen=True, slots=True)
class Landed:
    """A source that has landed, to be read like any other; ``synthetic`` says why its rows are made up.

    ``folder`` is where the answer stands with what is told of it.
    """

    source: Source
    seen: Seen | None
    folder: Path
    synthetic: str = ""


def land(
    db: Database,
    source: Source,
    remote: Remote,
    place: Path,
    intents: Intents,
    go_on: Callable[[], None],
    *,
    last: bool,
) -> Landed:
    """Let the answer of a server land, and look at it.

    Args:
        db: reads headers and samples.
        source: what is read, and how.
        remote: what is asked for.
        place: the folder to land in where the read names none.
        intents: notes what is written aside.
        go_on: raises where nobody waits for the answer any more.
        last: whether no further attempt follows; then made-up rows may stand in for the answer.

    Raises:
        OdibiError: what :func:`odibi.datasets.http.fetch` and :func:`odibi.datasets.sftp.fetch` raise.
    """
    folder = Path(remote.folder) if remote.folder else place
    try:
        data = _landed(folder, remote, source.format, intents, go_on)
    except Transient as error:
        if remote.sample is None or not last:
            raise
        return _stand_in(db, folder, source, remote, intents, error.message)
    url, version = str(folder), data["version"]
    if remote.records == BODY:
        _refuse_no_list(folder, remote)
    elif remote.records:
        url = _records(db, folder, remote)
    if "filename" in source.options:
        version = f"{version}@{url}"
    plain = replace(source, url=url, remote=None)
    seen = look(db, plain, remote.expected)
    return Landed(plain, seen and replace(seen, version=version), folder)


def metadata_of(folder: Path) -> dict[str, Any] | None:
    """What is told of a landing; None where none stands whole."""
    try:
        found: dict[str, Any] = json.loads((folder / METADATA).read_text("utf-8"))
        whole = all((folder / file["name"]).stat().st_size == file["size"] for file in found["files"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if whole else None


def _landed(
    folder: Path, remote: Remote, format: str, intents: Intents, go_on: Callable[[], None]
) -> Mapping[str, Any]:
    """What is told of the landing once the answer is there."""
    before = metadata_of(folder)
    _refuse_others(folder)
    aside = intents.aside(folder)
    aside.mkdir(parents=True)
    try:
        fetched = _fetched(remote, aside, format, before or {}, go_on)
        if fetched is None and before is not None:
            return before
        fetched = fetched or Fetched(())
        for path in [path for path in aside.iterdir() if path.name not in fetched.files]:
            path.unlink()
        data = _told(aside, remote, format, fetched, synthetic=False)
        if before is not None and before["version"] == data["version"]:
            return before
        go_on()
        publish(aside, folder)
        return data
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _refuse_others(folder: Path) -> None:
    """Raise Permanent where a folder that is going to be replaced holds what has not landed in it."""
    if not folder.exists():
        return
    try:
        told = json.loads((folder / METADATA).read_text("utf-8"))
        landed = {METADATA, SYNTHETIC, *(file["name"] for file in told["files"])}
    except (OSError, ValueError, LookupError, TypeError):
        landed = {SYNTHETIC}
    found = (
        [str(folder)] if not folder.is_dir() else sorted({path.name for path in folder.iterdir()} - landed)
    )
    if found:
        raise Permanent(
            f"{folder} holds {found[0]!r}, which has not landed there: a landing folder is replaced as a whole",
            hint="land in a folder of its own",
        )


def _fetched(
    remote: Remote, folder: Path, format: str, before: Mapping[str, Any], go_on: Callable[[], None]
) -> Fetched | None:
    if remote.url.lower().startswith("sftp:"):
        from odibi.datasets.sftp import fetch as fetch_files

        return Fetched(fetch_files(remote, folder, go_on))
    same = (before.get("url"), before.get("format")) == (remote.shown, remote.extension or format)
    known = before.get("validators", {}) if same else {}
    paged = remote.pagination is not None
    return fetch(remote, folder, lambda number: _name(remote, format, number if paged else 0), known, go_on)


def _name(remote: Remote, format: str, page: int) -> str:
    """The name of a page's file: as the URL has it, where that ends as the format does."""
    served = PurePosixPath(urlsplit(remote.url).path).name
    ending = remote.extension or _ENDINGS.get(format, format)
    told = served.endswith(f".{ending}") if format == "binary" else files.format_of(served) == format
    if page or not told:
        stem = f"page-{page:05d}" if page else remote.name
        return f"{stem}.{ending}"
    return served.lstrip("._")  # such names are no data


def _told(folder: Path, remote: Remote, format: str, fetched: Fetched, *, synthetic: bool) -> dict[str, Any]:
    """Write what is told of the files beside them; on disk before the folder gets its name."""
    sums: list[dict[str, Any]] = []
    for name in fetched.files:
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        sums.append({"name": name, "size": (folder / name).stat().st_size, "sha256": digest})
    text = "\n".join(f"{each['name']} {each['sha256']}" for each in sums)
    data = {
        "source": remote.name,
        "url": remote.shown,
        "downloaded_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "file_size": sum(each["size"] for each in sums),
        "format": remote.extension or format,
        "synthetic": synthetic,
        "version": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        "files": sums,
        "validators": dict(fetched.validators),
    }
    with (folder / METADATA).open("w", encoding="utf-8") as file:
        file.write(json.dumps(data, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return data


def _refuse_no_list(folder: Path, remote: Remote) -> None:
    """Raise SourceError for a body that is no list of records."""
    for found in files.find(str(folder)):
        with Path(found.path).open(encoding="utf-8-sig") as file:
            first = file.read(4096).lstrip()[:1]
        if first != "[":
            raise SourceError(
                f"{remote.shown}: Data must be a list of records", hint="read.records says where in it one is"
            )


def _records(db: Database, folder: Path, remote: Remote) -> str:
    """A folder of the run's own with the rows of each page, cut out of its body."""
    cut = db.scratch / db.new_name()
    cut.mkdir(parents=True)
    for path in files.find(str(folder)):
        body = Path(path.path).read_text("utf-8-sig")
        rows = slice_of(body, str(remote.records), remote.shown)
        (cut / Path(path.path).name).write_text(rows, encoding="utf-8")
    return str(cut)


def _stand_in(
    db: Database, folder: Path, source: Source, remote: Remote, intents: Intents, why: str
) -> Landed:
    """Made-up rows, below the landing, where they are not taken for what a server sent."""
    if remote.sample is None:
        raise ValueError("nothing may stand in")
    final = folder / SYNTHETIC
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = intents.aside(final)
    aside.mkdir(parents=True)
    try:
        name = f"{remote.name}.json"
        text = sample_text(remote.name, remote.sample.rows, remote.sample.day)
        (aside / name).write_text(text, encoding="utf-8")
        data = _told(aside, remote, "json", Fetched((name,)), synthetic=True)
        publish(aside, final)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    kept = {name: value for name, value in source.options.items() if name == "filename"}
    plain = replace(source, url=str(final), format="json", options=kept, remote=None)
    seen = look(db, plain, remote.expected)
    reason = f"{remote.sample.rows} made-up rows stand in for the source: {why}"
    return Landed(plain, seen and replace(seen, version=f"synthetic:{data['version']}"), final, reason)
