"""The short YAML form and its canonical form: one table of how each is spelled.

``read``, ``transform``, ``sql``, ``function``, ``command`` and ``script`` say what a step does; exactly
one of them, or the canonical ``type`` and ``value``, is given. Nothing here knows files or line numbers:
:func:`source_path` maps a place in the canonical form back to where the person wrote it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from reprlib import repr as shortened
from typing import Any

__all__ = ["LATER_PIPELINE", "LATER_STEP", "VERBS", "expand_pipeline", "expand_step", "source_path"]

VERBS = ("read", "transform", "sql", "function", "command", "script", "quality_check")
"""What the short form may say a step does."""

READ_INSTEAD = ("prefix", "url", "table", "tables", "query")
"""What a read may say instead of a path."""

LATER_STEP = frozenset(
    {
        "condition",
        "on_code_change",
        "fallback",
        "merge_strategy",
        "dialect",
    }
)
"""Step keys that the design names and this version does not have yet: refused by name."""

LATER_PIPELINE = frozenset(
    {
        "schedule",
        "dependencies",
        "on_code_change",
    }
)
"""Pipeline keys that the design names and this version does not have yet: refused by name."""


_NEW = ("rows", "watermark", "late")
"""What an input says of which rows it wants."""


def _refuse_later(data: Mapping[str, Any], later: frozenset[str]) -> None:
    for key in sorted(later & set(data)):
        raise ValueError(f"{key!r} is not available in this version of odibi; remove it")


def _rename(out: dict[str, Any], other: str, name: str) -> None:
    """Let ``other`` be a spelling of ``name``."""
    if other in out:
        if name in out:
            raise ValueError(f"give either {name} or {other}, not both")
        out[name] = out.pop(other)


def expand_pipeline(data: Mapping[str, Any]) -> dict[str, Any]:
    """The pipeline's keys in canonical form. Raises ValueError for keys of later versions."""
    _refuse_later(data, LATER_PIPELINE)
    out = dict(data)
    _rename(out, "engine_type", "engine")
    _rename(out, "name", "pipeline")
    _rename(out, "event_bus", "hooks")
    _rename(out, "metrics_manager", "metrics")
    return out


def expand_step(data: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical fields of a step given in short or canonical form.

    A canonical step comes out as it went in, so expanding twice changes nothing. Raises
    ValueError where the short form contradicts itself.
    """
    _refuse_later(data, LATER_STEP)
    out = dict(data)
    _rename(out, "dependsOn", "depends_on")
    for key in ("depends_on", "tags"):
        if isinstance(out.get(key), str):
            out[key] = (out[key],)
    _retry(out)
    _tests(out)
    params = out.get("params")
    if params is not None and not isinstance(params, Mapping):
        raise ValueError(f"params: expected a mapping, found {shortened(params)}")
    _new_rows(out)
    out["inputs"] = _inputs(out.get("inputs"))
    verbs = [verb for verb in VERBS if verb in out]
    if len(verbs) > 1:
        raise ValueError(f"a step does one thing, this one says {' and '.join(verbs)}")
    if verbs:
        for key in ("type", "value"):
            if key in out:
                raise ValueError(f"give either {verbs[0]} or {key}, not both")
        _EXPAND[verbs[0]](out, out.pop(verbs[0]))
    if not out["inputs"]:
        out["inputs"] = {}
    params = out.get("params") or {}
    by_config = str(out.get("type")) == "config_op"
    if by_config and "operations" in params:
        out["params"] = {**params, "operations": _operations(params["operations"], "params: operations")}
    stores = by_config and "operations" not in params
    if out.get("outputs") is None and not (stores and out["inputs"]) and "name" in out:
        out["outputs"] = {"data": out["name"]}
    elif isinstance(out.get("outputs"), str):
        out["outputs"] = {"data": out["outputs"]}
    elif isinstance(out.get("outputs"), list | tuple):
        names = [str(name) for name in out["outputs"]]
        if len(set(names)) < len(names):
            raise ValueError("outputs: a dataset is given twice")
        out["outputs"] = dict(zip(names, out["outputs"], strict=True))
    return {key: value for key, value in out.items() if value is not None}


def _retry(out: dict[str, Any]) -> None:
    """``retry: 5`` as how many retries there are."""
    if isinstance(out.get("retry"), int) and not isinstance(out["retry"], bool):
        out["retry"] = {"max_retries": out["retry"]}


def _tests(out: dict[str, Any]) -> None:
    """``tests: file.yaml`` as the file that has them."""
    if isinstance(out.get("tests"), str):
        _rename(out, "tests", "tests_file")


def _new_rows(out: dict[str, Any]) -> None:
    """``inputs: [{from: a, rows: new}]`` as ``inputs: [a]`` and ``incremental: {a: {}}``."""
    given = out.get("inputs")
    if not isinstance(given, list | tuple):
        return
    plain: list[Any] = []
    for item in given:
        if isinstance(item, Mapping) and not item.keys().isdisjoint(_NEW) and "from" in item:
            if item.get("rows") != "new":
                found = shortened(item.get("rows"))
                raise ValueError(f"inputs: rows: expected new, found {found}; leave it out to read all rows")
            said = {key: item[key] for key in ("watermark", "late") if key in item}
            alias = item.get("as") or _alias(item["from"])
            out["incremental"] = {**(out.get("incremental") or {}), alias: said}
            plain.append({key: value for key, value in item.items() if key not in _NEW})
        else:
            plain.append(item)
    out["inputs"] = plain


def _inputs(given: Any) -> Any:
    """``[a, {from: b}]`` and ``a`` as ``{a: a, b: b}``; a mapping stays."""
    if given is None:
        return {}
    if isinstance(given, str):
        return {_alias(given): given}
    if not isinstance(given, list | tuple):
        return given
    named: dict[str, Any] = {}
    for item in given:
        if isinstance(item, Mapping):
            if item.keys() - {"from", "as"} or "from" not in item:
                found = shortened(dict(item))
                raise ValueError(f"inputs: expected {{from: dataset, as: alias, rows: new}}, found {found}")
            source, alias = item["from"], item.get("as") or _alias(item["from"])
        else:
            source, alias = item, _alias(item)
        if not all(isinstance(name, str) for name in (source, alias)):
            raise ValueError(f"inputs: expected the name of a dataset, found {shortened(item)}")
        if alias in named:
            raise ValueError(f"inputs: {alias!r} is given twice")
        named[alias] = source
    return named


def _alias(dataset: Any) -> str:
    """The table name a dataset has in a query: of ``other.orders`` it is ``orders``."""
    return str(dataset).rsplit(".", 1)[-1]


def _read(out: dict[str, Any], value: Any) -> None:
    if isinstance(value, str):
        value = {"path": value}
    if isinstance(value, Mapping) and "path" not in value:
        value = _without_path(value)
    if not isinstance(value, Mapping) or value.get("path") is None:
        raise ValueError("read: expected {from: connection, path: file}, path is missing")
    if out["inputs"]:
        raise ValueError("read: a step that reads files has no inputs; make it two steps")
    if out.get("params"):
        raise ValueError("read: put the options into read, not into params")
    out["type"], out["value"] = "config_op", value["path"]
    out["params"] = {key: item for key, item in value.items() if key != "path"}
    _rename(out["params"], "date", "partition_date")


def _without_path(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is read as a path: a prefix is a folder where it ends in /, else what begins so."""
    given = [name for name in READ_INSTEAD if value.get(name) is not None]
    if not given:
        return value
    said = value[given[0]]
    if given[0] in ("prefix", "url"):
        if not isinstance(said, str):
            raise ValueError(f"read: {given[0]}: expected a text, found {shortened(said)}")
        beginning = said.rstrip("/") if said.endswith("/") else f"{said}*"
        path = said if given[0] == "url" else beginning
        return {"path": path, **{key: item for key, item in value.items() if key != given[0]}}
    names = ", ".join(map(str, said)) if isinstance(said, list | tuple) else said
    return {"path": names, **value}


def _transform(out: dict[str, Any], value: Any) -> None:
    operations = _operations([value] if isinstance(value, Mapping) else value, "transform")
    if not out["inputs"]:
        raise ValueError("transform: name the inputs, the first is the one transformed")
    out["type"], out["value"] = "config_op", "transform"
    out["params"] = {**(out.get("params") or {}), "operations": operations}


def _quality_check(out: dict[str, Any], value: Any) -> None:
    """A gate: what it lets through is its input as it is."""
    if "checks" in out:
        raise ValueError("quality_check: put all the rules there, and leave checks out")
    out["checks"] = value
    _transform(out, [{"select": "*"}])


def _operations(value: Any, place: str) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"{place}: expected a list of operations, such as [{{filter: 'x > 0'}}]")
    for item in value:
        if not isinstance(item, Mapping) or len(item) != 1 or not isinstance(next(iter(item)), str):
            raise ValueError(f"{place}: expected one operation per entry, found {shortened(item)}")
    return tuple(dict(item) for item in value)


def _sql(out: dict[str, Any], value: Any) -> None:
    out["type"], out["value"] = "sql", value


def _function(out: dict[str, Any], value: Any) -> None:
    out["type"], out["value"] = "function", value


def _command(out: dict[str, Any], value: Any) -> None:
    fits = isinstance(value, list | tuple) and value
    if not fits or not all(isinstance(each, str | int | float) for each in value):
        message = f"command: expected a list of arguments, found {shortened(value)}"
        raise ValueError(f"{message}; one line of text is a script")
    out["type"], out["value"] = "command", shlex.join(str(each) for each in value)


def _script(out: dict[str, Any], value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"script: expected a line such as python analyze.py, found {shortened(value)}")
    if found := {"|", "||", "&", "&&", ";", ">", ">>", "<"} & set(value.split()):
        message = f"script: {sorted(found)[0]!r} is for a shell, and there is none"
        raise ValueError(f"{message}; name a file that does all of it")
    out["type"], out["value"] = "command", value.strip()


_EXPAND = {
    "read": _read,
    "transform": _transform,
    "sql": _sql,
    "function": _function,
    "command": _command,
    "script": _script,
    "quality_check": _quality_check,
}


_SPELLED = {"depends_on": "dependsOn", "checks": "quality_check", "tests_file": "tests"}
"""How else keys of a step are written."""


def source_path(path: tuple[Any, ...], step: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where in the step, as it was written, the canonical ``path`` below the step comes from."""
    if not path:
        return path
    head, rest = path[0], path[1:]
    if head == "value":
        for verb in ("sql", "function", "command", "script"):
            if verb in step:
                return (verb, *rest)
        if "read" in step:
            if not isinstance(step["read"], Mapping):
                return ("read",)
            return ("read", next((name for name in READ_INSTEAD if name in step["read"]), "path"))
    if head == "params" and "read" in step:
        return ("read", *_option(step["read"], rest))
    if head == "params" and "transform" in step and rest[:1] == ("operations",):
        alone = isinstance(step["transform"], Mapping) and rest[1:2] == (0,)
        return ("transform", *rest[2 if alone else 1 :])
    if rest and (head in ("inputs", "outputs") or (head == "incremental" and head not in step)):
        head = "inputs" if head == "incremental" else head
        return (head, *_entry(step.get(head), rest[0]), *rest[1:])
    if head == "write" and rest and rest[0] in ("formats", "partition_by", "schema_policy", "path"):
        written = step.get("write")
        other = {
            "formats": "format",
            "partition_by": "partitionBy",
            "schema_policy": "schema",
            "path": "table",
        }[rest[0]]
        if isinstance(written, Mapping) and rest[0] not in written:
            return ("write", other)
    if head == "retry" and not isinstance(step.get("retry"), Mapping):
        return ("retry",)
    if head in _SPELLED and head not in step:
        return (_SPELLED[head], *rest)
    return path


def _option(read: Any, rest: tuple[Any, ...]) -> tuple[Any, ...]:
    """Where in ``read``, as it was written, an option stands."""
    spelled = rest[:1] == ("partition_date",) and isinstance(read, Mapping) and "date" in read
    return ("date", *rest[1:]) if spelled else rest


def _entry(written: Any, alias: Any) -> tuple[Any, ...]:
    """Where in inputs or outputs, as they were written, ``alias`` stands."""
    if isinstance(written, Mapping):
        return (alias,)
    for index, item in enumerate(written if isinstance(written, list | tuple) else ()):
        name = item.get("as") or _alias(item.get("from")) if isinstance(item, Mapping) else _alias(item)
        if name == alias:
            return (index,)
    return ()
