"""What is sent: an event or an alert in the shape that each kind of receiver expects.

Slack: https://docs.slack.dev/reference/block-kit/blocks. PagerDuty: Events API v2,
https://developer.pagerduty.com/docs/send-alert-event. Lengths are cut to what these take.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any

from odibi.config.hooks import Hook, Severity

__all__ = ["Notice", "email", "of_event", "pagerduty", "slack", "webhook"]

_FACTS = (
    ("pipeline", "Pipeline"),
    ("step_name", "Step"),
    ("step", "Step"),
    ("layer", "Layer"),
    ("error_message", "Error"),
    ("error_hint", "What to do"),
    ("condition", "Condition"),
    ("value", "Measured"),
    ("row_count", "Rows"),
    ("duration_ms", "Milliseconds"),
    ("logical_date", "Date"),
    ("target", "Target"),
    ("run_id", "Run"),
    ("owner", "Owner"),
    ("runbook", "Runbook"),
    ("story", "Story"),
)
"""What a person wants to know first, in order."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told.

    Attributes:
        event: the name of the event; ``alert`` or ``alert_resolved``.
        severity: how urgent it is.
        summary: what happened, in a sentence.
        pipeline: whose run it is about.
        run_id: that run, empty where it is about none.
        about: what it is about: who resolves a notice sends one about the same.
        resolved: whether it says that what was told before is over.
        key: tells this notice from any other, however often it is sent.
        payload: all that is known, as JSON values.
    """

    event: str
    severity: Severity
    summary: str
    pipeline: str
    run_id: str
    about: str
    resolved: bool
    key: str
    payload: Mapping[str, Any]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What a person wants to know first."""
        found = [(label, self.payload.get(key)) for key, label in _FACTS]
        return [(label, str(value)) for label, value in found if value not in (None, "")]


def of_event(payload: Mapping[str, Any], key: str) -> Notice:
    """The notice of an event of a run: a success is the end of the trouble its failure was."""
    event, about = payload["event_type"], f"odibi/{payload['target']}/{payload['pipeline']}"
    step = payload.get("step_name") if event.startswith(("node_", "check_", "cache_")) else None
    return Notice(
        event=event,
        severity=Severity(payload["severity"]),
        summary=payload["summary"],
        pipeline=payload["pipeline"],
        run_id=payload["run_id"],
        about=f"{about}/{step}" if step else about,
        resolved=event in ("pipeline_complete", "node_complete"),
        key=key,
        payload=payload,
    )


def webhook(notice: Notice) -> bytes:
    """The payload as it is."""
    return _json(notice.payload)


def slack(notice: Notice, hook: Hook) -> bytes:
    """A message in blocks, with a text for notifications and for readers without blocks."""
    fields = [
        {"type": "mrkdwn", "text": f"*{label}*\n{_cut(_marked(value), 1900)}"}
        for label, value in notice.facts[:10]
    ]
    word = "Resolved" if notice.resolved and notice.event == "alert_resolved" else str(notice.severity)
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*{word}*: {_cut(_marked(notice.summary), 2900)}"}}
    ]  # fmt: skip
    if fields:
        blocks.append({"type": "section", "fields": fields})
    said: dict[str, Any] = {"text": _cut(_marked(f"{word}: {notice.summary}"), 3000), "blocks": blocks}
    if hook.channel:
        said["channel"] = hook.channel
    return _json(said)


def pagerduty(notice: Notice, routing_key: str) -> bytes:
    """An event of the Events API v2: a trigger, or the resolve with the same ``dedup_key``."""
    said: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if notice.resolved else "trigger",
        "dedup_key": _cut(notice.about, 255),
        "payload": {
            "summary": _cut(notice.summary, 1024),
            "source": platform.node() or "odibi",
            "severity": str(notice.severity).lower(),
            "timestamp": notice.payload.get("timestamp"),
            "component": notice.payload.get("step_name") or notice.payload.get("step") or notice.pipeline,
            "group": notice.pipeline,
            "class": notice.payload.get("alert_name") or notice.event,
            "custom_details": dict(notice.payload),
        },
        "client": "odibi",
    }
    if (runbook := str(notice.payload.get("runbook") or "")).startswith("http"):
        said["links"] = [{"href": runbook, "text": "Runbook"}]
    return _json(said)


def email(notice: Notice, hook: Hook) -> EmailMessage:
    """A message in plain text; its id is the notice's, so that who receives it twice can tell."""
    message = EmailMessage()
    word = "Resolved" if notice.event == "alert_resolved" else str(notice.severity)
    message["Subject"] = _cut(" ".join(f"[odibi] {word}: {notice.summary}".split()), 200)
    message["From"], message["To"] = hook.from_, ", ".join(hook.to)
    message["Date"], message["Message-ID"] = formatdate(), f"<{notice.key}@odibi>"
    lines = [notice.summary, "", *(f"{label}: {value}" for label, value in notice.facts if label != "Story")]
    if story := notice.payload.get("story"):
        lines += ["", f"Story: {Path(str(story)).resolve().as_uri()}"]
    message.set_content("\n".join(lines) + "\n")
    return message


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()


def _marked(text: str) -> str:
    """As Slack wants it: these three characters are its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
