"""What an operation does and takes, for readers and for editors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from odibi.operations import OPERATIONS
from odibi.operations.signature import expected, parameters_of

__all__ = ["OperationDoc", "ParameterDoc", "describe", "parameters_schema"]


@dataclass(frozen=True, slots=True)
class ParameterDoc:
    """A parameter: its key in YAML, what it takes in words, its default (None: it must be given)."""

    key: str
    takes: str
    default: str | None
    doc: str


@dataclass(frozen=True, slots=True)
class OperationDoc:
    """An operation: one sentence, the rest of its text, and an example as the YAML of a step."""

    name: str
    summary: str
    text: str
    parameters: tuple[ParameterDoc, ...]
    example: str


def describe(name: str) -> OperationDoc:
    """An operation's signature and docstring. Raises Permanent for an unknown name."""
    operation = OPERATIONS.get(name)
    head, _, example = inspect.cleandoc(operation.__doc__ or "").partition("Example:")
    text, _, arguments = head.partition("Args:")
    summary, _, rest = text.strip().partition("\n\n")
    docs = _arguments(arguments)
    return OperationDoc(
        name=name,
        summary=" ".join(summary.split()),
        text="\n\n".join(" ".join(paragraph.split()) for paragraph in rest.split("\n\n")),
        parameters=tuple(
            ParameterDoc(
                parameter.key,
                expected(parameter.annotation),
                None if parameter.required else _in_yaml(parameter.default),
                docs.get(parameter.name, ""),
            )
            for parameter in parameters_of(operation)
        ),
        example=inspect.cleandoc(example.partition("```yaml")[2].partition("```")[0]),
    )


def _arguments(text: str) -> dict[str, str]:
    """The Args section of a docstring, by parameter."""
    docs: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(text).splitlines():
        if line.startswith(" "):
            docs[name] += f" {line.strip()}"
        elif line:
            name, _, first = line.partition(":")
            docs[name] = first.strip()
    return docs


def _in_yaml(value: Any) -> str:
    return {True: "true", False: "false", None: "none"}.get(value, str(value))


def parameters_schema(name: str) -> dict[str, Any]:
    """The JSON schema of an operation's YAML value. Raises Permanent for an unknown name."""
    parameters = parameters_of(OPERATIONS.get(name))
    schemas = {parameter.key: parameter.adapter.json_schema() for parameter in parameters}
    if len(parameters) == 1:
        return schemas[parameters[0].key]
    required = [parameter.key for parameter in parameters if parameter.required]
    mapping: dict[str, Any] = {
        "type": "object",
        "properties": schemas,
        "required": required,
        "additionalProperties": False,
    }
    if not parameters or required not in ([], [parameters[0].key]):
        return mapping
    first = schemas[parameters[0].key]
    short = [each for each in first.get("anyOf", [first]) if each.get("type") != "object"]
    return {"anyOf": [*short, mapping]}
