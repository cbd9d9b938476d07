"""Manifests against the schema that Kubernetes publishes, where the package that holds it is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from odibi.kubernetes.told import Finding

__all__ = ["against_schema", "schema_installed"]

VERSION = "1.31"
"""The oldest Kubernetes that has all that odibi's Jobs say."""


def schema_installed() -> bool:
    """Whether there is a schema to hold manifests against."""
    return find_spec("kubernetes_validate") is not None


def against_schema(manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """What the schema refuses, unknown keys too; a note where there is none to ask."""
    if missing := [key for key in ("apiVersion", "kind") if not manifest.get(key)]:
        yield Finding(missing[0], "it is missing", "say what kind of object this is")
        return
    if not schema_installed():
        hint = "pip install kubernetes-validate"
        yield Finding("", "not checked against the published schema, which is not installed", hint, "note")
        return
    import kubernetes_validate

    try:
        kubernetes_validate.validate(dict(manifest), VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield Finding(_place(error.absolute_path), error.message[:300], f"as Kubernetes {VERSION} has it")
    except kubernetes_validate.SchemaNotFoundError:
        message = f"no schema is published for {manifest['kind']} of {manifest['apiVersion']}"
        yield Finding("kind", message, level="note")


def _place(path: Any) -> str:
    place = ""
    for part in path:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.lstrip(".")
