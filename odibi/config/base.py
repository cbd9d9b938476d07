"""The base of every frozen model: no unknown keys, no mutation."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict

__all__ = ["Frozen", "Name", "Names", "texts_of"]


class Frozen(BaseModel):
    """Immutable, strict about unknown keys, comparable by value."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


_NAME = object()
Name = Annotated[str, _NAME]
"""A name that a config spells out, a word of odibi's, or a hash: what looks into texts for secrets leaves it alone."""
Names = Annotated[tuple[str, ...], _NAME]
"""Several of them."""


@cache
def texts_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a model that may hold any text: those that are no ``Name``."""
    return tuple(name for name, field in model.model_fields.items() if _NAME not in field.metadata)
