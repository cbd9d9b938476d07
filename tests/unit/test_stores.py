"""What a connection's options are for Delta's own library: the same identity, in other words."""

from __future__ import annotations

from typing import Any

import pytest

from odibi.errors import Permanent
from odibi.places import Url
from odibi.stores import delta_options

ABFSS = "abfss://lake@shop.dfs.core.windows.net/tables"
LOCAL = "AccountName=dev;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/dev;DefaultEndpointsProtocol=http"


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("s3://lake/x", {}, {}),
        (
            "s3://lake/x",
            {"key": "k", "secret": "s", "token": "t", "client_kwargs": {"region_name": "eu-west-1"}},
            {
                "aws_access_key_id": "k",
                "aws_secret_access_key": "s",
                "aws_session_token": "t",
                "aws_region": "eu-west-1",
            },
        ),
        (
            "s3a://lake/x",
            {"anon": True, "endpoint_url": "http://127.0.0.1:9000"},
            {
                "aws_skip_signature": "true",
                "aws_endpoint_url": "http://127.0.0.1:9000",
                "aws_allow_http": "true",
            },
        ),
        (
            ABFSS,
            {"account_key": "k"},
            {"azure_storage_account_name": "shop", "azure_storage_account_key": "k"},
        ),
        (
            ABFSS,
            {"sas_token": "?sv=1"},
            {"azure_storage_account_name": "shop", "azure_storage_sas_token": "sv=1"},
        ),
        (
            "az://lake/x",
            {"account_name": "shop", "tenant_id": "t", "client_id": "c", "client_secret": "s"},
            {
                "azure_storage_account_name": "shop",
                "azure_storage_tenant_id": "t",
                "azure_storage_client_id": "c",
                "azure_storage_client_secret": "s",
            },
        ),
        (
            "az://lake/x",
            {"connection_string": LOCAL},
            {
                "azure_storage_account_name": "dev",
                "azure_storage_account_key": "a2V5",
                "azure_storage_endpoint": "http://127.0.0.1:1/dev",
                "azure_allow_http": "true",
            },
        ),
        (ABFSS, {"anon": False}, {"azure_storage_account_name": "shop"}),
        ("gs://lake/x", {"token": "google_default"}, {}),
        ("gs://lake/x", {"token": "anon"}, {"google_skip_signature": "true"}),
        ("gs://lake/x", {"token": "/run/key.json"}, {"google_service_account": "/run/key.json"}),
        ("gs://lake/x", {"token": {"a": 1}}, {"google_service_account_key": '{"a": 1}'}),
    ],
)
def test_options(
    monkeypatch: pytest.MonkeyPatch, url: str, options: dict[str, Any], expected: dict[str, str]
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    found = delta_options(Url(url, options))
    assert {n: v for n, v in found.items() if n not in ("max_retries", "retry_timeout")} == expected


def test_an_endpoint_of_the_environment_may_be_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert delta_options("s3://lake/x")["aws_allow_http"] == "true"


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("s3://lake/x", {"profile": "shop"}, "'profile' among the options is known to fsspec alone"),
        (ABFSS, {"credential": object()}, "'credential' among the options"),
        (ABFSS, {"connection_string": "nothing"}, "connection_string is none of Azure's"),
    ],
)
def test_what_only_fsspec_knows_is_refused(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(Permanent, match=message):
        delta_options(Url(url, options))
