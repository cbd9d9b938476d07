"""The reference pages: ``python -m odibi.operations.docs docs`` writes them, without a folder it prints them.

Every example is run while its page is made, so what a page shows is what odibi does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.config.yaml import parse
from odibi.operations import OPERATIONS
from odibi.operations.call import apply, relations_in
from odibi.operations.describe import OperationDoc, describe
from odibi.relational.functions import FUNCTIONS, GROUPS, Function
from odibi.relational.schema import Relation, quote, schema_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["PAGES", "functions_page", "operations_page", "run_example"]

TABLES: Mapping[str, tuple[Mapping[str, str], Sequence[Sequence[Any]]]] = {
    "orders": (
        {
            "order_id": "INTEGER",
            "customer_id": "INTEGER",
            "status": "VARCHAR",
            "quantity": "INTEGER",
            "price": "DECIMAL(8,2)",
            "note": "VARCHAR",
            "ordered_at": "TIMESTAMP",
        },
        [
            (1, 10, "paid", 2, 5, None, "2024-01-05 09:30:00"),
            (1, 10, "open", 2, 5, "late", "2024-01-04 18:00:00"),
            (2, 11, "paid", 1, 20, None, "2024-02-01 12:00:00"),
            (3, 10, "cancelled", None, 7.5, "gift", "2024-02-02 08:15:00"),
        ],
    ),
    "customers": (
        {"customer_id": "INTEGER", "name": "VARCHAR", "country": "VARCHAR"},
        [(10, "Ada", "DK"), (12, "Bo", "SE")],
    ),
    "prospects": ({"name": "VARCHAR", "source": "VARCHAR"}, [("Cy", "fair")]),
    "sales": (
        {"product": "VARCHAR", "q1": "INTEGER", "q2": "INTEGER"},
        [("apple", 3, 5), ("pear", None, 4)],
    ),
}
"""The tables that the examples transform: columns with types, and rows."""


def run_example(doc: OperationDoc) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns and rows that an operation's example gives; in a fixed order where it sets none."""
    import duckdb

    step = parse(doc.example, doc.name).data
    with duckdb.connect(":memory:") as database:
        known = {name: _create(database, name) for name in TABLES}
        table = known[step["inputs"][0]]
        for number, entry in enumerate(step["transform"]):
            ((name, value),) = entry.items()
            inputs = {each: known[each] for each in relations_in(name, value) if each in step["inputs"]}
            query = apply(name, value, table, inputs, date(2024, 2, 3)).sql("duckdb")
            described = database.execute(f"DESCRIBE {query}").fetchall()
            table = Relation(f"result {number}", schema_of((row[0], row[1]) for row in described))
            database.execute(f"CREATE TABLE {quote(table.name)} AS {query}")
        order = "" if name in ("sort", "limit") else " ORDER BY ALL"
        rows = database.execute(
            f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {quote(table.name)}{order}"
        ).fetchall()
    return table.names, rows


def _create(database: duckdb.DuckDBPyConnection, name: str) -> Relation:
    columns, rows = TABLES[name]
    spec = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
    database.execute(f"CREATE TABLE {quote(name)} ({spec})")
    database.executemany(f"INSERT INTO {quote(name)} VALUES ({', '.join('?' * len(columns))})", rows)
    return Relation(name, schema_of(columns))


def operations_page() -> str:
    """The reference of all operations, in Markdown."""
    parts = [_OPERATIONS_HEAD]
    for name, (columns, rows) in TABLES.items():
        head = [f"{column} ({kind})" for column, kind in columns.items()]
        parts.append(f"`{name}`:\n\n{_table(head, rows)}")
    parts += [_operation(describe(name)) for name in OPERATIONS]
    return "\n\n".join(parts) + "\n"


def _operation(doc: OperationDoc) -> str:
    parts = [f"## {doc.name}", _code(doc.summary), _code(doc.text)]
    rows = [
        (f"`{each.key}`", each.takes, "" if each.default is None else f"`{each.default}`", _code(each.doc))
        for each in doc.parameters
    ]
    parts.append(_table(("parameter", "takes", "default", "what it is"), rows) if rows else "")
    columns, result = run_example(doc)
    parts += [f"```yaml\n{doc.example}\n```", _table(columns, result)]
    return "\n\n".join(part for part in parts if part)


def functions_page() -> str:
    """The table of portable functions, in Markdown."""
    parts = [_FUNCTIONS_HEAD]
    for group in GROUPS:
        rows = [_function(each) for each in FUNCTIONS if each.group == group]
        parts.append(
            f"## {group}\n\n{_table(('function', 'gives', 'what it is', 'example', 'result'), rows)}"
        )
    rules = [(f"`{each.name}`", _code(each.rule)) for each in FUNCTIONS if each.rule]
    parts.append(f"{_RULES_HEAD}\n\n{_table(('function', 'rule'), rules)}")
    return "\n\n".join(parts) + "\n"


def _function(function: Function) -> tuple[str, ...]:
    also = f" Also {', '.join(f'`{alias}`' for alias in function.aliases)}." if function.aliases else ""
    call = function.example.partition(" FROM (VALUES")[0].removesuffix(" AS r")
    rows = function.example.partition(" FROM (VALUES")[2].partition(") t(")[0]
    over = f" over {rows.strip()}" if rows else ""
    return (
        f"`{function.signature}`", function.returns, function.doc + also, f"`{call}`{over}", f"`{function.expected}`"
    )  # fmt: skip


def _code(text: str) -> str:
    return text.replace("``", "`")


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table; NULL is shown as NULL."""
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines += [["NULL" if cell is None else str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_OPERATIONS_HEAD = """# Operations

What a step's `transform:` can do, one operation per entry, in order. Each takes the result of the one
before it; the first takes the step's first input. An operation with one parameter takes its value
directly; otherwise a mapping holds the parameters, and any other value is the first of them. Datasets
that an operation names must be among the step's inputs.

Text that is exactly the name of a column is that column, whatever characters it has; other text is an
expression in DuckDB's SQL, where text stands in single quotes. Names of columns match whatever their
case.

The story of a run shows the rows in and out of every operation as far as they follow from the rows that
came in and were kept. With `count_rows: true` on the step all of them are counted when it is computed, by
a query that computes the operations once more. This page is made from the operations' own docstrings by `python -m odibi.operations.docs docs`.

The examples use these tables:"""

_FUNCTIONS_HEAD = """# Functions

Functions that mean the same on every engine. DuckDB is the reference: what the DuckDB shell answers is
the answer everywhere. A function that is not listed still works on DuckDB and pandas, and binds its
step to them. Text is counted in characters, positions from 1. This page is made from
`odibi/relational/functions.py` by `python -m odibi.operations.docs docs`, and every example is run."""

_RULES_HEAD = """## Rules

Where an engine would answer otherwise by itself, or DuckDB disagrees with itself between versions."""

PAGES = {"operations.md": operations_page, "functions.md": functions_page}
"""The pages by file name."""


def main(arguments: Sequence[str]) -> None:
    """Write the pages into the folder given first, or print them."""
    for name, page in PAGES.items():
        if arguments:
            Path(arguments[0], name).write_text(page(), encoding="utf-8")
        else:
            sys.stdout.write(page())


if __name__ == "__main__":
    main(sys.argv[1:])
