"""From the documents of a pipeline in stages to ordinary steps.

``ingestion: {config: shop/ingestion.json, to: raw}`` becomes a step ``raw_<name>`` for each source,
``validation`` one ``validated_<name>``, ``transformation`` one ``transformed_<name>``. From there on nothing
knows stages: what the steps do is planned, run and told like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from odibi.config import yaml
from odibi.config.loaded import roots_of
from odibi.config.problems import explain
from odibi.config.stages import (
    DOCUMENTS,
    Aggregate,
    Enrich,
    Fetched,
    Filter,
    Ingestion,
    Stage,
    Transformed,
    Validated,
)
from odibi.errors import ConfigError, Problem, nearest

__all__ = ["with_stages"]

Entry = TypeVar("Entry", Validated, Transformed)
Steps = Iterator[tuple[dict[str, Any], tuple[Any, ...]]]
"""Steps in short form, each with the place of its entry in the document."""


def with_stages(
    document: yaml.Document, read: Callable[[Path], bytes]
) -> tuple[yaml.Document, list[Problem]]:
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
    read_as: dict[str, _Read] = {}
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
    own = list(given) if isinstance(given, list | tuple) else []
    if not problems:
        expansion = _Expansion(read_as, str(document.data.get("validation_rules", "standard")))
        for name in named:
            for step, place in expansion.steps(name):
                origins[len(own) + len(steps)] = (read_as[name].document, place)
                steps.append(step)
        problems, cautions = expansion.problems, expansion.cautions
    data = {key: value for key, value in document.data.items() if key not in named}
    data["steps"] = [*own, *steps]
    return replace(document, data=data, origins=origins, cautions=cautions), problems


@dataclass(frozen=True, slots=True)
class _Read:
    """A stage whose document was read."""

    stage: Stage
    document: yaml.Document
    said: Any


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
    document: yaml.Document, name: str, stage: Stage, read: Callable[[Path], bytes], problems: list[Problem]
) -> _Read | None:
    places = [root / stage.config for root in roots_of(document.file)]
    place = next((each for each in places if each.is_file()), None)
    if place is None:
        names = [each.name for each in places[0].parent.glob("*.json")]
        hint = nearest(Path(stage.config).name, names, "there are")
        problems.append(document.problem((name, "config"), f"there is no file {stage.config!r}", hint))
        return None
    shown = Path(document.file).parent / stage.config
    try:
        found = yaml.parse(read(place), str(shown if shown.is_file() else place))
    except ConfigError as error:
        problems += error.problems
        return None
    said = _said(DOCUMENTS[name], found.data, found, (), problems)
    return _Read(stage, found, said) if said is not None else None


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
        node = (
            node["items"]
            if isinstance(part, int)
            else node["properties"].get(part, node.get("additionalProperties"))
        )
    return list(_resolved(node, schema).get("properties", ()))


def _resolved(node: Any, schema: Any) -> Any:
    return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


class _Expansion:
    """Makes the steps of all stages, each of what the one before it made."""

    def __init__(self, read: Mapping[str, _Read], rules: str) -> None:
        self.read = read
        self.rules = rules
        self.problems: list[Problem] = []
        self.cautions: dict[str, str] = {}
        ingestion: Ingestion = read["ingestion"].said
        self.names = [source.name for source in ingestion.sources]

    def steps(self, stage: str) -> Steps:
        """The steps of a stage."""
        if stage == "ingestion":
            for index, source in enumerate(self.read[stage].said.sources):
                yield _ingested(source, self.read[stage].stage.to), ("sources", index)
            return
        entries: Sequence[Any] = self.read[stage].said.files
        self._refuse_unknown(stage, entries)
        for name in self.names:
            chosen = self._chosen(stage, name, entries)
            entry = entries[chosen] if chosen is not None else None
            if stage == "validation":
                step = _validated(name, entry, self.rules)
            else:
                step = _transformed(name, "validated" if "validation" in self.read else "raw", entry)
            if chosen is None:
                file = self.read[stage].document.file
                self.cautions[step["name"]] = f"{file} says nothing of {name!r}, which is taken as it is"
            step["write"] = {"to": self.read[stage].stage.to, **step["write"]}
            yield step, ("files",) if chosen is None else ("files", chosen)

    def _refuse_unknown(self, stage: str, entries: Sequence[Any]) -> None:
        for index, entry in enumerate(entries):
            if not _is_pattern(entry.name) and entry.name not in self.names:
                message = f"there is no source {entry.name!r}"
                self._add(stage, index, message, nearest(entry.name, self.names, "sources"))

    def _chosen(self, stage: str, name: str, entries: Sequence[Any]) -> int | None:
        """Which entry a dataset is meant by: that of its name, else the one pattern that it fits."""
        exact = [index for index, entry in enumerate(entries) if entry.name == name]
        fits = [
            index
            for index, entry in enumerate(entries)
            if _is_pattern(entry.name) and fnmatchcase(name, entry.name)
        ]
        found = exact or fits
        if len(found) > 1:
            first = self.read[stage].document.where(("files", found[0]))[0]
            self._add(
                stage, found[1], f"{name!r} is meant by the entry in line {first} too", "keep one of them"
            )
        return next(iter(found), None)

    def _add(self, stage: str, index: int, message: str, hint: str) -> None:
        self.problems.append(self.read[stage].document.problem(("files", index, "name"), message, hint))


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _ingested(source: Fetched, to: str) -> dict[str, Any]:
    """The answer of a server as it landed; what is JSON has to be a list."""
    asked = source.model_dump(exclude_defaults=True, exclude={"name"})
    listed = {"records": "$"} if source.format == "json" else {}
    land = {"to": to, "path": f"{source.name}/{{{{ date }}}}"}
    return {
        "name": f"raw_{source.name}",
        "layer": "bronze",
        "tags": ["ingestion"],
        "read": {**asked, "format": source.format, **listed, "land": land},
    }


def _validated(name: str, entry: Validated | None, rules: str) -> dict[str, Any]:
    """The records that are as they have to be; an entry says what is checked after what is cleaned."""
    step = _made("validated", name, "raw", "silver", _cleaning(entry) if entry is not None else [])
    if entry is not None:
        step |= {"checks": _checks(entry), "validation_rules": rules}
    return {**step, "tags": ["validation"], "write": {}}


def _cleaning(entry: Validated) -> list[dict[str, Any]]:
    cleaning = entry.cleaning
    found: list[dict[str, Any]] = []
    if cleaning.remove_nulls:
        found.append({"remove_nulls": {"drop": "fields"}})
    if cleaning.standardize_fields:
        found.append({"standardize_fields": {}})
    if cleaning.transformations:
        found.append({"normalize_formats": dict(cleaning.transformations)})
    return found


def _checks(entry: Validated) -> list[dict[str, Any]]:
    """The rules of a dataset. A schema that is broken and a dataset without records are always errors."""
    rules = entry.rules
    found: list[dict[str, Any]] = []
    if entry.schema_ is not None:
        found.append({"rule": "json_schema", "schema": entry.schema_, "on_fail": "error"})
    if rules.min_records:
        found.append({"rule": "row_count", "min": 1, "on_fail": "error"})
    if rules.min_records > 1:
        found.append({"rule": "row_count", "min": rules.min_records})
    if rules.required_fields:
        found.append({"rule": "not_null", "columns": list(rules.required_fields)})
    if rules.check_duplicates:
        found.append({"rule": "unique", "columns": [rules.unique_field]})
    return found


def _transformed(name: str, before: str, entry: Transformed | None) -> dict[str, Any]:
    """What is made of the records, as JSON and as CSV."""
    operations = [_operation(each) for each in entry.transformations] if entry is not None else []
    step = _made("transformed", name, before, "gold", operations)
    counted = {"count_rows": True} if operations else {}
    write = {"path": f"transformed_{name}", "format": ["csv", "json"]}
    return {**step, **counted, "tags": ["transformation"], "write": write}


def _operation(given: Filter | Aggregate | Enrich) -> dict[str, Any]:
    if isinstance(given, Filter):
        where = [each.model_dump(exclude_defaults=True) for each in given.conditions]
        return {"filter": {"where": where, "on_missing": given.on_missing}}
    if isinstance(given, Aggregate):
        summaries = {name: list(each) for name, each in given.aggregations.items()}
        return {"aggregate": {"group_by": list(given.group_by), "aggregations": summaries}}
    return {"enrich": {name: _plain(each) for name, each in given.enrichments.items()}}


def _plain(given: BaseModel) -> dict[str, Any]:
    """What was said, with lists as YAML has them."""
    said = given.model_dump(exclude_unset=True)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in said.items()}


def _made(kind: str, name: str, before: str, layer: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
    """A step that makes ``<kind>_<name>`` of ``<before>_<name>``."""
    source = f"{before}_{name}"
    does: dict[str, Any] = {"sql": f'select * from "{source}"'}
    if operations:
        does = {"inputs": [source], "transform": operations}
    return {"name": f"{kind}_{name}", "layer": layer, **does}
