"""What pydantic found, said in the words of a config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from odibi.config.alerts import AlertRule, Alerts, Condition
from odibi.config.hooks import Hook
from odibi.config.lineage import LineageTo, OpenLineage
from odibi.config.models import Connection, Pipeline, Resources, Retry, Step, Target, Write
from odibi.config.runtime import Kubernetes, Mount, SparkPods
from odibi.config.short import LATER_PIPELINE, LATER_STEP, VERBS
from odibi.config.steptests import StepTest
from odibi.config.telling import Logging, Metrics
from odibi.config.vaults import SecretsProvider
from odibi.errors import nearest

__all__ = ["Finding", "explain", "known_keys", "shown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at ``path``, whose key is meant where ``key`` is set."""

    path: tuple[Any, ...]
    message: str
    hint: str = ""
    key: bool = False


def shown(value: Any) -> str:
    """A value as it is named in messages: short, and never a whole structure."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(str(value) if isinstance(value, str) else value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Keys(NamedTuple):
    """The keys of a mapping: by their names, by other spellings, and those of later versions."""

    names: frozenset[str]
    spellings: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()


def _names(model: type[BaseModel], *others: str) -> frozenset[str]:
    return frozenset({field.alias or name for name, field in model.model_fields.items()} | set(others))


_KEYS: Mapping[tuple[str, ...], _Keys] = {
    (): _Keys(
        _names(Pipeline), frozenset({"name", "engine_type", "event_bus", "metrics_manager"}), LATER_PIPELINE
    ),
    ("connections", "*"): _Keys(_names(Connection)),
    ("targets", "*"): _Keys(_names(Target)),
    ("metrics",): _Keys(_names(Metrics)),
    ("logging",): _Keys(_names(Logging)),
    ("secrets",): _Keys(_names(SecretsProvider)),
    ("targets", "*", "connections", "*"): _Keys(_names(Connection)),
    ("lineage",): _Keys(_names(LineageTo)),
    ("lineage", "openlineage"): _Keys(_names(OpenLineage)),
    ("steps", "*"): _Keys(_names(Step, *VERBS), frozenset({"dependsOn"}), LATER_STEP),
    ("kubernetes",): _Keys(_names(Kubernetes)),
    ("kubernetes", "volumes", "*"): _Keys(_names(Mount)),
    ("kubernetes", "spark"): _Keys(_names(SparkPods)),
    ("hooks", "*"): _Keys(_names(Hook)),
    ("event_bus", "*"): _Keys(_names(Hook)),
    ("alerts",): _Keys(_names(Alerts)),
    **{
        rules: _Keys(_names(model))
        for at in (("alerts", "*"), ("alerts", "rules", "*"))
        for rules, model in ((at, AlertRule), ((*at, "condition"), Condition))
    },
    ("steps", "*", "retry"): _Keys(_names(Retry)),
    ("steps", "*", "resources"): _Keys(_names(Resources)),
    ("steps", "*", "tests", "*"): _Keys(_names(StepTest)),
    ("steps", "*", "write"): _Keys(
        _names(Write), frozenset({"format", "partitionBy", "schema_policy", "table"})
    ),
}


def known_keys(data: Any, path: tuple[Any, ...], findings: list[Finding]) -> Any:
    """``data`` at ``path`` with known keys only; each unknown one is found.

    A misspelt key goes on under the name it is close to, so that one slip is reported once.
    """
    shape = ("steps", "*", *path[2:]) if path[:1] == ("steps",) else path
    return _known(data, path, shape, findings)


def _known(data: Any, path: tuple[Any, ...], shape: tuple[str, ...], findings: list[Finding]) -> Any:
    if not any(rule[: len(shape)] == shape for rule in _KEYS):
        return data
    if isinstance(data, list | tuple):
        return [_known(item, (*path, at), (*shape, "*"), findings) for at, item in enumerate(data)]
    if not isinstance(data, Mapping):
        return data
    keys = _KEYS.get(shape)
    out: dict[Any, Any] = {}
    for key, value in data.items():
        name = key
        if keys is not None and key not in keys.names and key not in keys.spellings:
            name = _report(key, (*path, key), keys, findings)
            if name is None or name in data:
                continue
        out[name] = _known(value, (*path, key), (*shape, "*" if keys is None else str(name)), findings)
    return out


def _report(key: Any, path: tuple[Any, ...], keys: _Keys, findings: list[Finding]) -> str | None:
    """Find an unknown key; the name that was probably meant, if there is one."""
    if key in keys.later:
        message = f"{key!r} is not available in this version of odibi"
        findings.append(Finding(path, message, "remove it", key=True))
        return None
    findings.append(Finding(path, f"unknown key {key!r}", nearest(key, keys.names, "known keys"), key=True))
    return next(iter(get_close_matches(str(key).lower(), keys.names, 1, 0.6)), None)


_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "tuple": "a list",
    "list": "a list",
}
_FORMS = {
    "late": "such as 2 days",
    "memory_limit": "such as 2GB or 80%",
    "resources.memory": "such as 200MB or 2Gi",
    **{
        f"resources.{side}.{name}": form
        for side in ("requests", "limits")
        for name, form in (
            ("cpu", "such as 500m or 2"),
            ("memory", "such as 512Mi or 4Gi"),
            ("ephemeral-storage", "such as 10Gi"),
        )
    },
    "engine_threshold": "such as 500MB",
    "kubernetes.threshold": "such as 500MB",
    "kubernetes.env": "use letters, digits, -, . and _, and begin with no digit",
    "kubernetes.secrets": "use letters, digits, -, . and _, and begin with no digit",
    "kubernetes.cluster_endpoint": "such as https://10.0.0.1:6443",
    "kubernetes.spark.memory": "such as 512m or 4g",
    "kubernetes.spark.driver_memory": "such as 512m or 4g",
    "mount": "a path such as /data",
    "host_path": "a path such as /data",
    "kubernetes": "use small letters, digits, - and ., and begin and end with a letter or digit",
    "": "use letters, digits, _ and -, and begin with a letter",
}


def explain(error: ValidationError, written: Mapping[str, Any]) -> Iterator[Finding]:
    """Each thing pydantic found in ``written``, at its canonical path."""
    errors = error.errors(include_url=False)
    missing = {item["loc"][0] for item in errors if item["type"] == "missing" and len(item["loc"]) == 1}
    for item in errors:
        path = tuple(part for part in item["loc"] if part != "[key]")
        if path == ("type",) and {"type", "value"} <= missing:
            hint = f"give one of {', '.join(VERBS)}, or type and value"
            yield Finding((), "the step does not say what it does", hint)
        elif path == ("value",) and {"type", "value"} <= missing:
            continue
        elif path[:1] == ("outputs",) and "outputs" not in written:
            continue  # named after the step: said there
        else:
            yield _finding(dict(item), path, key="[key]" in item["loc"], written=written)


def _finding(
    item: dict[str, Any], path: tuple[Any, ...], *, key: bool, written: Mapping[str, Any]
) -> Finding:
    kind, context, value = item["type"], item.get("ctx", {}), item["input"]
    label = ".".join(map(str, path))
    found = "a value of another kind" if "options" in path else shown(value)
    if kind == "missing":
        return Finding(path[:-1], f"{'.'.join(map(str, path))!r} is missing")
    if kind == "extra_forbidden":
        return Finding(path, f"{'.'.join(map(str, path[:-1]))}: unknown key {path[-1]!r}", key=True)
    if kind == "value_error":
        message = str(context["error"])
        head = re.match(r"'?(\w+)'?[: ]", message)
        at = (head[1],) if not path and head and head[1] in written else path
        return Finding(at, message)
    if kind in ("enum", "literal_error"):
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return Finding(path, f"{label}: found {found}", _choices(value, allowed))
    if kind == "union_tag_invalid":
        allowed = re.findall(r"'([^']*)'", context["expected_tags"])
        return Finding(
            path, f"{label}.type: found {shown(context['tag'])}", _choices(context["tag"], allowed)
        )
    if kind == "union_tag_not_found":
        return Finding(path, f"{label}: 'type' is missing")
    if kind == "string_pattern_mismatch":
        around = ".".join(map(str, path[:-1]))
        known = (
            _FORMS.get(at)
            for at in (label, around, str(path[-1] if path else ""), str(path[0] if path else ""))
        )
        form = next(filter(None, known), _FORMS[""])
        return Finding(path, f"{label}: found {found}", form, key=key)
    if kind in ("too_short", "string_too_short"):
        return Finding(path, f"{label}: at least {context['min_length']} is needed")
    if kind == "string_too_long":
        return Finding(path, f"{label}: longer than {context['max_length']} characters", key=key)
    if kind in ("greater_than_equal", "less_than_equal", "greater_than"):
        ((bound, limit),) = context.items()
        words = {"ge": "at least", "le": "at most", "gt": "more than"}[bound]
        return Finding(path, f"{label}: found {found}, expected {words} {limit:g}")
    expected = _KINDS.get(kind.split("_")[0])
    if expected is None:
        return Finding(path, f"{label}: {item['msg']}")
    hint = "put it into quotes" if expected == "text" and isinstance(value, int | float) else ""
    return Finding(path, f"{label}: expected {expected}, found {found}", hint)


def _choices(value: Any, allowed: Iterable[str]) -> str:
    """The allowed values, all of them, and the one that was probably meant."""
    names = list(allowed)
    close = get_close_matches(str(value).lower(), names, 1, 0.6)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}allowed: {', '.join(names)}"
