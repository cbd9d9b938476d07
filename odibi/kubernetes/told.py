"""What is wrong with a manifest, at one place of it; and its parts as they should be, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Finding", "listed", "mapping"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: at ``place`` (a JSON path), ``message`` says what, ``hint`` what to do.

    A ``note`` is nothing wrong: something could not be judged.
    """

    place: str
    message: str
    hint: str = ""
    level: Literal["error", "note"] = "error"

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        place = f"{self.place}: " if self.place else ""
        return f"{place}{'' if self.level == 'error' else 'note: '}{self.message}{hint}"


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one: that it should be one is the schema's to say."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The mappings in a list, with their positions."""
    if isinstance(value, list | tuple):
        yield from ((number, each) for number, each in enumerate(value) if isinstance(each, Mapping))
