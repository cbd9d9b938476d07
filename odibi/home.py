"""Where odibi keeps what it writes for itself: ``.odibi`` here, or ``ODIBI_HOME``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Home", "command", "typed"]


@dataclass(frozen=True, slots=True)
class Home:
    """The folders and the run store of a project."""

    path: Path
    state: str

    @staticmethod
    def find(environ: Mapping[str, str] = os.environ) -> Home:
        """The home that the environment names; the run store may be elsewhere by ``ODIBI_STATE``."""
        path = Path(environ.get("ODIBI_HOME") or ".odibi")
        return Home(path, environ.get("ODIBI_STATE") or f"sqlite:///{path / 'state.db'}")

    @property
    def has_state(self) -> bool:
        """Whether there may be a run store: one in a file may not be there yet."""
        scheme, _, path = self.state.partition(":///")
        return scheme != "sqlite" or Path(path).exists()

    @property
    def stories(self) -> Path:
        """Where stories are written."""
        return self.path / "stories"

    @property
    def certificates(self) -> Path:
        """Where it stands what was proved of which pipeline."""
        return self.path / "certificates"

    @property
    def unchanged(self) -> Path:
        """Where it stands what a run depended on that left nothing to do."""
        return self.path / "unchanged"

    @property
    def intents(self) -> Path:
        """Where living runs note what they stage."""
        return self.path / "intents"

    @property
    def landing(self) -> Path:
        """Where the answers of servers land that name no other place."""
        return self.path / "landing"

    @property
    def cache(self) -> Path:
        """Where results are kept that no table keeps."""
        return self.path / "cache"

    @property
    def checkpoints(self) -> Path:
        """Where a project's checkpoints are: in ``checkpoints`` here, or in the home if that is elsewhere."""
        return Path("checkpoints") if self.path == Path(".odibi") else self.path / "checkpoints"

    def scratch(self, run_id: str) -> Path:
        """A run's folder for what spills; the run removes it."""
        return self.path / "tmp" / run_id


def command() -> str:
    """The command line that this process was started with, as a person would type it again."""
    name = Path(sys.argv[0]).name
    return shlex.join(["odibi" if name in ("odibi", "__main__.py") else name, *sys.argv[1:]])


def typed(place: str) -> str:
    """A path, or a place such as ``path:line``, as a person would type it from the current folder."""
    return place.removeprefix(f"{Path.cwd()}{os.sep}")
