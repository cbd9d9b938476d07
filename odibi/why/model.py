"""What is told of rows: frozen values, from the rows asked about down to the files they came from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Lost", "Made", "Place", "Rows"]


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and the rows in it: line numbers of text files, else numbers from 1."""

    file: str
    numbers: tuple[int, ...]
    lines: bool = False
    count: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a dataset.

    Attributes:
        name: of the dataset, or of the source.
        version: of its Delta table, None where it has none.
        count: how many rows they are.
        shown: some of them as text, NULL as None, sensitive values as asterisks.
        places: where they stand.
        made: what made them; of rows that several commits wrote, one for each.
        remarks: why nothing more is told, where that is so.
    """

    name: str
    layer: str
    url: str
    version: int | None
    count: int
    columns: tuple[str, ...]
    shown: tuple[tuple[str | None, ...], ...]
    places: tuple[Place, ...] = ()
    made: tuple[Made, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """How a step made some rows: in which run and for which date, of which rows, compared with which."""

    step: str
    operation: str
    count: int
    version: int | None = None
    run: str = ""
    date: str = ""
    inputs: tuple[Rows, ...] = ()
    compared: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """What became of a row that is not there, seen from one step.

    Attributes:
        verdict: what happened, in a sentence.
        shown: rows that show it: those that were dropped, or are in quarantine, or were kept instead.
        before: what became of it in the inputs; of a deduplicated row the one that was kept.
    """

    step: str
    dataset: str
    verdict: str
    columns: tuple[str, ...] = ()
    shown: tuple[tuple[str | None, ...], ...] = ()
    before: tuple[Lost, ...] = ()
