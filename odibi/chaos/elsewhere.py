"""What chaos must know of where steps run that do not run here."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Elsewhere"]


class Elsewhere(Protocol):
    """The parts of one pipeline's runs that are elsewhere.

    Attributes:
        victims: kinds of them that can be killed, those first that are to be killed first.
    """

    victims: tuple[str, ...]

    def kill(self, victim: str) -> bool:
        """Kill one of a kind, at once; whether there was one."""
        ...

    def alive(self) -> list[str]:
        """What has not ended, by name."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...
