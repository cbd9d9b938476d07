"""Notices reach servers in the shape these expect, once, and what does not reach them is recorded."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from odibi.config.hooks import Hook, Severity
from odibi.config.secrets import Redactor
from odibi.notify.channels import SENDERS
from odibi.notify.courier import Channel, Courier
from odibi.notify.messages import Notice
from odibi.record import RunStore
from odibi.record.notices import Delivery, deliveries, save_deliveries
from tests.servers import Answer, Asked, Mail, Web, mail_server, web

PATH = "/services/T0/B0/secret"
LATER = 60.0


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
def mail() -> Iterator[Mail]:
    with mail_server() as running:
        yield running


def notice(event: str = "node_error", *, resolved: bool = False, key: str = "k1", **more: Any) -> Notice:
    payload = {
        "event_type": event,
        "timestamp": "2026-03-01T12:00:00+00:00",
        "pipeline": "shop",
        "step_name": "orders",
        "error_message": "a < b & c",
        "runbook": "https://wiki/shop",
        **more,
    }
    summary = "shop: step orders failed: a < b & c"
    return Notice(
        event, Severity.CRITICAL, summary, "shop", "r1", "odibi/dev/shop/orders", resolved, key, payload
    )


def delivered(kind: str, *notices: Notice, patience: float = LATER, **options: Any) -> tuple[Delivery, ...]:
    redactor = Redactor()
    redactor.hide("secret")
    courier = Courier(redactor.mask, first_wait=0.01)
    channel = Channel(Hook(type=kind, **options), SENDERS[kind])  # type: ignore[arg-type]
    for one in notices:
        courier.send(channel, one)
    return courier.finish(time.monotonic() + patience)


def test_slack_takes_it_after_a_500_and_once(server: Web) -> None:
    server.at[PATH] = [Answer("try later", 500), Answer("ok")]
    same = notice()
    (found,) = delivered("slack", same, same, url=server.url + PATH, channel="#data-engineering")
    assert (found.status, found.attempts, found.error) == ("delivered", 2, "")
    assert found.place == server.url  # what follows is a secret
    first, second = server.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert second.headers["content-type"] == "application/json"
    body = json.loads(second.body)
    assert body["channel"] == "#data-engineering"
    assert body["text"] == "Critical: shop: step orders failed: a &lt; b &amp; c"
    assert [block["type"] for block in body["blocks"]] == ["section", "section"]
    fields = [field["text"] for field in body["blocks"][1]["fields"]]
    assert "*Step*\norders" in fields
    assert "*Error*\na &lt; b &amp; c" in fields


def test_pagerduty_is_triggered_and_resolved_by_the_same_key(server: Web) -> None:
    server.at["/v2/enqueue"] = Answer('{"status": "success"}', 202)
    sent = [notice(key="k1"), notice("node_complete", resolved=True, key="k2")]
    delivered("pagerduty", *sent, url=f"{server.url}/v2/enqueue", routing_key="R1")
    trigger, resolve = (json.loads(asked.body) for asked in server.asked)
    assert (trigger["routing_key"], trigger["event_action"]) == ("R1", "trigger")
    assert (resolve["event_action"], resolve["dedup_key"]) == ("resolve", trigger["dedup_key"])
    said = trigger["payload"]
    assert (said["severity"], said["component"], said["group"]) == ("critical", "orders", "shop")
    assert said["summary"].startswith("shop: step orders failed")
    assert {"source", "timestamp", "class", "custom_details"} <= said.keys()
    assert trigger["links"] == [{"href": "https://wiki/shop", "text": "Runbook"}]


def test_a_webhook_gets_the_payload_with_its_headers(server: Web) -> None:
    server.at["/here"] = Answer()
    delivered("webhook", notice(), url=f"{server.url}/here", headers={"X-Key": "secret"})
    assert json.loads(server.asked[0].body) == notice().payload
    assert server.asked[0].headers["x-key"] == "secret"


def test_mail_is_plain_text_with_a_link_to_the_story_and_tried_again(mail: Mail, tmp_path: Path) -> None:
    mail.answers = ["451 not now"]
    (found,) = delivered(
        "email", notice(story=str(tmp_path / "a b.html")), url=mail.url, to=["a@b.example", "c@d.example"],
        username="odibi", password="right",
    )  # fmt: skip
    assert (found.status, found.attempts, mail.users) == ("delivered", 2, ["odibi", "odibi"])
    (message,) = mail.taken
    assert message["Subject"] == "[odibi] Critical: shop: step orders failed: a < b & c"
    assert (message["To"], message["Message-ID"]) == ("a@b.example, c@d.example", "<k1@odibi>")
    body = message.get_content()
    assert "Step: orders" in body
    assert f"Story: {tmp_path.as_uri()}/a%20b.html" in body


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("slack", {"url": "{web}/refused"}, "answered 400 Bad Request: no such channel ***"),
        (
            "email",
            {"url": "{mail}", "to": "a@b", "username": "u", "password": "wrong"},
            "refused the credentials",
        ),
        ("webhook", {"url": "{web}/here", "headers": {"X-Key": "é\n"}}, ""),
    ],
)
def test_what_is_refused_is_not_tried_again(
    server: Web, mail: Mail, kind: str, options: dict[str, Any], said: str
) -> None:
    server.at["/refused"] = Answer("no such channel secret", 400)
    options["url"] = options["url"].format(web=server.url, mail=mail.url)
    (found,) = delivered(kind, notice(), **options)
    assert (found.status, found.attempts) == ("failed", 1)
    assert said in found.error


def test_one_server_that_never_answers_delays_no_other(server: Web, store: RunStore) -> None:
    silent = threading.Event()

    def never(_: Asked) -> Answer:
        silent.wait(LATER)
        return Answer()

    server.at |= {"/never": never, "/quick": Answer()}
    courier = Courier(str)
    for name in ("never", "quick"):
        hook = Hook(name=name, type="webhook", url=f"{server.url}/{name}", timeout=LATER)
        for number in range(2):
            courier.send(Channel(hook, SENDERS["webhook"]), notice(key=f"{number}"))
    while sum(asked.path == "/quick" for asked in server.asked) < 2:
        time.sleep(0.01)
    found = courier.finish(time.monotonic() + 0.2)
    silent.set()
    assert sorted((one.hook, one.status) for one in found) == [
        *[("never", "undelivered")] * 2, *[("quick", "delivered")] * 2,
    ]  # fmt: skip
    save_deliveries(store, found)
    save_deliveries(store, found)  # the same once more is nothing new
    assert sorted(deliveries(store), key=str) == sorted(found, key=str)
    assert {one.error for one in found} == {"", "no answer before the run ended"}
    assert all(one.at <= datetime.now(UTC) for one in found)
