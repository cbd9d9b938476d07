"""One contract of the adapters, on a local folder, in memory, on S3 and on Azure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from odibi import CloudAdapter
from odibi.errors import MissingExtra, NotFound, Permanent
from tests import services


@pytest.fixture
def s3() -> Iterator[tuple[CloudAdapter, str]]:
    with services.s3() as endpoint:
        keys = {"key": "test", "secret": "test", "endpoint_url": endpoint}
        adapter = CloudAdapter.create("s3", **keys, client_kwargs={"region_name": "eu-west-1"})
        adapter._call("lake", lambda store, name: store.mkdir(name))
        yield adapter, "lake"


@pytest.fixture
def azure() -> Iterator[tuple[CloudAdapter, str]]:
    with services.azurite() as connection:
        adapter = CloudAdapter.create("azure", account_name=services.ACCOUNT, connection_string=connection)
        adapter._call("lake", lambda store, name: store.mkdir(name))
        yield adapter, "lake"


@pytest.fixture(params=["local", "memory", "s3", "azure"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[CloudAdapter, str]:
    """An adapter and a folder of its own."""
    if request.param in ("s3", "azure"):
        found: tuple[CloudAdapter, str] = request.getfixturevalue(request.param)
        return found
    return CloudAdapter.create(request.param), str(tmp_path)


def test_the_operations(adapter: tuple[CloudAdapter, str]) -> None:
    store, root = adapter
    path = f"{root}/in/a b/orders.csv"
    assert not store.exists(path)
    assert store.list(f"{root}/in") == []
    store.write(path, "id\n1\n")
    store.write(f"{root}/in/b.bin", b"\x00\xff")
    assert store.exists(path)
    assert store.read(path) == b"id\n1\n"
    assert store.size(path) == 5
    assert [name.rpartition(f"{root.strip('/')}/")[2] for name in store.list(f"{root}/in")] == [
        "in/a b/orders.csv",
        "in/b.bin",
    ]
    store.write(path, b"")
    assert store.size(path) == 0
    store.delete(path)
    assert not store.exists(path)
    for operation in (store.read, store.size, store.delete):
        with pytest.raises(NotFound, match="there is no file"):
            operation(path)


@pytest.mark.parametrize(
    ("provider", "options", "says"),
    [
        ("azur", {}, "unknown provider 'azur'.*did you mean 'azure'"),
        ("azure", {}, "needs an account_name"),
        ("azure", {"account_name": "a", "client_id": "c"}, "needs tenant_id and client_secret as well"),
    ],
)
def test_what_is_not_configured_is_said(provider: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(Permanent, match=says):
        CloudAdapter.create(provider, **options)


def test_identities_of_azure() -> None:
    def options(**given: object) -> dict[str, object]:
        return dict(CloudAdapter.create("azure", account_name="shop", **given)._options)

    assert type(options(use_managed_identity=True)["credential"]).__name__ == "ManagedIdentityCredential"
    principal = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
    assert options(**principal) == {"account_name": "shop", **principal}
    assert options(account_key="k") == {"account_name": "shop", "account_key": "k"}
    assert options() == {"account_name": "shop", "anon": False}


@pytest.mark.parametrize(("provider", "module", "extra"), [("aws", "s3fs", "aws"), ("azure", "adlfs", "azure"), ("gcp", "gcsfs", "gcp")])  # fmt: skip
def test_what_is_not_installed_is_named(
    provider: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    known = import_module("fsspec.registry")._registry
    for scheme in [each for each, kind in known.items() if kind.__module__.startswith(module)]:
        monkeypatch.delitem(known, scheme)
    with pytest.raises(MissingExtra, match=rf"pip install 'odibi\[{extra}\]'"):
        CloudAdapter.create(provider, account_name="a")
