"""``odibi docs``: operations, functions and config keys, from what the code itself says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from odibi.cli.exits import Exit, NotFound
from odibi.cli.terminal import paint, say, table
from odibi.errors import nearest

__all__ = ["docs", "sections", "takes"]


def docs(*, topic: str | None, name: str | None) -> int:
    """Print the index of a topic (of all if None), or one entry of it in full."""
    if name is None:
        for number, one in enumerate([topic] if topic else _TOPICS):
            if number:
                say()
            say(paint(one.capitalize(), "bold"))
            say(_TOPICS[one].index())
        return Exit.SUCCESS
    about = _TOPICS[str(topic)]
    names = {known.lower(): known for known in about.names()}
    if name.lower() not in names:
        raise NotFound(f"{topic} has no {name!r}", hint=nearest(name, names.values()))
    say(about.entry(names[name.lower()]))
    return Exit.SUCCESS


# --- operations ----------------------------------------------------------------------------------


def _operations() -> Iterable[str]:
    from odibi.operations import OPERATIONS

    return OPERATIONS


def _operation_index() -> str:
    from odibi.operations.describe import describe

    return table(("Operation", "What it does"), [(name, describe(name).summary) for name in _operations()])


def _operation(name: str) -> str:
    from odibi.operations.describe import describe

    found = describe(name)
    rows = [
        (one.key, one.takes, "required" if one.default is None else one.default, one.doc)
        for one in found.parameters
    ]
    parameters = table(("Parameter", "Takes", "Default", "Meaning"), rows)
    return _paragraphs(paint(name, "bold"), found.summary, found.text, parameters, found.example)


# --- functions -----------------------------------------------------------------------------------


def _functions() -> Iterable[str]:
    from odibi.relational.functions import FUNCTIONS

    return [name for function in FUNCTIONS for name in function.names]


def _function_index() -> str:
    from odibi.relational.functions import FUNCTIONS

    rows = [(function.signature, function.returns, function.doc) for function in FUNCTIONS]
    return table(("Function", "Gives", "What it is"), rows)


def _function(name: str) -> str:
    from odibi.relational.functions import FUNCTIONS

    found = next(function for function in FUNCTIONS if name in function.names)
    return _paragraphs(
        f"{paint(found.signature, 'bold')} gives {found.returns}",
        found.doc,
        f"SELECT {found.example}  gives  {found.expected}",
        f"Also {', '.join(found.aliases)}." if found.aliases else "",
        f"On other engines: {found.rule}." if found.rule else "",
    )


# --- config --------------------------------------------------------------------------------------


def sections() -> dict[str, Mapping[str, Any]]:
    """The mappings a config is made of, by name."""
    from odibi.cli.schema import config_schema

    schema = config_schema()
    models = {name.lower(): model for name, model in schema["definitions"].items() if "properties" in model}
    read = next(one for one in models["step"]["properties"]["read"]["anyOf"] if one["type"] == "object")
    return {"pipeline": schema, **models, "read": {"description": "Read files or a table.", **read}}


def _config_index() -> str:
    rows = [
        (name, str(model["description"]).partition("\n")[0], ", ".join(model["properties"]))
        for name, model in sections().items()
    ]
    return table(("Section", "What it is", "Keys"), rows)


def _section(name: str) -> str:
    from odibi.cli.schema import config_schema

    model, enums = sections()[name], config_schema()["definitions"]
    rows = [
        (key, takes(value, enums), value.get("description", "")) for key, value in model["properties"].items()
    ]
    return _paragraphs(paint(name, "bold"), model["description"], table(("Key", "Takes", "Meaning"), rows))


def takes(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What a key takes, in a few words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return takes(definitions[name], definitions) if "enum" in definitions[name] else name.lower()
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        # A template may stand for anything; saying so at every key would only hide the rest.
        kinds = [takes(one, definitions) for one in schema["anyOf"] if one.get("pattern") != r"\{[{%]"]
        return " | ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if schema.get("type") == "array":
        items = takes(schema.get("items", {}), definitions)
        return f"list of ({items})" if " | " in items else f"list of {items}"
    kind = str(schema.get("type", "anything"))
    return {"string": "text", "object": "mapping", "boolean": "true | false", "integer": "number"}.get(
        kind, kind
    )


def _paragraphs(*texts: str) -> str:
    """The texts that say something, a blank line between them, without the marks of code."""
    return "\n\n".join(text.replace("``", "`") for text in texts if text)


@dataclass(frozen=True)
class _Topic:
    names: Callable[[], Iterable[str]]
    index: Callable[[], str]
    entry: Callable[[str], str]


_TOPICS = {
    "operations": _Topic(_operations, _operation_index, _operation),
    "functions": _Topic(_functions, _function_index, _function),
    "config": _Topic(sections, _config_index, _section),
}
