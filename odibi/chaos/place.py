"""A pipeline whose output goes to a scratch folder: what it reads stays where it is, what it writes does not."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from odibi.config.alerts import NOBODY_TOLD
from odibi.config.load import load
from odibi.config.loaded import Loaded
from odibi.config.models import Step
from odibi.config.yaml import parse
from odibi.errors import Permanent
from odibi.home import Home
from odibi.plan.model import Plan
from odibi.plan.runtime import may_leave

__all__ = ["Asked", "Unfit", "home_in", "moved", "refuse_elsewhere"]


class Unfit(Permanent):
    """What was asked for cannot be tried."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which pipeline, and with what."""

    config: str
    target: str | None = None
    params: Mapping[str, Any] | None = None
    engine: str | None = None


def home_in(folder: Path) -> Home:
    """The home of odibi in the folder, whatever the environment says."""
    return Home(folder / "home", f"sqlite:///{folder / 'home' / 'state.db'}")


def moved(asked: Asked, date: str | None, folder: Path) -> Loaded:
    """The pipeline for a date, with every connection that it writes to below the folder.

    Where steps run elsewhere a config of the same name is written there, because it is the text that they are given.

    Raises:
        ConfigError: the config is wrong.
        Unfit: a step writes where no other folder can be put in its place.
    """
    loaded = load(asked.config, date=date, target=asked.target, params=asked.params, engine=asked.engine)
    pipeline = loaded.pipeline
    written: dict[str, Step] = {}
    for step in pipeline.steps:
        if step.write is not None or step.stores:
            to = step.write.to if step.write is not None else step.params.get("to")
            if to is None:
                raise _refused(step, "to no connection, so it cannot be sent elsewhere", "write: {to: ...}")
            written[to] = step
    for name, step in written.items():
        if pipeline.connections[name].catalog is not None:
            raise _refused(step, f"to the catalog of connection {name!r}", "a target with a folder instead")
    for step in pipeline.steps:
        if step.ingests and step.params.get("from") in written:
            raise Unfit(
                f"step {step.name!r} reads from the connection {step.params['from']!r}, which is also written to",
                hint="give what is read from outside a connection of its own",
            )
    urls = {name: str(folder / "lake" / name) for name in pipeline.connections if name in written}
    if may_leave(pipeline):
        config = _rewritten(loaded, urls, folder)
        loaded = load(config, date=date, target=asked.target, params=asked.params, engine=asked.engine)
        pipeline = loaded.pipeline
    places = {
        name: pipeline.connections[name].model_copy(update={"url": url, "options": {}})
        for name, url in urls.items()
    }
    connections = {**pipeline.connections, **places}
    return replace(loaded, pipeline=pipeline.model_copy(update={"connections": connections, **NOBODY_TOLD}))


def _rewritten(loaded: Loaded, urls: Mapping[str, str], folder: Path) -> Path:
    """The config as a file in the folder, which names other places to write to and to leave tasks in."""
    data = deepcopy(parse(Path(loaded.file).read_bytes(), loaded.file).data)
    if loaded.others or not {"connections", "kubernetes"} <= data.keys():
        raise Unfit(
            "steps that run elsewhere are given a config, and this one cannot be written anew",
            hint="give it connections and kubernetes of its own, and no inputs of other pipelines",
        )
    for name, url in urls.items():
        kept = {key: value for key, value in data["connections"][name].items() if key != "options"}
        data["connections"][name] = {**kept, "url": url}
    data["kubernetes"]["tasks"] = str(folder / "tasks")
    config = folder / "config" / Path(loaded.file).name
    config.parent.mkdir(exist_ok=True)
    config.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), "utf-8")
    return config


def refuse_elsewhere(plan: Plan, folder: Path) -> None:
    """Raise Unfit where a step of the moved pipeline writes outside of the folder all the same."""
    for planned in plan.steps:
        for target in (each for group in planned.targets.values() for each in group):
            if "://" in target.url or not Path(target.url).resolve().is_relative_to(folder.resolve()):
                raise _refused(planned.step, f"to {target.url}, outside of its connection", "a relative path")


def _refused(step: Step, where: str, instead: str) -> Unfit:
    return Unfit(
        f"odibi chaos lets a pipeline write to a scratch folder only, and step {step.name!r} writes {where}",
        hint=f"use {instead}",
    )
