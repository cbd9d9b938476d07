"""Places for Hadoop's own connectors: what they call them, and a place's credentials as their settings.

Spark reads and writes the parts of Delta tables in object stores by them. What else is elsewhere it is
handed, and needs none of them; functions of sessions of one's own may.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from odibi.engines.jars import CONNECTORS
from odibi.errors import Permanent
from odibi.places import is_remote, options_of
from odibi.stores import azure_of, s3_of

__all__ = ["CONNECTED", "hadoop_options", "hadoop_path", "hadoop_settings"]

CONNECTED = frozenset(CONNECTORS)
"""The schemes that Hadoop has connectors for."""

_PROVIDER = "org.apache.hadoop.fs.azurebfs.oauth2"
_FOLDER = "abfss://container@account.dfs.core.windows.net/folder"


def hadoop_path(path: str) -> str:
    """What Hadoop calls a place; a local path says so, because its default file system may be another.

    Raises:
        Permanent: a scheme without a connector, or a URL of Azure whose account nobody tells.
    """
    if not is_remote(path):
        return f"file:{Path(path.removeprefix('file://')).absolute()}"
    split = urlsplit(path)
    rest = path.partition("://")[2]
    if split.scheme in ("s3", "s3a"):
        return f"s3a://{rest}"
    if split.scheme not in ("abfs", "abfss", "az"):
        raise Permanent(f"Hadoop has no settings for {split.scheme}://", hint="abfss or s3")
    if split.username:
        return path
    account = azure_of(path, options_of(path)).get("account_name")
    if not account:
        raise Permanent(f"{path} names no account", hint=_FOLDER)
    container, _, folder = rest.partition("/")
    return f"abfss://{container}@{account}.dfs.core.windows.net/{folder}"


def hadoop_options(path: str) -> dict[str, str]:
    """The options by which Spark reads and writes at a place; none for one of this machine."""
    if not is_remote(path):
        return {}
    found = hadoop_settings(path, options_of(path))
    return {name.removeprefix("spark.hadoop."): text for name, text in found.items()}


def hadoop_settings(url: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The settings of Spark by which Hadoop opens ``url`` as fsspec does with ``options``.

    Sources: https://hadoop.apache.org/docs/stable/hadoop-azure/abfs.html and
    https://hadoop.apache.org/docs/stable/hadoop-aws/tools/hadoop-aws/index.html.

    Raises:
        Permanent: a scheme without a connector, or a URL that does not name its account.
    """
    split = urlsplit(url)
    if split.scheme in ("abfs", "abfss", "az"):
        given = azure_of(url, options)
        if "endpoint" in given:
            raise Permanent(
                f"Hadoop's connector cannot reach {given['endpoint']}: it speaks to Data Lake Storage only",
                hint=_FOLDER,
            )
        host = split.hostname if split.username else f"{given.get('account_name', '')}.dfs.core.windows.net"
        if not host or host.startswith("."):
            raise Permanent(f"{url} names no account", hint=_FOLDER)
        return {f"spark.hadoop.{name}.{host}": text for name, text in _azure(given).items()}
    if split.scheme in ("s3", "s3a"):
        return {f"spark.hadoop.fs.s3a.{name}": text for name, text in _s3(options).items()}
    raise Permanent(f"Hadoop has no settings for {split.scheme}://", hint="abfss or s3")


def _azure(given: Mapping[str, str]) -> dict[str, str]:
    if "account_key" in given:
        return {"fs.azure.account.auth.type": "SharedKey", "fs.azure.account.key": given["account_key"]}
    if "sas_token" in given:
        return {"fs.azure.account.auth.type": "SAS", "fs.azure.sas.fixed.token": given["sas_token"]}
    oauth = {"fs.azure.account.auth.type": "OAuth"}
    if "client_secret" not in given:
        return {**oauth, "fs.azure.account.oauth.provider.type": f"{_PROVIDER}.MsiTokenProvider"}
    return {
        **oauth,
        "fs.azure.account.oauth.provider.type": f"{_PROVIDER}.ClientCredsTokenProvider",
        "fs.azure.account.oauth2.client.endpoint": f"https://login.microsoftonline.com/{given['tenant_id']}/oauth2/token",
        "fs.azure.account.oauth2.client.id": given["client_id"],
        "fs.azure.account.oauth2.client.secret": given["client_secret"],
    }


def _s3(options: Mapping[str, Any]) -> dict[str, str]:
    names = {
        "key": "access.key",
        "secret": "secret.key",
        "token": "session.token",
        "endpoint_url": "endpoint",
        "region": "endpoint.region",
    }
    given = s3_of(options)
    found = {names[name]: value for name, value in given.items() if name in names}
    if "endpoint_url" in given:  # such servers have no host for each bucket
        found |= {"path.style.access": "true"}
        found |= {"connection.ssl.enabled": str(given["endpoint_url"].startswith("https")).lower()}
    if "anon" in given:
        found["aws.credentials.provider"] = "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider"
    return found
