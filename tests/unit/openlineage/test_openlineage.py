"""Runs told as OpenLineage events, to a file and to a server that works, is slow, refuses or is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import jsonschema
import pytest

from odibi import orchestrator
from odibi.errors import ConfigError
from odibi.openlineage.names import dataset_name
from odibi.orchestrator import Result
from tests.unit.openlineage.standard import EVENT
from tests.unit.run.project import KEPT, Project, read, sql

Events = list[dict[str, Any]]
CHECK = jsonschema.Draft202012Validator(EVENT, format_checker=jsonschema.FormatChecker())


@dataclass
class Server:
    """A server for events: what came, and how it answers."""

    url: str = ""
    events: Events = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    status: int = 201
    hold: Event | None = None  # it says nothing until then


@pytest.fixture
def server() -> Iterator[Server]:
    known = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if known.hold is not None:
                known.hold.wait(30)
            if self.path == "/api/v1/lineage" and known.status == 201:
                known.events.append(json.loads(body))
                known.headers.append(dict(self.headers))
            self.send_response(known.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        known.url = f"http://127.0.0.1:{listening.server_port}"
        Thread(target=listening.serve_forever, daemon=True).start()
        yield known
        if known.hold is not None:
            known.hold.set()
        listening.shutdown()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    project.csv("in/sales.csv", "who,price", (1, 3), (2, 4))
    return project


def steps(
    query: str = "SELECT who, sum(price) AS total FROM sales WHERE price > 0 GROUP BY who",
) -> list[Any]:
    return [
        read("sales", "sales.csv", owner="ann", description="All sales."),
        sql("totals", query),
        sql("after", "SELECT total FROM totals", kept=False),
    ]


def run(project: Project, given: list[Any], file: str | None = "events.ndjson", **to: Any) -> Result:
    to |= {"file": file} if file is not None else {}
    return project.run(given, lineage={"openlineage": {"namespace": "shops", "timeout": 20, **to}})


def told(path: str = "events.ndjson") -> Events:
    """The events of a file; each is as the standard wants it."""
    events = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
    for event in events:
        CHECK.validate(event)
    return events


def facets_in(value: Any) -> Iterator[dict[str, Any]]:
    """All facets of an event: what says where its schema is."""
    if isinstance(value, dict):
        if "_schemaURL" in value:
            yield value
        for inner in value.values():
            yield from facets_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from facets_in(inner)


def official() -> dict[str, Any]:
    """The classes of facets that the standard's own client has, by the URL of their schema."""
    import attrs
    from openlineage.client import event_v2, facet_v2

    found = {}
    for module in (facet_v2, *vars(facet_v2).values()):
        for each in vars(module).values() if hasattr(module, "__name__") else ():
            if isinstance(each, type) and attrs.has(each) and issubclass(each, facet_v2.BaseFacet):
                found[each._get_schema()] = each
    found[event_v2.RunEvent._get_schema()] = event_v2.RunEvent
    return found


def sequence(events: Events) -> list[tuple[str, str]]:
    return [(event["job"]["name"], event["eventType"]) for event in events]


def test_a_run_is_told_to_a_file_and_a_server(
    shop: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINEAGE_TOKEN", "t-123")
    result = run(shop, steps(), url=server.url, api_key="${env:LINEAGE_TOKEN}", headers={"X-Team": "data"})
    assert result.success
    events = told()
    assert server.events == events
    assert {(h["Authorization"], h["X-Team"]) for h in server.headers} == {("Bearer t-123", "data")}
    assert sequence(events) == [
        ("shop", "START"),
        *((f"shop.{name}", kind) for name in ("sales", "totals", "after") for kind in ("START", "COMPLETE")),
        ("shop", "COMPLETE"),
    ]
    whole, sales, totals, after = events[0], events[2], events[4], events[6]
    assert whole["run"]["runId"] == result.run.run_id
    assert len({event["run"]["runId"] for event in events}) == 4, (
        "one for the run and each step, start and end alike"
    )
    assert totals["run"]["facets"]["parent"]["run"]["runId"] == result.run.run_id
    assert totals["job"]["facets"]["sql"]["query"].startswith("SELECT who, sum(price)")
    assert sales["job"]["facets"]["ownership"]["owners"] == [{"name": "ann"}]
    # datasets are called as the standard calls them, and one is the same wherever it is named
    (source,), (table,), (made,) = sales["inputs"], sales["outputs"], totals["outputs"]
    assert (source["namespace"], source["name"]) == ("file", f"{shop.root}/in/sales.csv")
    assert totals["inputs"][0]["name"] == table["name"] == f"{shop.root}/lake/bronze/sales"
    assert totals["inputs"][0]["facets"]["version"]["datasetVersion"] == "0"
    assert totals["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 2
    assert (after["outputs"][0]["namespace"], after["outputs"][0]["name"]) == ("shops", "shop.after")
    statistics = made["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["fileCount"], statistics["size"] > 0) == (2, 1, True)
    assert [f["name"] for f in made["facets"]["schema"]["fields"]] == ["who", "total"]
    lineage = made["facets"]["columnLineage"]["fields"]["total"]["inputFields"]
    found = {(f["field"], t["type"], t["subtype"]) for f in lineage for t in f["transformations"]}
    assert found == {
        ("price", "DIRECT", "AGGREGATION"),
        ("price", "INDIRECT", "FILTER"),
        ("who", "INDIRECT", "GROUP_BY"),
    }


def test_facets_are_those_of_the_standards_own_client(shop: Project) -> None:
    import attrs

    run(shop, steps("SELECT who, CAST('x' AS INTEGER) + price AS total FROM sales"))
    assert run(shop, steps(), file="events.ndjson").success
    known, seen = official(), set()
    for event in told():
        assert event["schemaURL"] in known
        for facet in facets_in(event):
            name = facet["_schemaURL"].rpartition("/")[2]
            seen.add(name)
            keys = {attribute.name for attribute in attrs.fields(known[facet["_schemaURL"]])}
            assert name == "RunFacet" or set(facet) <= keys, f"{name} has {set(facet) - keys}"
    assert len(seen) == 15, "every one that odibi sends"


def test_failed_and_reused_steps(shop: Project) -> None:
    assert run(shop, steps()).success
    Path("events.ndjson").unlink()
    assert run(shop, steps(), file="again.ndjson").success
    again = told("again.ndjson")
    reused = [event for event in again if event["job"]["name"] == "shop.totals"]
    assert [event["eventType"] for event in reused] == ["START", "COMPLETE"]
    assert all(event["run"]["facets"]["odibi"]["cached"] for event in reused)
    result = run(shop, steps("SELECT who, CAST('x' AS INTEGER) + price AS total FROM sales"))
    assert not result.success
    events = told()
    assert sequence(events)[-2:] == [("shop.totals", "FAIL"), ("shop", "FAIL")], (
        "what was not run is not told"
    )
    assert "Could not convert string 'x'" in events[-2]["run"]["facets"]["errorMessage"]["message"]
    assert "step 'totals' failed" in events[-1]["run"]["facets"]["errorMessage"]["message"]
    assert "columnLineage" not in events[-2]["outputs"][0]["facets"]


def test_a_run_that_is_broken_off_is_told_too(shop: Project) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("nobody expected this")

    loaded = shop.load(steps(), lineage={"openlineage": {"file": "events.ndjson"}})
    with pytest.raises(RuntimeError):
        orchestrator.run(loaded, planned=broken)
    assert sequence(told()) == [("shop", "START"), ("shop", "FAIL")]


def test_a_function_may_have_used_any_column(shop: Project) -> None:
    shop.write(
        "steps/own.py",
        """
        import pandas as pd

        def scored(sales: pd.DataFrame):
            return sales[["who"]]
        """,
    )
    scored = {"name": "scored", "layer": "gold", "function": "steps.own:scored", "write": KEPT}
    # the columns of what it makes, and so this query, are known only in the run
    late = sql("late", "SELECT who + 1 AS x FROM scored")
    assert run(shop, [steps()[0], scored, late]).success
    ended = {e["job"]["name"]: e["outputs"] for e in told() if e["eventType"] == "COMPLETE"}
    columns = {
        name: made[0]["facets"].get("columnLineage", {}).get("fields") for name, made in ended.items() if made
    }
    assert [f["field"] for f in columns["shop.scored"]["who"]["inputFields"]] == ["who", "price"]
    assert [f["field"] for f in columns["shop.late"]["x"]["inputFields"]] == ["who"]


@pytest.mark.parametrize("how", ["refuses", "is slow", "is gone"])
def test_a_server_that_does_not_take_them_harms_nothing(
    how: str, shop: Project, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 403 if how == "refuses" else 201
    server.hold = Event() if how == "is slow" else None
    url = "http://127.0.0.1:9" if how == "is gone" else server.url
    result = run(shop, steps(), url=url, timeout=0.2 if how == "is slow" else 20)
    assert result.success
    assert not server.events
    said = capsys.readouterr().err
    assert said.startswith("odibi: ")
    assert f"did not reach {url}: " in said or "still on their way" in said
    if how != "is slow":
        assert "8 OpenLineage events" in said
        assert len(told()) == 8, "the file has them"


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ({"namespace": "x"}, "openlineage needs url or file"),
        ({"url": "ftp://x"}, "expected http:// or https://"),
        ({"file": "x", "api_key": "k"}, "headers and api_key belong to url"),
        ({"url": "${env:HOME}"}, "is no URL of a server"),
        ({"file": "x", "nmespace": "y"}, "unknown key 'nmespace'"),
        ({"url": "http://x", "api_key": "${env:NOT_SET_ANYWHERE}"}, "'NOT_SET_ANYWHERE' is not set"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(shop: Project, to: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        shop.run(steps(), lineage={"openlineage": to})
    assert not (shop.root / "lake").exists()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///lake/orders", ("file", "/lake/orders")),
        ("s3://bucket/a/b.csv", ("s3://bucket", "a/b.csv")),
        ("s3a://bucket/a", ("s3://bucket", "a")),
        ("abfss://box@account.dfs.core.windows.net/a", ("abfss://box@account.dfs.core.windows.net", "a")),
        ("postgresql://host:5432/shop#public.orders", ("postgres://host:5432", "shop.public.orders")),
        ("https://api.example.org/v1/users", ("https://api.example.org", "v1/users")),
        ("", ("jobs", "shop.orders")),
    ],
)
def test_names_of_datasets(uri: str, expected: tuple[str, str]) -> None:
    assert dataset_name(uri, "jobs", "shop.orders") == expected
