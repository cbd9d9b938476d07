"""Credentials that stand in a config, where everybody reads them who may read it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from odibi.config.models import Pipeline
from odibi.config.secrets import Reference, places, references

__all__ = ["by_environment", "hard_coded", "secrets_used"]

_NAMED = re.compile(
    r"(^|_)(password|passwd|pwd|secret|secret_key|secret_access_key|client_secret|account_key|access_token|"
    r"api_?key|auth_?token|token|sas_token|credential|private_key|routing_key|connection_string|authorization)$",
    re.IGNORECASE,
)
"""Keys whose values are credentials."""

_LOOKS = (
    (re.compile(r"://[^/\s:@]*:(?!\$\{)[^/\s@]+@"), "a password in a URL"),
    (
        re.compile(r"\b(Bearer|Basic)\s+(?!\$\{)[A-Za-z0-9._~+/\-]{8,}=*", re.IGNORECASE),
        "an authorization header",
    ),
    (re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), "a key of AWS"),
    (re.compile(r"AccountKey=(?!\$\{)[^;\s]{20,}"), "a key of an Azure account"),
    (re.compile(r"hooks\.slack\.com/\w+/(?!\$\{)\w"), "a webhook of Slack"),
    (re.compile(r"[?&]sig=(?!\$\{)[^&\s]{20,}"), "a signature of Azure"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (re.compile(r"\b(ghp|gho|ghs)_[A-Za-z0-9]{30,}|\bxox[abp]-[A-Za-z0-9-]{10,}"), "a token"),
)

Place = tuple[Any, ...]


def hard_coded(pipeline: Pipeline) -> Iterator[tuple[Place, str]]:
    """Where credentials stand, and what they look like."""
    for name, connection in pipeline.connections.items():
        yield from _in(("connections", name, "url"), "url", connection.url)
        yield from _in(("connections", name, "options"), "options", connection.options)
    for index, hook in enumerate(pipeline.hooks):
        for key in ("url", "headers", "routing_key", "password"):
            yield from _in(("hooks", index, key), key, getattr(hook, key))
    yield from _in(("variables",), "variables", pipeline.variables)
    for index, step in enumerate(pipeline.steps):
        yield from _in(("steps", index, "value"), "value", step.value)
        yield from _in(("steps", index, "params"), "params", step.params)


def _in(at: Place, key: str, value: Any) -> Iterator[tuple[Place, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _in((*at, name), str(name), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _in((*at, index), key, item)
    elif isinstance(value, str) and value:
        found = next((what for pattern, what in _LOOKS if pattern.search(value)), "")
        if not found and _NAMED.search(key) and not references(value) and "{{" not in value:
            found = f"the value of {key!r}"
        if found:
            yield at, found


def secrets_used(pipeline: Pipeline) -> Iterator[Place]:
    """Where ``${secret:name}`` stands."""
    for at, text in places(pipeline):
        if any(reference.kind == "secret" for reference in references(text)):
            yield at


def by_environment(pipeline: Pipeline) -> Iterator[tuple[Place, Reference]]:
    """Where a credential is taken from an environment variable instead of ``${secret:name}``."""
    for at, text in places(pipeline):
        key = next((part for part in reversed(at) if isinstance(part, str)), "")
        for reference in references(text):
            if reference.kind == "env" and (_NAMED.search(key) or _NAMED.search(reference.name)):
                yield at, reference
