"""What a test of a step says: the rows it is given, and those that its table must hold afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date as day
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from odibi.config.base import Frozen

__all__ = ["ONLY", "Rows", "StepTest"]

ONLY = ""
"""How the one output of a step is called in ``expect`` where its rows are given at once."""


def _a_date(text: str) -> str:
    try:
        return day.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date, such as 2026-01-02") from error


def _an_instant(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date and time, such as 2026-01-02 08:30") from error
    return text


def _rows(given: Any) -> Any:
    if isinstance(given, str):
        return given
    if not isinstance(given, list | tuple) or not all(isinstance(row, Mapping) for row in given):
        raise ValueError("expected rows, such as [{order_id: 1, price: 5}], or the file that has them")
    return tuple({str(name): value for name, value in row.items()} for row in given)


_FORM = {"anyOf": [{"type": "array", "items": {"type": "object"}}, {"type": "string"}]}

Rows = Annotated[Any, AfterValidator(_rows), WithJsonSchema(_FORM)]
"""Rows as they stand in the config, or the ``.csv``, ``.json`` or ``.ndjson`` file that has them."""

_EXPECTED = {
    "anyOf": [*_FORM["anyOf"], {"type": "object", "additionalProperties": _FORM}, {"type": "null"}],
}


def _by_dataset(given: Any) -> Any:
    return given if given is None or isinstance(given, Mapping) else {ONLY: given}


class StepTest(Frozen):
    """One test of a step.

    ``given`` has the rows of each input, and of each output those its table holds before; ``expect`` those that
    the table of each output holds afterwards, by dataset, or at once where the step makes one. Columns that a row
    leaves out are NULL. Columns that no expected row names are not compared, unless ``partial`` is false.
    ``date`` is the logical date; the clock stands at its beginning, or at ``now``.
    """

    name: str = Field(min_length=1)
    description: str = ""
    date: Annotated[str, AfterValidator(_a_date)] | None = None
    now: Annotated[str, AfterValidator(_an_instant)] | None = None
    given: dict[str, Rows] = {}
    types: dict[str, dict[str, str]] = {}
    expect: Annotated[dict[str, Rows] | None, BeforeValidator(_by_dataset), WithJsonSchema(_EXPECTED)] = None
    expect_quarantine: Rows | None = None
    expect_error: str | None = Field(default=None, min_length=1)
    ordered: bool = False
    partial: bool = True

    @model_validator(mode="after")
    def _expects_something(self) -> StepTest:
        if self.expect is None and self.expect_quarantine is None and self.expect_error is None:
            raise ValueError("it expects nothing: give expect, expect_quarantine or expect_error")
        if self.expect_error is not None and (self.expect is not None or self.expect_quarantine is not None):
            raise ValueError("a step that fails publishes nothing: give expect_error alone, or expect")
        return self
