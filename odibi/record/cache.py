"""The cache: results that no table keeps, each in a folder of its own, found by the key of what they are.

``<folder>/<pipeline>/<step>/<entry>/`` holds ``entry.json`` and, where the rows stand nowhere else, Parquet
parts. An entry that cannot be read, or whose files are not as they were, is a miss.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from odibi.datasets.kept import Held, Kept, Mark, part_marked
from odibi.datasets.shelf import lay, listed, load, remove, sealed, unsealed
from odibi.datasets.staging import Intents

__all__ = ["Cache", "Entry"]

FORMAT = "odibi cache entry"
VERSION = 1
OF_A_STEP = 8
"""Results kept of a step: those of several dates and targets stand side by side."""
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Entry:
    """A result in the cache as it stands there: ``changed`` in seconds since 1970, ``kept`` None if it cannot be read."""

    step: str
    folder: str
    size: int
    changed: float
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class Cache:
    """The results of one pipeline, below ``folder``."""

    folder: Path

    @staticmethod
    def of(base: str | Path, pipeline: str) -> Cache:
        """The cache of a pipeline in the folder of all."""
        return Cache(Path(base) / pipeline)

    def entries(self) -> tuple[Entry, ...]:
        """What is there, newest first."""
        found: dict[str, list[tuple[int, float]]] = {}
        for item in listed(str(self.folder)):
            step, *entry = Path(item.path).relative_to(self.folder).parts
            if len(entry) == 2 and not entry[0].startswith("."):
                found.setdefault(f"{step}/{entry[0]}", []).append((item.size, item.changed))
        entries = [
            Entry(
                name.partition("/")[0],
                str(self.folder / name),
                sum(size for size, _ in files),
                max(changed for _, changed in files),
                _read(self.folder / name),
            )
            for name, files in found.items()
        ]
        return tuple(sorted(entries, key=lambda entry: entry.changed, reverse=True))

    def kept(self) -> dict[str, tuple[Kept, ...]]:
        """The results that can be read, by step, newest first."""
        found: dict[str, tuple[Kept, ...]] = {}
        for entry in self.entries():
            if entry.kept is not None:
                found[entry.step] = (*found.get(entry.step, ()), entry.kept)
        return found

    def save(self, kept: Kept, parts: Mapping[str, tuple[str, ...]], intents: Intents) -> Kept:
        """Keep a result with the Parquet files of some of its datasets; as it then stands here."""
        places = [spot.url for held in kept.datasets.values() for spot in held.spots]
        name = hashlib.blake2b("\n".join([kept.key, *places]).encode(), digest_size=12).hexdigest()
        folder = self.folder / kept.step / name
        kept, files = with_parts(kept, parts, str(folder))
        text = sealed(FORMAT, VERSION, kept.model_dump(mode="json"))
        lay(str(folder), files, {"entry.json": text}, intents)
        return kept

    def clear(self, step: str | None = None) -> int:
        """Remove the results of a step, or all of them; how many there were."""
        gone = [entry for entry in self.entries() if step in (None, entry.step)]
        remove(str(self.folder / step if step else self.folder))
        return len(gone)

    def prune(self, largest: float, days: int, now: Callable[[], float] = time.time) -> None:
        """Remove what is older than ``days``, what cannot be read, and the oldest beyond ``largest`` bytes."""
        total = 0
        steps: dict[str, int] = {}
        for entry in self.entries():
            total += entry.size
            steps[entry.step] = steps.get(entry.step, 0) + 1
            old = now() - entry.changed > days * DAY
            if entry.kept is None or old or total > largest or steps[entry.step] > OF_A_STEP:
                remove(entry.folder)


def with_parts(kept: Kept, parts: Mapping[str, tuple[str, ...]], folder: str) -> tuple[Kept, dict[str, str]]:
    """The result with Parquet files of its datasets in ``folder``; each name there, and what file goes there."""
    files: dict[str, str] = {}
    datasets: dict[str, Held] = {}
    for name, held in kept.datasets.items():
        marks: list[Mark] = []
        for number, source in enumerate(parts.get(name, ())):
            at = f"{name}-{number}.parquet"
            files[at] = source
            marks.append(part_marked(source, f"{folder}/{at}"))
        datasets[name] = held.model_copy(update={"parts": tuple(marks)}) if name in parts else held
    return kept.model_copy(update={"datasets": datasets}), files


def _read(folder: Path) -> Kept | None:
    text = load(str(folder / "entry.json"))
    data = unsealed(FORMAT, VERSION, text) if text is not None else None
    try:
        return Kept.model_validate(data) if data is not None else None
    except ValidationError:  # of another version of odibi
        return None
