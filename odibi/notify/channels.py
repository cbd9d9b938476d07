"""How a notice gets to one receiver: by HTTP, by mail, as a line, or to a function."""

from __future__ import annotations

import json
import os
import smtplib
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from odibi.config.hooks import Hook
from odibi.datasets.http import sending
from odibi.errors import AuthenticationFailed, NetworkTimeout, Permanent, Unavailable
from odibi.notify.bus import Told
from odibi.notify.messages import Notice, email, pagerduty, slack, webhook

__all__ = ["SENDERS", "Sender", "calling", "line", "place_of"]

Sender = Callable[[Hook, Notice], None]
"""Sends a notice once. Raises Transient where trying again may help, anything else where it does not."""

_JSON = "application/json"
_PORTS = {"smtp": 25, "smtps": 465}


def place_of(hook: Hook) -> str:
    """Where notices go, without anything secret: of a URL the scheme, the host and the port."""
    if hook.type == "python":
        return hook.function
    if hook.type == "log":
        return hook.path or "stderr"
    parts = urlsplit(hook.address)
    with suppress(ValueError):  # a port that is no number
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}"
    return parts.scheme


def _slack(hook: Hook, notice: Notice) -> None:
    _post(hook, slack(notice, hook), notice.key)


def _webhook(hook: Hook, notice: Notice) -> None:
    _post(hook, webhook(notice), notice.key, hook.headers)


def _pagerduty(hook: Hook, notice: Notice) -> None:
    _post(hook, pagerduty(notice, hook.routing_key), notice.key)


def _post(hook: Hook, body: bytes, key: str, headers: Mapping[str, str] | None = None) -> None:
    with sending(hook.address, _JSON, headers or {}, place_of(hook), hook.timeout) as send:
        send(body, key)


def _email(hook: Hook, notice: Notice) -> None:
    """By SMTP: smtps:// is TLS from the first byte, smtp:// TLS where the server offers it."""
    parts, shown = urlsplit(hook.address), place_of(hook)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        with _connected(parts.scheme, host, port, hook.timeout) as server:
            safe = parts.scheme == "smtps"
            server.ehlo()
            if not safe and server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
                safe = True
            if hook.username:
                if not safe and host not in ("localhost", "127.0.0.1", "::1"):
                    raise Permanent(
                        f"{shown} offers no TLS, so the password is not sent",
                        hint="use smtps:// if it has it",
                    )
                server.login(hook.username, hook.password)
            server.send_message(email(notice, hook))
    except smtplib.SMTPAuthenticationError as error:
        raise AuthenticationFailed(shown, _said(error.smtp_error)) from error
    except smtplib.SMTPResponseException as error:
        text = f"{shown} answered {error.smtp_code}: {_said(error.smtp_error)}"
        raise (Unavailable(text) if error.smtp_code < 500 else Permanent(text)) from error
    except smtplib.SMTPRecipientsRefused as error:
        raise Permanent(f"{shown} takes no mail for {', '.join(error.recipients)}") from error
    except ssl.SSLCertVerificationError as error:
        raise Permanent(f"{shown}: the server's certificate is not valid: {error}") from error
    except TimeoutError as error:
        raise NetworkTimeout(shown, f"timeout after {hook.timeout:g}s") from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unavailable(f"{shown} cannot be reached: {error}") from error


def _connected(scheme: str, host: str, port: int, timeout: float) -> smtplib.SMTP:
    if scheme == "smtps":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port, socket.gethostname(), timeout=timeout, context=context)
    return smtplib.SMTP(host, port, socket.gethostname(), timeout=timeout)


def _said(answer: bytes | str) -> str:
    return answer.decode("utf-8", errors="replace") if isinstance(answer, bytes) else answer


def line(hook: Hook, notice: Notice) -> None:
    """A JSON line in a file, or one for people on stderr."""
    if not hook.path:
        sys.stderr.write(f"odibi: {notice.severity}: {' '.join(notice.summary.split())}\n")
        return
    text = json.dumps(notice.payload, ensure_ascii=False, default=str) + "\n"
    try:
        _append(hook.path, text.encode(errors="backslashreplace"))
    except OSError as error:
        raise Permanent(f"{hook.path} cannot be written: {error.strerror}") from error


def _append(path: str, line: bytes) -> None:
    """Add a line at once, so that it does not mix with those of another process; a step costs many of them."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    with os.fdopen(file, "ab", buffering=0) as stream:
        stream.write(line)


SENDERS: Mapping[str, Sender] = {
    "slack": _slack,
    "webhook": _webhook,
    "pagerduty": _pagerduty,
    "email": _email,
    "log": line,
}
"""Who sends, by the type of a hook; functions are called by whoever has loaded them."""


def calling(told: Told) -> Sender:
    """What hands notices to a function; it raises what that raises."""

    def call(_hook: Hook, notice: Notice) -> None:
        told(notice.payload)

    return call
