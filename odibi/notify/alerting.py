"""Alerts from the run store to their receivers: what is known, which rules fire, who is told, what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from odibi.config.hooks import Severity
from odibi.errors import NotFound
from odibi.notify.courier import Channel, Courier
from odibi.notify.hooks import routed
from odibi.notify.measure import measured
from odibi.notify.messages import Notice
from odibi.notify.rules import Alert, Known, evaluate
from odibi.record.model import RunRecord, StepStatus
from odibi.record.notices import AlertState, Delivery, States, change_alerts, restore_alert

if TYPE_CHECKING:
    from odibi.config.alerts import Alerts
    from odibi.config.loaded import Loaded
    from odibi.home import Home
    from odibi.record.store import RunStore

__all__ = ["Sent", "check", "sample", "take_back"]


@dataclass(frozen=True, slots=True)
class Sent:
    """An alert on its way: its notice, the keys of its deliveries, how its rule stood before."""

    alert: Alert
    notice: Notice
    keys: tuple[str, ...]
    before: AlertState | None


def check(
    loaded: Loaded, store: RunStore, home: Home, channels: Sequence[Channel], courier: Courier, now: datetime,
    warn: Callable[[str], object],
) -> list[Sent]:  # fmt: skip
    """Hold the rules of a config against the runs recorded for its target, and give what is to be told to the courier.

    What could not be delivered has to be taken back, see :func:`take_back`. ``warn`` is told of rules that
    cannot be held against anything, such as one about a resource that cannot be measured.

    Raises:
        OdibiError: the run store cannot be read or written.
    """
    alerts, target = loaded.pipeline.alerts, loaded.target
    if not alerts.rules:
        return []
    known = _known(loaded, store, home)
    found: list[Alert] = []

    def change(states: States) -> Iterable[AlertState]:
        found.extend(evaluate(alerts.rules, known, states, target, now, warn))
        return [alert.state for alert in found]

    before = change_alerts(store, target, change)
    sent = []
    for alert in found:
        state = before[alert.rule.name, alert.state.pipeline]
        notice = _notice(loaded, alert, _subject(store, alert.state.subject), now)
        keys = _send(alerts, channels, courier, notice)
        sent.append(Sent(alert, notice, keys, state))
    return sent


def take_back(store: RunStore, sent: Iterable[Sent], deliveries: Iterable[Delivery]) -> None:
    """Let alerts that reached nobody fire again next time."""
    arrived = {one.key for one in deliveries if one.status == "delivered"}
    for one in sent:
        if arrived.isdisjoint(one.keys):
            restore_alert(store, one.alert.state, one.before)


def sample(
    loaded: Loaded, channels: Sequence[Channel], courier: Courier, now: datetime
) -> list[tuple[Severity, tuple[str, ...]]]:
    """Give a sample of each severity to the courier; the keys of its deliveries by severity."""
    alerts, pipeline = loaded.pipeline.alerts, loaded.pipeline
    sent = []
    for severity in Severity:
        payload = {
            "event_type": "alert",
            "alert_name": "sample",
            "severity": str(severity),
            "timestamp": now.isoformat(),
            "condition": "none: this is a test",
            "status": "firing",
            "summary": f"{pipeline.pipeline}: a test of the route for {severity}",
            "pipeline": pipeline.pipeline,
            "target": loaded.target,
            "value": None,
            "runbook": pipeline.runbook or None,
        }
        key = str(uuid4())
        # Each test is an incident of its own, which nobody has to close for the next one to be seen.
        about = f"odibi/{loaded.target}/sample/{key[:8]}"
        notice = Notice(
            "alert", severity, str(payload["summary"]), pipeline.pipeline, "", about, False, key, payload
        )
        sent.append((severity, _send(alerts, channels, courier, notice)))
    return sent


def _send(alerts: Alerts, channels: Sequence[Channel], courier: Courier, notice: Notice) -> tuple[str, ...]:
    return tuple(courier.send(channel, notice) for channel in routed(channels, alerts.route(notice.severity)))


def _known(loaded: Loaded, store: RunStore, home: Home) -> Known:
    """What the rules need to know."""
    pipeline, conditions = loaded.pipeline.pipeline, [rule.condition for rule in loaded.pipeline.alerts.rules]
    patterns = {getattr(each.one, "pipeline_pattern", "") for each in conditions} - {""}
    others = [name for name in store.pipelines() if any(fnmatchcase(name, each) for each in patterns)]
    names = dict.fromkeys([pipeline, *others])
    timed = any(each.duration for each in conditions)

    def shares(resource: str, path: str) -> float:
        return measured(resource, Path(path or home.path))

    return Known(
        pipeline,
        {name: store.headers(name, loaded.target) for name in names},
        frozenset().union(*(store.computed(name, loaded.target) for name in names)) if timed else frozenset(),
        shares,
    )


def _subject(store: RunStore, run_id: str) -> RunRecord | None:
    """The run that an alert is about, if it is about one."""
    try:
        return store.run(run_id) if run_id else None
    except NotFound:
        return None


def _notice(loaded: Loaded, alert: Alert, run: RunRecord | None, now: datetime) -> Notice:
    rule, state = alert.rule, alert.state
    resolved = alert.found is None
    own = state.pipeline == loaded.pipeline.pipeline
    failed = next((s for s in run.steps if s.status is StepStatus.FAILED), None) if run else None
    said = "is over" if alert.found is None else alert.found.said
    about = f"odibi/{state.target}/{rule.name}/{state.pipeline}"
    payload: dict[str, Any] = {
        "event_type": "alert_resolved" if resolved else "alert",
        "alert_name": rule.name,
        "severity": str(rule.severity),
        "timestamp": now.isoformat(),
        "condition": str(rule.condition),
        "status": "resolved" if resolved else "firing",
        "summary": f"{state.pipeline}: {rule.name}: {said}",
        "pipeline": state.pipeline,
        "target": state.target,
        "value": None if alert.found is None else round(alert.found.value, 4),
        "runbook": rule.runbook or (run.runbook if run else "") or (loaded.pipeline.runbook if own else "") or None,
        "owner": (run.owner if run else "") or None,
        "run_id": run.run_id if run else None,
        "step": failed.name if failed else None,
        "error_message": (failed.error.message if failed and failed.error else "") or (run.error if run else "") or None,
        # On a cluster the pod says what it belongs to; elsewhere the run is the job, the target its place.
        "job": loaded.environ.get("ODIBI_JOB") or (run.run_id if run else None),
        "namespace": loaded.environ.get("ODIBI_NAMESPACE") or state.target,
        "dedup_key": about,
    }  # fmt: skip
    return Notice(
        payload["event_type"], rule.severity, payload["summary"], state.pipeline, state.subject, about, resolved,
        str(uuid4()), payload,
    )  # fmt: skip
