"""From the documents of a pipeline in stages to ordinary steps.

``ingestion: {config: shop/ingestion.json, to: raw}`` becomes a step ``raw_<name>`` for each source,
``validation`` one ``validated_<name>``, ``transformation`` one ``transformed_<name>``. From there on nothing
knows stages: what the steps do is planned, run and told like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from odibi.config import yaml
from odibi.config.loaded import roots_of
from odibi.config.problems import explain
from odibi.config.short import expand_step
from odibi.config.stage_steps import Expansion, Read
from odibi.config.stages import DOCUMENTS, Stage
from odibi.errors import ConfigError, Problem, nearest

__all__ = ["awaited", "with_stages"]


def with_stages(document: yaml.Document, read: Callable[[str], bytes]) -> tuple[yaml.Document, list[Problem]]:
    """The document with the steps that its stages mean beside its own, and what is wrong with the stages.

    Args:
        document: of the pipeline.
        read: gives a file's bytes.
    """
    named = [name for name in DOCUMENTS if name in document.data]
    if not named:
        return document, []
    problems: list[Problem] = []
    stages = {name: _stage(document, name, problems) for name in named}
    read_as: dict[str, Read] = {}
    for name, stage in stages.items():
        found = _document(document, name, stage, read, problems) if stage is not None else None
        if found is not None:
            read_as[name] = found
    if "ingestion" not in named:
        message = f"{named[0]} needs ingestion, which says what there is"
        problems.append(document.problem((named[0],), message, key=True))
    steps: list[dict[str, Any]] = []
    origins: dict[int, tuple[yaml.Document, yaml.Path]] = {}
    cautions: dict[str, str] = {}
    given = document.data.get("steps", [])
    own = list(given) if isinstance(given, list | tuple) else None
    if not problems and own is not None:
        expansion = Expansion(read_as, str(document.data.get("validation_rules", "standard")))
        for name in named:
            for step, place in expansion.steps(name):
                origins[len(own) + len(steps)] = (read_as[name].document, place)
                steps.append(step)
        problems, cautions = expansion.problems, expansion.cautions
    data = {key: value for key, value in document.data.items() if key not in named}
    if own is not None:
        data["steps"] = [*own, *steps]
    return replace(document, data=data, origins=origins, cautions=cautions), problems


def awaited(document: yaml.Document) -> set[str]:
    """The datasets that the document's own steps take from stages, whatever those turn out to make."""
    found: set[str] = set()
    for step in document.data.get("steps") or ():
        if isinstance(step, Mapping):
            with suppress(ValueError):  # a short form that is none: the step is refused anyway
                inputs = expand_step(step)["inputs"]
                found |= set(inputs.values()) if isinstance(inputs, Mapping) else set()
    return {name for name in found if str(name).startswith(("raw_", "validated_", "transformed_"))}


def _stage(document: yaml.Document, name: str, problems: list[Problem]) -> Stage | None:
    given = document.data[name]
    if not isinstance(given, Mapping):
        message = f"{name}: expected {{config: file, to: connection}}"
        problems.append(document.problem((name,), message))
        return None
    stage: Stage | None = _said(Stage, given, document, (name,), problems)
    targets = document.data.get("targets")
    places = [document.data, *(targets.values() if isinstance(targets, Mapping) else ())]
    known = [
        each
        for place in places
        if isinstance(place, Mapping) and isinstance(place.get("connections"), Mapping)
        for each in place["connections"]
    ]
    if stage is not None and stage.to not in known:
        hint = nearest(stage.to, known, "connections") or "declare it in connections"
        problems.append(document.problem((name, "to"), f"{name}: unknown connection {stage.to!r}", hint))
    return stage


def _document(
    document: yaml.Document, name: str, stage: Stage, read: Callable[[str], bytes], problems: list[Problem]
) -> Read | None:
    places = [root / stage.config for root in roots_of(document.file)]
    place = next((each for each in places if each.is_file()), None)
    if place is None:
        names = [each.name for each in places[0].parent.glob("*.json")]
        hint = nearest(Path(stage.config).name, names, "there are")
        problems.append(document.problem((name, "config"), f"there is no file {stage.config!r}", hint))
        return None
    shown = Path(document.file).parent / stage.config
    try:
        found = yaml.parse(read(str(place)), str(shown if shown.is_file() else place))
    except ConfigError as error:
        problems += error.problems
        return None
    said = _said(DOCUMENTS[name], found.data, found, (), problems)
    return Read(stage, found, said) if said is not None else None


def _said(
    model: type[BaseModel], data: Mapping[str, Any], document: yaml.Document, at: yaml.Path, problems: list[Problem]
) -> Any:  # fmt: skip
    """``data`` as the model, None where it is not; what is wrong becomes problems."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for finding in explain(error, data):
            path, value = _within(data, finding.path)
            if value and finding.message.endswith("is needed"):
                continue  # none is left because all of them are wrong, which is said
            hint = finding.hint
            if "unknown key" in finding.message:
                hint = nearest(str(finding.path[-1]), _keys(model, finding.path[:-1]), "known keys")
            problems.append(document.problem((*at, *path), finding.message, hint, key=finding.key))
    return None


def _within(data: Any, path: yaml.Path) -> tuple[yaml.Path, Any]:
    """The path without what only the models have in it (which of several kinds an entry is), and what is there."""
    found: list[Any] = []
    for part in path:
        inside = isinstance(data, Mapping) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            found.append(part)
            data = data[part]
    return tuple(found), data


def _keys(model: Any, path: yaml.Path) -> list[str]:
    """The keys that stand at a path of the model."""
    schema = model.model_json_schema(by_alias=True)
    node = schema
    for part in path:
        node = _resolved(node, schema)
        if "oneOf" in node:
            kinds = [_resolved(each, schema) for each in node["oneOf"]]
            node = next(kind for kind in kinds if kind["properties"]["type"]["const"] == part)
            continue
        inside = node.get("properties", {}).get(part) or node.get("additionalProperties")
        node = node["items"] if isinstance(part, int) else inside or {}
    return list(_resolved(node, schema).get("properties", ()))


def _resolved(node: Any, schema: Any) -> Any:
    return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
