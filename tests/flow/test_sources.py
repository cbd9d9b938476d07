"""Sources on servers, through the command line: landing, reuse, secrets, failures, fallback, sending."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Answer, Asked, Web, sftp_server, web

from tests.flow.helpers import events, odibi, project

SECRET = "sentinel-4f7c"
USERS = b'[{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}]'
ORDERS = b"id,user_id,amount\n1,1,2.50\n2,1,3.10\n3,2,7.00\n"

CONFIG = """
    pipeline: shop
    date: 2026-01-05
    max_retries: 2
    retry_delay: 0
    distributed_max_workers: 3
    connections:
      api:
        url: %s
        options: {headers: {Authorization: "Bearer ${secret:token}"}}
      lake: {url: lake, format: delta}
      raw: {url: raw}
    steps:
      - name: users
        layer: bronze
        read: {from: api, path: users, params: {limit: 5000}, headers: {User-Agent: DataPipeline/1.0}}
        write: {to: lake}
      - name: orders
        layer: bronze
        read: {from: api, path: "orders/{date}.csv", land: {to: raw, path: orders}}
        write: {to: lake}
      - name: items
        layer: bronze
        read: {from: api, path: items, records: data.items, pagination: {type: page}, params: {day: "{{ date }}"}}
      - name: spent
        layer: gold
        sql: >
          SELECT name, count(*) AS orders, sum(amount) AS amount, (SELECT count(*) FROM items) AS items
          FROM users JOIN orders ON orders.user_id = users.id GROUP BY name ORDER BY name
        write: {to: lake}
      - name: told
        layer: publish
        inputs: [spent]
        value: reports?day={{ date }}
        type: config_op
        params: {to: api}
"""


def _items(asked: Asked) -> Answer:
    start = 2 * int(asked.params["page"]) - 2
    return Answer(json.dumps({"data": {"items": [{"k": n} for n in range(5)][start : start + 2]}}))


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        running.at["/users"] = Answer(USERS, headers={"ETag": '"u1"'})
        running.at["/orders/2026-01-05.csv"] = [Answer("busy", 503, {"Retry-After": "0"})] * 2 + [
            Answer(ORDERS)
        ]
        running.at["/items"] = _items
        running.at["/reports"] = Answer(status=201)
        yield running


def _run(folder: Path, *more: str, code: int = 0, config: str = "shop.yaml") -> list[dict[str, Any]]:
    done = odibi("run", config, "--output", "json", *more, cwd=folder, env={"ODIBI_SECRET_TOKEN": SECRET})
    assert done.returncode == code, done.stdout + done.stderr
    return events(done.stdout)


def _ended(told: list[dict[str, Any]]) -> dict[str, str]:
    """How each step ended."""
    return {event["step"]: event["status"] for event in told if "step" in event}


def _recorded(folder: Path) -> dict[str, Any]:
    """The record of the last run."""
    return dict(json.loads(odibi("status", "sources", "--output", "json", cwd=folder).stdout))


def _asked(server: Web) -> list[str]:
    found = sorted(asked.path for asked in server.asked)
    server.asked.clear()
    return found


def test_what_servers_send_is_landed_read_reused_and_sent(server: Web, tmp_path: Path) -> None:
    project(tmp_path, {"shop.yaml": CONFIG % server.url})
    planned = odibi("plan", "shop.yaml", cwd=tmp_path, env={"ODIBI_SECRET_TOKEN": SECRET})
    assert planned.returncode == 0, planned.stderr
    assert server.asked == [], "planning asks no server"

    assert set(_ended(_run(tmp_path)).values()) == {"completed"}
    by_path = {asked.path: asked for asked in server.asked}
    assert by_path["/users"].headers["user-agent"] == "DataPipeline/1.0"
    assert by_path["/users"].params == {"limit": "5000"}
    assert by_path["/items"].params["day"] == "2026-01-05"
    assert all(asked.headers["authorization"] == f"Bearer {SECRET}" for asked in server.asked)
    sent = by_path["/reports"]
    assert json.loads(sent.body) == [
        {"name": "Ada", "orders": 2, "amount": 5.6, "items": 5},
        {"name": "Bo", "orders": 1, "amount": 7.0, "items": 5},
    ]
    assert _asked(server) == [
        *["/items"] * 4, *["/orders/2026-01-05.csv"] * 3, "/reports", "/users",
    ]  # fmt: skip

    landed = tmp_path / "raw" / "orders"
    assert (landed / "2026-01-05.csv").read_bytes() == ORDERS
    told = json.loads((landed / "_metadata.json").read_text())
    assert {name: told[name] for name in ("source", "url", "file_size", "format", "synthetic")} == {
        "source": "orders",
        "url": f"{server.url}/orders/2026-01-05.csv",
        "file_size": len(ORDERS),
        "format": "csv",
        "synthetic": False,
    }
    assert told["files"][0]["sha256"] == hashlib.sha256(ORDERS).hexdigest()
    assert (tmp_path / ".odibi/landing/shop/users/2026-01-05/users.json").read_bytes() == USERS

    # Equal bytes wake nobody; the users are asked for by their ETag.
    server.at["/users"] = lambda asked: Answer(
        USERS, 304 if asked.headers.get("if-none-match") == '"u1"' else 500
    )
    ended = _ended(_run(tmp_path))
    assert ended.pop("items") == "completed", "nobody keeps it"
    assert set(ended.values()) == {"reused"}
    assert "/reports" not in _asked(server)

    # Other bytes do, and what is sent then is another write.
    server.at["/orders/2026-01-05.csv"] = Answer(ORDERS + b"4,2,1.00\n")
    ended = _ended(_run(tmp_path))
    assert ended["orders"] == ended["spent"] == ended["told"] == "completed"
    assert ended["users"] == "reused"
    again = next(asked for asked in server.asked if asked.path == "/reports")
    assert json.loads(again.body)[1]["amount"] == 8.0
    assert again.headers["idempotency-key"] != sent.headers["idempotency-key"]

    # The bytes that landed are no table's business: a pipeline that reads them finds data files alone.
    project(
        tmp_path,
        {"again.yaml": """
            pipeline: again
            steps:
              - {name: replayed, layer: bronze, read: {path: raw/orders, format: csv}, write: {path: replayed.csv}}
        """},
    )  # fmt: skip
    _run(tmp_path, config="again.yaml")
    assert len((tmp_path / "replayed.csv").read_text().splitlines()) == 5

    # A refusal is told with its body, at once, and the secret is nowhere.
    server.at["/users"] = Answer(f"the token {SECRET} is not known", 401)
    told_events = _run(tmp_path, code=1)
    failure = next(
        event for event in told_events if event.get("step") == "users" and event["status"] == "failed"
    )
    assert "AuthenticationFailed" in json.dumps(failure)
    assert sum(asked.path == "/users" for asked in server.asked) == 2  # the 304 of before, and this one
    for name in ("status", "runs", "plan"):
        arguments = ("shop.yaml",) if name == "plan" else ()
        shown = odibi(name, *arguments, cwd=tmp_path, env={"ODIBI_SECRET_TOKEN": SECRET})
        assert SECRET not in shown.stdout + shown.stderr
    assert SECRET not in json.dumps(told_events)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


SOURCES = """
    pipeline: sources
    date: 2026-01-05
    max_retries: 0
    distributed_max_workers: 3
    variables: {env: %s}
    success: %s
    connections: {api: {url: %s}}
    steps:
      - {name: users, layer: bronze, read: {from: api, path: users%s}, write: {path: out/users.csv}}
      - {name: orders, layer: bronze, read: {from: api, path: orders.csv}, write: {path: out/orders.csv}}
      - {name: weather, layer: bronze, read: {from: api, path: weather}, write: {path: out/weather.csv}}
      - {name: told, layer: gold, sql: "SELECT count(*) AS n FROM users", write: {path: out/told.csv}}
"""


def test_sources_are_asked_at_once_and_enough_of_them_make_a_layer(server: Web, tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def when_all_are_there(asked: Asked) -> Answer:
        together.wait(timeout=60)  # breaks, and the answer fails, unless three are asked for at the same time
        return {"/orders.csv": Answer(ORDERS), "/weather": Answer("[{}]")}.get(
            asked.path, Answer("down", 500)
        )

    server.at |= dict.fromkeys(("/users", "/orders.csv", "/weather"), when_all_are_there)
    server.at["/weather"] = lambda asked: when_all_are_there(asked) and Answer('[{"t": 1}]')
    for success, code in (("all", 1), ("{bronze: {min_success: 2}}", 0)):
        project(tmp_path, {"sources.yaml": SOURCES % ("dev", success, server.url, "")})
        ended = _ended(_run(tmp_path, code=code, config="sources.yaml"))
        assert ended["users"] == "failed"
        assert ended["told"] == "not_run"
        assert {ended["orders"], ended["weather"]} <= {"completed", "reused"}
        (stage,) = _recorded(tmp_path)["stages"]
        assert (stage["total_sources"], stage["successful_sources"]) == (3, 2)
        assert stage["status"] == ("failed" if code else "completed")
        assert stage["timestamp"]
    assert server.at_once == 3
    page = next((tmp_path / ".odibi/stories/sources").glob("*.html")).read_text()
    assert "bronze: 2 of 3 succeeded" in page


def test_files_that_odibi_cannot_read_land_as_they_are(server: Web, tmp_path: Path) -> None:
    served = {"/report": b"%PDF-1.7 \xff\x00", "/feed.xml": b"<feed/>"}
    server.at |= {path: Answer(body) for path, body in served.items()}
    sources = [
        {"name": "report", "url": f"{server.url}/report", "format": "pdf"},
        {"name": "feed", "url": f"{server.url}/feed.xml", "format": "xml"},
        {"name": "users", "url": f"{server.url}/users"},
    ]
    stages = """
        pipeline: stages
        connections: {raw: {url: raw}, lake: {url: lake, format: delta}}
        ingestion: {config: ingestion.json, to: raw}
        validation: {config: validation.json, to: lake}
        steps:
          - {name: kept, layer: gold, inputs: [raw_report], sql: "select bytes, sha256 from raw_report", write: {to: lake}}
    """
    project(tmp_path, {
        "shop.yaml": stages,
        "ingestion.json": json.dumps({"sources": sources}),
        "validation.json": json.dumps({"files": [{"name": "*"}]}),
    })  # fmt: skip
    told = _run(tmp_path, "--date", "2026-01-05", code=1)
    assert _ended(told) == {
        "raw_report": "completed", "raw_feed": "completed", "raw_users": "completed", "kept": "completed",
        "validated_users": "completed", "validated_report": "failed", "validated_feed": "failed",
    }  # fmt: skip
    assert "xml files land and are not read" in json.dumps(told)
    assert (tmp_path / "raw/report/2026-01-05/raw_report.pdf").read_bytes() == served["/report"]
    assert (tmp_path / "raw/feed/2026-01-05/feed.xml").read_bytes() == served["/feed.xml"]
    shown = odibi("query", "select * from kept", "--config", "shop.yaml", "--output", "json", cwd=tmp_path)
    digest = hashlib.sha256(served["/report"]).hexdigest()
    assert json.loads(shown.stdout) == [{"bytes": 11, "sha256": digest}], shown.stderr


def test_made_up_rows_stand_in_only_where_they_may(server: Web, tmp_path: Path) -> None:
    server.at["/users"] = Answer("down", 503)
    server.at["/orders.csv"], server.at["/weather"] = Answer(ORDERS), Answer('[{"t": 1}]')
    sample = ", fallback_to_sample: true, sample_size: 30"
    project(tmp_path, {"sources.yaml": SOURCES % ("production", "all", server.url, sample)})
    assert _ended(_run(tmp_path, code=1, config="sources.yaml"))["users"] == "failed"
    assert not (tmp_path / "out/users.csv").exists()
    planned = odibi("plan", "sources.yaml", cwd=tmp_path).stdout
    assert "fallback_to_sample is off: env is production" in planned

    project(tmp_path, {"sources.yaml": SOURCES % ("dev", "all", server.url, sample)})
    assert _ended(_run(tmp_path, config="sources.yaml"))["users"] == "completed"
    rows = (tmp_path / "out/users.csv").read_bytes()
    assert rows.splitlines()[1] == b"1,User_1,user1@example.com,18,2026-01-05 00:00:00,false"
    assert (tmp_path / "out/told.csv").read_text().split() == ["n", "30"]
    landed = tmp_path / ".odibi/landing/sources/users/2026-01-05/_synthetic"
    assert json.loads((landed / "_metadata.json").read_text())["synthetic"] is True
    first = (landed / "users.json").read_bytes()
    record = _recorded(tmp_path)
    assert [step["step"] for step in record["details"] if step["synthetic"]] == ["users"]
    page = max((tmp_path / ".odibi/stories/sources").glob("*.html"), key=lambda path: path.stat().st_mtime_ns)
    assert '<span class="chip synthetic">synthetic</span>' in page.read_text()

    assert _ended(_run(tmp_path, config="sources.yaml"))["users"] == "reused"
    assert (landed / "users.json").read_bytes() == first

    server.at["/users"] = Answer(USERS)  # it is back
    assert _ended(_run(tmp_path, config="sources.yaml"))["users"] == "completed"
    assert (tmp_path / "out/users.csv").read_text().splitlines() == ["id,name", "1,Ada", "2,Bo"]
    page = max((tmp_path / ".odibi/stories/sources").glob("*.html"), key=lambda path: path.stat().st_mtime_ns)
    assert '<span class="chip synthetic">' not in page.read_text()


def test_files_of_an_sftp_server_are_read_by_any_engine(tmp_path: Path) -> None:
    text = """
        pipeline: drop
        date: 2026-01-05
        engine: %s
        max_retries: 0
        connections:
          partner:
            url: sftp://127.0.0.1:%d
            options: {username: odibi, password: "${secret:token}", known_hosts: known_hosts}
        steps:
          - name: orders
            layer: bronze
            read: {from: partner, path: "out/{date}-*.csv", land: {path: "raw/{date}"}, filename: file}
            write: {path: lake/orders}
          - {name: total, layer: gold, sql: SELECT sum(amount) AS amount FROM orders, write: {path: lake/total}}
    """
    with sftp_server(tmp_path, SECRET) as server:
        (server.folder / "out").mkdir()
        (server.folder / "out/2026-01-05-a.csv").write_bytes(ORDERS)
        (server.folder / "out/2026-01-05-b.csv").write_bytes(ORDERS)
        (server.folder / "out/2026-01-06-c.csv").write_bytes(ORDERS)
        for engine, then in (("duckdb", "completed"), ("duckdb", "reused"), ("pandas", "completed")):
            project(tmp_path, {"drop.yaml": text % (engine, server.port)})
            assert _ended(_run(tmp_path, config="drop.yaml"))["total"] == then
        assert (tmp_path / "raw/2026-01-05/2026-01-05-a.csv").read_bytes() == ORDERS
        shown = odibi("query", "SELECT amount FROM gold.total", "-c", "drop.yaml", cwd=tmp_path)
        assert "25.2" in shown.stdout, shown.stderr
    done = odibi("run", "drop.yaml", cwd=tmp_path, env={"ODIBI_SECRET_TOKEN": SECRET})
    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}" in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []
