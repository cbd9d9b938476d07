"""What a connection's options say of an object store, for libraries that are not fsspec's: Delta's and Hadoop's.

A connection has the options of fsspec's file systems (s3fs, adlfs, gcsfs). Here they become plain words that
the tables of those libraries are made of, so that one connection means one identity to all that open it. What
is not given is the identity that a run has by itself: the environment, a role, a managed identity.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from odibi.errors import Permanent
from odibi.places import options_of

__all__ = ["DELTA_STORES", "azure_of", "delta_options", "s3_of"]

DELTA_STORES = frozenset({"s3", "s3a", "abfs", "abfss", "az", "gs"})
"""Schemes at which there can be Delta tables."""

_PATIENCE = {"max_retries": "5", "retry_timeout": "60s"}
"""How often, and for how long, a request is tried again: for ever would hide that there is no network."""


def delta_options(url: str) -> dict[str, str]:
    """The storage options of delta-rs by which it opens ``url`` as fsspec does.

    Sources: https://docs.rs/object_store/latest/object_store/aws/enum.AmazonS3ConfigKey.html and, beside it,
    those of Azure and Google.

    Raises:
        Permanent: an option tells an identity in a way that only fsspec knows, or what it says is not whole.
    """
    scheme, options = url.partition("://")[0], options_of(url)
    words = _FAMILIES[scheme](url, options)
    return {**_PATIENCE, **words}


def s3_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Of options of s3fs: ``key``, ``secret``, ``token``, ``endpoint_url``, ``region`` and ``anon``, as far as given."""
    _refuse_only_fsspecs(
        options, "profile", "session", hint="key and secret, or AWS_PROFILE in the environment"
    )
    own = options.get("client_kwargs") or {}
    found = {
        "key": options.get("key"),
        "secret": options.get("secret"),
        "token": options.get("token"),
        "endpoint_url": options.get("endpoint_url") or own.get("endpoint_url"),
        "region": own.get("region_name"),
        "anon": "true" if options.get("anon") else None,
    }
    return {name: str(value) for name, value in found.items() if value}


def azure_of(url: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Of a URL and options of adlfs: ``account_name``, ``account_key``, ``sas_token``, ``endpoint`` and so on.

    So on are the three words of a service principal, and ``anon`` where nobody is to be asked who it is.

    Raises:
        Permanent: the connection string is none.
    """
    _refuse_only_fsspecs(options, "credential", hint="account_key, sas_token or a service principal")
    found = dict(_from_text(str(options["connection_string"]))) if options.get("connection_string") else {}
    names = ("account_name", "account_key", "sas_token", "tenant_id", "client_id", "client_secret")
    found |= {name: str(options[name]) for name in names if options.get(name)}
    account, dot, _ = (urlsplit(url).hostname or "").partition(".")
    if "@" in url and dot:
        found.setdefault("account_name", account)
    if "sas_token" in found:
        found["sas_token"] = found["sas_token"].removeprefix("?")
    return {**found, **({"anon": "true"} if options.get("anon") else {})}


def _from_text(text: str) -> Mapping[str, str]:
    """The words of a connection string."""
    pairs = dict(part.split("=", 1) for part in text.strip("; \n").split(";") if "=" in part)
    known = {
        "AccountName": "account_name",
        "AccountKey": "account_key",
        "SharedAccessSignature": "sas_token",
        "BlobEndpoint": "endpoint",
    }
    found = {known[name]: value for name, value in pairs.items() if name in known}
    if not found:
        raise Permanent(
            "connection_string is none of Azure's",
            hint="AccountName=...;AccountKey=...;EndpointSuffix=core.windows.net",
        )
    return found


def _refuse_only_fsspecs(options: Mapping[str, Any], *names: str, hint: str) -> None:
    for name in names:
        if options.get(name) is not None:
            raise Permanent(
                f"{name!r} among the options is known to fsspec alone, so no Delta table can be opened by it",
                hint=hint,
            )


def _s3_words(url: str, options: Mapping[str, Any]) -> dict[str, str]:
    del url
    given = s3_of(options)
    names = {
        "key": "aws_access_key_id",
        "secret": "aws_secret_access_key",
        "token": "aws_session_token",
        "endpoint_url": "aws_endpoint_url",
        "region": "aws_region",
        "anon": "aws_skip_signature",
    }
    found = {names[name]: value for name, value in given.items()}
    endpoint = (
        given.get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
    if endpoint:
        found |= {"aws_endpoint_url": endpoint, **_plain(endpoint, "aws_allow_http")}
    return found


def _azure_words(url: str, options: Mapping[str, Any]) -> dict[str, str]:
    given = azure_of(url, options)
    names = {
        "account_name": "azure_storage_account_name",
        "account_key": "azure_storage_account_key",
        "sas_token": "azure_storage_sas_token",
        "tenant_id": "azure_storage_tenant_id",
        "client_id": "azure_storage_client_id",
        "client_secret": "azure_storage_client_secret",
        "endpoint": "azure_storage_endpoint",
        "anon": "azure_skip_signature",
    }
    found = {names[name]: value for name, value in given.items()}
    return found | _plain(given.get("endpoint", ""), "azure_allow_http")


def _google_words(url: str, options: Mapping[str, Any]) -> dict[str, str]:
    del url
    token = options.get("token")
    if token in (None, "google_default", "cloud"):
        return {}
    if token == "anon":  # noqa: S105 - gcsfs' word for nobody
        return {"google_skip_signature": "true"}
    if isinstance(token, Mapping):
        return {"google_service_account_key": json.dumps(dict(token))}
    return {"google_service_account": str(token)}


def _plain(endpoint: str, name: str) -> dict[str, str]:
    """That a server without TLS is meant: delta-rs asks to be told."""
    return {name: "true"} if endpoint.startswith("http://") else {}


_FAMILIES = {
    "s3": _s3_words,
    "s3a": _s3_words,
    "abfs": _azure_words,
    "abfss": _azure_words,
    "az": _azure_words,
    "gs": _google_words,
}
