"""A run that has nothing to do: told from what the last one saw, without planning it again.

Imports nothing but the standard library, because importing what plans costs more than looking.
"""

from __future__ import annotations

from odibi.unchanged.facts import Facts, Request, stamp
from odibi.unchanged.repeat import Repeated, repeat

__all__ = ["Facts", "Repeated", "Request", "repeat", "stamp"]
