"""``odibi alerts``: hold the rules of a config against what was recorded, list them, test where they go."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from odibi.cli.config import load_config, of_last_run
from odibi.cli.exits import Exit
from odibi.cli.runs import store_of
from odibi.cli.terminal import complain, say, say_json, table
from odibi.config.secrets import Redactor
from odibi.home import Home

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.record.notices import Delivery

__all__ = ["check", "deliveries", "list_", "test"]

PATIENCE = 60.0
"""Seconds in which everything must be delivered."""


def check(*, config: str | None, target: str | None, output: str) -> int:
    """Evaluate the rules now, and tell what fires and what is over."""
    from odibi.notify import alerting
    from odibi.notify.courier import Courier
    from odibi.notify.hooks import channels_of
    from odibi.notify.telling import undelivered
    from odibi.record.notices import save_deliveries
    from odibi.record.store import open_store

    loaded, home, redactor = _loaded(config, target), Home.find(), Redactor()
    channels, courier = channels_of(loaded, redactor), Courier(redactor.mask)
    unchecked: list[str] = []
    with open_store(home.state) as store:
        sent = alerting.check(loaded, store, home, channels, courier, datetime.now(UTC), unchecked.append)
        made = courier.finish(time.monotonic() + PATIENCE)
        save_deliveries(store, made)
        alerting.take_back(store, sent, made)
    lost = [*unchecked, *undelivered(made)]
    if output == "json":
        say_json({"alerts": [dict(one.notice.payload) for one in sent], "undelivered": lost})
    else:
        for one in sent:
            word = "resolved" if one.notice.resolved else "fired"
            say(f"{word}  {one.notice.severity}  {one.notice.summary}")
        if not sent:
            say("No alert fires that has not been told")
    for said in lost:
        complain(f"error: {said}")
    return Exit.FAILED if lost else Exit.SUCCESS


def list_(*, config: str | None, target: str | None, output: str) -> int:
    """Print the rules, where they go, and when they fired last."""
    from odibi.record.notices import alert_states

    loaded = _loaded(config, target)
    alerts, name = loaded.pipeline.alerts, loaded.pipeline.pipeline
    with store_of() as store:
        states = alert_states(store, loaded.target) if store is not None else {}
    rows: list[dict[str, Any]] = []
    for rule in alerts.rules:
        known = [state for (of, _), state in states.items() if of == rule.name]
        fired: list[tuple[str, datetime | None, bool]] = [
            (state.pipeline, state.last_fired, state.firing) for state in known
        ] or [(name, rule.last_fired, False)]
        for pipeline, last, firing in fired:
            rows.append(
                {
                    "name": rule.name,
                    "condition": str(rule.condition),
                    "severity": str(rule.severity),
                    "cooldown_minutes": rule.cooldown_minutes,
                    "routes": list(alerts.route(rule.severity)),
                    "pipeline": pipeline,
                    "last_fired": last.astimezone(UTC).isoformat(timespec="seconds") if last else None,
                    "firing": firing,
                }
            )
    if output == "json":
        say_json(rows)
    elif not rows:
        say("No alerts")
    else:
        headers = ("Name", "Severity", "Routes", "Pipeline", "Last fired", "State", "Condition")
        cells = [
            (
                row["name"],
                row["severity"],
                ", ".join(row["routes"]),
                row["pipeline"],
                (row["last_fired"] or "never").replace("T", " ").removesuffix("+00:00"),
                "firing" if row["firing"] else "",
                row["condition"],
            )
            for row in rows
        ]
        say(table(headers, cells))
    return Exit.SUCCESS


def test(*, config: str | None, target: str | None, output: str) -> int:
    """Send a sample to every route and say what became of it."""
    from odibi.notify.alerting import sample
    from odibi.notify.courier import Courier
    from odibi.notify.hooks import channels_of

    loaded, redactor = _loaded(config, target), Redactor()
    channels, courier = channels_of(loaded, redactor), Courier(redactor.mask)
    sent = sample(loaded, channels, courier, datetime.now(UTC))
    made = {one.key: one for one in courier.finish(time.monotonic() + PATIENCE)}
    told = [(severity, made[key]) for severity, keys in sent for key in keys]
    if output == "json":
        say_json([{"severity": str(severity), **_fields(one)} for severity, one in told])
    else:
        headers = ("Severity", "Hook", "Type", "To", "Status", "Attempts", "Error")
        rows = [
            (str(severity), one.hook, one.kind, one.place, one.status, str(one.attempts), one.error)
            for severity, one in told
        ]
        say(table(headers, rows, right=("Attempts",)))
    return Exit.SUCCESS if all(one.status == "delivered" for _, one in told) else Exit.FAILED


def deliveries(*, limit: int, output: str) -> int:
    """Print what was told of runs and alerts, newest first."""
    from odibi.record.notices import deliveries as recorded

    with store_of() as store:
        found = recorded(store, limit) if store is not None else ()
    if output == "json":
        say_json([_fields(one) for one in found])
    elif not found:
        say("Nothing was delivered yet")
    else:
        headers = ("Time", "Run", "Event", "Hook", "To", "Status", "Attempts", "Error")
        rows = [
            (
                f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                one.run_id[:8],
                one.event,
                one.hook,
                one.place,
                one.status,
                str(one.attempts),
                one.error,
            )
            for one in found
        ]
        say(table(headers, rows, right=("Attempts",)))
    return Exit.SUCCESS


def _fields(one: Delivery) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(one), "at": one.at.isoformat()}


def _loaded(config: str | None, target: str | None) -> Loaded:
    config, target = of_last_run(config, target)
    return load_config(config, target=target)
