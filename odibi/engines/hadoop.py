"""A place's credentials as settings of Hadoop's own connectors.

For Spark sessions of one's own whose functions read a place by Spark itself; odibi hands Spark what is
elsewhere and needs none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from odibi.errors import Permanent

__all__ = ["hadoop_settings"]

_PROVIDER = "org.apache.hadoop.fs.azurebfs.oauth2"


def hadoop_settings(url: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The settings of Spark by which Hadoop opens ``url`` as fsspec does with ``options``.

    Sources: https://hadoop.apache.org/docs/stable/hadoop-azure/abfs.html and
    https://hadoop.apache.org/docs/stable/hadoop-aws/tools/hadoop-aws/index.html.

    Raises:
        Permanent: a scheme without a connector, or a URL that does not name its account.
    """
    split = urlsplit(url)
    if split.scheme in ("abfs", "abfss"):
        if not split.hostname or not split.username:
            raise Permanent(
                f"{url} names no account", hint="abfss://container@account.dfs.core.windows.net/folder"
            )
        return {f"spark.hadoop.{name}.{split.hostname}": text for name, text in _azure(options).items()}
    if split.scheme in ("s3", "s3a"):
        return {f"spark.hadoop.fs.s3a.{name}": text for name, text in _s3(options).items()}
    raise Permanent(f"Hadoop has no settings for {split.scheme}://", hint="abfss or s3")


def _azure(given: Mapping[str, Any]) -> dict[str, str]:
    if "account_key" in given:
        return {"fs.azure.account.auth.type": "SharedKey", "fs.azure.account.key": str(given["account_key"])}
    if "sas_token" in given:
        return {"fs.azure.account.auth.type": "SAS", "fs.azure.sas.fixed.token": str(given["sas_token"])}
    oauth = {"fs.azure.account.auth.type": "OAuth"}
    if "client_secret" not in given:
        return {**oauth, "fs.azure.account.oauth.provider.type": f"{_PROVIDER}.MsiTokenProvider"}
    return {
        **oauth,
        "fs.azure.account.oauth.provider.type": f"{_PROVIDER}.ClientCredsTokenProvider",
        "fs.azure.account.oauth2.client.endpoint": f"https://login.microsoftonline.com/{given['tenant_id']}/oauth2/token",
        "fs.azure.account.oauth2.client.id": str(given["client_id"]),
        "fs.azure.account.oauth2.client.secret": str(given["client_secret"]),
    }


def _s3(given: Mapping[str, Any]) -> dict[str, str]:
    names = {
        "key": "access.key",
        "secret": "secret.key",
        "token": "session.token",
        "endpoint_url": "endpoint",
    }
    found = {names[name]: str(value) for name, value in given.items() if name in names}
    if "endpoint_url" in given:  # such servers have no host for each bucket
        found |= {"path.style.access": "true"}
        found |= {"connection.ssl.enabled": str(str(given["endpoint_url"]).startswith("https")).lower()}
    if region := (given.get("client_kwargs") or {}).get("region_name"):
        found["endpoint.region"] = str(region)
    return found
