"""What the engines compute with, and in which versions: their answers may change with them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

__all__ = ["PACKAGES", "versions"]

PACKAGES = {"duckdb": ("duckdb",), "pandas": ("pandas", "pyarrow"), "spark": ("pyspark", "pyarrow")}
"""By engine."""


def versions(engines: Iterable[str]) -> dict[str, str]:
    """The versions of the engines' packages; empty text for what is not installed."""
    return {package: _version(package) for name in engines for package in PACKAGES.get(name, ())}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
