"""Where a dataset or column comes from and where it goes, over the runs of several pipelines.

Datasets are told by their URI, so a table that one pipeline writes and another reads is one; what is handed over
and kept nowhere is told by its pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain, islice
from typing import Any

from odibi.errors import NotFound, nearest
from odibi.record.lineage import split
from odibi.record.model import ColumnLineage, DatasetRecord, RunRecord, StepRecord, StepStatus

__all__ = ["Branch", "Graph", "Place", "makers"]

MOST = 50
"""Runs of a pipeline that are looked through for those that made its datasets."""


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset, or a column of it: ``key`` is its URI, or ``pipeline.dataset`` where it is kept nowhere."""

    key: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class Branch:
    """A place in a tree: how the one above depends on it, and what lies behind it.

    Of a column the branches are those that give its value. What only decides which rows there are, or which value
    is taken, is in ``deciding``; downwards those are the datasets for which the column only decides. ``shown``
    says that the branches behind it are elsewhere in the tree already.
    """

    place: Place
    name: str
    made: StepRecord | None = None
    run: RunRecord | None = None
    version: str = ""
    kinds: tuple[str, ...] = ()
    branches: tuple[Branch, ...] = ()
    deciding: tuple[tuple[str, tuple[str, ...]], ...] = ()
    shown: bool = False

    def as_data(self) -> dict[str, Any]:
        """The tree as JSON data."""
        return {
            "dataset": self.name,
            "column": self.place.column or None,
            "uri": self.place.key if "://" in self.place.key else None,
            "version": self.version,
            "step": self.made.name if self.made is not None else None,
            "pipeline": self.run.pipeline if self.run is not None else None,
            "run_id": self.run.run_id if self.run is not None else None,
            "status": self.made.status.value if self.made is not None else None,
            "reason": self.made.reason if self.made is not None else None,
            "synthetic": self.made is not None and self.made.synthetic,
            "kinds": list(self.kinds),
            "deciding": [{"name": name, "kinds": list(kinds)} for name, kinds in self.deciding],
            "branches": [branch.as_data() for branch in self.branches],
        }


@dataclass(frozen=True, slots=True)
class _Made:
    run: RunRecord
    step: StepRecord
    dataset: DatasetRecord
    lineage: dict[str, ColumnLineage]
    reads: dict[str, DatasetRecord] = field(default_factory=dict)


_Edges = tuple[dict[Place, tuple[str, ...]], dict[str, tuple[str, ...]]]


def makers(run: RunRecord, earlier: Iterable[RunRecord]) -> Iterator[RunRecord]:
    """The run, and of those before it, the latest first, the ones that made what it names and did not make.

    A run that was killed names nothing: then it is the one before it that tells which datasets there are.
    """
    left: set[str] | None = None
    for each in chain([run], islice(earlier, MOST)):
        made = {_key(each, dataset) for step in each.steps for dataset in step.makes if _made(step, dataset)}
        if left is None:
            left = {_key(each, dataset) for step in each.steps for dataset in step.makes} or None
            if left is None:
                continue
            yield each
        elif left & made:
            yield each
        left -= made
        if not left:
            return


def _made(step: StepRecord, dataset: DatasetRecord) -> bool:
    """Whether the dataset is there after the step: made, reused, or left alone because it stands or nobody needs it."""
    if step.status is StepStatus.SKIPPED:
        return step.decision == "skip" and bool(dataset.version or not dataset.uri)
    return step.status in (StepStatus.COMPLETED, StepStatus.REUSED)


class Graph:
    """The datasets of runs; of two runs that made the same one, the first in ``runs`` did.

    What a pipeline makes is what the first of its runs says. What no run has made is shown with the step that was
    to make it.
    """

    def __init__(self, runs: Iterable[RunRecord]) -> None:
        self._makers: dict[str, _Made] = {}
        self._readers: dict[str, list[_Made]] = {}
        self._names: dict[str, str] = {}
        self._layers: dict[str, str] = {}
        wanted: dict[str, set[str]] = {}
        told = tuple(runs)
        for run in told:
            keys = {_key(run, made) for step in run.steps for made in step.makes}
            if keys:
                wanted.setdefault(run.pipeline, keys)
        for standing in (True, False):
            for run in told:
                for step in run.steps:
                    self._add(run, step, wanted.get(run.pipeline, set()), standing=standing)

    def _add(self, run: RunRecord, step: StepRecord, wanted: set[str], *, standing: bool) -> None:
        reads = {read.name: read for read in step.reads}
        for place, made in enumerate(step.makes):
            lines = step.lineage if made.name == step.makes[0].name else made.lineage
            found = _Made(run, step, made, {line.column: line for line in lines}, reads)
            key = _key(run, made)
            if key not in wanted or _made(step, made) is not standing:
                continue
            if self._makers.setdefault(key, found) is not found:
                continue  # another run made it later
            self._names[key] = f"{run.pipeline}.{made.name}"
            self._layers[key] = f"{step.layer}/{made.name}"
            for read in step.reads if place == 0 or made.name != step.makes[0].name else ():
                self._readers.setdefault(_key(run, read), []).append(found)
                self._names.setdefault(_key(run, read), read.name)

    def find(self, name: str) -> Place:
        """The dataset or column that is meant: ``orders``, ``daily.orders``, ``silver/orders``, a URI, or ``orders.id``.

        Raises:
            NotFound: there is none, or the name is that of several.
        """
        if (found := self._dataset(name)) is not None:
            return Place(found)
        unknown: Place | None = None
        wrong: NotFound | None = None
        for at in (at for at in reversed(range(1, len(name))) if name[at] == "."):  # both may have dots
            above, column = name[:at], name[at + 1 :]
            if (found := self._dataset(above)) is None:
                continue
            columns = {each.lower(): each for each in self._columns(found)}
            if column.lower() in columns:
                return Place(found, columns[column.lower()])
            if found not in self._makers and not columns:
                unknown = unknown or Place(found, column)
            hint = nearest(column, columns.values())
            wrong = wrong or NotFound(f"{above} has no column {column!r}", hint=hint)
        if unknown is not None:
            return unknown
        if wrong is not None:
            raise wrong
        known = sorted({made.dataset.name for made in self._makers.values()})
        raise NotFound(f"no run knows a dataset {name!r}", hint=nearest(name, known))

    def _dataset(self, name: str) -> str | None:
        wanted = name.rstrip("/").lower()
        found = [
            key
            for key, known in self._names.items()
            if wanted in (key.lower(), known.lower(), known.partition(".")[2].lower())
            or wanted == self._layers.get(key, "").lower()
            or ("/" in wanted and key.lower().endswith("/" + wanted.lstrip("./")))
        ]
        made = [key for key in found if key in self._makers] or found
        first = {self._names[key] for key in made}
        if len(first) > 1:
            raise NotFound(f"{name!r} may be any of {', '.join(sorted(first))}", hint="write one of these")
        return made[0] if made else None

    def _columns(self, key: str) -> list[str]:
        maker = self._makers.get(key)
        if maker is not None:
            return list(maker.lineage) or [column.name for column in maker.step.columns]
        read = (made.reads[name] for made in self._readers.get(key, ()) for name in made.reads
                if _key(made.run, made.reads[name]) == key)  # fmt: skip
        return [column.name for column in next(read, DatasetRecord(name="")).columns]

    def tree(self, place: Place, *, up: bool) -> Branch:
        """What the place is made of, or with ``up`` false what is made of it."""
        return self._branch(place, up, (), set())

    def _branch(self, place: Place, up: bool, kinds: tuple[str, ...], seen: set[Place]) -> Branch:
        maker = self._maker(place.key)
        found, deciding = self._sources(place, maker) if up else self._uses(place)
        shown = place in seen and bool(found or deciding)
        if not shown:
            seen.add(place)
        return Branch(
            place,
            self._names.get(place.key, place.key),
            maker.step if maker is not None else None,
            maker.run if maker is not None else None,
            maker.dataset.version if maker is not None else self._version(place.key),
            kinds,
            () if shown else tuple(self._branch(each, up, how, seen) for each, how in found.items()),
            () if shown else tuple(sorted(deciding.items())),
            shown,
        )

    def _maker(self, key: str) -> _Made | None:
        """What made a dataset; of files that are read by a pattern, what made one of them."""
        if key in self._makers or not any(sign in key for sign in "*?["):
            return self._makers.get(key)
        return next((made for uri, made in self._makers.items() if fnmatchcase(uri, key)), None)

    def _version(self, key: str) -> str:
        reads = (read for made in self._readers.get(key, ()) for read in made.reads.values())
        return next((read.version for read in reads if read.uri == key), "")

    def _sources(self, place: Place, maker: _Made | None) -> _Edges:
        """What the place is made of, and the names of what decides beside."""
        found: dict[Place, tuple[str, ...]] = {}
        deciding: dict[str, tuple[str, ...]] = {}
        if maker is None:
            return found, deciding
        if not place.column:
            return {Place(_key(maker.run, read)): () for read in maker.reads.values()}, deciding
        line = maker.lineage.get(place.column) or maker.lineage.get("*") or ColumnLineage(column=place.column)
        for reference, kinds in line.kinds.items():
            dataset, column = split(reference, maker.reads)
            if dataset not in maker.reads:
                continue
            key = _key(maker.run, maker.reads[dataset])
            if reference in line.direct:
                found[Place(key, "" if column == "*" else column)] = kinds
            else:
                deciding[f"{self._names.get(key, key)}.{column}"] = kinds
        return found, deciding

    def _uses(self, place: Place) -> _Edges:
        """What is made of the place, and the names of the datasets for which it only decides."""
        found: dict[Place, tuple[str, ...]] = {}
        deciding: dict[str, tuple[str, ...]] = {}
        for made in self._reading(place.key):
            key = _key(made.run, made.dataset)
            if not place.column:
                found.setdefault(Place(key), ())
                continue
            names = [n for n, read in made.reads.items() if self._is(place.key, _key(made.run, read))]
            wanted = [f"{name}.{column}" for name in names for column in (place.column, "*")]
            only: set[str] = set()
            for line in made.lineage.values():
                kinds = {kind for name in wanted for kind in line.kinds.get(name, ())}
                if not set(wanted).isdisjoint(line.direct):
                    found.setdefault(Place(key, line.column), tuple(sorted(kinds)))
                only |= kinds
            if only and not any(each.key == key for each in found):
                deciding[self._names[key]] = tuple(sorted(only))
        return found, deciding

    def _reading(self, key: str) -> Iterator[_Made]:
        for read, readers in self._readers.items():
            if self._is(key, read):
                yield from readers

    @staticmethod
    def _is(key: str, read: str) -> bool:
        return key == read or (any(sign in read for sign in "*?[") and fnmatchcase(key, read))


def _key(run: RunRecord, dataset: DatasetRecord) -> str:
    return dataset.uri or f"{run.pipeline}.{dataset.name}"
