"""A run as JSON text, so that its story can be told on another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from odibi.errors import Permanent
from odibi.record.model import RunRecord
from odibi.record.rows import reason

__all__ = ["FORMAT", "LINEAGE", "VERSION", "from_json", "to_json", "told_from"]

FORMAT = "odibi run"
LINEAGE = "odibi lineage"
VERSION = 1

_EXPECTED = "expected what odibi story --json or odibi lineage export writes"


def to_json(run: RunRecord, previous: RunRecord | None = None) -> str:
    """The whole record as the text of a ``run.json``, with the version of its format.

    ``previous`` is the run that its story is compared with. ``run.params`` holds JSON values: dates come back
    as text, and infinity, which JSON does not have, as None.
    """
    document = {"format": FORMAT, "version": VERSION, "run": run.model_dump(mode="json")}
    if previous is not None:
        document["previous"] = previous.model_dump(mode="json")
    return json.dumps(document, ensure_ascii=False, indent=1)


def told_from(text: str) -> tuple[RunRecord, RunRecord | None]:
    """The run of a ``run.json`` or a ``lineage.json``, and the one before it where the text has that.

    Lineage holds references and counts only, so a run that is read from it has no samples, SQL or checks.

    Raises:
        Permanent: the text is neither, or of another version of its format.
    """
    document = _document(text)
    if document.get("format") == LINEAGE:
        _same_version(document)
        return _model(_of_lineage(document)), None
    before = document.get("previous")
    return from_json(text), _model(before) if before is not None else None


def from_json(text: str) -> RunRecord:
    """The record that ``to_json`` wrote.

    Raises:
        Permanent: the text is not JSON, not a run, or of another version of the format.
    """
    document = _document(text)
    if document.get("format") != FORMAT:
        raise Permanent(f'not a run record: no "format": "{FORMAT}"', hint=_EXPECTED)
    _same_version(document)
    return _model(document.get("run"))


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Permanent(f"not a run record: {error}", hint=_EXPECTED) from error
    return document if isinstance(document, dict) else {}


def _same_version(document: Mapping[str, Any]) -> None:
    version = document.get("version")
    if version != VERSION:
        raise Permanent(
            f"run record of format version {version!r}, this odibi reads version {VERSION}",
            hint="use the version of odibi that wrote it, or a newer one",
        )


def _model(values: Any) -> RunRecord:
    try:
        return RunRecord.model_validate(values)
    except ValidationError as error:
        raise Permanent(f"damaged run record: {reason(error)}") from error


_OF_NODE = (
    *("name", "layer", "node", "operation", "engine", "status", "decision", "reason", "synthetic"),
    *("started_at", "ended_at", "rows_in", "rows_out"),
)


def _of_lineage(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a run as far as its lineage tells them."""
    nodes = document.get("nodes")
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise Permanent("damaged run record: nodes: expected a list of objects")
    for place, node in enumerate(nodes):
        _look(node, f"nodes[{place}]", _NODE)
    makers = {made["name"]: node["name"] for node in nodes for made in node.get("outputs", ())}
    known = ("run_id", "pipeline", "logical_date", "target", "status", "started_at", "ended_at")
    engines = sorted({str(node.get("engine", "")) for node in nodes})
    return {
        **{name: document.get(name) for name in known},
        "config": "",
        "config_hash": "",
        "engine": ", ".join(engines),
        "steps": [_of_node(node, makers) for node in nodes],
    }


_Shape = Mapping[str, "_Shape | None"]
"""What an object must have: a text, or with a shape of its own, a list of such objects, which may be left out."""

_DATASET: _Shape = {"name": None}
_END: _Shape = {"dataset": None, "column": None}
_NODE: _Shape = {
    "name": None,
    "inputs": _DATASET,
    "outputs": _DATASET,
    "columns": {"column": None, "direct": _END, "indirect": _END},
    "attempts": {},
}


def _look(found: Mapping[str, Any], place: str, shape: _Shape) -> None:
    """Refuse an object that does not have what is taken from it."""
    for name, inner in shape.items():
        if inner is None:
            if not isinstance(found.get(name), str):
                raise Permanent(f"damaged run record: {place}: {name}: expected a text", hint=_EXPECTED)
            continue
        items = found.get(name, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Permanent(f"damaged run record: {place}.{name}: expected a list of objects", hint=_EXPECTED)
        for at, item in enumerate(items):
            _look(item, f"{place}.{name}[{at}]", inner)


def _of_node(node: Mapping[str, Any], makers: Mapping[str, str]) -> dict[str, Any]:
    outputs = node.get("outputs", [])
    own = [made["name"] for made in outputs][:1]
    inputs = (makers.get(read["name"], "") for read in node.get("inputs", ()))
    return {
        **{name: node[name] for name in _OF_NODE if name in node},
        "upstream": [name for name in dict.fromkeys(inputs) if name and name != node["name"]],
        "columns": node.get("schema", []),
        "makes": outputs,
        "lineage": [
            {
                "column": line["column"],
                "direct": _references(line.get("direct", ())),
                "indirect": _references(line.get("indirect", ())),
            }
            for line in node.get("columns", ())
            if line.get("dataset") in own
        ],
        "attempts": [
            {**attempt, "error": {"kind": attempt["error"], "message": ""} if attempt.get("error") else None}
            for attempt in node.get("attempts", ())
        ],
    }


def _references(ends: Any) -> list[str]:
    return [f"{end['dataset']}.{end['column']}" for end in ends]
