"""References to what a config must not hold: ``${env:X}``, ``${X}``, ``${secret:name}``.

A loaded config keeps its references; they are resolved when a run opens a connection, and what
came out is masked wherever odibi writes text. ``:-`` gives a default, ``$${`` is a literal ``${``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from odibi.config.models import Node, Pipeline, SecretsProvider
from odibi.config.vaults import VAULTS, variable_of
from odibi.errors import Permanent

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.errors import Problem

__all__ = [
    "Redactor",
    "Reference",
    "Secrets",
    "check_references",
    "is_secret",
    "malformed",
    "places",
    "references",
    "resolve",
]

_ANY = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_FORM = re.compile(
    r"(?:(?P<kind>env|secret):)?(?P<name>[A-Za-z_][A-Za-z0-9_.\-]*)(?::-(?P<default>.*))?", re.DOTALL
)
_SPEAKS_OF_SECRETS = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|SAS|AUTH|DSN|CONN", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(@)")


def is_secret(name: str) -> bool:
    """Whether a name speaks of a secret, such as KEY, TOKEN or PASSWORD."""
    return bool(_SPEAKS_OF_SECRETS.search(name))


@dataclass(frozen=True, slots=True)
class Reference:
    """A well-formed reference: ``kind`` is env or secret, ``default`` None where none is given."""

    kind: str
    name: str
    default: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that holds it."""
        return self.name if self.kind == "env" else variable_of(self.name)

    def find(self, environ: Mapping[str, str]) -> str | None:
        """Its value: from the environment, a file in ODIBI_SECRETS_DIR, or its default; else None.

        Raises Permanent for a secret file that cannot be read.
        """
        if self.variable in environ:
            return environ[self.variable]
        folder = environ.get("ODIBI_SECRETS_DIR")
        if self.kind == "secret" and folder:
            path = Path(folder) / self.name
            try:
                return path.read_text("utf-8").removesuffix("\n")
            except FileNotFoundError:
                pass
            except (OSError, UnicodeDecodeError) as error:
                raise Permanent(f"secret {self.name!r} cannot be read from {path}: {error}") from error
        return self.default

    @property
    def missing(self) -> tuple[str, str]:
        """What to say, and to advise, when it has no value."""
        if self.kind == "env":
            return (
                f"environment variable {self.name!r} is not set",
                f"set it, or write ${{{self.name}:-default}}",
            )
        return (
            f"secret {self.name!r} is not set",
            f"set {self.variable}, or put a file {self.name} into the folder ODIBI_SECRETS_DIR names",
        )


def references(value: str) -> tuple[Reference, ...]:
    """The well-formed references in ``value``, in order."""
    return tuple(item for item in _parts(value) if isinstance(item, Reference))


def malformed(value: str) -> tuple[str, ...]:
    """What in ``value`` begins like a reference and is none."""
    return tuple(item for item in _parts(value) if isinstance(item, str))


class Secrets:
    """The secrets of one run: asked for when they are used, in the order of the providers, kept as long as it lasts.

    In another process it knows what was asked for before it went there, so that whoever writes text knows all.
    """

    def __init__(
        self, providers: Sequence[SecretsProvider], environ: Mapping[str, str], redactor: Redactor
    ) -> None:
        self.providers, self.environ, self.redactor = tuple(providers), environ, redactor
        self._found: dict[str, str] = {}
        self._elsewhere = False

    def __reduce__(self) -> tuple[Any, ...]:
        """What was asked for already, and nothing to ask."""
        return _taken, (dict(self._found),)

    def find(self, reference: Reference) -> str | None:
        """The value of a reference, None where nothing has it and it has no default.

        Raises:
            OdibiError: a provider cannot be asked.
        """
        if reference.kind == "env" or not self.providers:
            found = reference.find(self.environ)
        elif reference.name in self._found:
            found = self._found[reference.name]
        else:
            asked = (VAULTS[each.provider](each, self.environ, reference.name) for each in self.providers)
            found = next((value for value in asked if value is not None), reference.default)
        if found is not None:
            self.redactor.add(reference, found)
            if reference.kind == "secret":
                self._found[reference.name] = found
        return found

    def __call__(self, name: str) -> str:
        """The secret of that name, for code that uses it.

        Raises:
            Permanent: nothing has it.
        """
        if self._elsewhere and name not in self._found:
            raise Permanent(
                f"secret {name!r} is not known in this process",
                hint=f"write its name where it is used: context.get_secret({name!r})",
            )
        found = self._found.get(name) or self.find(Reference("secret", name))
        if found is None:
            message, hint = self.missing(Reference("secret", name))
            raise Permanent(message, hint=hint)
        return found

    def missing(self, reference: Reference) -> tuple[str, str]:
        """What to say, and to advise, where nothing has it."""
        if reference.kind == "env" or not self.providers:
            return reference.missing
        asked = ", ".join(each.provider for each in self.providers)
        return f"secret {reference.name!r} is in none of the providers: {asked}", "put it into one of them"


def _taken(found: dict[str, str]) -> Secrets:
    """The secrets that went to another process."""
    made = Secrets((), {}, Redactor())
    made._found, made._elsewhere = found, True  # noqa: SLF001 - it is one of its own kind
    return made


def resolve(
    value: str,
    environ: Mapping[str, str] = os.environ,
    redactor: Redactor | None = None,
    secrets: Secrets | None = None,
) -> str:
    """``value`` with its references replaced, once; what they gave is told to ``redactor``.

    Raises Permanent for a reference that has no value.
    """
    secrets = secrets or Secrets((), environ, Redactor() if redactor is None else redactor)

    def put(match: re.Match[str]) -> str:
        reference = _reference(match)
        if reference is None:
            return "${" if match[0] == "$${" else match[0]
        found = secrets.find(reference)
        if found is None:
            message, hint = secrets.missing(reference)
            raise Permanent(message, hint=hint)
        return found

    return _ANY.sub(put, value)


def places(pipeline: Pipeline) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text of a pipeline in which references are resolved, with its path.

    These are connections, hooks and what names files: SQL and expressions are code, no secret is spliced in.
    """
    for name, connection in pipeline.connections.items():
        yield ("connections", name, "url"), connection.url
        yield from _texts(("connections", name, "options"), connection.options)
    for index, hook in enumerate(pipeline.hooks):
        for key in ("url", "headers", "routing_key", "username", "password"):
            yield from _texts(("hooks", index, key), getattr(hook, key))
    if pipeline.metrics is not None and pipeline.metrics.push is not None:
        yield ("metrics", "push"), pipeline.metrics.push
    if pipeline.lineage.openlineage is not None:
        yield from _texts(("lineage", "openlineage"), pipeline.lineage.openlineage.model_dump())
    for index, step in enumerate(pipeline.steps):
        if step.node is not Node.TRANSFORM:
            yield ("steps", index, "value"), step.value
        for key, given in step.params.items():
            if key != "operations":
                yield from _texts(("steps", index, "params", key), given)
        if step.write is not None and step.write.path is not None:
            yield ("steps", index, "write", "path"), step.write.path


def check_references(loaded: Loaded, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """A problem for every reference that has no value in ``environ`` (that of loading if None)."""
    environ = loaded.environ if environ is None else environ
    problems = []
    for path, text in places(loaded.pipeline):
        for reference in references(text):
            try:
                if reference.find(environ) is None:
                    problems.append(loaded.problem(path, *reference.missing))
            except Permanent as error:
                problems.append(loaded.problem(path, error.message))
    return tuple(problems)


class Redactor:
    """Remembers resolved secrets and masks them in text.

    What ``${secret:...}`` gives is always masked; of environment variables those whose name speaks
    of a secret (KEY, TOKEN, PASSWORD ...), because others hold words such as ``prod``.
    """

    MASK = "***"

    def __init__(self) -> None:
        self._values: set[str] = set()

    def add(self, reference: Reference, value: str) -> None:
        """Mask ``value`` from now on, also where it is percent-encoded or cut into its lines."""
        if reference.kind == "env" and not _SPEAKS_OF_SECRETS.search(reference.name):
            return
        self.hide(value)

    def hide(self, value: str) -> None:
        """Mask ``value`` from now on, whatever it came from."""
        lines = (line for line in value.splitlines() if len(line) >= 8)
        for text in (value, value.strip(), *lines):
            self._values |= {text, quote(text), quote(text, safe="")}
        self._values.discard("")

    def __bool__(self) -> bool:
        """Whether it knows anything to mask."""
        return bool(self._values)

    def mask(self, text: str) -> str:
        """``text`` without any remembered secret and without passwords in URLs."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, self.MASK)
        return _USERINFO.sub(rf"\1{self.MASK}\2", text)


def _reference(match: re.Match[str]) -> Reference | None:
    form = _FORM.fullmatch(match[1]) if match[1] is not None else None
    return Reference(form["kind"] or "env", form["name"], form["default"]) if form else None


def _parts(value: str) -> Iterator[Reference | str]:
    for match in _ANY.finditer(value):
        if match[0] != "$${":
            yield _reference(match) or match[0]


def _texts(path: tuple[str | int, ...], given: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The texts anywhere in a parameter's value."""
    if isinstance(given, str):
        yield path, given
    elif isinstance(given, Mapping):
        for key, item in given.items():
            yield from _texts((*path, key), item)
    elif isinstance(given, list | tuple):
        for index, item in enumerate(given):
            yield from _texts((*path, index), item)
