"""``odibi show``: a table of the lake, what it is and how its rows look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odibi.cli.exits import Exit, NotFound
from odibi.cli.lake import Lake, LakeTable, last_write, open_lake
from odibi.cli.terminal import say, say_json, table
from odibi.errors import nearest
from odibi.relational.schema import Schema, quote
from odibi.story.text import count

__all__ = ["numbers", "show"]

_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "UINTEGER",
    "UBIGINT",
)

LONGEST = 200  # characters of a value that are shown


def numbers(types: Mapping[str, str]) -> list[str]:
    """The columns whose values are written to the right, of types in DuckDB's spelling by column."""
    return [name for name, kind in types.items() if kind.startswith(_NUMBERS) and not kind.endswith("]")]


def show(*, name: str, config: str | None, rows: int, target: str | None, output: str) -> int:
    """Print the table that ``name`` means."""
    with open_lake(config, target) as lake:
        found = next((one for one in lake.tables if one.answers_to(name)), None)
        if found is None:
            known = [one.name for one in lake.tables]
            message = f"{lake.loaded.file} writes no table {name!r}"
            raise NotFound(
                message, hint=nearest(name.replace(".", "/").rpartition("/")[2], known, "its tables")
            )
        opened = lake.open(found)
        if opened is None:
            raise NotFound(
                f"{found.url} has not been written yet", hint=f"odibi run {lake.loaded.file} -s +{found.step}"
            )
        data = _described(lake, found, *opened, rows)
    if output == "json":
        say_json(data)
    else:
        _print(data, {column.name: column.type for column in opened[1]})
    return Exit.SUCCESS


def _described(lake: Lake, found: LakeTable, sql: str, schema: Schema, rows: int) -> dict[str, Any]:
    masked = lake.sensitive(schema)
    columns = ", ".join(
        f"CASE WHEN {quote(c.name)} IS NOT NULL THEN '***' END"
        if c.name in masked
        else f"CAST({quote(c.name)} AS VARCHAR)[:{LONGEST}]"
        for c in schema
    )
    sample = lake.db.rows(f"SELECT {columns} FROM ({sql}) LIMIT {rows}") if rows else []
    return {
        "dataset": found.name,
        "layer": found.layer,
        "step": found.step,
        "format": found.format,
        "url": found.url,
        "also": [target.url for target in found.targets[1:]],
        **last_write(found),
        "rows": lake.db.rows(f"SELECT count(*) FROM ({sql})")[0][0],
        "columns": [{"name": c.name, "type": c.type, "masked": c.name in masked} for c in schema],
        "sample": [dict(zip((c.name for c in schema), row, strict=True)) for row in sample],
    }


def _print(data: dict[str, Any], types: dict[str, str]) -> None:
    say(f"{data['layer']}.{data['dataset']}  {data['format']} at {data['url']}")
    for url in data["also"]:
        say(f"also written to {url}")
    said = [f"version {data['version']}"] if data["version"] is not None else []
    if data["written_at"] is not None:
        said.append(f"written {data['written_at']:%Y-%m-%d %H:%M:%S} UTC")
    if data["run_id"] is not None:
        said.append(f"by run {data['run_id'][:8]} for {data['logical_date']}")
    say(", ".join([*said, count(data["rows"], "row")]))
    say()
    say(
        table(
            ("Column", "Type"), [(c["name"], c["type"] + " (masked)" * c["masked"]) for c in data["columns"]]
        )
    )
    if data["sample"]:
        say()
        rows = [
            [("NULL", "dim") if value is None else value for value in row.values()] for row in data["sample"]
        ]
        say(table(tuple(types), rows, right=numbers(types)))
