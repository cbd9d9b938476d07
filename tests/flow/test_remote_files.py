"""Files elsewhere: in memory, on S3 and on Azure, read and written by every engine; the servers are real."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

from odibi.config.load import load
from odibi.orchestrator import plan, run
from tests import services


@dataclass(frozen=True)
class Store:
    """A place of one's own: its url, its options, what the environment must hold for those."""

    url: str
    options: Mapping[str, Any]
    environ: Mapping[str, str]

    def system(self) -> tuple[Any, str]:
        return fsspec.core.url_to_fs(self.url, **json.loads(self._resolved()))

    def _resolved(self) -> str:
        text = json.dumps(dict(self.options))
        for name, value in self.environ.items():
            text = text.replace(f"${{env:{name}}}", value)
        return text


@pytest.fixture(scope="module")
def on_s3() -> Iterator[Store]:
    with services.s3() as endpoint:
        options = {
            "key": "${env:LAKE_KEY}",
            "secret": "${env:LAKE_SECRET}",
            "endpoint_url": endpoint,
            "client_kwargs": {"region_name": "eu-west-1"},
        }
        store = Store("s3://lake/shop", options, {"LAKE_KEY": "AKIA-TEST", "LAKE_SECRET": "s3-S3NT1NEL"})
        store.system()[0].mkdir("lake")
        yield store


@pytest.fixture(scope="module")
def on_azure() -> Iterator[Store]:
    with services.azurite() as connection:
        options = {"connection_string": "${env:LAKE_CONNECTION}"}
        url = f"abfss://lake@{services.ACCOUNT}.dfs.core.windows.net/shop"
        store = Store(url, options, {"LAKE_CONNECTION": connection})
        store.system()[0].mkdir("lake")
        yield store


@pytest.fixture(params=["memory", "on_s3", "on_azure"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    if request.param == "memory":
        found = Store(f"memory://{tmp_path.name}", {}, {})
    else:
        found = request.getfixturevalue(request.param)
    for name, value in found.environ.items():
        monkeypatch.setenv(name, value)
    system, root = found.system()
    if system.exists(root):
        system.rm(root, recursive=True)
    for day in (14, 15):
        for hour in (1, 2):
            data = json.dumps({"id": day * 100 + hour}).encode()
            system.pipe_file(f"{root}/events/year=2024/month=01/day={day}/{hour}.json", data)
    system.pipe_file(f"{root}/orders.csv", b"id,price\n1,2.5\n2,3.5\n")
    return found


CONFIG = """\
pipeline: shop
engine: {engine}
date: 2024-01-15
connections:
  lake: {{url: "{url}", options: {options}}}
steps:
  - {{name: events, layer: bronze, read: {{from: lake, prefix: events/year=2024/month=01/day=15/, format: json}},
     write: {{to: lake, path: out/events, format: parquet, partition_by: day}}}}
  - {{name: orders, layer: bronze, read: {{from: lake, path: "ord*.csv"}},
     write: {{to: lake, path: out/orders, formats: [csv, json, parquet]}}}}
  - {{name: log, layer: silver, sql: "select id, price * 2 as double_price from orders",
     write: {{to: lake, path: out/log, format: csv, mode: append}}}}
"""

AGAIN = """\
pipeline: readers
engine: {engine}
connections:
  lake: {{url: "{url}", options: {options}}}
steps:
  - {{name: events, layer: bronze, read: {{from: lake, path: out/events.parquet}}}}
  - {{name: orders, layer: bronze, read: {{from: lake, path: out/orders.parquet}}}}
  - {{name: log, layer: bronze, read: {{from: lake, path: out/log.csv}}}}
  - name: result
    layer: gold
    sql: select e.id, e.day, o.price, l.double_price from events e, orders o, log l where o.id = l.id order by all
"""


def _round_trip(store: Store, engine: str) -> None:
    given = {"engine": engine, "url": store.url, "options": json.dumps(dict(store.options))}
    Path("shop.yaml").write_text(CONFIG.format(**given))
    Path("again.yaml").write_text(AGAIN.format(**given))
    result = run(load("shop.yaml"))
    assert result.success, result.error
    system, root = store.system()
    assert system.cat(f"{root}/out/orders.csv") == b"id,price\n1,2.5\n2,3.5\n"
    assert json.loads(system.cat(f"{root}/out/orders.json")) == [
        {"id": 1, "price": 2.5},
        {"id": 2, "price": 3.5},
    ]
    assert [name.rpartition("/out/")[2] for name in system.find(f"{root}/out/events.parquet")] == [
        "events.parquet/day=15/part-0.parquet"
    ]
    rows = run(load("again.yaml"), keep_final=True).final_result.to_pylist()
    assert rows == [
        {"id": number, "day": 15, "price": price, "double_price": 2 * price}
        for number in (1501, 1502)
        for price in (2.5, 3.5)
    ]
    assert {str(step.decision.action) for step in plan(load("shop.yaml")).steps} == {"reuse"}
    system.pipe_file(f"{root}/orders.csv", b"id,price\n1,2.5\n2,4.5\n")
    again = run(load("shop.yaml"))
    assert [step.name for step in again.run.steps if step.status == "completed"] == ["orders", "log"]
    assert b"2,9.0" in system.cat(next(name for name in system.find(f"{root}/out/log.csv")))


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_files_elsewhere_are_read_and_written(store: Store, engine: str) -> None:
    _round_trip(store, engine)


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_spark_is_handed_what_is_elsewhere(store: Store, spark_session: object) -> None:
    _round_trip(store, "spark")
