"""The checks of a step as they were found: what they ask for, and the code and files that they name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from odibi.config.checks import Check, Freshness
from odibi.operations.python import Function
from odibi.quality.rules import version_of

__all__ = ["Declared"]


@dataclass(frozen=True, slots=True)
class Declared:
    """Checks with the functions, JSON schemas and datasets they name.

    ``datasets`` are those that something is looked up in. A step without checks has none of it.
    """

    checks: tuple[Check, ...] = ()
    functions: Mapping[str, Function] = field(default_factory=dict)
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """A hash of all that the checks ask for."""
        code = [function.source for _, function in sorted(self.functions.items())]
        return version_of(self.checks, [*code, json.dumps(dict(self.schemas), sort_keys=True)])

    @property
    def quarantines(self) -> bool:
        """Whether rows may go to quarantine."""
        return any(check.on_fail == "quarantine" for check in self.checks)

    @property
    def clocked(self) -> bool:
        """Whether time alone can break a check, so that it is to be asked in every run."""
        return any(isinstance(check, Freshness) for check in self.checks)
