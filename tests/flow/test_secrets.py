"""A secret that a failing run has used is in nothing that the run leaves or says."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess
from textwrap import dedent

import pytest
from servers import Answer, Asked, web

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
    logging: {format: json, file: told/run.log}
    metrics: {file: told/metrics.json, prometheus: told/odibi.prom}
    lineage: {openlineage: {file: told/events.ndjson, url: "http://127.0.0.1:1", api_key: "${secret:api}"}}
    hooks:
      - {type: log, path: told/hooks.ndjson, on: [node_retry, node_error, node_complete, pipeline_error]}
      - {type: webhook, url: "http://127.0.0.1:1/${secret:api}", headers: {X-Key: "${secret:api}"}, on: pipeline_error}
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


def assert_nowhere(cwd: Path, said: list[CompletedProcess[str]]) -> set[str]:
    """The sentinel is in no output and in no file but its own; the endings of the files."""
    texts = [(f"output {i}", f"{each.stdout}{each.stderr}".encode()) for i, each in enumerate(said)]
    left = [path for path in cwd.rglob("*") if path.is_file() and path.parent.name != "mounted"]
    for name, data in [*texts, *((str(path), path.read_bytes()) for path in left)]:
        assert SENTINEL.encode() not in data, name
        assert ENCODED.encode() not in data, name
    return {path.suffix for path in left}


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
    said += [
        odibi("describe", "shop", cwd=cwd),
        odibi("logs", "shop", cwd=cwd),
        odibi("lineage", "export", "-o", "told/lineage.json", cwd=cwd),
        odibi("alerts", "deliveries", cwd=cwd),
        odibi("why", "orders", "--where", "id = 1", "-c", "shop.yaml", "--output", "json", cwd=cwd),
        odibi("doctor", "shop.yaml", cwd=cwd),
    ]
    assert [each.returncode for each in said[-6:]] == [0] * 6, "".join(each.stderr for each in said[-6:])
    written = {path.name for path in (cwd / "told").iterdir()}
    assert written == {
        "run.log",
        "metrics.json",
        "odibi.prom",
        "events.ndjson",
        "hooks.ndjson",
        "lineage.json",
    }
    assert "not delivered" in said[0].stderr
    assert {".db", ".html", ".json"} <= assert_nowhere(cwd, said)


@pytest.mark.parametrize("name", ["api", "other"])
def test_a_secret_that_is_missing_is_said_before_anything_runs(name: str, tmp_path: Path) -> None:
    files = {"shop.yaml": CONFIG, "steps/code.py": CODE.replace('"api"', f'"{name}"'), "orders.csv": "id\n1\n", "mounted/database": "x" * 16}  # fmt: skip
    done = odibi("run", "shop.yaml", cwd=project(tmp_path, files))
    assert done.returncode == 2, done.stderr
    assert f"secret '{name}' is in none of the providers: file" in done.stderr
    assert not (tmp_path / "lake").exists()


SERVERS = """
    pipeline: remote
    date: "2026-01-05"
    secrets: {provider: file, folder: mounted}
    connections:
      lake: {url: lake, format: delta}
      api: {url: WEB, options: {headers: {Authorization: "Bearer ${secret:api}"}}}
      drop: {url: "sftp://127.0.0.1:1/in", options: {username: me, password: "${secret:api}"}}
    steps:
      - name: users
        layer: bronze
        read: {from: api, path: users.json, params: {token: "${secret:api}"}}
        checks: [{not_null: id, on_fail: quarantine}, {function: "steps.code:right", on_fail: warn}]
        write: {to: lake}
      - {name: refused, layer: bronze, read: {from: api, path: refused.json, params: {token: "${secret:api}"}}, write: {to: lake}}
      - {name: broken, layer: bronze, read: {from: api, path: broken.csv, headers: {X-Key: "${secret:api}"}}, write: {to: lake}}
      - {name: dropped, layer: bronze, read: {from: drop, path: a.csv}, write: {to: lake}}
      - name: judged
        layer: silver
        sql: select * from users
        checks: [{function: "steps.code:raising"}]
        write: {to: lake}
"""

JUDGES = """
    import os


    def right(rows, *, context):
        return [context.get_secret("api") != ""] * len(rows)


    def raising(rows, *, context):
        raise ValueError("no answer with " + context.get_secret("api"))
"""


def test_what_a_server_was_asked_with_is_nowhere(tmp_path: Path) -> None:
    """In headers, parameters, passwords and URLs; in landings, quarantine and what servers say of it."""

    def refuses(asked: Asked) -> Answer:
        return Answer(f"bad token {asked.params['token']} of {asked.headers['authorization']}", 401)

    with web() as server:
        server.at["/users.json"] = Answer('[{"id": 1}, {"id": null}]')
        server.at["/refused.json"] = refuses
        server.at["/broken.csv"] = Answer("id,name\n1\n")
        files = {
            "shop.yaml": SERVERS.replace("WEB", server.url),
            "steps/code.py": JUDGES,
            "mounted/api": f"{SENTINEL}\n",
        }
        cwd = project(tmp_path, files)
        said = [odibi("run", "shop.yaml", cwd=cwd), odibi("run", "shop.yaml", "--resume", cwd=cwd)]
        closed = files["shop.yaml"].replace("sftp://127.0.0.1:1/in", "postgresql://127.0.0.1:1/in")
        (cwd / "closed.yaml").write_text(dedent(closed.replace("path: a.csv", "table: a")), "utf-8")
        said += [
            odibi("run", "closed.yaml", cwd=cwd),
            odibi("quarantine", "show", "users", cwd=cwd),
            odibi("test", "data", "shop.yaml", cwd=cwd),
        ]
        assert server.asked, said[0].stdout + said[0].stderr
        asked = {request.path: request for request in server.asked}
    assert asked["/users.json"].headers["authorization"] == f"Bearer {SENTINEL}"
    assert asked["/users.json"].params["token"] == asked["/broken.csv"].headers["x-key"] == SENTINEL
    assert (cwd / "lake/bronze/users_quarantine").is_dir(), said[0].stdout + said[0].stderr
    assert "no answer with ***" in said[0].stdout + said[0].stderr
    assert "2 rules, none broken" in said[-1].stdout  # their function knows the secret there too
    assert_nowhere(cwd, said)
