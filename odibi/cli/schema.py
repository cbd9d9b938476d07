"""``odibi schema``: the JSON schema of configs, with every operation's parameters and every option of a read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from odibi.cli.exits import Exit
from odibi.cli.terminal import say

__all__ = ["config_schema", "schema"]


def schema(*, file: str | None) -> int:
    """Print the schema, or write it to a file and print its name."""
    text = json.dumps(config_schema(), indent=2)
    if file is None:
        say(text)
    else:
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8", newline="\n")
        say(file)
    return Exit.SUCCESS


def config_schema() -> dict[str, Any]:
    """The schema as JSON data."""
    from odibi.config.schema import json_schema
    from odibi.datasets.source import ReadOptions
    from odibi.operations import OPERATIONS
    from odibi.operations.describe import parameters_schema

    read = ReadOptions.model_json_schema(by_alias=True)
    options = _whole(read["properties"], read.get("$defs", {}))
    options["date"] = options["partition_date"]
    return json_schema({name: parameters_schema(name) for name in OPERATIONS}, options)


def _whole(value: Any, definitions: dict[str, Any]) -> Any:
    """The schema with what it refers to in its place: the definitions are not those of the config."""
    if isinstance(value, list):
        return [_whole(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _whole(definitions[value["$ref"].rpartition("/")[2]], definitions)
    return {key: _whole(item, definitions) for key, item in value.items()}
