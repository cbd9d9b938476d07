"""Which pipeline a command is about, and with which date, target and parameters."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.cli.exits import UsageError
from odibi.cli.runs import store_of
from odibi.config.load import load
from odibi.config.loaded import SUFFIXES

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["find_config", "load_config", "of_last_run", "parameters"]


def find_config(given: str | None) -> str:
    """The config that was given, else the only one in ``configs/``.

    Raises:
        UsageError: there is none, or more than one.
    """
    if given:
        return given
    folder = Path("configs")
    found = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and path.is_file())
    if len(found) == 1:
        return found[0].as_posix()
    names = ", ".join(path.as_posix() for path in found[:8])
    if found:
        raise UsageError("there are several configs", hint=f"name one of {names}")
    raise UsageError(
        "no config was given and there is none in configs/", hint="odibi init makes a project that runs"
    )


def of_last_run(config: str | None, target: str | None) -> tuple[str | None, str | None]:
    """Config and target, where no config is given those of the last run, if there is one."""
    if config is None:
        with store_of() as store:
            runs = store.runs(limit=1) if store is not None else ()
        if runs and Path(runs[0].config).is_file():
            return runs[0].config, target or os.environ.get("ODIBI_TARGET") or runs[0].target
    return config, target


def load_config(
    config: str | None, *, target: str | None = None, date: str | None = None, param: Iterable[str] | None = None,
    engine: str | None = None,
) -> Loaded:  # fmt: skip
    """The pipeline that the command line means. Raises ConfigError and UsageError."""
    return load(find_config(config), date=date, target=target, params=parameters(param), engine=engine)


def parameters(given: Iterable[str] | None) -> Mapping[str, Any]:
    """``["a=1", "b=x"]`` as a mapping; values stay text. Raises UsageError."""
    found: dict[str, str] = {}
    for item in given or ():
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {item!r} is not KEY=VALUE")
        if name in found:
            raise UsageError(f"--param {name} is given twice")
        found[name] = value
    return found
