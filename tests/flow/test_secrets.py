"""A secret that a failing run has used is in nothing that the run leaves or says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.helpers import odibi, project

SENTINEL = "S3NT1NEL-5f2c/+="
ENCODED = "S3NT1NEL-5f2c%2F%2B%3D"

CONFIG = """
    pipeline: shop
    date: "2026-01-05"
    secrets: {provider: file, folder: mounted}
    enable_cache: true
    max_retries: 1
    retry_delay: 0
    connections:
      lake: {url: lake, format: delta}
      warehouse: {url: "sqlite:///warehouse.db"}
      closed: {url: "postgresql://me:${secret:database}@127.0.0.1:1/shop"}
    steps:
      - {name: orders, layer: bronze, read: {path: orders.csv}, write: {to: lake}}
      - {name: told, layer: silver, inputs: [orders], function: "steps.code:told", write: {to: warehouse}}
      - {name: threaded, layer: silver, inputs: [orders], function: "steps.code:failing", write: {to: lake}}
      - {name: apart, layer: silver, inputs: [orders], function: "steps.code:printing", timeout: 60, write: {to: lake}}
"""

CODE = """
    import sys

    import pandas as pd


    def told(orders, *, context):
        assert len(context.get_secret("database")) == 16
        return orders


    def failing(orders, *, context):
        token = context.get_secret("api")
        try:
            raise KeyError(f"https://host/x?token={token}")
        except KeyError as error:
            raise ConnectionError(f"401 for Bearer {token}") from error


    def printing(orders: pd.DataFrame, *, context):
        token = context.get_secret("api")
        print("asked with", token, file=sys.stderr)
        raise RuntimeError(f"refused {token!r}")
"""

UNREACHABLE = """
      - {name: exported, layer: publish, type: config_op, inputs: [orders], value: t, params: {to: closed}}
"""


def test_a_sentinel_is_nowhere(tmp_path: Path) -> None:
    files = {
        "shop.yaml": CONFIG,
        "closed.yaml": CONFIG + UNREACHABLE,
        "steps/code.py": CODE,
        "orders.csv": "id\n1\n",
        "mounted/api": f"{SENTINEL}\n",
        "mounted/database": SENTINEL,
    }
    cwd = project(tmp_path, files)
    said = [odibi("run", "shop.yaml", cwd=cwd)]
    assert said[0].returncode == 1, said[0].stderr
    assert "401 for Bearer ***" in said[0].stdout + said[0].stderr
    said += [
        odibi("run", "shop.yaml", "--resume", cwd=cwd),
        odibi("plan", "shop.yaml", "--output", "json", cwd=cwd),
        odibi("status", "--output", "json", cwd=cwd),
        odibi("validate", "shop.yaml", "--strict", cwd=cwd),
        odibi("run", "closed.yaml", cwd=cwd),
    ]
    assert said[-2].returncode == 0, said[-2].stdout + said[-2].stderr
    assert "Connection refused" in said[-1].stdout + said[-1].stderr
    texts = [(f"output {i}", f"{each.stdout}{each.stderr}".encode()) for i, each in enumerate(said)]
    left = [path for path in cwd.rglob("*") if path.is_file() and path.parent.name != "mounted"]
    assert {".db", ".html", ".json"} <= {path.suffix for path in left}
    for name, data in [*texts, *((str(path), path.read_bytes()) for path in left)]:
        assert SENTINEL.encode() not in data, name
        assert ENCODED.encode() not in data, name


@pytest.mark.parametrize("name", ["api", "other"])
def test_a_secret_that_is_missing_is_said_before_anything_runs(name: str, tmp_path: Path) -> None:
    files = {"shop.yaml": CONFIG, "steps/code.py": CODE.replace('"api"', f'"{name}"'), "orders.csv": "id\n1\n", "mounted/database": "x" * 16}  # fmt: skip
    done = odibi("run", "shop.yaml", cwd=project(tmp_path, files))
    assert done.returncode == 2, done.stderr
    assert f"secret '{name}' is in none of the providers: file" in done.stderr
    assert not (tmp_path / "lake").exists()
