"""Code version, data version, key: what a result is a function of.

Formatting, comments and the order of YAML keys change nothing; rendered SQL is never hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from odibi import relational
from odibi.observe import Observed
from odibi.operations import OPERATIONS
from odibi.operations.columns import Value
from odibi.operations.enrich import stamped
from odibi.operations.python import Function
from odibi.operations.signature import parameters_of
from odibi.relational.compile import Compiled
from odibi.relational.parse import Script, fingerprint
from odibi.relational.parse import volatile as says_volatile

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["code_version", "key_of", "own_versions", "parts_of", "volatile", "what_changed"]

MANY = 5
"""Columns that a reason names; of more the last ones are counted."""


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def code_version(observed: Observed) -> str:
    """A hash of what the step declares: its operation, its parameters, how it writes.

    Of a template what is written counts; what it was rendered with is among the :func:`own_versions`.
    """
    step = observed.step
    said: Mapping[str, Any] = observed.template.step if observed.template else {}
    written = str(said.get("value", step.value)).strip()
    params = dict(said.get("params", step.params))
    what: Any = written
    if observed.script is not None:
        what = fingerprint(observed.script) if written == step.value.strip() else _tokens(written)
    elif observed.function is not None:
        what = [observed.function.name, observed.function.source]
    elif observed.command is not None:
        what = [written, sorted(observed.command.files.items())]
    elif observed.source is not None:
        what = [written if observed.template else observed.source.url, observed.source.format]
    elif "operations" in params:
        params["operations"] = [_operation(item) for item in params["operations"]]
    write = said["write"] if "write" in said else step.write.model_dump(mode="json") if step.write else None
    if isinstance(write, Mapping):  # how a table is looked after changes no row
        write = {key: value for key, value in write.items() if key != "optimize"}
    return _hash(
        {
            "type": step.type,
            "what": what,
            "params": params,
            "inputs": dict(observed.tables),
            "outputs": dict(step.outputs),
            "write": write,
            **({"operation": step.operation} if step.operation is not None else {}),
            **(
                {"incremental": sorted((a, r.model_dump()) for a, r in step.incremental.items())}
                if step.incremental
                else {}
            ),
        }
    )


def _operation(item: Mapping[str, Any]) -> list[Any]:
    """An operation with the layout of its expressions gone; constants stay as they are."""
    ((name, value),) = item.items()
    if isinstance(value, str):
        return [name, _tokens(value)]
    if name in OPERATIONS and any(_holds(p.annotation, Value) for p in parameters_of(OPERATIONS.get(name))):
        return [name, value]
    return [name, _tokens(value)]


def _holds(annotation: Any, kind: Any) -> bool:
    return annotation == kind or any(_holds(part, kind) for part in get_args(annotation))


def _tokens(value: Any) -> Any:
    """Texts as the words of SQL they are made of; strings in quotes are one word."""
    if isinstance(value, Mapping):
        return {str(key): _tokens(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tokens(item) for item in value]
    if not isinstance(value, str):
        return value
    from sqlglot import tokenize
    from sqlglot.errors import TokenError

    try:
        return [[token.token_type.name, token.text] for token in tokenize(value, read="duckdb")]
    except TokenError:
        return value


def own_versions(observed: Observed, loaded: Loaded) -> dict[str, str]:
    """What a result depends on beside its inputs: files it reads, names in its templates, the run a function asks about."""
    used = observed.template.names if observed.template else ()
    own = {f"parameter {name}": str(loaded.context.get(name)) for name in used}
    if observed.seen is not None:
        own["files"] = observed.seen.version
    operations = observed.step.params.get("operations", ())
    dated = any(name == "enrich" and stamped(value) for item in operations for name, value in item.items())
    if dated or observed.command is not None:
        own["logical date"] = loaded.logical_date.isoformat()
    if observed.declared.checks:
        own["checks"] = observed.declared.version
    if observed.function is not None and observed.function.context:
        own["logical date"] = loaded.logical_date.isoformat()
        own["run parameters"] = _hash(dict(loaded.params))
    return own


def volatile(
    script: Script | None,
    function: Function | None,
    compiled: Mapping[str, Compiled] | None,
    *,
    alone: bool = False,
) -> bool:
    """Whether equal inputs may give another result: by the clock, by chance, by the world outside.

    ``alone`` says that it is a command without inputs.
    """
    if alone:
        return True
    if function is not None:
        return not function.inputs
    if script is None:
        script = Script("", tuple(query.meaning for query in (compiled or {}).values()))
    return says_volatile(script)


def parts_of(code: str, engine: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """What a key is made of; kept beside the result so that a change can be told."""
    return {"code": code, "engine": engine, "rules": relational.VERSION, "inputs": dict(versions)}


def key_of(parts: Mapping[str, Any]) -> str:
    """The key: equal keys mean equal results."""
    return _hash(parts)


def what_changed(
    before: Mapping[str, Any], now: Mapping[str, Any], columns: Mapping[str, Sequence[str]] | None = None
) -> str:
    """The difference between two keys' parts in words; ``columns`` are those of an input that count."""
    changes = []
    if before.get("code") != now["code"]:
        changes.append("its code changed")
    if before.get("engine") != now["engine"]:
        changes.append(f"the engine was {before.get('engine')}")
    if before.get("rules") != now["rules"]:
        changes.append("odibi's rules changed")
    old, new = before.get("inputs", {}), now["inputs"]
    changes += [
        f"{name} changed{_among((columns or {}).get(name, ()))}"
        for name in sorted(new)
        if name in old and old[name] != new[name]
    ]
    changes += [f"{name} is a new input" for name in sorted(new) if name not in old]
    changes += [f"{name} is no input any more" for name in sorted(old) if name not in new]
    return ", ".join(changes) or "its result was made otherwise"


def _among(columns: Sequence[str]) -> str:
    if len(columns) > MANY:
        columns = (*columns[: MANY - 1], f"{len(columns) - MANY + 1} others")
    *others, last = columns or ("",)
    return f" in {', '.join(others)} or {last}" if others else f" in {last}" if last else ""
