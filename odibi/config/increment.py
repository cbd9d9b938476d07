"""How a step says that it reads only what is new: of tables, of sources by a column, of folders by file."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints, model_validator

from odibi.config.base import Frozen

__all__ = ["Late", "NewRows", "Watermark"]

Late = Annotated[str, StringConstraints(pattern=r"^[1-9]\d* (minute|hour|day|week)s?$")]
"""How late a row may come, such as ``2 days``."""


class Watermark(Frozen):
    """A column that grows: rows from the largest value read before are new. ``lookback`` is how late they may come."""

    column: str
    lookback: Late | None = None


class NewRows(Frozen):
    """``rows: new`` of an input: what its table was given since the step last read it.

    With ``watermark`` new is what that column says, and ``late`` how late a row may come.
    """

    watermark: str | None = None
    late: Late | None = None

    @model_validator(mode="after")
    def _late_by_what(self) -> NewRows:
        if self.late is not None and self.watermark is None:
            raise ValueError("late needs watermark: the column that says when a row is of")
        return self

    @property
    def by_column(self) -> Watermark | None:
        """The watermark, None where the table's versions tell what is new."""
        return None if self.watermark is None else Watermark(column=self.watermark, lookback=self.late)
