"""The shop with its lake in an object store: Spark's executors write there, bronze and gold are computed here."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
import s3fs
import yaml
from deltalake import DeltaTable

from odibi.config.yaml import parse
from tests import services
from tests.cluster.kube import IMAGE, PROJECT, SMALL, Place, config, kubectl_json, own, sql
from tests.cluster.test_daily_cluster import CONFIG, SILVER, local

__all__ = ["local"]


@pytest.fixture(scope="module")
def store(cluster: None) -> Iterator[str]:
    """An S3 server that this machine and the pods reach at one address, with a bucket."""
    if not own():
        pytest.skip("A FOREIGN CLUSTER REACHES NO SERVER OF THIS MACHINE")
    server = urlsplit(kubectl_json("config", "view", "--minify")["clusters"][0]["cluster"]["server"])
    with socket.create_connection((server.hostname, server.port)) as connection:
        address = connection.getsockname()[0]
    with services.s3(address) as endpoint:
        s3fs.S3FileSystem(key="of-the-shop", secret="known-to-nobody", endpoint_url=endpoint).mkdir("shop")
        yield endpoint


def rows(url: str, options: dict[str, str] | None = None) -> list[str]:
    table = DeltaTable(url, storage_options=options)
    assert table.version() == 0, f"{url} was written more than once"
    return sorted(map(str, pa.table(table.scan()).to_pylist()))


def test_tables_in_a_store_are_those_of_a_local_run(place: Place, local: Path, store: str) -> None:
    shop: dict[str, Any] = parse((place.project / CONFIG).read_bytes(), CONFIG).data
    # The keys are no part of the config: here they are in the environment, in the pods as well.
    shop["connections"]["lake"] = {
        "url": "s3://shop/lake", "format": "delta",
        "options": {"key": "${env:STORE_KEY}", "secret": "${env:STORE_SECRET}", "endpoint_url": store},
    }  # fmt: skip
    env = {"STORE_KEY": "of-the-shop", "STORE_SECRET": "known-to-nobody"}
    shop["kubernetes"]["env"] = env
    (place.project / CONFIG).write_text(yaml.safe_dump(shop, sort_keys=False), "utf-8")
    given = {"shared": place.shared, "namespace": place.name, "image": IMAGE, "spark_image": PROJECT}
    params = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    place.odibi("run", CONFIG, *params, code=0, env=env, timeout=900)
    options = {
        "AWS_ACCESS_KEY_ID": "of-the-shop", "AWS_SECRET_ACCESS_KEY": "known-to-nobody", "AWS_ENDPOINT_URL": store, "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
    }  # fmt: skip
    names = sorted(
        str(path.relative_to(local)) for path in local.glob("*/*") if (path / "_delta_log").is_dir()
    )
    assert len(names) > 12
    for name in names:
        assert rows(f"s3://shop/lake/{name}", options) == rows(str(local / name)), name
    steps = {step["name"]: step for step in place.record()["steps"]}
    assert {name for name, step in steps.items() if step["pods"]} == {*SILVER, "latest_orders"}
    place.assert_clean()
    # and nothing is done again, in the store or in the cluster
    again = place.odibi("run", CONFIG, *params, code=0, env=env, timeout=600)
    assert "is given to" not in again.stderr


def test_no_volume_is_needed_where_tasks_are_in_the_store_too(place: Place, store: str) -> None:
    env = {
        "AWS_ACCESS_KEY_ID": "of-the-shop",
        "AWS_SECRET_ACCESS_KEY": "known-to-nobody",
        "AWS_ENDPOINT_URL": store,
    }
    options = {
        "key": "${env:AWS_ACCESS_KEY_ID}",
        "secret": "${env:AWS_SECRET_ACCESS_KEY}",
        "endpoint_url": store,
    }
    name = place.write(
        "bare.yaml",
        config(
            place, "bare",
            [sql("one", "bronze", "SELECT 1 AS a"), sql("two", "silver", "SELECT a + 1 AS a FROM one", resources=SMALL)],
            of_cluster={"tasks": "s3://shop/tasks", "volumes": [], "env": env},
            connections={"lake": {"url": "s3://shop/bare", "format": "delta", "options": options}},
        ),
    )  # fmt: skip
    place.odibi("run", name, code=0, env=env)
    shown = place.odibi(
        "query", "SELECT a FROM silver.two", "--config", name, "--output", "json", code=0, env=env
    )
    assert json.loads(shown.stdout) == [{"a": 2}]
    place.assert_clean()
