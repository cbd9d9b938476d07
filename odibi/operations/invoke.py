"""User functions called in the run: loaded as their source says now, given rows, their rows taken back."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.errors import Permanent
from odibi.operations.python import CONTEXT, Context, Function

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.engines.base import Engine, Frame
    from odibi.relational.schema import Schema

__all__ = ["call"]

_IMPORTING = threading.Lock()
_imported: dict[str, tuple[str, str]] = {}
"""Project modules this process has imported for a step: their files, and what these said then."""
_roots: set[str] = set()
"""Folders of projects that were put on Python's path."""


def call(
    engine: Engine,
    function: Function,
    tables: Mapping[str, Frame],
    params: Mapping[str, Any],
    context: Context,
) -> tuple[pa.RecordBatchReader | tuple[Frame, Schema], tuple[str, ...]]:
    """Call the function; the rows it returned, and what the story should warn about.

    The rows are batches, or a frame with its columns where it returned the engine's own table.

    Raises:
        Permanent: it returned something that is no table.
        Exception: whatever the function raises.
    """
    target = _load(function)
    given = [_received(engine, tables[name], wants) for name, wants in function.inputs.items()]
    keywords = deepcopy(dict(params))
    if function.context:
        keywords[CONTEXT] = context
    result = target(*given, **keywords)
    if (wrapped := engine.wrap(result)) is not None:
        _refuse_twins([column.name for column in wrapped[1]], function)
        return wrapped, ()
    batches, warnings = _batches(result, function)
    _refuse_twins(batches.schema.names, function)
    return batches, warnings


def _load(function: Function) -> Callable[..., Any]:
    """The function as its files are now: a long-lived process may have imported them before they changed.

    Modules that somebody else has imported under these names are imported again, for the same reason.
    """
    with _IMPORTING:
        _stand_in(function.root, function.module.partition(".")[0])
        present = function.modules.keys() & sys.modules.keys()
        if any(_imported.get(name) != function.modules[name] for name in present):
            for name in present:
                del sys.modules[name]
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
            del sys.modules[name]


def _received(engine: Engine, frame: Frame, wants: str) -> Any:
    if wants == "native":
        return engine.native(frame)
    batches = engine.to_arrow(frame)
    if wants == "batches":
        return batches
    table = batches.read_all()
    if wants == "arrow":
        return table
    import pandas as pd

    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _batches(result: Any, function: Function) -> tuple[pa.RecordBatchReader, tuple[str, ...]]:
    import pyarrow as pa

    if isinstance(result, pa.RecordBatchReader):
        return result, ()
    if isinstance(result, list) and result and all(isinstance(row, Mapping) for row in result):
        result = pa.Table.from_pylist(result)
    if isinstance(result, pa.Table):
        return result.to_reader(), ()
    kind = type(result)
    if kind.__module__.split(".")[0] == "pandas" and kind.__name__ == "DataFrame":
        return _from_pandas(result, function)
    if hasattr(result, "to_arrow_reader"):
        return result.to_arrow_reader(), ()
    if hasattr(result, "__arrow_c_stream__") and kind.__name__ not in ("Series", "ChunkedArray"):
        return pa.RecordBatchReader.from_stream(result), ()
    raise _refused(
        function,
        f"returned {kind.__name__}",
        "return a pandas DataFrame, a pyarrow Table or batches, or the engine's own table",
    )


def _from_pandas(result: Any, function: Function) -> tuple[pa.RecordBatchReader, tuple[str, ...]]:
    import pyarrow as pa

    names = [str(name) for name in result.columns]
    _refuse_twins(names, function)
    index = [str(name) for name in result.index.names if name is not None]
    if index or result.index.nlevels > 1:
        raise _refused(
            function,
            f"returned a DataFrame with the index {', '.join(index) or 'of several levels'}, and a table has none",
            "end with reset_index() to keep it, or reset_index(drop=True)",
        )
    numpy = [
        name
        for name, dtype in zip(names, result.dtypes, strict=True)
        if getattr(dtype, "kind", "") == "f" and "pyarrow" not in str(dtype)
    ]
    result = result.set_axis(names, axis="columns")
    try:
        table = pa.Table.from_pandas(result, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise _refused(
            function, f"returned values that are no column: {error}", "give the column one type"
        ) from error
    warning = f"NumPy columns were converted, NaN became NULL: {', '.join(numpy[:8])}"
    return table.to_reader(), (warning,) if numpy else ()


def _refuse_twins(names: list[str], function: Function) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise _refused(
                function, f"returned two columns called {name!r}", "upper and lower case are the same"
            )
        seen.add(name.lower())


def _refused(function: Function, what: str, hint: str) -> Permanent:
    return Permanent(f"{function.name}() {what}", where=f"{function.file}:{function.line}", hint=hint)
