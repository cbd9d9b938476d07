"""Requests against a real server: what is asked, what lands, what failures mean."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from servers import Answer, Asked, Web, web

from odibi.datasets.fetching import Pagination, Remote
from odibi.datasets.http import fetch, post, seconds_of
from odibi.errors import (
    AuthenticationFailed,
    NetworkTimeout,
    NotFound,
    OdibiError,
    Permanent,
    SourceError,
    Unavailable,
)


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        yield running


def got(folder: Path, url: str, pages: dict[str, Any] | None = None, **asked: Any) -> list[bytes]:
    """The bytes of each page that was fetched."""
    paging = Pagination(**pages) if pages else None
    since = asked.pop("since", {})
    remote = Remote(name="users", url=url, shown=url, pagination=paging, **asked)
    found = fetch(remote, folder, lambda number: f"page-{number}", since, lambda: None)
    return [(folder / name).read_bytes() for name in found.files] if found is not None else []


def test_bytes_come_as_they_are_served_and_what_was_asked_is_sent(server: Web, tmp_path: Path) -> None:
    body = bytes(range(256)) * 5000
    server.at["/blob"] = Answer(body, headers={"ETag": '"v1"'})
    headers = {"User-Agent": "DataPipeline/1.0", "Authorization": "Bearer x"}
    (found,) = got(tmp_path, f"{server.url}/blob?a=1", headers=headers, params={"limit": "5000"})
    assert hashlib.sha256(found).digest() == hashlib.sha256(body).digest()
    (asked,) = server.asked
    assert (asked.method, asked.params) == ("GET", {"a": "1", "limit": "5000"})
    assert asked.headers["user-agent"] == "DataPipeline/1.0"
    assert asked.headers["authorization"] == "Bearer x"


def test_parameters_of_the_url_stay(server: Web, tmp_path: Path) -> None:
    server.at["/x"] = lambda asked: Answer(asked.target)
    assert got(tmp_path, f"{server.url}/x?a=1&a=2", params={"b": "c d"}) == [b"/x?a=1&a=2&b=c+d"]
    assert got(tmp_path, f"{server.url}/x?a=1&a=2") == [b"/x?a=1&a=2"]


def test_an_answer_that_has_not_changed_is_none(server: Web, tmp_path: Path) -> None:
    server.at["/x"] = lambda asked: Answer(
        status=304 if asked.headers.get("if-none-match") == '"v1"' else 200
    )
    assert got(tmp_path, f"{server.url}/x", since={"If-None-Match": '"v1"'}) == []
    assert got(tmp_path, f"{server.url}/x") == [b""]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, SourceError),
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, NotFound),
        (408, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_status_says_what_it_means_and_how_the_body_begins(
    server: Web, tmp_path: Path, status: int, kind: type[OdibiError]
) -> None:
    server.at["/x"] = Answer("the reason " + "x" * 1000, status, {"Retry-After": "7"})
    with pytest.raises(kind) as told:
        got(tmp_path, f"{server.url}/x")
    assert type(told.value) is kind
    assert f"{server.url}/x answered {status}" in told.value.message
    assert "the reason" in told.value.message
    assert len(told.value.message) < 500
    if isinstance(told.value, Unavailable):
        assert told.value.retry_after == 7


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
    assert seconds_of("120", now) == 120
    assert seconds_of(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90
    assert seconds_of(format_datetime(now - timedelta(days=1), usegmt=True), now) == 0
    assert seconds_of("soon", now) is None


def test_a_server_that_is_silent_or_gone_is_transient(server: Web, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection, says nothing
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/x"
        with pytest.raises(NetworkTimeout, match=r"127\.0\.0\.1:\d+/x \(timeout after 0\.2s\)"):
            got(tmp_path, url, timeout=0.2)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+/x cannot be reached"):
        got(tmp_path, url)
    server.at["/cut"] = Answer(b"x" * 100, cut=50)
    with pytest.raises(Unavailable, match="cannot be reached"):
        got(tmp_path, f"{server.url}/cut")


def test_credentials_go_to_no_other_server(server: Web, tmp_path: Path) -> None:
    with web() as other:
        other.at["/y"] = Answer("there")
        server.at["/x"] = Answer(status=302, headers={"Location": f"{other.url}/y"})
        server.at["/same"] = Answer(status=302, headers={"Location": "/y"})
        server.at["/y"] = Answer("here")
        secret = {"X-Api-Key": "s", "Authorization": "Bearer s"}
        assert got(tmp_path, f"{server.url}/x", headers=secret) == [b"there"]
        assert got(tmp_path, f"{server.url}/same", headers=secret) == [b"here"]
        assert not {"x-api-key", "authorization"} & other.asked[0].headers.keys()
        assert server.asked[-1].headers["x-api-key"] == "s"


# --- pages ------------------------------------------------------------------------------------------

ROWS = [{"id": n} for n in range(7)]


def _by_page(asked: Asked) -> Answer:
    page, size = int(asked.params["page"]), int(asked.params.get("per_page", 3))
    return Answer(json.dumps({"data": {"items": ROWS[(page - 1) * size : page * size]}}))


def _by_offset(asked: Asked) -> Answer:
    start = int(asked.params["offset"])
    return Answer(json.dumps(ROWS[start : start + min(int(asked.params["limit"]), 2)]))  # a server with a cap


def _by_cursor(asked: Asked) -> Answer:
    start = int(asked.params.get("cursor", 0))
    more = str(start + 3) if start + 3 < len(ROWS) else None
    return Answer(json.dumps({"rows": ROWS[start : start + 3], "meta": {"next": more}}))


def _by_body_link(asked: Asked) -> Answer:
    start = int(asked.params.get("from", 0))
    more = f"/link?from={start + 3}" if start + 3 < len(ROWS) else None
    return Answer(json.dumps({"rows": ROWS[start : start + 3], "next": more}))


def _by_header_link(asked: Asked) -> Answer:
    start = int(asked.params.get("from", 0))
    more = {"Link": f'</head?from={start + 3}>; rel="next"'} if start + 3 < len(ROWS) else {}
    return Answer("id\n" + "".join(f"{row['id']}\n" for row in ROWS[start : start + 3]), headers=more)


@pytest.mark.parametrize(
    ("path", "handler", "pages", "records"),
    [
        ("/page", _by_page, {"type": "page"}, "data.items"),
        ("/page", _by_page, {"type": "page", "size": 5}, "data.items"),
        ("/offset", _by_offset, {"type": "offset", "size": 4}, None),
        ("/cursor", _by_cursor, {"type": "cursor", "field": "meta.next"}, "rows"),
        ("/link", _by_body_link, {"type": "link", "field": "next"}, "rows"),
    ],
    ids=["page", "page-size", "offset", "cursor", "link-in-body"],
)
def test_every_row_is_fetched_once(
    server: Web, tmp_path: Path, path: str, handler: Any, pages: dict[str, Any], records: str | None
) -> None:
    server.at[path] = handler
    rows = []
    for body in got(tmp_path, server.url + path, pages, records=records):
        found = json.loads(body)
        for name in records.split(".") if records else ():
            found = found[name]
        assert found, "a page without rows is not kept"
        rows += found
    assert rows == ROWS


def test_a_link_header_is_followed_in_any_format(server: Web, tmp_path: Path) -> None:
    server.at["/head"] = _by_header_link
    pages = got(tmp_path, f"{server.url}/head", {"type": "link"})
    assert [line for body in pages for line in body.decode().split()[1:]] == [str(row["id"]) for row in ROWS]


def test_pages_never_end_in_silence(server: Web, tmp_path: Path) -> None:
    server.at["/page"] = _by_page
    with pytest.raises(SourceError, match="more than 2 pages"):
        got(tmp_path, f"{server.url}/page", {"type": "page", "max_pages": 2}, records="data.items")
    server.at["/same"] = Answer("[1]")
    with pytest.raises(SourceError, match="the page before once more"):
        got(tmp_path, f"{server.url}/same", {"type": "page"})
    server.at["/html"] = Answer("<html>please log in</html>")
    with pytest.raises(SourceError, match=r"no JSON.*please log in"):
        got(tmp_path, f"{server.url}/html", {"type": "page"})
    server.at["/object"] = Answer('{"items": []}')
    with pytest.raises(SourceError, match="no list of rows at 'itens'") as told:
        got(tmp_path, f"{server.url}/object", {"type": "page"}, records="itens")
    assert "'items'" in told.value.hint
    server.at["/empty"] = Answer("[]")
    assert got(tmp_path, f"{server.url}/empty", {"type": "page"}) == [b"[]"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"type": "cursor"}, "cursor needs field"),
        ({"type": "page", "field": "x"}, "field has no meaning for type page"),
        ({"type": "link", "param": "x"}, "param has no meaning for type link"),
        ({"type": "page", "size_param": "n"}, "size_param needs size"),
    ],
)
def test_pagination_that_contradicts_itself_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pagination(**given)


# --- sending ----------------------------------------------------------------------------------------


def test_a_file_is_sent_with_its_key(server: Web, tmp_path: Path) -> None:
    body = tmp_path / "rows.json"
    body.write_bytes(b"[1, 2]")
    server.at["/in"] = Answer(status=201)
    post(f"{server.url}/in?k=1", body, "application/json", {"Authorization": "Bearer x"}, "k1")
    (asked,) = server.asked
    assert (asked.method, asked.body, asked.params) == ("POST", b"[1, 2]", {"k": "1"})
    assert asked.headers["idempotency-key"] == '"k1"'
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["authorization"] == "Bearer x"


def test_a_redirected_post_is_an_error(server: Web, tmp_path: Path) -> None:
    body = tmp_path / "rows.json"
    body.write_bytes(b"[]")
    server.at["/in"] = Answer(status=302, headers={"Location": "/elsewhere"})
    with pytest.raises(Permanent, match="answered 302"):
        post(f"{server.url}/in?sig=secret", body, "application/json", {}, "k1")
    assert len(server.asked) == 1
