"""Delta tables compared with each other and with TPC-H's reference answers, without odibi.

The answers are those of DuckDB's tpch extension 1.5.5 (``tpch_answers()``), with a ``|`` after each value as
in dbgen's own files. They are not rounded: whole numbers, decimals, dates and texts must be equal exactly (a
decimal whatever its scale), doubles at 12 significant digits.

That extension fills addresses and comments with other random text than tpchgen-cli does; all else in the
data is the same. So those values are left empty in the answers, and looked up in the data by the row's key;
q13, which counts customers by what is in comments, is counted here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from math import isclose
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

__all__ = ["QUERIES", "Columns", "Contents", "Row", "contents", "differences", "expected"]

QUERIES = tuple(f"q{number:02}" for number in range(1, 23))

Row = tuple[Any, ...]
Columns = tuple[tuple[str, str], ...]

KEYS = {"s": ("supplier", "s_name"), "c": ("customer", "c_custkey")}
"""Of the columns that start with that letter: their table, and its key in the answers."""


@dataclass(frozen=True)
class Contents:
    """A table's columns with their Delta types, and its rows in an order of their own."""

    columns: Columns
    rows: tuple[Row, ...]


def contents(table: Path) -> Contents:
    """What a Delta table holds."""
    handle = DeltaTable(str(table))
    columns = tuple((field.name, str(field.type.type)) for field in handle.schema().fields)
    rows = pa.table(handle.scan()).select([name for name, _ in columns]).to_pylist()
    return Contents(columns, _ordered(tuple(row.values()) for row in rows))


def expected(query: str, answers: Path, data: Path, columns: Columns) -> Contents:
    """The right answer to a query over the Parquet files in ``data``, read as the types of ``columns``."""
    if query == "q13":
        counts = Counter(_orders_of_customers(data).values())
        return Contents((("c_count", "long"), ("custdist", "long")), _ordered(counts.items()))
    names, *lines = _answer(query, answers)
    kinds = {name: kind for name, kind in columns if name in names}
    if len(kinds) < len(names):
        return Contents(tuple((name, kinds.get(name, "")) for name in names), ())
    rows = (
        tuple(
            _looked_up(data, name, values)
            if name[2:] in {"address", "comment"}
            else _value(text, kinds[name])
            for name, text in values.items()
        )
        for values in (dict(zip(names, line, strict=True)) for line in lines)
    )
    return Contents(tuple((name, kinds[name]) for name in names), _ordered(rows))


def differences(found: Contents, other: Contents) -> list[str]:
    """In words what is not equal: the columns, the number of rows, or the first rows that differ."""
    if found.columns != other.columns:
        return [f"columns {found.columns} instead of {other.columns}"]
    if len(found.rows) != len(other.rows):
        return [f"{len(found.rows)} rows instead of {len(other.rows)}"]
    pairs = zip(found.rows, other.rows, strict=True)
    return [f"{one} instead of {two}" for one, two in pairs if not all(map(_equal, one, two))][:3]


def _answer(query: str, answers: Path) -> list[list[str]]:
    """Names and rows of an answer, as text."""
    part = next(part for part in answers.read_text("utf-8").split("-- ") if part.startswith(query))
    return [line.split("|")[:-1] for line in part.splitlines()[1:]]


def _value(text: str, kind: str) -> Any:
    if text == "":
        return None
    if kind in {"integer", "long"}:
        return int(text)
    if kind.startswith("decimal"):
        return Decimal(text)
    return {"double": float, "date": date.fromisoformat, "string": str}[kind](text)


def _looked_up(data: Path, column: str, row: Mapping[str, str]) -> str:
    table, key = KEYS[column[0]]
    return _texts(data / f"{table}.parquet", key, column)[row[key]]


@cache
def _texts(file: Path, key: str, column: str) -> dict[str, str]:
    rows = pq.read_table(file, columns=[key, column]).to_pylist()
    return {str(row[key]): row[column] for row in rows}


def _orders_of_customers(data: Path) -> Counter[int]:
    """How many orders each customer has whose comment is not of a special request."""
    customers = pq.read_table(data / "customer.parquet", columns=["c_custkey"])["c_custkey"].to_pylist()
    orders = pq.read_table(data / "orders.parquet", columns=["o_custkey", "o_comment"]).to_pylist()
    counts = Counter(dict.fromkeys(customers, 0))
    counts.update(
        row["o_custkey"] for row in orders if not re.search(r"special.*requests", row["o_comment"], re.DOTALL)
    )
    return counts


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-12, abs_tol=0)
    return type(one) is type(other) and one == other


def _ordered(rows: Any) -> tuple[Row, ...]:
    """By all that is compared exactly, then by the doubles."""

    def order(row: Row) -> tuple[Row, Row]:
        exact = tuple((value is not None, value) for value in row if not isinstance(value, float))
        return exact, tuple(value for value in row if isinstance(value, float))

    return tuple(sorted(rows, key=order))
