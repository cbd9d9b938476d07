"""The base of every frozen model: no unknown keys, no mutation."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Frozen"]


class Frozen(BaseModel):
    """Immutable, strict about unknown keys, comparable by value."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
