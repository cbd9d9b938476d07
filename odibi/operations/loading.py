"""User functions loaded as their source says now: a long-lived process may have imported them before."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from odibi.errors import Permanent
from odibi.operations.python import Function

__all__ = ["load"]

_IMPORTING = threading.Lock()
_imported: dict[str, tuple[str, str]] = {}
"""Project modules this process has imported for a step: their files, and what these said then."""
_roots: set[str] = set()
"""Folders of projects that were put on Python's path."""


def load(function: Function) -> Callable[..., Any]:
    """The function as its files are now.

    Modules that somebody else has imported under these names are imported again, for the same reason.

    Raises:
        Permanent: Python finds another module of that name.
        Exception: whatever the module raises when it is imported.
    """
    with _IMPORTING:
        _stand_in(function.root, function.module.partition(".")[0])
        present = function.modules.keys() & sys.modules.keys()
        if any(_imported.get(name) != function.modules[name] for name in present):
            for name in present:
                _forget(name)
        if function.module not in sys.modules:
            importlib.invalidate_caches()  # a file may be younger than what Python knows of its folder
        module = importlib.import_module(function.module)
        if module.__file__ != function.file:
            raise Permanent(
                f"Python imports {function.module} from {module.__file__}, not from {function.file}",
                hint="rename one of the two folders, or take the other one off PYTHONPATH",
            )
        _imported.update(function.modules)
    found: Callable[..., Any] = getattr(module, function.name)
    return found


def _stand_in(root: str, package: str) -> None:
    """Make ``package`` the one below ``root``, not one of that name in another project."""
    for other in _roots - {root}:
        if any((Path(other) / name).exists() for name in (package, f"{package}.py")):
            sys.path.remove(other)
            _roots.discard(other)
    if root in _roots and sys.path[:1] != [root]:
        sys.path.remove(root)
    if root not in sys.path:
        sys.path.insert(0, root)
        _roots.add(root)
    file = getattr(sys.modules.get(package), "__file__", None)
    if file is not None and not Path(file).is_relative_to(root):
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            _forget(name)


def _forget(name: str) -> None:
    """Let the next import load the module from its source, ``from package import module`` too."""
    file = getattr(sys.modules.pop(name), "__file__", None)
    if file is not None and file.endswith(".py"):
        # Bytecode is taken for current if the source has its size and its second of writing.
        with contextlib.suppress(OSError):
            Path(importlib.util.cache_from_source(file)).unlink()
    package, _, module = name.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).pop(module, None)
