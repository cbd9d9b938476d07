"""What is wrong with a manifest, at one place of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


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
        return f"{self.place}: {'' if self.level == 'error' else 'note: '}{self.message}{hint}"
