"""``odibi init``: a small project that runs, made from the files in ``odibi/cli/project``."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from odibi.cli.exits import Exit
from odibi.cli.schema import config_schema
from odibi.cli.terminal import say

__all__ = ["init"]

_FILES = {
    "configs/pipeline.yaml": "configs/{name}.yaml",
    "configs/data/orders.csv": "configs/data/orders.csv",
    "steps/revenue_by_day.sql": "steps/revenue_by_day.sql",
    "README.md": "README.md",
    "gitignore": ".gitignore",
}
"""File in the package to file in the project."""

_SCHEMA = "odibi.schema.json"


def init(*, folder: str) -> int:
    """Write the files that are not there yet, and say what became of each."""
    root = Path(folder)
    name = _pipeline_name(root.resolve().name)
    source = files("odibi.cli") / "project"
    for inside, outside in _FILES.items():
        text = source.joinpath(inside).read_text("utf-8").replace("{name}", name)
        _make(root / outside.format(name=name), text)
    _make(root / _SCHEMA, json.dumps(config_schema(), indent=2) + "\n")
    say()
    say("next: odibi run" if root.resolve() == Path.cwd() else f"next: cd {folder} && odibi run")
    return Exit.SUCCESS


def _pipeline_name(folder: str) -> str:
    """The folder's name as a pipeline may be called."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", folder).strip("_-")
    return name if re.match(r"[A-Za-z_]", name) else f"pipeline_{name}".rstrip("_")


def _make(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        say(f"kept     {path} (it is there already)")
    else:
        say(f"created  {path}")
