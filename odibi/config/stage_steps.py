"""What each entry of the documents of a pipeline in stages becomes: an ordinary step in short form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel

from odibi.config import yaml
from odibi.config.stages import Aggregate, Enrich, Fetched, Filter, Ingestion, Stage, Transformed, Validated
from odibi.errors import Problem, nearest

__all__ = ["Expansion", "Read"]

_READ = ("json", "ndjson", "csv", "parquet", "excel")

Steps = Iterator[tuple[dict[str, Any], tuple[Any, ...]]]
"""Steps in short form, each with the place of its entry in the document."""


@dataclass(frozen=True, slots=True)
class Read:
    """A stage whose document was read."""

    stage: Stage
    document: yaml.Document
    said: Any


class Expansion:
    """Makes the steps of all stages, each of what the one before it made."""

    def __init__(self, read: Mapping[str, Read], rules: str) -> None:
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
                step = _validated(name, entry, self.rules, self._format_of(name))
            else:
                step = _transformed(name, "validated" if "validation" in self.read else "raw", entry)
            if chosen is None:
                file = self.read[stage].document.file
                self.cautions[step["name"]] = f"{file} says nothing of {name!r}, which is taken as it is"
            step["write"] = {"to": self.read[stage].stage.to, **step["write"]}
            yield step, ("files",) if chosen is None else ("files", chosen)

    def _format_of(self, name: str) -> str:
        ingestion: Ingestion = self.read["ingestion"].said
        return next(source.format for source in ingestion.sources if source.name == name)

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
        "read": {**asked, **_format(source.format), **listed, "land": land},
    }


def _format(name: str) -> dict[str, str]:
    """How a source is read; one whose bytes mean nothing to odibi lands as it is."""
    return {"format": name} if name in _READ else {"format": "binary", "extension": name}


def _validated(name: str, entry: Validated | None, rules: str, format: str) -> dict[str, Any]:
    """The records that are as they have to be; an entry says what is checked after what is cleaned."""
    if format not in _READ:
        why = f"{format} files land and are not read, so there are no records to validate"
        check = {"rule": "sql", "query": f'select * from "raw_{name}"', "name": "format", "because": why}
        return {
            **_made("validated", name, "raw", "silver", []),
            "checks": [check],
            "tags": ["validation"],
            "write": {},
        }
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
