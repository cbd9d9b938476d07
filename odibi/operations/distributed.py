"""Functions that are called where the rows are: on Spark's workers, for batches or groups.

Only what Spark Connect knows too is used. A worker needs odibi and its libraries; the project's own
modules are sent along as they stand here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.abc import SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from odibi.operations.answer import Call
from odibi.operations.fitting import Fitting
from odibi.operations.parts import one_part
from odibi.relational.storage import to_delta

if TYPE_CHECKING:
    import pyarrow as pa

    from odibi.engines.base import Engine, Frame
    from odibi.relational.schema import Schema

__all__ = ["distributed", "on_worker"]


def distributed(engine: Engine, call: Call, frame: Frame) -> tuple[Frame, Schema]:
    """The frame that calling the function on Spark's workers gives, and its columns; nothing is computed yet."""
    from pyspark.sql.types import StructType

    function = call.function
    schema = function.schema or ()
    declared = StructType.fromJson(json.loads(to_delta(schema)))
    files = {name: (file, Path(file).read_bytes()) for name, (file, _) in function.modules.items()}
    sent = pickle.dumps((call, files))
    table = engine.native(frame)
    if function.per == "batch":
        result = table.mapInArrow(_for_batches(sent, sys.path), declared)
    else:
        keys = [table["`" + key.replace("`", "``") + "`"] for key in function.per or ()]
        result = table.groupBy(*keys).applyInArrow(_for_group(sent, sys.path), declared)
    wrapped = engine.wrap(result)
    if wrapped is None:
        raise TypeError(f"{engine.name} does not take its own tables back")
    return wrapped


# Functions inside functions are sent by value: they find odibi on a worker that was started without its folder.


def _for_batches(sent: bytes, path: Sequence[str]) -> Callable[..., Any]:
    places = tuple(path)

    def each(batches):  # type: ignore[no-untyped-def]
        import sys

        sys.path += [place for place in places if place not in sys.path]
        import pyarrow as pa

        from odibi.operations.distributed import on_worker

        for batch in batches:
            if batch.num_rows:
                yield from on_worker(sent, pa.Table.from_batches([batch])).to_batches()

    return each


def _for_group(sent: bytes, path: Sequence[str]) -> Callable[..., Any]:
    places = tuple(path)

    def group(rows):  # type: ignore[no-untyped-def]
        import sys

        sys.path += [place for place in places if place not in sys.path]
        from odibi.operations.distributed import on_worker

        return on_worker(sent, rows)

    return group


# --- on a worker --------------------------------------------------------------------------------------------


def on_worker(sent: bytes, rows: pa.Table) -> pa.Table:
    """What the function that was sent makes of some rows, in the columns it declares."""
    call, files, fitting = _arrived(sent)
    _SENT.root = Path(call.function.root)
    _SENT.files.update(files)
    return one_part(call, rows, fitting, [])


@lru_cache(maxsize=8)
def _arrived(sent: bytes) -> tuple[Call, Mapping[str, tuple[str, bytes]], Fitting]:
    """The call, the modules it runs through (file and text), and what fits its results."""
    from pyspark import SparkFiles

    if _SENT not in sys.meta_path:
        sys.meta_path.insert(0, _SENT)
    call, files = pickle.loads(sent)  # noqa: S301 - from the process of the run
    return call, files, Fitting(call, Path(SparkFiles.getRootDirectory(), f"odibi-{os.getpid()}"))


class _Sent(SourceLoader):
    """Imports modules from text that was sent, under the names of the files they came from."""

    def __init__(self) -> None:
        self.root = Path()
        self.files: dict[str, tuple[str, bytes]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """How to import a module that was sent, or the folder of one."""
        del path, target
        if fullname in self.files:
            return importlib.util.spec_from_file_location(fullname, self.files[fullname][0], loader=self)
        if not any(name.startswith(f"{fullname}.") for name in self.files):
            return None
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(self.root.joinpath(*fullname.split(".")))]
        return spec

    def get_filename(self, fullname: str) -> str:
        """Where the module stands in the project."""
        return self.files[fullname][0]

    def get_data(self, path: str) -> bytes:
        """What the file says. Raises OSError for a file that was not sent."""
        for file, text in self.files.values():
            if file == path:
                return text
        raise FileNotFoundError(path)


_SENT = _Sent()
