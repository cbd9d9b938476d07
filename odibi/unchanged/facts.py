"""What a plan depends on, as it stood when nothing was left to do, and whether it still stands so.

A file is known by its size and times, a folder of files by their names, a Delta table by the newest
entry of its log (as ``git status`` knows files: https://git-scm.com/docs/racy-git). Whatever is not
certainly the same counts as changed; then the pipeline is planned as ever.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

__all__ = ["FORMAT", "Facts", "Request", "files_at", "hashed", "hidden", "newest_log", "older", "stamp"]

FORMAT = 1

Stamp = list[int]
"""Size, time of change and time of creation or renaming of a file, in nanoseconds; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of which version of odibi, as far as a plan depends on it, and when (nanoseconds)."""

    odibi: str
    config: str
    target: str | None = None
    date: str | None = None
    params: tuple[str, ...] = ()
    engine: str | None = None
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    began: int = field(default_factory=time.time_ns)

    def file(self, folder: Path) -> Path:
        """Where the facts of this request are kept below ``folder``."""
        target = self.target or os.environ.get("ODIBI_TARGET") or "dev"
        python = platform.python_version()
        own = {"config": str(Path(self.config).absolute()), "target": target, "began": 0}
        said = {**asdict(self), **own}
        text = json.dumps([said, python, str(Path.cwd())], sort_keys=True)
        return folder / f"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}.json"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a plan depended on, and the run that had done it.

    Attributes:
        run_id: the run after which nothing was left to do.
        lock: the name of the pipeline's lock.
        started: the first line that the run prints, with ``{run}`` for the id.
        sentence: the last one, with ``{time}``.
        steps: decision, status and reason of each step that was asked for.
        day: the zone and its date where the logical date follows from the clock.
        files: what files looked like.
        absent: files that would be taken before others, were they there.
        folders: names of the files at a folder or glob.
        tables: the newest log entry of each Delta table.
        environ: a hash of each environment variable that the config names.
    """

    run_id: str
    lock: str
    started: str
    sentence: str
    steps: dict[str, list[str]]
    day: list[str]
    files: dict[str, Stamp]
    absent: list[str]
    folders: dict[str, list[str]]
    tables: dict[str, list[object]]
    environ: dict[str, str | None]
    format: int = FORMAT

    @staticmethod
    def read(path: Path) -> Facts | None:
        """The facts that were kept there; None where there are none that this version can use."""
        with suppress(OSError, ValueError, TypeError):
            data = json.loads(path.read_text("utf-8"))
            if data["format"] == FORMAT:
                return Facts(**data)
        return None

    def as_json(self) -> bytes:
        """What :meth:`read` reads."""
        return json.dumps(asdict(self)).encode()

    def hold(self, environ: Mapping[str, str] = os.environ) -> bool:
        """Whether all of it still is as it was."""
        if self.day and datetime.now(ZoneInfo(self.day[0])).date().isoformat() != self.day[1]:
            return False
        return (
            all(hashed(environ.get(name)) == value for name, value in self.environ.items())
            and all(stamp(path) == found for path, found in self.files.items())
            and not any(os.path.lexists(path) for path in self.absent)
            and all(files_at(url) == names for url, names in self.folders.items())
            and all(newest_log(url) == found for url, found in self.tables.items())
        )


def stamp(path: str) -> Stamp:
    """What the file looks like from outside."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a thousand of them: making Paths takes longer than looking
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def newest_log(url: str) -> list[object]:
    """Name and stamp of the newest entry of a Delta table's log; empty where no table is."""
    try:
        with os.scandir(f"{url}/_delta_log") as entries:
            names = [e.name for e in entries if e.name.endswith(".json") and e.name[:20].isdigit()]
    except OSError:
        return []
    newest = max(names, default="")
    return [newest, *stamp(f"{url}/_delta_log/{newest}")] if newest else []


def files_at(url: str) -> list[str]:
    """The files at a path, a glob or below a folder, hidden ones left out, sorted."""
    path = Path(url)
    if path.is_dir():
        return sorted(str(each) for each in path.rglob("*") if each.is_file() and not hidden(each, path))
    if glob.has_magic(url) and not path.exists():
        return sorted(each for each in glob.glob(url, recursive=True) if Path(each).is_file())
    return [url] if path.is_file() else []


def hidden(path: Path, base: Path) -> bool:
    """Whether the path, or a folder between it and ``base``, begins with a dot or an underscore."""
    return any(part.startswith((".", "_")) and "=" not in part for part in path.relative_to(base).parts)


def hashed(value: str | None) -> str | None:
    """A hash that tells no secret and whether the value is another; None of None."""
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()


def older(stamps: Iterable[Sequence[object]], moment: int) -> bool:
    """Whether every file was last touched before ``moment`` (nanoseconds): later ones may change unseen."""
    return all(isinstance(t, int) and t < moment for found in stamps for t in found[-2:])
