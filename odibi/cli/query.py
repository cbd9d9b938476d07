"""``odibi query``: a SELECT over the tables of the lake."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from odibi.cli.exits import Exit, NotFound, UsageError
from odibi.cli.lake import Lake, first_paragraph, open_lake
from odibi.cli.show import numbers
from odibi.cli.terminal import complain, say, table
from odibi.errors import nearest
from odibi.relational.schema import quote

__all__ = ["query"]

MOST = 500
"""Rows of the table for people; the other forms print all."""

_AT_A_TIME = 10_000


def query(*, sql: str, config: str | None, target: str | None, output: str) -> int:
    """Print the answer. Raises UsageError for what DuckDB refuses, NotFound for a table without a first write."""
    import duckdb

    with open_lake(config, target) as lake:
        try:
            # Inside FROM a statement can only read, whatever its CTEs hold.
            source = f"(\n{_one_select(lake, sql)}\n)"
            _declare(lake, source)
            columns = {str(row[0]): str(row[1]) for row in lake.db.rows(f"DESCRIBE FROM {source}")}
            _PRINT[output](lake, source, columns)
        except (duckdb.IOException, duckdb.OutOfMemoryException):
            raise  # not what was asked is wrong
        except duckdb.Error as error:
            message = first_paragraph(error)
            missing = re.search(r"Table with name (\S+) does not exist", message)
            if missing:
                names = [name for one in lake.tables for name in (one.name, f"{one.layer}.{one.name}")]
                hint = nearest(missing[1], names, "tables")
                raise UsageError(f"unknown table {missing[1]!r}", hint=hint) from error
            raise UsageError(message) from error
    return Exit.SUCCESS


def _one_select(lake: Lake, sql: str) -> str:
    """The one statement without its semicolon. Raises UsageError if it is not one SELECT."""
    import duckdb

    statements = lake.db.cursor.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"expected one SELECT, found {len(statements) or 'no'} statements")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name.replace("_", " ")
        hint = "it takes SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE; a PIVOT names its values with IN"
        raise UsageError(f"odibi query only reads, this is {kind}", hint=hint)
    ends = [at for at, _ in duckdb.tokenize(sql) if sql.encode()[at : at + 1] == b";"]
    return sql.encode()[: ends[-1]].decode() if ends else sql


def _declare(lake: Lake, source: str) -> None:
    """A view for each table that the query may name, as ``name`` and as ``layer.name``."""
    named = {name.lower() for name in lake.db.cursor.get_table_names(f"FROM {source}")}
    for one in lake.tables:
        if named and one.name.lower() not in named:
            continue  # opening a table costs two milliseconds, and a lake may have a thousand
        opened = lake.open(one)
        if opened is None:
            if named:
                raise NotFound(
                    f"{one.url} has not been written yet",
                    hint=f"odibi run {lake.loaded.file} -s +{one.step}",
                )
            continue
        for place in ("main", one.layer):
            lake.db.cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(place)}")
            lake.db.cursor.execute(f"CREATE VIEW {quote(place)}.{quote(one.name)} AS {opened[0]}")


def _batches(lake: Lake, source: str, select: str) -> Iterator[list[tuple[Any, ...]]]:
    """The answer, some thousand rows at a time."""
    result = lake.db.cursor.execute(f"SELECT {select} FROM {source} AS answer")
    while rows := result.fetchmany(_AT_A_TIME):
        yield rows


def _table(lake: Lake, source: str, columns: dict[str, str]) -> None:
    batches = _batches(lake, f"(FROM {source} LIMIT {MOST + 1})", "CAST(COLUMNS(*) AS VARCHAR)")
    rows = [
        [("NULL", "dim") if value is None else value for value in row] for batch in batches for row in batch
    ]
    say(table(tuple(columns), rows[:MOST], right=numbers(columns)))
    if len(rows) > MOST:
        complain(f"only the first {MOST} rows are shown; --output csv prints all")


def _csv(lake: Lake, source: str, columns: dict[str, str]) -> None:
    say(",".join(map(_field, columns)))
    for rows in _batches(lake, source, "CAST(COLUMNS(*) AS VARCHAR)"):
        say("\n".join(",".join(map(_field, row)) for row in rows))


def _field(value: str | None) -> str:
    """A value of a CSV file: NULL is nothing, empty text is quoted (which Python's csv cannot tell apart)."""
    if value is None:
        return ""
    if value and not any(character in value for character in ',"\r\n'):
        return value
    return '"' + value.replace('"', '""') + '"'


def _json(lake: Lake, source: str, columns: dict[str, str]) -> None:
    del columns
    before = "["
    for rows in _batches(lake, source, "CAST(to_json(answer) AS VARCHAR)"):
        say(before + ",\n".join(_valid(row) for (row,) in rows))
        before = ","
    say("]" if before == "," else "[]")


def _valid(row: str) -> str:
    """DuckDB's JSON without the numbers that JSON does not have."""
    if "NaN" not in row and "Infinity" not in row:
        return row
    return json.dumps(json.loads(row, parse_constant=lambda _: None), ensure_ascii=False)


_PRINT = {"table": _table, "csv": _csv, "json": _json}
