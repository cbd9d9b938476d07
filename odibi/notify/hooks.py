"""The hooks of a config made ready: references resolved, functions loaded, filters applied."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

from odibi.config.alerts import LOG
from odibi.config.hooks import Hook
from odibi.config.secrets import Redactor, Secrets, resolve
from odibi.errors import ConfigError, MissingExtra, OdibiError, Permanent, Problem, nearest
from odibi.notify.bus import EventPriority, Payload, Registered, Told
from odibi.notify.channels import SENDERS, calling, line
from odibi.notify.courier import Channel, Courier
from odibi.notify.events import severity_of
from odibi.notify.messages import of_event
from odibi.operations.loading import load
from odibi.operations.modules import find, parse, reached
from odibi.operations.python import Function

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["channels_of", "registered", "routed"]

_SCHEMES = {"email": ("smtp", "smtps")}
AT_ONCE = frozenset({"python", "log"})
"""The types that are told themselves; the others by a courier."""

_HTTP = frozenset({"slack", "webhook", "pagerduty"})


def channels_of(loaded: Loaded, redactor: Redactor) -> tuple[Channel, ...]:
    """The hooks that are there in the target, ready to be sent to; what their references give is masked.

    Raises:
        ConfigError: references without a value, URLs that cannot be, functions that are not there.
        MissingExtra: what speaks HTTP is not installed.
    """
    problems: list[Problem] = []
    found: list[Channel] = []
    secrets = Secrets(loaded.pipeline.secrets, loaded.environ, redactor)
    for index, hook in enumerate(loaded.pipeline.hooks):
        if not hook.there(loaded.target):
            continue
        try:
            found.append(_channel(loaded, hook, secrets))
        except OdibiError as error:
            message = f"hook {hook.called!r}: {error.message}"
            problems.append(loaded.problem(("hooks", index), message, error.hint))
    if problems:
        raise ConfigError(problems)
    if any(channel.hook.type in _HTTP for channel in found) and find_spec("httpx2") is None:
        raise MissingExtra("httpx2", "http")
    return tuple(found)


def _channel(loaded: Loaded, hook: Hook, secrets: Secrets) -> Channel:
    def given(text: str) -> str:
        return resolve(text, loaded.environ, secrets=secrets)

    if hook.type == "python":
        return Channel(hook, calling(_function(hook.function, loaded.roots)))
    texts = {key: given(getattr(hook, key)) for key in ("url", "routing_key", "username", "password")}
    headers = {name: given(value) for name, value in hook.headers.items()}
    ready = hook.model_copy(update={**texts, "headers": headers})
    schemes = _SCHEMES.get(hook.type, ("http", "https"))
    if hook.type != "log":
        parts = urlsplit(ready.address)
        if parts.scheme not in schemes or not parts.hostname or not _has_port(parts):
            raise Permanent("its url cannot be", hint=" or ".join(f"{scheme}://host" for scheme in schemes))
    return Channel(ready, SENDERS[hook.type])


def _has_port(parts: SplitResult) -> bool:
    """Whether the port of a URL, where it has one, is one."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _function(value: str, roots: Sequence[Path]) -> Told:
    """What calls the function of that name, which is imported when it is called first."""
    module, colon, name = value.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), name)):
        raise Permanent(f"{value!r} names no function", hint="write steps.module:function")
    file, root = find(module, roots)
    functions = {node.name: node for node in parse(file).body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise Permanent(f"{file} has no function {name!r}", hint=nearest(name, functions, "it has"))
    function = Function(
        module, name, str(root), str(file), functions[name].lineno, {}, {}, False, None,
        reached(module, file, roots),
    )  # fmt: skip

    def told(payload: Payload) -> None:
        load(function)(payload)

    return told


def registered(channels: Sequence[Channel], courier: Courier) -> Iterator[Registered]:
    """What tells each hook of the events it wants."""
    for channel in channels:
        hook = channel.hook
        told = _telling(channel, courier)
        for event in dict.fromkeys(hook.on):
            yield Registered(
                event,
                told,
                EventPriority[hook.priority.upper()],
                hook.called,
                hook.timeout,
                hook.blocking,
                quick=hook.type not in AT_ONCE,
            )


def _telling(channel: Channel, courier: Courier) -> Told:
    hook = channel.hook

    def told(payload: Payload) -> None:
        if not _wanted(hook, payload):
            return
        if hook.type in AT_ONCE:
            channel.sender(hook, of_event(payload, ""))
        else:
            courier.send(channel, of_event(payload, str(uuid4())))

    return told


def _wanted(hook: Hook, payload: Payload) -> bool:
    step, layer = payload.get("step_name"), payload.get("layer")
    if payload["event_type"].startswith("pipeline_"):
        step = None
    if step is not None and hook.steps and not any(fnmatchcase(step, each) for each in hook.steps):
        return False
    if layer is not None and hook.layers and layer not in hook.layers:
        return False
    return severity_of(payload).rank >= hook.severity.rank


def routed(channels: Sequence[Channel], names: Sequence[str]) -> list[Channel]:
    """The channels that the names of a route mean; the log where there is none of them."""
    found = [one for one in channels if one.hook.called in names or one.hook.type in names]
    logged = any(one.hook.type == LOG for one in found)
    return found if found and (logged or LOG not in names) else [*found, _LOG]


_LOG = Channel(Hook(name=LOG, type="log", on=()), line)
