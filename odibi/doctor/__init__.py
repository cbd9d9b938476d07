"""Is this machine fit to run odibi, and is this pipeline fit for production: what ``odibi doctor`` asks.

``checklist`` holds the questions about a pipeline as data; each is answered by a pure function of a
:class:`~odibi.doctor.model.Case`. ``machine`` and ``places`` look at the world, and ``examine`` gathers.
"""

from __future__ import annotations

from odibi.doctor.checklist import CHECKLIST, examined
from odibi.doctor.examine import case_of, examine
from odibi.doctor.model import Case, Finding, Item, Level

__all__ = ["CHECKLIST", "Case", "Finding", "Item", "Level", "case_of", "examine", "examined"]
