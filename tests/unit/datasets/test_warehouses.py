"""Rows sent to OpenSearch and BigQuery: servers that speak as these do, on real sockets, keep what they are sent.

They stand in for the real ones: they know the requests that odibi makes, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from odibi.config.load import load
from odibi.errors import ConfigError
from odibi.orchestrator import Result, plan, run
from tests.servers import Answer, Asked, Web, web

STEPS = """\
  - {name: raw, layer: bronze, read: {path: orders.csv, schema: {id: BIGINT, price: "DECIMAL(10,2)", at: TIMESTAMP, note: VARCHAR}}}
  - {name: orders, layer: publish, type: config_op, inputs: [raw], value: orders, params: {to: away}}
"""
ROWS = "id,price,at,note\n1,2.50,2026-01-05 10:00:00,zwölf\n2,,,\n"


def made(url: str, options: dict[str, Any], rows: str = ROWS, day: str = "2026-01-05") -> Result:
    """A run that sends the rows."""
    Path("orders.csv").write_text(rows, "utf-8")
    connection = json.dumps({"url": url, "options": options})
    Path("p.yaml").write_text(
        f"pipeline: p\nmax_retries: 0\nconnections:\n  away: {connection}\nsteps:\n{STEPS}"
    )
    return run(load("p.yaml", date=day), no_cache=True)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.chdir(tmp_path)
    with web() as found:
        yield found


# --- OpenSearch ------------------------------------------------------------------------------------


@dataclass
class Search:
    """Indices with their rows and types, and where the aliases are."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)
    aliases: dict[str, set[str]] = field(default_factory=dict)
    born: dict[str, int] = field(default_factory=dict)
    before: Callable[[Asked], Answer | None] = lambda asked: None

    def __call__(self, asked: Asked) -> Answer:
        if told := self.before(asked):
            return told
        first, _, last = asked.path[1:].partition("/")
        found: Any = {"acknowledged": True}
        match asked.method, first, last:
            case "GET", "_alias", name:
                found = {index: {} for index in self.aliases.get(name, ())}
            case "GET", "_cat", _:
                beginning = last.removeprefix("indices/").rstrip("*")
                found = [
                    {"index": index, "creation.date": str(self.born.get(index, 9e15)).partition(".")[0]}
                    for index in self.rows
                    if index.startswith(beginning)
                ]
                return Answer(json.dumps(found))
            case "POST", "_aliases", _:
                self._move(json.loads(asked.body)["actions"])
            case "GET", index, "_settings":
                found = {index: {}} if index in self.rows else {}
            case "DELETE", index, "":
                found = {index: self.rows.pop(index)} if index in self.rows else {}
            case "PUT", index, "":
                assert index not in self.rows
                self.rows[index], self.types[index] = {}, json.loads(asked.body)["mappings"]["properties"]
            case "POST", index, "_bulk":
                lines = [json.loads(line) for line in asked.body.splitlines()]
                for what, row in zip(lines[::2], lines[1::2], strict=True):
                    self.rows[index][what["index"]["_id"]] = row
                found = {"errors": False, "items": []}
            case "POST", _, "_refresh":
                pass
            case _:
                return Answer(f"{asked.method} {asked.path}", 400)
        return Answer(json.dumps(found), 200 if found else 404)

    def _move(self, actions: list[dict[str, Any]]) -> None:
        for action in actions:
            ((verb, of),) = action.items()
            if verb == "remove_index":
                del self.rows[of["index"]]
                for places in self.aliases.values():
                    places.discard(of["index"])
            else:
                places = self.aliases.setdefault(of["alias"], set())
                (places.add if verb == "add" else places.remove)(of["index"])

    def found(self, alias: str) -> list[Any]:
        """What a search finds."""
        return [row for index in self.aliases.get(alias, ()) for row in self.rows[index].values()]


@pytest.fixture
def search(server: Web) -> Search:
    found = Search()
    server.answer = lambda asked: server.asked.append(asked) or found(asked)  # type: ignore[assignment,method-assign,func-returns-value]
    return found


def opened(server: Web) -> tuple[str, dict[str, Any]]:
    options = {"tls": False, "username": "me", "password": "no secret"}
    return server.url.replace("http", "opensearch"), options


def test_an_index_takes_the_place_of_the_one_before(server: Web, search: Search) -> None:
    assert made(*opened(server)).success
    assert search.found("orders") == [
        {"id": 1, "price": 2.5, "at": "2026-01-05T10:00:00.000000Z", "note": "zwölf"},
        {"id": 2, "price": None, "at": None, "note": None},
    ]
    ((index, types),) = search.types.items()
    assert types == {
        "id": {"type": "long"}, "price": {"type": "scaled_float", "scaling_factor": 100}, "at": {"type": "date"},
    }  # fmt: skip
    assert server.asked[0].headers["authorization"].startswith("Basic ")
    search.rows[f"orders-{'0' * 32}"] = {}  # of a killed run, long ago
    search.born[f"orders-{'0' * 32}"] = 1
    search.rows["orders-of-others"] = {}
    assert made(*opened(server), rows=ROWS.splitlines(keepends=True)[0] + "3,1,,\n").success
    assert [row["id"] for row in search.found("orders")] == [3]
    assert "orders-of-others" in search.rows
    assert len(search.rows) == 2
    assert index not in search.rows


def test_a_write_that_breaks_off_leaves_the_index_before(server: Web, search: Search) -> None:
    assert made(*opened(server)).success
    for path, answer, said in (
        (r"/orders-\w+/_bulk", Answer("busy", 503), "answered 503"),
        (
            r"/orders-\w+/_bulk",
            Answer(json.dumps({"errors": True, "items": [
                {"index": {"_id": "0", "status": 201}},
                {"index": {"_id": "1", "status": 400, "error": {"type": "mapper_parsing_exception", "reason": "no date"}}},
            ]})),
            "1 rows were not taken, row 1: mapper_parsing_exception: no date",
        ),
        ("/_aliases", Answer("no", 403), "answered 403"),
    ):  # fmt: skip
        search.before = lambda asked, path=path, answer=answer: (
            answer if re.fullmatch(path, asked.path) else None
        )  # type: ignore[misc]
        result = made(*opened(server), rows=ROWS + "3,1,,\n")
        assert not result.success
        assert said in result.error
        assert [row["id"] for row in search.found("orders")] == [1, 2]


def test_an_index_of_somebody_else_stays(server: Web, search: Search) -> None:
    search.rows["orders"] = {}
    result = made(*opened(server))
    assert "is an index, and odibi writes behind an alias of that name" in result.error
    assert list(search.rows) == ["orders"]


# --- BigQuery --------------------------------------------------------------------------------------


@dataclass
class Warehouse:
    """Tables with their rows, and jobs by their id."""

    tables: dict[str, list[Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    fails: list[dict[str, str]] = field(default_factory=list)
    loses: int = 0

    def __call__(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            job = self.jobs[asked.path.rpartition("/")[2]]
            job["status"]["state"] = "DONE"
            return Answer(json.dumps(job))
        boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
        _, about, rows, end = asked.body.split(b"--" + boundary)
        assert end == b"--\r\n"
        job = json.loads(about.partition(b"\r\n\r\n")[2])
        name = job["jobReference"]["jobId"]
        if name in self.jobs:
            return Answer("already exists", 409)
        self.jobs[name] = {**job, "status": {"state": "RUNNING"}}
        if self.fails:
            self.jobs[name]["status"]["errorResult"] = self.fails.pop()
        else:
            load = job["configuration"]["load"]
            assert (load["sourceFormat"], load["writeDisposition"]) == ("PARQUET", "WRITE_TRUNCATE")
            table = pq.read_table(BytesIO(rows.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")))
            place = load["destinationTable"]
            self.tables[f"{place['datasetId']}.{place['tableId']}"] = table.to_pylist()
        if self.loses:
            self.loses -= 1
            return Answer("gone", 502)
        return Answer(json.dumps(self.jobs[name]))


@pytest.fixture
def warehouse(server: Web) -> Warehouse:
    found = Warehouse()
    server.answer = lambda asked: server.asked.append(asked) or found(asked)  # type: ignore[assignment,method-assign,func-returns-value]
    return found


def bigquery(server: Web) -> tuple[str, dict[str, Any]]:
    return "bigquery://shop/marts", {"endpoint_url": server.url, "token": "t", "location": "EU"}


def test_a_table_becomes_the_rows(server: Web, warehouse: Warehouse) -> None:
    for rows, ids in ((ROWS, [1, 2]), (ROWS.splitlines(keepends=True)[0] + "3,1,,\n", [3]), (ROWS, [1, 2])):
        assert made(*bigquery(server), rows=rows).success
        assert [row["id"] for row in warehouse.tables["marts.orders"]] == ids
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer t"}
    assert all(job["jobReference"]["location"] == "EU" for job in warehouse.jobs.values())


def test_a_lost_answer_makes_no_second_job_and_a_failed_job_is_told(
    server: Web, warehouse: Warehouse
) -> None:
    url, options = bigquery(server)
    config = {"url": url, "options": options}
    Path("orders.csv").write_text(ROWS, "utf-8")
    Path("p.yaml").write_text(
        "pipeline: p\nmax_retries: 2\nretry_delay: 0\nconnections:\n  away: "
        + json.dumps(config)
        + f"\nsteps:\n{STEPS}"
    )
    warehouse.loses = 1
    assert run(load("p.yaml", date="2026-01-05"), no_cache=True).success
    assert len(warehouse.jobs) == 1
    warehouse.fails = [{"reason": "backendError", "message": "later"}]
    assert run(load("p.yaml", date="2026-01-06"), no_cache=True).success
    assert sorted(name.count("_") for name in warehouse.jobs) == [1, 1, 2]
    warehouse.fails = [{"reason": "invalid", "message": "no such dataset"}]
    result = made(url, options)
    assert "invalid: no such dataset" in result.error


@pytest.mark.parametrize(
    ("url", "path", "more", "said"),
    [
        ("bigquery://shop", "orders", {}, "should be bigquery://project/dataset/table"),
        ("opensearch://h:1", "Orders", {}, "should be opensearch://host:port/index, with a name in small letters"),
        ("opensearch://h:1", "orders", {"format": "csv"}, "csv has no meaning for opensearch://"),
        ("opensearch://h:1", "orders", {"mode": "append"}, "is the whole dataset, as it is"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_before_the_run(
    url: str, path: str, more: dict[str, str], said: str, server: Web
) -> None:
    Path("orders.csv").write_text(ROWS, "utf-8")
    steps = STEPS.replace("value: orders", f"value: {path}").replace(
        "{to: away}", json.dumps({"to": "away", **more})
    )
    Path("p.yaml").write_text(f"pipeline: p\nconnections:\n  away: {{url: '{url}'}}\nsteps:\n{steps}")
    with pytest.raises(ConfigError) as caught:
        plan(load("p.yaml"))
    assert said in str(caught.value)


def test_nothing_is_read_from_them(server: Web) -> None:
    Path("p.yaml").write_text(
        "pipeline: p\nconnections:\n  away: {url: 'bigquery://a/b'}\nsteps:\n"
        "  - {name: x, layer: bronze, read: {from: away, path: t, format: json}}\n"
    )
    with pytest.raises(ConfigError, match="nothing is read from bigquery://"):
        plan(load("p.yaml"))
