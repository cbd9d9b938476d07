"""Delta tables in object stores, through the command line: every write mode, equal to what a disk holds.

The stores are real servers: S3's protocol by moto, Azure's by Microsoft's Azurite. The project has no
folder for tables, only for what comes in and for odibi's own files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from odibi.places import Url
from odibi.stores import delta_options
from tests import services
from tests.flow.helpers import odibi

ENGINES = ("duckdb", "pandas")


@dataclass(frozen=True)
class Store:
    """Where tables are: a url, the options of its connection, what the environment must hold for those."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def resolved(self) -> dict[str, Any]:
        text = json.dumps(dict(self.options))
        for name, value in self.environ.items():
            text = text.replace(f"${{env:{name}}}", value)
        found: dict[str, Any] = json.loads(text)
        return found

    def below(self, name: str) -> Store:
        return Store(f"{self.url}/{name}", self.options, self.environ)

    def system(self) -> tuple[Any, str]:
        found, path = fsspec.core.url_to_fs(self.url, **self.resolved)
        found.invalidate_cache()
        return found, path

    def files(self, name: str = "") -> list[str]:
        """Every file below, as paths from here."""
        system, path = self.system()
        return sorted(each[len(path) + 1 :] for each in system.find(f"{path}/{name}".rstrip("/")))

    def storage(self) -> dict[str, str] | None:
        return delta_options(Url(self.url, self.resolved)) if self.options else None

    def table(self, name: str) -> DeltaTable:
        return DeltaTable(f"{self.url}/{name}", storage_options=self.storage())

    def rows(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        table = pa.table(self.table(name).scan())
        return sorted(
            (tuple(row[c] for c in columns or table.column_names) for row in table.to_pylist()), key=repr
        )


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with services.s3() as endpoint:
        options = {
            "key": "${env:LAKE_KEY}",
            "secret": "${env:LAKE_SECRET}",
            "endpoint_url": endpoint,
            "client_kwargs": {"region_name": "eu-west-1"},
        }
        store = Store("s3://lake", options, {"LAKE_KEY": "AKIA-TEST", "LAKE_SECRET": "s3-S3NT1NEL"})
        store.system()[0].mkdir("lake")
        yield store


@pytest.fixture(scope="module")
def azure() -> Iterator[Store]:
    with services.azurite() as connection:
        url = f"abfss://lake@{services.ACCOUNT}.dfs.core.windows.net"
        store = Store(url, {"connection_string": "${env:LAKE_CONNECTION}"}, {"LAKE_CONNECTION": connection})
        store.system()[0].mkdir("lake")
        yield store


@pytest.fixture(params=["s3", "azure"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found.below(f"{tmp_path.name} a")  # with a space: names are spelled in many ways


CONFIG = """
pipeline: shop
engine: {engine}
connections: {{lake: {{url: "{url}", format: delta, options: {options}}}}}
steps:
  - name: changes
    layer: bronze
    read: {{path: "in/{{{{ date }}}}.csv", schema: {{id: BIGINT, at: BIGINT, op: VARCHAR, city: VARCHAR}}}}
    checks: [{{between: {{column: at, min: 1, max: 99, on_fail: quarantine}}}}]
    write: {{to: lake, mode: append}}
  - name: landed
    layer: bronze
    read: {{path: "in/*.csv", files: new, schema: {{id: BIGINT, at: BIGINT, op: VARCHAR, city: VARCHAR}}}}
    write: {{to: lake, mode: append, partition_by: [op]}}
  - name: day_changes
    layer: silver
    sql: SELECT id, at, op, city FROM changes WHERE _logical_date = DATE '{{{{ date }}}}'
  - name: customers
    layer: silver
    inputs: [day_changes]
    transform: [{{derive: {{city: upper(city)}}}}]
    write: {{to: lake, mode: merge, keys: [id], sequence_by: at, delete_when: "op = 'D'", exclude: [op]}}
  - name: history
    layer: silver
    inputs: [day_changes]
    transform: [{{derive: {{city: upper(city)}}}}]
    write: {{to: lake, mode: scd2, keys: [id], sequence_by: at, delete_when: "op = 'D'", exclude: [op, at]}}
  - name: seen
    layer: silver
    inputs: [{{from: changes, rows: new}}]
    transform: [{{select: [id, at, city]}}]
    write: {{to: lake, mode: append}}
  - name: day
    layer: silver
    sql: SELECT DATE '{{{{ date }}}}' AS day, id, city FROM day_changes
    write: {{to: lake, mode: replace_partitions, partition_by: [day]}}
  - name: window_rows
    layer: silver
    sql: SELECT DATE '{{{{ date }}}}' AS day, id FROM day_changes
    write: {{to: lake, mode: replace_where, where: "day = DATE '{{{{ date }}}}'"}}
  - name: by_city
    layer: gold
    sql: SELECT city, count(*) AS customers FROM customers GROUP BY city
    write: {{to: lake}}
  - name: published
    layer: gold
    sql: SELECT * FROM by_city
    write: {{to: lake, formats: [delta, csv]}}
"""
DAYS = {
    "2024-01-01": "1,10,U,oslo\n2,10,U,rome\n3,11,U,bonn\n9,100,U,nowhere\n",
    "2024-01-02": "1,20,U,paris\n2,21,D,\n",
    "2024-01-03": "3,30,U,bonn\n4,30,U,oslo é%\n1,31,U,oslo\n9,101,U,nowhere\n",
}
TABLES = {
    "bronze/changes": ("id", "at", "op", "city", "_logical_date"),
    "bronze/changes_quarantine": ("id", "at", "op", "city", "_odibi_date"),
    "bronze/landed": ("id", "at", "op", "city", "_logical_date"),
    "silver/customers": ("id", "at", "city"),
    "silver/history": ("id", "city", "valid_from", "valid_to", "is_current"),
    "silver/seen": ("id", "at", "city", "_logical_date"),
    "silver/day": ("day", "id", "city"),
    "silver/window_rows": ("day", "id"),
    "gold/by_city": ("city", "customers"),
    "gold/published": ("city", "customers"),
}


def made(folder: Path, store: Store, engine: str = "duckdb", config: str = CONFIG) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    given = {"engine": engine, "url": store.url, "options": json.dumps(dict(store.options))}
    (folder / "c.yaml").write_text(config.format(**given), encoding="utf-8")
    return folder


def come(folder: Path, day: str) -> None:
    """The file of a day comes in."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / f"{day}.csv").write_text(f"id,at,op,city\n{DAYS[day]}", encoding="utf-8")


def run(
    folder: Path, store: Store, day: str, *more: str, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    done = odibi(
        "run",
        "c.yaml",
        "--date",
        day,
        "--output",
        "json",
        *more,
        cwd=folder,
        env={**store.environ, **(env or {})},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "S3NT1NEL" not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def held(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    return {name: store.rows(name, *columns) for name, columns in TABLES.items()}


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """What the three days make of tables on a disk."""
    folder = tmp_path_factory.mktemp("disk")
    local = Store(str(folder / "lake"))
    made(folder, local)
    for day in DAYS:
        come(folder, day)
        run(folder, local, day)
    found = held(local)
    assert {name: len(found[name]) for name in list(found)[:2]} == {
        "bronze/changes": 8,
        "bronze/changes_quarantine": 2,
    }
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_three_days_in_a_store_are_what_they_are_on_a_disk(
    tmp_path: Path, store: Store, engine: str, on_disk: Mapping[str, list[tuple[Any, ...]]]
) -> None:
    made(tmp_path, store, engine)
    for day in DAYS:
        come(tmp_path, day)
        run(tmp_path, store, day)
    assert held(store) == on_disk
    assert not [name for name in store.files() if "_staging" in name]
    versions = {name: store.table(name).version() for name in TABLES}
    again = run(tmp_path, store, "2024-01-03")
    assert {name: store.table(name).version() for name in TABLES} == versions
    assert set(again["steps"]) <= {"reused", "skipped"}, again
