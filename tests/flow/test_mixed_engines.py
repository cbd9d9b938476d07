"""Engines mixed in one run (CORE-22, ENG-21): a reader gets equal rows and types whoever made them."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.flow.helpers import odibi

TABLE = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "price": pa.array(["12.345", None, "-99999999999999999999999999999999999.999"]).cast(pa.decimal128(38, 3)),
        "at": pa.array([dt.datetime(2024, 2, 29, 13, 45, 0, 123456), None, dt.datetime(1969, 7, 20)], pa.timestamp("us")),
        "seen": pa.array(
            [dt.datetime(2024, 3, 31, 1, 30, tzinfo=dt.UTC), None, dt.datetime(1900, 1, 1, tzinfo=dt.UTC)],
            pa.timestamp("us", "UTC"),
        ),
        "day": pa.array([dt.date(2024, 2, 29), None, dt.date(1582, 1, 1)], pa.date32()),
        "ratio": pa.array([1.5, None, math.nan], pa.float64()),
        "text": pa.array(["Ærø  ", None, ""]),
        "tags": pa.array([["a", None], None, []], pa.list_(pa.string())),
        "place": pa.array(
            [{"city": "Oslo", "at": [1, 2]}, None, {"city": None, "at": None}],
            pa.struct([("city", pa.string()), ("at", pa.list_(pa.int32()))]),
        ),
        "counts": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "raw": pa.array([b"\x00\xff", None, b""], pa.binary()),
        "small": pa.array([1, None, -128], pa.int8()),
        "flag": pa.array([True, None, False]),
    }
)  # fmt: skip

CONFIG = """
pipeline: mixed
engines: {{bronze: {0}, silver: {1}}}
connections: {{lake: {{url: lake, format: delta}}}}
steps:
  - {{name: raw, layer: bronze, read: in.parquet{2}}}
  - {{name: passed, layer: silver, function: "steps.passing:same"}}
  - {{name: joined, layer: gold, engine: {3}, sql: "SELECT p.* FROM passed p JOIN raw r USING (id)", write: {{to: lake}}}}
  - {{name: again, layer: gold, engine: {0}, sql: "SELECT * FROM joined", write: {{to: lake}}}}
"""


@pytest.mark.parametrize(
    ("engines", "kept"),
    [
        (("duckdb", "pandas", "duckdb"), False),
        (("spark", "pandas", "duckdb"), False),
        (("pandas", "duckdb", "spark"), True),
    ],
    ids=str,
)
def test_types_and_values_survive_every_border(
    tmp_path: Path, engines: tuple[str, str, str], kept: bool
) -> None:
    pq.write_table(TABLE, tmp_path / "in.parquet")
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps/passing.py").write_text(
        "import pandas as pd\n\ndef same(raw: pd.DataFrame):\n    return raw\n"
    )
    first, second, third = engines
    write = ", write: {to: lake}" if kept else ""
    (tmp_path / "c.yaml").write_text(CONFIG.format(first, second, write, third), encoding="utf-8")
    done = odibi("run", "c.yaml", "--output", "json", cwd=tmp_path, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("joined", "again"):
        assert rows(pa.table(DeltaTable(str(tmp_path / "lake/gold" / name)).scan())) == rows(TABLE)
    ran = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(event.get("status") != "failed" for event in ran)


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """Names, kinds and rows; a NaN is equal to itself here."""
    kinds = [(field.name, family(field.type)) for field in table.schema]
    cells = [tuple(repr(plain(value)) for value in row.values()) for row in table.to_pylist()]
    return [tuple(kinds), *sorted(cells)]


def family(kind: pa.DataType) -> str:
    return (
        str(kind)
        .replace("large_", "")
        .replace("_view", "")
        .replace("item", "element")
        .replace(" not null", "")
    )


def plain(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).isoformat()
    return value
