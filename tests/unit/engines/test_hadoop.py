"""Options of a connection as the settings that Hadoop's connectors document."""

from __future__ import annotations

from typing import Any

import pytest

from odibi.engines.hadoop import hadoop_options, hadoop_path, hadoop_settings
from odibi.errors import Permanent
from odibi.places import Url

URL = "abfss://lake@shop.dfs.core.windows.net/tables"
HOST = "shop.dfs.core.windows.net"
OAUTH = "org.apache.hadoop.fs.azurebfs.oauth2"


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        (
            URL,
            {"account_key": "k"},
            {"fs.azure.account.auth.type": "SharedKey", "fs.azure.account.key": "k"},
        ),
        (URL, {"sas_token": "t"}, {"fs.azure.account.auth.type": "SAS", "fs.azure.sas.fixed.token": "t"}),
        (
            URL,
            {"tenant_id": "t", "client_id": "c", "client_secret": "s"},
            {
                "fs.azure.account.auth.type": "OAuth",
                "fs.azure.account.oauth.provider.type": f"{OAUTH}.ClientCredsTokenProvider",
                "fs.azure.account.oauth2.client.endpoint": "https://login.microsoftonline.com/t/oauth2/token",
                "fs.azure.account.oauth2.client.id": "c",
                "fs.azure.account.oauth2.client.secret": "s",
            },
        ),
        (
            URL,
            {"anon": False},
            {
                "fs.azure.account.auth.type": "OAuth",
                "fs.azure.account.oauth.provider.type": f"{OAUTH}.MsiTokenProvider",
            },
        ),
    ],
)
def test_azure(url: str, options: dict[str, Any], expected: dict[str, str]) -> None:
    assert hadoop_settings(url, options) == {
        f"spark.hadoop.{name}.{HOST}": text for name, text in expected.items()
    }


def test_s3() -> None:
    options = {
        "key": "k",
        "secret": "s",
        "endpoint_url": "http://127.0.0.1:9000",
        "client_kwargs": {"region_name": "eu-west-1"},
    }
    assert hadoop_settings("s3://lake/x", options) == {
        "spark.hadoop.fs.s3a.access.key": "k",
        "spark.hadoop.fs.s3a.secret.key": "s",
        "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9000",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.endpoint.region": "eu-west-1",
    }
    assert hadoop_settings("s3://lake/x", {}) == {}


@pytest.mark.parametrize(
    ("url", "options", "path"),
    [
        ("/lake/x", {}, "file:/lake/x"),
        ("file:///lake/x", {}, "file:/lake/x"),
        ("s3://lake/a b/x", {}, "s3a://lake/a b/x"),
        ("s3a://lake/x", {}, "s3a://lake/x"),
        (URL, {}, URL),
        ("az://lake/x", {"account_name": "shop"}, "abfss://lake@shop.dfs.core.windows.net/x"),
        (
            "abfs://lake/x",
            {"connection_string": "AccountName=shop;AccountKey=k"},
            "abfss://lake@shop.dfs.core.windows.net/x",
        ),
    ],
)
def test_paths(url: str, options: dict[str, Any], path: str) -> None:
    assert hadoop_path(Url(url, options)) == path


def test_options_of_a_reader_are_the_settings_of_its_place() -> None:
    assert hadoop_options("/lake/x") == {}
    assert hadoop_options(Url("s3://lake/x", {"key": "k"})) == {"fs.s3a.access.key": "k"}
    account = {"connection_string": "AccountName=shop;AccountKey=k"}
    assert hadoop_options(Url("az://lake/x", account)) == {
        f"fs.azure.account.auth.type.{HOST}": "SharedKey",
        f"fs.azure.account.key.{HOST}": "k",
    }


def test_an_emulator_of_azure_is_out_of_reach() -> None:
    local = "AccountName=dev;AccountKey=k;BlobEndpoint=http://127.0.0.1:10000/dev"
    with pytest.raises(Permanent, match=r"cannot reach http://127\.0\.0\.1:10000/dev"):
        hadoop_settings("abfss://lake@dev.dfs.core.windows.net/x", {"connection_string": local})


@pytest.mark.parametrize("url", ["abfss://lake/tables", "gs://lake", "/local"])
def test_what_has_no_settings_is_said(url: str) -> None:
    with pytest.raises(Permanent, match=r"names no account|has no settings"):
        hadoop_settings(url, {})
