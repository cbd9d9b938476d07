"""Questions about secrets and about people's data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from odibi.config.credentials import by_environment, hard_coded
from odibi.doctor.model import Case, Fault
from odibi.places import OBJECT_STORES, is_remote

__all__ = [
    "credentials_are_referred_to",
    "identity_is_managed",
    "people_are_masked",
    "secrets_are_in_a_vault",
    "secrets_are_secrets",
]

PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|mobile|first_?name|last_?name|full_?name|surname|birth\w*|ssn|iban|passport|"
    r"address|street|credit_card|card_number|password|salary|ip_address)(_|$)",
    re.IGNORECASE,
)
"""Names of columns that speak of a person."""

_KEYS = frozenset({
    *("account_key", "sas_token", "connection_string", "client_secret", "credential"),
    *("key", "secret", "aws_access_key_id", "aws_secret_access_key", "token"),
})  # fmt: skip
_IDENTITIES = ("google_default", "cloud", "anon")
"""Tokens of gcsfs that are none."""


def credentials_are_referred_to(case: Case) -> Iterator[Fault]:
    """No credential stands in the config."""
    for at, found in hard_coded(case.pipeline):
        yield Fault(f"{found} stands in the config", at)


def secrets_are_secrets(case: Case) -> Iterator[Fault]:
    """Credentials are asked for by ``${secret:name}``, so that they can be kept and changed in one place."""
    for at, reference in by_environment(case.pipeline):
        yield Fault("taken from the environment", at, reference.name)


def secrets_are_in_a_vault(case: Case) -> Iterator[Fault]:
    """Some provider is more than environment variables, which every child process inherits."""
    pipeline = case.pipeline
    said = [one.provider for one in pipeline.secrets]
    said += [one.provider for target in pipeline.targets.values() for one in target.secrets]
    if said and set(said) == {"env"}:
        yield Fault("secrets are kept in environment variables only", ("secrets",))


def people_are_masked(case: Case) -> Iterator[Fault]:
    """Columns that speak of people are masked in stories and samples."""
    patterns = [each.lower() for each in case.pipeline.sensitive]
    for name in dict.fromkeys(column for columns in case.columns.values() for column in columns):
        if PERSONAL.search(name) and not any(fnmatchcase(name.lower(), each) for each in patterns):
            yield Fault("shown to whoever reads a story", ("sensitive",), name)


def identity_is_managed(case: Case) -> Iterator[Fault]:
    """Stores in a cloud are opened by who the process is there, not by a key that has to be kept."""
    for name, connection in case.pipeline.connections.items():
        if not is_remote(connection.url) or connection.url.partition("://")[0] not in OBJECT_STORES:
            continue
        for key, value in connection.options.items():
            if key in _KEYS and value not in _IDENTITIES:
                yield Fault(f"opened with {key}", ("connections", name, "options", key), name)
