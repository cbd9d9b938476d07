"""A pipeline that reads from and writes to a scratch folder only, whatever its connections say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args
from uuid import uuid4

from odibi.config.alerts import NOBODY_TOLD
from odibi.config.loaded import Loaded
from odibi.config.models import Connection, Format, Step, Write, WriteMode
from odibi.datasets.files import format_of
from odibi.home import Home
from odibi.relational.clock import text_at_instant

__all__ = ["SCRATCH", "home_in", "in_scratch", "moved", "reading", "tested"]

SCRATCH = "odibi_scratch"
"""The connection that stands for all others."""


def home_in(folder: Path) -> Home:
    """The home of odibi in the folder, whatever the environment says."""
    return Home(folder / "home", f"sqlite:///{folder / 'home' / 'state.db'}")


def in_scratch(
    loaded: Loaded,
    steps: Sequence[tuple[int, Step]],
    folder: Path,
    others: Mapping[str, Loaded] | None = None,
) -> Loaded:
    """The pipeline with just these steps, each with the position of the one it stands for, below the folder."""
    pipeline = loaded.pipeline.model_copy(
        update={
            "connections": {SCRATCH: Connection(url=str(folder / "lake"))},
            "targets": {},
            "steps": tuple(step for _, step in steps),
            "enable_cache": False,
            "enable_checkpoints": False,
            "enable_tracker": False,
            "samples": 0,
            "max_retries": 0,
            "timeout_seconds": None,
            **NOBODY_TOLD,
        }
    )
    positions = tuple(loaded.positions[at] for at, _ in steps)
    return replace(
        loaded, pipeline=pipeline, run_id=str(uuid4()), positions=positions, others=dict(others or {})
    )


def moved(loaded: Loaded, write: Write) -> Write:
    """The write to the scratch folder, in the formats it had."""
    place = loaded.pipeline.connections.get(write.to or "")
    told = format_of(write.path or "")
    formats: tuple[Format, ...] = write.formats or tuple(f for f in get_args(Format) if f == told)
    if not formats and place is not None and place.format is not None:
        formats = (place.format,)
    return write.model_copy(update={"to": SCRATCH, "path": None, "formats": formats or ("delta",)})


def tested(loaded: Loaded, step: Step, *, forced: bool) -> Step:
    """The step as a test runs it: once, in the scratch folder, over rows that other code may have made.

    ``forced`` says that it runs on the pipeline's engine even if it names one of its own.
    """
    write = step.write
    if write is not None:
        clock = {
            name: text_at_instant(text, loaded.now)
            for name in ("delete_when", "where")
            if (text := getattr(write, name))
        }
        goes_on = {} if write.mode is WriteMode.OVERWRITE else {"on_code_change": "forward_only"}
        write = moved(loaded, write).model_copy(update={**clock, **goes_on})
    return step.model_copy(
        update={
            "write": write,
            "depends_on": (),
            "incremental": {},  # the rows given are those that are new
            "retry": None,
            "tests": (),
            "tests_file": "",
            "engine": None if forced else step.engine,
        }
    )


def reading(name: str, dataset: str, layer: str, file: Path, write: Write | None) -> Step:
    """A step that gives the rows of a Parquet file, as a table where ``write`` is given."""
    return Step(
        name=name,
        layer=layer,
        type="config_op",
        value=str(file),
        engine="duckdb",
        outputs={"data": dataset},
        write=write,
    )
