"""Code version, data version, key: what a result is a function of.

Formatting, comments and the order of YAML keys change nothing; rendered SQL is never hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from odibi import relational
from odibi.observe import Observed
from odibi.relational.parse import fingerprint

__all__ = ["code_version", "key_of", "parts_of", "what_changed"]


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    """Declared values with white space folded, so that layout does not count."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def code_version(observed: Observed) -> str:
    """A hash of what the step declares: its operation, its parameters, how it writes."""
    step = observed.step
    what: Any = _plain(step.value)
    if observed.script is not None:
        what = fingerprint(observed.script)
    elif observed.function is not None:
        what = observed.function.source
    elif observed.source is not None:
        what = [observed.source.url, observed.source.format]
    write = step.write.model_dump(mode="json") if step.write else None
    return _hash(
        {
            "type": step.type,
            "what": what,
            "params": _plain(step.params),
            "inputs": dict(observed.inputs),
            "outputs": dict(step.outputs),
            "write": write,
        }
    )


def parts_of(code: str, engine: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """What a key is made of; kept beside the result so that a change can be told."""
    return {"code": code, "engine": engine, "rules": relational.VERSION, "inputs": dict(versions)}


def key_of(parts: Mapping[str, Any]) -> str:
    """The key: equal keys mean equal results."""
    return _hash(parts)


def what_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The difference between two keys' parts in words."""
    changes = []
    if before.get("code") != now["code"]:
        changes.append("its code changed")
    if before.get("engine") != now["engine"]:
        changes.append(f"the engine was {before.get('engine')}")
    if before.get("rules") != now["rules"]:
        changes.append("odibi's rules changed")
    old, new = before.get("inputs", {}), now["inputs"]
    changes += [f"{name} changed" for name in sorted(new) if name in old and old[name] != new[name]]
    changes += [f"{name} is a new input" for name in sorted(new) if name not in old]
    changes += [f"{name} is no input any more" for name in sorted(old) if name not in new]
    return ", ".join(changes) or "its result was made otherwise"
